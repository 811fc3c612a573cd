// Three losses that are long chains of elementwise operations: their data, the loss as a user of the engine
// writes it, and value and gradient in one loop by hand, with the same exp and log: not inlined, for what g++
// vectorises would depend on the caller. All in float.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "autograd/autograd.h"
#include "bench/answers.h"
#include "core/random.h"
#include "core/vmath.h"

namespace lowvar {

/// The mean log-probability of actions tanh(u), u = mu + sigma eps (Haarnoja et al. 2018, appendix C):
/// log N(u; mu, sigma) - sum_j log(1 - tanh(u_j)^2), the logarithm as 2 (log 2 - u - softplus(-2 u)).
struct SquashedGaussian {
  static constexpr const char* name = "squashed_gaussian";
  static constexpr int n = 65536, m = 6;
  FloatArrays parameters;  // mu and log sigma, [n x m]
  Array<float> eps;        // [n x m]

  explicit SquashedGaussian(Rng rng) : parameters(2, zeros<float>(n, m)), eps(zeros<float>(n, m)) {
    for (float& x : values(parameters[0])) x = static_cast<float>(rng.normal());
    for (float& x : values(parameters[1])) x = static_cast<float>(rng.uniform(-3, 0.5));
    for (float& x : values(eps)) x = static_cast<float>(rng.normal());
  }

  Var<float> loss(Tape<float>& tape, const std::vector<Var<float>>& p) const {
    const Var<float> mu = p[0], log_sigma = p[1];
    const Var<float> u = mu + exp(log_sigma) * tape.data(borrow(eps));
    const Var<float> log_slope = 2 * (std::numbers::ln2_v<float> - u - softplus(-2 * u));
    return mean(sum_rows(gaussian_log_density(u, mu, log_sigma) - log_slope));
  }

  [[gnu::flatten, gnu::noinline]] float by_hand(FloatArrays& gradient) const {
    constexpr int block = 1024;
    static_assert(n * m % block == 0);
    constexpr float one = 1.0f / n, log_2 = std::numbers::ln2_v<float>;
    const float half_log_2_pi = 0.5f * std::log(2 * std::numbers::pi_v<float>);
    float term[block], noise[block], u[block], e[block];
    double total = 0;
    for (int begin = 0; begin < n * m; begin += block) {  // loops that g++ vectorises, in the first cache
      const float *mu = parameters[0].data() + begin, *log_sigma = parameters[1].data() + begin;
      const float* z = eps.data() + begin;
      float *d_mu = gradient[0].data() + begin, *d_log_sigma = gradient[1].data() + begin;
      for (int k = 0; k < block; ++k) noise[k] = exp(log_sigma[k]) * z[k];
      for (int k = 0; k < block; ++k) u[k] = mu[k] + noise[k];
      for (int k = 0; k < block; ++k) e[k] = exp(-2 * abs(u[k]));
      for (int k = 0; k < block; ++k) {
        // All of the term but 2 log(1 + e), a part of 2 softplus(-2 u).
        term[k] = -0.5f * z[k] * z[k] - log_sigma[k] - half_log_2_pi -
                  2 * (log_2 - u[k] - (u[k] < 0 ? -2 * u[k] : 0));
        d_mu[k] = 2 * one * std::copysign((1 - e[k]) / (1 + e[k]), u[k]);  // 2 tanh(u) / n
        d_log_sigma[k] = d_mu[k] * noise[k] - one;
      }
      for (int k = 0; k < block; ++k) term[k] += 2 * log1p_of_unit(e[k]);
      total += sum(term, block);
    }
    return static_cast<float>(total / n);
  }
};

/// The quantile Huber loss (Dabney et al. 2018, eq. 10): the mean over samples of
/// sum_i mean_j |tau_i - 1{u_ij < 0}| L(u_ij), u_ij = target_j - prediction_i, L Huber's with kappa = 1.
struct QuantileHuber {
  static constexpr const char* name = "quantile_huber";
  static constexpr int n = 256, q = 51;
  FloatArrays parameters;       // the predicted quantiles, [n x q]
  Array<float> target;          // [n x q]
  Array<float> tau;             // of each pair (i, j), [1 x q^2]
  std::vector<int> i_of, j_of;  // of each pair

  explicit QuantileHuber(Rng rng)
      : parameters(1, zeros<float>(n, q)), target(zeros<float>(n, q)), tau(zeros<float>(1, q * q)) {
    for (float& x : values(parameters[0])) x = static_cast<float>(rng.normal());
    for (float& x : values(target)) x = static_cast<float>(1.5 * rng.normal());
    for (int k = 0; k < q * q; ++k) {
      i_of.push_back(k / q), j_of.push_back(k % q);
      tau(0, k) = tau_of(k / q);
    }
  }
  /// The middle of the i-th of q equal parts of [0, 1].
  static float tau_of(int i) { return (static_cast<float>(i) + 0.5f) / q; }

