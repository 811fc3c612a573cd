// How well the gradients of a run of PPO are concentrated (Ilyas et al. 2020, figures 1, 2 and 4), against
// the number of state-action pairs, at three moments of the run, with three baselines in the same advantages:
// none, the run's own critic, and a critic fitted to many returns; beside what noise to signal at one size
// predicts.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "algorithms/data/returns.h"
#include "algorithms/measure/decomposition.h"
#include "experiments/figures/figures.h"
#include "experiments/figures/gradients_of_runs.h"
#include "experiments/parts.h"
#include "experiments/study.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

constexpr std::uint64_t seed = 0;
constexpr long pairs_of_update = 2048;
constexpr long smallest = 2, reference = 8;  // episodes of a batch; of the one whose noise predicts

struct Panel {
  const char* world;
  Effort from;      // the least effort that draws it
  long updates[3];  // before which the run is looked at
  double gamma;
  const char* reward_scale;
  const char *learning_rate, *critic_learning_rate;
};
/// Learning rates of the paper, appendix A.2.
const Panel panels[] = {{"Pendulum-v1", Effort::smoke, {2, 20, 60}, 0.9, "0.1", "1e-3", "1e-3"},
                        {"Hopper-v5", Effort::quick, {2, 20, 80}, 0.99, "0.1", "4.5e-4", "2e-4"},
                        {"Walker2d-v5", Effort::full, {5, 150, 300}, 0.99, "0.1", "4e-4", "3e-4"}};

/// What to measure with.
struct Sizes {
  long largest;   // episodes of the largest batch
  long batches;   // of that size; smaller ones make up as many episodes,
  long most;      // but are no more than this
  long of_truth;  // batches of the largest size
  int fitted;     // episodes that a critic is fitted to
  int moments;    // of the run

  long batches_of(long n) const { return std::min(batches * largest / n, most); }
};
Sizes sizes_of(Effort effort) {
  return {.largest = choose(effort, 8, 32, 512),
          .batches = choose(effort, 32, 16, 16),
          .most = choose(effort, 96, 96, 256),
          .of_truth = choose(effort, 96, 48, 64),
          .fitted = static_cast<int>(choose(effort, 64, 128, 4096)),
          .moments = static_cast<int>(choose(effort, 2, 3, 3))};
}

/// PPO as the paper has it, but for its normalising of what is observed and paid: a batch has 2048 pairs.
std::unique_ptr<Algorithm> ppo_for(const World& world, const Panel& panel) {
  auto out = make_algorithm("ppo", world);
  const std::pair<const char*, const char*> options[] = {
      {"envs", "16"},
      {"rollout", "128"},
      {"epochs", "10"},
      {"minibatches", "32"},
      {"anneal", "false"},
      {"entropy_coefficient", "0"},
      {"reward_scale", panel.reward_scale},
      {"learning_rate", panel.learning_rate},
      {"critic_learning_rate", panel.critic_learning_rate}};
  for (const auto& [key, to] : options) set_option(*out, key, to, "");
  return out;
}

/// GAE(0.95) of a batch with other values in place of the critic's; none: 0.
Estimator with_values(const std::string& name, const StateValue& V) {
  Estimator out = make_estimator("gae:0.95+undiscounted");
  out.name = name;
  out.needs_critic = false;
  out.weights = [V, weights = out.weights](const Trajectories& batch, const Constants& constants) {
    Trajectories other = batch;
    const auto rows = static_cast<std::size_t>(batch.rows()), n = static_cast<std::size_t>(batch.size());
    other.value = V ? V(batch.inputs()) : std::vector<double>(rows);
    const std::vector<double> last = V ? V(batch.final_inputs()) : std::vector<double>(n);
    other.bootstrap.assign(n, 0);
    for (std::size_t i = 0; i < n; ++i)
      if (!batch.terminated[i]) other.bootstrap[i] = last[i];
    other.fill_next_values();
    return weights(other, constants);
  };
  return out;
}

/// A critic as a function of what is seen, times `scale`.
StateValue values_of(const Critic& critic, double scale) {
  return [=](const Inputs& seen) {
    Trajectories batch;
    batch.observation = *seen.observation;
    for (int r = 1; r <= seen.rows(); ++r) batch.offset.push_back(r);
    critic(batch);
    for (double& x : batch.value) x *= scale;
    return batch.value;
  };
}

constexpr struct Baseline {
  const char* name;
  std::size_t rung;  // of measure_updates
} baselines[] = {{"V", 1}, {"none", 3}, {"V*", 4}};

/// |V - G| over |G|, both in mean squares: returns G of whole episodes of their own stream.
Estimate value_error(const World& world, const Learned& learned, const StateValue& V, double scale,
                     int episodes) {
  const Trajectories batch =
      world.sample(learned.policy, learned.theta, world.T, {seed, "value-error", 0, episodes});
  const std::vector<double> value =
      V ? V(batch.inputs()) : std::vector<double>(static_cast<std::size_t>(batch.rows()));
  double wrong = 0, all = 0;
  std::vector<double> G;
  for (int i = 0; i < batch.size(); ++i) {
    G.resize(static_cast<std::size_t>(batch.length(i)));
    returns_to_go(batch.rewards(i), world.gamma, G);
    for (std::size_t t = 0; t < G.size(); ++t) {
      const double v = value[static_cast<std::size_t>(batch.begin(i)) + t] / scale;
      wrong += (v - G[t]) * (v - G[t]), all += G[t] * G[t];
    }
  }
  return {std::sqrt(wrong / all), NAN};
}

}  // namespace

