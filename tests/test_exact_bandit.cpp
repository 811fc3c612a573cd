// The bandit oracles against published numbers, sums over all groups, sampling and differences of J.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/exact/bandit.h"
#include "autograd/autograd.h"
#include "tests/statistics.h"

namespace lowvar {
namespace {

using Json = nlohmann::json;

Json reference(const std::string& group) {
  std::ifstream in(std::string(LOWVAR_TEST_DATA) + "/reference_values.json");
  return Json::parse(in).at(group);
}

void expect_close(double value, double expected, double tolerance, const std::string& what) {
  EXPECT_NEAR(value, expected, tolerance * std::max(std::abs(expected), 1e-30)) << what;
}

void expect_close(const std::vector<double>& x, const std::vector<double>& expected, double tolerance,
                  const std::string& what) {
  ASSERT_EQ(x.size(), expected.size()) << what;
  double scale = 1e-30;
  for (double e : expected) scale = std::max(scale, std::abs(e));
  for (std::size_t i = 0; i < x.size(); ++i)
    EXPECT_NEAR(x[i], expected[i], tolerance * scale) << what << " " << i;
}

double squared_norm(const std::vector<double>& x) {
  return std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
}

double sum(const std::vector<double>& x) { return std::accumulate(x.begin(), x.end(), 0.0); }

/// Largest difference of two moments, relative to the largest variance and mean.
double distance(const ExactMoments& x, const ExactMoments& y) {
  double mean = 1e-300, variance = 1e-300, largest = 0;
  for (std::size_t i = 0; i < y.mean.size(); ++i) {
    mean = std::max(mean, std::abs(y.mean[i]) + std::sqrt(y.variance[i]));
    variance = std::max(variance, y.variance[i]);
  }
  for (std::size_t i = 0; i < y.mean.size(); ++i) {
    largest = std::max(largest, std::abs(x.mean[i] - y.mean[i]) / mean);
    largest = std::max(largest, std::abs(x.variance[i] - y.variance[i]) / variance);
  }
  return largest;
}

struct Case {
  Bandit bandit;
  std::vector<double> p;
};

Case four_arms() {
  const Json world = reference("bandit4")["world"];
  const std::vector<double> r = world["r"], theta = world["theta"];
  return {fixed_bandit(r), softmax(theta)};
}

/// Two to five arms; fixed, noisy or Bernoulli rewards.
Case random_case(std::uint32_t i) {
  Rng rng(1, "random-bandit", i);
  const std::size_t k = 2 + i % 4;
  std::vector<double> r(k), theta(k);
  for (double& x : r) x = rng.uniform();
  for (double& x : theta) x = rng.normal();
  const Bandit bandit = i % 3 == 0 ? fixed_bandit(r) : i % 3 == 1 ? noisy_bandit(r, 3) : bernoulli_bandit(r);
  return {bandit, softmax(theta)};
}
constexpr std::uint32_t kCases = 24;

TEST(ExactBandit, FourArmsHaveTheirPublishedMoments) {
  constexpr double tolerance = 1e-12;
  const auto [bandit, p] = four_arms();
  const Json v = reference("bandit4")["values"];
  const BanditMoments m = bandit_moments(bandit, p);
  const std::vector<double> b_i = optimal_baselines(m);
  expect_close(p, v["p"], tolerance, "p");
  expect_close(m.J, v["Er"], tolerance, "Er");
  expect_close(m.gradient, v["grad"], tolerance, "grad");
  expect_close(squared_norm(m.gradient), v["grad_norm2"], tolerance, "grad_norm2");
  expect_close(sum(m.S2), v["E_S2"], tolerance, "E_S2");
  expect_close(sum(m.S2R), v["E_S2R"], tolerance, "E_S2R");
  expect_close(sum(m.S2R2), v["E_S2R2"], tolerance, "E_S2R2");
  expect_close(m.reward_variance, v["sigma_r2"], tolerance, "sigma_r2");
  expect_close(optimal_baseline(m), v["bstar"], tolerance, "bstar");
  expect_close(b_i, v["bstar_componentwise"], tolerance, "bstar_componentwise");
  expect_close(trace(reinforce_moments(bandit, p, 0)), v["var_b0"], tolerance, "var_b0");
  expect_close(trace(reinforce_moments(bandit, p, m.J)), v["var_bEr"], tolerance, "var_bEr");
  expect_close(trace(reinforce_moments(bandit, p, optimal_baseline(m))), v["var_bstar"], tolerance,
               "var_bstar");
  expect_close(trace(reinforce_moments(bandit, p, b_i)), v["var_componentwise"], tolerance, "componentwise");
  for (const char* N : {"2", "4", "8"}) {
    const int n = std::stoi(N);
    expect_close(trace(rloo_moments(bandit, p, n)), v["rloo"][N], tolerance, "rloo");
    const ExactMoments mean = group_mean_moments(bandit, p, n);
    expect_close(trace(mean), v["group_mean_var"][N], tolerance, "group mean");
    expect_close(mean.mean[0] / m.gradient[0], v["group_mean_mean_factor"][N], tolerance, "factor");
    expect_close(trace(group_moments(bandit, p, n, leave_one_out_advantage())), v["rloo"][N], tolerance,
                 "rloo");
  }
}

TEST(ExactBandit, BernoulliLogitIsTheRelaxToy) {
  const Json group = reference("relax_toy"), v = group["values"];
  const double t = 0.499;
  const std::vector<double> f{t * t, (1 - t) * (1 - t)}, p{0.5, 0.5};
  const Bandit bandit = fixed_bandit(f);
  // The logit of arm 1 against arm 0 is the second parameter: its score is the arm less its probability.
  const ExactMoments plain = reinforce_moments(bandit, p, 0);
  expect_close(plain.mean[1], v["grad"], 1e-12, "grad");
  expect_close(plain.variance[1], v["reinforce_var"], 1e-12, "reinforce_var");
  expect_close(std::log(plain.variance[1]), v["log_var"], 1e-12, "log_var");
  EXPECT_NEAR(reinforce_moments(bandit, p, bandit_moments(bandit, p).J).variance[1],
              v["var_b_Ef"].get<double>(), 1e-30);
}

/// J(theta) in twice the precision, for differences.
std::vector<double> numerical_gradient(const Case& c) {
  std::vector<long double> r, theta;
  for (const auto& arm : c.bandit.arms) {
    r.push_back(0);
    for (const Payoff& payoff : arm) r.back() += static_cast<long double>(payoff.probability) * payoff.reward;
  }
  for (const double each : c.p) theta.push_back(std::log(static_cast<long double>(each)));
  const auto J = [&] {
    long double total = 0, weighted = 0;
    for (std::size_t a = 0; a < r.size(); ++a) {
      total += std::exp(theta[a]);
      weighted += std::exp(theta[a]) * r[a];
    }
    return weighted / total;
  };
  std::vector<double> gradient;
  for (long double& each : theta) {
    const long double h = 1e-5L, start = each;
    each = start + h;
    const long double up = J();
    each = start - h;
    const long double down = J();
    each = start;
    gradient.push_back(static_cast<double>((up - down) / (2 * h)));
  }
  return gradient;
}

TEST(ExactBandit, MeansAreTheGradientAtAnyBaseline) {
  for (std::uint32_t i = 0; i < kCases; ++i) {
    const Case c = random_case(i);
    const std::vector<double> gradient = numerical_gradient(c);
    expect_close(bandit_moments(c.bandit, c.p).gradient, gradient, 1e-9, "closed form");
    expect_close(reinforce_moments(c.bandit, c.p, 7.5).mean, gradient, 1e-9, "with a baseline");
    expect_close(rloo_moments(c.bandit, c.p, 3).mean, gradient, 1e-9, "leave one out");
    expect_close(group_moments(c.bandit, c.p, 3, leave_one_out_advantage()).mean, gradient, 1e-9,
                 "all groups");
  }
}

TEST(ExactBandit, OptimalBaselinesAreTheBottomOfTheParabola) {
  for (std::uint32_t i = 0; i < kCases; ++i) {
    const auto [bandit, p] = random_case(i);
    const BanditMoments m = bandit_moments(bandit, p);
    const double best = optimal_baseline(m), bottom = trace(reinforce_moments(bandit, p, best));
    for (const double step : {-0.7, 0.3}) {
      expect_close(trace(reinforce_moments(bandit, p, best + step)), bottom + step * step * sum(m.S2), 1e-12,
                   "parabola");
      std::vector<double> b = optimal_baselines(m);
      const ExactMoments own = reinforce_moments(bandit, p, b);
      for (std::size_t j = 0; j < b.size(); ++j) {
        b[j] += step;
        expect_close(reinforce_moments(bandit, p, b).variance[j], own.variance[j] + step * step * m.S2[j],
                     1e-12, "component");
      }
    }
  }
}

/// The estimate of a group of (arm, reward) pairs by its definition.
std::vector<double> estimate(const std::vector<int>& arms, const std::vector<double>& rewards,
                             const std::vector<double>& A, const std::vector<double>& p) {
  std::vector<double> g(p.size());
  for (std::size_t n = 0; n < arms.size(); ++n)
    for (std::size_t i = 0; i < p.size(); ++i)
      g[i] += A[n] * ((arms[n] == static_cast<int>(i) ? 1 : 0) - p[i]) / static_cast<double>(rewards.size());
  return g;
}

/// Moments over all ordered groups, one after another.
ExactMoments by_ordered_groups(const Case& c, int N, const GroupAdvantage& advantage) {
  const std::size_t k = c.p.size();
  ExactMoments out{std::vector<double>(k), std::vector<double>(k)};
  std::vector<int> arms;
  std::vector<double> rewards, A(static_cast<std::size_t>(N));
  std::vector<double> second(k);
  const auto extend = [&](auto&& self, double probability) -> void {
    if (static_cast<int>(arms.size()) == N) {
      advantage(rewards, A);
      const std::vector<double> g = estimate(arms, rewards, A, c.p);
      for (std::size_t i = 0; i < k; ++i) {
        out.mean[i] += probability * g[i];
        second[i] += probability * g[i] * g[i];
      }
      return;
    }
    for (std::size_t a = 0; a < k; ++a)
      for (const Payoff& payoff : c.bandit.arms[a]) {
        arms.push_back(static_cast<int>(a));
        rewards.push_back(payoff.reward);
        self(self, probability * c.p[a] * payoff.probability);
        arms.pop_back();
        rewards.pop_back();
      }
  };
  extend(extend, 1);
  for (std::size_t i = 0; i < k; ++i) out.variance[i] = second[i] - out.mean[i] * out.mean[i];
  return out;
}

TEST(ExactBandit, GroupsAgreeWithTheSumOverOrderedGroups) {
  for (std::uint32_t i = 0; i < kCases; ++i) {
    const Case c = random_case(i);
    for (const int N : {2, 3, 4}) {
      const auto& [bandit, p] = c;
      EXPECT_LT(distance(rloo_moments(bandit, p, N), by_ordered_groups(c, N, leave_one_out_advantage())),
                1e-11);
      EXPECT_LT(distance(group_mean_moments(bandit, p, N), by_ordered_groups(c, N, group_mean_advantage())),
                1e-11);
      for (const GroupAdvantage& A : {leave_one_out_advantage(), group_normalised_advantage(),
                                      group_normalised_advantage(1), group_normalised_advantage(1, 1e-4)})
        EXPECT_LT(distance(group_moments(bandit, p, N, A), by_ordered_groups(c, N, A)), 1e-11);
    }
  }
}

/// With rewards 0 and 1 every group of N with n successes has advantages of size sqrt((N-n)/n) and
/// sqrt(n/(N-n)): a sum over n is the expected update.
TEST(ExactBandit, NormalisedGroupsWeighTasksByTheirDifficulty) {
  constexpr int N = 8;
  const std::vector<double> r{1, 0};
  for (const double success : {0.01, 0.2, 0.5, 0.9}) {
    const std::vector<double> p{success, 1 - success};
    const auto weight = [&](const GroupAdvantage& A) {
      return group_moments(fixed_bandit(r), p, N, A).mean[0] / (success * (1 - success));
    };
    double expected = 0, binomial = 1;
    for (int n = 0; n <= N; ++n) {
      if (n > 0 && n < N)
        expected +=
            binomial * std::pow(success, n) * std::pow(1 - success, N - n) * std::sqrt(n * (N - n)) / N;
      binomial = binomial * (N - n) / (n + 1);
    }
    expect_close(weight(group_normalised_advantage()), expected / (success * (1 - success)), 1e-12, "std");
    expect_close(weight(leave_one_out_advantage()), 1, 1e-12, "leave one out");
    expect_close(weight(group_mean_advantage()), 1 - 1.0 / N, 1e-12, "mean");
    expect_close(weight(group_normalised_advantage(1)),
                 weight(group_normalised_advantage(0)) * std::sqrt((N - 1.0) / N), 1e-12, "ddof");
  }
}

TEST(ExactBandit, SampledGroupsAgree) {
  constexpr int kGroups = 200'000, N = 4;
  const std::vector<std::pair<const char*, GroupAdvantage>> all{{"rloo", leave_one_out_advantage()},
                                                                {"mean", group_mean_advantage()},
                                                                {"std", group_normalised_advantage()}};
  const std::vector<std::uint32_t> cases{0, 1, 2};
  for (const std::uint32_t i : cases) {
    const Case c = random_case(i);
    for (const auto& [name, advantage] : all) {
      const ExactMoments exact = group_moments(c.bandit, c.p, N, advantage);
      std::vector<double> sum1(c.p.size()), sum2(c.p.size()), sum4(c.p.size()), rewards(N), A(N);
      std::vector<int> arms(N);
      for (int group = 0; group < kGroups; ++group) {
        Rng rng(2, "bandit-groups", static_cast<std::uint32_t>(group), i);
        for (std::size_t n = 0; n < N; ++n) {
          arms[n] = rng.categorical(c.p);
          rewards[n] = pull(c.bandit, arms[n], rng);
        }
        advantage(rewards, A);
        const std::vector<double> g = estimate(arms, rewards, A, c.p);
        for (std::size_t j = 0; j < g.size(); ++j) {
          const double d = g[j] - exact.mean[j], square = d * d - exact.variance[j];
          sum1[j] += d;
          sum2[j] += square;
          sum4[j] += square * square;
        }
      }
      const double z = limit(2.0 * 5 * static_cast<double>(all.size() * cases.size()), kGroups);
      for (std::size_t j = 0; j < sum1.size(); ++j) {
        EXPECT_LT(std::abs(sum1[j]) / kGroups, z * std::sqrt(exact.variance[j] / kGroups)) << name << i;
        EXPECT_LT(std::abs(sum2[j]) / kGroups, z * std::sqrt(sum4[j]) / kGroups) << name << i;
      }
    }
  }
}

TEST(ExactBandit, PlantedErrorsAreNoticed) {
  const Case c = four_arms();
  const auto& [bandit, p] = c;
  constexpr double noticeable = 1e-3;
  const double J = bandit_moments(bandit, p).J;
  EXPECT_GT(distance(reinforce_moments(bandit, p, -J), reinforce_moments(bandit, p, J)), noticeable)
      << "wrong sign of the baseline";
  const GroupAdvantage self_included = group_mean_advantage();
  EXPECT_GT(distance(group_moments(bandit, p, 4, self_included), rloo_moments(bandit, p, 4)), noticeable);
  const GroupAdvantage wrong_sign = [](std::span<const double> r, std::span<double> A) {
    const double total = std::accumulate(r.begin(), r.end(), 0.0), N = static_cast<double>(r.size());
    for (std::size_t i = 0; i < r.size(); ++i) A[i] = r[i] + (total - r[i]) / (N - 1);
  };
  EXPECT_GT(distance(group_moments(bandit, p, 4, wrong_sign), rloo_moments(bandit, p, 4)), noticeable);
  EXPECT_GT(distance(rloo_moments(bandit, p, 5), rloo_moments(bandit, p, 4)), noticeable);
  // The noise of a reward counts: its mean alone does not tell.
  const std::vector<double> r{1, 0.2, -0.5, 2};
  EXPECT_GT(distance(rloo_moments(noisy_bandit(r, 0.5), p, 4), rloo_moments(bandit, p, 4)), noticeable);
}

TEST(ExactBandit, RefusesWhatIsNoBandit) {
  const std::vector<double> r{1, 2}, p{0.5, 0.5}, q{0.5, 0.6}, one{1};
  const Bandit bandit = fixed_bandit(r);
  EXPECT_THROW(bandit_moments(bandit, q), Error);
  EXPECT_THROW(bandit_moments(bandit, one), Error);
  EXPECT_THROW(bandit_moments({{{{0.5, 1.0}}, {{1.0, 1.0}}}}, p), Error);
  EXPECT_THROW(rloo_moments(bandit, p, 1), Error);
  EXPECT_THROW(group_moments(bandit, p, 100, group_mean_advantage(), 100), Error);
  EXPECT_THROW(group_normalised_advantage(2), Error);
  EXPECT_THROW(reinforce_moments(bandit, p, one), Error);
}

// The quadratic bandit.

TEST(QuadraticBandit, HasItsPublishedMoments) {
  const Json v = reference("quadratic_bandit")["values"];
  constexpr double tolerance = 1e-12, sigma = 0.5;
  for (const auto& [key, expected] : v.items()) {
    const int m = std::stoi(key);
    const QuadraticBandit bandit = silver_bandit(m);
    const std::vector<double> theta(static_cast<std::size_t>(m), 0.0);  // d = -4
    const double J = expected_reward(bandit, theta, sigma), b_star = optimal_baseline(bandit, theta, sigma);
    expect_close(J, expected["Er"], tolerance, key);
    expect_close(b_star, expected["b_star"], tolerance, key);
    expect_close(squared_norm(policy_gradient(bandit, theta)), expected["grad_norm2"], tolerance, key);
    const auto variance = [&](double b) { return trace(score_function_moments(bandit, theta, sigma, b)); };
    expect_close(variance(0), expected["Var0"], tolerance, key);
    expect_close(variance(J), expected["Var_b_eq_Er"], tolerance, key);
    expect_close(variance(b_star), expected["Var_b_star"], tolerance, key);
    expect_close(trace(factorised_mean_moments(bandit, theta, sigma)), expected["Var_factorised_mean"],
                 tolerance, key);
    expect_close(trace(factorised_optimal_moments(bandit, theta, sigma)), expected["Var_factorised_optimal"],
                 tolerance, key);
    expect_close(trace(pathwise_moments(bandit, theta, sigma)), expected["Var_pathwise"], tolerance, key);
  }
}

/// Nodes and weights of a Gauss-Hermite rule of five points: exact for polynomials of degree 9 in u ~ N(0,
/// 1).
struct Node {
  double u, weight;
};
std::vector<Node> hermite5() {
  const double inner = std::sqrt(5 - std::sqrt(10.0)), outer = std::sqrt(5 + std::sqrt(10.0));
  const double w1 = (7 + 2 * std::sqrt(10.0)) / 60, w2 = (7 - 2 * std::sqrt(10.0)) / 60;
  return {{-outer, w2}, {-inner, w1}, {0, 8.0 / 15}, {inner, w1}, {outer, w2}};
}

struct QuadraticCase {
  QuadraticBandit bandit;
  std::vector<double> theta;
  double sigma;
};

/// Three dimensions and a C that is neither diagonal nor definite.
QuadraticCase random_quadratic(std::uint32_t seed) {
  Rng rng(seed, "random-quadratic-bandit");
  QuadraticCase c{{zeros<double>(3, 3), {}}, {}, rng.uniform(0.3, 1.5)};
  for (int i = 0; i < 3; ++i) {
    c.bandit.a_star.push_back(rng.normal());
    c.theta.push_back(rng.normal());
    for (int j = 0; j <= i; ++j) c.bandit.C(i, j) = c.bandit.C(j, i) = rng.normal();
  }
  return c;
}

/// Moments of g(u), a polynomial of degree 3 at most in each u_i, exactly.
template <class Estimate>
ExactMoments by_quadrature(Estimate&& g) {
  ExactMoments out{std::vector<double>(3), std::vector<double>(3)};
  const std::vector<Node> rule = hermite5();
  std::vector<double> second(3);
  for (const Node& a : rule)
    for (const Node& b : rule)
      for (const Node& c : rule) {
        const std::vector<double> e = g(std::vector<double>{a.u, b.u, c.u});
        for (std::size_t i = 0; i < 3; ++i) {
          out.mean[i] += a.weight * b.weight * c.weight * e[i];
          second[i] += a.weight * b.weight * c.weight * e[i] * e[i];
        }
      }
  for (std::size_t i = 0; i < 3; ++i) out.variance[i] = second[i] - out.mean[i] * out.mean[i];
  return out;
}

TEST(QuadraticBandit, AgreesWithQuadratureForAnySymmetricC) {
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    const QuadraticCase c = random_quadratic(seed);
    const auto at = [&](const std::vector<double>& u) {
      std::vector<double> a = c.theta;
      for (std::size_t i = 0; i < 3; ++i) a[i] += c.sigma * u[i];
      return a;
    };
    const auto r = [&](const std::vector<double>& u) { return reward(c.bandit, at(u)); };
    const auto with_baseline = [&](auto&& b) {
      return by_quadrature([&](const std::vector<double>& u) {
        std::vector<double> g;
        for (std::size_t i = 0; i < 3; ++i) g.push_back((r(u) - b(i, u)) * u[i] / c.sigma);
        return g;
      });
    };
    /// E[weight(u_i) r | the other u].
    const auto conditional = [&](std::size_t i, std::vector<double> u, auto&& weight) {
      double b = 0;
      for (const Node& node : hermite5()) {
        u[i] = node.u;
        b += node.weight * weight(node.u) * r(u);
      }
      return b;
    };
    for (const double b : {0.0, -2.5})
      EXPECT_LT(distance(score_function_moments(c.bandit, c.theta, c.sigma, b),
                         with_baseline([&](std::size_t, const std::vector<double>&) { return b; })),
                1e-12);
    EXPECT_LT(distance(factorised_mean_moments(c.bandit, c.theta, c.sigma),
                       with_baseline([&](std::size_t i, const std::vector<double>& u) {
                         return conditional(i, u, [](double) { return 1.0; });
                       })),
              1e-12);
    const ExactMoments optimal = with_baseline([&](std::size_t i, const std::vector<double>& u) {
      return conditional(i, u, [](double x) { return x * x; });
    });
    EXPECT_LT(distance(factorised_optimal_moments(c.bandit, c.theta, c.sigma), optimal), 1e-12);
    EXPECT_GT(distance(factorised_mean_moments(c.bandit, c.theta, c.sigma), optimal), 1e-3);
    EXPECT_LT(distance(pathwise_moments(c.bandit, c.theta, c.sigma),
                       by_quadrature([&](const std::vector<double>& u) {
                         std::vector<Array<double>> a;
                         for (const double x : at(u)) a.push_back(full(1, 1, x));
                         const auto slope =
                             grad([&](const std::vector<Var<double>>& v) { return reward(c.bandit, v); }, a);
                         return std::vector<double>{slope[0](0, 0), slope[1](0, 0), slope[2](0, 0)};
                       })),
              1e-12);
    const double b_star = optimal_baseline(c.bandit, c.theta, c.sigma);
    const auto variance = [&](double b) {
      return trace(score_function_moments(c.bandit, c.theta, c.sigma, b));
    };
    const double bottom = variance(b_star), rise = 3 / (c.sigma * c.sigma);
    expect_close(variance(b_star + 1), bottom + rise, 1e-12, "parabola");
    expect_close(variance(b_star - 1), bottom + rise, 1e-12, "parabola");
  }
}

TEST(QuadraticBandit, RefusesWhatDoesNotFit) {
  QuadraticBandit bandit = silver_bandit(3);
  const std::vector<double> two(2), three(3);
  EXPECT_THROW(policy_gradient(bandit, two), Error);
  EXPECT_THROW(score_function_moments(bandit, three, 0, 0), Error);
  bandit.C(0, 1) = 1;
  EXPECT_THROW(policy_gradient(bandit, three), Error);
}

TEST(ExactBandit, EqualRewardsAreAdvantagesOfZeroHoweverLarge) {
  for (const double r : {0.1, 1e9 / 3, -1e15})
    for (const GroupAdvantage& advantage :
         {leave_one_out_advantage(), group_mean_advantage(), group_normalised_advantage(0),
          group_normalised_advantage(1, 1e-8)}) {
      std::vector<double> A(6, 1);
      advantage(std::vector<double>(6, r), A);
      EXPECT_EQ(A, std::vector<double>(6, 0.0)) << r;
    }
}

}  // namespace
}  // namespace lowvar
