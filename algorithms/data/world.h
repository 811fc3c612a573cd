// A world as algorithms meet it: a source of trajectories, copies to step, and the whole model where it is
// known.
#pragma once

#include <any>
#include <functional>
#include <memory>
#include <string>

#include "algorithms/data/dynamics.h"
#include "algorithms/data/rollout.h"
#include "algorithms/data/stepper.h"
#include "envs/lqr.h"
#include "envs/sequences.h"

namespace lowvar {

using Parameters = std::vector<Array<double>>;

/// A value: copies share what is large. Its functions may be called by many threads at once.
struct World : Spaces {  // but observation is 0 where tabular, and states are numbered
  std::string id = {};
  double gamma = 1;
  int T = 0;
  MakeStates states = nullptr;
  /// Trajectories of at most T steps. Where tabular T is the model's.
  std::function<Trajectories(const Policy&, const Parameters&, int T, Draw)> sample = nullptr;
  std::shared_ptr<const Mdp> mdp = nullptr;               // the model, where it is tabular
  std::shared_ptr<const Lqg> lqg = nullptr;               // the model, where it is linear and quadratic
  std::shared_ptr<const Sequences> sequences = nullptr;   // where its states are prefixes of answers
  std::shared_ptr<const Dynamics> dynamics = nullptr;     // where the motion can be differentiated
  std::shared_ptr<const Dynamics> differences = nullptr;  // its finite differences, where states are numbers
  bool linear = false;                                    // policies that suit it are linear in what is seen
  std::any model = {};  // of another kind, for the WorldModel that describes it (experiments/models.h)

  bool known() const { return mdp || lqg || model.has_value(); }

  /// n copies with time limit T, whose randomness is that of streams `stream` of `seed`: numbers `first` on
  /// of perhaps more.
  std::unique_ptr<Stepper> stepper(int n, int T, std::uint64_t seed, std::string_view stream,
                                   int first = 0) const;
};

/// A world whose states these are.
World world_of(std::string id, const Spaces& spaces, MakeStates states, double gamma, int T);

/// The same world, whose trajectories tell their states, which are numbers, and which has `differences` where
/// nothing is drawn.
World telling_states(World world);

/// A world of an Environment: its policies are networks.
template <Environment E>
World environment_world(std::string id, E env, double gamma, int T) {
  const Spaces spaces = spaces_of(env);
  std::shared_ptr<const Dynamics> dynamics;
  if constexpr (DifferentiableEnvironment<E>) dynamics = std::make_shared<const Dynamics>(dynamics_of(env));
  World world = world_of(std::move(id), spaces, states_of(std::move(env)), gamma, T);
  if (spaces.m > 0 && spaces.numbers > 0) world = telling_states(std::move(world));
  world.dynamics = std::move(dynamics);
  return world;
}
/// The same at the environment's own discount and time limit.
template <Environment E>
requires requires(const E& env) { env.gamma, env.T; }
World environment_world(std::string id, E env) {
  const double gamma = env.gamma;
  const int T = env.T;
  return environment_world(std::move(id), std::move(env), gamma, T);
}

/// A tabular world: its policies are tables of logits.
World tabular_world(std::string id, Mdp mdp);

/// A tabular world whose policies may also share rows or be networks that read what was written.
World sequence_world(std::string id, SequenceWorld world);
/// A policy that shares these rows of logits.
Policy token_policy(const World& world, const std::shared_ptr<const Aliases>& rows);
/// A policy that reads what was written.
Policy reading_policy(const World& world, Reader::Cell cell, int width, double output_gain);

/// What estimators may ask of a batch beyond what was sampled.
struct Wanted {
  bool greedy = false;     // what the likeliest actions of the policy return from each start
  bool reference = false;  // log probabilities of the policy that divergences are taken to

  Wanted operator|(Wanted other) const { return {greedy || other.greedy, reference || other.reference}; }
};
/// Adds to a batch of `policy` at theta what the world knows of it: `longest` and what is wanted. Throws
/// Error where the world does not know it.
void annotate(const World& world, const Policy& policy, const Parameters& theta, double gamma, Wanted wanted,
              Trajectories& batch);

}  // namespace lowvar
