// Measuring a zoo of estimators on a world and holding every number against the oracle.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "experiments/worlds.h"
#include "statistics.h"
#include "zoo.h"

namespace lowvar {

/// The largest deviations, each as a multiple of what a family-wise error of 1e-6 allows: above 1 is a
/// failure.
struct Deviation {
  double mean = 0;      // of E g, over all estimators and parameters
  double variance = 0;  // of trace_cov, over all estimators
  std::string worst_mean, worst_variance;
};

inline void expect_agreement(const Deviation& d, const std::string& where) {
  EXPECT_LT(d.mean, 1) << where << ": " << d.worst_mean;
  EXPECT_LT(d.variance, 1) << where << ": " << d.worst_variance;
}

/// A Garnet small enough that sets of its trajectories can be enumerated.
inline World tiny_world() {
  Mdp mdp = garnet(3, 2, 1, 5);
  mdp.T = 3;
  mdp.gamma = 0.8;
  return tabular_world("tiny", mdp);
}

inline std::vector<Estimator> made(const std::vector<std::string>& names) {
  std::vector<Estimator> out;
  for (const auto& name : names) out.push_back(make_estimator(name));
  return out;
}

/// `oracle_names[i]` is what the oracle is asked for estimator i: its own name, but for planted faults. Data
/// are those of `behaviour`, where it is not null.
inline Deviation compare(const World& world, const PolicyChoice& choice, const FittedCritic& critic,
                         const std::vector<Estimator>& estimators,
                         const std::vector<std::string>& oracle_names, long N, std::uint64_t seed,
                         int batch = 32, const Parameters* behaviour = nullptr) {
  const Parameters& mu = behaviour ? *behaviour : choice.theta;
  const Constants constants = make_constants(world, choice, 2000, 0);
  std::vector<Rung> rungs;
  std::vector<Truth> truth;
  for (std::size_t i = 0; i < estimators.size(); ++i) {
    rungs.push_back({estimators[i], &choice.theta});
    const Estimator named = make_estimator(oracle_names[i]);
    const auto answer = ask_oracle(world, choice.policy, choice.theta, mu, named, critic, batch);
    if (answer.truth.variance.empty()) throw Error(oracle_names[i] + ": " + answer.reason);
    truth.push_back(answer.truth);
  }
  const Measured measured = measure(world, choice.policy, mu, rungs, critic.critic, constants,
                                    {.trajectories = N, .seed = seed, .batch = batch});
  double components = 0;
  for (const auto& t : truth)
    components += static_cast<double>(
        std::count_if(t.variance.begin(), t.variance.end(), [](double v) { return v > 0; }));
  Deviation out;
  for (std::size_t e = 0; e < rungs.size(); ++e) {
    Moments all;
    for (const auto& block : measured.blocks)
      if (block[e].n > 0) all.merge(block[e]);
    for (std::size_t j = 0; j < all.mean.size(); ++j) {
      // The standard error of a mean is known exactly; where nothing varies, nothing may differ.
      const double se = std::sqrt(truth[e].variance[j] / all.n),
                   away = std::abs(all.mean[j] - truth[e].mean[j]);
      const double part = away < 1e-12 ? 0 : away / se / limit(components, 1e9);
      if (!(part <= out.mean))
        out.mean = part, out.worst_mean = rungs[e].estimator.name + " at " + std::to_string(j);
    }
    const auto q = quantities(measured, rungs, truth, static_cast<int>(e), 0);
    const double off = std::abs(q[0].sampled.value - *q[0].exact);
    const double part =
        off < 1e-12 ? 0 : off / q[0].sampled.se / limit(static_cast<double>(rungs.size()), 63);
    if (!(part <= out.variance)) out.variance = part, out.worst_variance = rungs[e].estimator.name;
  }
  return out;
}

inline Deviation compare(const World& world, const PolicyChoice& choice, const std::string& value,
                         const std::vector<Estimator>& estimators,
                         const std::vector<std::string>& oracle_names, long N, std::uint64_t seed,
                         int batch = 32) {
  return compare(world, choice, make_critic(world, choice, value, 0, 0, world.A > 0), estimators,
                 oracle_names, N, seed, batch);
}

inline Deviation compare(const std::string& env, const std::string& value,
                         const std::vector<std::string>& names, long N, std::uint64_t seed, int batch = 32) {
  const World world = make_world(env, {}, {});
  return compare(world, make_policy(world, "reference"), value, made(names), names, N, seed, batch);
}

/// Examples of all that weigh one trajectory by itself and need no action values, with a recursion of
/// moments.
inline std::vector<std::string> zoo() {
  return filtered(examples(), [](const EstimatorName& name) {
    return has_recursion(name) && name.unit() == 1 && !name.family->needs.action_values;
  });
}

/// Examples of all that have a recursion of moments.
inline std::vector<std::string> whole_zoo() { return filtered(examples(), has_recursion); }

}  // namespace lowvar
