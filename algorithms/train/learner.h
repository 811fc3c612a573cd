// What is learning, as a value: everything that a run's future depends on, field by field.
#pragma once

#include <cmath>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "algorithms/data/collect.h"
#include "algorithms/train/normalise.h"
#include "algorithms/train/options.h"
#include "nn/optim.h"

namespace lowvar {

/// A policy, and the critic it was learnt with, if any.
struct Learned {
  Policy policy;
  Parameters theta;
  std::optional<Model> critic = {};
  Parameters w = {};
  bool action_values = false;  // the critic is Q(s, .), not V(s)
  double reward_scale = 1;     // the critic's values, over those of the world's own rewards
};

/// A policy and a critic in training, in T. Copies are independent.
template <class T>
struct Learner {
  // What it is, from the options.
  std::uint64_t seed = 0;
  std::string branch = "";  // of the random streams: "" for the run itself
  Policy policy;
  std::optional<CriticObjective> critic;
  std::size_t policy_arrays = 0;

  // What changes.
  Arrays<T> parameters;  // of the policy, then of the critic
  AdamState<T> policy_adam, critic_adam;
  RunningMoments observed;             // of observations
  RunningMoments returned;             // of running discounted returns
  std::vector<double> running_return;  // of each environment's episode so far
  double kl_coefficient = 0;
  long update = 0, step = 0, episodes = 0;
  Collector::State environments;

  std::span<const Array<T>> theta() const { return std::span(parameters).first(policy_arrays); }
  std::span<const Array<T>> w() const { return std::span(parameters).subspan(policy_arrays); }

  /// f(name, field) for each field that changes.
  template <class F>
  void visit(F&& f) {
    f("parameters", parameters), f("policy_adam", policy_adam), f("critic_adam", critic_adam);
    f("observed", observed), f("returned", returned);
    f("running_return", running_return), f("kl_coefficient", kl_coefficient);
    f("update", update), f("step", step), f("episodes", episodes), f("environments", environments);
  }
};

// What comes back from bytes is held to what it was stored from. Each throws Error naming what is not that.

/// Numbers of updates, steps and episodes.
void expect_counts(std::initializer_list<std::pair<const char*, long>> counts);
/// Arrays of the shapes of `like`.
template <class T>
void expect_shapes(const char* name, std::span<const Array<T>> x, std::span<const Array<T>> like);
/// Means of each of such arrays, or none yet.
template <class T>
void expect_shapes(const char* name, const AdamState<T>& state, std::span<const Array<T>> like);
/// A learner whose parameters have the shapes of `like`, and all else as that asks.
template <class T>
void expect_shapes(const Learner<T>& learner, const Arrays<T>& like);

/// Networks as the options say, initialised from streams "policy-init" and "critic-init" of the seed.
template <class T>
Learner<T> new_learner(const World& world, const NetworkOptions& networks, const CriticOptions& critic,
                       std::uint64_t seed);

/// What normalises the learner's next batch; nothing where that is not asked.
template <class T>
Normaliser normaliser_of(const Learner<T>& learner, const BatchOptions& options) {
  return options.normalise_observations ? learner.observed.normaliser(options.observation_limit)
                                        : Normaliser();
}
/// The model of observations as the world gives them where `model` is of normalised ones.
Model of_raw_observations(Model model, const Normaliser& normaliser);

/// What it has learnt, of raw observations.
template <class T>
Learned learned(const Learner<T>& learner, const BatchOptions& options);

/// Whether no number is NaN or infinite.
template <class T>
bool all_finite(std::span<const Array<T>> x) {
  int others = 0;  // no early end, so that it takes whole vectors at a time
  for (const Array<T>& each : x)
    for (const T number : values(each)) others |= !(std::abs(number) <= std::numeric_limits<T>::max());
  return others == 0;
}
template <class T>
bool all_finite(const Arrays<T>& x) {
  return all_finite(std::span<const Array<T>>(x));
}

template <class To, class From>
Arrays<To> converted(std::span<const Array<From>> x) {
  Arrays<To> out;
  for (const auto& each : x) out.emplace_back(each);
  return out;
}

}  // namespace lowvar
