// Linear-quadratic-Gaussian oracles: values, gradient and optimum in closed form, and the exact mean and
// variance of every estimator of the gradient under a linear-Gaussian policy. Parameters are the m*n entries
// of K, row-major, then the m log_std. With e_t = (a_t - K s_t) / sigma the scores are
//   z_t = e_t s_t' / sigma (entry i, j: e_i s_j / sigma_i)  and  e_t^2 - 1 for the log_std.
// A moment that overflows throws NumericalFault.
#pragma once

#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "algorithms/exact/tabular.h"
#include "envs/lqr.h"

namespace lowvar {

/// Throws Error naming the first thing wrong with the shapes, symmetries, covariances, gamma and T.
void check_lqg(const Lqg& world);
/// Throws Error unless K is [m x n] and finite, and log_std [m] with entries below infinity.
void check_policy(const Lqg& world, const LinearGaussianPolicy& policy);

// Finite horizon.

/// V_t(s) = -(s' P_t s + c_t) for t = 0..T.
struct QuadraticValues {
  std::vector<Array<double>> P;  // [T+1] of [n x n], symmetric
  std::vector<double> c;         // [T+1]
};
/// V_t of the policy (exploration included), V_T = 0, by the Riccati recursion: with F = A + B K and
/// N = Q_s + gamma P_{t+1},
///   P_t = F'N F + K'Q_a K,  c_t = tr(Sigma (B'N B + Q_a)) + tr(N Sigma_w) + gamma c_{t+1}.
QuadraticValues state_values(const Lqg& world, const LinearGaussianPolicy& policy);
/// factor * V; and V = 0.
QuadraticValues scaled(QuadraticValues values, double factor);
QuadraticValues zero_values(const Lqg& world);
double value(const QuadraticValues& V, int t, std::span<const double> s);

/// Q_t(s, a) = -(s'ss s + 2 s'sa a + a'aa a + c) for t = 0..T-1.
struct QuadraticActionValues {
  std::vector<Array<double>> ss;  // A'N A
  std::vector<Array<double>> sa;  // A'N B
  std::vector<Array<double>> aa;  // B'N B + Q_a
  std::vector<double> c;          // tr(N Sigma_w) + gamma c_{t+1}
};
QuadraticActionValues action_values(const Lqg& world, const LinearGaussianPolicy& policy);
double value(const QuadraticActionValues& Q, int t, std::span<const double> s, std::span<const double> a);
/// A_t(s, a) = Q_t - V_t, of the deviation a - K s, so that nothing cancels.
double advantage(const QuadraticActionValues& Q, const LinearGaussianPolicy& policy, int t,
                 std::span<const double> s, std::span<const double> a);

/// E s_t s_t' for t = 0..T.
std::vector<Array<double>> state_covariances(const Lqg& world, const LinearGaussianPolicy& policy);
double expected_return(const Lqg& world, const LinearGaussianPolicy& policy);
/// dJ/dK and dJ/dlog_std, [m*n + m] (Han & Yang 2026, section 2):
///   grad_K = -2 sum_t gamma^t (Q_a K + B'N_t F) E s_t s_t',  grad_l = -2 diag(Sigma sum_t gamma^t (Q_a +
///   B'N_t B)).
std::vector<double> policy_gradient(const Lqg& world, const LinearGaussianPolicy& policy);

// Infinite horizon: the same with T -> infinity (T is not read); V does not depend on t. Throws Error unless
// sqrt(gamma) (A + B K) is stable, and where gamma = 1 meets noise that costs for ever.

struct QuadraticValue {
  Array<double> P;  // [n x n]
  double c;
};
/// P solves the Lyapunov equation P = F'(Q_s + gamma P) F + K'Q_a K.
QuadraticValue infinite_horizon_value(const Lqg& world, const LinearGaussianPolicy& policy);
double infinite_horizon_return(const Lqg& world, const LinearGaussianPolicy& policy);
/// [m*n + m]; grad_K = -2 (Q_a K + B'N F) sum_t gamma^t E s_t s_t' (Fazel et al. 2018, lemma 1).
std::vector<double> infinite_horizon_gradient(const Lqg& world, const LinearGaussianPolicy& policy);

/// The gain K (a = K s) of greatest return from every state, and its P, by value iteration of the Riccati
/// equation and Hewer's policy iteration. Needs Q_a + B'N B to be positive definite. Throws Error where none
/// stabilises.
struct RiccatiOptimum {
  Array<double> K;  // [m x n]
  Array<double> P;  // [n x n]
};
RiccatiOptimum riccati_optimum(const Lqg& world);

// Moments of the estimate of one trajectory. They need a finite log_std.

/// Which parameters an estimate is of. It decides what S is in b*, and the length d of the results.
enum class LqgParameters { all, K, log_std };

/// J, b*, b_i [d] and E G_t [T], defined as for tabular worlds.
BaselineConstants baseline_constants(const Lqg& world, const LinearGaussianPolicy& policy,
                                     LqgParameters which = LqgParameters::all);

/// Moments [d] of the estimator of that name (algorithms/estimators/names.h), with `critic` as V.
/// `togo-value` does not read V_T; `td`, `nstep` and `gae` take it as given. `ppo-clip` is on-policy here,
/// where it is gae:0.95.
ExactMoments exact_moments(std::string_view estimator, const Lqg& world, const LinearGaussianPolicy& policy,
                           const QuadraticValues& critic, LqgParameters which = LqgParameters::all);

// What exact_moments is made of, for estimators without a name.

/// g_i = (R - baseline_i) S_i, baseline [d].
ExactMoments reinforce_moments(const Lqg& world, const LinearGaussianPolicy& policy,
                               const std::vector<double>& baseline, LqgParameters which = LqgParameters::all);

/// g = sum_t c^t z_t (A_t - baseline_t(s_t)) with A_t = sum_{i < steps} kappa^i x_{t+i}, stopping at T,
/// x_t = r_t + gamma critic_{t+1}(s_{t+1}) - critic_t(s_t), and c = gamma, or 1 if undiscounted. Where the
/// critic is exact its terms in x_t cancel before anything is rounded; as a baseline they do not.
struct CausalLqgEstimator {
  QuadraticValues critic;    // zero makes x_t the reward
  QuadraticValues baseline;  // its last entry is not read
  double kappa = 0;
  int steps = std::numeric_limits<int>::max();
  bool undiscounted = false;
};
ExactMoments causal_moments(const Lqg& world, const LinearGaussianPolicy& policy,
                            const CausalLqgEstimator& estimator, LqgParameters which = LqgParameters::all);

}  // namespace lowvar
