// Linear-quadratic-Gaussian worlds: s' = A s + B a + w with quadratic costs. The reward is paid on the NEXT
// state (Han & Yang 2026, section 2), so a finite horizon T sees s_1 ... s_T and never pays for s_0.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "core/array.h"
#include "envs/env.h"

namespace lowvar {

/// s in R^n, a in R^m:  s' = A s + B a + w,  w ~ N(0, Sigma_w),  s_0 ~ N(0, Sigma_0),
/// r = -(s'^T Q_s s' + a^T Q_a a),  J = E sum_{t<T} gamma^t r_t. It never terminates before T.
struct Lqg {
  Array<double> A;        // [n x n]
  Array<double> B;        // [n x m]
  Array<double> Q_s;      // [n x n], symmetric
  Array<double> Q_a;      // [m x m], symmetric
  Array<double> Sigma_0;  // [n x n], symmetric, positive semidefinite
  Array<double> Sigma_w;  // [n x n], likewise; zero: no process noise
  double gamma = 1;
  int T = 10;

  int n() const { return shape(B).rows; }
  int m() const { return shape(B).cols; }
};

/// a ~ N(K s, diag(exp(2 log_std))). A log_std of -infinity is an action without noise.
struct LinearGaussianPolicy {
  Array<double> K;              // [m x n]
  std::vector<double> log_std;  // [m]
};

// Dynamics. States and actions are sequences (std::vector, std::array) of numbers or of Vars whose rows are
// samples.

namespace detail {

/// M(i, 0) x_0 + M(i, 1) x_1 + ...
template <class Sequence>
typename Sequence::value_type row_times(const Array<double>& M, std::size_t i, const Sequence& x) {
  typename Sequence::value_type sum = M(i, 0) * x[0];
  for (std::size_t j = 1; j < x.size(); ++j) sum = sum + M(i, j) * x[j];
  return sum;
}

/// x' M x.
template <class Sequence>
typename Sequence::value_type quadratic_form(const Array<double>& M, const Sequence& x) {
  typename Sequence::value_type sum = x[0] * row_times(M, 0, x);
  for (std::size_t i = 1; i < x.size(); ++i) sum = sum + x[i] * row_times(M, i, x);
  return sum;
}

}  // namespace detail

/// A s + B a, [n]; process noise is for the caller to add.
template <class States, class Actions>
States next_state(const Lqg& world, const States& s, const Actions& a) {
  States next = s;
  for (std::size_t i = 0; i < s.size(); ++i)
    next[i] = detail::row_times(world.A, i, s) + detail::row_times(world.B, i, a);
  return next;
}

/// -(s'^T Q_s s' + a^T Q_a a).
template <class States, class Actions>
typename States::value_type reward(const Lqg& world, const States& next, const Actions& a) {
  return -(detail::quadratic_form(world.Q_s, next) + detail::quadratic_form(world.Q_a, a));
}

/// K s, [m].
template <class States>
std::vector<typename States::value_type> mean_action(const LinearGaussianPolicy& policy, const States& s) {
  std::vector<typename States::value_type> a;
  for (std::size_t i = 0; i < policy.log_std.size(); ++i) a.push_back(detail::row_times(policy.K, i, s));
  return a;
}

// Sampling.

/// Lower triangular L with L L' = Sigma, columns of zeros where Sigma is singular. Throws Error, naming
/// `what`, unless Sigma is symmetric and positive semidefinite up to rounding.
inline Array<double> lower_factor(const Array<double>& Sigma, std::string_view what) {
  const int n = shape(Sigma).rows;
  expect(shape(Sigma).cols == n, what, " must be square, got ", text(shape(Sigma)));
  double scale = 0;
  for (const double x : values(Sigma)) {
    expect(std::isfinite(x), what, " must be finite");
    scale = std::max(scale, std::abs(x));
  }
  Array<double> L = zeros<double>(n, n);
  for (int j = 0; j < n; ++j)
    for (int i = j; i < n; ++i) {
      expect(std::abs(Sigma(i, j) - Sigma(j, i)) <= 1e-12 * scale, what, " must be symmetric");
      double rest = Sigma(i, j);
      for (int k = 0; k < j; ++k) rest -= L(i, k) * L(j, k);
      if (L(j, j) > 0) {
        L(i, j) = rest / L(j, j);
      } else if (i == j && rest > 1e-14 * scale) {
        L(i, j) = std::sqrt(rest);
      } else {
        expect(std::abs(rest) <= 1e-7 * scale && (i != j || rest >= -1e-12 * scale), what,
               " must be positive semidefinite");
      }
    }
  return L;
}

/// A draw of N(0, Sigma), [n].
inline std::vector<double> gaussian(const Array<double>& Sigma, std::string_view what, Rng& rng) {
  const Array<double> L = lower_factor(Sigma, what);
  std::vector<double> x(L.shape(0));
  for (std::size_t j = 0; j < x.size(); ++j) {
    const double u = rng.normal();
    for (std::size_t i = j; i < x.size(); ++i) x[i] += L(i, j) * u;
  }
  return x;
}

/// s_0.
inline std::vector<double> reset(const Lqg& world, Rng& rng) {
  return gaussian(world.Sigma_0, "Sigma_0", rng);
}

/// Whether there is process noise.
inline bool is_stochastic(const Lqg& world) {
  const auto noise = values(world.Sigma_w);
  return std::any_of(noise.begin(), noise.end(), [](double x) { return x != 0; });
}

/// s' and r.
template <class States, class Actions>
Step<States> step(const Lqg& world, const States& s, const Actions& a, Rng& rng) {
  States next = next_state(world, s, a);
  if (is_stochastic(world)) {
    const std::vector<double> w = gaussian(world.Sigma_w, "Sigma_w", rng);
    for (std::size_t i = 0; i < w.size(); ++i) next[i] += w[i];
  }
  const double r = reward(world, next, a);
  return {next, r, false};
}

/// A world of n states and m actions as an Environment. Any action is meant; bounds are there for those who
/// draw one.
template <std::size_t n, std::size_t m>
struct LqgEnvironment {
  template <class Number>
  using StateOf = std::array<Number, n>;
  using State = StateOf<double>;
  using Action = std::array<double, m>;
  static constexpr int observation = static_cast<int>(n);
  static constexpr bool any_action = true;
  static constexpr Action filled(double x) {
    Action a;
    a.fill(x);
    return a;
  }
  static constexpr Action action_low = filled(-10), action_high = filled(10);

