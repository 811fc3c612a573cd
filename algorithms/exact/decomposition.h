// The variance of the policy gradient estimate of a single step, taken apart by what is random in it (Tucker
// et al. 2018, section 3): for g = A(s, a, tau) grad log pi(a|s), tau being all that follows s and a,
//   tr Cov g = Sigma_tau + Sigma_a + Sigma_s
//   Sigma_tau = E_{s,a} tr Var_{tau|s,a} g,  Sigma_a = E_s tr Var_{a|s} E[g|s,a],  Sigma_s = tr Var_s E[g|s].
// With delta_t = r_t + gamma V(s_{t+1}) - V(s_t), of any V, what a step is weighed by is
//   A_t = sum_i (gamma lambda)^i delta_{t+i}  where V is the baseline, and A_t + V(s_t) where there is none.
// A baseline that depends on the state alone is seen by Sigma_a alone, and so would one of state and action
// be, which can make it 0; a state's best known one is E_a[A + V | s].
#pragma once

#include <span>
#include <vector>

#include "envs/lqr.h"
#include "envs/tabular.h"

namespace lowvar {

/// What the three terms are made of; z is grad log pi(a|s), Q = E[A + V(s) | s, a].
struct StepVariance {
  double tau = 0;                // Sigma_tau
  double second_none = 0;        // E |Q z|^2
  double second_value = 0;       // E |(Q - V) z|^2
  double second_exact = 0;       // E |(Q - E_a Q) z|^2
  double of_state = 0;           // E_s |E[g|s]|^2, the same with any baseline that depends on the state alone
  std::vector<double> gradient;  // [d], E g

  // Sigma_a without a baseline, with V, and with E_a Q: what is then left for a baseline of state and action.
  double a_none() const { return second_none - of_state; }
  double a_value() const { return second_value - of_state; }
  double a_exact() const { return second_exact - of_state; }
  double s() const;  // Sigma_s
};

/// Of a state that is drawn from one of several such steps, with these probabilities.
StepVariance mixed(std::span<const StepVariance> steps, std::span<const double> probability);

/// Of a tabular world and a table of probabilities pi [S x A], parameters being its logits: s is drawn from
/// `visits` [S], which sums to one and is 0 where terminal; `steps` steps are looked at, and V [S] is what
/// follows them, 0 where terminal. The horizon of the world is not read.
StepVariance step_variance(const Mdp& mdp, const Array<double>& pi, std::span<const double> visits,
                           std::span<const double> V, double lambda, int steps);
/// The states that steps are taken from in episodes of at most T steps, by how often.
std::vector<double> visits(const Mdp& mdp, const Array<double>& pi, int T);

/// A linear world with quadratic costs, under a policy whose mean is affine in the state and may change with
/// time. With x = (1, s): a_t ~ N(gain_t x_t, diag(exp(2 log_std))), s_0 ~ N(start, Sigma_0) and
/// r = -(s'Q_now s + a'Q_a a + s'^T Q_s s') of a step from s to s'.
struct AffineLqg {
  Lqg world;
  Array<double> Q_now;                    // [n x n], symmetric
  std::vector<double> start;              // [n]
  std::vector<Array<double>> gain;        // [T] of [m x (1 + n)]
  std::vector<double> log_std;            // [m]
  std::vector<Array<double>> noise = {};  // [T], the covariance of s_{t+1} given s_t, a_t; empty: Sigma_w
};
/// Throws Error naming the first thing wrong with its shapes, symmetries and covariances.
void check_affine(const AffineLqg& problem);

/// Functions of x = (1, s), or of y = (1, s, u) with a = gain x + sigma u and u ~ N(0, I): x'F x of symmetric
/// F.
using Forms = std::vector<Array<double>>;

/// V_t, t = 0..T, with V_T = 0: of the policy.
Forms state_values(const AffineLqg& problem);

/// What is known of A_t at s and a: forms of y, t = 0..T-1. The sum ends at T, where V_T follows.
struct AdvantageForms {
  Forms mean, variance;
};
AdvantageForms advantage_forms(const AffineLqg& problem, const Forms& V, double lambda);

/// The distribution of x_t, t = 0..T-1.
struct Gaussian {
  std::vector<double> mean;
  Array<double> covariance;
};
std::vector<Gaussian> state_distributions(const AffineLqg& problem);

/// Parameters: these columns of a gain (0: what does not depend on the state), row-major over actions and
/// columns; then log_std, if that is one.
struct AffineParameters {
  std::vector<int> columns;
  bool log_std = false;
};
/// E g of step t, as in StepVariance.
std::vector<double> step_gradient(const AffineLqg& problem, const AdvantageForms& A, const Gaussian& x, int t,
                                  const AffineParameters& parameters);
/// Exact moments of polynomials of Gaussians.
StepVariance step_variance(const AffineLqg& problem, const AdvantageForms& A, const Forms& V,
                           const Gaussian& x, int t, const AffineParameters& parameters);

/// E prod_i y'A_i y of y ~ N(mean, covariance), for symmetric A_i, by joint cumulants:
///   kappa(A_1 .. A_k) = 2^(k-1) (sum over orderings of {2..k} of tr(A_1 C A_.. C ... A_.. C)
///                                + sum over orderings of all of mean'A_.. C A_.. C ... A_.. mean).
double expected_product(const std::vector<const Array<double>*>& A, const Gaussian& y);

}  // namespace lowvar
