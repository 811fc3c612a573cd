// The trainers: what they follow is what is measured, trust regions hold, natural directions are those of a
// dense solve, and all of them learn a small world whose optimum is known.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "algorithms/exact/dynamic_programming.h"
#include "algorithms/exact/lqr.h"
#include "algorithms/train/natural.h"
#include "algorithms/train/normalise.h"
#include "algorithms/train/policy_gradient.h"
#include "core/blas.h"
#include "experiments/algorithms.h"
#include "experiments/summary.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

OnPolicyOptions options_of(const std::string& algorithm, const World& world) {
  return std::get<OnPolicyOptions>(default_options(algorithm, world));
}

Learned learn(const std::string& algorithm, const World& world, long steps, std::uint64_t seed = 0) {
  return train(world, default_options(algorithm, world), steps, seed, {});
}

TEST(Train, TheFirstStepFollowsTheMeasuredEstimate) {
  const World world = make_world("chain", {}, {});
  for (const char* name : {"togo", "togo+undiscounted", "togo-normalised", "reinforce"}) {
    OnPolicyOptions o = options_of("reinforce", world);
    o.estimator = name;
    o.episodes = 6;
    o.max_episodes = 6;
    o.update = "sgd";
    o.learning_rate = 0.01;
    o.precision = "double";
    o.gamma = world.gamma;
    const Learned after = train(world, o, 1'000'000, 3, {});

    const Policy policy{Table{world.mdp->S, world.mdp->A}};
    const Parameters before = {zeros<double>(world.mdp->S, world.mdp->A)};
    const Trajectories batch = world.sample(policy, before, world.T, {3, "train", 0, 6});
    Constants constants;
    constants.gamma = world.gamma;
    const auto g = policy_gradient_estimate(make_estimator(name), policy, before, batch, constants);
    double norm = 0;
    for (std::size_t i = 0; i < g.size(); ++i) {
      EXPECT_NEAR(after.theta[0].data()[i], 0.01 * g[i], 1e-14) << name << " at " << i;
      norm += std::abs(g[i]);
    }
    EXPECT_GT(norm, 0.01) << name;
  }
}

TEST(Train, TrustRegionsHoldAtEveryStep) {
  const World world = make_world("CartPole-v1", {}, {});
  OnPolicyOptions o = options_of("trpo", world);
  o.hidden = {16};
  o.rollout = 64;
  int steps = 0, moved = 0;
  Watcher watcher;
  watcher.update = [&](const UpdateReport& u) {
    EXPECT_LE(u.kl, o.kl_step) << "update " << u.update;
    EXPECT_GE(u.kl, 0);
    moved += u.kl > 0.2 * o.kl_step;
    ++steps;
  };
  train(world, o, 20 * 64 * o.envs, 1, watcher);
  EXPECT_EQ(steps, 20);
  EXPECT_GE(moved, 15);  // an update that never moves holds any trust region
}

TEST(Train, RunningMomentsAreThoseOfAllRowsAndFoldIntoANetwork) {
  Rng rng(2, "test");
  Array<double> all = zeros<double>(50, 3);
  for (double& x : values(all)) x = 1000 + rng.normal();
  for (std::size_t i = 0; i < 50; ++i) all(i, 2) = 7;  // a column that never changes
  RunningMoments moments;
  for (const auto& [begin, end] : {std::pair{0, 1}, {1, 20}, {20, 20}, {20, 50}}) {
    Array<double> part = zeros<double>(end - begin, 3);
    std::copy(row(all, begin).data(), row(all, begin).data() + 3 * (end - begin), part.data());
    moments.add(part);
  }
  for (std::size_t j = 0; j < 2; ++j) {
    double mean = 0, square = 0;
    for (std::size_t i = 0; i < 50; ++i) mean += all(i, j) / 50;
    for (std::size_t i = 0; i < 50; ++i) square += std::pow(all(i, j) - mean, 2) / 50;
    EXPECT_NEAR(moments.mean(j), mean, 1e-10);
    EXPECT_NEAR(moments.deviation(j), std::sqrt(square), 1e-10);
  }
  EXPECT_EQ(moments.deviation(2), 1);

  const Mlp mlp{{3, 5, 2}};
  Parameters w = initialise(mlp, rng);
  Array<double> normalised = all;
  moments.normalise(normalised);
  Tape<double> tape;
  const Array<double> expected = forward(mlp, tape.parameters(w), tape.data(normalised)).value();
  moments.fold_into(std::span(w));
  const Array<double> got = forward(mlp, tape.parameters(w), tape.data(all)).value();
  for (std::size_t k = 0; k < got.size(); ++k) EXPECT_NEAR(got.data()[k], expected.data()[k], 1e-11);
}

