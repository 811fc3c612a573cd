// The variance ladder: how the variance, bias and cost of one trajectory's policy gradient estimate change,
// rung by rung, from REINFORCE to PPO; on three worlds with exact answers and on CartPole. All rungs of a
// world see the same trajectories. The last rung is PPO's clipped surrogate after an update: at the policy
// one step along the gradient, with a mean KL of 0.01, on data from before the step.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/exact/tabular.h"
#include "algorithms/train/policy_gradient.h"
#include "experiments/figures/figures.h"
#include "experiments/output.h"
#include "experiments/worlds.h"

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
constexpr int reference = 6;  // togo-value: unbiased with any critic

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
  return step_to_kl(before.policy, before.theta, direction, {{}, &batch.observation}, weight, update_kl);
}

std::string field(const std::optional<double>& x) { return x ? number(*x) : ""; }

}  // namespace

int run_ladder(Effort effort, bool check, const std::filesystem::path& out) {
  const auto trajectories = [&](const Panel& p) {
    return effort == Effort::smoke ? p.smoke : effort == Effort::quick ? p.quick : p.full;
  };
  nlohmann::ordered_json config{{"figure", "ladder"}, {"seed", seed}, {"update_kl", update_kl}};
  for (const Panel& p : panels) config["trajectories"][p.world] = trajectories(p);
  for (const Line& line : ladder) config["rungs"].push_back(line.name);
  OutputDirectory directory(out, config);

  Csv csv({"world", "rung", "label", "trace_cov", "trace_cov_se", "trace_cov_exact", "bias", "bias_se",
           "bias_exact", "bias_of", "cost_steps", "cost_policy_rows", "cost_value_rows", "ratio", "ratio_se",
           "n", "note"});
  fmt::print("{:<14} {:<34} {:>12} {:>10} {:>12} {:>9} {:>11}\n", "world", "rung", "variance", "+-", "exact",
             "ratio", "bias");
  for (const Panel& panel : panels) {
    const World world = make_world(panel.world, {}, {});
    const PolicyChoice before = make_policy(world, "reference");
    const auto N = trajectories(panel);
    const auto pilot = static_cast<int>(std::min<long>(N, 4096));
    const FittedCritic critic = make_critic(world, before, world.mdp ? "exact" : "learned", pilot, seed);
    const Constants constants = make_constants(world, before, pilot, seed);
    const Parameters after = updated(world, before, critic.critic, constants, pilot);

    std::vector<Rung> rungs;
    std::vector<Truth> truth;
    std::vector<std::string> reason;
    for (const Line& line : ladder) {
      const bool updated_rung = &line == std::end(ladder) - 1;
      rungs.push_back({make_estimator(line.name), updated_rung ? &after : &before.theta});
      auto answer = ask_oracle(world, before.policy, *rungs.back().theta, before.theta,
                               rungs.back().estimator, critic.table);
      truth.push_back(std::move(answer.truth));
      reason.push_back(std::move(answer.reason));
    }
    Progress progress(panel.world);
    const Measured measured = measure(
        world, before.policy, before.theta, rungs, critic.critic, constants,
        {.trajectories = N, .seed = seed, .relative_to = reference, .progress = [&](long done, long total) {
           progress(done, total);
         }});

    for (std::size_t i = 0; i < rungs.size(); ++i) {
      const auto of_reference = quantities(measured, rungs, truth, static_cast<int>(i), reference);
      const auto of_reinforce = quantities(measured, rungs, truth, static_cast<int>(i), 0);
      const auto find = [](const std::vector<Quantity>& list, std::string_view name) {
        for (const auto& q : list)
          if (q.name == name) return q;
        return Quantity{"", {NAN, NAN}, {}};
      };
      const bool paired = truth[i].gradient.empty(), itself = paired && static_cast<int>(i) == reference;
      const Quantity trace = find(of_reference, "trace_cov"), ratio = find(of_reinforce, "ratio:reinforce"),
                     bias = itself   ? Quantity{"", {NAN, NAN}, {}}
                            : paired ? find(of_reference, "difference:togo-value")
                                     : find(of_reference, "bias_norm");
      const auto cost = [&](const char* name) { return number(find(of_reference, name).sampled.value); };
      const std::string rung = ladder[i].name + std::string(rungs[i].theta == &after ? after_update : "");
      const std::string note = i == 0        ? fmt::format("γ = {}, horizon {}", world.gamma, world.T)
                               : trace.exact ? ""
                                             : reason[i];
      csv.add({panel.world, rung, ladder[i].label, number(trace.sampled.value), number(trace.sampled.se),
               field(trace.exact), number(bias.sampled.value), number(bias.sampled.se), field(bias.exact),
               paired ? "togo-value" : "gradient", cost("env_steps"), cost("policy_rows"), cost("value_rows"),
               number(ratio.sampled.value), number(ratio.sampled.se), std::to_string(measured.trajectories),
               note});
      fmt::print("{:<14} {:<34} {:>12.5g} {:>10.2g} {:>12} {:>9.3g} {:>11.3g}\n", panel.world, rung,
                 trace.sampled.value, trace.sampled.se,
                 trace.exact ? fmt::format("{:.5g}", *trace.exact) : "-", ratio.sampled.value,
                 bias.sampled.value);
    }
  }
  directory.write("ladder.csv", csv.text());
  draw("ladder", out);
  directory.adopt("ladder.svg");
  directory.adopt("ladder.png");
  const int status = check && !check_claims("ladder", out / "ladder.csv") ? 1 : 0;
  directory.finish(status);
  fmt::print("wrote {}\n", (out / "ladder.svg").string());
  return status;
}

}  // namespace lowvar
