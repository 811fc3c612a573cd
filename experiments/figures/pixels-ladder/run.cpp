// The ladder of estimators where policies look at pixels: the next update of a run of PPO, drawn again and
// again before some of its updates, as `lowvar variance --of-run` does.
#include <fmt/format.h>

#include <cmath>

#include "experiments/figures/figures.h"
#include "experiments/figures/gradients_of_runs.h"
#include "experiments/figures/trainings.h"
#include "experiments/parts.h"
#include "experiments/study.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

constexpr std::uint64_t seed = 0;

/// The first is what the others are compared with.
const std::vector<std::string> ladder = {"togo+undiscounted", "togo-value+undiscounted",
                                         "gae:0.95+undiscounted", "gae:0.5+undiscounted", "td+undiscounted"};

using Settings = std::vector<std::pair<std::string, std::string>>;
struct Panel {
  const char* world;
  Effort from;  // the least effort that draws it
  Settings settings;
  long updates[3];  // before which the run is looked at, by effort
};
const std::vector<Panel> panels = {
    {"MinAtar/Breakout-v1",
     Effort::smoke,
     {{"envs", "64"}, {"rollout", "32"}, {"learning_rate", "2.5e-3"}, {"epochs", "3"}, {"minibatches", "4"}},
     {2, 12, 200}},
    {"retro:Rockbelt-Nes:noop=30",
     Effort::quick,
     {{"envs", "16"},
      {"rollout", "32"},
      {"learning_rate", "5e-4"},
      {"epochs", "3"},
      {"minibatches", "2"},
      {"convolutions", "16,8,4,32,4,2"},
      {"hidden", "256"},
      {"normalise_rewards", "true"}},
     {1, 12, 200}}};

}  // namespace

Reproduction run_pixels_ladder(Effort effort, bool check, const std::filesystem::path& out) {
  const long batches = choose(effort, 16, 48, 256);
  const auto moments = static_cast<std::size_t>(choose(effort, 2, 2, 3));
  OutputDirectory directory(
      out, {{"figure", "pixels-ladder"}, {"seed", seed}, {"batches", batches}, {"moments", moments}});
  std::vector<Estimator> estimators;
  for (const std::string& name : ladder) estimators.push_back(make_estimator(name));

  std::string text;
  Csv csv({"world", "update", "estimator", "quantity", "value", "se", "share", "none", "n"});
  Parts parts(directory);
  for (const Panel& panel : panels) {
    if (panel.from > effort) continue;
    const World world = make_world(panel.world, {}, {});
    const auto ppo = configured("ppo", world, "", panel.settings);
    const auto run = ppo->start(world, 1'000'000, seed);
    for (const long update : std::span(panel.updates).first(moments))
      parts(csv, text, [&] {
        while (run->updates() < update) run->advance({});
        Progress progress(fmt::format("{}, update {}", world.id, update));
        std::size_t d = 0;
        for (const auto& x : run->policy_parameters()) d += x.size();
        const auto drawn = draw_updates(*run, estimators, batches, seed + 1, std::vector<double>(d), progress,
                                        parts.keeper());
        const std::vector<Truth> unknown(drawn.rungs.size());
        double first = NAN;  // the variance of the ladder's first rung
        for (std::size_t k = 0; k < drawn.rungs.size(); ++k) {
          const bool of_ladder = k >= update_rungs.size();
          const std::string& name = drawn.rungs[k].estimator.name;
          const auto all = quantities(drawn.measured, drawn.rungs, unknown, static_cast<int>(k), 0);
          for (const char* quantity : {"trace_cov", "cosine"}) {
            const Estimate x = named(all, quantity).sampled;
            const bool of_variance = std::string_view(quantity) == "trace_cov";
            if (of_variance && name == ladder.front()) first = x.value;
            const double share = of_variance && of_ladder ? x.value / first : NAN;
            csv.add({{"world", world.id},
                     {"update", update},
                     {"estimator", name},
                     {"quantity", quantity},
                     {"value", x.value},
                     {"se", x.se},
                     {"share", share},
                     {"none", std::isnan(share) ? NAN : 0},
                     {"n", batches}});
            if (of_variance && of_ladder)
              text += fmt::format("{:<26} update {:<4} {:<24} tr Cov of a batch {:.4g} +- {:.2g}\n", world.id,
                                  update, name, x.value, x.se);
          }
        }
      });
  }
  return publish("pixels-ladder", directory, csv, check, std::move(text));
}

}  // namespace lowvar
