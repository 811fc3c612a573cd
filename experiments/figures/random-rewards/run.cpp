// Rewards that say nothing, and the clip: a softmax bandit whose rewards are fair coins, whatever the arm,
// two minibatches of GRPO's update from one policy, and what they do to the entropy on average. Exact, by
// every pair of groups; what the second is expected to do after the first is also a closed form.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "algorithms/exact/two_minibatches.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"

namespace lowvar {
namespace {

constexpr double pi_old[] = {0.6, 0.2, 0.1, 0.06, 0.04};
constexpr int G = 4;
struct NamedClip {
  const char* name;
  ClipRange clip;
};
constexpr NamedClip clips[] = {{"none", {}},
                               {"both", {0.2, 0.2}},
                               {"low only", {.low = 0.2}},
                               {"high only", {.high = 0.2}},
                               {"0.2 and 0.28", {0.2, 0.28}}};

}  // namespace

Reproduction run_random_rewards(Effort effort, bool check, const std::filesystem::path& out) {
  std::vector<double> steps{0.25, 0.5, 1, 2};
  const auto cells = static_cast<int>(choose(effort, 0, 40, 400));
  for (int i = 1; i <= cells; ++i) steps.push_back(2.0 * i / cells);
  std::ranges::sort(steps);
  steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  OutputDirectory directory(out, {{"figure", "random-rewards"}, {"steps", steps}});
  std::string text;
  Csv csv({"part", "eta", "clip", "value", "H1", "H2", "second", "of_clip", "without_clip",
           "second_without_clip", "top1", "top2", "outside", "pull", "apart"});
  const std::vector<CoinGroup> groups = coin_groups(pi_old, G, group_normalised_advantage(1));
  double total = 0, up = 0, H = 0;
  for (const CoinGroup& each : groups) {
    total += each.probability;
    for (const double x : each.up) up += each.probability * x;
  }
  for (const double p : pi_old) H -= p * std::log(p);
  for (const auto& [name, value] : {std::pair{"groups", static_cast<double>(groups.size())},
                                    {"probability", total},
                                    {"positive advantage", up},
                                    {"entropy", H}})
    csv.add_some({{"part", "start"}, {"clip", name}, {"value", value}});
  Parts parts(directory);
  for (const double eta : steps)
    parts(csv, text, [&] {
      TwoMinibatches none;
      for (const auto& [name, clip] : clips) {
        const TwoMinibatches c = two_minibatches(pi_old, groups, eta, clip);
        if (&clip == &clips[0].clip) none = c;
        csv.add_some({{"part", "change"},
                      {"eta", fmt::format("{}", eta)},
                      {"clip", name},
                      {"H1", c.H1},
                      {"H2", c.H2},
                      {"second", c.H2 - c.H1},
                      {"of_clip", c.H2 - none.H2},
                      {"without_clip", none.H2 / c.H2},
                      {"second_without_clip", (none.H2 - none.H1) / (c.H2 - c.H1)},
                      {"top1", c.top1},
                      {"top2", c.top2},
                      {"outside", c.outside},
                      {"pull", c.pull},
                      {"apart", c.apart}});
        if (eta == 0.5 || eta == 1)
          text += fmt::format("eta {:<4} clip {:<13} entropy {:+.6f}, of the clip {:+.6f}; top arm {:+.6f}\n",
                              eta, name, c.H2, c.H2 - none.H2, c.top2);
      }
    });
  return publish("random-rewards", directory, csv, check, std::move(text));
}

}  // namespace lowvar
