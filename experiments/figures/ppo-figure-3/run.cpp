// PPO beside TRPO and A2C on seven worlds of MuJoCo (Schulman et al. 2017, figure 3): the mean return of the
// last 100 episodes along training, in bands over seeds, beside what others have published for a million
// steps. In full these are a million steps of three seeds; else the first part of them.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "experiments/figures/figures.h"
#include "experiments/figures/trainings.h"
#include "experiments/parts.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

struct Method {
  const char *name, *config;
};
constexpr Method methods[] = {{"ppo", "ppo_mujoco_cleanrl"}, {"a2c", "a2c_mujoco"}, {"trpo", "trpo_mujoco"}};

/// Returns at a million steps; NaN: none published.
struct Published {
  const char *world, *source, *method;
  double value, spread;
};
constexpr double none = std::numeric_limits<double>::quiet_NaN();
constexpr Published published[] = {
    {"HalfCheetah", "CleanRL", "ppo", 1442.64, 46.03},
    {"Hopper", "CleanRL", "ppo", 2382.86, 271.74},
    {"Walker2d", "CleanRL", "ppo", 2287.95, 571.78},
    {"InvertedPendulum", "CleanRL", "ppo", 963.09, 22.20},
    {"HalfCheetah", "Baselines", "trpo", 1289.7, none},
    {"Hopper", "Baselines", "trpo", 1912.9, none},
    {"InvertedDoublePendulum", "Baselines", "trpo", 6731.63, none},
    {"InvertedPendulum", "Baselines", "trpo", 905.1, none},
    {"Reacher", "Baselines", "trpo", -4.82, none},
    {"Swimmer", "Baselines", "trpo", 94.96, none},
    {"Walker2d", "Baselines", "trpo", 2342.63, none},
    {"HalfCheetah", "Tianshou, best", "a2c", 1829.9, 1068.3},
    {"Hopper", "Tianshou, best", "a2c", 1253.2, 458.0},
    {"InvertedDoublePendulum", "Tianshou, best", "a2c", 9257.7, 277.4},
    {"InvertedPendulum", "Tianshou, best", "a2c", 1000.0, 0.0},
    {"Reacher", "Tianshou, best", "a2c", -6.7, 2.3},
    {"Swimmer", "Tianshou, best", "a2c", 36.6, 2.1},
    {"Walker2d", "Tianshou, best", "a2c", 1091.6, 709.2},
    {"HalfCheetah", "Schulman 2017", "ppo", 1800, none},
    {"Hopper", "Schulman 2017", "ppo", 2330, none},
    {"InvertedDoublePendulum", "Schulman 2017", "ppo", 8000, none},
    {"InvertedPendulum", "Schulman 2017", "ppo", 1000, none},
    {"Reacher", "Schulman 2017", "ppo", -7, none},
    {"Swimmer", "Schulman 2017", "ppo", 108, none},
    {"Walker2d", "Schulman 2017", "ppo", 3460, none},
    {"HalfCheetah", "Schulman 2017", "trpo", 0, none},
    {"Hopper", "Schulman 2017", "trpo", 2100, none},
    {"InvertedDoublePendulum", "Schulman 2017", "trpo", 200, none},
    {"InvertedPendulum", "Schulman 2017", "trpo", 1000, none},
    {"Reacher", "Schulman 2017", "trpo", -115, none},
    {"Swimmer", "Schulman 2017", "trpo", 121, none},
    {"Walker2d", "Schulman 2017", "trpo", 1100, none},
    {"HalfCheetah", "Schulman 2017", "a2c", 1000, none},
    {"Hopper", "Schulman 2017", "a2c", 900, none},
    {"InvertedDoublePendulum", "Schulman 2017", "a2c", 7100, none},
    {"InvertedPendulum", "Schulman 2017", "a2c", 1000, none},
    {"Reacher", "Schulman 2017", "a2c", -24, none},
    {"Swimmer", "Schulman 2017", "a2c", 31, none},
    {"Walker2d", "Schulman 2017", "a2c", 850, none},
};

constexpr int points = 50;  // of a curve

}  // namespace

Reproduction run_ppo_figure_3(Effort effort, bool check, const std::filesystem::path& out) {
  const std::vector<std::string> ids =
      effort == Effort::smoke
          ? std::vector<std::string>{"InvertedPendulum-v5", "Reacher-v5"}
          : std::vector<std::string>{"HalfCheetah-v5",      "Hopper-v5",  "InvertedDoublePendulum-v5",
                                     "InvertedPendulum-v5", "Reacher-v5", "Swimmer-v5",
                                     "Walker2d-v5"};
  const int seeds = static_cast<int>(choose(effort, 2, 2, 3));
  const long steps = choose(effort, 12'288, 40'960, 1'000'000);
  OutputDirectory directory(
      out, {{"figure", "ppo-figure-3"}, {"worlds", ids}, {"seeds", seeds}, {"steps", steps}});
  Parts parts(directory);
  std::string text;
  Csv csv({"part", "world", "method", "source", "step", "return", "se", "low", "high", "least", "most",
           "untrained", "gain", "n"});
  for (const std::string& id : ids)
    parts(csv, text, [&] {
      const World world = make_world(id, {}, {});
      std::vector<Trainee> all;
      for (const Method& m : methods)
        for (int seed = 0; seed < seeds; ++seed)
          all.push_back(
              {&world, configured(m.name, world, m.config), steps, static_cast<std::uint64_t>(seed)});
      const auto courses = train_all("ppo-figure-3 " + id, all, parts.keeper());
      auto course = courses.begin();
      for (const Method& m : methods) {
        const std::span<const Course> of(&*course, static_cast<std::size_t>(seeds));
        course += seeds;
        const double untrained =
            untrained_return(all[static_cast<std::size_t>(&of.front() - courses.data())]);
        for (int k = 1; k <= points; ++k) {
          const long step = steps * k / points;
          std::vector<double> returns;
          for (const Course& c : of) returns.push_back(c.mean_return(step));
          const Estimate R = mean_of(returns);
          if (std::isnan(R.value)) continue;  // a seed has not ended an episode yet
          const auto [least, most] = std::minmax_element(returns.begin(), returns.end());
          const bool end = k == points;
          csv.add_some({{"part", end ? "end" : "curve"},
                        {"world", id},
                        {"method", m.name},
                        {"step", step},
                        {"return", R.value},
                        {"se", R.se},
                        {"low", R.value - 1.96 * R.se},
                        {"high", R.value + 1.96 * R.se},
                        {"least", *least},
                        {"most", *most},
                        {"untrained", end ? untrained : NAN},
                        {"gain", end ? R.value - untrained : NAN},
                        {"n", seeds}});
          if (end)
            text += fmt::format("{:<26} {:<5} {:>9.1f} +- {:>7.1f} after {} steps, untrained {:.1f}\n", id,
                                m.name, R.value, R.se, steps, untrained);
        }
      }
    });
  for (const Published& p : published)
    csv.add_some({{"part", "published"},
                  {"world", std::string(p.world) + "-v5"},
                  {"method", p.method},
                  {"source", p.source},
                  {"step", 1'000'000},
                  {"return", p.value},
                  {"se", p.spread}});
  return publish("ppo-figure-3", directory, csv, check, std::move(text));
}

}  // namespace lowvar
