// Gradients of a training run with batches of any size, drawn again and again, and what noise to signal at
// one size predicts for all the others: what the figures after Ilyas et al. 2020 share.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/measure/updates.h"
#include "experiments/algorithms.h"
#include "experiments/output.h"

namespace lowvar {

/// A run's learner before one of its updates, to be measured with batches of any size.
struct Moment {
  const World& world;
  const Algorithm& algorithm;  // which it learns by
  long steps;
  std::uint64_t seed;
  std::vector<std::byte> learner;

  /// The same learner, whose next update is one step on a batch of n steps, from where its environments are,
  /// or of n whole episodes; advantages raw.
  std::unique_ptr<Run> with_batch(long n) const {
    const long envs = options_as_json(algorithm).at("envs");
    return with("rollout", n / envs, n);
  }
  std::unique_ptr<Run> with_episodes(long n) const { return with("episodes", n, n * world.T); }

 private:
  std::unique_ptr<Run> with(const char* size, long value, long needed) const {
    const auto measured = algorithm.clone();
    const auto set = [&](const char* key, const std::string& to) { set_option(*measured, key, to, ""); };
    set(size, fmt::format("{}", value));
    set("advantages", "raw");
    set("entropy_coefficient", "0");
    set("epochs", "1"), set("minibatches", "1");
    auto run = measured->start(world, std::max(steps, needed), seed);
    run->restore(learner);
    return run;
  }
};

inline double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

/// N draws of the run's next update, and of further estimators, with cosines to `truth`.
inline MeasuredUpdates draw_updates(const Run& run, const std::vector<Estimator>& estimators, long N,
                                    std::uint64_t stream, const std::vector<double>& truth,
                                    Progress& progress, Keeper keeper) {
  return measure_updates(run, estimators,
                         {.batches = N,
                          .seed = stream,
                          .truth = std::vector(update_rungs.size() + estimators.size(), truth),
                          .progress = std::ref(progress),
                          .keeper = std::move(keeper)});
}

/// What an independent set of large batches knows about E g.
struct MeanGradient {
  std::vector<double> g;
  Estimate signal;  // |E g|^2, debiased
};
/// Of each rung of measure_updates; cosines are to nothing.
inline std::vector<MeanGradient> mean_gradients(const Run& run, const std::vector<Estimator>& estimators,
                                                long N, std::uint64_t stream, Progress& progress,
                                                Keeper keeper) {
  std::size_t d = 0;
  for (const auto& x : run.policy_parameters()) d += x.size();
  const auto drawn =
      draw_updates(run, estimators, N, stream, std::vector<double>(d), progress, std::move(keeper));
  const auto signals = jackknife(drawn.measured.blocks, [](const std::vector<Moments>& all) {
    std::vector<double> out;
    for (const Moments& m : all) out.push_back(dot(m.mean, m.mean) - m.trace_cov() / m.n);
    return out;
  });
  std::vector<MeanGradient> out;
  for (std::size_t rung = 0; rung < drawn.rungs.size(); ++rung) {
    Moments all;
    for (const auto& block : drawn.measured.blocks)
      if (block[rung].n > 0) all.merge(block[rung]);
    out.push_back({std::move(all.mean), signals[rung]});
  }
  return out;
}

/// What predicts every size, in steps or in episodes.
struct CosineTheory {
  long reference;  // size of the batch whose noise predicts
  double trace;    // of its covariance
  Estimate nsr;    // noise to signal of a batch of size 1
  double ceiling;  // the cosine of E g to the truth: what bias leaves of it, or the noise of the truth

  /// `trace` is measured at `reference`; the truth is exact, or else the mean itself.
  static CosineTheory of(long reference, Estimate trace, const MeanGradient& mean,
                         const std::vector<double>& truth, bool exact) {
    const auto [signal, signal_se] = mean.signal;
    const double nsr = static_cast<double>(reference) * trace.value / signal, of_truth = dot(truth, truth);
    return {reference,
            trace.value,
            {nsr, nsr * std::hypot(trace.se / trace.value, signal_se / signal)},
            exact ? dot(mean.g, truth) / std::sqrt(of_truth * signal) : std::sqrt(signal / of_truth)};
  }

  using Predictions = std::vector<std::pair<const char*, double>>;
  Predictions at(long n) const {
    const double steps = static_cast<double>(n), cosine = 1 / (1 + nsr.value / steps);
    return {{"cosine_truth", ceiling * std::sqrt(cosine)},
            {"cosine", cosine},
            {"trace_cov", trace * static_cast<double>(reference) / steps},
            {"snr", steps / nsr.value}};
  }
};

}  // namespace lowvar
