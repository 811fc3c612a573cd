// The worlds, policies and critics that the command line knows by name.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "algorithms/measure/measure.h"
#include "experiments/any_environment.h"

namespace lowvar {

/// A line of the list of worlds: how to make one at its default discount and horizon. `environment` is null
/// where worlds are tabular.
struct WorldEntry {
  std::string id;
  std::string description;
  double gamma;
  int T;
  std::function<World()> make;
  std::function<std::shared_ptr<const AnyEnvironment>()> environment = nullptr;
};
const std::vector<WorldEntry>& worlds();

/// Adds a world to those that the command line knows; to be called before run_command_line. Throws Error
/// where the id is taken.
void add_world(WorldEntry entry);
/// The same for an environment, made anew wherever it is needed.
template <Environment E>
void add_world(const std::string& id, const std::string& description, double gamma, int T) {
  add_world({id, description, gamma, T, [=] { return environment_world(id, E{}, gamma, T); },
             [] { return any_environment(E{}); }});
}

/// The world of this id, or of an MDP file as "mdp:FILE", at another discount or horizon where given.
World make_world(const std::string& id, std::optional<double> gamma, std::optional<long> horizon);

/// The world of this id as something to play in, of discrete or continuous actions.
struct Playground {
  std::shared_ptr<const AnyEnvironment> environment;
  int T;
};
Playground make_playground(const std::string& id);

/// A policy and its parameters: `uniform`, `logits:FILE`, `init:SEED` or `reference`.
struct PolicyChoice {
  Policy policy;
  Parameters theta;
};
PolicyChoice make_policy(const World& world, const std::string& spec);

/// The critic that `--value` asks for: `exact`, `scaled:C`, `zero`, `file:F` or `learned`. Tables are kept
/// beside it, for the oracle. V_t is that of `theta`, the policy that acts; Q_t too, where `of_actions`.
FittedCritic make_critic(const World& world, const PolicyChoice& behaviour, const std::string& spec,
                         int pilot, std::uint64_t seed, bool of_actions = false);

/// pi [S x A] of a tabular policy.
Array<double> table_of(const World& world, const Policy& policy, const Parameters& theta);

/// Constants of the estimators from the oracle where there is one, else from a pilot.
Constants make_constants(const World& world, const PolicyChoice& choice, int pilot, std::uint64_t seed);

/// What the oracle knows of an estimator of policy `theta` fed with data of `behaviour`, with a critic table
/// V. Empty parts where it knows nothing; `reason` says why.
struct OracleAnswer {
  Truth truth;
  std::string reason;
};
OracleAnswer ask_oracle(const World& world, const Policy& policy, const Parameters& theta,
                        const Parameters& behaviour, const Estimator& estimator,
                        const std::optional<Array<double>>& V);
/// The same with a critic of any kind, and the size of a batch for estimators whose unit is one.
OracleAnswer ask_oracle(const World& world, const Policy& policy, const Parameters& theta,
                        const Parameters& behaviour, const Estimator& estimator, const FittedCritic& critic,
                        int batch);

/// "a, b, c" nearest to what was typed first: for errors about unknown names.
std::string unknown_name(std::string_view what, std::string_view typed,
                         const std::vector<std::string>& known);

}  // namespace lowvar