  Var<float> loss(Tape<float>& tape, const std::vector<Var<float>>& p) const {
    const Var<float> u = gather_columns(tape.data(target), j_of) - gather_columns(p[0], i_of);  // [n x q^2]
    return mean(sum_rows(abs(tape.constant(tau) - less(u, 0)) * huber(u, 1))) * (1.0f / q);
  }

  [[gnu::flatten, gnu::noinline]] float by_hand(FloatArrays& gradient) const {
    constexpr float one = 1.0f / (n * q);
    float t[q], of_i[q], d[q];
    for (int i = 0; i < q; ++i) t[i] = tau_of(i);
    double total = 0;
    for (int r = 0; r < n; ++r) {
      const float *prediction = row(parameters[0], r).data(), *targets = row(target, r).data();
      std::fill_n(of_i, q, 0.0f), std::fill_n(d, q, 0.0f);
      for (int j = 0; j < q; ++j)
        for (int i = 0; i < q; ++i) {
          const float u = targets[j] - prediction[i];
          const float held = clip(u, -1, 1), slope = abs(t[i] - (u < 0 ? 1.0f : 0.0f)) * held;
          of_i[i] += slope * (u - 0.5f * held);
          d[i] -= slope;
        }
      float* out = row(gradient[0], r).data();
      for (int i = 0; i < q; ++i) out[i] = one * d[i];
      total += sum(of_i, q);
    }
    return static_cast<float>(total * one);
  }
};

/// DAPO's objective, descended (Yu et al. 2025, eq. 8): minus the mean over all tokens of
/// min(ratio A, clip(ratio, 1 - 0.2, 1 + 0.28) A), ratio = pi / pi_old, A of each sequence.
struct Dapo {
  static constexpr const char* name = "dapo";
  static constexpr int n = 4096, length = 1024;
  static constexpr float low = 0.8f, high = 1.28f;
  FloatArrays parameters;  // log pi of each token, [n x length]
  Array<float> log_old;    // [n x length]
  Array<float> advantage;  // [n x 1]
  Array<float> mask;       // 1 on the tokens of a sequence, 0 after its end, [n x length]
  float tokens = 0;        // the sum of the mask

  explicit Dapo(Rng rng)
      : parameters(1, zeros<float>(n, length)),
        log_old(zeros<float>(n, length)),
        advantage(zeros<float>(n, 1)),
        mask(zeros<float>(n, length)) {
    // A ratio at a bound of the clip has two derivatives, and which of them is a matter of rounding.
    const auto at_bound = [](float log_ratio) {
      return abs(log_ratio - std::log(low)) < 1e-4f || abs(log_ratio - std::log(high)) < 1e-4f;
    };
    for (int r = 0; r < n; ++r) {
      const int end = length / 2 + static_cast<int>(rng.uniform() * length / 2);
      // Not of mean 0, so that the loss is no difference of large sums.
      advantage(r, 0) = static_cast<float>(0.5 + rng.normal());
      for (int t = 0; t < length; ++t) {
        log_old(r, t) = static_cast<float>(-3 * rng.uniform());
        do parameters[0](r, t) = log_old(r, t) + static_cast<float>(0.3 * rng.normal());
        while (at_bound(parameters[0](r, t) - log_old(r, t)));
        mask(r, t) = t < end ? 1 : 0;
        tokens += mask(r, t);
      }
    }
  }

  Var<float> loss(Tape<float>& tape, const std::vector<Var<float>>& p) const {
    const Var<float> ratio = exp(p[0] - tape.data(borrow(log_old))), A = tape.data(advantage);
    return -sum(minimum(ratio * A, clip(ratio, low, high) * A) * tape.data(borrow(mask))) / tokens;
  }

  [[gnu::flatten, gnu::noinline]] float by_hand(FloatArrays& gradient) const {
    const float one = 1 / tokens;
    float term[length];
    double total = 0;
    for (int r = 0; r < n; ++r) {
      const float *log_pi = row(parameters[0], r).data(), *old = row(log_old, r).data();
      const float *inside = row(mask, r).data(), A = advantage(r, 0);
      float* d = row(gradient[0], r).data();
      for (int t = 0; t < length; ++t) {
        const float ratio = exp(log_pi[t] - old[t]);
        const float free = ratio * A, held = clip(ratio, low, high) * A;
        term[t] = inside[t] * (free <= held ? free : held);
        d[t] = -one * inside[t] * less_equal(free, held) * free;
      }
      total += sum(term, length);
    }
    return static_cast<float>(-total * one);
  }
};

}  // namespace lowvar
