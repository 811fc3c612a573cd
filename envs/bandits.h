// Bandits: one step and no state. The k-armed bandit of a softmax policy (Chung et al. 2021, Mei et al. 2022)
// and the quadratic bandit of a Gaussian one (Silver et al. 2014, Wu et al. 2018).
#pragma once

#include <span>
#include <vector>

#include "core/array.h"
#include "core/random.h"

namespace lowvar {

/// A reward an arm may pay, with its probability.
struct Payoff {
  double probability;
  double reward;
};

/// A k-armed bandit: arm a pays one of arms[a], whose probabilities are positive and sum to one.
struct Bandit {
  std::vector<std::vector<Payoff>> arms;
};

/// Arm a always pays rewards[a] (Chung et al. 2021, figure 1, with rewards 1, 0.7, 0).
inline Bandit fixed_bandit(std::span<const double> rewards) {
  Bandit bandit;
  for (const double r : rewards) bandit.arms.push_back({{1.0, r}});
  return bandit;
}

/// Arm a pays means[a] - spread or means[a] + spread, each half of the time (Mei et al. 2022, with spread 3).
inline Bandit noisy_bandit(std::span<const double> means, double spread) {
  Bandit bandit;
  for (const double r : means) bandit.arms.push_back({{0.5, r - spread}, {0.5, r + spread}});
  return bandit;
}

/// Arm a pays 1 with probability success[a], which lies in [0, 1], else 0.
inline Bandit bernoulli_bandit(std::span<const double> success) {
  Bandit bandit;
  for (const double p : success) {
    expect(p >= 0 && p <= 1, "an arm's probability of success must lie in [0, 1], got ", p);
    bandit.arms.emplace_back();
    if (p < 1) bandit.arms.back().push_back({1 - p, 0.0});
    if (p > 0) bandit.arms.back().push_back({p, 1.0});
  }
  return bandit;
}

/// The reward of pulling arm a once.
inline double pull(const Bandit& bandit, int a, Rng& rng) {
  const std::vector<Payoff>& payoffs = bandit.arms[static_cast<std::size_t>(a)];
  double u = rng.uniform();
  for (const Payoff& payoff : payoffs) {
    u -= payoff.probability;
    if (u < 0) return payoff.reward;
  }
  return payoffs.back().reward;
}

/// r(a) = -(a - a*)' C (a - a*) for actions in R^m, C symmetric.
struct QuadraticBandit {
  Array<double> C;             // [m x m]
  std::vector<double> a_star;  // [m]
};

/// Silver et al. 2014, section 5.1: eigenvalues 0.1 (floor(m/2) of them, first) and 1, a* = (4, ..., 4). Its
/// axes are those of the actions.
inline QuadraticBandit silver_bandit(int m) {
  QuadraticBandit bandit{zeros<double>(m, m), std::vector<double>(static_cast<std::size_t>(m), 4.0)};
  for (int i = 0; i < m; ++i) bandit.C(i, i) = i < m / 2 ? 0.1 : 1.0;
  return bandit;
}

/// r(a) for any number type: doubles, or Vars whose rows are samples.
template <class X>
X reward(const QuadraticBandit& bandit, const std::vector<X>& a) {
  const std::size_t m = bandit.a_star.size();
  expect(a.size() == m, "the bandit has ", m, " action dimensions, got ", a.size());
  std::vector<X> e;
  for (std::size_t i = 0; i < m; ++i) e.push_back(a[i] - bandit.a_star[i]);
  X cost = bandit.C(0, 0) * e[0] * e[0];
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = i == 0 ? 1 : 0; j < m; ++j)
      if (bandit.C(i, j) != 0) cost = cost + bandit.C(i, j) * e[i] * e[j];
  return -cost;
}

}  // namespace lowvar
