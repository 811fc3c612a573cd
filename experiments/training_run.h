// A training run: several seeds side by side, their results in one directory.
#pragma once

#include "algorithms/measure/measure.h"
#include "experiments/algorithms.h"
#include "experiments/training_log.h"

namespace lowvar {

/// Estimators measured along a run: at every `every`-th update, on so many trajectories of their own stream.
struct MeasureVariance {
  long every = 0;  // 0: never
  std::vector<std::string> estimators = {};
  long trajectories = 512;
};

struct TrainingPlan {
  std::string algorithm;
  World world;
  std::shared_ptr<Algorithm> options;
  std::vector<std::uint64_t> seeds;
  long steps = 0;
  int evaluation_episodes = 100;
  MeasureVariance measure_variance = {};
  /// Updates between two checkpoints of a seed; 0: none but the last; where it is not said, about 30 s of one
  /// core (Run::work).
  std::optional<long> checkpoint_every = {};
};

struct SeedResult {
  std::uint64_t seed = 0;
  Learned learned;  // on the root
  long steps = 0;
  double final_return = 0;  // mean of the last 100 training episodes, or of all if there are fewer
  double best_100 = 0;      // best mean of 100 consecutive training episodes; NaN if there are fewer
  double eval_return = 0;   // mean of the greedy evaluation episodes
  double steps_per_second = 0;
  std::vector<Measurement> variance = {};
};

/// Trains each seed and writes to the directory progress.csv, episodes.csv, policy-SEED.json, summary.json
/// and, where asked, variance.csv; steps per second go to machine.json. Goes on with what the directory's
/// checkpoints hold. Throws Interrupted where it was asked to stop, when that is kept.
std::vector<SeedResult> run_training(const TrainingPlan& plan, OutputDirectory& directory);

/// The plan, with every default filled in, for the manifest.
nlohmann::ordered_json as_json(const TrainingPlan& plan);
/// That of a directory of `lowvar train`.
TrainingPlan read_plan(const std::filesystem::path& directory);

/// A seed's run as it stood before update `update`, or before its last one: trained again until there. The
/// plan must outlive it.
std::unique_ptr<Run> run_before(const TrainingPlan& plan, std::uint64_t seed, std::optional<long> update);

}  // namespace lowvar
