// Engstrom et al. 2020: what holds PPO near its old policy, and what its code adds to its objective. Above,
// along runs with a clip of 0.2 and without any: the largest ratio of a batch and the mean divergence of each
// update (their figure 2). Below, PPO and TRPO with and without the details of the code (their table 2), and
// PPO with one of four details off at a time (their figure 1).
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

// All nine details are on in the settings that both algorithms begin with.
const Options value_clip_off = {{"value_clip", "0"}}, reward_scaling_off = {{"normalise_rewards", "false"}},
              orthogonal_off = {{"initialisation", "uniform"}}, annealing_off = {{"anneal", "false"}},
              others_off = {{"normalise_observations", "false"},
                            {"activation", "relu"},
                            {"max_gradient_norm", "0"}},
              no_clip = {{"estimator", "gae:0.95+undiscounted"}, {"surrogate", "ratio"}};

Options operator+(Options a, const Options& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
const Options all_off = value_clip_off + reward_scaling_off + orthogonal_off + annealing_off + others_off;

struct Variant {
  const char *name, *part, *algorithm;
  Options options;
};
const std::vector<Variant> variants = {
    {"PPO", "table", "ppo", {}},
    {"PPO-M", "table", "ppo", all_off},
    {"PPO-NoClip", "table", "ppo", no_clip},
    {"TRPO", "table", "trpo", all_off},
    {"TRPO+", "table", "trpo", {}},
    {"without value clipping", "toggle", "ppo", value_clip_off},
    {"without reward scaling", "toggle", "ppo", reward_scaling_off},
    {"without orthogonal weights", "toggle", "ppo", orthogonal_off},
    {"without annealing", "toggle", "ppo", annealing_off},
};

/// Table 2, of version 2 of the worlds; 95 % intervals.
struct Published {
  const char *world, *variant;
  double value, low, high;
};
constexpr Published published[] = {
    {"Walker2d", "PPO", 3292, 3157, 3426},        {"Walker2d", "PPO-M", 2735, 2602, 2866},
    {"Walker2d", "PPO-NoClip", 2867, 2701, 3024}, {"Walker2d", "TRPO", 2791, 2709, 2873},
    {"Walker2d", "TRPO+", 3050, 2976, 3126},      {"Hopper", "PPO", 2513, 2391, 2632},
    {"Hopper", "PPO-M", 2142, 2008, 2279},        {"Hopper", "PPO-NoClip", 2371, 2316, 2424},
    {"Hopper", "TRPO", 2043, 1948, 2136},         {"Hopper", "TRPO+", 2466, 2381, 2549},
};

constexpr double epsilon = 0.2;

/// What updates have in common.
struct Updates {
  double largest_kl = 0, mean_kl = 0, largest_ratio = 0;
  double beyond = 0, least_beyond = 1;  // the part of them past 1 + epsilon
  int count = 0;

  void add(double kl, double max_ratio) {
    largest_kl = std::max(largest_kl, kl), largest_ratio = std::max(largest_ratio, max_ratio);
    mean_kl += kl, beyond += max_ratio > 1 + epsilon;
    ++count;
  }
};

}  // namespace

