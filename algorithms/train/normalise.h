// Running normalisation of what a learner sees, whose units nobody chose (Huang et al. 2022, details 5 to 8
// of those for continuous actions).
#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "core/array.h"

namespace lowvar {

/// Mean and standard deviation of each column of all rows so far (Chan et al. 1983). Of no rows the mean is 0
/// and the deviation 1; 1 is also that of a column that changes by no more than rounding to float32.
class RunningMoments {
 public:
  void add(const Array<double>& x) {
    const auto n = static_cast<double>(shape(x).rows);
    if (n == 0) return;
    const auto columns = static_cast<std::size_t>(shape(x).cols);
    mean_.resize(columns), square_.resize(columns);
    for (std::size_t j = 0; j < columns; ++j) {
      double mean = 0, square = 0;
      for (std::size_t i = 0; i < x.shape(0); ++i) mean += x(i, j) / n;
      for (std::size_t i = 0; i < x.shape(0); ++i) square += (x(i, j) - mean) * (x(i, j) - mean);
      const double apart = mean - mean_[j];
      mean_[j] += apart * n / (count_ + n);
      square_[j] += square + apart * apart * count_ * n / (count_ + n);
    }
    count_ += n;
  }

  /// Whether it is of so many columns, or of no rows.
  bool fits(std::size_t columns) const {
    return count_ == 0 || (mean_.size() == columns && square_.size() == columns);
  }

  template <class F>
  void visit(F&& f) {
    f("count", count_), f("mean", mean_), f("square", square_);
  }

  double mean(std::size_t j) const { return count_ > 0 ? mean_[j] : 0; }
  double deviation(std::size_t j) const {
    const double deviation = count_ > 0 ? std::sqrt(square_[j] / count_) : 0;
    return deviation > 1e-7 * std::abs(mean(j)) ? deviation : 1;
  }

  /// (x - mean) / deviation, column by column.
  void normalise(Array<double>& x) const {
    for (std::size_t i = 0; i < x.shape(0); ++i)
      for (std::size_t j = 0; j < x.shape(1); ++j) x(i, j) = (x(i, j) - mean(j)) / deviation(j);
  }

  /// Turns a network (W0, b0, ... as of Mlp) of normalised inputs into the same function of raw ones.
  template <class T>
  void fold_into(std::span<Array<T>> network) const {
    Array<T>&W = network[0], &b = network[1];
    for (std::size_t j = 0; j < W.shape(0); ++j)
      for (std::size_t k = 0; k < W.shape(1); ++k) {
        W(j, k) /= static_cast<T>(deviation(j));
        b(0, k) -= static_cast<T>(mean(j)) * W(j, k);
      }
  }

 private:
  double count_ = 0;
  std::vector<double> mean_, square_;  // square_: sum of squared deviations from the mean
};

}  // namespace lowvar
