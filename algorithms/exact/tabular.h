// Tabular oracles: values and gradient of a softmax policy by dynamic programming, and the exact mean and
// variance of every estimator of the gradient by a backward recursion of moments. Parameters are the S*A
// logits, row-major, so z_t = grad log pi(a_t|s_t) is 1{a_t = b} - pi(b|s_t) on the row of s_t and zero
// elsewhere. Policies are given as probabilities [S x A]; rows of terminal states are never read. A moment
// that overflows throws NumericalFault.
#pragma once

#include <limits>
#include <optional>
#include <string_view>
#include <vector>

#include "core/array.h"
#include "envs/tabular.h"

namespace lowvar {

/// Throws Error unless pi is [S x A] with rows of non-negative numbers that sum to one within 1e-9.
void check_policy(const Mdp& mdp, const Array<double>& pi);

/// Throws Error unless values is [T+1 x S] and finite.
void check_values(const Mdp& mdp, const Array<double>& values);

/// V_t(s) of policy pi, [T+1 x S]; zero at t = T and at terminal states.
Array<double> state_values(const Mdp& mdp, const Array<double>& pi);

/// J = E sum_{t<T} gamma^t r_t.
double expected_return(const Mdp& mdp, const Array<double>& pi);

/// dJ/dlogits, [S*A] (Sutton et al. 2000, theorem 1, with the finite horizon's d_t and Q_t).
std::vector<double> policy_gradient(const Mdp& mdp, const Array<double>& pi);

/// Probability that the episode still runs at t and is in s, [T x S].
Array<double> state_distribution(const Mdp& mdp, const Array<double>& pi);

/// The constants that estimators subtract, with S = sum_t z_t and R = sum_t gamma^t r_t.
struct BaselineConstants {
  double J;
  /// E[R S'S] / E[S'S], 0 where E[S'S] = 0.
  double b_star;
  /// [S*A], E[S_i^2 R] / E[S_i^2], 0 where E[S_i^2] = 0.
  std::vector<double> b_i;
  /// [T], mean of G_t over the trajectories still running at t, 0 where there are none.
  std::vector<double> mean_return_to_go;
};
BaselineConstants baseline_constants(const Mdp& mdp, const Array<double>& pi);

/// Mean and variance of one trajectory's estimate, per parameter, [S*A].
struct ExactMoments {
  std::vector<double> mean;
  std::vector<double> variance;
};

/// Q_t(s, a) of policy pi, [T*S x A], row t S + s; zero at terminal states.
Array<double> action_values(const Mdp& mdp, const Array<double>& pi);

/// The baseline b_t(s) = E[|z_t|^2 Q_t | s] / E[|z_t|^2 | s] of least variance, [T x S], 0 where z_t is 0
/// (Greensmith, Bartlett & Baxter 2004, section 4).
Array<double> per_state_baseline(const Mdp& mdp, const Array<double>& pi);

/// Weights [S+3] of 1_s, tau, tau^2, tau^3, tau = t / 100, that fit V_t(s_t) best in the mean square over all
/// steps; a ridge of 1e-10 of the mean diagonal decides what that leaves open.
std::vector<double> linear_baseline(const Mdp& mdp, const Array<double>& pi);

/// Moments of the estimator of that name (algorithms/estimators/names.h) on trajectories of pi. The critic
/// `values` is [T+1 x S] and taken literally: delta_t = r_t + gamma values(t+1, s_{t+1}) - values(t, s_t),
/// also at terminal states and at t+1 = T; the baseline of togo-value is values(t, s_t). Q [T*S x A] is the
/// critic of q-value and all-action. `ppo-clip` and `vtrace` are on-policy here: the first is gae:0.95. Those
/// of rloo:N are of a group. Throws Error for togo-normalised, grpo:N and +whitened, which enumeration knows.
ExactMoments exact_moments(std::string_view estimator, const Mdp& mdp, const Array<double>& pi,
                           const Array<double>& values, const Array<double>& Q = {});

/// The trace of the covariance.
double trace(const ExactMoments& moments);

/// |E g - gradient|_2.
double bias_norm(const ExactMoments& moments, const std::vector<double>& gradient);

// What exact_moments is made of, for estimators without a name.

/// g_i = (R - baseline_i) S_i, baseline [S*A].
ExactMoments reinforce_moments(const Mdp& mdp, const Array<double>& pi, const std::vector<double>& baseline);

/// g = sum_t c^t z_t (A_t - baseline(t, s_t)) with A_t = sum_{i < steps} kappa^i x_{t+i}, stopping at the
/// episode's end, x_t = r_t + gamma critic(t+1, s_{t+1}) - critic(t, s_t), and c = gamma, or 1 if
/// undiscounted. With `first` it is A_t = x_t + first sum_{i < steps} kappa^i x_{t+1+i}.
struct CausalEstimator {
  Array<double> critic;    // [T+1 x S]; zero makes x_t the reward
  Array<double> baseline;  // [T+1 x S]; its last row is not read
  double kappa = 0;
  int steps = std::numeric_limits<int>::max();
  bool undiscounted = false;
  std::optional<double> first = {};
};
ExactMoments causal_moments(const Mdp& mdp, const Array<double>& pi, const CausalEstimator& estimator);

/// g = (1/N) sum_i (R_i - mean_{j != i} R_j) S_i over N >= 2 trajectories of one start.
ExactMoments leave_one_out_moments(const Mdp& mdp, const Array<double>& pi, int N);

/// g = sum_t c^t z_t Q(t S + s_t, a_t), or where `all_actions` its expectation over a_t given s_t.
ExactMoments action_value_moments(const Mdp& mdp, const Array<double>& pi, const Array<double>& Q,
                                  bool all_actions, bool undiscounted);

}  // namespace lowvar