  Lqg world;
  int T;
  double gamma;
  bool stochastic;

  explicit LqgEnvironment(Lqg w)
      : world(std::move(w)), T(world.T), gamma(world.gamma), stochastic(is_stochastic(world)) {
    expect(world.n() == static_cast<int>(n) && world.m() == static_cast<int>(m), "a world of ", n,
           " states and ", m, " actions was asked for, got one of ", world.n(), " and ", world.m());
  }

  State reset(Rng& rng) const {
    const std::vector<double> s = lowvar::reset(world, rng);
    State out{};
    std::copy(s.begin(), s.end(), out.begin());
    return out;
  }
  Step<State> step(const State& s, const Action& a, Rng& rng) const { return lowvar::step(world, s, a, rng); }
  void observe(const State& s, std::span<double> out) const { round_into(out, s); }

  template <class Number>
  StateOf<Number> next(const StateOf<Number>& s, const std::array<Number, m>& a) const {
    return next_state(world, s, a);
  }
  template <class Number>
  Number reward(const StateOf<Number>&, const std::array<Number, m>& a, const StateOf<Number>& next) const {
    return lowvar::reward(world, next, a);
  }
  template <class Number>
  StateOf<Number> sight(const StateOf<Number>& s) const {
    return s;
  }
};

// Worlds. Unless said otherwise Q_s = I, Q_a = 0.01 I, Sigma_0 = I and there is no process noise.

/// Those defaults around given dynamics.
inline Lqg lqg(Array<double> A, Array<double> B, double gamma, int T) {
  const auto diagonal = [](int size, double x) {
    Array<double> D = zeros<double>(size, size);
    for (int i = 0; i < size; ++i) D(i, i) = x;
    return D;
  };
  const int n = shape(B).rows, m = shape(B).cols;
  return {std::move(A),   std::move(B),        diagonal(n, 1), diagonal(m, 0.01),
          diagonal(n, 1), zeros<double>(n, n), gamma,          T};
}

/// Position and velocity under a force, time step 0.1 (Han & Yang 2026, section 2).
inline Lqg double_integrator(double gamma = 1, int T = 10) {
  return lqg({{1, 0.1}, {0, 1}}, {{0}, {0.1}}, gamma, T);
}

/// A position under a velocity, time step 0.1.
inline Lqg single_integrator(double gamma = 1, int T = 10) { return lqg({{1}}, {{0.1}}, gamma, T); }

/// The largest modulus of M's eigenvalues, as the limit of |M^k|^(1/k) over k = 2^i (Gelfand 1941).
inline double spectral_radius(Array<double> M) {
  const int n = shape(M).rows;
  double log_radius = 0, weight = 1;
  for (int i = 0; i < 64; ++i, weight /= 2) {
    double norm = 0;
    for (const double x : values(M)) norm += x * x;
    norm = std::sqrt(norm);
    if (norm == 0) return 0;
    log_radius += weight * std::log(norm);
    for (double& x : values(M)) x /= norm;
    Array<double> square = zeros<double>(n, n);
    for (int r = 0; r < n; ++r)
      for (int k = 0; k < n; ++k)
        for (int c = 0; c < n; ++c) square(r, c) += M(r, k) * M(k, c);
    M = std::move(square);
  }
  return std::exp(log_radius);
}

/// A system of n states and m actions: A of standard normal numbers scaled to the given spectral radius, B of
/// normal numbers of variance 1/m (Preiss et al. 2019, but for the scaling).
inline Lqg random_lqg(int n, int m, double radius, std::uint64_t seed, double gamma = 1, int T = 10) {
  expect(n >= 1 && m >= 1, "a random system needs at least one state and one action, got ", n, " and ", m);
  expect(radius >= 0, "the spectral radius cannot be negative, got ", radius);
  Rng rng(seed, "random-lqg");
  Array<double> A = zeros<double>(n, n), B = zeros<double>(n, m);
  for (double& x : values(A)) x = rng.normal();
  for (double& x : values(B)) x = rng.normal() / std::sqrt(m);
  const double scale = radius / spectral_radius(A);
  for (double& x : values(A)) x *= scale;
  return lqg(std::move(A), std::move(B), gamma, T);
}

}  // namespace lowvar