Reproduction run_engstrom_toggles(Effort effort, bool check, const std::filesystem::path& out) {
  const bool full = effort == Effort::full;
  const std::vector<std::string> ids = full ? std::vector<std::string>{"Walker2d-v5", "Hopper-v5"}
                                            : std::vector<std::string>{"CartPole-v1", "Pendulum-v1"};
  const int seeds = static_cast<int>(choose(effort, 2, 3, 10));
  const long steps = choose(effort, 16'384, 32'768, 1'000'000);
  OutputDirectory directory(
      out, {{"figure", "engstrom-toggles"}, {"worlds", ids}, {"seeds", seeds}, {"steps", steps}});
  Parts parts(directory);
  std::string text;
  Csv csv({"part", "world", "variant", "seed", "update", "kl", "max_ratio", "beyond", "return", "se", "low",
           "high", "n"});
  for (const std::string& id : ids)
    parts(csv, text, [&] {
      const World world = make_world(id, {}, {});
      std::vector<Trainee> all;
      for (const Variant& each : variants)
        for (int seed = 0; seed < seeds; ++seed)
          all.push_back(
              {&world,
               configured(each.algorithm, world,
                          each.algorithm == std::string("ppo") ? "ppo_mujoco_cleanrl" : "trpo_engstrom",
                          each.options),
               steps, static_cast<std::uint64_t>(seed), true});
      const auto courses = train_all("engstrom-toggles " + id, all, parts.keeper());
      const auto course = [&](std::size_t k, int seed) -> const Course& {
        return courses[k * static_cast<std::size_t>(seeds) + static_cast<std::size_t>(seed)];
      };
      std::map<std::string, Estimate> mean;
      for (std::size_t k = 0; k < variants.size(); ++k) {
        const Variant& v = variants[k];
        std::vector<double> returns;
        Updates updates;
        for (int seed = 0; seed < seeds; ++seed) {
          const Course& c = course(k, seed);
          returns.push_back(c.final_return());
          for (std::size_t u = 0; u < c.kl.size(); ++u) {
            updates.add(c.kl[u], c.max_ratio[u]);
            if (seed > 0 || std::string(v.part) == "toggle") continue;  // one run is drawn
            csv.add_some({{"part", "update"},
                          {"world", id},
                          {"variant", v.name},
                          {"seed", seed},
                          {"update", u},
                          {"kl", c.kl[u]},
                          {"max_ratio", c.max_ratio[u]}});
          }
        }
        const Estimate& R = mean[v.name] = mean_of(returns);
        csv.add_some({{"part", v.part},
                      {"world", id},
                      {"variant", v.name},
                      {"kl", updates.mean_kl / updates.count},
                      {"beyond", updates.beyond / updates.count},
                      {"return", R.value},
                      {"se", R.se},
                      {"low", R.value - 1.96 * R.se},
                      {"high", R.value + 1.96 * R.se},
                      {"n", seeds}});
        csv.add_some({{"part", "largest"},
                      {"world", id},
                      {"variant", v.name},
                      {"kl", updates.largest_kl},
                      {"max_ratio", updates.largest_ratio}});
        text += fmt::format(
            "{:<12} {:<28} {:>9.1f} +- {:>6.1f}  kl {:.4f} (at most {:.4f})  ratio beyond 1.2 in {:>4.0f} % "
            "of updates\n",
            id, v.name, R.value, R.se, updates.mean_kl / updates.count, updates.largest_kl,
            100 * updates.beyond / updates.count);
      }
      // Average improvement of the algorithm, and of the code, as they define them.
      const auto gap = [&](const char* a, const char* b) { return std::abs(mean[a].value - mean[b].value); };
      csv.add_some({{"part", "gaps"},
                    {"world", id},
                    {"variant", "algorithm"},
                    {"return", std::max(gap("PPO", "TRPO+"), gap("PPO-M", "TRPO"))}});
      csv.add_some({{"part", "gaps"},
                    {"world", id},
                    {"variant", "code"},
                    {"return", std::max(gap("PPO", "PPO-M"), gap("TRPO+", "TRPO"))}});
    });
  // Of all worlds: the smallest part that goes beyond, and the largest divergence and ratio.
  std::map<std::string, Updates> worst;
  for (const auto& row : parse_csv(csv.text())) {
    const auto number_of = [&](const char* column) { return std::stod(row.at(column)); };
    Updates& all = worst[row.at("variant")];
    if (row.at("part") == "largest") all.add(number_of("kl"), number_of("max_ratio"));
    if (row.at("part") == "table") all.least_beyond = std::min(all.least_beyond, number_of("beyond"));
  }
  for (const Variant& v : variants)
    if (v.part == std::string("table"))
      csv.add_some({{"part", "all"},
                    {"variant", v.name},
                    {"kl", worst[v.name].largest_kl},
                    {"max_ratio", worst[v.name].largest_ratio},
                    {"beyond", worst[v.name].least_beyond}});
  for (const Published& p : published)
    csv.add_some({{"part", "published"},
                  {"world", std::string(p.world) + "-v5"},
                  {"variant", p.variant},
                  {"return", p.value},
                  {"low", p.low},
                  {"high", p.high}});
  return publish("engstrom-toggles", directory, csv, check, std::move(text));
}

}  // namespace lowvar
