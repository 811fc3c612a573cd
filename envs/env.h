// What an environment is. A value E with
//   E::State                        plain and copyable: whatever restarts from it is a loop
//   E::actions, E::observation      number of actions, length of an observation
//   State reset(Rng&) const
//   Step<State> step(const State&, int action, Rng&) const
//   void observe(const State&, std::span<double>) const      the float32 observation, as numbers
// A step terminates or it does not; time limits belong to the rollout, which truncates.
#pragma once

#include <concepts>
#include <span>

#include "core/random.h"

namespace lowvar {

template <class State>
struct Step {
  State state;
  double reward;
  bool terminated;
};

template <class E>
concept Environment = requires(const E& env, const typename E::State& state, Rng& rng,
                               std::span<double> out) {
  { E::actions } -> std::convertible_to<int>;
  { E::observation } -> std::convertible_to<int>;
  { env.reset(rng) } -> std::same_as<typename E::State>;
  { env.step(state, 0, rng) } -> std::same_as<Step<typename E::State>>;
  env.observe(state, out);
};

}  // namespace lowvar
