// A step of a given size: the policy some mean KL away along a direction.
#pragma once

#include "algorithms/data/world.h"

namespace lowvar {

/// The parameters one step along `direction` [d] at which sum_r weight_r KL(pi(.|s_r; theta) || pi(.|s_r))
/// over sum_r weight_r is `target`, by bisection.
Parameters step_to_kl(const Policy& policy, const Parameters& theta, std::span<const double> direction,
                      const Inputs& inputs, std::span<const double> weight, double target);

}  // namespace lowvar
