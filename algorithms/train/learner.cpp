#include "algorithms/train/learner.h"

namespace lowvar {
namespace {

/// Logits or values of each state, a gain on the state of a linear world, or a network of the observation.
Model model_of(const World& world, const NetworkOptions& o, int outputs, double gain, bool of_critic) {
  if (world.mdp) return Table{world.mdp->S, outputs};
  if (world.lqg && !of_critic) return Linear{world.observation, outputs};
  Mlp mlp{.sizes = {world.observation}, .activation = o.activation, .output_gain = gain};
  mlp.sizes.insert(mlp.sizes.end(), o.hidden.begin(), o.hidden.end());
  mlp.sizes.push_back(outputs);
  return mlp;
}

Parameters initialised(const Model& model, Initialisation how, Rng& rng) {
  const auto* mlp = std::get_if<Mlp>(&model);
  return mlp && how == Initialisation::uniform ? initialise_uniform(*mlp, rng) : initialise(model, rng);
}

}  // namespace

template <class T>
Learner<T> new_learner(const World& world, const NetworkOptions& networks, const CriticOptions& critic,
                       std::uint64_t seed) {
  Learner<T> out;
  out.seed = seed;
  const int outputs = world.A ? world.A : world.m;
  out.policy = {model_of(world, networks, outputs, networks.policy_gain, false),
                world.A ? Head::softmax : Head::gaussian};
  Rng rng(seed, "policy-init");
  Parameters theta = initialised(out.policy.model, networks.initialisation, rng);
  if (out.policy.head == Head::gaussian) theta.push_back(full<double>(1, outputs, networks.log_std));
  out.policy_arrays = theta.size();
  if (critic.critic != CriticKind::none) {
    const bool of_actions = critic.critic == CriticKind::action_value;
    out.critic = CriticObjective{model_of(world, networks, of_actions ? world.A : 1, 1.0, true), of_actions,
                                 critic.critic_loss, critic.critic_coefficient, critic.value_clip};
    Rng of_critic(seed, "critic-init");
    for (auto& each : initialised(out.critic->model, networks.initialisation, of_critic))
      theta.push_back(std::move(each));
  }
  out.parameters = converted<T>(std::span<const Array<double>>(theta));
  return out;
}

template <class T>
Arrays<T> of_raw_observations(const Learner<T>& l, bool normalised) {
  Arrays<T> x = l.parameters;
  if (!normalised) return x;
  const std::span<Array<T>> all(x);
  l.acted_on.fold_into(all.first(l.policy_arrays));
  if (l.critic) l.acted_on.fold_into(all.subspan(l.policy_arrays));
  return x;
}

template <class T>
Learned learned(const Learner<T>& l, const BatchOptions& o) {
  const Arrays<T> x = of_raw_observations(l, o.normalise_observations);
  const std::span<const Array<T>> all(x);
  Learned out{l.policy, converted<double>(all.first(l.policy_arrays))};
  if (l.critic) {
    out.critic = l.critic->model;
    out.w = converted<double>(all.subspan(l.policy_arrays));
    out.action_values = l.critic->of_actions;
  }
  out.reward_scale = o.reward_scale / (o.normalise_rewards ? l.returned.deviation(0) : 1);
  return out;
}

#define LOWVAR_INSTANTIATE(T)                                                                                \
  template Learner<T> new_learner(const World&, const NetworkOptions&, const CriticOptions&, std::uint64_t); \
  template Arrays<T> of_raw_observations(const Learner<T>&, bool);                                           \
  template Learned learned(const Learner<T>&, const BatchOptions&);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE

}  // namespace lowvar
