// A world as estimators meet it: a source of trajectories, and the whole model where it is tabular.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "algorithms/data/rollout.h"

namespace lowvar {

using Parameters = std::vector<Array<double>>;

struct World {
  std::string id;
  double gamma = 1;
  int T = 0;
  int A = 0;
  int observation = 0;  // length of an observation; 0 where tabular
  std::function<Trajectories(const SoftmaxPolicy&, const Parameters&, int T, Draw)> sample;
  std::shared_ptr<const Mdp> mdp;  // the oracle; null where there is none
};

/// A tabular world: its policies are tables of logits.
World tabular_world(std::string id, Mdp mdp);

/// A world of an Environment: its policies are networks.
template <DiscreteEnvironment E>
World environment_world(std::string id, E env, double gamma, int T) {
  return {std::move(id), gamma, T, E::actions, E::observation,
          [env](const SoftmaxPolicy& policy, const Parameters& theta, int horizon, Draw draw) {
            return rollout(env, policy, theta, horizon, draw);
          },
          nullptr};
}

}  // namespace lowvar
