// Which estimators are biased, and planted faults that the exact moments catch. Every comparison holds at a
// family-wise error of 1e-6, with fixed seeds; test_ci_estimator_moments compares every estimator.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "algorithms/data/returns.h"
#include "algorithms/exact/dynamic_programming.h"
#include "algorithms/exact/lqr.h"
#include "algorithms/exact/tabular.h"
#include "sampled_against_exact.h"

namespace lowvar {
namespace {

TEST(EstimatorMoments, PathwiseIsTheDerivativeOfTheReturnAlongTheSameNoise) {
  const World world = make_world("double-integrator", 0.9, 6);
  const PolicyChoice choice = make_policy(world, "reference");
  const Trajectories batch = world.sample(choice.policy, choice.theta, world.T, {3, "test", 0, 4});
  Constants constants;
  constants.gamma = world.gamma;
  constants.dynamics = world.dynamics;
  const Estimator e = make_estimator("pathwise");
  const Array<double> g = estimate({&e}, choice.policy, choice.theta, batch, batch.offset, constants).front();
  // R at parameters moved by h, the noise (a - K s) / sigma of each step kept.
  const auto R = [&](int i, std::size_t parameter, double h) {
    std::vector<double> theta{choice.theta[0](0, 0), choice.theta[0](0, 1), choice.theta[1](0, 0)};
    const std::vector<double> before = theta;
    theta[parameter] += h;
    std::vector<double> s = row(batch.observation, batch.begin(i));
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

/// |E g - gradient| of `pi` on data of `mu` with mu's critic, by the oracle.
double exact_bias(const World& world, const PolicyChoice& pi, const PolicyChoice& mu,
                  const std::string& value, const Estimator& e) {
  const FittedCritic critic = make_critic(world, mu, value, 0, 0, true);
  const auto answer = ask_oracle(world, pi.policy, pi.theta, mu.theta, e, critic, 2);
  if (answer.truth.mean.empty()) throw Error(e.name + ": " + answer.reason);
  return bias_norm({answer.truth.mean, {}}, answer.truth.gradient);
}

constexpr double kNone = 1e-9;

/// Where a name's fields are not what the world shows; empty if nowhere.
std::string untrue(const World& world, const PolicyChoice& pi, const PolicyChoice& mu, const Estimator& e) {
  std::string out;
  const auto claim = [&](bool holds, const char* what) {
    if (!holds) out += e.name + ": " + what + "; ";
  };
  const EstimatorName name = parse_estimator(e.name);
  const bool to_the_end = name.id() == FamilyId::nstep && name.arguments[0] >= world.T;  // looks at no critic
  // With two steps each, 1/length takes back what rewards 2 r - 1 double.
  const bool by_chance =
      world.T == 2 && name.id() == FamilyId::topr && name.suffix(SuffixKind::aggregation) != nullptr;
  if (!by_chance) claim(e.bias.empty() == (exact_bias(world, pi, pi, "exact", e) < kNone), "bias");
  if (e.off_policy && !to_the_end)
    claim(e.bias_off_policy.empty() == (exact_bias(world, pi, mu, "exact", e) < kNone), "bias_off_policy");
  if (!e.bias.empty() || !e.needs_critic || world.T < 3)
    return out;  // with fewer steps some C of V-trace are one
  claim((e.any_critic || to_the_end) == (exact_bias(world, pi, pi, "scaled:0.5", e) < kNone), "any_critic");
  return out;
}

TEST(EstimatorMoments, AnEstimatorIsBiasedWhereItSaysSoAndNowhereElse) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    Mdp mdp = seed % 2 ? garnet(2, 2, 2, seed) : garnet(3, 2, 1, seed);
    mdp.T = seed % 2 ? 2 : 3;
    mdp.gamma = 0.8;
    const World world = tabular_world("garnet", mdp);
    const PolicyChoice pi = make_policy(world, "init:1"), mu = make_policy(world, "init:2");
    int biased = 0, biased_off_policy = 0;
    for (const std::string& name : every_estimator()) {
      const Estimator e = make_estimator(name);
      if (e.needs_dynamics) continue;
      EXPECT_EQ(untrue(world, pi, mu, e), "") << "seed " << seed;
      biased += !e.bias.empty();
      biased_off_policy += !e.bias_off_policy.empty();
    }
    EXPECT_GT(biased, 10);
    EXPECT_GT(biased_off_policy, 10);
    // Planted: fields that are not true.
    Estimator e = make_estimator("vtrace:1:1");
    e.bias_off_policy.clear();
    EXPECT_EQ(untrue(world, pi, mu, e), "vtrace:1:1: bias_off_policy; ");
    e = make_estimator("vtrace:1:0.5");
    e.bias = "ratios are truncated below 1";
    EXPECT_EQ(untrue(world, pi, mu, e), "vtrace:1:0.5: bias; ");
    e = make_estimator("td");
    e.any_critic = true;
    EXPECT_EQ(untrue(world, pi, mu, e), world.T < 3 ? "" : "td: any_critic; ");
  }
}

TEST(EstimatorMoments, PathwiseIsUnbiased) {
  // R is of degree two in s_0 and the noise, and so is its derivative: three Gauss-Hermite nodes a variable
  // are exact.
  const World world = make_world("double-integrator", 0.9, 2);
  const PolicyChoice choice = make_policy(world, "reference");
  const Lqg& lqg = *world.lqg;
  const LinearGaussianPolicy policy{choice.theta[0], {choice.theta[1](0, 0)}};
  const Array<double> factor = lower_factor(lqg.Sigma_0, "Sigma_0");
  constexpr int variables = 4, nodes = 81;  // s_0 and two actions; 3^4
  const double node[] = {-std::sqrt(3.0), 0, std::sqrt(3.0)}, weight[] = {1.0 / 6, 2.0 / 3, 1.0 / 6};
  Trajectories batch;
  Array<double> seen = zeros<double>(2 * nodes, 2);
  batch.action_vector = zeros<double>(2 * nodes, 1);
  batch.numbers = zeros<double>(2 * nodes, 2);
  batch.final_numbers = zeros<double>(nodes, 2);
  std::vector<double> probability;
  for (int i = 0; i < nodes; ++i) {
    double u[variables];
    probability.push_back(1);
    for (int k = 0, rest = i; k < variables; ++k, rest /= 3) {
      u[k] = node[rest % 3];
      probability.back() *= weight[rest % 3];
    }
    std::vector<double> s{factor(0, 0) * u[0], factor(1, 0) * u[0] + factor(1, 1) * u[1]};
    for (int t = 0; t < 2; ++t) {
      const int r = 2 * i + t;
      std::copy(s.begin(), s.end(), row(seen, r).begin());
      std::copy(s.begin(), s.end(), row(batch.numbers, r).begin());
      batch.action_vector(r, 0) =
          policy.K(0, 0) * s[0] + policy.K(0, 1) * s[1] + std::exp(policy.log_std[0]) * u[2 + t];
      s = next_state(lqg, s, row(batch.action_vector, r));
    }
    std::copy(s.begin(), s.end(), row(batch.final_numbers, i).begin());
    batch.offset.push_back(2 * i + 2);
  }
  batch.observation = std::move(seen);
  batch.final_observation = batch.final_numbers;
  batch.log_mu.assign(2 * nodes, 0);
  Constants constants;
  constants.gamma = world.gamma;
  constants.dynamics = world.dynamics;
  const Estimator e = make_estimator("pathwise");
  const Array<double> g = estimate({&e}, choice.policy, choice.theta, batch, batch.offset, constants).front();
  const std::vector<double> gradient = policy_gradient(lqg, policy);
  EXPECT_TRUE(e.bias.empty());
  for (int j = 0; j < 3; ++j) {
    double mean = 0;
    for (int i = 0; i < nodes; ++i) mean += probability[static_cast<std::size_t>(i)] * g(i, j);
    EXPECT_NEAR(mean, gradient[static_cast<std::size_t>(j)], 1e-12) << j;
  }
}

TEST(EstimatorMoments, BiasOfOtherDataOnAnMdpWorkedOutElsewhere) {
  const auto file = [](const std::string& name) { return LOWVAR_TEST_DATA "/" + name + ".json"; };
  const World world = make_world("mdp:" + file("mdp3"), {}, {});
  const PolicyChoice pi = make_policy(world, "logits:" + file("pi3")),
                     mu = make_policy(world, "logits:" + file("mu3"));
  EXPECT_NEAR(exact_bias(world, pi, mu, "exact", make_estimator("vtrace:1:1")), 0.321165169451, 1e-12);
  EXPECT_NEAR(exact_bias(world, pi, mu, "exact", make_estimator("vtrace:100:100")), 0.0123817315955, 1e-12);
}

TEST(EstimatorMoments, EqualReturnsAreOfNoVarianceHoweverLarge) {
  for (const char* id : {"bandit:1e9,1e9", "bandit:1e6,1e6", "bandit:0.1,0.1,0.1"}) {
    const World world = make_world(id, {}, {});
    const PolicyChoice uniform = make_policy(world, "uniform");
    for (const char* name : {"grpo:6", "grpo:3", "togo+whitened", "togo-normalised"}) {
      const auto answer = ask_oracle(world, uniform.policy, uniform.theta, uniform.theta,
                                     make_estimator(name), FittedCritic{}, 7);
      EXPECT_EQ(answer.truth.variance, std::vector<double>(answer.truth.variance.size(), 0.0))
          << id << ", " << name << answer.reason;
      EXPECT_FALSE(answer.truth.variance.empty()) << id << ", " << name << answer.reason;
    }
  }
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
