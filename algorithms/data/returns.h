// Psi: what multiplies grad log pi(a_t|s_t) (Schulman et al. 2016, eq. 1), for one trajectory of n steps.
// Pure functions of spans of length n. v_t = V_t(s_t); next_v_t = V_{t+1}(s_{t+1}), which is 0 where nothing
// follows. A bootstrap is the value of what follows the last step, 0 where nothing does: G_n = bootstrap.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

namespace lowvar {

/// R = sum_{t<n} gamma^t r_t + gamma^n bootstrap.
inline double discounted_return(std::span<const double> r, double gamma, double bootstrap = 0) {
  double R = bootstrap;
  for (std::size_t t = r.size(); t-- > 0;) R = r[t] + gamma * R;
  return R;
}

/// G_t = sum_{t<=k<n} gamma^(k-t) r_k + gamma^(n-t) bootstrap (Sutton & Barto 2018, eq. 3.9).
inline void returns_to_go(std::span<const double> r, double gamma, std::span<double> G,
                          double bootstrap = 0) {
  double next = bootstrap;
  for (std::size_t t = r.size(); t-- > 0;) G[t] = next = r[t] + gamma * next;
}

/// delta_t = r_t + gamma V_{t+1}(s_{t+1}) - V_t(s_t) (Schulman et al. 2016, section 3).
inline void td_errors(std::span<const double> r, std::span<const double> v, std::span<const double> next_v,
                      double gamma, std::span<double> delta) {
  for (std::size_t t = 0; t < r.size(); ++t) delta[t] = r[t] + gamma * next_v[t] - v[t];
}

/// A_t = sum_{i>=0} (gamma lambda)^i delta_{t+i} (Schulman et al. 2016, eq. 16). In place.
inline void gae(std::span<double> delta, double gamma, double lambda) {
  for (std::size_t t = delta.size(); t-- > 1;) delta[t - 1] += gamma * lambda * delta[t];
}

/// A_t = sum_{i<K} gamma^i delta_{t+i}, stopping at the end (Mnih et al. 2016, section 4). In place.
inline void nstep(std::span<double> delta, double gamma, int K) {
  for (std::size_t t = 0; t < delta.size(); ++t) {
    const std::size_t end = std::min(delta.size(), t + static_cast<std::size_t>(K));
    double A = 0;
    for (std::size_t k = end; k-- > t;) A = delta[k] + gamma * A;
    delta[t] = A;
  }
}

/// A_t = min(rho_bar, rho_t) (r_t + gamma v_{t+1} - V_t(s_t)) of V-trace's targets
///   v_t = V_t(s_t) + sum_{k>=t} gamma^(k-t) (prod_{t<=i<k} min(c_bar, rho_i)) min(rho_bar, rho_k) delta_k
/// (Espeholt et al. 2018, eq. 1 and section 4.2), rho_t = pi(a_t|s_t) / mu(a_t|s_t). Past the last step the
/// target is the bootstrap that delta holds. In place.
inline void vtrace(std::span<double> delta, std::span<const double> rho, double gamma, double rho_bar,
                   double c_bar) {
  double ahead = 0;  // v_{t+1} - V_{t+1}(s_{t+1})
  for (std::size_t t = delta.size(); t-- > 0;) {
    const double truncated = std::min(rho_bar, rho[t]), td = delta[t];
    delta[t] = truncated * (td + gamma * ahead);
    ahead = truncated * td + gamma * std::min(c_bar, rho[t]) * ahead;
  }
}

/// x minus its mean, which is formed as x_0 + mean(x - x_0): equal numbers, however large, give zeros.
inline void centre(std::span<double> x) {
  if (x.empty()) return;
  const double first = x.front();
  double mean = 0;
  for (double& each : x) each -= first, mean += each / static_cast<double>(x.size());
  for (double& each : x) each -= mean;
}

/// x minus its mean, over its standard deviation (n - 1) plus 1e-8: zeros where all are equal or there is but
/// one.
inline void standardise(std::span<double> x) {
  centre(x);
  double square = 0;
  for (const double each : x) square += each * each;
  const double deviation = x.size() > 1 ? std::sqrt(square / static_cast<double>(x.size() - 1)) : 0;
  for (double& each : x) each /= deviation + 1e-8;
}

}  // namespace lowvar
