// Which estimators are biased, and planted faults that the exact moments catch. Every comparison holds at a
// family-wise error of 1e-6, with fixed seeds; test_ci_estimator_moments compares every estimator.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "algorithms/data/returns.h"
#include "algorithms/exact/dynamic_programming.h"
#include "algorithms/exact/lqr.h"
#include "sampled_against_exact.h"

namespace lowvar {
namespace {

TEST(EstimatorMoments, PathwiseIsTheDerivativeOfTheReturnAlongTheSameNoise) {
  const World world = make_world("double-integrator", 0.9, 6);
  const PolicyChoice choice = make_policy(world, "reference");
  const Trajectories batch = world.sample(choice.policy, choice.theta, world.T, {3, "test", 0, 4});
  Constants constants;
  constants.gamma = world.gamma;
  constants.dynamics = world.lqg;
  const Estimator e = make_estimator("pathwise");
  const Array<double> g = estimate({&e}, choice.policy, choice.theta, batch, batch.offset, constants).front();
  // R at parameters moved by h, the noise (a - K s) / sigma of each step kept.
  const auto R = [&](int i, std::size_t parameter, double h) {
    std::vector<double> theta{choice.theta[0](0, 0), choice.theta[0](0, 1), choice.theta[1](0, 0)};
    const std::vector<double> before = theta;
    theta[parameter] += h;
    std::vector<double> s(row(batch.observation, batch.begin(i)).begin(),
                          row(batch.observation, batch.begin(i)).end());
    double total = 0, discount = 1;
    for (int r = batch.begin(i); r < batch.end(i); ++r, discount *= world.gamma) {
      const auto o = row(batch.observation, r);
      const double noise =
          (batch.action_vector(r, 0) - before[0] * o[0] - before[1] * o[1]) / std::exp(before[2]);
      const std::vector<double> a{theta[0] * s[0] + theta[1] * s[1] + std::exp(theta[2]) * noise};
      s = next_state(*world.lqg, s, a);
      total += discount * reward(*world.lqg, s, a);
    }
    return total;
  };
  for (int i = 0; i < batch.size(); ++i)
    for (std::size_t j = 0; j < 3; ++j)
      EXPECT_NEAR(g(i, static_cast<int>(j)), (R(i, j, 1e-5) - R(i, j, -1e-5)) / 2e-5, 1e-6) << i << ", " << j;
}

TEST(EstimatorMoments, AnEstimatorIsBiasedWhereItSaysSoAndNowhereElse) {
  // With exact critics, on a world where sets of trajectories can be enumerated.
  const World world = tiny_world();
  const PolicyChoice choice = make_policy(world, "init:1");
  const FittedCritic critic = make_critic(world, choice, "exact", 0, 0, true);
  std::vector<std::string> names;
  for (const auto& family : estimator_families()) {
    if (family.example == "pathwise") continue;
    const bool whole = family.pattern.starts_with("reinforce") || make_estimator(family.example).unit > 1;
    names.push_back(make_estimator(family.example).unit > 1
                        ? family.pattern.substr(0, family.pattern.find(':')) + ":2"
                        : family.example);
    if (whole) continue;
    names.push_back(family.example + "+undiscounted");
    if (family.example != "all-action") names.push_back(family.example + "+whitened");
  }
  const auto bias = [&](const Estimator& e) {
    const auto answer = ask_oracle(world, choice.policy, choice.theta, choice.theta, e, critic, 2);
    EXPECT_FALSE(answer.truth.mean.empty()) << e.name << ": " << answer.reason;
    double square = 0;
    for (std::size_t i = 0; i < answer.truth.mean.size(); ++i)
      square += std::pow(answer.truth.mean[i] - answer.truth.gradient[i], 2);
    return std::sqrt(square);
  };
  int biased = 0;
  for (const auto& name : names) {
    const Estimator e = make_estimator(name);
    if (e.bias.empty())
      EXPECT_LT(bias(e), 1e-12) << name << " does not say that it is biased";
    else
      EXPECT_GT(bias(e), 1e-3) << name << ": " << e.bias;
    biased += !e.bias.empty();
  }
  EXPECT_GT(biased, 10);
}

// Planted faults.

TEST(PlantedFaults, OwnRewardInTheMeanOfLeaveOneOut) {
  for (const char* id : {"chain", "bandit:1,0.7,0"}) {
    const World world = make_world(id, {}, {});
    Estimator e = make_estimator("rloo:2");
    e.weights = [](const Trajectories& b, const Constants& c) {
      Array<double> psi = zeros<double>(b.rows(), 1);
      for (int i = 0; i < b.size(); ++i) {
        const int pair = i / 2 * 2;
        const double mean = 0.5 * (discounted_return(b.rewards(pair), c.gamma) +
                                   discounted_return(b.rewards(pair + 1), c.gamma));
        for (int r = b.begin(i); r < b.end(i); ++r)
          psi(r, 0) = discounted_return(b.rewards(i), c.gamma) - mean;
      }
      return psi;
    };
    const Deviation d = compare(world, make_policy(world, "init:1"), "exact", {e}, {"rloo:2"}, 40'000, 26);
    EXPECT_GT(d.mean, 1) << id;
  }
}

TEST(PlantedFaults, UndeclaredWhitening) {
  // Whitened over whatever is sampled together, measured as if each trajectory were by itself.
  const World world = tiny_world();
  Estimator e = make_estimator("gae:0.9");
  e.weights = make_estimator("gae:0.9+whitened").weights;
  const Deviation d = compare(world, make_policy(world, "init:1"), "exact", {e}, {"gae:0.9"}, 40'000, 27);
  EXPECT_GT(d.mean, 1);
}

TEST(PlantedFaults, GroupsOfDifferentStarts) {
  // rloo on independent starts is as unbiased, and has another variance.
  Mdp mdp = garnet(4, 2, 2, 1);
  mdp.T = 3;
  for (std::size_t k = 0; k < mdp.outcome_list.size(); ++k)  // 2 actions of 2 outcomes a state
    mdp.outcome_list[k].reward += 3.0 * static_cast<double>(k / 4);
  const World world = tabular_world("garnet", mdp);
  World apart = world;
  apart.sample = [inner = world.sample](const Policy& policy, const Parameters& theta, int T, Draw draw) {
    draw.group = 1;
    return inner(policy, theta, T, draw);
  };
  const auto deviation = [&](const World& w) {
    return compare(w, make_policy(w, "uniform"), "exact", made({"rloo:2"}), {"rloo:2"}, 20'000, 28);
  };
  expect_agreement(deviation(world), "same start");
  EXPECT_GT(deviation(apart).variance, 1);
}

/// A world without an end that is cut at a time limit, and its critic: V of the infinite horizon at every
/// step, the last one included.
struct TimeLimit {
  World world;
  PolicyChoice choice;
  std::vector<double> V;
  FittedCritic critic;
};
TimeLimit time_limit() {
  Mdp mdp = garnet(4, 2, 2, 2);
  mdp.T = 4;
  mdp.gamma = 0.9;
  TimeLimit out{tabular_world("garnet", mdp), {}, {}, {}};
  out.choice = make_policy(out.world, "init:1");
  out.V = stationary_values(mdp, table_of(out.world, out.choice.policy, out.choice.theta));
  Array<double> table = zeros<double>(mdp.T + 1, mdp.S);
  for (int t = 0; t <= mdp.T; ++t) std::copy(out.V.begin(), out.V.end(), row(table, t).begin());
  out.critic = {table_critic(table), table};
  return out;
}

const std::vector<std::string> kBootstrapped{"td", "nstep:2", "nstep:9", "gae:0.9", "vtrace:1:1"};

TEST(TimeLimit, ABootstrapMakesItTheGradientOfAnInfiniteHorizon) {
  // E g = sum_{t<T} gamma^t sum_s d_t(s) sum_a pi(a|s) grad log pi(a|s) Q(s, a), Q of the infinite horizon.
  const TimeLimit limit_of = time_limit();
  const Mdp& mdp = *limit_of.world.mdp;
  const Array<double> pi = table_of(limit_of.world, limit_of.choice.policy, limit_of.choice.theta),
                      d = state_distribution(mdp, pi);
  std::vector<double> expected(static_cast<std::size_t>(mdp.S * mdp.A), 0);
  for (int t = 0; t < mdp.T; ++t)
    for (int s = 0; s < mdp.S; ++s)
      for (int a = 0; a < mdp.A; ++a)
        for (const Outcome& o : mdp.outcomes(s, a))
          expected[static_cast<std::size_t>(s * mdp.A + a)] +=
              std::pow(mdp.gamma, t) * d(t, s) * pi(s, a) * o.probability *
              (o.reward + mdp.gamma * limit_of.V[static_cast<std::size_t>(o.next)] -
               limit_of.V[static_cast<std::size_t>(s)]);
  for (const auto& name : kBootstrapped) {
    const ExactMoments m = exact_moments(name, mdp, pi, *limit_of.critic.table);
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(m.mean[i], expected[i], 1e-12) << name;
  }
  expect_agreement(compare(limit_of.world, limit_of.choice, limit_of.critic, made(kBootstrapped),
                           kBootstrapped, 40'000, 29),
                   "bootstrapped");
}

TEST(PlantedFaults, TruncationTreatedAsTermination) {
  TimeLimit limit_of = time_limit();
  limit_of.critic.critic = [inner = limit_of.critic.critic](Trajectories& batch) {
    inner(batch);
    for (int i = 0; i < batch.size(); ++i) batch.next_value[static_cast<std::size_t>(batch.end(i)) - 1] = 0;
  };
  for (const auto& name : kBootstrapped)
    EXPECT_GT(
        compare(limit_of.world, limit_of.choice, limit_of.critic, made({name}), {name}, 20'000, 30).mean, 1)
        << name;
}

}  // namespace
}  // namespace lowvar
