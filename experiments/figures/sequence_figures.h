// What the figures of sequence worlds share.
#pragma once

#include <cmath>
#include <numeric>

#include "experiments/answers.h"
#include "experiments/models.h"

namespace lowvar {

/// The same policy with logits of their own for every prefix.
inline PolicyChoice by_prefix(const World& world, const PolicyChoice& tied) {
  const Sequences& s = *world.sequences;
  Array<double> logits = zeros<double>(s.by_prefix->rows, world.A);
  for (std::size_t p = 0; p < s.prefix.size(); ++p) {
    const auto from = row(tied.theta[0], s.tied->of[p]);
    std::copy(from.begin(), from.end(), row(logits, static_cast<int>(p)).begin());
  }
  return {token_policy(world, s.by_prefix), {std::move(logits)}};
}

inline double dot(std::span<const double> x, std::span<const double> y) {
  return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
}

/// An estimate's mean and noise beside the gradient.
struct Against {
  double signal;     // |E g|^2
  double trace_cov;  // tr Cov(g)
  double bias;       // |E g - grad J|
  double cosine;     // of E g and grad J
  double scale;      // of grad J in E g
  double nsr;        // trace_cov / signal
};
inline Against against(std::span<const double> mean, double trace_cov, std::span<const double> gradient) {
  const double signal = dot(mean, mean), square = dot(gradient, gradient), along = dot(mean, gradient);
  double off = 0;
  for (std::size_t j = 0; j < mean.size(); ++j) off += std::pow(mean[j] - gradient[j], 2);
  return {signal,         trace_cov,         std::sqrt(off), along / std::sqrt(signal * square),
          along / square, trace_cov / signal};
}

/// The trace of the covariance.
inline double trace_of(const FirstTwo& m) {
  return std::accumulate(m.second.begin(), m.second.end(), 0.0) - dot(m.mean, m.mean);
}

}  // namespace lowvar
