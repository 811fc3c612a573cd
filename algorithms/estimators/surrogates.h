// Per-row objectives of log pi(a_t|s_t), to be ascended. Their gradient at the behaviour policy is that of
// the score.
#pragma once

#include <functional>

#include "autograd/autograd.h"

namespace lowvar {

/// An objective of each row: (log pi, log mu, Psi), each [n x K], to [n x K]; for float and double.
struct Surrogate {
  template <class T>
  using Of = std::function<Var<T>(Var<T> log_pi, const Array<T>& log_mu, const Array<T>& psi)>;

  Of<float> f32;
  Of<double> f64;

  template <class F>
  Surrogate(F f) : f32(f), f64(f) {}

  Var<float> operator()(Var<float> log_pi, const Array<float>& log_mu, const Array<float>& psi) const {
    return f32(log_pi, log_mu, psi);
  }
  Var<double> operator()(Var<double> log_pi, const Array<double>& log_mu, const Array<double>& psi) const {
    return f64(log_pi, log_mu, psi);
  }
};

/// psi log pi: the score function estimator (Williams 1992, eq. 4).
inline Surrogate score_function() {
  return [](auto log_pi, const auto&, const auto& psi) { return log_pi * psi; };
}

/// rho A with rho = pi/mu: importance weighting (Schulman et al. 2015, eq. 14; 2017, eq. 6).
inline Surrogate importance_weighted() {
  return [](auto log_pi, const auto& log_mu, const auto& A) { return exp(log_pi - log_mu) * A; };
}

/// min(rho A, clip(rho, 1-eps, 1+eps) A) with rho = pi/mu (Schulman et al. 2017, eq. 7). A tie gives the
/// unclipped slope.
inline Surrogate ppo_clip(double epsilon) {
  return [epsilon](auto log_pi, const auto& log_mu, const auto& A) {
    const auto rho = exp(log_pi - log_mu);
    return minimum(rho * A, clip(rho, 1 - epsilon, 1 + epsilon) * A);
  };
}

}  // namespace lowvar
