// Exact gradients of what training follows on a tabular world, a step at a time.
#pragma once

#include <vector>

#include "core/array.h"
#include "envs/tabular.h"

namespace lowvar {

/// What the gradient of a training batch stands for, its steps those of episodes that follow one another.
enum class TrainingObjective {
  discounted_start,     // grad J of the start, gamma^t in front of step t of an episode
  undiscounted_states,  // states weighed as they are visited, without gamma^t: no gradient of a return
};

/// What a time limit at mdp.T is to the values: the end of the world, V_t with V_T = 0; or nothing, V of the
/// infinite horizon, while episodes are still cut there.
enum class TimeLimit { ends, bootstraps };

/// sum_{t<T} sum_s w_t d_t(s) sum_a grad pi(a|s) Q(s, a) / L for the logits [S x A] of pi, where d_t is the
/// distribution of states at step t of episodes that are running, L = sum_t sum_s d_t(s) their mean length,
/// and w_t is gamma^t or 1: the gradient per step of an endless row of episodes. With gamma^t and a limit
/// that ends, it is grad J / L.
std::vector<double> training_gradient(const Mdp& mdp, const Array<double>& pi, TrainingObjective objective,
                                      TimeLimit limit);

}  // namespace lowvar