/// Rewards in other units, by a power of two, so that not a bit may change.
TEST(Train, NormalisedRewardsHaveNoUnits) {
  const World world = make_world("Pendulum-v1", {}, {});
  OnPolicyOptions o = options_of("ppo", world);
  o.rollout = 150;  // cuts episodes
  o.epochs = 1;
  o.hidden = {8};
  o.normalise_observations = o.normalise_rewards = true;
  o.reward_scale = 1;
  const Learned a = train(world, o, 3000, 0, {});
  o.reward_scale = 1024;
  const Learned b = train(world, o, 3000, 0, {});
  for (std::size_t i = 0; i < a.w.size(); ++i) EXPECT_EQ(a.w[i], b.w[i]);
  o.normalise_rewards = false;
  EXPECT_NE(a.w, train(world, o, 3000, 0, {}).w);
}

/// What is stored acts on raw observations as the learner did on normalised ones.
TEST(Train, APolicyOfNormalisedObservationsIsStoredAsOneOfRawOnes) {
  const World world = make_world("Pendulum-v1", {}, {});
  OnPolicyOptions o = options_of("ppo", world);
  o.precision = "double";
  o.normalise_observations = true;
  o.epochs = 1;
  o.hidden = {8};
  double divergence = 0;
  Watcher watcher;
  watcher.update = [&](const UpdateReport& u) { divergence = std::max(divergence, u.kl); };
  o.learning_rate = 1e-12;  // the policy stays where it is: what acted and what is evaluated must agree
  train(world, o, 4 * o.envs * o.rollout, 0, watcher);
  EXPECT_LT(divergence, 1e-10);
}

TEST(Train, NaturalDirectionIsThatOfADenseSolve) {
  const World world = make_world("CartPole-v1", {}, {});
  const Policy policy{Mlp{{4, 3, 2}}};
  Rng rng(5, "test");
  const Parameters theta = initialise(policy, rng);
  const Trajectories batch = world.sample(policy, theta, 60, {1, "test", 0, 3});
  std::size_t d = 0;
  for (const auto& x : theta) d += x.size();
  constexpr double damping = 0.01;

  // F from its definition: scores of every action of every row, a gradient each.
  Array<double> F = zeros<double>(static_cast<int>(d), static_cast<int>(d));
  for (int r = 0; r < batch.rows(); ++r) {
    const Array<double> seen = from_values<double>(1, 4, row(batch.observation, r));
    const Array<double> p = probabilities(policy, theta, {{}, &seen});
    for (int a = 0; a < 2; ++a) {
      Tape<double> tape;
      const auto x = tape.parameters(theta);
      const std::vector<int> choice = {a};
      const auto z = grad(log_prob(policy(x, {}, tape.data(seen)), Actions<double>{choice, {}}), x);
      std::vector<double> flat;
      for (const auto& each : z) flat.insert(flat.end(), each.begin(), each.end());
      for (std::size_t i = 0; i < d; ++i)
        for (std::size_t j = 0; j < d; ++j) F(i, j) += p(0, a) * flat[i] * flat[j] / batch.rows();
    }
  }
  for (std::size_t i = 0; i < d; ++i) F(i, i) += damping;

  std::vector<double> g(d);
  for (double& each : g) each = rng.normal();
  const auto product = fisher_times<double>(policy, theta, batch, g, damping);
  for (std::size_t i = 0; i < d; ++i) {
    double expected = 0;
    for (std::size_t j = 0; j < d; ++j) expected += F(i, j) * g[j];
    EXPECT_NEAR(product[i], expected, 1e-10) << i;
  }

  const auto direction = conjugate_gradient(
      [&](const std::vector<double>& v) { return fisher_times<double>(policy, theta, batch, v, damping); }, g, 500);
  double off = 0, size = 0;
  for (std::size_t i = 0; i < d; ++i) {
    double back = 0;  // (F + damping) direction
    for (std::size_t j = 0; j < d; ++j) back += F(i, j) * direction[j];
    off = std::max(off, std::abs(back - g[i]));
    size = std::max(size, std::abs(g[i]));
  }
  EXPECT_LT(off, 1e-6 * size);
}

