// Estimators: weights against brute-force sums, what is measured against what is trained with, and names that
// are refused.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "algorithms/data/returns.h"
#include "algorithms/train/policy_gradient.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

const std::vector<std::string> all_names = {"reinforce",
                                            "reinforce-mean",
                                            "reinforce-optimal",
                                            "reinforce-per-parameter",
                                            "togo",
                                            "togo-normalised",
                                            "togo-time",
                                            "togo-value",
                                            "q-value",
                                            "all-action",
                                            "togo-linear",
                                            "togo-optimal",
                                            "rloo:5",
                                            "grpo:5",
                                            "td",
                                            "nstep:1",
                                            "nstep:3",
                                            "nstep:100",
                                            "gae:0",
                                            "gae:0.9",
                                            "gae:1",
                                            "vtrace:1:1",
                                            "vtrace:0.9:0.7",
                                            "ppo-clip:0.2",
                                            "togo+undiscounted",
                                            "gae:0.9+undiscounted",
                                            "gae:0.9+whitened",
                                            "togo+whitened+undiscounted",
                                            "togo+undiscounted+whitened"};

struct Fixture {
  World world = make_world("chain", {}, {});
  PolicyChoice choice = make_policy(world, "reference");
  FittedCritic critic = make_critic(world, choice, "scaled:0.7", 0, 0);
  Constants constants = make_constants(world, choice, 0, 0);
  Trajectories batch = world.sample(choice.policy, choice.theta, world.T, {3, "test", 0, 50});
  Fixture() {
    critic.critic(batch);
    batch.action_values = zeros<double>(batch.rows(), 2);  // an arbitrary Q
    Rng rng(4, "action-values");
    for (double& q : values(batch.action_values)) q = rng.normal();
  }

  Array<double> per_trajectory(const Estimator& e) const {
    return estimate({&e}, choice.policy, choice.theta, batch, batch.offset, constants).front();
  }
};

/// z_t of trajectory i as a vector over all logits.
std::vector<double> score(const Fixture& f, int r) {
  const Array<double> pi = table_of(f.world, f.choice.policy, f.choice.theta);
  std::vector<double> z(10, 0);
  const int s = f.batch.state[static_cast<std::size_t>(r)], a = f.batch.action[static_cast<std::size_t>(r)];
  for (int b = 0; b < 2; ++b) z[static_cast<std::size_t>(2 * s + b)] = (a == b) - pi(s, b);
  return z;
}

/// Minus the mean, over the standard deviation.
std::vector<double> standardised(std::vector<double> x) {
  const auto n = static_cast<double>(x.size());
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
  double square = 0;
  for (const double each : x) square += (each - mean) * (each - mean);
  for (double& each : x) each = n > 1 ? (each - mean) / (std::sqrt(square / (n - 1)) + 1e-8) : 0;
  return x;
}

