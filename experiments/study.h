// Studies: what is asked about the estimators of a policy's gradient in a world, and what came out, as
// values. Commands read the one, write and print the other; figures put a line-up of estimators of their own
// together.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "algorithms/exact/dynamic_programming.h"
#include "algorithms/measure/measure.h"
#include "experiments/output.h"
#include "experiments/worlds.h"

namespace lowvar {

// ---- what is asked ----

/// What is looked at: estimators of the gradient of `policy`. Names are as they were typed.
struct Subject {
  std::string env;
  World world;
  std::string policy_name, behaviour_name;
  PolicyChoice policy, behaviour;  // the same where one policy is both
  std::string value;               // the critic, as make_critic takes it
  std::vector<Estimator> estimators;
  int batch = 32;  // trajectories in one, for estimators whose unit is a batch
};

/// Estimators measured on the same trajectories.
struct VarianceStudy {
  Subject subject;
  long trajectories = 10'000;
  std::uint64_t seed = 0;
  int relative_to = 0;  // index of the estimator that ratios are taken to
  int cosine_batch = 32;
  std::optional<double> until_rse = {};
};

/// For the manifest.
nlohmann::ordered_json as_json(const VarianceStudy& study);

/// A run's own gradient, and estimators on the same batches: see measure_updates.
struct RunStudy {
  std::string run;                        // directory of `lowvar train`
  std::optional<std::uint64_t> run_seed;  // the seed of it that is meant; the first
  std::optional<long> update;             // before this one; before the last where it is not said
  std::vector<Estimator> estimators;
  long batches = 100;
  std::uint64_t seed = 0;
};
nlohmann::ordered_json as_json(const RunStudy& study);

enum class SolveMethod { value_iteration, policy_iteration, linear, learned_model };

/// Optimal values and policy of a tabular world.
struct SolveStudy {
  World world;
  SolveMethod method = SolveMethod::value_iteration;
  bool finite_horizon = false;                     // that of the world, by backward induction
  long sweeps = std::numeric_limits<long>::max();  // of policy_iteration
  long episodes = 0;                               // of learned_model
  std::uint64_t seed = 0;                          // of learned_model
};

// ---- what came out ----

/// A line of moments.csv.
struct MomentRow {
  Quantity quantity;
  std::string unit;            // what the quantity is of: a trajectory, a group, a batch
  std::string objective = {};  // of a training run: which gradient `exact` is about
};

/// A line of layers.csv.
struct LayerRow {
  std::string layer;
  std::size_t parameters;
  Estimate trace_cov;
  std::optional<double> exact;
  double snr;
};

/// A line of parameters.csv.
struct ParameterRow {
  Estimate mean, variance;
  std::optional<double> exact_mean, exact_variance;
};

struct EstimatorResult {
  std::string name;
  std::vector<MomentRow> moments;
  std::vector<LayerRow> layers;
  std::vector<ParameterRow> parameters;
};

struct VarianceResult {
  std::string env;
  long n = 0;  // trajectories, or batches
  bool of_run = false;
  std::vector<EstimatorResult> estimators;
};

struct ExactResult {
  struct Row {
    std::string estimator;
    std::optional<double> bias_norm, trace_cov;
    std::string reason;            // why they are not known
    std::vector<double> mean;      // E g; empty where it is not known
    std::vector<double> gradient;  // of what it estimates
  };
  double J;
  std::vector<double> gradient;
  std::vector<Row> estimators;
};

struct SolveResult {
  double value_start;  // the mean over the start
  Plan plan;
};

// ---- from one to the other ----

/// Throws Error where a study has no answer, before any long computation.
void check(const VarianceStudy& study);

/// What sees a study going on, as MeasureOptions has them; each may be empty.
struct StudyWatcher {
  /// Of a run: it is there, and nothing that is asked of it is refused from here on. Gives the keeper.
  std::function<Keeper()> accepted = nullptr;
  std::function<void(long done, long total)> progress = nullptr;
  std::function<void(int estimator, long first, const Array<double>& g)> each = nullptr;
  Keeper keeper = {};
};

VarianceResult study_variance(const VarianceStudy& study, const StudyWatcher& watcher = {});
VarianceResult study_run(const RunStudy& study, const StudyWatcher& watcher = {});
ExactResult study_exact(const Subject& subject);
SolveResult study_solve(const SolveStudy& study);

/// Lines of what was measured of a rung, beside what is known of it; by array of the policy's parameters, and
/// by parameter.
std::vector<LayerRow> layer_rows(const Measured& measured, std::size_t rung, const Truth& truth,
                                 const PolicyChoice& choice);
std::vector<ParameterRow> parameter_rows(const Measured& measured, std::size_t rung, const Truth& truth);

// ---- files and tables ----

Csv moments_csv(const VarianceResult& result);
Csv layers_csv(const VarianceResult& result);
Csv parameters_csv(const VarianceResult& result);
/// The moments for people.
std::string as_text(const VarianceResult& result);
/// A line for each estimator whose standard errors are too small, because its tail is heavy.
std::string warnings(const VarianceResult& result);

// ---- line-ups ----

/// Estimators side by side, each at its own parameters, with what is exactly known of it.
struct Lineup {
  std::vector<Rung> rungs;
  std::vector<Truth> truth;         // [rung]
  std::vector<std::string> reason;  // [rung], why the truth is not known

  /// `theta` must outlive the line-up.
  void add(Estimator estimator, const Parameters& theta, OracleAnswer known);
  /// The position of an estimator. Throws Error where it has none.
  int at(std::string_view estimator) const;
  /// Those of a rung, in ratio to an estimator of the line-up.
  std::vector<Quantity> quantities(const Measured& measured, int rung, std::string_view relative_to) const;
};

/// The one of this name. Throws Error where there is none.
const Quantity& named(std::span<const Quantity> quantities, std::string_view name);

}  // namespace lowvar
