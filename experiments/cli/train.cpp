// lowvar train: an algorithm in a world, several seeds.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "experiments/cli/commands.h"
#include "experiments/figures/figures.h"
#include "experiments/training_run.h"

namespace lowvar::cli {
namespace {

/// "0..9" (inclusive), "3", "1,4..6".
std::vector<std::uint64_t> seeds_of(const std::string& text) {
  std::vector<std::uint64_t> out;
  const auto whole = [&](std::string_view part) {
    std::uint64_t x{};
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), x);
    expect(error == std::errc{} && end == part.data() + part.size() && x <= 1'000'000'000'000,
           "--seeds must be like 0..9, 3 or 1,4..6; got '", text, "'");
    return x;
  };
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view part = std::string_view(text).substr(begin, end - begin);
    const std::size_t dots = part.find("..");
    const std::uint64_t low = whole(part.substr(0, dots)),
                        high = dots == std::string_view::npos ? low : whole(part.substr(dots + 2));
    expect(low <= high && high - low < 10'000, "--seeds must be like 0..9, 3 or 1,4..6; got '", text, "'");
    for (std::uint64_t seed = low; seed <= high; ++seed) out.push_back(seed);
    begin = end + 1;
  }
  expect(std::set(out.begin(), out.end()).size() == out.size(), "--seeds names a seed twice: '", text, "'");
  return out;
}

/// "every=K,estimators=A:B[,trajectories=N]"; a colon opens the next name where a letter follows it.
MeasureVariance measure_variance_of(const std::string& text) {
  MeasureVariance out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const std::size_t equals = part.find('=');
    const std::string key = part.substr(0, equals),
                      value = equals == std::string::npos ? "" : part.substr(equals + 1);
    if (key == "every") {
      out.every = count_option("--measure-variance every", value, 1, 1'000'000'000);
    } else if (key == "trajectories") {
      out.trajectories = count_option("--measure-variance trajectories", value, 2, 10'000'000);
    } else if (key == "estimators") {
      out.estimators.emplace_back();
      for (std::size_t i = 0; i < value.size(); ++i) {
        if (value[i] == ':' && i + 1 < value.size() && std::isalpha(static_cast<unsigned char>(value[i + 1])))
          out.estimators.emplace_back();
        else
          out.estimators.back() += value[i];
      }
    } else {
      throw Error(join("--measure-variance takes every=K,estimators=A:B[,trajectories=N]; got '", part, "'"));
    }
    begin = end + 1;
  }
  expect(out.every > 0 && !out.estimators.empty(),
         "--measure-variance needs both every=K and estimators=A:B, as in "
         "every=10,estimators=reinforce:gae:0.95");
  return out;
}

struct TrainFlags {
  std::string algorithm, env, seeds = "0", steps = "100000", config, out, horizon, measure_variance,
                              evaluation_episodes = "100", checkpoint_every;
  std::vector<std::string> set;
  bool overwrite = false;
};

std::string as_text(const std::vector<SeedResult>& results) {
  std::string out = fmt::format("{:>6} {:>10} {:>14} {:>12} {:>14} {:>10}\n", "seed", "steps", "final_return",
                                "best_100", "eval_return", "steps/s");
  for (const auto& r : results)
    out += fmt::format("{:>6} {:>10} {:>14.6g} {:>12.6g} {:>14.6g} {:>10.0f}\n", r.seed, r.steps,
                       r.final_return, r.best_100, r.eval_return, r.steps_per_second);
  return out;
}

int train(const TrainFlags& f) {
  std::optional<long> horizon;
  if (!f.horizon.empty()) horizon = count_option("--horizon", f.horizon, 1, 1'000'000);
  TrainingPlan plan{.algorithm = f.algorithm,
                    .world = make_world(f.env, {}, horizon),
                    .options = {},
                    .seeds = seeds_of(f.seeds)};
  plan.steps = count_option("--steps", f.steps, 1, 1'000'000'000'000);
  plan.evaluation_episodes =
      static_cast<int>(count_option("--evaluation-episodes", f.evaluation_episodes, 1, 1'000'000));
  plan.options = make_algorithm(f.algorithm, plan.world);
  if (!f.config.empty())
    read_config(*plan.options, f.config);
  else if (const auto tuned = tuned_config(f.algorithm, plan.world))
    read_config(*plan.options, *tuned);
  for (const auto& each : f.set) {
    const std::size_t equals = each.find('=');
    expect(equals != std::string::npos, "--set needs key=value, got '", each, "'");
    set_option(*plan.options, each.substr(0, equals), each.substr(equals + 1), "--set " + each + ": ");
  }
  plan.options->check(plan.world, plan.steps);
  if (!f.checkpoint_every.empty())
    plan.checkpoint_every = count_option("--checkpoint-every", f.checkpoint_every, 0, 1'000'000'000'000);
  if (!f.measure_variance.empty()) plan.measure_variance = measure_variance_of(f.measure_variance);

  if (f.overwrite) remove_run(f.out);
  OutputDirectory directory(f.out, as_json(plan));
  const std::vector<SeedResult> results = run_training(plan, directory);
  draw(directory);
  directory.finish(0);
  print(as_text(results));
  return 0;
}

}  // namespace

void add_train(CLI::App& app, int& status) {
  auto* command = app.add_subcommand("train", "learn a policy, with several seeds");
  auto f = std::make_shared<TrainFlags>();
  command->add_option("algorithm", f->algorithm, "see lowvar list algorithms")->required();
  command->add_option("--env", f->env, "world id, or mdp:FILE")->required();
  command->add_option("--seeds", f->seeds, "0..9 (inclusive), 3, or 1,4..6")->capture_default_str();
  command->add_option("--steps", f->steps, "environment steps of each seed")->capture_default_str();
  command->add_option("--horizon", f->horizon, "time limit of an episode (default: the world's)");
  command->add_option(
      "--config", f->config,
      "TOML file of options (default: experiments/configs/ALGORITHM_WORLD.toml, where there is one)");
  command->add_option("--set", f->set, "key=value, an option; may be given again, and comes after --config");
  command->add_option("--measure-variance", f->measure_variance, "every=K,estimators=A:B[,trajectories=N]");
  command->add_option("--evaluation-episodes", f->evaluation_episodes, "of the greedy policy")
      ->capture_default_str();
  command->add_option(
      "--checkpoint-every", f->checkpoint_every,
      "updates of a seed between its checkpoints; 0: none but the last (default: about 30 s)");
  command->add_option("--out", f->out, "directory for the results")->required();
  add_overwrite(*command, f->overwrite);
  command->callback([=, &status] { status = train(*f); });
}

}  // namespace lowvar::cli