/// Psi of every step of the batch by its plain definition, without gamma^t.
std::vector<double> defined_weights(const Fixture& f, const std::string& base) {
  const double gamma = f.constants.gamma;
  std::vector<double> returns;
  for (int i = 0; i < f.batch.size(); ++i) {
    returns.push_back(0);
    for (int t = 0; t < f.batch.length(i); ++t)
      returns.back() += std::pow(gamma, t) * f.batch.rewards(i)[static_cast<std::size_t>(t)];
  }
  std::vector<double> out;
  for (int i = 0; i < f.batch.size(); ++i) {
    const int n = f.batch.length(i), b = f.batch.begin(i);
    const auto r = [&](int t) { return f.batch.reward[static_cast<std::size_t>(b + t)]; };
    const auto v = [&](int t) { return f.batch.value[static_cast<std::size_t>(b + t)]; };
    const auto next_v = [&](int t) { return t + 1 < n ? v(t + 1) : 0.0; };  // terminal, or V_T = 0
    const auto delta = [&](int t) { return r(t) + gamma * next_v(t) - v(t); };
    std::vector<double> G(static_cast<std::size_t>(n), 0);
    for (int t = 0; t < n; ++t)
      for (int k = t; k < n; ++k) G[static_cast<std::size_t>(t)] += std::pow(gamma, k - t) * r(k);
    const std::vector<double> normalised = standardised(G);
    for (int t = 0; t < n; ++t) {
      const auto weighted = [&](double ratio, int K) {
        double A = 0;
        for (int k = t; k < std::min(n, t + K); ++k) A += std::pow(ratio, k - t) * delta(k);
        return A;
      };
      const double R = G[0], G_t = G[static_cast<std::size_t>(t)];
      double psi = NAN;
      if (base == "reinforce") psi = R;
      if (base == "reinforce-mean") psi = R - f.constants.J;
      if (base == "reinforce-optimal") psi = R - f.constants.b_star;
      if (base == "togo") psi = G_t;
      if (base == "togo-normalised") psi = normalised[static_cast<std::size_t>(t)];
      if (base == "togo-time") psi = G_t - f.constants.mean_return_to_go[static_cast<std::size_t>(t)];
      if (base == "togo-value") psi = G_t - v(t);
      const int s = f.batch.state[static_cast<std::size_t>(b + t)];
      if (base == "togo-optimal") psi = G_t - f.constants.per_state(t, s);
      if (base == "togo-linear") {
        psi = G_t - f.constants.linear[static_cast<std::size_t>(s)];
        for (std::size_t k = 0; k < 3; ++k) psi -= f.constants.linear[5 + k] * std::pow(t / 100.0, k + 1);
      }
      if (base == "rloo:5" || base == "grpo:5") {
        const auto first = returns.begin() + i / 5 * 5;
        const double sum = std::accumulate(first, first + 5, 0.0);
        psi = base == "rloo:5" ? R - (sum - R) / 4
                               : standardised({first, first + 5})[static_cast<std::size_t>(i % 5)];
      }
      if (base == "q-value")
        psi = f.batch.action_values(b + t, f.batch.action[static_cast<std::size_t>(b + t)]);
      if (base == "td" || base == "gae:0" || base == "nstep:1") psi = delta(t);
      if (base == "nstep:3") psi = weighted(gamma, 3);
      if (base == "nstep:100" || base == "gae:1" || base == "vtrace:1:1") psi = G_t - v(t);
      if (base == "vtrace:0.9:0.7") {  // ratios of one are cut to 0.9 and 0.7
        psi = delta(t);
        for (int k = t + 1; k < n; ++k) psi += gamma * std::pow(gamma * 0.7, k - t - 1) * 0.9 * delta(k);
        psi *= 0.9;
      }
      if (base == "gae:0.9") psi = weighted(gamma * 0.9, n);
      if (base == "ppo-clip:0.2") psi = weighted(gamma * 0.95, n);
      out.push_back(psi);
    }
  }
  return out;
}

TEST(Estimators, WeightsAreTheSumsOfTheirDefinitions) {
  const Fixture f;
  for (const auto& name : all_names) {
    const Array<double> g = f.per_trajectory(make_estimator(name));
    if (name == "all-action") continue;  // weighs every action: a test of its own is below
    const std::string base = name.substr(0, name.find('+'));
    const bool whole = base.starts_with("reinforce") || base == "rloo:5" || base == "grpo:5";
    const auto has = [&](const char* suffix) { return name.find(suffix) != std::string::npos; };
    std::vector<double> psi = defined_weights(f, base);
    if (has("+whitened")) psi = standardised(psi);
    for (int i = 0; i < f.batch.size(); ++i) {
      std::vector<double> expected(10, 0);
      double R = 0;
      for (int t = 0; t < f.batch.length(i); ++t)
        R += std::pow(f.constants.gamma, t) * f.batch.rewards(i)[static_cast<std::size_t>(t)];
      for (int t = 0; t < f.batch.length(i); ++t) {
        double weight = psi[static_cast<std::size_t>(f.batch.begin(i) + t)];
        if (!whole && !has("+undiscounted")) weight *= std::pow(f.constants.gamma, t);
        const auto z = score(f, f.batch.begin(i) + t);
        for (std::size_t j = 0; j < z.size(); ++j)
          expected[j] += (base == "reinforce-per-parameter" ? R - f.constants.b_i[j] : weight) * z[j];
      }
      for (std::size_t j = 0; j < expected.size(); ++j)
        EXPECT_NEAR(g(i, j), expected[j], 1e-12) << name << ", trajectory " << i << ", parameter " << j;
    }
  }
}

