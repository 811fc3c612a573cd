// All rungs' variance along a run of PPO, beside its return.
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "experiments/figures/figures.h"
#include "experiments/training_run.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

const std::vector<std::string> rungs = {"reinforce", "togo",         "togo-value", "nstep:5",
                                        "gae:0.95",  "ppo-clip:0.2", "td"};

}  // namespace

Reproduction run_variance_along_ppo(Effort effort, bool check, const std::filesystem::path& out) {
  TrainingPlan plan{
      .algorithm = "ppo", .world = make_world("CartPole-v1", {}, {}), .options = {}, .seeds = {}};
  plan.options = make_algorithm("ppo", plan.world);
  plan.steps = choose(effort, 16'384, 204'800, 512'000);
  plan.measure_variance = {
      .every = choose(effort, 8, 20, 20), .estimators = rungs, .trajectories = choose(effort, 32, 64, 256)};
  for (long seed = 0; seed < choose(effort, 1, 2, 10); ++seed)
    plan.seeds.push_back(static_cast<std::uint64_t>(seed));

  auto config = as_json(plan);
  config["figure"] = "variance-along-ppo";
  OutputDirectory directory(out, config);
  const auto results = run_training(plan, directory);

  std::string text;
  Csv csv(
      {"part", "seed", "step", "estimator", "return", "trace_cov", "trace_cov_se", "ratio", "over_gae", "n"});
  std::map<std::string, std::pair<double, int>> log_ratio;  // to reinforce: sum, count
  for (const SeedResult& r : results) {
    double reference = NAN;
    for (const Measurement& m : r.variance) {
      if (m.quantity != "trace_cov") continue;
      if (m.estimator == rungs.front()) reference = m.value.value;
      const double ratio = m.value.value / reference;
      auto& [sum, count] = log_ratio[m.estimator];
      sum += std::log(ratio), ++count;
      csv.add_some({{"part", "run"},
                    {"seed", r.seed},
                    {"step", m.step},
                    {"estimator", m.estimator},
                    {"return", m.mean_return},
                    {"trace_cov", m.value.value},
                    {"trace_cov_se", m.value.se},
                    {"ratio", ratio},
                    {"n", plan.measure_variance.trajectories}});
    }
  }
  for (const auto& name : rungs) {
    const auto& [sum, count] = log_ratio.at(name);
    const double ratio = std::exp(sum / count);
    csv.add_some({{"part", "mean"},
                  {"estimator", name},
                  {"ratio", ratio},
                  {"over_gae", ratio / std::exp(log_ratio.at("gae:0.95").first / count)},
                  {"n", count}});
    text += fmt::format("{:<14} variance over that of reinforce, geometric mean of {}: {:.4f}\n", name, count,
                        ratio);
  }
  return publish("variance-along-ppo", directory, csv, check, std::move(text));
}

}  // namespace lowvar
