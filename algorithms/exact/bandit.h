// Closed forms for bandits: moments of one sample's gradient estimate, and of a group's. Policies over arms
// are given as the probabilities p [k] of a softmax; parameters are its k logits, so the score of arm a is
// z = e_a - p.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "algorithms/exact/tabular.h"
#include "envs/bandits.h"

namespace lowvar {

/// exp(logits) / sum exp(logits).
std::vector<double> softmax(std::span<const double> logits);

/// Everything the closed forms below are made of; r is the reward, noise included.
struct BanditMoments {
  double J = 0;                  // E r
  double reward_variance = 0;    // Var r
  std::vector<double> gradient;  // [k], dJ/dlogits = E[z r]
  std::vector<double> S2;        // [k], E z_i^2; the sum is E|S|^2 = 1 - |p|^2
  std::vector<double> S2R;       // [k], E[z_i^2 r]
  std::vector<double> S2R2;      // [k], E[z_i^2 r^2]
};
BanditMoments bandit_moments(const Bandit& bandit, std::span<const double> p);

/// b* = E[|S|^2 r] / E|S|^2, 0 where E|S|^2 = 0 (Weaver & Tao 2001, theorem 1).
double optimal_baseline(const BanditMoments& moments);
/// b*_i = E[z_i^2 r] / E z_i^2, 0 where E z_i^2 = 0 (Peters & Schaal 2008, eq. 15); [k].
std::vector<double> optimal_baselines(const BanditMoments& moments);

/// g = (r - b) z, or with a baseline for each component, [k].
ExactMoments reinforce_moments(const Bandit& bandit, std::span<const double> p, double b);
ExactMoments reinforce_moments(const Bandit& bandit, std::span<const double> p, const std::vector<double>& b);

// Groups of N >= 2 independent samples: g = (1/N) sum_i A_i z_i. Mean and variance are those of the average.

/// A_i = r_i - mean_{j != i} r_j (Kool et al. 2019), by
///   Var_i = (E[(r - J)^2 z_i^2] - grad_i^2 + (Var r E z_i^2 + grad_i^2) / (N - 1)) / N.
ExactMoments rloo_moments(const Bandit& bandit, std::span<const double> p, int N);
/// A_i = r_i - mean r (Dr. GRPO, Liu et al. 2025): (1 - 1/N) times the estimate before.
ExactMoments group_mean_moments(const Bandit& bandit, std::span<const double> p, int N);

/// Rewards of a group [N] to advantages [N]. Must treat the samples alike: permuting the rewards permutes the
/// advantages.
using GroupAdvantage = std::function<void(std::span<const double> rewards, std::span<double> advantages)>;
GroupAdvantage leave_one_out_advantage();
GroupAdvantage group_mean_advantage();
/// A_i = (r_i - mean r) / (s + epsilon), s^2 = sum_i (r_i - mean r)^2 / (N - ddof), and A_i = 0 where all
/// rewards are equal (Shao et al. 2024, section 4.1.2, which leaves ddof and that case open). ddof is 0 or 1.
GroupAdvantage group_normalised_advantage(int ddof = 0, double epsilon = 0);

/// Moments for any such advantage, by the sum over all groups: the multinomial counts of (arm, payoff), of
/// which there may be at most `limit`.
ExactMoments group_moments(const Bandit& bandit, std::span<const double> p, int N,
                           const GroupAdvantage& advantage, double limit = 1e7);

// The quadratic bandit r(a) = -(a - a*)' C (a - a*) under a = theta + sigma u, u ~ N(0, I_m). Parameters are
// theta [m]; scores are u / sigma.

/// E r = -(d'Cd + sigma^2 tr C), d = theta - a*.
double expected_reward(const QuadraticBandit& bandit, std::span<const double> theta, double sigma);
/// -2 C d.
std::vector<double> policy_gradient(const QuadraticBandit& bandit, std::span<const double> theta);
/// The constant baseline of least variance, E r - 2 sigma^2 tr C / m.
double optimal_baseline(const QuadraticBandit& bandit, std::span<const double> theta, double sigma);

/// g = (r - b) u / sigma: Var_i = [(E r - b)^2 - 4 s2 C_ii (E r - b) + 4 s2 d'C^2 d + 2 s2^2 tr C^2
///   + 8 s2 (Cd)_i^2 + 8 s2^2 (C^2)_ii] / s2 - 4 (Cd)_i^2  with s2 = sigma^2 (by Stein's identity).
ExactMoments score_function_moments(const QuadraticBandit& bandit, std::span<const double> theta,
                                    double sigma, double b);
/// g_i = (r - b_i) u_i / sigma with b_i = E[r | u_-i] (Wu et al. 2018):
///   Var_i = 8 (Cd)_i^2 + 12 s2 sum_{j != i} C_ij^2 + 10 s2 C_ii^2.
ExactMoments factorised_mean_moments(const QuadraticBandit& bandit, std::span<const double> theta,
                                     double sigma);
/// The same with b_i = E[u_i^2 r | u_-i] (Wu et al. 2018), the best function of u_-i: 6 in place
/// of 10.
ExactMoments factorised_optimal_moments(const QuadraticBandit& bandit, std::span<const double> theta,
                                        double sigma);
/// g = dr/da = -2 C (d + sigma u): Var_i = 4 s2 (C^2)_ii (Silver et al. 2014, theorem 1).
ExactMoments pathwise_moments(const QuadraticBandit& bandit, std::span<const double> theta, double sigma);

}  // namespace lowvar
