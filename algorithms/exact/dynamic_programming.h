// Planning in a finite MDP: value iteration, policy iteration, modified policy iteration, and backward
// induction for a finite horizon; also on a model estimated from episodes.
//
// The infinite horizon has nothing to do with mdp.T. At gamma = 1 its value is the expected sum of all
// rewards, and the best is sought among the policies that end with probability one from every state
// (Bertsekas & Tsitsiklis 1991); where there is none, or the best has no bound, Error is thrown. Values that
// overflow throw NumericalFault. Infinite-horizon values are right to 1e-12 of the largest, or what rounding
// leaves, eps / (1 - gamma).
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "core/array.h"
#include "envs/tabular.h"

namespace lowvar {

/// Values and greedy actions, both 0 at terminal states. Ties, within 1e-11 of the largest value, go to the
/// lowest action; at gamma = 1 and an infinite horizon to the lowest of those with which the policy ends.
/// With a finite horizon both are those of t = 0.
struct Plan {
  std::vector<double> values;  // [S]
  std::vector<int> policy;     // [S]
  int iterations = 0;          // improvements of the policy; steps of backward induction
};

/// V <- max_a E[r + gamma V(s')] until it rests (Puterman 1994, 6.3), from V = 0; at gamma = 1 from the value
/// of a policy that ends.
Plan value_iteration(const Mdp& mdp);

/// Each greedy policy is evaluated by `sweeps` sweeps V <- E[r + gamma V(s')], its improvement the first of
/// them (Puterman & Shin 1978): 1 is value iteration; by default sweeps go on until V rests.
Plan modified_policy_iteration(const Mdp& mdp, long sweeps = std::numeric_limits<long>::max());

/// Each policy is evaluated by a linear solve (Howard 1960).
Plan policy_iteration(const Mdp& mdp);

/// V of the policy pi [S x A] on an infinite horizon, [S], from (I - gamma P_pi) V = r_pi. At gamma = 1 the
/// policy must end with probability one from every state, or come to where nothing is paid any more; Error
/// otherwise. At most 5000 states that are not terminal.
std::vector<double> stationary_values(const Mdp& mdp, const Array<double>& pi);

/// The horizon mdp.T: V_t = max_a E[r + gamma V_{t+1}(s')] from V_T = 0 (Puterman 1994, 4.5).
Plan backward_induction(const Mdp& mdp);

/// P and R as counted in `episodes` Monte-Carlo episodes of the uniform policy, of at most mdp.T steps, from
/// stream "learn-model" of the seed. What was not seen is assumed bad: an action not tried in a state that
/// was visited stays there and pays the smallest reward seen, or 0 where that is positive, for ever; a state
/// never seen is terminal.
Mdp learn_model(const Mdp& mdp, long episodes, std::uint64_t seed);

/// Plans on the learned model (policy iteration, or backward induction over mdp.T steps). The values are
/// those that the planned policy has in `mdp`, the true model: never above the optimum.
Plan plan_on_learned_model(const Mdp& mdp, long episodes, std::uint64_t seed, bool finite_horizon);

}  // namespace lowvar
