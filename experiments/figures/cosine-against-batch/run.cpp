// The cosine of PPO's own gradient to the true one, and of two such gradients, against the number of steps in
// the batch (Ilyas et al. 2020, figures 1 and 2), at three moments of a run; beside what noise to signal, at
// one size of the batch, predicts for all the others.
#include <fmt/format.h>

#include <map>

#include "algorithms/exact/training_objective.h"
#include "experiments/figures/figures.h"
#include "experiments/figures/gradients_of_runs.h"
#include "experiments/parts.h"
#include "experiments/study.h"

namespace lowvar {
namespace {

constexpr struct Panel {
  const char* world;
  long steps;       // of the run
  long updates[3];  // before which it is looked at
} panels[] = {{"CartPole-v1", 512'000, {10, 50, 200}}, {"FrozenLake-v1", 409'600, {2, 10, 40}}};
constexpr long smallest = 128, largest = 131'072;  // steps of a batch
constexpr long reference = 2048;                   // of the one whose noise predicts
constexpr std::uint64_t seed = 0;
constexpr std::size_t rung = 1;  // update:batch

/// What to measure with.
struct Sizes {
  long largest;  // steps of the largest batch
  long factor;   // from one size to the next
  long batches;  // of that size; smaller ones make up as many steps,
  long most;     // but are no more than this

  long batches_of(long n) const { return std::min(batches * largest / n, most); }
  long batches_of_truth() const { return 10 * batches; }
};

Sizes sizes_of(Effort effort) {
  return {choose(effort, 8192, 32'768, largest), choose(effort, 4, 4, 2), choose(effort, 6, 16, 16),
          choose(effort, 64, 256, 256)};
}

/// What a batch of a tabular world stands for: states as they are visited, a time limit no end.
std::vector<double> exact_gradient(const World& world, double gamma, const Learned& learned) {
  Mdp mdp = *world.mdp;
  mdp.gamma = gamma;
  return training_gradient(mdp, table_of(world, learned.policy, learned.theta),
                           TrainingObjective::undiscounted_states, TimeLimit::bootstraps);
}

/// By steps of the batch: quantities of update:batch, cosine_truth among them.
using BySize = std::map<long, std::vector<Quantity>>;

BySize measure_sizes(const Moment& moment, const Sizes& sizes, const std::vector<double>& truth,
                     Progress& progress, Parts& parts) {
  const std::vector<Truth> unknown(update_rungs.size());
  BySize out;
  for (long n = smallest; n <= sizes.largest; n *= sizes.factor) {
    const auto drawn =
        draw_updates(*moment.with_batch(n), {}, sizes.batches_of(n), seed, truth, progress, parts.keeper());
    out[n] = quantities(drawn.measured, drawn.rungs, unknown, rung, 0);
    out[n].push_back({"cosine_truth", drawn.cosine_truth[rung], std::nullopt});
  }
  return out;
}

/// The rows of one moment; lines about its cosines.
std::string add_moment(Csv& csv, const std::string& world, long update, const Sizes& sizes,
                       const BySize& measured, const CosineTheory& theory) {
  std::string text;
  const auto add = [&](long n, const char* quantity, Estimate x, double predicted, long batches) {
    csv.add({{"world", world},
             {"update", update},
             {"steps", n},
             {"quantity", quantity},
             {"value", x.value},
             {"se", x.se},
             {"predicted", predicted},
             {"n", batches}});
  };
  add(reference, "noise_to_signal", theory.nsr, NAN, sizes.batches_of(reference));
  add(sizes.largest, "cosine_of_mean", {theory.ceiling, NAN}, NAN, sizes.batches_of_truth());
  for (long n = smallest; n <= largest; n *= 2) {
    const auto at = measured.find(n);
    for (const auto& [quantity, predicted] : theory.at(n)) {
      if (at == measured.end()) {
        add(n, quantity, {NAN, NAN}, predicted, 0);
        continue;
      }
      const Estimate x = named(at->second, quantity).sampled;
      add(n, quantity, x, predicted, sizes.batches_of(n));
      if (std::string_view(quantity).starts_with("cosine"))
        text += fmt::format("{:<13} update {:<3} {:>6} steps  {:<12} {:7.4f} +- {:.4f}, predicted {:.4f}\n",
                            world, update, n, quantity, x.value, x.se, predicted);
    }
  }
  return text + fmt::format("{:<13} update {:<3} noise to signal of a step {:.4g}\n", world, update,
                            theory.nsr.value);
}

}  // namespace

Reproduction run_cosine_against_batch(Effort effort, bool check, const std::filesystem::path& out) {
  const Sizes sizes = sizes_of(effort);
  OutputDirectory directory(out, {{"figure", "cosine-against-batch"},
                                  {"seed", seed},
                                  {"largest", sizes.largest},
                                  {"factor", sizes.factor},
                                  {"batches", sizes.batches},
                                  {"most", sizes.most}});
  std::string text;
  Csv csv({"world", "update", "steps", "quantity", "value", "se", "predicted", "n"});
  Parts parts(directory);
  for (const Panel& panel : panels) {
    const World world = make_world(panel.world, {}, {});
    const auto algorithm = make_algorithm("ppo", world);
    const auto run = algorithm->start(world, panel.steps, seed);
    for (const long update : panel.updates)
      parts(csv, text, [&] {
        while (run->updates() < update) run->advance({});
        const Moment moment{world, *algorithm, panel.steps, seed, run->store()};
        Progress progress(fmt::format("{}, update {}", world.id, update));

        const MeanGradient mean =
            mean_gradients(*moment.with_batch(sizes.largest), {}, sizes.batches_of_truth(), seed + 1,
                           progress, parts.keeper())[rung];
        const auto truth = world.mdp ? exact_gradient(world, algorithm->gamma(), run->learned()) : mean.g;
        const BySize measured = measure_sizes(moment, sizes, truth, progress, parts);
        text += add_moment(csv, world.id, update, sizes, measured,
                           CosineTheory::of(reference, named(measured.at(reference), "trace_cov").sampled,
                                            mean, truth, world.mdp != nullptr));
      });
  }
  return publish("cosine-against-batch", directory, csv, check, std::move(text));
}

}  // namespace lowvar
