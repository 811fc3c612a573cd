// What models of states share: what follows from an MDP and a table of probabilities alone.
#pragma once

#include "experiments/models.h"

namespace lowvar {

// WorldModel::critic and exact_return.
FittedCritic critic_of_states(const World& world, const PolicyChoice& behaviour, double scale,
                              bool of_actions);
double return_of_states(const World& world, const Policy& policy, const Parameters& theta);

/// Constants of pi [S x A] that take time as the number of states: J, the mean return to go, the baselines of
/// states, and in worlds of at most 1000 states the linear fit. b* and b_i, which look at squares of scores,
/// are left out.
Constants constants_of_states(const Mdp& mdp, const Array<double>& pi);

}  // namespace lowvar