TEST(Estimators, AllActionIsTheConditionalExpectationOfItsStep) {
  // E[z_t Q(s_t, a_t) | s_t], by putting every action in place of the one taken.
  const Fixture f;
  const Array<double> pi = table_of(f.world, f.choice.policy, f.choice.theta);
  const Array<double> g = f.per_trajectory(make_estimator("all-action"));
  const Estimator q_value = make_estimator("q-value+undiscounted");
  std::vector<Array<double>> each;  // [action], a row a step
  std::vector<int> steps(static_cast<std::size_t>(f.batch.rows()) + 1);
  std::iota(steps.begin(), steps.end(), 0);
  for (int a = 0; a < 2; ++a) {
    Trajectories other = f.batch;
    std::fill(other.action.begin(), other.action.end(), a);
    each.push_back(estimate({&q_value}, f.choice.policy, f.choice.theta, other, steps, f.constants).front());
  }
  for (int i = 0; i < f.batch.size(); ++i)
    for (int j = 0; j < 10; ++j) {
      double expected = 0;
      for (int r = f.batch.begin(i); r < f.batch.end(i); ++r)
        for (int a = 0; a < 2; ++a)
          expected += std::pow(f.constants.gamma, r - f.batch.begin(i)) *
                      pi(f.batch.state[static_cast<std::size_t>(r)], a) *
                      each[static_cast<std::size_t>(a)](r, j);
      EXPECT_NEAR(g(i, j), expected, 1e-12) << i << ", " << j;
    }
}

TEST(Estimators, SurrogatesOfTheRatioAreTheScoreAtTheOldPolicy) {
  const Fixture f;
  Estimator score = make_estimator("gae:0.95"), weighted = score, clipped = make_estimator("ppo-clip:0.2");
  weighted.surrogate = importance_weighted();
  const Array<double> expected = f.per_trajectory(score);
  for (const Estimator& e : {weighted, clipped}) {
    const Array<double> g = f.per_trajectory(e);
    for (std::size_t k = 0; k < g.size(); ++k) EXPECT_NEAR(g.data()[k], expected.data()[k], 1e-12);
  }
}

TEST(Estimators, OfAGaussianPolicyIsTheDerivativeOfItsLogDensityTimesPsi) {
  const World world = make_world("Pendulum-v1", {}, 6);
  PolicyChoice choice = make_policy(world, "init:1");
  choice.policy = {Mlp{.sizes = {3, 4, 1}}, Head::gaussian};
  Rng rng(2, "pendulum-test");
  choice.theta = initialise(choice.policy, rng, -0.3);
  const Trajectories batch = world.sample(choice.policy, choice.theta, world.T, {3, "test", 0, 3});
  Constants constants;
  constants.gamma = 0.9;
  const Estimator e = make_estimator("togo");
  const Array<double> g = estimate({&e}, choice.policy, choice.theta, batch, batch.offset, constants).front();
  const Array<double> psi = e.weights(batch, constants);
  // sum_t psi_t log N(a_t; mean, sigma) with the mean of a 3-4-1 tanh network written out.
  const auto objective = [&](const Parameters& theta, int i) {
    double total = 0;
    for (int r = batch.begin(i); r < batch.end(i); ++r) {
      double mean = theta[3](0, 0);
      for (int h = 0; h < 4; ++h) {
        double hidden = theta[1](0, h);
        for (int o = 0; o < 3; ++o) hidden += batch.observation(r, o) * theta[0](o, h);
        mean += std::tanh(hidden) * theta[2](h, 0);
      }
      const double log_std = theta[4](0, 0), z = (batch.action_vector(r, 0) - mean) / std::exp(log_std);
      total += psi(r, 0) * (-0.5 * z * z - log_std);
    }
    return total;
  };
  int j = 0;
  for (std::size_t k = 0; k < choice.theta.size(); ++k)
    for (std::size_t l = 0; l < choice.theta[k].size(); ++l, ++j)
      for (int i = 0; i < batch.size(); ++i) {
        const double h = 1e-5;
        Parameters up = choice.theta, down = choice.theta;
        up[k].data()[l] += h, down[k].data()[l] -= h;
        const double difference = (objective(up, i) - objective(down, i)) / (2 * h);
        EXPECT_NEAR(g(i, j), difference, 1e-5 * (1 + std::abs(difference))) << k << ", " << l;
      }
  EXPECT_EQ(j, 3 * 4 + 4 + 4 + 1 + 1);
}

