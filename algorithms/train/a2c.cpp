#include "algorithms/train/a2c.h"

#include "algorithms/train/on_policy.h"
#include "algorithms/train/one_step.h"

namespace lowvar {
namespace {

/// A table forgets what it has stopped to visit: large batches, and no bonus for what is not worth a visit.
void for_tables(A2cOptions& o) {
  o.batch.rollout = 256;
  o.step.learning_rate = 0.1;
  o.step.anneal = false;
  o.objective.entropy_coefficient = 0;
}

}  // namespace

/// Mnih et al. 2016, section 8: entropy 0.01. Batches, rates and the critic's epochs are ours, tuned on
/// CartPole.
A2cOptions a2c_recipe(const World& world) {
  A2cOptions o;
  o.networks = networks_of(world);
  o.batch.gamma = world.gamma;
  o.batch.rollout = 32;
  o.objective.estimator = "gae:0.95+undiscounted";
  o.objective.entropy_coefficient = 0.01;
  o.step.learning_rate = 1e-3;
  o.step.anneal = true;
  o.step.max_gradient_norm = 0.5;
  o.critic.critic_epochs = 4;
  o.critic.critic_minibatches = 4;
  if (world.mdp) for_tables(o), o.critic.critic_epochs = 0;
  return o;
}

A2cOptions q_actor_critic_recipe(const World& world) {
  A2cOptions o;
  o.networks = networks_of(world);
  o.batch.gamma = world.gamma;
  o.batch.rollout = 256;
  o.objective.estimator = "q-value+undiscounted";
  o.objective.advantages = Advantages::standardised;
  o.objective.entropy_coefficient = 0.01;
  o.step.learning_rate = 3e-3;
  o.step.anneal = true;
  o.step.max_gradient_norm = 0.5;
  o.critic.critic = CriticKind::action_value;
  o.critic.critic_learning_rate = 1e-3;
  o.critic.critic_epochs = 20;
  if (world.mdp) for_tables(o), o.critic.critic_epochs = 10, o.critic.critic_learning_rate = 0.2;
  return o;
}

/// One pass of algorithm S3 (Mnih et al. 2016), its actors in step: t_max steps of each, R = V(s_t; w) where
/// the episode goes on.
template <class T>
UpdateReport update(Training<T>& run, const A2cOptions& o, const Watcher& watcher) {
  return one_step(run, o, watcher);
}

std::unique_ptr<Algorithm> algorithm(const A2cOptions& options) { return algorithm_of(options); }

}  // namespace lowvar
