// The variance of a step's gradient estimate taken apart along a run of PPO (Tucker et al. 2018, figures 2
// and 3), by restored states: Sigma_tau, Sigma_a with and without the critic subtracted, Sigma_s; and first
// on the chain, where they are known exactly.
#include <fmt/format.h>

#include <cmath>
#include <deque>
#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/exact/decomposition.h"
#include "algorithms/exact/tabular.h"
#include "algorithms/measure/decomposition.h"
#include "experiments/algorithms.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"
#include "experiments/study.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

constexpr std::uint64_t seed = 0;
const std::vector<double> lambdas = {1, 0.95};
using Options = std::vector<std::pair<const char*, const char*>>;

struct Panel {
  const char* world;
  Effort from;           // the least effort that draws it
  long updates[4];       // before which the run is looked at
  long states[3];        // by effort
  int steps;             // that are looked at after an action
  Options options = {};  // of PPO, where no file has them
};
const Options locomotion = {{"envs", "8"},
                            {"rollout", "256"},
                            {"epochs", "10"},
                            {"minibatches", "32"},
                            {"gamma", "0.99"},
                            {"normalise_observations", "true"},
                            {"normalise_rewards", "true"},
                            {"anneal", "false"},
                            {"learning_rate", "3e-4"}};
const Panel panels[] = {{"Pendulum-v1", Effort::smoke, {2, 10, 20, 40}, {320, 2400, 16'000}, 60},
                        {"Hopper-v5", Effort::quick, {2, 10, 40, 100}, {0, 192, 3200}, 250, locomotion},
                        {"HalfCheetah-v5", Effort::full, {2, 10, 40, 100}, {0, 0, 3200}, 250, locomotion}};

std::unique_ptr<Algorithm> ppo_for(const World& world, const Panel& panel) {
  auto out = make_algorithm("ppo", world);
  if (const auto tuned = tuned_config("ppo", world); tuned && panel.options.empty())
    read_config(*out, *tuned);
  for (const auto& [key, to] : panel.options) set_option(*out, key, to, "");
  return out;
}

constexpr const char* columns[] = {"part", "world", "update", "steps", "return", "lambda",
                                   "term", "value", "se",     "exact", "n"};

/// A row for each term, with what is exactly known of it.
void add_terms(Csv& csv, Csv::Row where, const Decomposed& x, const std::vector<double>& exact = {}) {
  for (std::size_t k = 0; k < x.quantities.size(); ++k) {
    Csv::Row row = where;
    row.insert(row.end(), {{"lambda", fmt::format("{}", x.lambda)},
                           {"term", x.quantities[k].name},
                           {"value", x.quantities[k].sampled.value},
                           {"se", x.quantities[k].sampled.se},
                           {"exact", k < exact.size() ? exact[k] : NAN},
                           {"n", x.states}});
    csv.add_some(row);
  }
}

/// The chain, with half of its values as the critic.
void measure_chain(Csv& csv, long states, Keeper keeper) {
  constexpr int steps = 10;
  const World world = make_world("chain", {}, {});
  const PolicyChoice pi = make_policy(world, "reference");
  const Array<double> table = table_of(world, pi.policy, pi.theta), values = state_values(*world.mdp, table);
  std::vector<double> V;
  for (const double x : row(values, 0)) V.push_back(x / 2);
  const auto at = visits(*world.mdp, table, world.T);
  const auto measured = decompose(world, pi.policy, pi.theta, table_value(V),
                                  {.states = states,
                                   .steps = steps,
                                   .gamma = world.gamma,
                                   .lambdas = lambdas,
                                   .seed = seed,
                                   .keeper = std::move(keeper)});
  for (const Decomposed& each : measured) {
    const StepVariance x = step_variance(*world.mdp, table, at, V, each.lambda, steps);
    const double rest = x.tau + x.s();
    add_terms(csv, {{"part", "check"}, {"world", world.id}}, each,
              {x.tau, x.a_none(), x.a_value(), x.a_exact(), x.s(), x.of_state - x.s(),
               (x.a_none() - x.a_value()) / (rest + x.a_none()),
               (x.a_value() - x.a_exact()) / (rest + x.a_value()), x.a_exact() / (rest + x.a_exact())});
  }
}

/// What a run of PPO has come to: its last episodes.
class Returns {
 public:
  Watcher watcher() {
    Watcher out;
    out.episode = [this](const Episode& e) {
      last_.push_back(e.total);
      if (last_.size() > 50) last_.pop_front();
    };
    return out;
  }
  double mean() const {
    return std::accumulate(last_.begin(), last_.end(), 0.0) / static_cast<double>(last_.size());
  }

 private:
  std::deque<double> last_;
};

}  // namespace

Reproduction run_tucker_decomposition(Effort effort, bool check, const std::filesystem::path& out) {
  const long of_chain = choose(effort, 4000, 20'000, 100'000);
  OutputDirectory directory(out, {{"figure", "tucker-decomposition"},
                                  {"seed", seed},
                                  {"effort", static_cast<int>(effort)},
                                  {"states", of_chain}});
  std::string text;
  Csv csv({std::begin(columns), std::end(columns)});
  Parts parts(directory);
  parts(csv, text, [&] { measure_chain(csv, of_chain, parts.keeper()); });
  for (const Panel& panel : panels) {
    if (panel.from > effort) continue;
    const World world = make_world(panel.world, {}, {});
    const auto ppo = ppo_for(world, panel);
    const auto run = ppo->start(world, 100'000'000, seed);
    Returns returns;
    for (const long update : panel.updates)
      parts(csv, text, [&] {
        while (run->updates() < update) run->advance(returns.watcher());
        const Learned learned = run->learned();
        Progress progress(fmt::format("{}, update {}", world.id, update));
        const auto measured = decompose(world, learned.policy, learned.theta,
                                        model_value(*learned.critic, learned.w, learned.reward_scale),
                                        {.states = panel.states[static_cast<int>(effort)],
                                         .steps = panel.steps,
                                         .gamma = ppo->gamma(),
                                         .lambdas = lambdas,
                                         .seed = seed,
                                         .progress = std::ref(progress),
                                         .keeper = parts.keeper()});
        for (const Decomposed& each : measured) {
          add_terms(csv,
                    {{"part", "run"},
                     {"world", world.id},
                     {"update", update},
                     {"steps", run->steps()},
                     {"return", returns.mean()}},
                    each);
          const auto value = [&](const char* name) { return named(each.quantities, name).sampled; };
          text += fmt::format(
              "{:<15} update {:<3} lambda {:<4} tau {:.4g}; a {:.4g}, with V {:.4g}, exact {:.4g}; "
              "s {:.4g}; left {:.3f} +- {:.3f}\n",
              world.id, update, each.lambda, value("tau").value, value("a_none").value,
              value("a_value").value, value("a_exact").value, value("s").value, value("left").value,
              value("left").se);
        }
      });
  }
  return publish("tucker-decomposition", directory, csv, check, std::move(text));
}

}  // namespace lowvar
