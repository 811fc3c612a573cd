// The trainers: trust regions hold, learners are values, mistakes of options are refused, natural directions
// are those of a dense solve, and all of them learn a small world whose optimum is known.
#include <gtest/gtest.h>
#include <omp.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "algorithms/exact/dynamic_programming.h"
#include "algorithms/exact/lqr.h"
#include "algorithms/train/a3c.h"
#include "algorithms/train/ddpg.h"
#include "algorithms/train/ppo.h"
#include "algorithms/train/trpo.h"
#include "core/blas.h"
#include "experiments/algorithms.h"
#include "experiments/summary.h"
#include "experiments/worlds.h"
#include "small_worlds.h"

namespace lowvar {
namespace {

Learned learn(const std::string& id, const World& world, long steps, std::uint64_t seed = 0) {
  return train(world, *make_algorithm(id, world), steps, seed);
}

/// All options that a page has, by name, as --set sets them.
std::unique_ptr<Algorithm> with(const std::string& id, const World& world,
                                std::initializer_list<std::pair<const char*, const char*>> options) {
  auto out = make_algorithm(id, world);
  for (const auto& [key, value] : options) set_option(*out, key, value, "");
  return out;
}

TEST(Train, TrustRegionsHoldAtEveryStep) {
  const World world = make_world("CartPole-v1", {}, {});
  TrpoOptions o = trpo_recipe(world);
  o.networks.hidden = {16};
  o.batch.rollout = 64;
  int steps = 0, moved = 0;
  Watcher watcher;
  watcher.update = [&](const UpdateReport& u) {
    EXPECT_LE(u.kl, o.kl_step) << "update " << u.update;
    EXPECT_GE(u.kl, 0);
    moved += u.kl > 0.2 * o.kl_step;
    ++steps;
  };
  train(world, *algorithm(o), 20 * o.batch.steps(), 1, watcher);
  EXPECT_EQ(steps, 20);
  EXPECT_GE(moved, 15);  // an update that never moves holds any trust region
}

TEST(Train, RunningMomentsAreThoseOfAllRowsAndNormaliseWhatANetworkSees) {
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
  const Parameters w = initialise(mlp, rng);
  for (const double limit : {0.0, 1.5}) {
    Array<double> normalised = all;
    int held = 0;
    for (int i = 0; i < 50; ++i)
      for (std::size_t j = 0; j < 3; ++j) {
        double& z = row(normalised, i)[j];
        z = (z - moments.mean(j)) / moments.deviation(j);
        if (limit == 0 || std::abs(z) <= limit) continue;
        z = z > 0 ? limit : -limit;
        ++held;
      }
    EXPECT_EQ(held > 3, limit > 0);
    Mlp of_raw = mlp;
    of_raw.normaliser = moments.normaliser(limit);
    Tape<double> tape;
    const Array<double> expected = forward(mlp, tape.parameters(w), tape.data(normalised)).value();
    const Array<double> got = forward(of_raw, tape.parameters(w), tape.data(all)).value();
    for (std::size_t k = 0; k < got.size(); ++k) EXPECT_NEAR(got.data()[k], expected.data()[k], 1e-11);
  }
}

/// Rewards in other units, by a power of two, so that not a bit may change.
TEST(Train, NormalisedRewardsHaveNoUnits) {
  const World world = make_world("Pendulum-v1", {}, {});
  PpoOptions o = ppo_recipe(world);
  o.batch.rollout = 150;  // cuts episodes
  o.epochs = 1;
  o.networks.hidden = {8};
  o.batch.normalise_observations = o.batch.normalise_rewards = true;
  const Learned a = train(world, *algorithm(o), 3000, 0);
  o.batch.reward_scale = 1024;
  const Learned b = train(world, *algorithm(o), 3000, 0);
  for (std::size_t i = 0; i < a.w.size(); ++i) EXPECT_EQ(a.w[i], b.w[i]);
  o.batch.normalise_rewards = false;
  EXPECT_NE(a.w, train(world, *algorithm(o), 3000, 0).w);
}

/// What is stored acts on raw observations as the learner did on normalised ones.
TEST(Train, APolicyOfNormalisedObservationsIsStoredAsOneOfRawOnes) {
  const World world = make_world("Pendulum-v1", {}, {});
  PpoOptions o = ppo_recipe(world);
  o.networks.precision = Precision::float64;
  o.batch.normalise_observations = true;
  o.batch.observation_limit = 0.7;  // in force on many a row
  o.epochs = 1;
  o.networks.hidden = {8};
  double divergence = 0;
  Watcher watcher;
  watcher.update = [&](const UpdateReport& u) { divergence = std::max(divergence, u.kl); };
  o.step.learning_rate = 1e-12;  // the policy stays where it is: what acted and what is evaluated must agree
  train(world, *algorithm(o), 4 * o.batch.steps(), 0, watcher);
  EXPECT_LT(divergence, 1e-10);
}

/// What is held is what is asked to be, where it is normalised.
TEST(Train, NormalisedObservationsAndRewardsAreHeldWithinTheirLimits) {
  const World world = make_world("Pendulum-v1", {}, {});
  PpoOptions o = ppo_recipe(world);
  o.epochs = 1;
  o.networks.hidden = {8};
  double seen = 0, paid = 0;
  Watcher watcher;
  watcher.weighed = [&](const WeighedBatch& w) {
    seen = paid = 0;
    for (const auto* x : {&w.batch.observation, &w.batch.final_observation})
      for (const double each : x->as<double>()) seen = std::max(seen, std::abs(each));
    for (const double each : w.batch.reward) paid = std::max(paid, std::abs(each));
  };
  const auto second_batch = [&] {
    const auto run = algorithm(o)->start(world, 1'000'000, 0);
    run->update(watcher), run->update(watcher);
  };
  o.batch.normalise_observations = o.batch.normalise_rewards = true;
  o.batch.observation_limit = o.batch.reward_limit = 0;
  second_batch();
  EXPECT_GT(seen, 1.5);
  EXPECT_GT(paid, 0.08);
  o.batch.observation_limit = 1.25, o.batch.reward_limit = 0.0625;
  second_batch();
  EXPECT_EQ(seen, 1.25);
  EXPECT_EQ(paid, 0.0625);
  o.batch.normalise_observations = o.batch.normalise_rewards = false;  // and else the world's own
  second_batch();
  EXPECT_GT(seen, 5);
  EXPECT_GT(paid, 5);
}

/// What looks at images, and what acts by vectors of choices, is written and read, and refused where it is
/// none.
TEST(Train, PoliciesOfImagesAndOfVectorsOfChoicesAreWrittenAndRead) {
  const auto file = std::filesystem::temp_directory_path() / join("lowvar-", getpid(), "-images.json");
  const World flicker = environment_world("flicker", Flicker{}),
              levers = environment_world("levers", Levers{}), cart = make_world("CartPole-v1", {}, 9);
  using Spoilt = std::pair<const char*, const char*>;
  const std::vector<std::pair<const World*, std::vector<Spoilt>>> cases = {
      {&flicker,
       {{"\"image\":[4,5,2]", "\"image\":[5,4,2]"},
        {"\"convolutions\":[[16,3,1]]", "\"convolutions\":[[16,5,1]]"},
        {"\"convolutions\":[[16,3,1]]", "\"convolutions\":[[16,3]]"},
        {"\"perceptron\":{\"sizes\"", "\"perceptron\":{\"inputs\":96,\"outputs\":3,\"was\""},
        {"\"sizes\":[96,", "\"sizes\":[95,"}}},
      {&levers,
       {{"\"head\":\"choices\"", "\"head\":\"gaussian\""}, {"\"sizes\":[1,8,5]", "\"sizes\":[1,8,4]"}}}};
  for (const auto& [world, spoils] : cases) {
    const Learned learned =
        train(*world, *with("ppo", *world, {{"hidden", "8"}, {"envs", "2"}, {"rollout", "9"}}), 36, 0);
    const std::string json = learned_as_json(*world, learned);
    std::ofstream(file) << json;
    const Learned read = read_learned(file, *world);
    EXPECT_EQ(learned_as_json(*world, read), json);
    EXPECT_EQ(evaluate(*world, read.policy, read.theta, 5, 1),
              evaluate(*world, learned.policy, learned.theta, 5, 1));
    EXPECT_THROW(read_learned(file, cart), Error) << world->id;
    EXPECT_THROW(read_learned(file, world == &levers ? flicker : levers), Error) << world->id;
    for (const auto& [from, to] : spoils) {
      std::string spoilt = json;
      ASSERT_NE(spoilt.find(from), std::string::npos) << from << " in " << json.substr(0, 300);
      spoilt.replace(spoilt.find(from), std::string(from).size(), to);
      std::ofstream(file) << spoilt;
      EXPECT_THROW(read_learned(file, *world), Error) << to;
    }
  }
  std::filesystem::remove(file);
}

struct DearFlicker : Flicker {
  static constexpr bool dear = true;
};

/// Worlds whose steps are dear are evaluated one episode at a time: the same episodes.
TEST(Train, DearWorldsAreEvaluatedEpisodeByEpisode) {
  const World dear = environment_world("dear", DearFlicker{}), cheap = environment_world("cheap", Flicker{});
  ASSERT_TRUE(dear.dear && !cheap.dear);
  const Learned learned = train(cheap, *with("ppo", cheap, {{"hidden", "8"}, {"rollout", "9"}}), 72, 0);
  const auto returns = [&](const World& world, int episodes) {
    return evaluate(world, learned.policy, learned.theta, episodes, 1);
  };
  const auto all = returns(cheap, 6);
  for (const int threads : {1, 3}) {
    omp_set_num_threads(threads);
    EXPECT_EQ(returns(dear, 6), all) << threads << " threads";
  }
  omp_set_num_threads(omp_get_num_procs());
  EXPECT_EQ(returns(dear, 4), std::vector(all.begin(), all.begin() + 4));
  for (const World& world : {dear, cheap}) {
    std::atomic<int> steps = 0;
    const auto enough = [&] { expect(++steps < 5, "enough"); };
    EXPECT_THROW(evaluate(world, learned.policy, learned.theta, 6, 1, enough), Error);
  }
}

/// A normaliser is a part of the policy and of the critic: written, read, evaluated, and refused where it is
/// none.
TEST(Train, APolicyOfNormalisedObservationsIsWrittenAndRead) {
  const World world = make_world("Pendulum-v1", {}, {});
  const auto algorithm =
      with("ppo", world, {{"normalise_observations", "true"}, {"observation_limit", "1"}, {"hidden", "8"}});
  const Learned learned = train(world, *algorithm, 2 * 4096, 0);
  EXPECT_EQ(std::get<Mlp>(learned.policy.model).normaliser.mean.size(), 3u);
  const auto file = std::filesystem::temp_directory_path() / join("lowvar-", getpid(), ".json");
  const std::string json = learned_as_json(world, learned);
  std::ofstream(file) << json;
  const Learned read = read_learned(file, world);
  EXPECT_EQ(learned_as_json(world, read), json);
  const auto returns = evaluate(world, read.policy, read.theta, 3, 1);
  EXPECT_EQ(returns, evaluate(world, learned.policy, learned.theta, 3, 1));
  Policy without = learned.policy;
  std::get<Mlp>(without.model).normaliser = {};
  EXPECT_NE(returns, evaluate(world, without, learned.theta, 3, 1));
  for (const auto& [from, to] : {std::pair{"\"limit\":1", "\"limit\":-1"},
                                 {"\"deviation\":[", "\"deviation\":[0,"},
                                 {"\"mean\":[", "\"mean\":[null,"}}) {
    std::string spoilt = json;
    ASSERT_NE(spoilt.find(from), std::string::npos) << from;
    spoilt.replace(spoilt.find(from), std::string(from).size(), to);
    std::ofstream(file) << spoilt;
    EXPECT_THROW(read_learned(file, world), Error) << to;
  }
  std::filesystem::remove(file);
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
    const Array<double> seen = from_values<double>(1, 4, std::span<const double>(row(batch.observation, r)));
    const Observations one(seen);
    const Array<double> p = probabilities(policy, theta, {{}, &one});
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
  const auto product = fisher_times<double>(policy, std::span(theta), batch, g, damping);
  for (std::size_t i = 0; i < d; ++i) {
    double expected = 0;
    for (std::size_t j = 0; j < d; ++j) expected += F(i, j) * g[j];
    EXPECT_NEAR(product[i], expected, 1e-10) << i;
  }

  const auto direction = conjugate_gradient(
      [&](const std::vector<double>& v) {
        return fisher_times<double>(policy, std::span(theta), batch, v, damping);
      },
      g, 500);
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
  const double optimum =
      std::inner_product(best.values.begin(), best.values.end(), world.mdp->start.begin(), 0.0);
  const double start = start_value(world, full<double>(world.mdp->S, world.mdp->A, 0.5));
  ASSERT_GT(optimum - start, 0.1);
  for (const char* algorithm :
       {"reinforce-baseline", "q-actor-critic", "a2c", "npg", "trpo", "ppo", "ppo-kl"}) {
    const Learned learned = learn(algorithm, world, 200'000);
    const double value = start_value(world, table_of(world, learned.policy, learned.theta));
    EXPECT_GT(value, start + 0.75 * (optimum - start)) << algorithm << ", of " << start << " to " << optimum;
  }
}

TEST(Train, OneAsynchronousWorkerHasTheSameBitsEachTime) {
  const World world = make_world("CartPole-v1", {}, {});
  A3cOptions o = a3c_recipe(world);
  o.workers = 1;
  const Learned a = train(world, *algorithm(o), 4000, 2), b = train(world, *algorithm(o), 4000, 2);
  EXPECT_EQ(a.theta, b.theta);
  o.workers = 3;  // and several run, and write finite numbers
  for (const auto& x : train(world, *algorithm(o), 6000, 2).theta)
    for (const double each : x) EXPECT_TRUE(std::isfinite(each));
}

TEST(Train, AsynchronousWorkersStandBetweenRounds) {
  const World world = make_world("CartPole-v1", {}, {});
  A3cOptions o = a3c_recipe(world);
  o.batch.envs = 2, o.batch.rollout = 4, o.networks.hidden = {4};
  o.workers = 3;
  const long steps = 8 * 250;
  std::vector<long> seen;
  Watcher watcher;
  watcher.update = [&](const UpdateReport& u) {
    EXPECT_EQ(u.step, 8 * (u.update + 1));
    seen.push_back(u.update);
  };
  const auto run = algorithm(o)->start(world, steps, 2);
  watcher.saw(run->update(watcher));
  EXPECT_TRUE(run->goes_on());
  const auto bytes = run->store();
  const auto other = algorithm(o)->start(world, steps, 2);
  other->restore(bytes);
  EXPECT_EQ(other->store(), bytes);
  EXPECT_EQ(other->updates(), static_cast<long>(seen.size()));
  EXPECT_EQ(other->policy_parameters(), run->policy_parameters());
  other->finish(watcher);
  EXPECT_EQ(other->steps(), steps);
  std::sort(seen.begin(), seen.end());
  for (std::size_t k = 0; k < seen.size(); ++k) EXPECT_EQ(seen[k], static_cast<long>(k));
  EXPECT_EQ(seen.size(), 250u);

  o.step.learning_rate = 1e38;
  const auto diverging = algorithm(o)->start(world, steps, 2);
  EXPECT_THROW(diverging->finish({}), NumericalFault);
  EXPECT_TRUE(diverging->goes_on()) << "noticed at the end alone";
}

TEST(Train, AnalyticGradientsFindTheRiccatiGain) {
  const World world = make_world("single-integrator", {}, 100);
  const Learned learned = learn("apg", world, 800'000);
  const double K = riccati_optimum(*world.lqg).K(0, 0);
  EXPECT_NEAR(learned.theta[0](0, 0), K, 0.1 * std::abs(K));
}

TEST(Train, AnalyticGradientsBalanceANetworksPole) {
  const World world = make_world("CartPoleBalance-v0", {}, {});
  const auto mean_return = [&](const char* estimator) {
    const auto algorithm = with("apg", world, {{"trajectories", "2"}, {"estimator", estimator}});
    const Learned learned = train(world, *algorithm, 20'000, 0);
    const auto returns = evaluate(world, learned.policy, learned.theta, 20, 7);
    return std::accumulate(returns.begin(), returns.end(), 0.0) / 20;
  };
  EXPECT_GT(mean_return("pathwise"), 450);
  EXPECT_LT(mean_return("pathwise:1"), 200);  // what a push does in one step is not enough
}

TEST(Train, AnalyticGradientsAreOfPathsThatCanBeFollowed) {
  const auto refusal = [](const char* id, const char* estimator) -> std::string {
    const World world = make_world(id, {}, {});
    try {
      with("apg", world, {{"estimator", estimator}})->check(world, 1'000'000);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(refusal("Pendulum-v1", "pathwise:20+stop-policy"), "");
  EXPECT_EQ(refusal("Pendulum-v1", "pathwise-fd"), "");
  EXPECT_NE(refusal("Pendulum-v1", "togo").find("must be pathwise"), std::string::npos);
  EXPECT_NE(refusal("CartPole-v1", "pathwise").find("are not known"), std::string::npos);
  EXPECT_NE(refusal("double-integrator:0.1", "pathwise-fd").find("are not known"), std::string::npos);
}

TEST(Train, DdpgImprovesOnThePendulum) {
  const World world = make_world("Pendulum-v1", {}, {});
  DdpgOptions o = ddpg_recipe(world);
  o.hidden = {32, 32};
  o.batch = 32;
  o.warmup = 500;
  const Learned learned = train(world, *algorithm(o), 8000, 0);
  const auto returns = evaluate(world, learned.policy, learned.theta, 20, 7);
  EXPECT_GT(std::accumulate(returns.begin(), returns.end(), 0.0) / 20, -700);  // untrained: about -1300
}

/// A run that is stored between two updates and restored in another goes on to the same bits; so does a copy.
TEST(Train, ALearnerIsAValue) {
  struct Case {
    const char* id;
    const char* world;
    std::vector<std::pair<std::string, std::string>> options;
    long steps;
  };
  const std::vector<Case> cases = {
      {"ppo", "CartPole-v1", {{"rollout", "32"}, {"hidden", "8"}}, 2000},
      {"ppo", "MinAtar/Asterix-v1", {{"rollout", "8"}, {"hidden", "8"}, {"convolutions", "4,3,2"}}, 300},
      {"trpo", "MinAtar/Freeway-v1", {{"rollout", "4"}, {"hidden", "8"}, {"critic_epochs", "1"}}, 200},
      {"ppo-kl", "bike-share", {{"rollout", "16"}, {"hidden", "8"}}, 300},
      {"ppo-kl",
       "Pendulum-v1",
       {{"rollout", "32"},
        {"hidden", "8"},
        {"normalise_observations", "true"},
        {"normalise_rewards", "true"}},
       2000},
      {"a2c", "chain", {{"rollout", "8"}, {"update", "rmsprop"}}, 1000},
      {"reinforce-baseline", "chain", {}, 600},
      {"q-actor-critic", "FrozenLake-v1", {{"rollout", "16"}}, 1000},
      {"trpo", "double-integrator", {{"rollout", "16"}, {"hidden", "8"}, {"critic_epochs", "1"}}, 600},
      {"npg", "CartPole-v1", {{"rollout", "16"}, {"hidden", "8"}, {"critic_epochs", "1"}}, 600},
      {"apg", "single-integrator", {}, 2000},
      {"a3c", "CartPole-v1", {{"workers", "1"}, {"envs", "2"}, {"rollout", "8"}, {"hidden", "8"}}, 1500},
      {"ddpg",
       "Pendulum-v1",
       {{"warmup", "50"}, {"batch", "16"}, {"hidden", "8"}, {"noise", "ou"}, {"envs", "2"}},
       400},
      {"ddpg", "Pendulum-v1", {{"warmup", "50"}, {"batch", "16"}, {"buffer", "20"}, {"hidden", "8"}}, 100},
  };
  for (const Case& each : cases) {
    const World world = make_world(each.world, {}, {});
    const auto algorithm = make_algorithm(each.id, world);
    for (const auto& [key, value] : each.options) set_option(*algorithm, key, value, "");
    const auto run = algorithm->start(world, each.steps, 4);
    run->update({}), run->update({});
    const auto copy = run->clone();
    const auto other = algorithm->start(world, each.steps, 9);  // of another seed, but for what is restored
    const auto bytes = run->store();
    const auto restored = algorithm->start(world, each.steps, 4);
    restored->restore(bytes);
    EXPECT_NE(other->store(), bytes) << each.id;
    run->finish({}), copy->finish({}), restored->finish({});
    EXPECT_EQ(run->store(), copy->store()) << each.id;
    EXPECT_EQ(run->store(), restored->store()) << each.id;
    EXPECT_NE(run->store(), bytes) << each.id << " did nothing more";
    const std::span<const std::byte> torn(bytes.data(), bytes.size() - 3);
    EXPECT_THROW(restored->restore(torn), Error) << each.id;
  }
}

/// What is of other shapes than the run, or counts what no run does, is refused and not acted on.
TEST(Train, ALearnerOfOtherShapesIsRefused) {
  struct Case {
    const char* id;
    const char* world;
    const char* key;  // what the other run has otherwise
    const char* value;
  };
  const std::vector<Case> cases = {
      {"ppo", "CartPole-v1", "hidden", "4"},
      {"ppo", "CartPole-v1", "envs", "3"},
      {"ppo", "CartPole-v1", "hidden", "8,8"},
      {"trpo", "CartPole-v1", "hidden", "4"},
      {"reinforce-baseline", "CartPole-v1", "hidden", "4"},
      {"a3c", "CartPole-v1", "hidden", "4"},
      {"a3c", "CartPole-v1", "envs", "3"},
      {"ddpg", "Pendulum-v1", "hidden", "4"},
      {"ddpg", "Pendulum-v1", "envs", "3"},
      {"ddpg", "Pendulum-v1", "buffer", "20"},
  };
  for (const Case& each : cases) {
    const World world = make_world(each.world, {}, {});
    const auto run_of = [&](const char* key, const char* value) {
      const auto algorithm = make_algorithm(each.id, world);
      set_option(*algorithm, "hidden", "8", "");
      for (const char* few : {"envs", "rollout", "warmup", "batch"})
        algorithm->visit([&](const std::string& name, OptionRef x) {
          if (name == few) *std::get<int*>(x) = 10;
        });
      set_option(*algorithm, key, value, "");
      return algorithm->start(world, 10'000, 4);
    };
    const auto run = run_of("hidden", "8"), other = run_of(each.key, each.value);
    for (int k = 0; k < 3; ++k) other->update({});
    EXPECT_THROW(run->restore(other->store()), Error) << each.id << ", " << each.key << " " << each.value;
  }
}

TEST(Train, EveryPartOfALearnerIsHeldToItsShape) {
  const World world = make_world("CartPole-v1", {}, {});
  const auto sound = [&] {
    auto l = new_learner<float>(world, {.hidden = {2}}, {.critic = CriticKind::value}, 0);
    l.policy_adam.t = l.critic_adam.t = 1;
    l.policy_adam.m = l.policy_adam.v = Arrays<float>(l.theta().begin(), l.theta().end());
    l.critic_adam.v = Arrays<float>(l.w().begin(), l.w().end());
    l.observed.add(zeros<double>(3, 4));
    l.returned.add(zeros<double>(3, 1));
    return l;
  };
  const Arrays<float> like = sound().parameters;
  EXPECT_NO_THROW(expect_shapes(sound(), like));
  const std::vector<std::function<void(Learner<float>&)>> faults = {
      [](auto& l) { l.parameters.pop_back(); },
      [](auto& l) { l.parameters[1] = zeros<float>(2, 1); },
      [](auto& l) { l.policy_adam.m.pop_back(); },
      [](auto& l) { l.policy_adam.v[0] = zeros<float>(1, 1); },
      [](auto& l) { l.critic_adam.v[0] = zeros<float>(1, 1); },
      [](auto& l) { l.policy_adam.t = -1; },
      [](auto& l) { l.observed = {}, l.observed.add(zeros<double>(3, 5)); },
      [](auto& l) { l.returned = l.observed; },
      [](auto& l) { l.update = -1; },
      [](auto& l) { l.step = std::numeric_limits<long>::max(); },
      [](auto& l) { l.episodes = -1; },
  };
  for (std::size_t k = 0; k < faults.size(); ++k) {
    auto l = sound();
    faults[k](l);
    EXPECT_THROW(expect_shapes(l, like), Error) << k;
  }
  EXPECT_EQ(next_episode(5, 3), 5);
  EXPECT_THROW(next_episode(std::numeric_limits<int>::max() - 2, 3), Error);
}

/// The sentence that refuses it; empty where nothing does.
std::string refusal(const World& world, const Algorithm& algorithm, long steps = 100'000) {
  try {
    algorithm.check(world, steps);
    return "";
  } catch (const Error& e) {
    return e.what();
  }
}

/// A bandit with two starts, which alone decide the return: 0 or 10.
World world_of_two_starts() {
  return tabular_world("two-starts", make_mdp(3, 2, 1, 1, {0.5, 0.5, 0}, {0, 0, 1}, [](int s, int) {
                         return std::vector<Outcome>{{2, 1, s == 0 ? 0.0 : 10.0}};
                       }));
}

// ---- PPO's details, one by one ----

TEST(Train, NetworksBeginAsTheirOptionsSay) {
  const World world = make_world("Pendulum-v1", {}, {});
  NetworkOptions networks{.hidden = {8}, .policy_gain = 0.25, .log_std = -0.5};
  const auto l = new_learner<double>(world, networks, {}, 0);
  const auto norm = [](const Array<double>& x) {
    return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
  };
  EXPECT_NEAR(norm(l.parameters[0]), std::sqrt(2.0 * 3), 1e-12);  // 3 orthonormal rows, times sqrt 2
  EXPECT_NEAR(norm(l.parameters[2]), 0.25, 1e-12);
  EXPECT_EQ(l.parameters[1], (zeros<double>(1, 8)));
  EXPECT_EQ(l.parameters[4], (full<double>(1, 1, -0.5)));  // one for each component, of no state
  EXPECT_NEAR(norm(l.parameters[7]), 1, 1e-12);            // the critic's last layer
  networks.initialisation = Initialisation::uniform;
  const auto uniform = new_learner<double>(world, networks, {}, 0);
  for (const double x : uniform.parameters[2]) EXPECT_LE(std::abs(x), 1 / std::sqrt(8.0));
  EXPECT_NE(norm(uniform.parameters[2]), 0.25);
}

TEST(Train, LearningRatesFallToZeroWhereTheyAreToldTo) {
  const World world = make_world("CartPole-v1", {}, {});
  PpoOptions o = ppo_recipe(world);
  o.networks.hidden = {8};
  constexpr int updates = 5;
  for (const bool anneal : {true, false}) {
    o.step.anneal = anneal;
    Watcher watcher;
    watcher.update = [&](const UpdateReport& u) {
      const double left = anneal ? 1 - static_cast<double>(u.update) / updates : 1;
      EXPECT_DOUBLE_EQ(u.learning_rate, left * o.step.learning_rate);
    };
    train(world, *algorithm(o), updates * o.batch.steps(), 0, watcher);
  }
}

TEST(Train, NormsAreClippedOverPolicyAndCriticTogether) {
  const auto of = [](double x, double y) {
    return Gradient<double>{.g = {full<double>(1, 1, x), full<double>(2, 1, y)}};
  };
  auto g = of(1, 2);  // of norm 3
  clip_norm(g, 4);
  EXPECT_EQ(g.g, of(1, 2).g);
  clip_norm(g, 0);
  EXPECT_EQ(g.g, of(1, 2).g);
  clip_norm(g, 1.5);
  EXPECT_EQ(g.g, of(0.5, 1).g);
}

/// An update ends after the epoch in which the policy has gone too far.
TEST(Train, AnUpdateStopsAtItsDivergence) {
  const World world = make_world("Pendulum-v1", {}, {});
  PpoOptions o = ppo_recipe(world);
  o.networks.hidden = {8};
  o.epochs = 6;
  const auto update = [&](double kl_stop) {
    o.kl_stop = kl_stop;
    int steps = 0;
    Watcher watcher;
    watcher.gradient = [&](const std::vector<double>&) { ++steps; };
    const UpdateReport report = algorithm(o)->start(world, 1'000'000, 0)->update(watcher);
    return std::pair{steps, report.kl};
  };
  const auto [all, far] = update(0);
  EXPECT_EQ(all, o.epochs * o.minibatches);
  EXPECT_EQ(update(1e9).first, all);
  EXPECT_EQ(update(1e-12).first, o.minibatches);
  const auto [some, kl] = update(far / 2);
  EXPECT_LT(some, all);
  EXPECT_GT(some, o.minibatches);
  EXPECT_EQ(some % o.minibatches, 0);
  EXPECT_GT(kl, far / 2);
}

/// (V - G)^2 / 2 or that of V held near its old value, whichever is larger.
TEST(Train, ClippedValueLossesAreThoseOfTheFormula) {
  Trajectories batch;
  std::vector<double> target;
  std::vector<int> rows;
  Array<double> V = zeros<double>(27, 1);
  double loss = 0;
  std::vector<double> slope;
  for (const double old : {-0.3, 0.0, 0.4})
    for (const double now : {-1.0, 0.05, 0.9})
      for (const double G : {-1.5, 0.1, 1.2}) {
        const auto s = rows.size();
        batch.state.push_back(static_cast<int>(s)), rows.push_back(static_cast<int>(s));
        batch.action.push_back(0), batch.reward.push_back(0), batch.log_mu.push_back(0);
        batch.value.push_back(old), target.push_back(G);
        V(s, 0) = now;
        const double held = std::min(old + 0.2, std::max(old - 0.2, now));
        const bool by_held = std::abs(held - G) > std::abs(now - G);
        loss += std::pow((by_held ? held : now) - G, 2) / 2;
        slope.push_back(by_held ? (held == now ? now - G : 0) : now - G);
      }
  batch.offset = {0, 27};
  const CriticObjective critic{.model = Table{27, 1}, .coefficient = 0.5, .clip = 0.2};
  const CriticTerm term{critic, target};
  const auto g = gradient<double>(nullptr, &term, {V}, 0, batch, rows);
  EXPECT_NEAR(g.value_loss, loss, 1e-12);
  int held = 0;
  for (std::size_t s = 0; s < slope.size(); ++s) {
    EXPECT_NEAR(g.g[0](s, 0), 0.5 * slope[s] / 27, 1e-15) << s;
    held += slope[s] == 0;
  }
  EXPECT_GT(held, 5);
}

/// The policy and the targets of DDPG move once in so many updates of the critic.
TEST(Train, DdpgsPolicyFollowsItsCriticAtItsOwnPace) {
  const World world = make_world("Pendulum-v1", {}, {});
  for (const auto& [every, climbs] : {std::pair{"1", 68}, {"2", 34}, {"3", 23}}) {
    int count = 0;
    Watcher watcher;
    watcher.gradient = [&](const std::vector<double>&) { ++count; };
    train(world,
          *with("ddpg", world, {{"warmup", "32"}, {"batch", "16"}, {"hidden", "8"}, {"policy_every", every}}),
          99, 0, watcher);
    EXPECT_EQ(count, climbs) << every;
  }
}

TEST(Train, GroupsShareTheirStart) {
  const World world = world_of_two_starts();
  for (const char* estimator : {"rloo:4", "grpo:4"}) {
    std::vector<double> entropies;
    Watcher watcher;
    watcher.update = [&](const UpdateReport& u) {
      entropies.push_back(u.entropy);
      EXPECT_EQ(u.gradient_norm, 0) << estimator;
    };
    train(world,
          *with("reinforce", world, {{"episodes", "8"}, {"estimator", estimator}, {"learning_rate", "1"}}),
          400, 0, watcher);
    ASSERT_EQ(entropies.size(), 50u);
    for (const double H : entropies) EXPECT_NEAR(H, std::log(2), 1e-6) << estimator;
  }
  // A return over mixed starts has advantages that are not zero.
  double largest = 0;
  Watcher watcher;
  watcher.update = [&](const UpdateReport& u) { largest = std::max(largest, u.gradient_norm); };
  train(world, *with("reinforce", world, {{"episodes", "8"}, {"estimator", "reinforce"}}), 400, 0, watcher);
  EXPECT_GT(largest, 0.1);
}

/// rho after the one update: 1 +- 0.0734 and 1 +- 0.3.
TEST(Train, TheClipFractionIsOfTheClipInUse) {
  const World world = make_world("bandit:1,0", {}, {});
  const auto fraction = [&](const char* estimator, const char* rate) {
    double out = 0;
    Watcher watcher;
    watcher.update = [&](const UpdateReport& u) { out = u.clip_fraction; };
    train(world,
          *with("ppo", world, {{"estimator", estimator}, {"learning_rate", rate}, {"anneal", "false"}}), 4096,
          0, watcher);
    return out;
  };
  EXPECT_EQ(fraction("ppo-clip:0.05+undiscounted", "0.005"), 1);
  EXPECT_EQ(fraction("ppo-clip:0.4+undiscounted", "0.02"), 0);
  EXPECT_TRUE(std::isnan(fraction("gae:0.95+undiscounted", "0.02")));
}

TEST(Train, WhatTrainingCannotFollowIsRefusedBeforeTheFirstStep) {
  const World lake = make_world("FrozenLake-v1", {}, {});
  const auto says = [&](const char* id, std::initializer_list<std::pair<const char*, const char*>> options,
                        const char* what) {
    EXPECT_NE(refusal(lake, *with(id, lake, options)).find(what), std::string::npos)
        << id << ": " << refusal(lake, *with(id, lake, options));
  };
  const std::pair<const char*, const char*> none = {"critic", "none"};
  says("a2c", {{"estimator", "rloo:4"}, none}, "episodes must be a multiple");
  says("reinforce", {{"estimator", "grpo:4"}, {"episodes", "6"}}, "episodes must be a multiple");
  says("ppo", {{"estimator", "togo-time"}}, "subtracts constants");
  says("ppo", {{"estimator", "reinforce-per-parameter"}}, "subtracts constants");
  says("ppo", {{"estimator", "q-value"}}, "critic must be action-value");
  says("q-actor-critic", {{"estimator", "gae:0.9"}}, "critic must be value");
  says("ppo", {{"estimator", "all-action"}}, "weighs no scores");
  says("ppo", {{"estimator", "gae:0.9"}, none}, "critic is none");
  says("trpo", {{"critic_epochs", "0"}}, "critic_epochs must be at least 1");
  EXPECT_EQ(refusal(lake, *with("reinforce", lake, {{"estimator", "grpo:4"}, {"episodes", "8"}})), "");
  EXPECT_EQ(refusal(lake, *with("ppo", lake, {{"estimator", "vtrace:1:1+undiscounted"}})), "");

  const World pendulum = make_world("Pendulum-v1", {}, {});
  EXPECT_NE(refusal(pendulum, *with("ppo", pendulum, {}), 4000).find("4000, are fewer than the 4096"),
            std::string::npos);
  EXPECT_NE(refusal(pendulum, *with("ddpg", pendulum, {}), 900).find("fewer than the 1000"),
            std::string::npos);
  for (const AlgorithmEntry& each : algorithms()) {
    const World world = make_world(each.id == "ddpg" ? "Pendulum-v1" : "single-integrator", {}, {});
    if (each.id == "q-actor-critic") continue;       // has no Q(s, .) of vectors
    if (each.id.starts_with("reinforce")) continue;  // one episode is a batch
    EXPECT_NE(refusal(world, *make_algorithm(each.id, world), 1).find("are fewer than"), std::string::npos)
        << each.id;
  }
}

/// Whose ratios are formed anew at every minibatch.
TEST(Train, VtraceTrains) {
  const World world = make_world("FrozenLake-v1", {}, {});
  const Learned learned =
      train(world, *with("ppo", world, {{"estimator", "vtrace:1:1+undiscounted"}, {"advantages", "raw"}}),
            120'000, 0);
  const double start = start_value(world, full<double>(world.mdp->S, world.mdp->A, 0.25));
  EXPECT_GT(start_value(world, table_of(world, learned.policy, learned.theta)), start + 0.2);
}

TEST(Train, EpisodesThatEndWhereTheyStartAreAnError) {
  const World world = tabular_world("over", make_mdp(2, 2, 0.9, 5, {0, 1}, {0, 1}, [](int, int) {
                                      return std::vector<Outcome>{{1, 1, 1.0}};
                                    }));
  for (const char* id : {"reinforce", "reinforce-baseline", "a2c", "ppo"})
    EXPECT_THROW(train(world, *make_algorithm(id, world), 10'000, 0), Error) << id;
}

/// Pays minus the squared distance of the action from a target inside lopsided bounds.
template <int kind>
struct Aim {
  struct State {
    double x;
  };
  using Action = std::array<double, 2>;
  static constexpr int observation = 1;
  static constexpr bool stochastic = false;
  static constexpr Action action_low = kind == 0 ? Action{-1, -5} : Action{0, 0};
  static constexpr Action action_high = kind == 0 ? Action{1, 5} : Action{1, 10};
  static constexpr Action target = kind == 0 ? Action{0.5, 4} : Action{0.25, 7};
  State reset(Rng& rng) const { return {rng.uniform(-1, 1)}; }
  Step<State> step(const State& s, const Action& a, Rng&) const {
    return {s, -(a[0] - target[0]) * (a[0] - target[0]) - (a[1] - target[1]) * (a[1] - target[1]), false};
  }
  void observe(const State& s, std::span<double> out) const { out[0] = float32(s.x); }
};

TEST(Train, DdpgReachesTargetsInsideBoundsOfEachComponent) {
  const auto cost = [](const World& world) {
    const Learned learned = train(world, *with("ddpg", world, {{"hidden", "64,64"}}), 4000, 0);
    return evaluate(world, learned.policy, learned.theta, 1, 0)[0] / world.T;
  };
  // One bound for all components costs 9 in the first and 36 in the second.
  EXPECT_GT(cost(environment_world("aim", Aim<0>{}, 0.9, 5)), -0.5);
  EXPECT_GT(cost(environment_world("aim-from-zero", Aim<1>{}, 0.9, 5)), -0.5);
}

/// A policy of a linear world, the linear one or a network, is stored, read and evaluated like any other.
TEST(Train, PoliciesOfLinearWorldsAreLikeAnyOther) {
  const World world = make_world("double-integrator", {}, 20);
  const auto file = std::filesystem::temp_directory_path() / join("lowvar-", getpid(), ".json");
  for (const char* id : {"npg", "ddpg"}) {
    const auto algorithm = std::string(id) == "npg" ? make_algorithm(id, world)
                                                    : with(id, world, {{"warmup", "200"}, {"hidden", "8"}});
    const Learned learned = train(world, *algorithm, 3000, 0);
    std::ofstream(file) << learned_as_json(world, learned);
    const Learned read = read_learned(file, world);
    EXPECT_EQ(read.theta, learned.theta) << id;
    EXPECT_EQ(evaluate(world, read.policy, read.theta, 5, 1),
              evaluate(world, learned.policy, learned.theta, 5, 1));
    const Estimator e = make_estimator("reinforce");
    const auto answer = ask_oracle(world, read.policy, read.theta, read.theta, e, std::nullopt);
    EXPECT_EQ(answer.truth.gradient.empty(), std::string(id) == "ddpg") << answer.reason;
  }
  std::filesystem::remove(file);
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
