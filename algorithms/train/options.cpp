#include "algorithms/train/options.h"

namespace lowvar {

void check_hidden(const std::vector<int>& hidden) {
  double before = 1, weights = 0;
  for (const int width : hidden) {
    expect(width >= 1, "hidden layers must be at least 1 wide, got ", width);
    weights += before * width;
    before = width;
  }
  expect(weights < 1e7, "hidden layers must have fewer than 1e7 weights between them, got ", weights);
}
void at_least_one(Numbers options) {
  for (const auto& [key, value] : options) expect(value >= 1, key, " must be at least 1, got ", value);
}
void from_zero_to_one(Numbers options) {
  for (const auto& [key, value] : options)
    expect(value >= 0 && value <= 1, key, " must be from 0 to 1, got ", value);
}
void positive(Numbers options) {
  for (const auto& [key, value] : options) expect(value > 0, key, " must be positive, got ", value);
}
void not_negative(Numbers options) {
  for (const auto& [key, value] : options) expect(value >= 0, key, " must not be negative, got ", value);
}
void at_most(double most, Numbers options) {
  for (const auto& [key, value] : options)
    expect(value <= most, key, " must be at most ", most, ", got ", value);
}

NetworkOptions networks_of(const World& world) {
  NetworkOptions out;
  const Layers layers = suitable_layers(world);
  for (const auto& [filters, size, stride] : layers.filters)
    out.convolutions.insert(out.convolutions.end(), {filters, size, stride});
  out.hidden = layers.hidden;
  out.activation = layers.activation;
  return out;
}

Layers layers_of(const NetworkOptions& o) {
  expect(o.convolutions.size() % 3 == 0,
         "convolutions are filters, size and stride of each layer, as in "
         "[32, 8, 4, 64, 4, 2]; got ",
         o.convolutions.size(), " numbers");
  Layers out{.hidden = o.hidden, .activation = o.activation};
  for (std::size_t i = 0; i < o.convolutions.size(); i += 3)
    out.filters.push_back({o.convolutions[i], o.convolutions[i + 1], o.convolutions[i + 2]});
  return out;
}

namespace {

/// Whether a trainer can follow this estimator with these batches and this critic in this world.
void check_estimator(const OnPolicyOptions& o, const World& world) {
  const Estimator e = make_estimator(o.objective.estimator);
  const auto refuse = [&](bool fine, const auto&... why) {
    expect(fine, "estimator '", o.objective.estimator, "' ", why...);
  };
  refuse(!e.needs_constants, "subtracts constants of an oracle or a pilot, and training has neither");
  refuse(!e.objective && !e.all_actions, "weighs no scores of what was done; training needs one that does");
  refuse(e.weightings == 1, "has a weight for each parameter; training takes one");
  refuse(!e.needs_critic || o.critic.critic != CriticKind::none, "needs a critic; critic is none");
  refuse(!e.needs_action_values || o.critic.critic == CriticKind::action_value,
         "needs a critic of Q(s, a); critic must be action-value, which q-actor-critic has");
  refuse(o.critic.critic != CriticKind::action_value || !e.needs_critic || e.needs_action_values,
         "needs a critic of V(s); critic must be value");
  const bool own_surrogate =
      (e.off_policy && !e.weighs_ratios) || o.objective.surrogate == SurrogateKind::ratio;
  refuse(o.objective.loss_kl == 0 || !own_surrogate,
         "has a surrogate of its own, which loss_kl does not go with; +clip:LO:HI weighs scores");
  refuse(!e.of_divergence, "is of a divergence; loss_kl puts it beside a return");
  if (o.objective.loss_kl != 0) {
    const Estimator kl = make_estimator("kl:" + o.objective.loss_kl_variant);
    expect(!kl.needs_constants && !kl.objective, "loss_kl_variant ", o.objective.loss_kl_variant,
           " weighs no scores of what was done; training needs one that does, such as k3-loss");
  }
  refuse(!(e.needs_greedy || e.draws_again) || world.mdp, "needs a tabular world, and ", world.id,
         " is none");
  refuse(e.unit <= 1 || (o.batch.episodes > 0 && o.batch.episodes % e.unit == 0), "weighs groups of ", e.unit,
         " whole episodes from one start: episodes must be a multiple of that, got ", o.batch.episodes);
}

}  // namespace

void check(const OnPolicyOptions& o, const World& world) {
  at_least_one({{"envs", o.batch.envs},
                {"rollout", o.batch.rollout},
                {"critic_minibatches", o.critic.critic_minibatches}});
  at_most(1e8, {{"envs x rollout", static_cast<double>(o.batch.steps())},
                {"episodes x horizon", static_cast<double>(o.batch.episodes) * world.T},
                {"critic_minibatches", o.critic.critic_minibatches}});
  from_zero_to_one({{"gamma", o.batch.gamma}, {"critic_lambda", o.critic.critic_lambda}});
  positive({{"learning_rate", o.step.learning_rate},
            {"adam_epsilon", o.step.adam_epsilon},
            {"reward_scale", o.batch.reward_scale},
            {"policy_gain", o.networks.policy_gain}});
  not_negative({{"episodes", o.batch.episodes},
                {"max_episodes", static_cast<double>(o.batch.max_episodes)},
                {"entropy_coefficient", o.objective.entropy_coefficient},
                {"loss_kl", o.objective.loss_kl},
                {"reward_kl", o.batch.reward_kl},
                {"observation_limit", o.batch.observation_limit},
                {"reward_limit", o.batch.reward_limit},
                {"max_gradient_norm", o.step.max_gradient_norm},
                {"critic_coefficient", o.critic.critic_coefficient},
                {"value_clip", o.critic.value_clip},
                {"critic_learning_rate", o.critic.critic_learning_rate},
                {"critic_epochs", o.critic.critic_epochs}});
  check_hidden(o.networks.hidden);
  network(world, layers_of(o.networks), 1, 1);
  check_estimator(o, world);
  expect(o.critic.critic != CriticKind::action_value || world.A > 0,
         "an action-value critic is of worlds with choices; ", world.id, " acts by vectors");
  const bool reference = world.sequences && world.sequences->reference.size() > 0;
  expect(reference || (o.objective.loss_kl == 0 && o.batch.reward_kl == 0),
         "loss_kl and reward_kl are of the divergence from a reference, and ", world.id, " says none");
  expect(o.networks.reader == ReaderKind::none || (world.sequences && world.sequences->enumerable()),
         "reader is for worlds whose states are what was written; ", world.id, " is none");
  expect(!o.batch.normalise_observations || (!world.mdp && !world.linear),
         "normalise_observations is for networks; in ", world.id, " the policy is none");
  expect(!o.batch.normalise_observations || world.image.size() == 0,
         "normalise_observations is for numbers of different units; those of ", world.id, " are pixels");
}

}  // namespace lowvar
