// The gradient that a training run really follows: one update, drawn again and again from where the run
// stands.
#pragma once

#include "algorithms/measure/measure.h"
#include "algorithms/train/training.h"

namespace lowvar {

/// The three rungs that a run has by itself; further estimators come after them.
///   update:first   gradient of the first minibatch
///   update:batch   gradient of the whole batch, at the policy that acted
///   update:step    displacement of the policy's parameters by the whole update
inline const std::vector<std::string> update_rungs = {"update:first", "update:batch", "update:step"};

struct UpdateOptions {
  long batches = 100;
  std::uint64_t seed = 0;
  /// [rung], what cosine_truth is taken to; where empty, to the mean of 10 times as many batches of their own
  /// stream.
  std::vector<std::vector<double>> truth = {};
  std::function<void(long done, long total)> progress = [](long, long) {};
  Keeper keeper = {};
};

/// Units are batches, and so is what a cosine is taken over.
struct MeasuredUpdates {
  std::vector<Rung> rungs;  // names alone: update_rungs, then the estimators
  Measured measured;
  std::vector<Estimate> cosine_truth;  // [rung]
};

/// Throws Error where the run's batches cannot be drawn again, or an estimator needs what they do not have.
void check_updates(const Run& run, const std::vector<Estimator>& estimators);

/// `batches` independent draws of the run's next update, with its own collector from copies of its
/// environments and random streams of `seed`; each batch is weighed, normalised, bootstrapped and minibatched
/// as the run does it. `estimators` are taken at the same batches with the learner's critic, as means over
/// their rows. Goes on from what the keeper has of the same call. Throws Error as check_updates does.
MeasuredUpdates measure_updates(const Run& run, const std::vector<Estimator>& estimators,
                                const UpdateOptions& options);

}  // namespace lowvar
