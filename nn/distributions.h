// Action distributions, a row a sample: log-density, entropy and KL as Vars; sampling on numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <span>

#include "autograd/autograd.h"
#include "core/random.h"

namespace lowvar {

/// pi(a) = softmax(logits)_a over C actions.
template <class T>
struct Categorical {
  Var<T> log_p;  // [n x C]

  static Categorical from_logits(Var<T> logits, At at = At::current()) { return {log_softmax(logits, at)}; }
  /// Over the legal actions, those with a 1 in `mask` [n x C] or [1 x C] of 0 and 1. The others have
  /// probability 0 and log_p -infinity; they add nothing to entropies, to divergences and to gradients,
  /// whatever their logits. Throws where a row has no legal action.
  static Categorical masked(Var<T> logits, const Array<T>& mask, At at = At::current()) {
    const Shape s = shape(mask);
    expect(s.cols == logits.cols() && (s.rows == 1 || s.rows == logits.rows()), "masked: the mask is ", s,
           ", where logits ", logits.shape(), " need as many columns, and one row or as many", at);
    for (int r = 0; r < s.rows; ++r)
      expect(std::ranges::any_of(row(mask, r), [](T m) { return m == 1; }), "masked: row ", r,
             " of the mask has no legal action (1)", at);
    const T never = -std::numeric_limits<T>::infinity();
    return from_logits(where(mask, logits, never, at), at);
  }

  /// log pi(a_r) of each row, [n x 1].
  Var<T> log_prob(std::span<const int> action, At at = At::current()) const {
    return pick(log_p, action, at);
  }
  /// -sum_a pi(a) log pi(a), [n x 1].
  Var<T> entropy(At at = At::current()) const { return lowvar::entropy(log_p, at); }
};

/// KL(p || q) of each row, [n x 1].
template <class T>
Var<T> kl(const Categorical<T>& p, const Categorical<T>& q, At at = At::current()) {
  return kl(p.log_p, q.log_p, at);
}

/// Independent normals with means [n x C] and log standard deviations [n x C] or [1 x C].
template <class T>
struct DiagGaussian {
  Var<T> mean;
  Var<T> log_std;

  /// log density of each row of `action` [n x C], [n x 1].
  Var<T> log_prob(const Operand<T>& action, At at = At::current()) const {
    const CalledFrom here(at);
    return sum_rows(gaussian_log_density(action, mean, log_std));
  }
  /// sum_i log sigma_i + C (1 + log 2 pi) / 2, [n x 1].
  Var<T> entropy(At at = At::current()) const {
    const CalledFrom here(at);
    const Var<T> each = log_std + T(0.5) * (T(1) + std::log(T(2) * std::numbers::pi_v<T>));
    return sum_rows(each) + zeros<T>(mean.rows(), 1);  // a number for each row, whatever log_std's rows
  }
};

/// KL(p || q) of each row, [n x 1]: sum_i log(q_i/p_i) + (p_i^2 + (mu_p - mu_q)^2) / (2 q_i^2) - 1/2.
template <class T>
Var<T> kl(const DiagGaussian<T>& p, const DiagGaussian<T>& q, At at = At::current()) {
  const CalledFrom here(at);
  const Var<T> ratio = exp((p.log_std - q.log_std) * T(2));
  const Var<T> shift = square((p.mean - q.mean) * exp(-q.log_std));
  return sum_rows(q.log_std - p.log_std + (ratio + shift) * T(0.5) - T(0.5));
}

/// mean + sigma * normal draws, one a coordinate in order.
inline void sample_gaussian(std::span<const double> mean, std::span<const double> log_std, Rng& rng,
                            std::span<double> out) {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = mean[i] + std::exp(log_std[i]) * rng.normal();
}

/// log density of `x` under independent normals.
inline double log_density(std::span<const double> mean, std::span<const double> log_std,
                          std::span<const double> x) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double z = (x[i] - mean[i]) * std::exp(-log_std[i]);
    sum -= 0.5 * z * z + log_std[i] + 0.5 * std::log(2 * std::numbers::pi);
  }
  return sum;
}

}  // namespace lowvar