TEST(Estimators, OneGroupIsTheSumOverTrajectories) {
  const Fixture f;
  for (const auto& name : all_names) {
    const Estimator e = make_estimator(name);
    const Array<double> each = f.per_trajectory(e);
    const auto mean = policy_gradient_estimate(e, f.choice.policy, f.choice.theta, f.batch, f.constants);
    for (std::size_t j = 0; j < mean.size(); ++j) {
      double sum = 0;
      for (int i = 0; i < f.batch.size(); ++i) sum += each(i, j);
      EXPECT_NEAR(mean[j], sum / f.batch.size(), 1e-13) << name;
    }
  }
}

TEST(Estimators, SharingABackwardPassChangesNothing) {
  const Fixture f;
  std::vector<Estimator> estimators;
  for (const auto& name : all_names) estimators.push_back(make_estimator(name));
  std::vector<const Estimator*> pointers;
  for (const auto& e : estimators) pointers.push_back(&e);
  const auto together =
      estimate(pointers, f.choice.policy, f.choice.theta, f.batch, f.batch.offset, f.constants);
  for (std::size_t k = 0; k < estimators.size(); ++k)
    EXPECT_EQ(together[k], f.per_trajectory(estimators[k])) << all_names[k];
}

TEST(Estimators, TheRulerAndTheOptimiserCallTheSameObject) {
  const Fixture f;
  int calls = 0, surrogate_calls = 0;
  Estimator e = make_estimator("gae:0.95");
  e.weights = [&calls, inner = e.weights](const Trajectories& batch, const Constants& c) {
    ++calls;
    return inner(batch, c);
  };
  e.surrogate = Surrogate([&surrogate_calls](auto log_pi, const auto&, const auto& psi) {
    ++surrogate_calls;
    return log_pi * psi;
  });
  const std::vector<Rung> rungs{{e, &f.choice.theta}};
  measure(f.world, f.choice.policy, f.choice.theta, rungs, f.critic.critic, f.constants, {.trajectories = 2});
  EXPECT_GT(calls, 0);
  EXPECT_EQ(surrogate_calls, calls);
  const int measured = calls;
  Parameters theta = f.choice.theta;
  AdamState<double> adam;
  policy_gradient_step(e, f.choice.policy, theta, f.batch, f.constants, adam, {});
  EXPECT_GT(calls, measured);
  EXPECT_EQ(surrogate_calls, calls);
}

TEST(Estimators, AscentImprovesTheChain) {
  Fixture f;
  const Estimator e = make_estimator("gae:0.95");
  const double before = f.constants.J;
  Parameters theta = f.choice.theta;
  AdamState<double> adam;
  for (int step = 0; step < 100; ++step) {
    Trajectories batch = f.world.sample(f.choice.policy, theta, f.world.T, {3, "train", 64 * step, 64});
    f.critic.critic(batch);
    policy_gradient_step(e, f.choice.policy, theta, batch, f.constants, adam, {.learning_rate = 0.05});
  }
  const double after = make_constants(f.world, {f.choice.policy, theta}, 0, 0).J;
  EXPECT_GT(after, before + 0.1);
}

