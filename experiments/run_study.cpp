// Studies of a training run's own gradient.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/estimators/names.h"
#include "algorithms/exact/tabular.h"
#include "algorithms/exact/training_objective.h"
#include "algorithms/measure/updates.h"
#include "experiments/answers.h"
#include "experiments/study.h"
#include "experiments/training_run.h"

namespace lowvar {
namespace {

using Json = nlohmann::ordered_json;

/// The exact gradient that a rung stands for; empty where none is known.
struct Target {
  std::string objective;
  std::vector<double> gradient;
};

/// What an estimator's mean over the rows of a batch stands for, in the units that the learner sees.
Target target_of(const TrainingPlan& plan, const Json& options, const Learned& learned,
                 const std::string& estimator) {
  const EstimatorName name = parse_estimator(estimator);
  const bool discounted = !name.undiscounted();  // whole trajectories are weighed from their start
  Target out{discounted ? "discounted-start" : "undiscounted-states", {}};
  if (!plan.world.mdp || !of_states(learned.policy.model)) return out;
  Mdp mdp = *plan.world.mdp;
  mdp.gamma = plan.options->gamma();
  const bool bootstraps =
      options.value("truncation", "") == "bootstrap" && options.value("critic", "") != "none";
  const auto limit = bootstraps ? TimeLimit::bootstraps : TimeLimit::ends;
  out.gradient = training_gradient(
      mdp, table_of(plan.world, learned.policy, learned.theta),
      discounted ? TrainingObjective::discounted_start : TrainingObjective::undiscounted_states, limit);
  if (plan.world.sequences)  // parameters that states share
    out.gradient = through_model(plan.world, learned.policy, learned.theta,
                                 from_values<double>(mdp.S, mdp.A, out.gradient));
  for (double& each : out.gradient) each *= learned.reward_scale;
  return out;
}

/// That of the run's own gradient: with a bonus for entropy, or summed over cut trajectories, none is known.
Target own_target(const TrainingPlan& plan, const Json& options, const Learned& learned) {
  Target out = target_of(plan, options, learned, options.at("estimator"));
  const bool sums = options.value("reduce", "row") == "trajectory";
  if (options.value("entropy_coefficient", 0.0) != 0 || (sums && options.value("episodes", 0) == 0))
    out.gradient.clear();
  if (sums && !out.gradient.empty()) {
    const Array<double> d =
        state_distribution(*plan.world.mdp, table_of(plan.world, learned.policy, learned.theta));
    const double length = std::accumulate(d.begin(), d.end(), 0.0);
    for (double& each : out.gradient) each *= length;
  }
  return out;
}

}  // namespace

Json as_json(const RunStudy& study) {
  Json out{{"of_run", study.run}};
  if (study.run_seed) out["seed_of_run"] = *study.run_seed;
  out["update"] = study.update ? Json(*study.update) : Json("last");
  for (const auto& e : study.estimators) out["estimators"].push_back(e.name);
  out["batches"] = study.batches;
  out["seed"] = study.seed;
  return out;
}

VarianceResult study_run(const RunStudy& study, const StudyWatcher& watcher) {
  const TrainingPlan plan = read_plan(study.run);
  const std::uint64_t seed = study.run_seed.value_or(plan.seeds.front());
  expect(std::find(plan.seeds.begin(), plan.seeds.end(), seed) != plan.seeds.end(), study.run,
         " has no seed ", seed);
  const auto run = run_before(plan, seed, study.update);
  const Learned learned = run->learned();
  const Json options = options_as_json(*plan.options);
  expect(options.contains("estimator"), "the updates of ", plan.algorithm,
         " follow no estimator on batches of one policy");
  check_updates(*run, study.estimators);
  const Keeper keeper = watcher.accepted ? watcher.accepted() : watcher.keeper;

  std::vector<Target> targets(update_rungs.size(), own_target(plan, options, learned));
  for (const auto& e : study.estimators) targets.push_back(target_of(plan, options, learned, e.name));
  UpdateOptions drawing{.batches = study.batches, .seed = study.seed, .keeper = keeper};
  for (const Target& each : targets) drawing.truth.push_back(each.gradient);
  if (watcher.progress) drawing.progress = watcher.progress;
  const MeasuredUpdates all = measure_updates(*run, study.estimators, drawing);

  std::vector<Truth> truth;
  for (const Target& each : targets) truth.push_back({each.gradient, {}, {}});
  truth[2].gradient.clear();  // a displacement is no estimate of a gradient
  VarianceResult result{utf8(plan.world.id), study.batches, true, {}};
  for (std::size_t e = 0; e < all.rungs.size(); ++e) {
    EstimatorResult& of = result.estimators.emplace_back();
    of.name = all.rungs[e].estimator.name;
    const auto list = quantities(all.measured, all.rungs, truth, static_cast<int>(e), 0);
    const auto steps = named(list, "env_steps").sampled.value;
    const std::string unit = fmt::format("batch of {:.6g} steps", steps);
    for (const Quantity& q : list) {
      if (q.name == "policy_rows" || q.name == "value_rows") continue;
      of.moments.push_back({q, unit, targets[e].objective});
      if (q.name == "cosine")
        of.moments.push_back(
            {Quantity{"cosine_truth", all.cosine_truth[e], std::nullopt}, unit, targets[e].objective});
    }
    of.layers = layer_rows(all.measured, e, {}, {learned.policy, learned.theta});
    of.parameters = parameter_rows(all.measured, e, {});
  }
  return result;
}

}  // namespace lowvar
