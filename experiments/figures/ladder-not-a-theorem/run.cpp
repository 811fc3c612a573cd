// The ladder is not a theorem: on how many random MDPs a rung has more variance than the one above it, by
// exact recursion, and three MDPs of two steps on which it does. g is a sum over steps, so its variance is
// the sum of the steps' own variances and of the covariances across time. Where every step has parameters of
// its own (`unrolled`) nothing is correlated across time, and only the first part is left: that tells by
// which of the two a rung fails.
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <span>

#include "core/parallel.h"
#include "experiments/figures/figures.h"
#include "experiments/figures/ladder-not-a-theorem/baselines.h"
#include "experiments/parts.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

// Two more rungs: reward to go minus b_t(s).
constexpr const char* per_state = "togo-optimal-state";  // the best b of each step's own variance
constexpr const char* best = "togo-optimal";             // the best b of the variance of the sum
struct Pair {
  const char *above, *rung, *label;
};
constexpr Pair ladder[] = {
    {"reinforce", "reinforce-mean", "REINFORCE → minus E R"},
    {"reinforce-mean", "reinforce-optimal", "minus E R → minus b*"},
    {"reinforce-optimal", "reinforce-per-parameter", "minus b* → minus b*ᵢ"},
    {"reinforce", "togo", "REINFORCE → reward to go"},
    {"togo", "togo-time", "reward to go → minus its mean at t"},
    {"togo-time", "togo-value", "minus its mean at t → minus V(s)"},
    {"togo", "togo-value", "reward to go → minus V(s)"},
    {"togo-value", per_state, "minus V(s) → minus b*(s)"},
    {per_state, best, "minus b*(s) → minus the best b(s)"},
    {"togo-value", "gae:0.95", "minus V(s) → GAE, λ = 0.95"},
    {"gae:0.95", "gae:0.5", "GAE, λ = 0.95 → λ = 0.5"},
    {"gae:0.5", "td", "GAE, λ = 0.5 → one step"},
};
constexpr int horizon = 4;
constexpr Pair by_horizon[] = {ladder[0], ladder[3], ladder[6], ladder[7]};
constexpr int horizons[] = {1, 2, 3, 4, 6, 8, 12, 16};

double variance(const Mdp& mdp, const Array<double>& pi, std::string_view rung) {
  const Array<double> V = state_values(mdp, pi);
  if (rung == per_state) return togo_variance(mdp, pi, per_state_baseline(mdp, pi, V));
  if (rung == best) return togo_variance(mdp, pi, best_baseline(mdp, pi));
  return trace(exact_moments(rung, mdp, pi, V));
}

/// What became of a pair of rungs on one MDP.
struct Verdict {
  double ratio;      // of the rung's variance to that of the one above
  bool more;         // it has more
  bool across_time;  // but not where every step has parameters of its own

  template <class F>
  void visit(F&& f) {
    f("ratio", ratio), f("more", more), f("across_time", across_time);
  }
};
Verdict judge(const Case& c, double above, double rung, const Pair& pair) {
  const auto exceeds = [](double x, double y) { return x > y * (1 + 1e-9); };
  if (!exceeds(rung, above)) return {rung / above, false, false};
  const Case apart = unrolled(c);
  return {rung / above, true,
          !exceeds(variance(apart.mdp, apart.pi, pair.rung), variance(apart.mdp, apart.pi, pair.above))};
}

/// MDP k: `--env garnet:3:2:3:K --policy init:K --horizon T`.
Case random_case(int k, int T) {
  const World world = make_world(fmt::format("garnet:3:2:3:{}", k), {}, T);
  const PolicyChoice choice = make_policy(world, fmt::format("init:{}", k));
  return {*world.mdp, table_of(world, choice.policy, choice.theta)};
}

/// Verdicts [pair][MDP] on the random MDPs 0 .. n-1.
std::vector<std::vector<Verdict>> judge_random(std::span<const Pair> pairs, int T, int n) {
  std::vector<std::vector<Verdict>> out(pairs.size(), std::vector<Verdict>(static_cast<std::size_t>(n)));
  Progress progress(fmt::format("random MDPs, T = {}", T));
  constexpr int shard = 16;
  const auto produce = [&](int i) {
    std::vector<Verdict> judged;  // MDP by MDP, each pair
    for (int k = i * shard; k < std::min(n, (i + 1) * shard); ++k) {
      const Case c = random_case(k, T);
      std::map<std::string, double> known;
      const auto of = [&](const char* rung) {
        if (!known.contains(rung)) known[rung] = variance(c.mdp, c.pi, rung);
        return known[rung];
      };
      for (const Pair& pair : pairs) judged.push_back(judge(c, of(pair.above), of(pair.rung), pair));
    }
    return judged;
  };
  ordered_reduce((n + shard - 1) / shard, produce, [&](int i, const std::vector<Verdict>& judged) {
    for (std::size_t k = 0; k < judged.size(); ++k)
      out[k % pairs.size()][static_cast<std::size_t>(i * shard) + k / pairs.size()] = judged[k];
    progress(std::min(n, (i + 1) * shard), n);
  });
  return out;
}