double start_value(const World& world, const Array<double>& pi) {
  const auto V = stationary_values(*world.mdp, pi);
  return std::inner_product(V.begin(), V.end(), world.mdp->start.begin(), 0.0);
}

TEST(Train, EveryOnPolicyAlgorithmLearnsTheChain) {
  const World world = make_world("chain", {}, {});
  const Plan best = policy_iteration(*world.mdp);
  const double optimum = std::inner_product(best.values.begin(), best.values.end(), world.mdp->start.begin(), 0.0);
  const double start = start_value(world, full<double>(world.mdp->S, world.mdp->A, 0.5));
  ASSERT_GT(optimum - start, 0.1);
  for (const char* algorithm : {"reinforce-baseline", "q-actor-critic", "a2c", "npg", "trpo", "ppo", "ppo-kl"}) {
    const Learned learned = learn(algorithm, world, 200'000);
    const double value = start_value(world, table_of(world, learned.policy, learned.theta));
    EXPECT_GT(value, start + 0.75 * (optimum - start)) << algorithm << ", of " << start << " to " << optimum;
  }
}

TEST(Train, OneAsynchronousWorkerHasTheSameBitsEachTime) {
  const World world = make_world("CartPole-v1", {}, {});
  OnPolicyOptions o = options_of("a3c", world);
  o.workers = 1;
  const Learned a = train(world, o, 4000, 2, {}), b = train(world, o, 4000, 2, {});
  EXPECT_EQ(a.theta, b.theta);
  o.workers = 3;  // and several run, and write finite numbers
  for (const auto& x : train(world, o, 6000, 2, {}).theta)
    for (const double each : x) EXPECT_TRUE(std::isfinite(each));
}

TEST(Train, AnalyticGradientsFindTheRiccatiGain) {
  const World world = make_world("single-integrator", {}, 100);
  const Learned learned = learn("apg", world, 800'000);
  const double K = riccati_optimum(*world.lqg).K(0, 0);
  EXPECT_NEAR(learned.theta[0](0, 0), K, 0.1 * std::abs(K));
}

TEST(Train, DdpgImprovesOnThePendulum) {
  const World world = make_world("Pendulum-v1", {}, {});
  auto o = std::get<DdpgOptions>(default_options("ddpg", world));
  o.hidden = {32, 32};
  o.batch = 32;
  o.warmup = 500;
  const Learned learned = train(world, o, 8000, 0, {});
  const auto returns = evaluate(world, learned.policy, learned.theta, 20, 7);
  EXPECT_GT(std::accumulate(returns.begin(), returns.end(), 0.0) / 20, -700);  // untrained: about -1300
}

TEST(Summary, InterquartileMeansAndImprovement) {
  const std::vector<double> x = {8, 1, 2, 3, 4, 5, 6, 7}, y = {1, 1, 1, 1};
  EXPECT_DOUBLE_EQ(interquartile_mean(x), 4.5);
  EXPECT_DOUBLE_EQ(interquartile_mean(y), 1);
  const auto [low, high] = interquartile_mean_interval(x);
  EXPECT_LT(low, 4.5);
  EXPECT_GT(high, 4.5);
  EXPECT_DOUBLE_EQ(probability_of_improvement(x, y).probability, 7.5 / 8);
}

}  // namespace
}  // namespace lowvar
