#include "algorithms/train/reinforce.h"

#include "algorithms/train/on_policy.h"
#include "algorithms/train/one_step.h"

namespace lowvar {

/// Yoon 2018: one episode an update, 128 rectified units, gamma 0.9; of sequences Ahmadian et al. 2024.
ReinforceOptions reinforce_recipe(const World& world) {
  ReinforceOptions o;
  o.networks = networks_of(world);
  if (world.sequences) {  // plain ascent, groups of one prompt
    o.batch.episodes = 64;
    o.batch.gamma = world.gamma;
    o.objective.estimator = "rloo:8";
    o.objective.reduce = Reduce::trajectory;
    o.step.update = Optimiser::sgd;
    o.step.learning_rate = 1;
    o.critic.critic = CriticKind::none;
    return o;
  }
  o.batch.episodes = 1;
  o.batch.max_episodes = 5000;
  o.batch.gamma = 0.9;
  o.networks.hidden = {128};
  o.networks.activation = Activation::relu;
  o.networks.initialisation = Initialisation::uniform;
  o.objective.estimator = "togo-normalised+undiscounted";
  o.objective.reduce = Reduce::trajectory;
  o.step.learning_rate = 3e-4;
  o.critic.critic = CriticKind::none;
  return o;
}

ReinforceOptions reinforce_baseline_recipe(const World& world) {
  ReinforceOptions o;
  o.networks = networks_of(world);
  o.batch.episodes = 8;
  o.batch.gamma = world.gamma;
  o.objective.estimator = "togo-value+undiscounted";
  o.objective.advantages = Advantages::standardised;
  o.step.learning_rate = 3e-3;
  o.step.max_gradient_norm = 0.5;
  o.critic.critic_lambda = 1;
  return o;
}

/// The gradient of whole episodes S_0, A_0, R_1, ..., S_T under pi(.|., theta) (Sutton & Barto 2018, the
/// boxes of sections 13.3 and 13.4, with all steps of an episode, or of several, in one).
template <class T>
UpdateReport update(Training<T>& run, const ReinforceOptions& o, const Watcher& watcher) {
  return one_step(run, o, watcher);
}

std::unique_ptr<Algorithm> algorithm(const ReinforceOptions& options) { return algorithm_of(options); }

}  // namespace lowvar
