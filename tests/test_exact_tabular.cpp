// The tabular oracles against published numbers, against each other and against differences of J.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "algorithms/exact/bandit.h"
#include "algorithms/exact/enumeration.h"
#include "algorithms/exact/tabular.h"
#include "experiments/worlds.h"
#include "zoo.h"

namespace lowvar {
namespace {

using Json = nlohmann::json;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

Json reference(const std::string& group) {
  std::ifstream in(std::string(LOWVAR_TEST_DATA) + "/reference_values.json");
  return Json::parse(in).at(group);
}

/// The MDP of a reference group that lists P and R.
Mdp world_of(const Json& world) {
  const int S = world["S"];
  std::vector<double> start(at(S));
  start[world["start"].get<std::size_t>()] = 1;
  std::vector<char> terminal(at(S));
  for (std::size_t s : world["terminal"]) terminal[s] = 1;
  return make_mdp(S, world["A"], world["gamma"], world["T"], start, terminal, [&](int s, int a) {
    std::vector<Outcome> outcomes;
    for (int next = 0; next < S; ++next) {
      const Json& r = world["R"][at(s)][at(a)];
      outcomes.push_back({next, world["P"][at(s)][at(a)][at(next)], r.is_array() ? r[at(next)] : r});
    }
    return outcomes;
  });
}

Array<double> table(const Json& rows) {
  std::vector<double> numbers;
  for (const Json& r : rows)
    for (double x : r) numbers.push_back(x);
  return from_values<double>(static_cast<int>(rows.size()), static_cast<int>(rows[0].size()), numbers);
}

Array<double> uniform(const Mdp& mdp) { return full(mdp.S, mdp.A, 1.0 / mdp.A); }

Array<double> scaled(Array<double> values, double factor) {
  for (double& x : lowvar::values(values)) x *= factor;
  return values;
}

double norm(const std::vector<double>& x) {
  double squared = 0;
  for (double xi : x) squared += xi * xi;
  return std::sqrt(squared);
}

void expect_close(double value, double expected, double tolerance, const std::string& what) {
  EXPECT_NEAR(value, expected, tolerance * std::max(std::abs(expected), 1e-30)) << what;
}

void expect_close(const std::vector<double>& x, const std::vector<double>& expected, double tolerance,
                  const std::string& what) {
  ASSERT_GE(x.size(), expected.size()) << what;
  double scale = 0;
  for (double e : expected) scale = std::max(scale, std::abs(e));
  for (std::size_t i = 0; i < x.size(); ++i)
    EXPECT_NEAR(x[i], i < expected.size() ? expected[i] : 0, tolerance * scale)
        << what << ", component " << i;
}

/// Largest difference of the moments, relative to the largest component.
double distance(const ExactMoments& x, const Enumeration& y) {
  double largest = 0, mean_scale = 0, variance_scale = 0;
  for (std::size_t i = 0; i < y.mean.size(); ++i) {
    mean_scale = std::max(mean_scale, std::abs(y.mean[i]) + std::sqrt(y.variance[i]));
    variance_scale = std::max(variance_scale, y.variance[i]);
  }
  for (std::size_t i = 0; i < y.mean.size(); ++i) {
    largest = std::max(largest, std::abs(x.mean[i] - y.mean[i]) / mean_scale);
    largest = std::max(largest, std::abs(x.variance[i] - y.variance[i]) / variance_scale);
  }
  return largest;
}

// Published numbers.

/// Everything the groups chain5 and four_rooms_clean list and an estimator's name can ask for.
void expect_reference(const Mdp& mdp, const Array<double>& pi, const Json& v) {
  constexpr double tolerance = 1e-9;
  const Array<double> V = state_values(mdp, pi), half = scaled(V, 0.5), none = scaled(V, 0);
  const std::vector<double> gradient = policy_gradient(mdp, pi);
  expect_close(expected_return(mdp, pi), v["J"], tolerance, "J");
  expect_close(norm(gradient) * norm(gradient), v["grad_norm2"], tolerance, "grad_norm2");
  expect_close(baseline_constants(mdp, pi).b_star, v["bstar"], tolerance, "bstar");

  const auto variance = [&](const std::string& estimator, const Array<double>& critic) {
    return trace(exact_moments(estimator, mdp, pi, critic));
  };
  const auto bias_squared = [&](const std::string& estimator, const Array<double>& critic) {
    const double bias = bias_norm(exact_moments(estimator, mdp, pi, critic), gradient);
    return bias * bias;
  };
  expect_close(variance("reinforce", none), v["reinforce_b0"], tolerance, "reinforce");
  expect_close(variance("reinforce-mean", V), v["reinforce_bJ"], tolerance, "reinforce-mean");
  expect_close(variance("reinforce-optimal", V), v["reinforce_bstar"], tolerance, "reinforce-optimal");
  expect_close(variance("reinforce-per-parameter", V), v["reinforce_componentwise"], tolerance,
               "per parameter");
  expect_close(variance("togo", V), v["rtg_b0"], tolerance, "togo");
  expect_close(variance("togo-value", V), v["rtg_V"], tolerance, "togo-value");
  expect_close(variance("gae:1", none), v["rtg_b0"], tolerance, "gae:1 without a critic is togo");
  expect_close(variance("togo-value", none), v["rtg_b0"], tolerance, "togo-value without a critic is togo");
  expect_close(variance("td", V), v["gae_V_0_var"], tolerance, "td");
  expect_close(variance("nstep:1", V), v["gae_V_0_var"], tolerance, "nstep:1");
  expect_close(variance("nstep:1000", V), v["gae_V_1_var"], tolerance, "nstep:1000");
  expect_close(variance("ppo-clip:0.2", V), v["gae_V_0.95_var"], tolerance, "ppo-clip");
  expect_close(variance("togo-value", half), v["gae_halfV_1_var"], tolerance,
               "togo-value at half the critic");
  const char* undiscounted = "rtg_V_undiscounted_state_weighting_var";
  expect_close(variance("togo-value+undiscounted", V), v[undiscounted], tolerance, undiscounted);
  const char* undiscounted_bias = "rtg_V_undiscounted_state_weighting_bias2";
  expect_close(bias_squared("togo-value+undiscounted", V), v[undiscounted_bias], tolerance,
               undiscounted_bias);
  for (const char* lambda : {"0", "0.5", "0.9", "0.95", "1"}) {
    const std::string name = std::string("gae:") + lambda;
    expect_close(variance(name, V), v[std::string("gae_V_") + lambda + "_var"], tolerance, name);
    EXPECT_LT(bias_squared(name, V), 1e-24);
    const std::string at_half = std::string("gae_halfV_") + lambda;
    expect_close(variance(name, half), v[at_half + "_var"], tolerance, at_half);
    EXPECT_NEAR(bias_squared(name, half), v[at_half + "_bias2"].get<double>(),
                tolerance * v[at_half + "_bias2"].get<double>() + 1e-24)
        << at_half;
    if (v.contains(at_half + "_mean"))
      expect_close(exact_moments(name, mdp, pi, half).mean, v[at_half + "_mean"], tolerance, at_half);
  }
}

TEST(ExactTabular, ChainHasItsPublishedMoments) {
  const Json group = reference("chain5"), v = group["values"];
  const Mdp mdp = chain();
  const Array<double> pi = table(group["world"]["pi"]);
  expect_reference(mdp, pi, v);
  expect_close(policy_gradient(mdp, pi), v["grad"], 1e-12, "gradient");
  expect_close(baseline_constants(mdp, pi).b_i, v["bstar_componentwise"], 1e-12, "b_i");
  const Array<double> V = state_values(mdp, pi);
  expect_close({row(V, 0).begin(), row(V, 0).end()}, v["V0"], 1e-12, "V_0");
}

TEST(ExactTabular, FourRoomsHasItsPublishedMoments) {
  const Json v = reference("four_rooms_clean")["values"];
  const Mdp mdp = four_rooms();
  expect_reference(mdp, uniform(mdp), v);
  const std::vector<double> g = policy_gradient(mdp, uniform(mdp));
  const auto of_state = [&](int s) { return std::vector<double>(g.begin() + 4 * s, g.begin() + 4 * s + 4); };
  expect_close(of_state(0), v["grad_state00_URDL"], 1e-11, "gradient at (0,0)");
  expect_close(of_state(67), v["grad_state_row6col7_URDL"], 1e-11, "gradient at (6,7)");
}

class TinyMdp : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Published, TinyMdp,
                         testing::Values("tiny_mdp_A_no_terminal", "tiny_mdp_B_terminal"));

TEST_P(TinyMdp, HasItsPublishedMomentsAtAnyCriticAndBaseline) {
  constexpr double tolerance = 1e-12;
  const Json group = reference(GetParam()), v = group["values"];
  const Mdp mdp = world_of(group["world"]);
  const Array<double> pi = table(group["world"]["pi"]), V = table(group["world"]["V"]);
  const Array<double> none = zeros<double>(mdp.T + 1, mdp.S);
  Array<double> b = none;
  for (int t = 0; t < mdp.T; ++t)
    for (int s = 0; s < mdp.S; ++s) b(t, s) = group["world"]["b"][at(t)][at(s)];

  expect_close(expected_return(mdp, pi), v["J"], tolerance, "J");
  expect_close(policy_gradient(mdp, pi), v["grad_J"], tolerance, "gradient");
  EXPECT_EQ(count_trajectories(mdp, pi, 1000), v["n_trajectories"].get<long>());

  const auto expect_moments = [&](const ExactMoments& m, const std::string& name) {
    expect_close(m.mean, v[name]["mean"], tolerance, name);
    std::vector<double> second = m.variance;
    for (std::size_t i = 0; i < second.size(); ++i) second[i] += m.mean[i] * m.mean[i];
    expect_close(second, v[name]["second"], tolerance, name);
    expect_close(trace(m), v[name]["trace_var"], tolerance, name);
  };
  const double kappa = mdp.gamma * group["world"]["lambda_"].get<double>();
  expect_moments(exact_moments("togo-value", mdp, pi, b), "rtg_minus_b");
  expect_moments(exact_moments("togo-value+undiscounted", mdp, pi, b),
                 "rtg_minus_b_undiscounted_state_weighting");
  expect_moments(exact_moments("td", mdp, pi, V), "td0_arbitrary_V");
  expect_moments(exact_moments("gae:0.7", mdp, pi, V), "gae_lambda0.7_arbitrary_V");
  expect_moments(causal_moments(mdp, pi, {V, b, kappa}), "gae_lambda0.7_arbitrary_V_minus_b");
  const std::vector<double> baseline(at(mdp.S * mdp.A), 0.3);
  expect_moments(reinforce_moments(mdp, pi, baseline), "reinforce_b0.3");

  const Json& M = v["M_pq (E[S_i^p R^q], list over parameters)"];
  const std::vector<double> S2 = M["20"], S2R = M["21"];
  const BaselineConstants constants = baseline_constants(mdp, pi);
  for (std::size_t i = 0; i < S2.size(); ++i)
    if (S2[i] > 0) expect_close(constants.b_i[i], S2R[i] / S2[i], tolerance, "b_i");
}

TEST(ExactTabular, OrderingCounterexamples) {
  const Json first = reference("ordering_counterexample_1"), second = reference("ordering_counterexample_2"),
             third = reference("ordering_counterexample_3");
  const auto variance = [](const Json& group, const char* estimator) {
    const Mdp mdp = world_of(group["world"]);
    const Array<double> pi = table(group["world"]["pi"]);
    return trace(exact_moments(estimator, mdp, pi, state_values(mdp, pi)));
  };
  expect_close(variance(first, "togo"), first["values"]["rtg"], 1e-12, "rtg");
  expect_close(variance(first, "togo-value"), first["values"]["rtg_V"], 1e-12, "rtg_V");
  expect_close(variance(second, "togo"), second["values"]["rtg"], 1e-12, "rtg");
  expect_close(variance(second, "togo-value"), second["values"]["rtg_V"], 1e-12, "rtg_V");
  expect_close(variance(third, "reinforce"), third["values"]["reinforce"], 1e-12, "reinforce");
  expect_close(variance(third, "togo"), third["values"]["rtg"], 1e-12, "rtg");
}

// Recursion against enumeration.

/// Uniform numbers from raw bits, the same on every library.
struct Draw {
  std::mt19937_64 bits;
  double operator()(double low = 0, double high = 1) {
    return low + (high - low) * static_cast<double>(bits() >> 11) * 0x1p-53;
  }
  int below(int n) { return static_cast<int>(bits() % static_cast<std::uint64_t>(n)); }
};

std::vector<double> random_distribution(Draw& draw, int n, double sparsity) {
  std::vector<double> p(at(n));
  double sum = 0;
  p[at(draw.below(n))] = draw(0.1);
  for (double& x : p)
    if (draw() >= sparsity) x += draw(0.05);
  for (double x : p) sum += x;
  for (double& x : p) x /= sum;
  return p;
}

Array<double> random_policy(Draw& draw, const Mdp& mdp, double sparsity = 0) {
  Array<double> pi = zeros<double>(mdp.S, mdp.A);
  for (int s = 0; s < mdp.S; ++s) {
    const std::vector<double> p = random_distribution(draw, mdp.A, sparsity);
    std::copy(p.begin(), p.end(), row(pi, s).begin());
  }
  return pi;
}

struct Case {
  Mdp mdp;
  Array<double> pi;
  Array<double> values;  // arbitrary, also at t = T and at terminal states
};

/// Every third case without terminal states, every third with two; half with a random start, also on terminal
/// states.
Case random_case(int seed) {
  Draw draw{std::mt19937_64(static_cast<std::uint64_t>(seed))};
  const int S = 2 + draw.below(3), A = 1 + draw.below(3), T = 2 + draw.below(3);
  std::vector<char> terminal(at(S));
  for (int i = 0; i < seed % 3; ++i) terminal[at(1 + draw.below(S - 1))] = 1;
  std::vector<double> start(at(S));
  start[0] = 1;
  if (seed % 2) start = random_distribution(draw, S, 0.3);
  Mdp mdp = make_mdp(S, A, draw(0.5), T, start, terminal, [&](int, int) {
    const std::vector<double> p = random_distribution(draw, S, 0.5);
    std::vector<Outcome> outcomes;
    for (int next = 0; next < S; ++next) outcomes.push_back({next, p[at(next)], draw(-2, 2)});
    return outcomes;
  });
  if (seed % 5 == 0) mdp.gamma = seed % 10 ? 1 : 0;
  Array<double> values = zeros<double>(T + 1, S);
  for (double& x : lowvar::values(values)) x = draw(-2, 2);
  Array<double> pi = random_policy(draw, mdp, seed % 4 == 0 ? 0.4 : 0);
  return {std::move(mdp), std::move(pi), std::move(values)};
}

const std::vector<std::string> kEstimators = filtered(
    every_estimator(), [](const EstimatorName& name) { return has_recursion(name) && name.unit() == 1; });

/// An arbitrary critic of action values.
Array<double> arbitrary_Q(const Mdp& mdp) {
  Array<double> Q = zeros<double>(mdp.T * mdp.S, mdp.A);
  Rng rng(7, "arbitrary-q");
  for (double& q : values(Q)) q = rng.normal();
  return Q;
}

constexpr int kCases = 40;
constexpr double kTolerance = 1e-10;

TEST(ExactTabular, RecursionEqualsEnumeration) {
  for (int seed = 0; seed < kCases; ++seed) {
    const Case c = random_case(seed);
    for (const std::string& estimator : kEstimators) {
      const Array<double> Q = arbitrary_Q(c.mdp);
      const Enumeration e = enumerate(estimator, c.mdp, c.pi, c.pi, c.values, 10'000'000, Q);
      const ExactMoments m = exact_moments(estimator, c.mdp, c.pi, c.values, Q);
      if (norm(e.variance) < 1e-20) {
        EXPECT_LT(norm(m.variance), 1e-20) << estimator << ", seed " << seed;
        continue;
      }
      EXPECT_LT(distance(m, e), kTolerance) << estimator << ", seed " << seed;
      for (std::size_t i = 0; i < e.variance.size(); ++i) {
        EXPECT_NEAR(e.covariance(i, i), e.variance[i], kTolerance * norm(e.variance));
        EXPECT_NEAR(e.covariance(i, 0), e.covariance(0, i), kTolerance * norm(e.variance));
      }
    }
    EXPECT_NEAR(enumerate("togo", c.mdp, c.pi, c.pi, c.values).expected_return, expected_return(c.mdp, c.pi),
                1e-12);
  }
}

TEST(ExactTabular, LeaveOneOutEqualsTheSumOverAllGroups) {
  int random_starts = 0;
  for (int seed = 0; seed < kCases; ++seed) {
    const Case c = random_case(seed);
    for (const int N : {2, 3}) {
      if (std::pow(count_trajectories(c.mdp, c.pi, 10'000), N) > 3e5) continue;
      const std::string name = "rloo:" + std::to_string(N);
      const ExactMoments closed = leave_one_out_moments(c.mdp, c.pi, N),
                         all = enumerate_units(name, c.mdp, c.pi, c.pi, c.values, N);
      Enumeration e{all.mean, all.variance, {}, 0, 0};
      if (norm(all.variance) > 1e-20) {
        EXPECT_LT(distance(closed, e), kTolerance) << name << ", seed " << seed;
      }
      random_starts +=
          std::count_if(c.mdp.start.begin(), c.mdp.start.end(), [](double p) { return p > 0; }) > 1;
    }
  }
  EXPECT_GT(random_starts, 0);
}

TEST(ExactTabular, UnitsOfABanditHaveItsClosedForms) {
  // The same groups by their sum over counts of payoffs, of algorithms/exact/bandit.h.
  const std::vector<double> means{1, 0.7, 0};
  const Bandit bandit = noisy_bandit(means, 0.5);
  const World world = make_world("bandit:1,0.7,0:0.5", {}, {});
  const PolicyChoice choice = make_policy(world, "init:3");
  const Array<double> pi = table_of(world, choice.policy, choice.theta);
  const std::vector<double> p(row(pi, 0).begin(), row(pi, 0).end());
  const Array<double> none = zeros<double>(2, world.mdp->S);
  for (const int N : {2, 3, 5}) {
    const auto expect_same = [&](const ExactMoments& of_mdp, const ExactMoments& of_bandit,
                                 const char* what) {
      for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_NEAR(of_mdp.mean[i], of_bandit.mean[i], 1e-12) << what << N;
        EXPECT_NEAR(of_mdp.variance[i], of_bandit.variance[i], 1e-12) << what << N;
      }
    };
    const std::string n = std::to_string(N);
    expect_same(exact_moments("rloo:" + n, *world.mdp, pi, none), rloo_moments(bandit, p, N), "rloo");
    expect_same(enumerate_units("grpo:" + n, *world.mdp, pi, pi, none, N),
                group_moments(bandit, p, N, group_normalised_advantage(1)), "grpo");
    // With one step and gamma 1 a group's standardised return is a batch's whitened return to go.
    expect_same(enumerate_units("togo+whitened", *world.mdp, pi, pi, none, N),
                group_moments(bandit, p, N, group_normalised_advantage(1, 1e-8)), "togo+whitened");
  }
}

TEST(ExactTabular, TheBaselineOfEachStateIsTheBestOfItsKind) {
  // E[(z (Q - b))^2] is least at b(t, s) where a step's score is uncorrelated with all others: at horizon
  // one.
  for (int seed = 0; seed < 10; ++seed) {
    Case c = random_case(seed);
    c.mdp.T = 1;
    const Array<double> none = zeros<double>(2, c.mdp.S);
    const Array<double> b = per_state_baseline(c.mdp, c.pi);
    const double best = trace(exact_moments("togo-optimal", c.mdp, c.pi, none));
    for (const double shift : {-0.1, 0.1}) {
      Array<double> other = none;
      for (int s = 0; s < c.mdp.S; ++s) other(0, s) = b(0, s) + shift;
      EXPECT_GE(trace(exact_moments("togo-value", c.mdp, c.pi, other)), best) << seed;
    }
  }
}

TEST(ExactTabular, UnbiasedEstimatorsHaveTheGradientAsMean) {
  for (int seed = 0; seed < kCases; ++seed) {
    const Case c = random_case(seed);
    const std::vector<double> gradient = policy_gradient(c.mdp, c.pi);
    const Array<double> V = state_values(c.mdp, c.pi);
    for (const char* estimator :
         {"reinforce", "reinforce-mean", "reinforce-optimal", "reinforce-per-parameter", "togo", "togo-time",
          "togo-value", "togo-linear", "togo-optimal", "rloo:3"})
      EXPECT_LT(bias_norm(exact_moments(estimator, c.mdp, c.pi, c.values), gradient), 1e-13)
          << estimator << seed;
    const Array<double> Q = action_values(c.mdp, c.pi);
    for (const char* estimator :
         {"td", "nstep:2", "gae:0.3", "ppo-clip:0.2", "vtrace:1:0.5", "q-value", "all-action"})
      EXPECT_LT(bias_norm(exact_moments(estimator, c.mdp, c.pi, V, Q), gradient), 1e-13) << estimator << seed;
  }
}

/// The comparison must notice a formula that is nearly right. (Sparse policies can make one exactly right:
/// left out.)
TEST(ExactTabular, PlantedErrorsAreNoticed) {
  int cases = 0;
  for (int seed = 0; seed < kCases; ++seed) {
    const Case c = random_case(seed);
    if (seed % 4 == 0 || c.mdp.A == 1 || c.mdp.gamma == 0 || c.mdp.gamma == 1) continue;
    const Enumeration gae = enumerate("gae:0.5", c.mdp, c.pi, c.pi, c.values);
    const Enumeration value = enumerate("togo-value", c.mdp, c.pi, c.pi, c.values);
    if (norm(gae.variance) < 1e-6) continue;
    ++cases;
    const Array<double> none = zeros<double>(c.mdp.T + 1, c.mdp.S);
    const double kappa = c.mdp.gamma * 0.5;
    const auto error = [&](const CausalEstimator& estimator, const Enumeration& truth) {
      return distance(causal_moments(c.mdp, c.pi, estimator), truth);
    };
    EXPECT_LT(error({c.values, none, kappa}, gae), kTolerance);
    EXPECT_GT(error({c.values, none, 0.5}, gae), 1e3 * kTolerance) << "kappa without gamma, seed " << seed;
    EXPECT_GT(error({c.values, none, kappa, c.mdp.T - 1}, gae), 1e3 * kTolerance)
        << "last term lost, seed " << seed;
    CausalEstimator undiscounted{c.values, none, kappa};
    undiscounted.undiscounted = true;
    EXPECT_GT(error(undiscounted, gae), 1e3 * kTolerance) << "gamma^t lost, seed " << seed;
    Array<double> cut = c.values;
    for (double& x : row(cut, c.mdp.T)) x = 0;
    EXPECT_GT(error({cut, none, kappa}, gae), 1e3 * kTolerance) << "critic at T dropped, seed " << seed;
    EXPECT_LT(error({none, c.values, c.mdp.gamma}, value), kTolerance);
    EXPECT_GT(error({none, none, c.mdp.gamma}, value), 1e3 * kTolerance) << "baseline dropped, seed " << seed;
  }
  EXPECT_GE(cases, 15);
}

TEST(Enumeration, PpoClipOnPolicyIsGae) {
  for (int seed = 0; seed < kCases; ++seed) {
    const Case c = random_case(seed);
    const Enumeration gae = enumerate("gae:0.95", c.mdp, c.pi, c.pi, c.values);
    for (const char* estimator : {"ppo-clip:0.2", "ppo-clip:1e-300"}) {
      const Enumeration clip = enumerate(estimator, c.mdp, c.pi, c.pi, c.values);
      EXPECT_EQ(clip.mean, gae.mean);
      EXPECT_EQ(clip.variance, gae.variance);
    }
  }
}

/// Softmax probabilities of logits log pi + step e_i.
Array<double> nudged(const Array<double>& pi, int i, double step) {
  Array<double> out = pi;
  const int A = shape(pi).cols;
  double sum = 0;
  for (int a = 0; a < A; ++a) {
    out(i / A, a) *= std::exp(i % A == a ? step : 0);
    sum += out(i / A, a);
  }
  for (int a = 0; a < A; ++a) out(i / A, a) /= sum;
  return out;
}

/// E_behaviour of the clipped surrogate at pi, by its own sum over trajectories of length at most 2.
double surrogate_of_two_steps(const Case& c, const Array<double>& behaviour, double epsilon) {
  const Mdp& mdp = c.mdp;
  const auto term = [&](int s, int a, double A) {
    const double rho = c.pi(s, a) / behaviour(s, a);
    return std::min(rho * A, std::clamp(rho, 1 - epsilon, 1 + epsilon) * A);
  };
  double total = 0;
  for (int s = 0; s < mdp.S; ++s)
    for (int a = 0; a < mdp.A; ++a)
      for (const Outcome& o : mdp.outcomes(s, a)) {
        const double p = mdp.start[at(s)] * behaviour(s, a) * o.probability;
        const double delta = o.reward + mdp.gamma * c.values(1, o.next) - c.values(0, s);
        if (mdp.terminal[at(o.next)]) total += p * term(s, a, delta);
        for (int a2 = 0; a2 < mdp.A; ++a2)
          for (const Outcome& o2 : mdp.outcomes(o.next, a2)) {
            const double delta2 = o2.reward + mdp.gamma * c.values(2, o2.next) - c.values(1, o.next);
            total += p * behaviour(o.next, a2) * o2.probability *
                     (term(s, a, delta + 0.95 * mdp.gamma * delta2) + mdp.gamma * term(o.next, a2, delta2));
          }
      }
  return total;
}

TEST(Enumeration, PpoClipOffPolicyIsTheSurrogatesGradient) {
  constexpr double h = 1e-6;
  int clipped = 0;
  for (int seed = 0; seed < kCases; ++seed) {
    Case c = random_case(seed);
    c.mdp.T = 2;
    c.values = zeros<double>(3, c.mdp.S);
    Draw draw{std::mt19937_64(static_cast<std::uint64_t>(1000 + seed))};
    for (double& x : lowvar::values(c.values)) x = draw(-2, 2);
    const Array<double> behaviour = random_policy(draw, c.mdp);
    const Enumeration e = enumerate("ppo-clip:0.2", c.mdp, c.pi, behaviour, c.values);
    const Enumeration wide = enumerate("ppo-clip:0.999", c.mdp, c.pi, behaviour, c.values);
    clipped += norm(e.mean) != norm(wide.mean);
    for (int i = 0; i < c.mdp.S * c.mdp.A; ++i) {
      Case up = c, down = c;
      up.pi = nudged(c.pi, i, h);
      down.pi = nudged(c.pi, i, -h);
      const double slope =
          (surrogate_of_two_steps(up, behaviour, 0.2) - surrogate_of_two_steps(down, behaviour, 0.2)) /
          (2 * h);
      EXPECT_NEAR(e.mean[at(i)], slope, 1e-8) << "seed " << seed << ", component " << i;
    }
  }
  EXPECT_GE(clipped, 10);
}

TEST(Enumeration, CountsStopAtTheLimit) {
  const Mdp mdp = chain();
  const Array<double> pi = uniform(mdp);
  EXPECT_EQ(count_trajectories(mdp, pi, 1000), 1001);
  Mdp brief = mdp;
  brief.T = 3;  // 4^3, no way to the end in 3 steps but no shorter one in 2 either
  EXPECT_EQ(count_trajectories(brief, pi, 1000), 64);
  EXPECT_EQ(count_trajectories(brief, pi, 64), 64);
  EXPECT_EQ(count_trajectories(brief, pi, 63), 64);
  const Array<double> right = from_values<double>(5, 2, std::vector<double>{0, 1, 0, 1, 0, 1, 0, 1, 0, 1});
  EXPECT_EQ(count_trajectories(brief, right, 1000), 8);
  const Array<double> none = zeros<double>(4, 5);
  EXPECT_EQ(enumerate("togo", brief, right, right, none).trajectories, 8);
  EXPECT_THROW(enumerate("togo", brief, pi, pi, none, 63), Error);
  EXPECT_THROW(enumerate("togo", brief, pi, right, none), Error);
  EXPECT_NO_THROW(enumerate("ppo-clip:0.2", brief, pi, right, none));
}

TEST(Enumeration, KeepsTheCovarianceOfSmallProblemsOnly) {
  const Mdp small = world_of(reference("ordering_counterexample_1")["world"]);
  EXPECT_EQ(shape(enumerate("togo", small, uniform(small), uniform(small), zeros<double>(3, 2)).covariance),
            (Shape{4, 4}));
  Mdp large = four_rooms();
  large.T = 3;
  const Array<double> none = zeros<double>(4, 100);
  EXPECT_EQ(shape(enumerate("td", large, uniform(large), uniform(large), none).covariance), (Shape{0, 0}));
}

// Properties.

TEST(ExactTabular, GradientIsTheSlopeOfTheReturn) {
  constexpr double h = 1e-5;
  for (int seed = 0; seed < kCases; ++seed) {
    const Case c = random_case(seed);
    const std::vector<double> gradient = policy_gradient(c.mdp, c.pi);
    for (int i = 0; i < c.mdp.S * c.mdp.A; ++i) {
      const double slope =
          (expected_return(c.mdp, nudged(c.pi, i, h)) - expected_return(c.mdp, nudged(c.pi, i, -h))) /
          (2 * h);
      EXPECT_NEAR(gradient[at(i)], slope, 1e-9) << "seed " << seed << ", component " << i;
    }
    for (int s = 0; s < c.mdp.S; ++s) {
      double sum = 0;
      for (int a = 0; a < c.mdp.A; ++a) sum += gradient[at(s * c.mdp.A + a)];
      EXPECT_NEAR(sum, 0, 1e-14);
    }
  }
}

TEST(ExactTabular, TerminalRowsAreZero) {
  for (int seed = 0; seed < kCases; ++seed) {
    const Case c = random_case(seed);
    for (const std::string& estimator : kEstimators) {
      const ExactMoments m = exact_moments(estimator, c.mdp, c.pi, c.values, arbitrary_Q(c.mdp));
      const std::vector<double> b_i = baseline_constants(c.mdp, c.pi).b_i;
      for (int s = 0; s < c.mdp.S; ++s)
        for (int a = 0; a < c.mdp.A && c.mdp.terminal[at(s)]; ++a) {
          EXPECT_EQ(m.mean[at(s * c.mdp.A + a)], 0);
          EXPECT_EQ(m.variance[at(s * c.mdp.A + a)], 0);
          EXPECT_EQ(b_i[at(s * c.mdp.A + a)], 0);
        }
    }
  }
}

TEST(ExactTabular, StateDistributionLosesWhatHasEnded) {
  const Mdp mdp = chain();
  const Array<double> d = state_distribution(mdp, uniform(mdp));
  EXPECT_EQ(shape(d), (Shape{20, 5}));
  EXPECT_EQ(d(0, 0), 1);
  EXPECT_EQ(d(1, 0), 0.5);
  EXPECT_EQ(d(4, 4), 0);
  double sum = 0;
  for (double x : row(d, 4)) sum += x;
  EXPECT_NEAR(sum, 1 - 1.0 / 16, 1e-15);
}

TEST(ExactTabular, MeanReturnToGoIsOverRunningEpisodes) {
  // State 0 pays 2 and ends at once with probability 1/2, else moves to 1, which pays 1 for two steps more.
  const Mdp mdp = make_mdp(3, 1, 0.5, 5, {1, 0, 0}, {0, 0, 1}, [](int s, int) {
    return s == 0 ? std::vector<Outcome>{{2, 0.5, 2}, {1, 0.5, 2}} : std::vector<Outcome>{{2, 1, 1}};
  });
  const BaselineConstants constants = baseline_constants(mdp, uniform(mdp));
  EXPECT_EQ(constants.mean_return_to_go, (std::vector<double>{2.25, 1, 0, 0, 0}));
  EXPECT_EQ(constants.J, 2.25);
  EXPECT_EQ(constants.b_star, 0);  // one action: no score
}

/// A large constant in every reward leaves the variance its digits.
TEST(ExactTabular, LargeOffsetsCostNoDigits) {
  const auto world = [](double offset) {
    return make_mdp(2, 2, 0.9, 4, {0.5, 0.5}, {0, 0}, [=](int s, int a) {
      return std::vector<Outcome>{{0, 0.25, offset + 0.5 * s}, {1, 0.75, offset - a}};
    });
  };
  const Mdp plain = world(0), offset = world(1e6);
  const Array<double> pi = from_values<double>(2, 2, std::vector<double>{0.3, 0.7, 0.6, 0.4});
  for (const char* estimator : {"reinforce-mean", "td", "nstep:2", "gae:0.5", "gae:1"}) {
    const double expected = trace(exact_moments(estimator, plain, pi, state_values(plain, pi)));
    expect_close(trace(exact_moments(estimator, offset, pi, state_values(offset, pi))), expected, 1e-8,
                 estimator);
  }
}

TEST(ExactTabular, BlocksOfParametersDoNotShowInTheResult) {
  // The same MDP with unreachable states in front: its parameters fall into other lanes and blocks.
  const Case c = random_case(8);
  const int shift = 29, S = c.mdp.S + shift;
  std::vector<double> start(at(S));
  std::vector<char> terminal(at(S));
  std::copy(c.mdp.start.begin(), c.mdp.start.end(), start.begin() + shift);
  std::copy(c.mdp.terminal.begin(), c.mdp.terminal.end(), terminal.begin() + shift);
  const Mdp moved = make_mdp(S, c.mdp.A, c.mdp.gamma, c.mdp.T, start, terminal, [&](int s, int a) {
    std::vector<Outcome> outcomes{{s, 1, 1}};
    if (s < shift) return outcomes;
    const auto original = c.mdp.outcomes(s - shift, a);
    outcomes.assign(original.begin(), original.end());
    for (Outcome& o : outcomes) o.next += shift;
    return outcomes;
  });
  Array<double> pi = uniform(moved), values = zeros<double>(c.mdp.T + 1, S);
  for (int s = 0; s < c.mdp.S; ++s) {
    std::ranges::copy(row(c.pi, s), row(pi, s + shift).begin());
    for (int t = 0; t <= c.mdp.T; ++t) values(t, s + shift) = c.values(t, s);
  }
  const Array<double> Q = arbitrary_Q(c.mdp);
  Array<double> moved_Q = zeros<double>(c.mdp.T * S, c.mdp.A);
  for (int t = 0; t < c.mdp.T; ++t)
    for (int s = 0; s < c.mdp.S; ++s)
      std::ranges::copy(row(Q, t * c.mdp.S + s), row(moved_Q, t * S + s + shift).begin());
  for (const std::string& estimator : kEstimators) {
    if (estimator.starts_with("togo-linear")) continue;  // a feature a state: the fit is another
    const ExactMoments m = exact_moments(estimator, c.mdp, c.pi, c.values, Q);
    const ExactMoments n = exact_moments(estimator, moved, pi, values, moved_Q);
    const auto tail = [&](const std::vector<double>& x) {
      return std::vector<double>(x.begin() + shift * c.mdp.A, x.end());
    };
    EXPECT_EQ(tail(n.mean), m.mean) << estimator;
    EXPECT_EQ(tail(n.variance), m.variance) << estimator;
    for (int i = 0; i < shift * c.mdp.A; ++i) EXPECT_EQ(n.variance[at(i)], 0);
  }
}

// Bad input.

TEST(ExactTabular, RefusesPoliciesAndValuesThatDoNotFit) {
  const Mdp mdp = chain();
  const Array<double> V = zeros<double>(21, 5);
  Array<double> pi = uniform(mdp);
  EXPECT_THROW(state_values(mdp, zeros<double>(5, 3)), Error);
  EXPECT_THROW(state_values(mdp, zeros<double>(5, 2)), Error);
  EXPECT_THROW(exact_moments("td", mdp, pi, zeros<double>(20, 5)), Error);
  EXPECT_THROW(exact_moments("td", mdp, pi, full(21, 5, std::numeric_limits<double>::quiet_NaN())), Error);
  EXPECT_THROW(exact_moments("sarsa", mdp, pi, V), Error);
  EXPECT_THROW(reinforce_moments(mdp, pi, {0}), Error);
  EXPECT_THROW(bias_norm(exact_moments("td", mdp, pi, V), {0}), Error);
  pi(4, 0) = 7;  // a terminal row is never read
  EXPECT_NO_THROW(exact_moments("td", mdp, pi, V));
  pi(0, 0) = -0.5;
  pi(0, 1) = 1.5;
  EXPECT_THROW(policy_gradient(mdp, pi), Error);
}

TEST(ExactTabular, OverflowIsAFault) {
  Mdp mdp = chain();
  for (Outcome& o : mdp.outcome_list) o.reward *= 1e200;
  const Array<double> V = zeros<double>(21, 5);
  EXPECT_THROW(exact_moments("togo", mdp, uniform(mdp), V), NumericalFault);
  EXPECT_THROW(exact_moments("reinforce", mdp, uniform(mdp), V), NumericalFault);
  for (Outcome& o : mdp.outcome_list) o.reward = 1e308;
  EXPECT_THROW(state_values(mdp, uniform(mdp)), NumericalFault);
}

}  // namespace
}  // namespace lowvar