struct Example {
  const char* name;
  Case at;
};
/// Two steps from state 0 with gamma 1, and the chain.
std::vector<Example> examples() {
  using List = std::vector<Outcome>;
  const auto a = [](int s, int action) { return List{{1 - action, 1, s == 0 && action == 0 ? 3.0 : -2.0}}; };
  const auto b = [](int, int action) { return List{{0, 1, action == 0 ? -2.0 : 3.0}}; };
  const auto c = [](int s, int action) {
    constexpr double to_0[2][2] = {{0.6, 0}, {1, 0.2}}, r[2][2] = {{-1, -1}, {2, 1}};
    return List{{0, to_0[s][action], r[s][action]}, {1, 1 - to_0[s][action], r[s][action]}};
  };
  const World world = make_world("chain", {}, {});
  const PolicyChoice choice = make_policy(world, "reference");
  return {{"A", {make_mdp(2, 2, 1, 2, {1, 0}, {0, 0}, a), {{0.3, 0.7}, {0.4, 0.6}}}},
          {"B", {make_mdp(1, 2, 1, 2, {1}, {0}, b), {{0.1, 0.9}}}},
          {"C", {make_mdp(2, 2, 1, 2, {1, 0}, {0, 0}, c), {{0.9, 0.1}, {0.5, 0.5}}}},
          {"chain", {*world.mdp, table_of(world, choice.policy, choice.theta)}}};
}

/// A share k / n with its standard error and 95 % interval (Wilson 1927).
struct Share {
  double value, se, low, high;
};
Share share(double k, double n) {
  constexpr double z = 1.959963984540054;
  const double p = k / n, scale = 1 + z * z / n, middle = (p + z * z / (2 * n)) / scale,
               half = z * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale;
  return {p, std::sqrt(p * (1 - p) / n), std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

}  // namespace

Reproduction run_ladder_not_a_theorem(Effort effort, bool check, const std::filesystem::path& out) {
  const auto n = static_cast<int>(choose(effort, 1000, 20'000, 200'000));
  OutputDirectory directory(out, {{"figure", "ladder-not-a-theorem"},
                                  {"mdps", n},
                                  {"mdp", "garnet:3:2:3:K"},
                                  {"policy", "init:K"},
                                  {"mdps_of_each_horizon", n / 4}});
  std::string text;
  Csv csv({"part", "T", "label", "above", "rung", "quantity", "value", "se", "low", "high", "n"});

  const auto tally = [&](const char* part, std::span<const Pair> pairs, int T, int mdps) {
    const auto verdicts = judge_random(pairs, T, mdps);
    for (std::size_t j = 0; j < pairs.size(); ++j) {
      const auto& [above, rung, label] = pairs[j];
      const auto add = [&](const std::string& quantity, const Share& x, double of) {
        csv.add({{"part", part},
                 {"T", T},
                 {"label", label},
                 {"above", above},
                 {"rung", rung},
                 {"quantity", quantity},
                 {"value", x.value},
                 {"se", x.se},
                 {"low", x.low},
                 {"high", x.high},
                 {"n", of}});
      };
      double more = 0, across = 0;
      std::vector<double> ratio;
      for (const Verdict& v : verdicts[j]) more += v.more, across += v.across_time, ratio.push_back(v.ratio);
      std::sort(ratio.begin(), ratio.end());
      add("more", share(more, mdps), mdps);
      if (more > 0) add("across_time", share(across, more), more);
      for (const double q : {0.05, 0.25, 0.5, 0.75, 0.95})
        add(fmt::format("ratio_{}", q), {ratio[static_cast<std::size_t>(q * (mdps - 1))], NAN, NAN, NAN},
            mdps);
      if (pairs.size() == std::size(ladder))
        text += fmt::format(
            "{:<36} more variance on {:5.2f} % of {} MDPs{}\n", label, 100 * more / mdps, mdps,
            more > 0 ? fmt::format(", {:.0f} % of them across time only", 100 * across / more) : "");
    }
  };
  Parts parts(directory);
  parts(csv, text, [&] { tally("ladder", ladder, horizon, n); });
  for (const int T : horizons) parts(csv, text, [&] { tally("horizon", by_horizon, T, n / 4); });

  for (const auto& [name, at] : examples()) {
    const Case apart = unrolled(at);
    for (const char* rung : {"reinforce", "togo", "togo-value", per_state, best}) {
      const double total = variance(at.mdp, at.pi, rung),
                   steps = rung == best
                               ? togo_variance(apart.mdp, apart.pi, tiled(best_baseline(at.mdp, at.pi)))
                               : variance(apart.mdp, apart.pi, rung);
      for (const auto& [quantity, value] :
           {std::pair("variance", total), {"of_steps", steps}, {"across_time", total - steps}})
        csv.add_some({{"part", "example"},
                      {"T", at.mdp.T},
                      {"label", name},
                      {"rung", rung},
                      {"quantity", quantity},
                      {"value", value}});
    }
  }
  return publish("ladder-not-a-theorem", directory, csv, check, std::move(text));
}

}  // namespace lowvar
