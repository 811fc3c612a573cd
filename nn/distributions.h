// Action distributions, a row a sample: log-density, entropy and KL as Vars; sampling on numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <span>
#include <vector>

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

/// Vectors of m independent choices, component j being one of 0 ... levels[j] - 1.
template <class T>
struct MultiCategorical {
  std::vector<int> levels;
  Var<T> log_p;  // [n x sum of levels], a block of columns for each component

  static MultiCategorical from_logits(Var<T> logits, const std::vector<int>& levels, At at = At::current()) {
    const CalledFrom here(at);
    std::vector<Var<T>> blocks;
    for_blocks(levels,
               [&](int begin, int end) { blocks.push_back(log_softmax(column_slice(logits, begin, end))); });
    return {levels, concatenate_columns(blocks)};
  }

  /// log pi of each row of `action` [n x m], whole numbers; [n x 1].
  Var<T> log_prob(Var<T> action, At at = At::current()) const {
    const CalledFrom here(at);
    const int n = log_p.rows(), m = static_cast<int>(levels.size());
    expect(action.shape() == Shape{n, m}, "log_prob: the actions are ", action.shape(), ", not ", Shape{n, m},
           at);
    Array<T> chosen = zeros<T>(n, log_p.cols());
    for (int r = 0; r < n; ++r) {
      int j = 0;
      for_blocks(levels, [&](int begin, int end) {
        const T a = action.values()[static_cast<std::size_t>(r * m + j++)];
        expect(a >= 0 && a < static_cast<T>(end - begin) && a == std::floor(a), "log_prob: component ", j - 1,
               " of an action is one of 0 ... ", end - begin - 1, ", got ", a, at);
        chosen(r, begin + static_cast<int>(a)) = 1;
      });
    }
    return sum_rows(where(chosen, log_p, 0));
  }
  /// The sum of the components', [n x 1].
  Var<T> entropy(At at = At::current()) const {
    const CalledFrom here(at);
    Var<T> sum;
    for_blocks(levels, [&](int begin, int end) {
      const Var<T> of_block = lowvar::entropy(column_slice(log_p, begin, end));
      sum = begin ? sum + of_block : of_block;
    });
    return sum;
  }
  /// f(first column, one past the last) of each component's block.
  static void for_blocks(const std::vector<int>& levels, auto&& f) {
    int begin = 0;
    for (const int each : levels) f(begin, begin + each), begin += each;
  }
};

/// KL(p || q) of each row, the sum of the components', [n x 1].
template <class T>
Var<T> kl(const MultiCategorical<T>& p, const MultiCategorical<T>& q, At at = At::current()) {
  const CalledFrom here(at);
  Var<T> sum;
  MultiCategorical<T>::for_blocks(p.levels, [&](int begin, int end) {
    const Var<T> of_block = kl(column_slice(p.log_p, begin, end), column_slice(q.log_p, begin, end));
    sum = begin ? sum + of_block : of_block;
  });
  return sum;
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
