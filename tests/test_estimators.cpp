// Estimators: weights against brute-force sums, what is measured against what is trained with, and names that
// are refused.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "algorithms/data/returns.h"
#include "algorithms/exact/tabular.h"
#include "algorithms/train/kl_step.h"
#include "experiments/worlds.h"
#include "zoo.h"

namespace lowvar {
namespace {

/// But for the derivative along the trajectory, whose dynamics the chain has not.
const std::vector<std::string> all_names =
    filtered(every_estimator(), [](const EstimatorName& name) { return !name.family->needs.dynamics; });

struct Fixture {
  World world = make_world("chain", {}, {});
  PolicyChoice choice = make_policy(world, "reference");
  FittedCritic critic = make_critic(world, choice, "scaled:0.7", 0, 0);
  Constants constants = make_constants(world, choice, 0, 0);
  Trajectories batch = world.sample(choice.policy, choice.theta, world.T, {3, "test", 0, 48});
  Fixture() {
    critic.critic(batch);
    batch.longest = world.T;
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

/// The advantage of trajectory i of a group by its plain definition.
double defined_advantage(const EstimatorName& name, const std::vector<double>& R,
                         const std::vector<double>& l, std::size_t i) {
  const auto G = static_cast<double>(R.size());
  double sum = 0, tokens = 0, weighted = 0, best = -INFINITY, second = -INFINITY;
  int c = 0, nonzero = 0, before = 0;  // right, not zero, and at least as good as i but before it
  for (std::size_t j = 0; j < R.size(); ++j) {
    sum += R[j], tokens += l[j], weighted += l[j] * R[j], c += R[j] > 0, nonzero += R[j] != 0;
    if (R[j] > best)
      second = best, best = R[j];
    else
      second = std::max(second, R[j]);
    before += j < i && R[j] == R[i];
  }
  const double mean = sum / G, token_mean = weighted / tokens;
  const auto choose = [](int n, int k) {
    double out = 1;
    for (int j = 0; j < k; ++j) out *= static_cast<double>(n - j) / (j + 1);
    return n >= k ? out : 0;
  };
  const auto rho = [&](int n, int right, int k) { return 1 - choose(n - right, k) / choose(n, k); };
  switch (name.id()) {
    case FamilyId::mean:
      return R[i] - mean;
    case FamilyId::rloo:
      return R[i] - (sum - R[i]) / (G - 1);
    case FamilyId::grpo: {
      double square = 0;
      for (const double r : R) square += (r - mean) * (r - mean) / (G - 1);
      return square > 0 ? (R[i] - mean) / std::sqrt(square) : 0;
    }
    case FamilyId::opo:
      return R[i] - token_mean;
    case FamilyId::opo_loo:
      return R[i] - (weighted - l[i] * R[i]) / (tokens - l[i]);
    case FamilyId::whiten: {
      double square = 0;
      for (std::size_t j = 0; j < R.size(); ++j)
        square += l[j] * (R[j] - token_mean) * (R[j] - token_mean) / (tokens - 1);
      return (R[i] - token_mean) / std::sqrt(square + 1e-8);
    }
    case FamilyId::maxrl:
      return mean == 0 ? 0 : R[i] / mean;
    case FamilyId::gpg:
      return nonzero ? (R[i] - mean) * G / nonzero : 0;
    case FamilyId::best_second:
      return R[i] == best && before == 0 ? G * (best - second) : 0;
    case FamilyId::pkpo: {
      const int n = static_cast<int>(R.size()), k = static_cast<int>(name.arguments[1]),
                form = static_cast<int>(name.arguments[2]);
      const int others = c - (R[i] > 0);
      return k * ((R[i] > 0 ? 1 : rho(n - 1, others, k - 1)) - (form == 1   ? rho(n - 1, others, k)
                                                                : form == 2 ? rho(n - 1, others, k - 1)
                                                                            : 0));
    }
    default:
      return 2 * R[i] - 1;
  }
}

/// Psi of every step of the batch by its plain definition, without gamma^t.
std::vector<double> defined_weights(const Fixture& f, const EstimatorName& name) {
  const double gamma = f.constants.gamma;
  const auto argument = [&](std::size_t k) { return name.arguments[k]; };
  std::vector<double> returns;
  for (int i = 0; i < f.batch.size(); ++i) {
    const int n = f.batch.length(i);
    returns.push_back(std::pow(gamma, n) * f.batch.after(i));
    for (int t = 0; t < n; ++t)
      returns.back() += std::pow(gamma, t) * f.batch.rewards(i)[static_cast<std::size_t>(t)];
  }
  std::vector<double> out;
  for (int i = 0; i < f.batch.size(); ++i) {
    const int n = f.batch.length(i), b = f.batch.begin(i);
    const auto r = [&](int t) { return f.batch.reward[static_cast<std::size_t>(b + t)]; };
    const auto v = [&](int t) { return f.batch.value[static_cast<std::size_t>(b + t)]; };
    const auto next_v = [&](int t) { return t + 1 < n ? v(t + 1) : f.batch.after(i); };
    const auto delta = [&](int t) { return r(t) + gamma * next_v(t) - v(t); };
    std::vector<double> G;
    for (int t = 0; t < n; ++t) {
      G.push_back(std::pow(gamma, n - t) * f.batch.after(i));
      for (int k = t; k < n; ++k) G.back() += std::pow(gamma, k - t) * r(k);
    }
    const std::vector<double> normalised = standardised(G);
    for (int t = 0; t < n; ++t) {
      const int s = f.batch.state[static_cast<std::size_t>(b + t)];
      const double R = G[0], G_t = G[static_cast<std::size_t>(t)];
      const auto weighted = [&](double ratio, int K) {
        double A = 0;
        for (int k = t; k < n && k - t < K; ++k) A += std::pow(ratio, k - t) * delta(k);
        return A;
      };
      double psi = NAN;
      switch (name.id()) {
        case FamilyId::reinforce:
          psi = R;
          break;
        case FamilyId::reinforce_mean:
          psi = R - f.constants.J;
          break;
        case FamilyId::reinforce_optimal:
          psi = R - f.constants.b_star;
          break;
        case FamilyId::togo:
          psi = G_t;
          break;
        case FamilyId::togo_normalised:
          psi = normalised[static_cast<std::size_t>(t)];
          break;
        case FamilyId::togo_time:
          psi = G_t - f.constants.mean_return_to_go[static_cast<std::size_t>(t)];
          break;
        case FamilyId::togo_value:
          psi = G_t - v(t);
          break;
        case FamilyId::togo_optimal:
          psi = G_t - f.constants.per_state(t, s);
          break;
        case FamilyId::togo_linear:
          psi = G_t - f.constants.linear[static_cast<std::size_t>(s)];
          for (std::size_t k = 0; k < 3; ++k) psi -= f.constants.linear[5 + k] * std::pow(t / 100.0, k + 1);
          break;
        case FamilyId::q_value:
          psi = f.batch.action_values(b + t, f.batch.action[static_cast<std::size_t>(b + t)]);
          break;
        case FamilyId::td:
          psi = delta(t);
          break;
        case FamilyId::nstep:
          psi = weighted(gamma, static_cast<int>(argument(0)));
          break;
        case FamilyId::gae:
          psi = weighted(gamma * argument(0), n);
          break;
        case FamilyId::ppo_clip:
          psi = weighted(gamma * 0.95, n);
          break;
        case FamilyId::vtrace: {  // all ratios are one
          const double rho = std::min(1.0, argument(0)), c = std::min(1.0, argument(1));
          psi = delta(t);
          for (int k = t + 1; k < n; ++k) psi += gamma * std::pow(gamma * c, k - t - 1) * rho * delta(k);
          psi *= rho;
          break;
        }
        default:  // of no single weight a step, or of a group
          break;
      }
      const int G = std::max(1, name.unit()), first = i / G * G;
      std::vector<double> R_of_group, length;
      for (int j = first; j < first + G; ++j) {
        R_of_group.push_back(returns[static_cast<std::size_t>(j)]);
        length.push_back(f.batch.length(j));
      }
      if (name.family->groups)
        psi = defined_advantage(name, R_of_group, length, static_cast<std::size_t>(i - first));
      if (const UsedSuffix* how = name.suffix(SuffixKind::aggregation))
        psi *= how->suffix->id == SuffixId::seq_mean ? 1.0 / n
               : how->suffix->id == SuffixId::token_mean
                   ? G / std::accumulate(length.begin(), length.end(), 0.0)
                   : 1.0 / f.world.T;
      out.push_back(psi);
    }
  }
  return out;
}

void expect_weights_of_their_definitions(const Fixture& f) {
  for (const auto& typed : all_names) {
    const EstimatorName name = parse_estimator(typed);
    const bool per_parameter = name.id() == FamilyId::reinforce_per_parameter;
    if (name.family->kind == EstimatorKind::all_action) continue;  // a test of its own is below
    const Array<double> g = f.per_trajectory(make_estimator(typed));
    std::vector<double> psi = defined_weights(f, name);
    if (name.whitened()) psi = standardised(psi);
    for (int i = 0; i < f.batch.size(); ++i) {
      std::vector<double> expected(10, 0);
      double R = std::pow(f.constants.gamma, f.batch.length(i)) * f.batch.after(i);
      for (int t = 0; t < f.batch.length(i); ++t)
        R += std::pow(f.constants.gamma, t) * f.batch.rewards(i)[static_cast<std::size_t>(t)];
      for (int t = 0; t < f.batch.length(i); ++t) {
        double weight = psi[static_cast<std::size_t>(f.batch.begin(i) + t)];
        if (name.family->kind == EstimatorKind::causal && !name.undiscounted())
          weight *= std::pow(f.constants.gamma, t);
        const auto z = score(f, f.batch.begin(i) + t);
        for (std::size_t j = 0; j < z.size(); ++j)
          expected[j] += (per_parameter ? R - f.constants.b_i[j] : weight) * z[j];
      }
      for (std::size_t j = 0; j < expected.size(); ++j)
        EXPECT_NEAR(g(i, j), expected[j], 1e-12) << typed << ", trajectory " << i << ", parameter " << j;
    }
  }
}

TEST(Estimators, WeightsAreTheSumsOfTheirDefinitions) { expect_weights_of_their_definitions(Fixture()); }

TEST(Estimators, WhatFollowsTheLastStepIsPartOfEveryReturn) {
  Fixture f;
  Rng rng(5, "bootstrap");
  for (int i = 0; i < f.batch.size(); ++i) {
    f.batch.bootstrap.push_back(i % 3 ? rng.normal() : 0);
    f.batch.next_value[static_cast<std::size_t>(f.batch.end(i)) - 1] = f.batch.after(i);
  }
  expect_weights_of_their_definitions(f);
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

TEST(Estimators, EqualReturnsWeighNothingHoweverLarge) {
  Fixture f;
  for (const double r : {1e9, 0.1, -1e12}) {
    std::fill(f.batch.reward.begin(), f.batch.reward.end(), 0.0);
    for (int i = 0; i < f.batch.size(); ++i)  // the last step alone pays, so every G_t is R
      f.batch.reward[static_cast<std::size_t>(f.batch.end(i)) - 1] = r;
    Constants constants = f.constants;
    constants.gamma = 1;
    for (const char* name : {"grpo:4", "rloo:4", "rloo:3", "togo+whitened", "togo-normalised"}) {
      const Array<double> psi = make_estimator(name).weights(f.batch, constants);
      for (const double each : values(psi)) EXPECT_EQ(each, 0) << name << " of " << r;
    }
  }
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
  const PolicyOutputs from = policy_outputs(f.choice.policy, std::span(f.choice.theta), {states});
  EXPECT_NEAR(mean_kl(f.choice.policy, from, std::span(after), {states}, weight), 0.01, 1e-10);
  EXPECT_THROW(
      step_to_kl(f.choice.policy, f.choice.theta, std::vector<double>(10, 0.0), {states}, weight, 0.01),
      Error);
}

TEST(Estimators, AreMadeAsTheTableSays) {
  for (const std::string& typed : every_estimator()) {
    const EstimatorName name = parse_estimator(typed);
    const Estimator e = make_estimator(typed);
    const EstimatorNeeds& needs = name.family->needs;
    EXPECT_EQ(e.name, typed);
    EXPECT_EQ(e.unit, name.unit()) << typed;
    EXPECT_EQ(e.needs_critic, needs.critic) << typed;
    EXPECT_EQ(e.needs_action_values, needs.action_values) << typed;
    EXPECT_EQ(e.needs_constants, needs.constants) << typed;
    EXPECT_EQ(e.needs_states, needs.states) << typed;
    EXPECT_EQ(e.needs_dynamics, needs.dynamics) << typed;
    EXPECT_EQ(e.off_policy, name.off_policy()) << typed;
    EXPECT_EQ(e.draws_again, name.dynamic()) << typed;
    EXPECT_EQ(e.all_actions, name.family->kind == EstimatorKind::all_action) << typed;
    EXPECT_EQ(bool(e.objective), name.family->kind == EstimatorKind::pathwise) << typed;
    EXPECT_TRUE(e.off_policy || e.bias_off_policy.empty()) << typed;
  }
  EXPECT_THROW(make_estimator("gae:2"), Error);
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
  EXPECT_EQ(make_estimator("of-a-user:1+whitened").unit, 0);
  EXPECT_THROW(exact_moments("of-a-user:1", chain(), full(5, 2, 0.5), zeros<double>(21, 5)), Error);
  add_estimator({"reinforce-of-a-user", "reinforce-of-a-user"}, make);  // its name decides nothing
  EXPECT_NO_THROW(make_estimator("reinforce-of-a-user+undiscounted"));
  add_estimator({"whole-of-a-user", "whole-of-a-user", EstimatorKind::whole}, make);
  EXPECT_THROW(make_estimator("whole-of-a-user+undiscounted"), Error);
}

}  // namespace
}  // namespace lowvar
