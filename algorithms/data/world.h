// A world as estimators meet it: a source of trajectories, and the whole model where it is tabular.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "algorithms/data/rollout.h"
#include "algorithms/data/stepper.h"
#include "envs/lqr.h"

namespace lowvar {

using Parameters = std::vector<Array<double>>;

struct World {
  std::string id = {};
  double gamma = 1;
  int T = 0;
  int A = 0;                // actions to choose from; 0 where they are vectors
  int m = 0;                // length of a vector that acts; 0 where actions are choices
  double action_bound = 0;  // vectors outside [-bound, bound] are clipped
  int observation = 0;      // length of an observation; 0 where tabular
  std::function<Trajectories(const Policy&, const Parameters&, int T, Draw)> sample = nullptr;
  MakeStepper stepper = nullptr;
  std::shared_ptr<const Mdp> mdp = nullptr;  // the model, where it is tabular
  std::shared_ptr<const Lqg> lqg = nullptr;  // the model, where it is linear and quadratic

  bool known() const { return mdp || lqg; }
};

/// A tabular world: its policies are tables of logits.
World tabular_world(std::string id, Mdp mdp);

/// A world of an Environment: its policies are networks.
template <Environment E>
World environment_world(std::string id, E env, double gamma, int T) {
  World world{.id = std::move(id), .gamma = gamma, .T = T, .observation = E::observation};
  if constexpr (DiscreteEnvironment<E>)
    world.A = E::actions;
  else
    world.m = action_size<E>, world.action_bound = E::action_high[0];
  world.stepper = stepper_of(env);
  world.sample = [env](const Policy& policy, const Parameters& theta, int horizon, Draw draw) {
    return rollout(env, policy, theta, horizon, draw);
  };
  return world;
}

}  // namespace lowvar
