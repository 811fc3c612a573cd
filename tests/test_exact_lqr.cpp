// The linear-quadratic-Gaussian oracles against published numbers, against Gauss-Hermite sums that take every
// estimator by its definition, against autodiff and differences of J, and against sampling.
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/exact/lqr.h"
#include "autograd/autograd.h"
#include "envs/check.h"
#include "tests/statistics.h"
#include "zoo.h"

namespace lowvar {
namespace {

using Json = nlohmann::json;

static_assert(ContinuousEnvironment<LqgEnvironment<2, 1>>);

std::size_t at(int i) { return static_cast<std::size_t>(i); }

Json reference(const std::string& group) {
  std::ifstream in(std::string(LOWVAR_TEST_DATA) + "/reference_values.json");
  return Json::parse(in).at(group);
}

void expect_close(double value, double expected, double tolerance, const std::string& what) {
  EXPECT_NEAR(value, expected, tolerance * std::max(std::abs(expected), 1e-30)) << what;
}

double norm(const std::vector<double>& x) {
  return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
}

/// Largest difference, relative to the largest entry.
double distance(const std::vector<double>& x, const std::vector<double>& y) {
  EXPECT_EQ(x.size(), y.size());
  double scale = 1e-300, largest = 0;
  for (const double each : y) scale = std::max(scale, std::abs(each));
  for (std::size_t i = 0; i < y.size(); ++i) largest = std::max(largest, std::abs(x[i] - y[i]));
  return largest / scale;
}

double distance(const ExactMoments& x, const ExactMoments& y) {
  std::vector<double> mean_scale = y.mean;
  double scale = 0, largest = 0;
  for (std::size_t i = 0; i < y.mean.size(); ++i)
    scale = std::max(scale, std::abs(y.mean[i]) + std::sqrt(std::max(y.variance[i], 0.0)));
  for (std::size_t i = 0; i < y.mean.size(); ++i)
    largest = std::max(largest, std::abs(x.mean[i] - y.mean[i]) / scale);
  return std::max(largest, distance(x.variance, y.variance));
}

/// Every entry within tolerance of its own size.
void expect_each_close(const ExactMoments& x, const ExactMoments& y, double tolerance,
                       const std::string& what) {
  for (std::size_t i = 0; i < y.mean.size(); ++i) {
    EXPECT_NEAR(x.mean[i], y.mean[i], tolerance * (std::abs(y.mean[i]) + std::sqrt(y.variance[i])))
        << what << i;
    EXPECT_NEAR(x.variance[i], y.variance[i], tolerance * y.variance[i]) << what << i;
  }
}

LinearGaussianPolicy policy_of(std::vector<double> K, double sigma2) {
  return {from_values<double>(1, static_cast<int>(K.size()), K), {0.5 * std::log(sigma2)}};
}

struct Case {
  Lqg world;
  LinearGaussianPolicy policy;
  QuadraticValues critic;  // arbitrary, also at t = T
};

Array<double> random_matrix(Rng& rng, int rows, int cols, double scale = 1) {
  Array<double> M = zeros<double>(rows, cols);
  for (double& x : values(M)) x = scale * rng.normal();
  return M;
}

Array<double> random_covariance(Rng& rng, int n, double scale, int rank) {
  const Array<double> L = random_matrix(rng, n, rank, scale);
  Array<double> C = zeros<double>(n, n);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j <= i; ++j) {
      for (int k = 0; k < rank; ++k) C(i, j) += L(i, k) * L(j, k);
      C(j, i) = C(i, j);
    }
  return C;
}

/// A world with full matrices everywhere.
Case random_case(int n, int m, int T, bool noise, std::uint32_t seed) {
  Rng rng(seed, "test-lqg", static_cast<std::uint32_t>(100 * n + 10 * m + T), noise);
  Case c{random_lqg(n, m, 0.9, seed, rng.uniform(0.5, 1), T), {}, {}};
  c.world.Q_s = random_covariance(rng, n, 0.7, n);
  c.world.Q_a = random_covariance(rng, m, 0.5, m);
  c.world.Sigma_0 = random_covariance(rng, n, 0.8, std::max(1, n - static_cast<int>(seed % 2)));
  if (noise) c.world.Sigma_w = random_covariance(rng, n, 0.4, n);
  c.policy.K = random_matrix(rng, m, n, 0.5);
  for (int i = 0; i < m; ++i) c.policy.log_std.push_back(rng.uniform(-1, 0.5));
  for (int t = 0; t <= T; ++t) {
    c.critic.P.push_back(random_covariance(rng, n, 0.6, n));
    c.critic.c.push_back(rng.normal());
  }
  return c;
}

// Published numbers.

TEST(ExactLqr, DoubleIntegratorHasItsPublishedMoments) {
  constexpr double tolerance = 2e-12;
  const Json rows = reference("lqg")["rows"];
  EXPECT_EQ(rows.size(), 10u);
  for (const auto& [key, row] : rows.items()) {
    const Json& v = row["values"];
    const Lqg world = double_integrator(row["world"]["gamma"], row["world"]["T"]);
    const LinearGaussianPolicy policy = policy_of(row["world"]["K"], row["world"]["sigma2"]);
    const QuadraticValues V = state_values(world, policy);
    const std::vector<double> gradient = policy_gradient(world, policy);
    expect_close(expected_return(world, policy), v["J"], tolerance, key + " J");
    expect_close(gradient[0], v["grad_K"][0], tolerance, key + " grad_K");
    expect_close(gradient[1], v["grad_K"][1], tolerance, key + " grad_K");
    expect_close(gradient[2], v["grad_l"], tolerance, key + " grad_l");

    const auto variance = [&](const std::string& name, LqgParameters which) {
      return trace(exact_moments(name, world, policy, V, which));
    };
    for (const LqgParameters which : {LqgParameters::K, LqgParameters::log_std}) {
      const char* group = which == LqgParameters::K ? "K" : "l";
      const Json& expected = v[group];
      const std::string what = key + " " + group;
      expect_close(variance("reinforce", which), expected["reinforce_b0"], tolerance, what);
      expect_close(variance("reinforce-mean", which), expected["reinforce_bJ"], tolerance, what);
      expect_close(variance("reinforce-optimal", which), expected["reinforce_bstar"], tolerance, what);
      expect_close(baseline_constants(world, policy, which).b_star, expected["bstar"], tolerance, what);
      expect_close(variance("togo", which), expected["rtg_b0"], tolerance, what);
      expect_close(variance("togo-value", which), expected["rtg_V"], tolerance, what);
      expect_close(variance("td", which), expected["gae_0"], tolerance, what);
      for (const std::string lambda : {"0", "0.5", "0.9", "0.95", "0.99"})
        expect_close(variance("gae:" + lambda, which), expected["gae_" + lambda], tolerance, what + lambda);
    }
    const double g2 = norm(gradient) * norm(gradient), gl2 = gradient[2] * gradient[2];
    expect_close(variance("reinforce", LqgParameters::all) / g2, v["NSR_K_l_reinforce_b0"], tolerance,
                 key + " NSR");
    expect_close(variance("reinforce", LqgParameters::log_std) / gl2, v["NSR_l_reinforce_b0"], tolerance,
                 key + " NSR");
    expect_close(variance("togo-value", LqgParameters::log_std) / gl2, v["NSR_l_rtg_V"], tolerance,
                 key + " NSR");
  }
}

TEST(ExactLqr, OneStepTableAndHeatMap) {
  const Json v = reference("han_yang_T1")["values"];
  constexpr double tolerance = 1e-12;
  const auto with = [](double sigma0_2) {
    Lqg world = double_integrator(1, 1);
    for (double& x : values(world.Sigma_0)) x *= sigma0_2;
    return world;
  };
  const auto check = [&](const std::string& name, double sigma2, double sigma0_2) {
    const Lqg world = with(sigma0_2);
    const LinearGaussianPolicy policy = policy_of({-1, -3}, sigma2);
    const std::vector<double> g = policy_gradient(world, policy);
    const ExactMoments m = exact_moments("reinforce", world, policy, zero_values(world));
    const Json& expected = v["table"][name];
    expect_close(m.variance[0] + m.variance[1], expected["var_K"], tolerance, name);
    expect_close(m.variance[2], expected["var_l"], tolerance, name);
    expect_close(std::hypot(g[0], g[1]), expected["norm_grad_K"], tolerance, name);
    expect_close(std::abs(g[2]), expected["norm_grad_l"], tolerance, name);
    expect_close(trace(m) / (norm(g) * norm(g)), expected["NSR"], tolerance, name);
  };
  check("big_sigma_big_sigma0", std::exp(6), 10);
  check("big_sigma_small_sigma0", std::exp(6), 0.1);
  check("small_sigma_small_sigma0", std::exp(-4), 0.1);
  check("small_sigma_big_sigma0", std::exp(-4), 10);
  for (const auto& [key, expected] : v["heatmap"].items())
    for (const double sigma2 : {1.0, 1e-3}) {
      const Lqg world = with(std::stod(key) * sigma2);
      const LinearGaussianPolicy policy = policy_of({-1, -3}, sigma2);
      const double g = norm(policy_gradient(world, policy));
      const ExactMoments m = exact_moments("reinforce", world, policy, zero_values(world));
      expect_close(trace(m) / (g * g), expected, tolerance, key);
    }
}

// Every estimator by its definition, summed over the nodes of a Gauss-Hermite rule: five nodes are exact up
// to degree nine in each noise, and a squared estimate has degree eight.

struct Trajectory {
  double weight;
  std::vector<std::vector<double>> s;  // [T+1] of [n]
  std::vector<std::vector<double>> z;  // [T] of [m*n + m]
  std::vector<double> r;               // [T]
};

/// f(weights, u) for every node of a rule with u ~ N(0, I) of the given length.
template <class F>
void for_each_node(std::size_t length, int points, F&& f) {
  const double inner = std::sqrt(5 - std::sqrt(10.0)), outer = std::sqrt(5 + std::sqrt(10.0));
  const double w1 = (7 + 2 * std::sqrt(10.0)) / 60, w2 = (7 - 2 * std::sqrt(10.0)) / 60;
  const std::vector<std::pair<double, double>> rule =
      points == 3 ? std::vector<std::pair<double, double>>{{-std::sqrt(3), 1.0 / 6},
                                                           {0, 2.0 / 3},
                                                           {std::sqrt(3), 1.0 / 6}}
                  : std::vector<std::pair<double, double>>{
                        {-outer, w2}, {-inner, w1}, {0, 8.0 / 15}, {inner, w1}, {outer, w2}};
  std::vector<double> u(length);
  const auto fill = [&](auto&& self, std::size_t i, double weight) -> void {
    if (i == length) {
      f(weight, u);
      return;
    }
    for (const auto& [x, w] : rule) {
      u[i] = x;
      self(self, i + 1, weight * w);
    }
  };
  fill(fill, 0, 1);
}

std::vector<double> times(const Array<double>& L, const double* u) {
  std::vector<double> x(L.shape(0));
  for (std::size_t i = 0; i < L.shape(0); ++i)
    for (std::size_t j = 0; j < L.shape(1); ++j) x[i] += L(i, j) * u[j];
  return x;
}

/// Roll-out on given noise: s_0's [n], then of each step e_t [m] and, if any, that of w_t [n].
Trajectory roll_out(const Case& c, double weight, const std::vector<double>& u) {
  const Array<double> L0 = lower_factor(c.world.Sigma_0, "Sigma_0"),
                      Lw = lower_factor(c.world.Sigma_w, "Sigma_w");
  const std::size_t n = at(c.world.n()), m = at(c.world.m());
  Trajectory out{weight, {times(L0, u.data())}, {}, {}};
  std::size_t next = n;
  for (int t = 0; t < c.world.T; ++t) {
    const std::vector<double>& s = out.s.back();
    std::vector<double> a = mean_action(c.policy, s), z(m * n + m);
    for (std::size_t i = 0; i < m; ++i) {
      const double sigma = std::exp(c.policy.log_std[i]), e = u[next++];
      a[i] += sigma * e;
      for (std::size_t j = 0; j < n; ++j) z[i * n + j] = e * s[j] / sigma;
      z[m * n + i] = e * e - 1;
    }
    std::vector<double> following = next_state(c.world, s, a);
    if (is_stochastic(c.world)) {
      const std::vector<double> w = times(Lw, &u[next]);
      for (std::size_t j = 0; j < n; ++j) following[j] += w[j];
      next += n;
    }
    out.r.push_back(reward(c.world, following, a));
    out.z.push_back(std::move(z));
    out.s.push_back(std::move(following));
  }
  return out;
}

std::vector<Trajectory> all_trajectories(const Case& c) {
  const int step = c.world.m() + (is_stochastic(c.world) ? c.world.n() : 0);
  std::vector<Trajectory> out;
  for_each_node(at(c.world.n() + c.world.T * step), 5,
                [&](double weight, const std::vector<double>& u) { out.push_back(roll_out(c, weight, u)); });
  return out;
}

double weighted(const std::vector<Trajectory>& all, auto&& f) {
  double sum = 0;
  for (const Trajectory& each : all) sum += each.weight * f(each);
  return sum;
}

/// Psi_t of an estimator with gamma^t in front of the score, but for the name's own choice of it.
std::vector<double> weights_of(const EstimatorName& name, const Case& c, const QuadraticValues& V,
                               const std::vector<double>& mean_G, const Trajectory& x) {
  const int T = c.world.T;
  const double g = c.world.gamma;
  std::vector<double> psi(at(T));
  const auto delta = [&](int t) {
    return x.r[at(t)] + g * value(V, t + 1, x.s[at(t + 1)]) - value(V, t, x.s[at(t)]);
  };
  for (int t = 0; t < T; ++t) {
    double G = 0;
    for (int k = t; k < T; ++k) G += std::pow(g, k - t) * x.r[at(k)];
    double sum = 0;
    switch (name.id()) {
      case FamilyId::togo:
        sum = G;
        break;
      case FamilyId::togo_time:
        sum = G - mean_G[at(t)];
        break;
      case FamilyId::togo_value:
        sum = G - value(V, t, x.s[at(t)]);
        break;
      case FamilyId::td:
        sum = delta(t);
        break;
      case FamilyId::nstep:
        for (int i = 0; i < static_cast<int>(name.arguments[0]) && t + i < T; ++i)
          sum += std::pow(g, i) * delta(t + i);
        break;
      case FamilyId::vtrace:  // of ratios that are one and not cut
      case FamilyId::ppo_clip:
      case FamilyId::gae: {
        const double lambda = name.id() == FamilyId::gae        ? name.arguments[0]
                              : name.id() == FamilyId::ppo_clip ? 0.95
                                                                : 1;
        for (int i = 0; t + i < T; ++i) sum += std::pow(g * lambda, i) * delta(t + i);
        break;
      }
      default:
        ADD_FAILURE();
    }
    psi[at(t)] = (name.undiscounted() ? 1 : std::pow(g, t)) * sum;
  }
  return psi;
}

ExactMoments by_definition(const std::string& estimator, const Case& c, const QuadraticValues& V,
                           const std::vector<Trajectory>& all, std::size_t first, std::size_t count) {
  const EstimatorName name = parse_estimator(estimator);
  const int T = c.world.T;
  const auto R = [&](const Trajectory& x) {
    double sum = 0;
    for (int t = 0; t < T; ++t) sum += std::pow(c.world.gamma, t) * x.r[at(t)];
    return sum;
  };
  const auto S = [&](const Trajectory& x, std::size_t i) {
    double sum = 0;
    for (const auto& z : x.z) sum += z[first + i];
    return sum;
  };
  std::vector<double> mean_G;
  for (int t = 0; t < T; ++t)
    mean_G.push_back(weighted(all, [&](const Trajectory& x) {
      double G = 0;
      for (int k = t; k < T; ++k) G += std::pow(c.world.gamma, k - t) * x.r[at(k)];
      return G;
    }));
  const bool whole = name.family->kind == EstimatorKind::whole;
  std::vector<double> b(count, 0.0);
  double SSR = 0, SS = 0;
  for (std::size_t i = 0; whole && i < count; ++i) {
    const double above = weighted(all, [&](const Trajectory& x) { return S(x, i) * S(x, i) * R(x); });
    const double below = weighted(all, [&](const Trajectory& x) { return S(x, i) * S(x, i); });
    SSR += above;
    SS += below;
    if (name.id() == FamilyId::reinforce_per_parameter) b[i] = above / below;
  }
  if (name.id() == FamilyId::reinforce_mean) std::fill(b.begin(), b.end(), mean_G[0]);
  if (name.id() == FamilyId::reinforce_optimal) std::fill(b.begin(), b.end(), SSR / SS);
  ExactMoments out{std::vector<double>(count), std::vector<double>(count)};
  std::vector<double> second(count);
  for (const Trajectory& x : all) {
    const std::vector<double> psi = whole ? std::vector<double>() : weights_of(name, c, V, mean_G, x);
    for (std::size_t i = 0; i < count; ++i) {
      double g = 0;
      if (whole)
        g = (R(x) - b[i]) * S(x, i);
      else
        for (int t = 0; t < T; ++t) g += psi[at(t)] * x.z[at(t)][first + i];
      out.mean[i] += x.weight * g;
      second[i] += x.weight * g * g;
    }
  }
  for (std::size_t i = 0; i < count; ++i) out.variance[i] = second[i] - out.mean[i] * out.mean[i];
  return out;
}

const std::vector<std::string> kEstimators = filtered(every_estimator(), [](const EstimatorName& name) {
  switch (name.id()) {
    case FamilyId::togo_linear:
    case FamilyId::togo_optimal:
      return false;
    case FamilyId::vtrace:
      return has_recursion(name) && name.arguments[0] >= 1 && name.arguments[1] >= 1;
    default:
      return has_recursion(name) && name.unit() == 1 && !name.family->needs.action_values;
  }
});

std::vector<Case> small_cases() {
  return {random_case(1, 1, 2, true, 1),  random_case(2, 1, 3, false, 2), random_case(1, 2, 2, false, 3),
          random_case(2, 2, 1, true, 4),  random_case(3, 1, 2, false, 5), random_case(2, 1, 1, true, 6),
          random_case(2, 2, 2, false, 7), random_case(1, 1, 5, false, 8)};
}

TEST(ExactLqr, EveryEstimatorAgreesWithItsDefinition) {
  constexpr double tolerance = 1e-10;
  for (const Case& c : small_cases()) {
    const std::vector<Trajectory> all = all_trajectories(c);
    const std::size_t K = at(c.world.m() * c.world.n()), m = at(c.world.m());
    expect_close(weighted(all, [](const Trajectory&) { return 1.0; }), 1, 1e-13, "weights");
    const QuadraticValues half = scaled(state_values(c.world, c.policy), 0.5);
    for (const std::string& estimator : kEstimators)
      expect_each_close(exact_moments(estimator, c.world, c.policy, c.critic),
                        by_definition(estimator, c, c.critic, all, 0, K + m), tolerance, estimator);
    for (const char* estimator : {"togo-value", "td", "gae:0.6"})
      expect_each_close(exact_moments(estimator, c.world, c.policy, half),
                        by_definition(estimator, c, half, all, 0, K + m), tolerance, estimator);
    for (const char* estimator : {"reinforce-optimal", "gae:0.6"}) {
      expect_each_close(exact_moments(estimator, c.world, c.policy, c.critic, LqgParameters::K),
                        by_definition(estimator, c, c.critic, all, 0, K), tolerance, estimator);
      expect_each_close(exact_moments(estimator, c.world, c.policy, c.critic, LqgParameters::log_std),
                        by_definition(estimator, c, c.critic, all, K, m), tolerance, estimator);
    }
  }
}

/// The comparison must notice a formula that is nearly right.
TEST(ExactLqr, PlantedErrorsAreNoticed) {
  constexpr double noticeable = 1e-4;
  for (const Case& c : small_cases()) {
    if (c.world.T == 1) continue;
    const std::vector<Trajectory> all = all_trajectories(c);
    const std::size_t d = at(c.world.m() * (c.world.n() + 1));
    const QuadraticValues none = zero_values(c.world);
    const QuadraticValues V = state_values(c.world, c.policy);
    const double g = c.world.gamma;
    const auto error = [&](const CausalLqgEstimator& planted, const std::string& truth,
                           const QuadraticValues& critic) {
      return distance(causal_moments(c.world, c.policy, planted), by_definition(truth, c, critic, all, 0, d));
    };
    EXPECT_LT(error({c.critic, none, 0.6 * g}, "gae:0.6", c.critic), 1e-10);
    EXPECT_GT(error({c.critic, none, 0.6}, "gae:0.6", c.critic), noticeable) << "kappa without gamma";
    EXPECT_GT(error({c.critic, none, 0.6 * g, c.world.T - 1}, "gae:0.6", c.critic), noticeable)
        << "last term lost";
    CausalLqgEstimator undiscounted{c.critic, none, 0.6 * g};
    undiscounted.undiscounted = true;
    EXPECT_GT(error(undiscounted, "gae:0.6", c.critic), noticeable) << "gamma^t lost";
    EXPECT_LT(error({none, V, g}, "togo-value", V), 1e-10);
    EXPECT_GT(error({none, scaled(V, -1), g}, "togo-value", V), noticeable) << "wrong sign of the baseline";
    QuadraticValues unconstant = V;
    std::fill(unconstant.c.begin(), unconstant.c.end(), 0.0);
    EXPECT_GT(error({none, unconstant, g}, "togo-value", V), noticeable) << "constants of V lost";
    Case without_next = c;  // the reward on s_t instead of s_{t+1}
    without_next.world.Q_s = zeros_like(c.world.Q_s);
    EXPECT_GT(distance(exact_moments("togo", without_next.world, c.policy, none),
                       by_definition("togo", c, none, all, 0, d)),
              noticeable);
  }
  // At the published T = 30 point, the second moment without gamma^(t+p) is another number (not 249601.46).
  const Lqg world = double_integrator(0.99, 30);
  const LinearGaussianPolicy policy = policy_of({-5.5, -7.1}, 0.167 * 0.167);
  const auto variance = [&](const char* name) {
    return trace(exact_moments(name, world, policy, state_values(world, policy), LqgParameters::K));
  };
  EXPECT_NEAR(variance("togo+undiscounted"), 258924.02, 0.01);
  EXPECT_NEAR(variance("togo-value+undiscounted"), 0.0597999, 1e-7);
}

/// The closed form of one step (Han & Yang 2026, section 2.1), which the stacked moments share nothing with.
TEST(ExactLqr, OneStepClosedForm) {
  const auto product = [](const Array<double>& A, const Array<double>& B) {
    Array<double> C = zeros<double>(shape(A).rows, shape(B).cols);
    for (int i = 0; i < shape(A).rows; ++i)
      for (int j = 0; j < shape(B).cols; ++j)
        for (int k = 0; k < shape(A).cols; ++k) C(i, j) += A(i, k) * B(k, j);
    return C;
  };
  const auto transposed = [](const Array<double>& A) {
    Array<double> B = zeros<double>(shape(A).cols, shape(A).rows);
    for (int i = 0; i < shape(A).rows; ++i)
      for (int j = 0; j < shape(A).cols; ++j) B(j, i) = A(i, j);
    return B;
  };
  const auto tr = [](const Array<double>& A) {
    double sum = 0;
    for (int i = 0; i < shape(A).rows; ++i) sum += A(i, i);
    return sum;
  };
  const auto plus = [](Array<double> A, const Array<double>& B) {
    for (std::size_t i = 0; i < A.size(); ++i) A.data()[i] += B.data()[i];
    return A;
  };
  for (const auto& [n, m] : {std::pair{2, 2}, {3, 2}, {2, 3}, {3, 3}}) {
    const Case c = random_case(n, m, 1, false, 2);
    const Lqg& world = c.world;
    const LinearGaussianPolicy& policy = c.policy;
    Array<double> I = zeros<double>(n, n), Sigma = zeros<double>(m, m), root = Sigma, inverse2 = Sigma;
    for (int i = 0; i < n; ++i) I(i, i) = 1;
    for (int i = 0; i < m; ++i) {
      root(i, i) = std::exp(policy.log_std[at(i)]);
      Sigma(i, i) = root(i, i) * root(i, i);
      inverse2(i, i) = 1 / (Sigma(i, i) * Sigma(i, i));
    }
    const Array<double> F = plus(world.A, product(world.B, policy.K)), QF = product(world.Q_s, F),
                        QB = product(world.Q_s, world.B), Kt = transposed(policy.K);
    const Array<double> ss = plus(product(transposed(F), QF), product(Kt, product(world.Q_a, policy.K))),
                        se = plus(product(transposed(F), QB), product(Kt, world.Q_a)),
                        ee = plus(product(transposed(world.B), QB), world.Q_a);
    const Array<double> U = product(se, transposed(se)), V = product(se, product(Sigma, transposed(se))),
                        S = product(root, product(ee, root));
    const auto one = [&](const Array<double>& O, const Array<double>& A) { return tr(product(O, A)); };
    const auto pair = [&](const Array<double>& O, const Array<double>& A, const Array<double>& B) {
      return tr(product(product(O, A), product(O, B)));
    };
    const auto two = [&](const Array<double>& O, const Array<double>& A, const Array<double>& B) {
      return one(O, A) * one(O, B) + 2 * pair(O, A, B);
    };
    const auto three = [&](const Array<double>& O, const Array<double>& A, const Array<double>& B,
                           const Array<double>& C) {
      return one(O, A) * one(O, B) * one(O, C) +
             2 * (pair(O, A, B) * one(O, C) + pair(O, A, C) * one(O, B) + one(O, A) * pair(O, B, C)) +
             8 * tr(product(product(O, A), product(product(O, B), product(O, C))));
    };
    const Array<double>& S0 = world.Sigma_0;
    const double second_K = one(Sigma, inverse2) * three(S0, I, ss, ss) +
                            one(S0, I) * three(Sigma, inverse2, ee, ee) +
                            2 * two(S0, I, ss) * two(Sigma, inverse2, ee) +
                            4 * (2 * two(S0, I, U) + one(Sigma, inverse2) * two(S0, I, V));
    double squares = 0;
    for (int i = 0; i < m; ++i) squares += S(i, i) * S(i, i);
    const double second_l = 2 * m * two(S0, ss, ss) + (2 * m + 16) * tr(S) * tr(S) +
                            (4 * m + 32) * tr(product(S, S)) + 24 * squares +
                            2 * one(S0, ss) * (2 * m + 8) * tr(S) + 4 * (2 * m + 8) * one(S0, V);
    const auto second_moment = [&](LqgParameters which) {
      const ExactMoments moments = exact_moments("reinforce", world, policy, c.critic, which);
      return trace(moments) + norm(moments.mean) * norm(moments.mean);
    };
    expect_close(second_moment(LqgParameters::K), second_K, 1e-12, "K");
    expect_close(second_moment(LqgParameters::log_std), second_l, 1e-12, "log_std");
  }
}

// Values.

TEST(ExactLqr, ValuesSatisfyTheirDefinitions) {
  for (const Case& c : small_cases()) {
    const auto& world = c.world;
    const std::vector<Trajectory> all = all_trajectories(c);
    expect_close(expected_return(world, c.policy),
                 weighted(all,
                          [&](const Trajectory& x) {
                            double R = 0;
                            for (int t = 0; t < world.T; ++t) R += std::pow(world.gamma, t) * x.r[at(t)];
                            return R;
                          }),
                 1e-12, "J");
    const std::vector<double> mean_G = baseline_constants(world, c.policy).mean_return_to_go;
    expect_close(mean_G[0], expected_return(world, c.policy), 1e-12, "E G_0");

    // Q_t(s, a) = E[r + gamma V_{t+1}(s')], V_t(s) = E Q_t(s, a), A = Q - V.
    const QuadraticValues V = state_values(world, c.policy);
    const QuadraticActionValues Q = action_values(world, c.policy);
    const Array<double> Lw = lower_factor(world.Sigma_w, "Sigma_w");
    Rng rng(1, "test-values");
    for (int t = 0; t < world.T; ++t) {
      const std::vector<double> s = times(random_matrix(rng, world.n(), 1), std::vector<double>{1.0}.data());
      double mean_Q = 0, mean_A = 0;
      for_each_node(at(world.m()), 3, [&](double weight, const std::vector<double>& e) {
        std::vector<double> a = mean_action(c.policy, s);
        for (std::size_t i = 0; i < a.size(); ++i) a[i] += std::exp(c.policy.log_std[i]) * e[i];
        double expected = 0;
        for_each_node(at(world.n()), 3, [&](double w_weight, const std::vector<double>& u) {
          std::vector<double> next = next_state(world, s, a);
          const std::vector<double> w = times(Lw, u.data());
          for (std::size_t i = 0; i < next.size(); ++i) next[i] += w[i];
          expected += w_weight * (reward(world, next, a) + world.gamma * value(V, t + 1, next));
        });
        expect_close(value(Q, t, s, a), expected, 1e-12, "Q");
        const double A = advantage(Q, c.policy, t, s, a);
        EXPECT_NEAR(A, expected - value(V, t, s), 1e-12 * (std::abs(expected) + 1));
        mean_Q += weight * expected;
        mean_A += weight * A;
      });
      expect_close(value(V, t, s), mean_Q, 1e-12, "V");
      EXPECT_NEAR(mean_A, 0, 1e-12 * (1 + std::abs(mean_Q)));
    }
  }
}

TEST(ExactLqr, IdentitiesBetweenEstimators) {
  for (std::uint32_t seed = 0; seed < 6; ++seed) {
    const Case c =
        random_case(2 + static_cast<int>(seed % 2), 1 + static_cast<int>(seed / 3), 6, seed % 3 == 0, seed);
    const Lqg& world = c.world;
    const LinearGaussianPolicy& policy = c.policy;
    const QuadraticValues& critic = c.critic;
    const std::vector<double> gradient = policy_gradient(world, policy);
    const QuadraticValues V = state_values(world, policy);
    QuadraticValues ends_at_zero = critic;
    for (double& x : values(ends_at_zero.P.back())) x = 0;
    ends_at_zero.c.back() = 0;
    const auto moments = [&](const char* name, const QuadraticValues& v) {
      return exact_moments(name, world, policy, v);
    };
    for (const char* name : {"reinforce", "reinforce-mean", "reinforce-optimal", "reinforce-per-parameter",
                             "togo", "togo-time", "togo-value"})
      EXPECT_LT(bias_norm(moments(name, critic), gradient), 1e-12 * norm(gradient)) << name;
    for (const char* name : {"td", "nstep:2", "gae:0.3", "ppo-clip:0.1"})
      EXPECT_LT(bias_norm(moments(name, V), gradient), 1e-12 * norm(gradient)) << name;
    EXPECT_GT(bias_norm(moments("td", scaled(V, 0.5)), gradient), 1e-3 * norm(gradient));
    EXPECT_LT(distance(moments("gae:1", ends_at_zero), moments("togo-value", critic)), 1e-12);
    EXPECT_LT(distance(moments("nstep:1", critic), moments("td", critic)), 1e-13);
    EXPECT_LT(distance(moments("nstep:6", critic), moments("gae:1", critic)), 1e-13);
    EXPECT_LT(distance(moments("gae:1", zero_values(world)), moments("togo", critic)), 1e-13);
    EXPECT_LT(distance(causal_moments(world, policy, {zero_values(world), V, world.gamma}),
                       moments("togo-value", V)),
              1e-10);
  }
}

// Gradients: the closed form, autodiff through the recursion, autodiff through the dynamics, differences.

/// Differences of sixth order of f at x.
template <class F>
double slope(F&& f, double h) {
  return (45 * (f(h) - f(-h)) - 9 * (f(2 * h) - f(-2 * h)) + f(3 * h) - f(-3 * h)) / (60 * h);
}

template <class F>
std::vector<double> differences(const LinearGaussianPolicy& policy, F&& J) {
  std::vector<double> out;
  LinearGaussianPolicy moved = policy;
  const auto along = [&](double& x) {
    const double start = x;
    out.push_back(slope(
        [&](double h) {
          x = start + h;
          return J(moved);
        },
        1e-3));
    x = start;
  };
  for (double& x : values(moved.K)) along(x);
  for (double& x : moved.log_std) along(x);
  return out;
}

/// J by the Riccati recursion on Vars, or by doubling of the Lyapunov equation, and its gradient.
struct Differentiated {
  double J;
  std::vector<double> gradient;
};
Differentiated by_autodiff(const Lqg& world, const LinearGaussianPolicy& policy, bool infinite) {
  Tape<double> tape;
  const int n = world.n(), m = world.m();
  const Array<double> l0 = from_values<double>(m, 1, policy.log_std), none = zeros<double>(n, n);
  Array<double> I = zeros<double>(m, m);
  for (int i = 0; i < m; ++i) I(i, i) = 1;
  const auto K = tape.parameter(policy.K), l = tape.parameter(l0);
  const auto A = tape.constant(world.A), B = tape.constant(world.B), Q_a = tape.constant(world.Q_a);
  const auto Sigma = exp(2 * l) * I;
  const auto F = A + matmul(B, K), cost = matmul_tn(K, matmul(Q_a, K));
  const auto of_next = [&](Var<double> P) { return world.Q_s + world.gamma * P; };
  const auto through = [&](Var<double> G, Var<double> N) { return matmul_tn(G, matmul(N, G)); };
  const auto noise = [&](Var<double> N) { return dot(Sigma, through(B, N) + Q_a) + dot(N, world.Sigma_w); };
  Var<double> P = tape.constant(none), c = sum(P);
  if (infinite) {
    P = through(F, tape.constant(world.Q_s)) + cost;
    Var<double> power = std::sqrt(world.gamma) * F;
    for (int i = 0; i < 14; ++i) {
      P = P + through(power, P);
      power = matmul(power, power);
    }
    if (world.gamma < 1) c = noise(of_next(P)) / (1 - world.gamma);
  } else {
    for (int t = 0; t < world.T; ++t) {
      const auto N = of_next(P);
      P = through(F, N) + cost;
      c = noise(N) + world.gamma * c;
    }
  }
  const auto J = -(dot(P, world.Sigma_0) + c);
  const auto g = grad(J, std::vector<Var<double>>{K, l});
  Differentiated out{J.item(), {values(g[0]).begin(), values(g[0]).end()}};
  out.gradient.insert(out.gradient.end(), values(g[1]).begin(), values(g[1]).end());
  return out;
}

TEST(ExactLqr, GradientsAgreeOverAFiniteHorizon) {
  for (std::uint32_t seed = 0; seed < 12; ++seed) {
    const int n = 1 + static_cast<int>(seed % 4), m = 1 + static_cast<int>(seed % 3),
              T = 1 + static_cast<int>(seed);
    const Case c = random_case(n, m, T, seed % 2, seed);
    const Lqg& world = c.world;
    const LinearGaussianPolicy& policy = c.policy;
    const std::vector<double> gradient = policy_gradient(world, policy);
    const Differentiated automatic = by_autodiff(world, policy, false);
    expect_close(automatic.J, expected_return(world, policy), 1e-12, "J");
    EXPECT_LT(distance(gradient, automatic.gradient), 1e-12);
    EXPECT_LT(distance(gradient,
                       differences(policy,
                                   [&](const LinearGaussianPolicy& p) { return expected_return(world, p); })),
              1e-8);
    Lqg forgot = world;  // gamma left out of the recursion
    forgot.gamma = 1;
    if (T > 1) {
      EXPECT_GT(distance(by_autodiff(forgot, policy, false).gradient, gradient), 1e-4);
    }
  }
}

/// Whole trajectories on Vars, one row for each node of a Gauss-Hermite rule that is exact for J.
TEST(ExactLqr, DynamicsRunOnVars) {
  for (const Case& c : small_cases()) {
    const auto& world = c.world;
    const std::size_t n = at(world.n()), m = at(world.m());
    const std::size_t noises = n + at(world.T) * (m + (is_stochastic(world) ? n : 0));
    std::vector<double> weight;
    std::vector<std::vector<double>> columns(noises);
    for_each_node(noises, 3, [&](double w, const std::vector<double>& u) {
      weight.push_back(w);
      for (std::size_t i = 0; i < noises; ++i) columns[i].push_back(u[i]);
    });
    const int rows = static_cast<int>(weight.size());
    std::vector<Array<double>> u;
    for (const auto& column : columns) u.push_back(from_values<double>(rows, 1, column));
    const Array<double> L0 = lower_factor(world.Sigma_0, "Sigma_0"),
                        Lw = lower_factor(world.Sigma_w, "Sigma_w");

    Tape<double> tape;
    std::vector<Array<double>> leaves;
    for (const double x : values(c.policy.K)) leaves.push_back(full(1, 1, x));
    for (const double x : c.policy.log_std) leaves.push_back(full(1, 1, x));
    const auto theta = tape.parameters(leaves);
    std::vector<Var<double>> noise;
    for (const auto& each : u) noise.push_back(tape.data(each));
    const auto drawn = [&](const Array<double>& L, std::size_t first) {
      std::vector<Var<double>> x;
      for (std::size_t i = 0; i < n; ++i) {
        x.push_back(L(i, 0) * noise[first]);
        for (std::size_t j = 1; j < n; ++j) x[i] = x[i] + L(i, j) * noise[first + j];
      }
      return x;
    };
    std::vector<Var<double>> s = drawn(L0, 0);
    std::size_t next = n;
    Var<double> R = 0 * noise[0];
    for (int t = 0; t < world.T; ++t) {
      std::vector<Var<double>> a;
      for (std::size_t i = 0; i < m; ++i) {
        a.push_back(exp(theta[m * n + i]) * noise[next++]);
        for (std::size_t j = 0; j < n; ++j) a[i] = a[i] + theta[i * n + j] * s[j];
      }
      s = next_state(world, s, a);
      if (is_stochastic(world)) {
        const auto w = drawn(Lw, next);
        for (std::size_t i = 0; i < n; ++i) s[i] = s[i] + w[i];
        next += n;
      }
      R = R + std::pow(world.gamma, t) * reward(world, s, a);
    }
    const auto J = dot(R, from_values<double>(rows, 1, weight));
    expect_close(J.item(), expected_return(world, c.policy), 1e-11, "J");
    std::vector<double> pathwise;
    for (const auto& g : grad(J, theta)) pathwise.push_back(g(0, 0));
    EXPECT_LT(distance(pathwise, policy_gradient(world, c.policy)), 1e-11);
  }
}

TEST(ExactLqr, GradientsAgreeOverTheInfiniteHorizon) {
  for (std::uint32_t seed = 0; seed < 8; ++seed) {
    const int n = 1 + static_cast<int>(seed % 4), m = 1 + static_cast<int>(seed % 2);
    Case c = random_case(n, m, 10, seed % 2, seed);
    Lqg& world = c.world;
    LinearGaussianPolicy& policy = c.policy;
    world.gamma = seed % 3 == 0 ? 0.9 : 0.97;
    for (double& x : values(policy.K)) x *= 0.1;
    const std::vector<double> gradient = infinite_horizon_gradient(world, policy);
    const double J = infinite_horizon_return(world, policy);
    const Differentiated automatic = by_autodiff(world, policy, true);
    expect_close(J, automatic.J, 1e-11, "J");
    EXPECT_LT(distance(gradient, automatic.gradient), 1e-11);
    EXPECT_LT(distance(gradient, differences(policy,
                                             [&](const LinearGaussianPolicy& p) {
                                               return infinite_horizon_return(world, p);
                                             })),
              1e-8);
    world.T = 2000;  // 0.97^2000 = 3e-27
    expect_close(J, expected_return(world, policy), 1e-11, "the limit");
    EXPECT_LT(distance(gradient, policy_gradient(world, policy)), 1e-11);
  }
}

TEST(ExactLqr, InfiniteHorizonWithoutNoiseNeedsNoDiscount) {
  const Lqg world = double_integrator();
  const double quiet = -std::numeric_limits<double>::infinity();
  const LinearGaussianPolicy policy{{{-1, -3}}, {quiet}};
  const std::vector<double> gradient = infinite_horizon_gradient(world, policy);
  EXPECT_EQ(gradient[2], 0);
  const std::vector<double> numeric = differences({policy.K, {}}, [&](const LinearGaussianPolicy& p) {
    return infinite_horizon_return(world, {p.K, {quiet}});
  });
  EXPECT_LT(distance({gradient[0], gradient[1]}, numeric), 1e-8);
  EXPECT_THROW(infinite_horizon_return(world, policy_of({-1, -3}, 0.1)), Error) << "noise for ever";
  EXPECT_THROW(infinite_horizon_return(world, {{{1, 0}}, {quiet}}), Error) << "unstable";
  Lqg discounted = world;
  discounted.gamma = 0.5;
  EXPECT_NO_THROW(infinite_horizon_return(discounted, {{{1, 0}}, {quiet}})) << "stable once discounted";
}

TEST(ExactLqr, RiccatiOptimum) {
  for (std::uint32_t seed = 0; seed < 8; ++seed) {
    Lqg world = seed == 0 ? double_integrator()
                          : random_case(1 + static_cast<int>(seed % 4), 1 + static_cast<int>(seed % 2), 10,
                                        false, seed)
                                .world;
    if (seed > 3) {  // unstable without control, and beyond the discount
      for (double& x : values(world.A)) x *= 1.5;
      world.gamma = 1;
    }
    const RiccatiOptimum best = riccati_optimum(world);
    const LinearGaussianPolicy policy{
        best.K, std::vector<double>(at(world.m()), -std::numeric_limits<double>::infinity())};
    const double J = infinite_horizon_return(world, policy);
    const Array<double> P = infinite_horizon_value(world, policy).P;
    EXPECT_LT(distance({values(best.P).begin(), values(best.P).end()}, {values(P).begin(), values(P).end()}),
              1e-12);
    for (std::size_t i = 0; i < best.K.size(); ++i)
      for (const double step : {-1e-2, 1e-2}) {
        LinearGaussianPolicy other = policy;
        other.K.data()[i] += step;
        EXPECT_LE(infinite_horizon_return(world, other), J + 1e-12 * std::abs(J));
        EXPECT_GT(norm(infinite_horizon_gradient(world, other)),
                  1e3 * norm(infinite_horizon_gradient(world, policy)));
      }
  }
  Lqg hopeless = double_integrator();
  hopeless.A = {{2, 0}, {0, 1}};
  EXPECT_THROW(riccati_optimum(hopeless), std::exception) << "its first state cannot be controlled";
}

// Sampling, where tails allow.

TEST(ExactLqr, SampledEstimatesAgree) {
  constexpr int kTrajectories = 100'000;
  struct Setting {
    Lqg world;
    LinearGaussianPolicy policy;
  };
  Lqg noisy = random_lqg(2, 2, 0.8, 3, 0.9, 3);
  noisy.Sigma_w = {{0.1, 0.03}, {0.03, 0.2}};
  const std::vector<Setting> settings{{double_integrator(1, 5), policy_of({-1, -3}, 0.1)},
                                      {noisy, {{{-0.3, 0.1}, {0.2, -0.4}}, {-0.5, 0.2}}}};
  const std::vector<std::string> estimators{"togo-value", "gae:0.5"};
  int comparisons = 0;
  for (const Setting& each : settings) comparisons += 2 * each.world.m() * (each.world.n() + 1) * 2;
  const double z = limit(comparisons, kTrajectories);
  std::uint32_t index = 0;
  for (const auto& [world, policy] : settings) {
    const Case c{world, policy, {}};
    const QuadraticValues V = state_values(world, policy);
    const std::size_t n = at(world.n()), m = at(world.m()), d = m * n + m;
    std::vector<std::vector<double>> sum1(2, std::vector<double>(d)), sum2 = sum1, sum4 = sum1;
    std::vector<ExactMoments> exact;
    for (const std::string& name : estimators) exact.push_back(exact_moments(name, world, policy, V));
    for (int trajectory = 0; trajectory < kTrajectories; ++trajectory) {
      Rng rng(5, "lqg-trajectories", static_cast<std::uint32_t>(trajectory), index);
      Trajectory x{1, {reset(world, rng)}, {}, {}};
      for (int t = 0; t < world.T; ++t) {
        std::vector<double> a = mean_action(policy, x.s.back()), score(d);
        for (std::size_t i = 0; i < m; ++i) {
          const double e = rng.normal(), sigma = std::exp(policy.log_std[i]);
          a[i] += sigma * e;
          for (std::size_t j = 0; j < n; ++j) score[i * n + j] = e * x.s.back()[j] / sigma;
          score[m * n + i] = e * e - 1;
        }
        auto [next, r, terminated] = step(world, x.s.back(), a, rng);
        EXPECT_FALSE(terminated);
        x.r.push_back(r);
        x.z.push_back(std::move(score));
        x.s.push_back(std::move(next));
      }
      for (std::size_t k = 0; k < estimators.size(); ++k) {
        const std::vector<double> psi = weights_of(parse_estimator(estimators[k]), c, V, {}, x);
        for (std::size_t i = 0; i < d; ++i) {
          double g = 0;
          for (int t = 0; t < world.T; ++t) g += psi[at(t)] * x.z[at(t)][i];
          const double deviation = g - exact[k].mean[i],
                       square = deviation * deviation - exact[k].variance[i];
          sum1[k][i] += deviation;
          sum2[k][i] += square;
          sum4[k][i] += square * square;
        }
      }
    }
    for (std::size_t k = 0; k < estimators.size(); ++k)
      for (std::size_t i = 0; i < d; ++i) {
        EXPECT_LT(std::abs(sum1[k][i]), z * std::sqrt(exact[k].variance[i] * kTrajectories))
            << estimators[k] << i;
        EXPECT_LT(std::abs(sum2[k][i]), z * std::sqrt(sum4[k][i])) << estimators[k] << i;
      }
    ++index;
  }
}

// Worlds and the rest.

TEST(ExactLqr, WorldsAreWhatTheySay) {
  EXPECT_NEAR(spectral_radius(double_integrator().A), 1, 1e-12);
  EXPECT_NEAR(spectral_radius({{0, 1}, {0, 0}}), 0, 1e-300);
  EXPECT_NEAR(spectral_radius({{0.6, -0.8}, {0.8, 0.6}}), 1, 1e-14);
  EXPECT_NEAR(spectral_radius({{1, 0.1}, {-0.1, 0.7}}), 0.85 + std::sqrt(0.0225 - 0.01), 1e-13);
  for (std::uint32_t seed = 0; seed < 5; ++seed) {
    const Lqg world = random_lqg(5, 3, 0.95, seed);
    EXPECT_NEAR(spectral_radius(world.A), 0.95, 1e-13);
    EXPECT_NO_THROW(check_lqg(world));
    EXPECT_EQ(world.A, random_lqg(5, 3, 0.95, seed).A);
    EXPECT_NE(world.A, random_lqg(5, 3, 0.95, seed + 1).A);
  }
  EXPECT_EQ(single_integrator().n(), 1);

  const LqgEnvironment<2, 1> env(double_integrator(0.9, 7));
  EXPECT_EQ(env.T, 7);
  EXPECT_FALSE(env.stochastic);
  Rng rng(0, "test");
  const auto [next, r, terminated] = env.step({1, 2}, {3}, rng);
  EXPECT_NEAR(next[0], 1.2, 1e-15);
  EXPECT_NEAR(next[1], 2.3, 1e-15);
  EXPECT_NEAR(r, -(1.2 * 1.2 + 2.3 * 2.3 + 0.09), 1e-14);
  EXPECT_FALSE(terminated);
  EXPECT_THROW((LqgEnvironment<3, 1>(double_integrator())), Error);
  EXPECT_EQ(check_env(env), std::vector<std::string>{});
  Lqg noisy = random_lqg(3, 2, 0.9, 1);
  noisy.Sigma_w = noisy.Sigma_0;
  EXPECT_EQ(check_env(LqgEnvironment<3, 2>(noisy)), std::vector<std::string>{});
}

TEST(ExactLqr, BitsDoNotDependOnTheNumberOfThreads) {
  const auto [world, policy, critic] = random_case(2, 1, 60, true, 1);
  const int before = omp_get_max_threads();
  std::vector<ExactMoments> results;
  for (const int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    results.push_back(exact_moments("gae:0.95", world, policy, critic));
  }
  omp_set_num_threads(before);
  for (const ExactMoments& each : results) {
    EXPECT_EQ(each.mean, results[0].mean);
    EXPECT_EQ(each.variance, results[0].variance);
  }
}

TEST(ExactLqr, RefusesWhatDoesNotFit) {
  const Lqg world = double_integrator();
  const LinearGaussianPolicy policy = policy_of({-1, -3}, 0.1);
  const QuadraticValues V = state_values(world, policy);
  EXPECT_THROW(exact_moments("sarsa", world, policy, V), Error);
  EXPECT_THROW(exact_moments("td", double_integrator(1, 9), policy, V), Error);
  EXPECT_THROW(exact_moments("td", world, {policy.K, {-std::numeric_limits<double>::infinity()}}, V), Error);
  EXPECT_THROW(policy_gradient(world, {{{1.0}}, {0.0}}), Error);
  EXPECT_THROW(reinforce_moments(world, policy, {0.0}), Error);
  EXPECT_THROW(value(V, 11, std::vector<double>{0, 0}), std::exception);
  Lqg bad = world;
  bad.Sigma_0 = {{1, 2}, {2, 1}};
  EXPECT_THROW(expected_return(bad, policy), Error);
  bad = world;
  bad.Q_s(0, 1) = 1;
  EXPECT_THROW(expected_return(bad, policy), Error);
  bad = world;
  bad.gamma = 1.5;
  EXPECT_THROW(expected_return(bad, policy), Error);
  Lqg explosive = double_integrator(1, 100);
  for (double& x : values(explosive.A)) x *= 1e5;
  EXPECT_THROW(state_values(explosive, policy), NumericalFault);
}

}  // namespace
}  // namespace lowvar