Reproduction run_ilyas_gradients(Effort effort, bool check, const std::filesystem::path& out) {
  const Sizes sizes = sizes_of(effort);
  OutputDirectory directory(out, {{"figure", "ilyas-gradients"},
                                  {"seed", seed},
                                  {"largest", sizes.largest},
                                  {"batches", sizes.batches},
                                  {"most", sizes.most},
                                  {"of_truth", sizes.of_truth},
                                  {"fitted", sizes.fitted},
                                  {"moments", sizes.moments}});
  std::string text;
  Csv csv({"world", "update", "baseline", "episodes", "pairs", "quantity", "value", "se", "predicted", "n"});
  Parts parts(directory);
  const auto add = [&](const std::string& world, long update, const char* baseline, long n, double pairs,
                       const char* quantity, Estimate x, double predicted, long draws) {
    csv.add({{"world", world},
             {"update", update},
             {"baseline", baseline},
             {"episodes", n},
             {"pairs", pairs},
             {"quantity", quantity},
             {"value", x.value},
             {"se", x.se},
             {"predicted", predicted},
             {"n", draws}});
  };
  for (const Panel& panel : panels) {
    if (panel.from > effort) continue;
    const World world = make_world(panel.world, panel.gamma, {});
    const auto ppo = ppo_for(world, panel);
    const long steps = pairs_of_update * (panel.updates[2] + 1);
    const auto run = ppo->start(world, steps, seed);
    for (const long update : std::span(panel.updates).first(static_cast<std::size_t>(sizes.moments)))
      parts(csv, text, [&] {
        while (run->updates() < update) run->advance({});
        const Moment moment{world, *ppo, steps, seed, run->store()};
        const Learned learned = run->learned();
        const double scale = learned.reward_scale;
        const StateValue own = model_value(*learned.critic, learned.w),
                         fitted = values_of(
                             fit_critic(world, learned.policy, learned.theta, sizes.fitted, seed).critic,
                             scale);
        const std::vector<Estimator> others = {with_values("none", nullptr), with_values("V*", fitted)};
        Progress progress(fmt::format("{}, update {}", world.id, update));

        const auto mean = mean_gradients(*moment.with_episodes(sizes.largest), others, sizes.of_truth,
                                         seed + 1, progress, parts.keeper());
        const std::vector<double>& truth = mean[baselines[0].rung].g;
        std::map<long, MeasuredUpdates> measured;
        for (long n = smallest; n <= sizes.largest; n *= 4)
          measured[n] = draw_updates(*moment.with_episodes(n), others, sizes.batches_of(n), seed, truth,
                                     progress, parts.keeper());

        double episodes = 0, pairs = 0;
        for (const auto& block : measured.at(reference).measured.block_steps)
          episodes += block[0] * reference, pairs += block[1];
        const double length = pairs / episodes;
        const std::vector<Truth> unknown(update_rungs.size() + others.size());
        for (const auto& [name, rung] : baselines) {
          const auto of = [&](long n) {
            return quantities(measured.at(n).measured, measured.at(n).rungs, unknown, static_cast<int>(rung),
                              0);
          };
          const auto theory = CosineTheory::of(reference, named(of(reference), "trace_cov").sampled,
                                               mean[rung], mean[rung].g, false);
          add(world.id, update, name, 1, length, "noise_to_signal", theory.nsr, NAN,
              sizes.batches_of(reference));
          add(world.id, update, name, 0, NAN, "value_error",
              value_error(world, learned,
                          rung == baselines[0].rung   ? own
                          : rung == baselines[2].rung ? fitted
                                                      : nullptr,
                          scale, sizes.fitted),
              NAN, sizes.fitted);
          for (const auto& [n, drawn] : measured)
            for (const auto& [quantity, predicted] : theory.at(n)) {
              const bool of_truth = std::string_view(quantity) == "cosine_truth";
              if (of_truth && rung != baselines[0].rung) continue;
              add(world.id, update, name, n, length * static_cast<double>(n), quantity,
                  of_truth ? drawn.cosine_truth[rung] : named(of(n), quantity).sampled, predicted,
                  sizes.batches_of(n));
            }
          const Estimate at = named(of(reference), "cosine").sampled;
          text += fmt::format(
              "{:<12} update {:<3} baseline {:<4} cosine of {} episodes ({:.0f} pairs) {:.3f} +- "
              "{:.3f}, predicted {:.3f}\n",
              world.id, update, name, reference, length * reference, at.value, at.se,
              theory.at(reference)[1].second);
        }
      });
  }
  return publish("ilyas-gradients", directory, csv, check, std::move(text));
}

}  // namespace lowvar
