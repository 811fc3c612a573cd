// The ruler: sampled moments against exact ones, standard errors that mean what they say, and planted faults
// that must be caught. Every comparison holds at a family-wise error of 1e-6, with fixed seeds.
#include <gtest/gtest.h>
#include <omp.h>

#include "algorithms/data/returns.h"
#include "core/store.h"
#include "sampled_against_exact.h"

namespace lowvar {
namespace {

/// What is kept of a measurement goes on to the same numbers, and in no other measurement.
TEST(Measure, WhatIsKeptIsOfTheSameMeasurement) {
  const auto measured = [](const char* id, std::vector<const char*> names, long trajectories,
                           const Keeper& k) {
    const World world = make_world(id, {}, {});
    const PolicyChoice pi = make_policy(world, "uniform");
    std::vector<Rung> rungs;
    for (const char* name : names) rungs.push_back({make_estimator(name), &pi.theta});
    Constants constants;
    constants.gamma = world.gamma;
    return stored(measure(world, pi.policy, pi.theta, rungs, nullptr, constants,
                          {.trajectories = trajectories, .keeper = k}));
  };
  std::vector<Keeper> kept;
  Keeper keeper;
  keeper.stands = [&](double, const auto& state) { kept.push_back({.kept = state()}); };
  const auto whole = measured("chain", {"togo", "rloo:2"}, 256, keeper);
  ASSERT_GE(kept.size(), 2u);
  for (const Keeper& each : kept) {
    EXPECT_EQ(measured("chain", {"togo", "rloo:2"}, 256, each), whole);
    EXPECT_THROW(measured("chain", {"togo"}, 256, each), Error);
    EXPECT_THROW(measured("chain", {"togo", "rloo:4"}, 256, each), Error);
    EXPECT_THROW(measured("chain", {"togo", "rloo:2"}, 128, each), Error);
    EXPECT_THROW(measured("FrozenLake-v1", {"togo", "rloo:2"}, 256, each), Error);
  }
}

TEST(Measure, AgreesWithTheOracleOnTabularWorlds) {
  for (const char* value : {"exact", "scaled:0.5", "zero"}) {
    const Deviation d = compare("chain", value, zoo(), 60'000, 11);
    EXPECT_LT(d.mean, 1) << value << ": " << d.worst_mean;
    EXPECT_LT(d.variance, 1) << value << ": " << d.worst_variance;
  }
  const Deviation d = compare("bombs-and-bitcoin", "scaled:0.5", zoo(), 20'000, 12);
  EXPECT_LT(d.mean, 1) << d.worst_mean;
  EXPECT_LT(d.variance, 1) << d.worst_variance;
}

/// The chain, measured with one faulty estimator that claims to be `name`.
Deviation planted(const char* name,
                  std::function<Array<double>(const Trajectories&, const Constants&)> weights) {
  const World world = make_world("chain", {}, {});
  Estimator e = make_estimator(name);
  e.weights = std::move(weights);
  return compare(world, make_policy(world, "reference"), "scaled:0.5", {e}, {name}, 60'000, 13);
}

TEST(Measure, CatchesAMissingDiscount) {
  const Deviation d = planted("togo", [](const Trajectories& batch, const Constants& c) {
    Array<double> psi = zeros<double>(batch.rows(), 1);  // gamma inside G_t, but none in front of the score
    for (int i = 0; i < batch.size(); ++i)
      returns_to_go(batch.rewards(i), c.gamma,
                    {psi.data() + batch.begin(i), static_cast<std::size_t>(batch.length(i))});
    return psi;
  });
  EXPECT_GT(d.mean, 1);
}

TEST(Measure, CatchesAnOffByOneBootstrap) {
  const Deviation d = planted("td", [](const Trajectories& batch, const Constants& c) {
    Array<double> psi = zeros<double>(batch.rows(), 1);  // V_t(s_t) where V_{t+1}(s_{t+1}) belongs
    for (int i = 0; i < batch.size(); ++i)
      for (int t = 0; t < batch.length(i); ++t) {
        const auto r = static_cast<std::size_t>(batch.begin(i) + t);
        psi(r, 0) = std::pow(c.gamma, t) * (batch.reward[r] + c.gamma * batch.value[r] - batch.value[r]);
      }
    return psi;
  });
  EXPECT_GT(d.mean, 1);
}

TEST(Measure, CatchesTheSignOfABaselineByItsVarianceAlone) {
  const Deviation d = planted("togo-value", [](const Trajectories& batch, const Constants& c) {
    Array<double> psi = zeros<double>(batch.rows(), 1);  // G_t + V_t(s_t): as unbiased as G_t - V_t(s_t)
    for (int i = 0; i < batch.size(); ++i) {
      const std::span<double> own{psi.data() + batch.begin(i), static_cast<std::size_t>(batch.length(i))};
      returns_to_go(batch.rewards(i), c.gamma, own);
      for (std::size_t t = 0; t < own.size(); ++t)
        own[t] = std::pow(c.gamma, t) * (own[t] + batch.value[static_cast<std::size_t>(batch.begin(i)) + t]);
    }
    return psi;
  });
  EXPECT_LT(d.mean, 1);
  EXPECT_GT(d.variance, 1);
}

TEST(Measure, SameBitsForAnyNumberOfThreads) {
  const World world = make_world("CartPole-v1", {}, {});
  const PolicyChoice choice = make_policy(world, "reference");
  const std::vector<Rung> rungs{{make_estimator("reinforce"), &choice.theta},
                                {make_estimator("togo"), &choice.theta}};
  Constants constants;
  constants.gamma = world.gamma;
  std::vector<double> first;
  for (const int threads : {1, 2, 3, 7}) {
    omp_set_num_threads(threads);
    const Measured m = measure(world, choice.policy, choice.theta, rungs, nullptr, constants,
                               {.trajectories = 200, .seed = 5});
    std::vector<double> numbers;
    for (const auto& block : m.blocks)
      for (const auto& each : block) {
        numbers.insert(numbers.end(), each.mean.begin(), each.mean.end());
        numbers.insert(numbers.end(), each.m2.begin(), each.m2.end());
      }
    if (first.empty()) first = numbers;
    EXPECT_TRUE(numbers == first) << threads << " threads";
  }
  omp_set_num_threads(omp_get_num_procs());
}

TEST(Measure, StandardErrorsCoverTheTruth) {
  // 60 runs of 2000 trajectories: the deviations of trace_cov, bias_sq and the ratio, in standard errors,
  // have a root mean square near one. The limits leave room for 60 draws and for blocks that are few.
  const World world = make_world("chain", {}, {});
  const PolicyChoice choice = make_policy(world, "reference");
  const FittedCritic critic = make_critic(world, choice, "scaled:0.5", 0, 0);
  Constants constants;
  constants.gamma = world.gamma;
  const std::vector<Rung> rungs{{make_estimator("togo"), &choice.theta},
                                {make_estimator("td"), &choice.theta}};
  std::vector<Truth> truth;
  for (const auto& rung : rungs)
    truth.push_back(
        ask_oracle(world, choice.policy, choice.theta, choice.theta, rung.estimator, critic.table).truth);
  std::map<std::string, double> square;
  constexpr int runs = 60;
  for (int run = 0; run < runs; ++run) {
    const Measured m = measure(world, choice.policy, choice.theta, rungs, critic.critic, constants,
                               {.trajectories = 2048, .seed = static_cast<std::uint64_t>(100 + run)});
    for (const auto& q : quantities(m, rungs, truth, 1, 0))
      if (q.exact) square[q.name] += std::pow((q.sampled.value - *q.exact) / q.sampled.se, 2) / runs;
  }
  for (const char* name : {"trace_cov", "bias_sq", "bias_norm", "mse", "snr", "noise_scale", "ratio:togo"}) {
    EXPECT_GT(std::sqrt(square.at(name)), 0.6) << name;
    EXPECT_LT(std::sqrt(square.at(name)), 1.4) << name;
  }
}

TEST(Measure, MomentsMergeAndComeApart) {
  Rng rng(1, "moments");
  Array<double> g = zeros<double>(40, 3);
  for (double& x : values(g)) x = rng.normal() + 5;
  const auto part = [&](int begin, int end) {
    Array<double> rows = zeros<double>(end - begin, 3);
    for (int i = begin; i < end; ++i)
      std::copy(row(g, i).begin(), row(g, i).end(), row(rows, i - begin).begin());
    return Moments::of(rows, zeros_like(rows));
  };
  const Moments whole = part(0, 40);
  Moments merged = part(0, 7);
  merged.merge(part(7, 8));
  merged.merge(part(8, 40));
  const Moments apart = merged.without(part(7, 8));
  Moments expected = part(0, 7);
  expected.merge(part(8, 40));
  for (std::size_t j = 0; j < 3; ++j) {
    EXPECT_NEAR(merged.mean[j], whole.mean[j], 1e-13);
    EXPECT_NEAR(merged.m2[j], whole.m2[j], 1e-11);
    EXPECT_NEAR(apart.mean[j], expected.mean[j], 1e-13);
    EXPECT_NEAR(apart.m2[j], expected.m2[j], 1e-10);
  }
  EXPECT_NEAR(merged.norm_sq, whole.norm_sq, 1e-10);
  EXPECT_EQ(merged.largest_norm_sq, whole.largest_norm_sq);
}

TEST(Measure, CosineIsWhatItsDefinitionSays) {
  // Mean pairwise cosine of the means of disjoint batches of 32, from each trajectory's own gradient.
  const World world = make_world("chain", {}, {});
  const PolicyChoice choice = make_policy(world, "reference");
  Constants constants;
  constants.gamma = world.gamma;
  const std::vector<Rung> rungs{{make_estimator("togo"), &choice.theta}};
  for (const long N : {100L, 1000L, 5000L}) {
    std::vector<std::vector<double>> sums(static_cast<std::size_t>(N / 32), std::vector<double>(10, 0));
    MeasureOptions options{.trajectories = N, .seed = 4};
    options.each = [&](int, long first, const Array<double>& g) {
      for (int i = 0; i < shape(g).rows; ++i)
        if (const auto b = static_cast<std::size_t>((first + i) / 32); b < sums.size())
          for (std::size_t j = 0; j < 10; ++j) sums[b][j] += g(i, j);
    };
    const Measured m = measure(world, choice.policy, choice.theta, rungs, nullptr, constants, options);
    double total = 0, pairs = 0;
    const auto dot = [](const auto& a, const auto& b) {
      return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
    };
    for (std::size_t a = 0; a < sums.size(); ++a)
      for (std::size_t b = 0; b < a; ++b, ++pairs)
        total += dot(sums[a], sums[b]) / std::sqrt(dot(sums[a], sums[a]) * dot(sums[b], sums[b]));
    for (const auto& q : quantities(m, rungs, {{}}, 0, 0))
      if (q.name == "cosine") {
        EXPECT_NEAR(q.sampled.value, total / pairs, 1e-12) << N;
      }
  }
}

TEST(Measure, UntilRseStopsWhereItShould) {
  const World world = make_world("chain", {}, {});
  const PolicyChoice choice = make_policy(world, "reference");
  Constants constants;
  constants.gamma = world.gamma;
  const std::vector<Rung> rungs{{make_estimator("togo"), &choice.theta}};
  const Measured m = measure(world, choice.policy, choice.theta, rungs, nullptr, constants,
                             {.trajectories = 100, .seed = 6, .until_rse = 0.02});
  const auto q = quantities(m, rungs, {{}}, 0, 0);
  EXPECT_LE(q[0].sampled.se / q[0].sampled.value, 0.02);
  EXPECT_GT(m.trajectories, 100);
  const Measured straight = measure(world, choice.policy, choice.theta, rungs, nullptr, constants,
                                    {.trajectories = 128, .seed = 6});
  const Measured stopped = measure(world, choice.policy, choice.theta, rungs, nullptr, constants,
                                   {.trajectories = 100, .seed = 6, .until_rse = 0.9});
  EXPECT_EQ(stopped.trajectories, 128);  // whole batches of 32
  EXPECT_NEAR(quantities(stopped, rungs, {{}}, 0, 0)[0].sampled.value,
              quantities(straight, rungs, {{}}, 0, 0)[0].sampled.value, 1e-12);
}

TEST(Measure, PilotConstantsApproachTheExactOnes) {
  World world = make_world("chain", {}, {});
  const PolicyChoice choice = make_policy(world, "reference");
  const Constants exact = make_constants(world, choice, 0, 0),
                  pilot = pilot_constants(world, choice.policy, choice.theta, 20'000, 1);
  EXPECT_NEAR(pilot.J, exact.J, 0.02);
  EXPECT_NEAR(pilot.b_star, exact.b_star, 0.05);
  // Of the linear fit what it says where trajectories are: tau and its powers are nearly the same numbers.
  const Trajectories batch = world.sample(choice.policy, choice.theta, world.T, {3, "test", 0, 5});
  for (int i = 0; i < batch.size(); ++i)
    for (int t = 0; t < std::min(8, batch.length(i)); ++t) {
      const auto phi = linear_features(batch, batch.begin(i) + t, t, 5);
      EXPECT_NEAR(std::inner_product(phi.begin(), phi.end(), pilot.linear.begin(), 0.0),
                  std::inner_product(phi.begin(), phi.end(), exact.linear.begin(), 0.0), 0.03)
          << i << ", " << t;
    }
}

TEST(Measure, UnitsOfSeveralTrajectoriesAreComparedOverEqualNumbersOfThem) {
  // The mean of a pair's togo has half the variance: as an estimator of pairs it is the same at equal cost.
  const World world = make_world("chain", {}, {});
  const PolicyChoice choice = make_policy(world, "reference");
  Constants constants;
  constants.gamma = world.gamma;
  Estimator pairs = make_estimator("togo");
  pairs.unit = 2;
  pairs.name = "togo of pairs";
  const std::vector<Rung> rungs{{make_estimator("togo"), &choice.theta}, {pairs, &choice.theta}};
  const Measured m = measure(world, choice.policy, choice.theta, rungs, nullptr, constants,
                             {.trajectories = 40'000, .seed = 9});
  EXPECT_EQ(m.unit, (std::vector<int>{1, 2}));
  const auto one = quantities(m, rungs, {{}, {}}, 0, 0), two = quantities(m, rungs, {{}, {}}, 1, 0);
  const auto find = [](const std::vector<Quantity>& all, std::string_view name) {
    return std::find_if(all.begin(), all.end(), [&](const Quantity& q) { return q.name == name; })->sampled;
  };
  const auto expect_near = [](Estimate x, double expected) {
    EXPECT_NEAR(x.value, expected, limit(4, 63) * x.se);
  };
  const double trace = find(one, "trace_cov").value;
  EXPECT_NEAR(find(two, "trace_cov").value, trace / 2, 0.1 * trace / 2);
  expect_near(find(two, "ratio:togo"), 1);
  // Both saw trajectories 0, 1, ... of the stream, in groups of one start, which the chain has but one of.
  EXPECT_NEAR(find(two, "difference:togo").value, 0, 0.02);
  EXPECT_THROW(measure(world, choice.policy, choice.theta, rungs, nullptr, constants, {.trajectories = 101}),
               Error);
}

TEST(Measure, LearnedTableCriticApproachesTheExactOne) {
  const World world = make_world("chain", {}, {});
  const PolicyChoice choice = make_policy(world, "reference");
  const FittedCritic learned = make_critic(world, choice, "learned", 20'000, 1, true),
                     exact = make_critic(world, choice, "exact", 0, 0, true);
  EXPECT_NEAR((*learned.table)(0, 0), (*exact.table)(0, 0), 0.02);
  EXPECT_NEAR((*learned.table)(3, 2), (*exact.table)(3, 2), 0.05);
  for (const int a : {0, 1}) {
    EXPECT_NEAR(learned.action_table(0, a), exact.action_table(0, a), 0.02) << a;
    EXPECT_NEAR(learned.action_table(3 * 5 + 2, a), exact.action_table(3 * 5 + 2, a), 0.1) << a;
  }
}

/// Blocks whose gradients are all zero have no direction, and merge and come apart like others.
TEST(Measure, MomentsWithoutADirectionMerge) {
  const Array<double> zero = zeros<double>(3, 2), some = {{1.0, 2.0}, {3.0, 5.0}};
  Moments a = Moments::of(zero, zero), b = Moments::of(some, some);
  b.batches = b.directions = 1;
  b.direction = {0.6, 0.8};
  for (const bool first : {true, false}) {
    Moments all = first ? a : b;
    all.merge(first ? b : a);
    EXPECT_EQ(all.n, 5);
    EXPECT_EQ(all.direction, b.direction);
    EXPECT_NEAR(all.mean[1], 1.4, 1e-15);
    const Moments left = all.without(a);
    EXPECT_EQ(left.direction, b.direction);
    EXPECT_NEAR(left.trace_cov(), b.trace_cov(), 1e-12);
  }
}

}  // namespace
}  // namespace lowvar
