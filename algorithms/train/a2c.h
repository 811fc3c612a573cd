// Advantage actor-critic, synchronous (Mnih et al. 2016; Schulman et al. 2016), and the actor-critic that
// weighs scores by a learnt Q(s, a) (Sutton et al. 2000; Konda & Tsitsiklis 2000).
#pragma once

#include "algorithms/train/training.h"

namespace lowvar {

struct A2cOptions : OnPolicyOptions {};

A2cOptions a2c_recipe(const World& world);
A2cOptions q_actor_critic_recipe(const World& world);

std::unique_ptr<Algorithm> algorithm(const A2cOptions& options);

}  // namespace lowvar
