// Sampling trajectories, estimating, accumulating: what `lowvar variance` and the figures measure with.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "algorithms/data/world.h"
#include "algorithms/estimators/estimator.h"
#include "algorithms/measure/moments.h"

namespace lowvar {

/// Fills value and next_value of a batch.
using Critic = std::function<void(Trajectories&)>;

/// A table V [T+1 x S], used as given.
Critic table_critic(Array<double> V);
/// An MLP of the observation; V is 0 after the last step, which termination and the horizon both end.
Critic network_critic(Mlp mlp, Parameters theta);

/// The critic fitted on N trajectories of stream "critic": for a tabular world the mean return to go of each
/// (t, s), for a network world an MLP regressed on the returns to go. The table is returned too, where there
/// is one.
struct FittedCritic {
  Critic critic;
  std::optional<Array<double>> table;
};
FittedCritic fit_critic(const World& world, const Policy& policy, const Parameters& theta, int N,
                        std::uint64_t seed);

/// J, b*, b_i and the mean return to go from N trajectories of stream "pilot".
Constants pilot_constants(const World& world, const Policy& policy, const Parameters& theta, int N,
                          std::uint64_t seed);

/// An estimator under measurement, at its own parameters: those of the behaviour policy, or those after an
/// update.
struct Rung {
  Estimator estimator;
  const Parameters* theta;
};

struct MeasureOptions {
  long trajectories = 10000;
  std::uint64_t seed = 0;
  int cosine_batch = 32;
  int relative_to = 0;  // index of the rung that ratios and differences are taken to
  std::optional<double> until_rse =
      {};  // go on, doubling, until every trace_cov has this relative standard error
  std::function<void(long done, long total)> progress = [](long, long) {};
  /// Called in order of trajectories with the gradients of one rung, [n x d].
  std::function<void(int rung, long first, const Array<double>& g)> each = nullptr;
};

struct Measured {
  long trajectories = 0;
  std::vector<std::vector<Moments>> blocks;      // [B][rung]
  std::vector<std::vector<double>> block_steps;  // [B] {trajectories, steps}
};

/// Every rung on the same trajectories of stream "measure", drawn from `behaviour`.
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
  std::vector<double> mean, variance;  // of one trajectory's estimate; empty where unknown
};

/// The numbers of the conventions for one rung: trace_cov, bias_norm, bias_sq, mse, snr, noise_scale, cosine,
/// ratio:REFERENCE, difference:REFERENCE, largest_share, env_steps, policy_rows, value_rows.
std::vector<Quantity> quantities(const Measured& measured, const std::vector<Rung>& rungs,
                                 const std::vector<Truth>& truth, int rung, int relative_to);

}  // namespace lowvar
