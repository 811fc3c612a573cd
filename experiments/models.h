// What is known of a world, by the kind of its model: the policies that suit it, exact critics and constants,
// and the oracle's answers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "algorithms/measure/measure.h"

namespace lowvar {

/// A policy and its parameters: `uniform`, `logits:FILE`, `init:SEED`, `reference` or `run:DIR`.
struct PolicyChoice {
  Policy policy;
  Parameters theta;
};

/// What the oracle knows of an estimator of policy `theta` fed with data of `behaviour`. Empty parts where it
/// knows nothing; `reason` says why.
struct OracleAnswer {
  Truth truth;
  std::string reason;
};

/// The moments of `estimator` at (policy, theta), from data of `behaviour`, parameters of the same policy,
/// with this critic; `batch` is the size of a batch for estimators whose unit is one.
struct OracleQuestion {
  const World& world;
  const Policy& policy;
  const Parameters& theta;
  const Parameters& behaviour;
  const Estimator& estimator;
  const FittedCritic& critic;
  int batch;
};

/// A kind of model. Its functions are given worlds that it describes.
struct WorldModel {
  bool (*describes)(const World& world);
  /// Policies of the model's own kind by name. Throws Error where there is none of that name.
  PolicyChoice (*policy)(const World& world, const std::string& spec);
  /// Why its oracle knows nothing of this policy; empty where it is of the model's own kind.
  std::string (*unsuitable)(const World& world, const Policy& policy, const Parameters& theta);

  // Asked of policies of its own kind alone; null where every policy is unsuitable.

  /// `scale` times the values V of a policy that suits the model, and Q where `of_actions`.
  FittedCritic (*critic)(const World& world, const PolicyChoice& behaviour, double scale, bool of_actions);
  Constants (*constants)(const World& world, const PolicyChoice& choice, int pilot, std::uint64_t seed);
  double (*exact_return)(const World& world, const Policy& policy, const Parameters& theta);
  OracleAnswer (*ask)(const OracleQuestion& question);
};

extern const WorldModel sequence_model, tabular_model, linear_quadratic_model, ball_and_wall_model,
    unknown_model;

/// Adds a kind of model, which is asked before those that are there and must outlive all asking; to be called
/// before threads start.
void add_model(const WorldModel& model);

/// The first of the list of models that describes the world; unknown_model describes all.
const WorldModel& model_of(const World& world);

PolicyChoice make_policy(const World& world, const std::string& spec);

/// The critic that `--value` asks for: `exact`, `scaled:C`, `zero`, `file:F` or `learned`. Tables are kept
/// beside it, for the oracle. V_t is that of `theta`, the policy that acts; Q_t too, where `of_actions`.
FittedCritic make_critic(const World& world, const PolicyChoice& behaviour, const std::string& spec,
                         int pilot, std::uint64_t seed, bool of_actions = false);

/// Constants of the estimators from the oracle where it knows the policy, else from a pilot.
Constants make_constants(const World& world, const PolicyChoice& choice, int pilot, std::uint64_t seed);

/// J. Throws Error where no oracle knows it.
double exact_return(const World& world, const Policy& policy, const Parameters& theta);

/// The critic of `file:F`, a table of a tabular world.
FittedCritic read_critic(const World& world, const std::string& spec, bool of_actions);

/// pi [S x A] of a policy of states.
Array<double> table_of(const World& world, const Policy& policy, const Parameters& theta);

OracleAnswer ask_oracle(const World& world, const Policy& policy, const Parameters& theta,
                        const Parameters& behaviour, const Estimator& estimator, const FittedCritic& critic,
                        int batch);
/// The same with a critic table V, for estimators whose unit is no batch.
OracleAnswer ask_oracle(const World& world, const Policy& policy, const Parameters& theta,
                        const Parameters& behaviour, const Estimator& estimator,
                        const std::optional<Array<double>>& V);

// For models.

/// The finite number that text is, if it is one.
std::optional<double> real(std::string_view text);
/// The stream of initial parameters, where spec is `init:SEED`. Throws Error where SEED is no whole number.
std::optional<Rng> init_stream(const std::string& spec);
/// Throws the sentence for a policy that no world has, or that is a table where there are no states.
[[noreturn]] void refuse_policy(const World& world, const std::string& spec);

}  // namespace lowvar
