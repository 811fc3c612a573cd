// Every trajectory of a small MDP with its probability, and on each the estimate by its plain definition: the
// slow, obvious route to the moments that algorithms/exact/tabular.h finds by recursion, with the full
// covariance, and the only exact one off-policy.
#pragma once

#include <string_view>
#include <vector>

#include "algorithms/exact/tabular.h"
#include "core/aliases.h"
#include "core/array.h"
#include "envs/tabular.h"

namespace lowvar {

/// Moments of one trajectory's estimate; parameters are the S*A logits, row-major.
struct Enumeration {
  std::vector<double> mean;      // [S*A]
  std::vector<double> variance;  // [S*A]
  Array<double> covariance;      // [S*A x S*A], empty if S*A > 64
  long trajectories;             // those of positive probability
  double expected_return;        // E sum_t gamma^t r_t of the behaviour policy
};

/// Number of trajectories the behaviour policy can produce, or limit + 1 if there are more.
long count_trajectories(const Mdp& mdp, const Array<double>& behaviour, long limit);

/// Moments of the estimator of that name, of the gradient at pi, on trajectories of `behaviour`. Of
/// the families only vtrace:RHO:C and ppo-clip:EPS allow the two to differ: the latter's g is the gradient at
/// pi of
///   sum_t gamma^t min(rho_t A_t, clip(rho_t, 1-EPS, 1+EPS) A_t),  rho_t = pi(a_t|s_t) / behaviour(a_t|s_t),
/// A = gae:0.95 (Schulman et al. 2017, eq. 7; ties take the unclipped branch). Constants (b, b*, b_i, mean
/// return to go) are those of the enumerated distribution. The critic `values` [T+1 x S] is taken literally,
/// as in exact_moments, and so is Q [T*S x A]. With aliases the parameters are those of the rows that states
/// share. Suffixes are defined in definitions.h; importance weights allow the two policies to differ, too.
/// Throws Error where there are more than `limit` trajectories, and for rloo, grpo and +whitened, which are
/// of several.
Enumeration enumerate(std::string_view estimator, const Mdp& mdp, const Array<double>& pi,
                      const Array<double>& behaviour, const Array<double>& values, long limit = 10'000'000,
                      const Array<double>& Q = {}, const Aliases* aliases = nullptr);

/// Moments of the mean estimate of `unit` trajectories that are weighed together, by enumerating all
/// multisets of them: those of rloo:N and grpo:N (unit = N) start from the same state, those of a batch with
/// +whitened do not, and with it vtrace and ppo-clip may differ from `behaviour`. Throws Error where there
/// are more than `limit` multisets.
ExactMoments enumerate_units(std::string_view estimator, const Mdp& mdp, const Array<double>& pi,
                             const Array<double>& behaviour, const Array<double>& values, int unit,
                             double limit = 1e7, const Array<double>& Q = {},
                             const Aliases* aliases = nullptr);

}  // namespace lowvar
