// Sampling trajectories, estimating, accumulating: what `lowvar variance` and the figures measure with.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "algorithms/data/world.h"
#include "algorithms/estimators/gradient.h"
#include "algorithms/measure/keeper.h"
#include "algorithms/measure/moments.h"

namespace lowvar {

/// Fills value and next_value of a batch, and action_values if it knows them.
using Critic = std::function<void(Trajectories&)>;

/// A table V [T+1 x S], used as given, and Q [T*S x A], row t S + s, where there is one.
Critic table_critic(Array<double> V, Array<double> Q = {});
/// An MLP of the observation, and one of A outputs for Q; V is 0 after the last step, which termination and
/// the horizon both end.
Critic network_critic(Model model, Parameters theta, std::optional<Model> of_actions = {},
                      Parameters q_theta = {});

/// The critic fitted on N trajectories of stream "critic": for a tabular world the mean return to go of each
/// (t, s), and (t, s, a) where action values are wanted, for others an MLP regressed on the returns to go.
/// The tables are returned too, where there are some.
struct FittedCritic {
  Critic critic;
  std::optional<Array<double>> table;
  Array<double> action_table = {};      // [T*S x A], or empty
  std::optional<double> multiple = {};  // of the exact values, if that is what the critic is
};
FittedCritic fit_critic(const World& world, const Policy& policy, const Parameters& theta, int N,
                        std::uint64_t seed, bool action_values = false);

/// J, b*, b_i, the mean return to go and the linear fit from N trajectories of stream "pilot".
Constants pilot_constants(const World& world, const Policy& policy, const Parameters& theta, int N,
                          std::uint64_t seed);

/// An estimator under measurement, at its own parameters: those of the behaviour policy, or those after an
/// update.
struct Rung {
  Estimator estimator;
  const Parameters* theta;
};

struct MeasureOptions {
  long trajectories = 10000;  // a multiple of every rung's unit
  std::uint64_t seed = 0;
  int cosine_batch = 32;
  int batch = 32;       // trajectories of a batch, for estimators whose unit is one
  int relative_to = 0;  // index of the rung that ratios and differences are taken to
  std::optional<double> until_rse =
      {};  // go on, doubling, until every trace_cov has this relative standard error
  std::function<void(long done, long total)> progress = [](long, long) {};
  /// Called in order with the gradients of one rung, [n x d], a unit a row; `first` counts units.
  std::function<void(int rung, long first, const Array<double>& g)> each = nullptr;
  Keeper keeper = {};

  /// Trajectories in what is independent of this estimator.
  int unit(const Estimator& e) const { return e.unit > 0 ? e.unit : batch; }
  /// Trajectories in a batch of the cosine, a multiple of the unit.
  int cosine_batch_of(const Estimator& e) const { return (cosine_batch + unit(e) - 1) / unit(e) * unit(e); }
};

struct Measured {
  long trajectories = 0;
  std::vector<std::vector<Moments>> blocks;      // [B][rung], a unit a sample
  std::vector<std::vector<double>> block_steps;  // [B] {trajectories, steps}, of the first rung
  std::vector<int> unit;                         // [rung], trajectories in a unit
  std::vector<int> sample;  // [rung], a number shared by those that saw the same trajectories

  template <class F>
  void visit(F&& f) {
    f("trajectories", trajectories), f("blocks", blocks), f("block_steps", block_steps), f("unit", unit);
    f("sample", sample);
  }
};

/// Throws Error where a measurement that comes back from bytes has other blocks, rungs or parameters than
/// `begun`, one that begins; d: numbers of the gradient of each rung.
void expect_fits(const Measured& stored, const Measured& begun, const std::vector<std::size_t>& d);

/// Every rung on trajectories of stream "measure", drawn from `behaviour`: the same ones for all rungs of the
/// same unit. Those of a unit of a fixed size start from the same state. Goes on from what the keeper has of
/// the same call.
Measured measure(const World& world, const Policy& policy, const Parameters& behaviour,
                 const std::vector<Rung>& rungs, const Critic& critic, const Constants& constants,
                 const MeasureOptions& options);

/// One line of moments.csv. `exact` is absent where no oracle knows it.
struct Quantity {
  std::string name;
  Estimate sampled;
  std::optional<double> exact;
};

/// What is known about a rung exactly; the gradient is that of its own parameters.
struct Truth {
  std::vector<double> gradient;        // empty where unknown
  std::vector<double> mean, variance;  // of one unit's estimate; empty where unknown
};

/// The numbers of the conventions for one rung: trace_cov, bias_norm, bias_sq, mse, snr, noise_scale, cosine,
/// ratio:REFERENCE, difference:REFERENCE, largest_share, env_steps, policy_rows, value_rows. Each is about
/// one unit of the rung, but for `ratio`, which compares the same number of trajectories, and the counts,
/// which are of one trajectory.
std::vector<Quantity> quantities(const Measured& measured, const std::vector<Rung>& rungs,
                                 const std::vector<Truth>& truth, int rung, int relative_to);

}  // namespace lowvar
