// The variance ladder: how the variance, bias and cost of one trajectory's policy gradient estimate change,
// rung by rung, from REINFORCE to PPO; on three worlds with exact answers and on CartPole. All rungs of a
// world see the same trajectories. The last rung is PPO's clipped surrogate after an update: at the policy
// one step along the gradient, with a mean KL of 0.01, on data from before the step.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/exact/tabular.h"
#include "algorithms/train/kl_step.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"
#include "experiments/study.h"

namespace lowvar {
namespace {

struct Line {
  const char* name;
  const char* label;
};
constexpr Line ladder[] = {
    {"reinforce", "REINFORCE"},
    {"reinforce-mean", "with baseline b = J"},
    {"reinforce-optimal", "with optimal b*"},
    {"reinforce-per-parameter", "with optimal b*ᵢ per parameter"},
    {"togo", "reward to go"},
    {"togo-time", "minus its mean at t"},
    {"togo-value", "minus V(s): advantage"},
    {"gae:0.95", "GAE, λ = 0.95"},
    {"nstep:5", "5-step actor-critic"},
    {"td", "1-step actor-critic"},
    {"ppo-clip:0.2", "PPO, clip 0.2, after an update"},
};
constexpr const char* after_update = " after update";
constexpr const char* bottom = "reinforce";     // of the ratios of variances
constexpr const char* unbiased = "togo-value";  // with any critic: what stands in for an unknown gradient

struct Panel {
  const char* world;
  long smoke, quick, full;  // trajectories
};
constexpr Panel panels[] = {
    {"chain", 2000, 200'000, 1'000'000},
    {"four-rooms", 500, 20'000, 200'000},
    {"FrozenLake-v1", 2000, 200'000, 1'000'000},
    {"CartPole-v1", 100, 4000, 20'000},
};
constexpr std::uint64_t seed = 0;
constexpr double update_kl = 0.01;

/// The policy after one step along the gradient: the exact one, over the states it visits; else a pilot's,
/// over the pilot's.
Parameters updated(const World& world, const PolicyChoice& before, const Critic& critic,
                   const Constants& constants, int pilot) {
  if (world.mdp) {
    const Array<double> pi = table_of(world, before.policy, before.theta),
                        d = state_distribution(*world.mdp, pi);
    std::vector<int> states(static_cast<std::size_t>(world.mdp->S));
    std::iota(states.begin(), states.end(), 0);
    std::vector<double> visits(states.size(), 0);
    for (int t = 0; t < world.T; ++t)
      for (const int s : states) visits[static_cast<std::size_t>(s)] += d(t, s);
    return step_to_kl(before.policy, before.theta, policy_gradient(*world.mdp, pi), {states}, visits,
                      update_kl);
  }
  Trajectories batch = world.sample(before.policy, before.theta, world.T, {seed, "update", 0, pilot});
  critic(batch);
  const auto direction =
      policy_gradient_estimate(make_estimator("togo-value"), before.policy, before.theta, batch, constants);
  const std::vector<double> weight(static_cast<std::size_t>(batch.rows()), 1.0);
  return step_to_kl(before.policy, before.theta, direction, batch.inputs(), weight, update_kl);
}

/// The ladder in a world, before any sampling: `after` are the parameters of its last rung.
Lineup lineup_of(const World& world, const PolicyChoice& before, const Parameters& after,
                 const std::optional<Array<double>>& V) {
  Lineup lineup;
  for (const Line& line : ladder) {
    const Estimator estimator = make_estimator(line.name);
    const Parameters& theta = &line == std::end(ladder) - 1 ? after : before.theta;
    lineup.add(estimator, theta, ask_oracle(world, before.policy, theta, before.theta, estimator, V));
  }
  return lineup;
}

/// The distance of a rung's mean from the gradient, or, where that is unknown, from the mean of `unbiased`.
Quantity bias_of(const std::vector<Quantity>& of, const std::string& rung, bool gradient_known) {
  if (gradient_known) return named(of, "bias_norm");
  if (rung == unbiased) return {"", {NAN, NAN}, {}};
  return named(of, fmt::format("difference:{}", unbiased));
}

/// The rows of a world; a line for each.
std::string add_rungs(Csv& csv, const World& world, const Lineup& lineup, const Measured& measured,
                      const Parameters& after) {
  std::string text;
  for (const Line& line : ladder) {
    const int i = lineup.at(line.name);
    const auto k = static_cast<std::size_t>(i);
    const bool known = !lineup.truth[k].gradient.empty();
    const auto of = lineup.quantities(measured, i, unbiased);
    const Quantity trace = named(of, "trace_cov"), bias = bias_of(of, line.name, known),
                   ratio = named(lineup.quantities(measured, i, bottom), fmt::format("ratio:{}", bottom));
    const std::string rung = line.name + std::string(lineup.rungs[k].theta == &after ? after_update : "");
    const std::string note = i == lineup.at(bottom) ? fmt::format("γ = {}, horizon {}", world.gamma, world.T)
                             : trace.exact          ? ""
                                                    : lineup.reason[k];
    csv.add({{"world", world.id},
             {"rung", rung},
             {"label", line.label},
             {"trace_cov", trace.sampled.value},
             {"trace_cov_se", trace.sampled.se},
             {"trace_cov_exact", trace.exact},
             {"bias", bias.sampled.value},
             {"bias_se", bias.sampled.se},
             {"bias_exact", bias.exact},
             {"bias_of", known ? "gradient" : unbiased},
             {"cost_steps", named(of, "env_steps").sampled.value},
             {"cost_policy_rows", named(of, "policy_rows").sampled.value},
             {"cost_value_rows", named(of, "value_rows").sampled.value},
             {"ratio", ratio.sampled.value},
             {"ratio_se", ratio.sampled.se},
             {"n", measured.trajectories},
             {"note", note}});
    text += fmt::format("{:<14} {:<34} {:>12.5g} {:>10.2g} {:>12} {:>9.3g} {:>11.3g}\n", world.id, rung,
                        trace.sampled.value, trace.sampled.se,
                        trace.exact ? fmt::format("{:.5g}", *trace.exact) : "-", ratio.sampled.value,
                        bias.sampled.value);
  }
  return text;
}

}  // namespace

Reproduction run_ladder(Effort effort, bool check, const std::filesystem::path& out) {
  const auto trajectories = [&](const Panel& p) { return choose(effort, p.smoke, p.quick, p.full); };
  nlohmann::ordered_json config{{"figure", "ladder"}, {"seed", seed}, {"update_kl", update_kl}};
  for (const Panel& p : panels) config["trajectories"][p.world] = trajectories(p);
  for (const Line& line : ladder) config["rungs"].push_back(line.name);
  OutputDirectory directory(out, config);

  Csv csv({"world", "rung", "label", "trace_cov", "trace_cov_se", "trace_cov_exact", "bias", "bias_se",
           "bias_exact", "bias_of", "cost_steps", "cost_policy_rows", "cost_value_rows", "ratio", "ratio_se",
           "n", "note"});
  std::string text = fmt::format("{:<14} {:<34} {:>12} {:>10} {:>12} {:>9} {:>11}\n", "world", "rung",
                                 "variance", "+-", "exact", "ratio", "bias");
  Parts parts(directory);
  for (const Panel& panel : panels)
    parts(csv, text, [&] {
      const World world = make_world(panel.world, {}, {});
      const PolicyChoice before = make_policy(world, "reference");
      const auto N = trajectories(panel);
      const auto pilot = static_cast<int>(std::min<long>(N, 4096));
      const FittedCritic critic = make_critic(world, before, world.mdp ? "exact" : "learned", pilot, seed);
      const Constants constants = make_constants(world, before, pilot, seed);
      const Parameters after = updated(world, before, critic.critic, constants, pilot);
      const Lineup lineup = lineup_of(world, before, after, critic.table);
      Progress progress(panel.world);
      const Measured measured =
          measure(world, before.policy, before.theta, lineup.rungs, critic.critic, constants,
                  {.trajectories = N,
                   .seed = seed,
                   .relative_to = lineup.at(unbiased),
                   .progress = std::ref(progress),
                   .keeper = parts.keeper()});

      text += add_rungs(csv, world, lineup, measured, after);
    });
  return publish("ladder", directory, csv, check, std::move(text));
}

}  // namespace lowvar
