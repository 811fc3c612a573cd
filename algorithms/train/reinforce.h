// REINFORCE (Williams 1992), with and without a learnt baseline.
#pragma once

#include "algorithms/train/training.h"

namespace lowvar {

struct ReinforceOptions : OnPolicyOptions {};

/// Returns normalised in each episode, Yoon's settings.
ReinforceOptions reinforce_recipe(const World& world);
/// A learnt V(s) as a baseline (Sutton & Barto 2018, section 13.4).
ReinforceOptions reinforce_baseline_recipe(const World& world);

std::unique_ptr<Algorithm> algorithm(const ReinforceOptions& options);

}  // namespace lowvar