TEST(Estimators, PpoClipStopsExactlyWhereTheRatioLeavesTheInterval) {
  // Schulman et al. 2017, figure 1: no slope where A > 0 and rho > 1 + eps, or A < 0 and rho < 1 - eps.
  const Surrogate clipped = ppo_clip(0.2);
  for (const double A : {2.0, -2.0})
    for (const double rho : {0.5, 0.79, 0.81, 1.0, 1.19, 1.21, 1.5}) {
      const auto log_pi = full<double>(1, 1, std::log(rho)), log_mu = full<double>(1, 1, 0.0),
                 psi = full<double>(1, 1, A);
      const double slope = grad([&](Var<double> l) { return sum(clipped(l, log_mu, psi)); }, log_pi)(0, 0);
      const bool stops = (A > 0 && rho > 1.2) || (A < 0 && rho < 0.8);
      EXPECT_NEAR(slope, stops ? 0 : rho * A, 1e-12) << "rho " << rho << ", A " << A;
    }
}

TEST(Estimators, StepToKlReachesItsTarget) {
  const Fixture f;
  const std::vector<int> states{0, 1, 2, 3};
  const std::vector<double> weight{1, 2, 3, 4}, direction{1, -1, 0.5, 0, 0, 0.2, -1, 1, 0, 0};
  const auto after = step_to_kl(f.choice.policy, f.choice.theta, direction, {states}, weight, 0.01);
  EXPECT_NEAR(mean_kl(f.choice.policy, f.choice.theta, after, {states}, weight), 0.01, 1e-10);
  EXPECT_THROW(
      step_to_kl(f.choice.policy, f.choice.theta, std::vector<double>(10, 0.0), {states}, weight, 0.01),
      Error);
}

TEST(Estimators, NamesThatAreRefused) {
  for (const char* name : {"",
                           "reinforced",
                           "gae",
                           "gae:",
                           "gae:2",
                           "gae:-0.1",
                           "gae:nan",
                           "gae:0.5x",
                           "nstep:0",
                           "nstep:-1",
                           "nstep:1.5",
                           "nstep:99999999999",
                           "ppo-clip:0",
                           "ppo-clip:1",
                           "togo:1",
                           "reinforce+undiscounted",
                           "reinforce-mean+undiscounted",
                           "togo+",
                           "togo+undiscounted+undiscounted",
                           "td:",
                           "vtrace:1",
                           "vtrace:0:1",
                           "vtrace:1:-1",
                           "vtrace:1:1:1",
                           "reinforce+whitened",
                           "all-action+whitened",
                           "rloo",
                           "rloo:1",
                           "rloo:4+undiscounted",
                           "grpo:2.5",
                           "grpo:4+whitened",
                           "pathwise+undiscounted",
                           "togo+whitened+whitened",
                           "+undiscounted"})
    EXPECT_THROW(make_estimator(name), Error) << "'" << name << "'";
}

TEST(Estimators, OnesOfAUserAreMadeByNameAndTakeNoNameThatIsThere) {
  const auto make = [](std::string_view, std::string_view argument) {
    Estimator e = make_estimator("togo+undiscounted");
    e.equation = "with " + std::string(argument);
    return e;
  };
  EXPECT_THROW(add_estimator({"gae:OTHER", "gae:1"}, make), Error);
  EXPECT_THROW(add_estimator({"togo", "togo"}, make), Error);
  add_estimator({"of-a-user:A", "of-a-user:1"}, make);
  EXPECT_EQ(make_estimator("of-a-user:2:3").equation, "with 2:3");
  EXPECT_EQ(estimator_families().back().pattern, "of-a-user:A");
  EXPECT_THROW(add_estimator({"of-a-user:B", "of-a-user:1"}, make), Error);
}

}  // namespace
}  // namespace lowvar
