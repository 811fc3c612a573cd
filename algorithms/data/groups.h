// Groups of trajectories: put together, and drawn until their returns differ.
#pragma once

#include "algorithms/data/world.h"

namespace lowvar {

/// Puts trajectories [first, first + count) of `from` behind those of `to`: their rows of states, choices and
/// values. Both have the same of these.
void append(Trajectories& to, const Trajectories& from, int first, int count);

/// What becomes of a group whose returns are equal again and again.
enum class StillEqual {
  refuse,  // Error after 10,000 tries: what is measured has to be what was asked for
  keep     // after 100 the last stands, and teaches nothing: a policy that is always right may train on
};

/// Like World::sample, but groups whose returns are all equal are drawn again, start and all, from streams of
/// their own, until they are not (Yu et al. 2025, section 3.2: dynamic sampling).
Trajectories sample_unequal(const World& world, const Policy& policy, const Parameters& theta, int T,
                            double gamma, Draw draw, StillEqual still = StillEqual::refuse);

}  // namespace lowvar
