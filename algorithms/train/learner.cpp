#include "algorithms/train/learner.h"

namespace lowvar {
namespace {

/// Logits or values of each state, a gain on the state of a linear world, or a network of the observation.
Model model_of(const World& world, const NetworkOptions& o, int outputs, double gain, bool of_critic) {
  if (world.sequences && !of_critic) {
    const Policy own =
        o.reader == ReaderKind::none
            ? token_policy(world, world.sequences->own())
            : reading_policy(world, o.reader == ReaderKind::gru ? Reader::Cell::gru : Reader::Cell::attention,
                             o.hidden.empty() ? 16 : o.hidden.front(), gain);
    return own.model;
  }
  if (world.mdp) return Table{world.mdp->S, outputs};
  if (world.linear && !of_critic) return Linear{world.observation, outputs};
  return network(world, layers_of(o), outputs, gain);
}

Parameters initialised(const Model& model, Initialisation how, Rng& rng) {
  return how == Initialisation::uniform ? initialise_uniform(model, rng) : initialise(model, rng);
}

}  // namespace

void expect_counts(std::initializer_list<std::pair<const char*, long>> counts) {
  constexpr long most = 1'000'000'000'000'000;  // far more than a run is asked for
  for (const auto& [name, count] : counts)
    expect(count >= 0 && count <= most, "the stored learner's ", name, " is ", count);
}

template <class T>
void expect_shapes(const char* name, std::span<const Array<T>> x, std::span<const Array<T>> like) {
  expect(x.size() == like.size(), "the stored learner's ", name, " has ", x.size(),
         " arrays, and the run's has ", like.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    expect(shape(x[i]) == shape(like[i]), "array ", i, " of the stored learner's ", name, " is ", shape(x[i]),
           ", and the run's is ", shape(like[i]));
}

template <class T>
void expect_shapes(const char* name, const AdamState<T>& state, std::span<const Array<T>> like) {
  expect_counts({{name, state.t}});
  for (const Arrays<T>* each : {&state.m, &state.v})
    if (!each->empty()) expect_shapes<T>(name, std::span(*each), like);
}

template <class T>
void expect_shapes(const Learner<T>& l, const Arrays<T>& like) {
  const std::span<const Array<T>> all(like);
  expect_shapes<T>("parameters", std::span(l.parameters), all);
  expect_shapes<T>("policy_adam", l.policy_adam, all.first(l.policy_arrays));
  expect_shapes<T>("critic_adam", l.critic_adam, all.subspan(l.policy_arrays));
  const std::size_t inputs = like.front().shape(0);
  expect(l.observed.fits(inputs) && l.returned.fits(1),
         "the stored learner's running moments are of other observations than the run's");
  expect_counts({{"update", l.update}, {"step", l.step}, {"episodes", l.episodes}});
}

template <class T>
Learner<T> new_learner(const World& world, const NetworkOptions& networks, const CriticOptions& critic,
                       std::uint64_t seed) {
  Learner<T> out;
  out.seed = seed;
  out.policy =
      policy_by(world, model_of(world, networks, policy_numbers(world), networks.policy_gain, false));
  Rng rng(seed, "policy-init");
  Parameters theta = initialised(out.policy.model, networks.initialisation, rng);
  // What writes has learnt to write before: it begins as the world's own policy.
  if (world.sequences && std::holds_alternative<Table>(out.policy.model)) theta = {world.sequences->policy};
  if (out.policy.head == Head::gaussian) theta.push_back(full<double>(1, world.m, networks.log_std));
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

Model of_raw_observations(Model model, const Normaliser& normaliser) {
  if (auto* mlp = std::get_if<Mlp>(&model)) mlp->normaliser = normaliser;
  return model;
}

template <class T>
Learned learned(const Learner<T>& l, const BatchOptions& o) {
  const Normaliser seen = normaliser_of(l, o);
  Learned out{l.policy, converted<double>(l.theta())};
  out.policy.model = of_raw_observations(out.policy.model, seen);
  if (l.critic) {
    out.critic = of_raw_observations(l.critic->model, seen);
    out.w = converted<double>(l.w());
    out.action_values = l.critic->of_actions;
  }
  out.reward_scale = o.reward_scale / (o.normalise_rewards ? l.returned.deviation(0) : 1);
  return out;
}

#define LOWVAR_INSTANTIATE(T)                                                                                \
  template void expect_shapes(const char*, std::span<const Array<T>>, std::span<const Array<T>>);            \
  template void expect_shapes(const char*, const AdamState<T>&, std::span<const Array<T>>);                  \
  template void expect_shapes(const Learner<T>&, const Arrays<T>&);                                          \
  template Learner<T> new_learner(const World&, const NetworkOptions&, const CriticOptions&, std::uint64_t); \
  template Learned learned(const Learner<T>&, const BatchOptions&);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE

}  // namespace lowvar
