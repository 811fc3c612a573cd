// Reward to go with the two best baselines of the state, and the MDP whose steps share no parameters.
#pragma once

#include <algorithm>

#include "algorithms/exact/tabular.h"

namespace lowvar {

struct Case {
  Mdp mdp;
  Array<double> pi;
};

/// The same process with a state, and so parameters, for each (t, s) at t S + s.
inline Case unrolled(const Case& c) {
  const auto& [mdp, pi] = c;
  const int S = mdp.S, T = mdp.T;
  std::vector<double> start(static_cast<std::size_t>(S * T));
  std::copy(mdp.start.begin(), mdp.start.end(), start.begin());
  std::vector<char> terminal;
  for (int t = 0; t < T; ++t) terminal.insert(terminal.end(), mdp.terminal.begin(), mdp.terminal.end());
  Case out{make_mdp(S * T, mdp.A, mdp.gamma, T, start, terminal,
                    [&](int s, int a) {
                      const auto outcomes = mdp.outcomes(s % S, a);
                      std::vector<Outcome> list(outcomes.begin(), outcomes.end());
                      for (Outcome& o : list) o.next += (s / S + 1) % T * S;
                      return list;
                    }),
           zeros<double>(S * T, mdp.A)};
  for (int s = 0; s < S * T; ++s)
    for (int a = 0; a < mdp.A; ++a) out.pi(s, a) = pi(s % S, a);
  return out;
}

/// A table b_t(s) [T+1 x S] for the unrolled process.
inline Array<double> tiled(const Array<double>& b) {
  const auto [rows, S] = shape(b);
  const int T = rows - 1;
  Array<double> out = zeros<double>(rows, S * T);
  for (int t = 0; t < rows; ++t)
    for (int s = 0; s < S * T; ++s) out(t, s) = b(t, s % S);
  return out;
}

/// b_t(s) = E[|z|^2 Q_t(s, a) | s] / E[|z|^2 | s] (Greensmith, Bartlett & Baxter 2004, section 4).
inline Array<double> per_state_baseline(const Mdp& mdp, const Array<double>& pi, const Array<double>& V) {
  Array<double> b = zeros_like(V);
  for (int t = 0; t < mdp.T; ++t)
    for (int s = 0; s < mdp.S; ++s) {
      double p_sq = 0, weight = 0, sum = 0;
      for (const double p : row(pi, s)) p_sq += p * p;
      for (int a = 0; a < mdp.A; ++a) {
        double Q = 0;
        for (const Outcome& o : mdp.outcomes(s, a))
          Q += o.probability * (o.reward + mdp.gamma * V(t + 1, o.next));
        const double p_z_sq = pi(s, a) * (1 - 2 * pi(s, a) + p_sq);
        weight += p_z_sq, sum += p_z_sq * Q;
      }
      b(t, s) = weight > 0 ? sum / weight : 0;
    }
  return b;
}

/// The variance of sum_t gamma^t z_t (G_t - b_t(s_t)).
inline double togo_variance(const Mdp& mdp, const Array<double>& pi, const Array<double>& baseline) {
  return trace(
      causal_moments(mdp, pi, {.critic = zeros_like(baseline), .baseline = baseline, .kappa = mdp.gamma}));
}

/// The variance is a parabola in every b_t(s), and they do not interact, for E[z_t | what came before] = 0:
/// each has its vertex at b_t(s) = E[z_t' G | s_t = s] / (gamma^t E[|z_t|^2 | s]), G the estimate without a
/// baseline.
inline Array<double> best_baseline(const Mdp& mdp, const Array<double>& pi) {
  Array<double> b = zeros<double>(mdp.T + 1, mdp.S), unit = b;
  const double at_zero = togo_variance(mdp, pi, unit);
  for (int t = 0; t < mdp.T; ++t)
    for (int s = 0; s < mdp.S; ++s) {
      unit(t, s) = 1;
      const double up = togo_variance(mdp, pi, unit);
      unit(t, s) = -1;
      const double down = togo_variance(mdp, pi, unit);
      unit(t, s) = 0;
      const double curvature = up + down - 2 * at_zero;
      b(t, s) = curvature > 0 ? (down - up) / (2 * curvature) : 0;
    }
  return b;
}

}  // namespace lowvar
