// Each estimator against what is exact, on tabular worlds, bandits and linear-quadratic worlds: unbiased ones
// have the gradient as their mean, biased ones their exact bias, all their exact variance. Every comparison
// holds at a family-wise error of 1e-6, with fixed seeds.
#include <gtest/gtest.h>

#include <cmath>

#include "algorithms/exact/enumeration.h"
#include "sampled_against_exact.h"

namespace lowvar {
namespace {

TEST(EstimatorMoments, AgreeWithTheRecursionOnTabularWorlds) {
  for (const char* value : {"exact", "scaled:0.5"})
    expect_agreement(compare("chain", value, whole_zoo(), 60'000, 31), value);
  expect_agreement(compare("bombs-and-bitcoin", "scaled:0.5", whole_zoo(), 10'000, 32), "bombs-and-bitcoin");
}

TEST(EstimatorMoments, AgreeWithEnumerationOfTrajectoriesGroupsAndBatches) {
  const World world = tiny_world();
  const PolicyChoice choice = make_policy(world, "init:1");
  const std::vector<std::string> names{
      "togo-normalised",  "togo-normalised+undiscounted", "rloo:2",           "grpo:2",
      "gae:0.9+whitened", "togo+whitened+undiscounted",   "q-value+whitened", "all-action",
      "gae:0.9"};
  for (const char* value : {"exact", "scaled:0.5"})
    expect_agreement(compare(world, choice, value, made(names), names, 40'000, 21, 2), value);
}

TEST(EstimatorMoments, AgreeWithTheClosedFormsOfBandits) {
  for (const char* id : {"bandit:1,0.7,0", "bandit:1,0.7,0:0.5"}) {
    const World world = make_world(id, {}, {});
    const std::vector<std::string> names{"reinforce",  "reinforce-optimal", "togo-optimal", "togo-linear",
                                         "togo-value", "q-value",           "all-action",   "rloo:4",
                                         "grpo:4",     "vtrace:1:1",        "togo+whitened"};
    expect_agreement(compare(world, make_policy(world, "init:2"), "exact", made(names), names, 40'000, 22, 4),
                     id);
  }
}

TEST(EstimatorMoments, AgreeWithTheOracleOfLinearQuadraticWorlds) {
  // reinforce's tail is too heavy for its variance to be sampled; its mean is what is compared.
  for (const char* id : {"single-integrator", "double-integrator"}) {
    const World world = make_world(id, 0.95, 5);
    const PolicyChoice choice = make_policy(world, "reference");
    const std::vector<std::string> names{"togo-value", "td", "nstep:2", "gae:0.5", "gae:0.95", "vtrace:1:1"};
    for (const char* value : {"exact", "scaled:0.9"}) {
      const Deviation d = compare(world, choice, value, made(names), names, 40'000, 23);
      EXPECT_LT(d.mean, 1) << id << ", " << value << ": " << d.worst_mean;
    }
    const std::vector<std::string> whole{"reinforce", "reinforce-optimal", "togo", "togo-time"};
    const Deviation d = compare(world, choice, "exact", made(whole), whole, 40'000, 24);
    EXPECT_LT(d.mean, 1) << id << ": " << d.worst_mean;
  }
}

/// The largest deviation of a sampled mean from the gradient, as a multiple of what 1e-6 allows, by the
/// sampled standard errors.
double from_gradient(const World& world, const PolicyChoice& choice, const std::string& name, long N) {
  const Constants constants = make_constants(world, choice, 2000, 1);
  const std::vector<Rung> rungs{{make_estimator(name), &choice.theta}};
  const Measured m =
      measure(world, choice.policy, choice.theta, rungs, nullptr, constants, {.trajectories = N, .seed = 25});
  const Truth truth =
      ask_oracle(world, choice.policy, choice.theta, choice.theta, rungs[0].estimator, FittedCritic{}, 0)
          .truth;
  Moments all;
  for (const auto& block : m.blocks)
    if (block[0].n > 0) all.merge(block[0]);
  double worst = 0;
  for (std::size_t j = 0; j < all.mean.size(); ++j)
    worst = std::max(worst, std::abs(all.mean[j] - truth.gradient[j]) / std::sqrt(all.variance(j) / all.n) /
                                limit(static_cast<double>(all.mean.size()), all.n));
  return worst;
}

TEST(EstimatorMoments, UnbiasedOnLinearQuadraticWorldsWhereVarianceHasNoClosedForm) {
  for (const char* id : {"single-integrator", "double-integrator"}) {
    const World world = make_world(id, 0.95, 5);
    const PolicyChoice choice = make_policy(world, "reference");
    for (const char* name : {"togo-linear", "rloo:4", "pathwise"})
      EXPECT_LT(from_gradient(world, choice, name, 40'000), 1) << id << ", " << name;
    EXPECT_GT(from_gradient(world, choice, "togo-normalised", 40'000), 1) << id << ", planted";
  }
}

TEST(EstimatorMoments, AgreeWithEnumerationOffPolicy) {
  const World world = tiny_world();
  const PolicyChoice pi = make_policy(world, "init:1"), mu = make_policy(world, "init:2");
  const FittedCritic critic = make_critic(world, mu, "scaled:0.5", 0, 0);
  Constants constants;
  constants.gamma = world.gamma;
  auto names = filtered(every_estimator(), [](const EstimatorName& name) {
    return name.family->off_policy && !name.whitened() && !name.undiscounted();
  });
  names.insert(names.end(), {"vtrace:1:1+whitened", "ppo-clip:0.2+whitened"});
  const double comparisons = 6.0 * static_cast<double>(names.size());
  for (const std::string& name : names) {
    const std::vector<Rung> rungs{{make_estimator(name), &pi.theta}};
    const Truth truth = ask_oracle(world, pi.policy, pi.theta, mu.theta, rungs[0].estimator, critic, 2).truth;
    ASSERT_FALSE(truth.mean.empty()) << name;
    const Measured m = measure(world, pi.policy, mu.theta, rungs, critic.critic, constants,
                               {.trajectories = 40'000, .seed = 33, .batch = 2});
    Moments all;
    for (const auto& block : m.blocks)
      if (block[0].n > 0) all.merge(block[0]);
    for (std::size_t j = 0; j < all.mean.size(); ++j) {
      const double away = std::abs(all.mean[j] - truth.mean[j]);
      EXPECT_LE(away, 1e-12 + limit(comparisons, 1e9) * std::sqrt(truth.variance[j] / all.n))
          << name << ", " << j;
    }
  }
}

}  // namespace
}  // namespace lowvar
