// The ablation of surrogates of Schulman et al. 2017, table 1: no clipping or penalty, three clips, adaptive
// and fixed penalties, each trained on a suite of worlds and scored by its last 100 episodes, 0 for the
// untrained policy and 1 for the best setting of a world. Worlds on MuJoCo in full, classic control else.
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "experiments/figures/figures.h"
#include "experiments/figures/trainings.h"
#include "experiments/parts.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

using Options = std::vector<std::pair<std::string, std::string>>;

struct Setting {
  const char* name;
  Options options;
  double paper;  // table 1
};

Options clipped(const char* epsilon) {
  return {{"estimator", fmt::format("ppo-clip:{}+undiscounted", epsilon)}};
}
Options penalised(const char* coefficient, const char* target) {
  return {{"estimator", "gae:0.95+undiscounted"},
          {"surrogate", "ratio"},
          {"kl_coefficient", coefficient},
          {"kl_target", target}};
}

const std::vector<Setting> settings = {
    {"no clipping or penalty", penalised("0", "0"), -0.39},
    {"clip 0.1", clipped("0.1"), 0.76},
    {"clip 0.2", clipped("0.2"), 0.82},
    {"clip 0.3", clipped("0.3"), 0.70},
    {"adaptive KL 0.003", penalised("1", "0.003"), 0.68},
    {"adaptive KL 0.01", penalised("1", "0.01"), 0.74},
    {"adaptive KL 0.03", penalised("1", "0.03"), 0.71},
    {"fixed KL 0.3", penalised("0.3", "0"), 0.62},
    {"fixed KL 1", penalised("1", "0"), 0.71},
    {"fixed KL 3", penalised("3", "0"), 0.72},
    {"fixed KL 10", penalised("10", "0"), 0.69},
};
constexpr std::size_t of_the_paper = 2;  // clip 0.2

/// A mean over worlds of means over seeds.
struct Score {
  double mean = 0, square_of_se = 0;

  void add(Estimate of_world, double worlds) {
    mean += of_world.value / worlds;
    square_of_se += of_world.se * of_world.se / (worlds * worlds);
  }
  double se() const { return std::sqrt(square_of_se); }
};

}  // namespace

Reproduction run_ppo_table_1(Effort effort, bool check, const std::filesystem::path& out) {
  const bool full = effort == Effort::full;
  const std::vector<std::string> ids =
      full ? std::vector<std::string>{"HalfCheetah-v5",      "Hopper-v5",  "InvertedDoublePendulum-v5",
                                      "InvertedPendulum-v5", "Reacher-v5", "Swimmer-v5",
                                      "Walker2d-v5"}
      : effort == Effort::quick ? std::vector<std::string>{"CartPole-v1", "Acrobot-v1", "Pendulum-v1"}
                                : std::vector<std::string>{"CartPole-v1", "Pendulum-v1"};
  const int seeds = static_cast<int>(choose(effort, 2, 4, 3));
  const long steps = choose(effort, 16'384, 40'960, 1'000'000);
  const std::string config = full ? "ppo_mujoco_paper" : "ppo_classic";
  OutputDirectory directory(out,
                            {{"figure", "ppo-table-1"}, {"worlds", ids}, {"seeds", seeds}, {"steps", steps}});
  Parts parts(directory);
  std::string text;
  Csv csv({"part", "setting", "world", "seed", "return", "untrained", "best", "score", "se", "low", "high",
           "behind", "z", "paper"});
  for (const std::string& id : ids)
    parts(csv, text, [&] {
      const World world = make_world(id, {}, {});
      std::vector<Trainee> all;
      for (const Setting& each : settings)
        for (int seed = 0; seed < seeds; ++seed)
          all.push_back({&world, configured("ppo", world, config, each.options), steps,
                         static_cast<std::uint64_t>(seed)});
      const auto courses = train_all("ppo-table-1 " + id, all, parts.keeper());
      const double untrained = untrained_return(all.front());
      for (std::size_t i = 0; i < courses.size(); ++i) {
        const double R = courses[i].final_return();
        csv.add_some(
            {{"part", "run"},
             {"setting", settings[i / static_cast<std::size_t>(seeds)].name},
             {"world", id},
             {"seed", all[i].seed},
             {"return", std::isnan(R) ? untrained : R},  // where a fault came before an episode's end
             {"untrained", untrained}});
      }
    });

  // From what is written, so that parts of an earlier process count like any other.
  std::map<std::string, std::map<std::string, std::vector<double>>> returns;  // of world and setting
  std::map<std::string, double> untrained;
  for (const auto& row : parse_csv(csv.text())) {
    returns[row.at("world")][row.at("setting")].push_back(std::stod(row.at("return")));
    untrained[row.at("world")] = std::stod(row.at("untrained"));
  }
  std::vector<Score> total(settings.size());
  for (const std::string& id : ids) {
    double best = -INFINITY;
    for (const auto& [setting, of_seeds] : returns[id]) best = std::max(best, mean_of(of_seeds).value);
    for (std::size_t k = 0; k < settings.size(); ++k) {
      std::vector<double> scores;
      for (const double x : returns[id][settings[k].name])
        scores.push_back((x - untrained[id]) / (best - untrained[id]));
      const Estimate of_world = mean_of(scores);
      total[k].add(of_world, static_cast<double>(ids.size()));
      csv.add_some({{"part", "world"},
                    {"setting", settings[k].name},
                    {"world", id},
                    {"return", mean_of(returns[id][settings[k].name]).value},
                    {"untrained", untrained[id]},
                    {"best", best},
                    {"score", of_world.value},
                    {"se", of_world.se}});
    }
  }
  text += fmt::format("{:<24} {:>7} {:>7} {:>22} {:>7}\n", "", "score", "se", "behind clip 0.2", "paper");
  for (std::size_t k = 0; k < settings.size(); ++k) {
    const double behind = total[of_the_paper].mean - total[k].mean,
                 se = k == of_the_paper ? 0 : std::hypot(total[of_the_paper].se(), total[k].se());
    csv.add_some({{"part", "table"},
                  {"setting", settings[k].name},
                  {"score", total[k].mean},
                  {"se", total[k].se()},
                  {"low", total[k].mean - 1.96 * total[k].se()},
                  {"high", total[k].mean + 1.96 * total[k].se()},
                  {"behind", behind},
                  {"z", se > 0 ? behind / se : NAN},
                  {"paper", settings[k].paper}});
    text += fmt::format("{:<24} {:>7.3f} {:>7.3f} {:>12.3f} +- {:>6.3f} {:>7.2f}\n", settings[k].name,
                        total[k].mean, total[k].se(), behind, se, settings[k].paper);
  }
  return publish("ppo-table-1", directory, csv, check, std::move(text));
}

}  // namespace lowvar
