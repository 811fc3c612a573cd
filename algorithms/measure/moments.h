// The moments of gradient estimates: streaming, mergeable, each number with a standard error.
//
// Trajectories are dealt into at most 64 blocks; every statistic is a function of the blocks' merged moments,
// and its standard error is that of the delete-one-block jackknife (Efron & Stein 1981). One mechanism serves
// the trace of the covariance, biases, ratios of two estimators on the same trajectories, and everything
// else.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/array.h"

namespace lowvar {

/// Count, mean and sum of squared deviations of d numbers, and what the tail looks like (Chan, Golub &
/// LeVeque 1983).
struct Moments {
  double n = 0;
  std::vector<double> mean, m2;   // [d]
  double difference_sq = 0;       // sum of |g_i - reference_i|^2
  double norm_sq = 0;             // sum of |g_i|^2
  double largest_norm_sq = 0;     // max of |g_i|^2
  double batches = 0;             // of the cosine: number of batches with a direction or none,
  std::vector<double> direction;  // [d], the sum of their unit vectors,
  double directions = 0;          // and how many had one

  template <class F>
  void visit(F&& f) {
    f("n", n), f("mean", mean), f("m2", m2), f("difference_sq", difference_sq), f("norm_sq", norm_sq);
    f("largest_norm_sq", largest_norm_sq), f("batches", batches), f("direction", direction);
    f("directions", directions);
  }

  /// Whether it is of d numbers, or of none yet.
  bool fits(std::size_t d) const;

  /// Of the rows of g [n x d]; reference [n x d] is the estimator that differences are taken to.
  static Moments of(const Array<double>& g, const Array<double>& reference);
  void merge(const Moments& other);
  /// Counts a batch of the cosine, whose estimate points along g [d].
  void add_batch(std::span<const double> g);
  /// What is left when `part`, one of those merged, is taken away again.
  Moments without(const Moments& part) const;

  double trace_cov() const;
  double variance(std::size_t i) const { return m2[i] / (n - 1); }
};

struct Estimate {
  double value, se;
};

/// value = statistic(all merged) and its jackknife standard error over the blocks; several at once.
/// Statistics see the moments of every estimator, in order. With fewer than two blocks se is NaN.
using Statistic = std::function<std::vector<double>(const std::vector<Moments>& estimators)>;
std::vector<Estimate> jackknife(const std::vector<std::vector<Moments>>& blocks /*[B][E]*/,
                                const Statistic& statistic);

}  // namespace lowvar
