// On 100 Garnets: three routes to the gradient, two to the moments of every estimator, and sampling.
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>

#include "algorithms/exact/dynamic_programming.h"
#include "algorithms/exact/enumeration.h"
#include "algorithms/exact/tabular.h"
#include "autograd/autograd.h"
#include "core/blas.h"
#include "sampled_against_exact.h"

namespace lowvar {
namespace {

constexpr int kCases = 100;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

struct Case {
  Mdp mdp;
  Array<double> logits, pi;
  Array<double> values;  // an arbitrary critic
};

/// Small enough to enumerate.
Case make_case(int i) {
  const int S = 2 + i % 4, A = 2 + i % 2, B = std::min(S, 1 + i % 3);
  Mdp mdp = garnet(S, A, B, static_cast<std::uint64_t>(i));
  mdp.gamma = 0.5 + 0.005 * i;
  mdp.T = 2 + i / 3 % 3;
  while (S * std::pow(A * B, mdp.T) > 2500) --mdp.T;
  Rng rng(1, "three-routes", static_cast<std::uint32_t>(i));
  Array<double> logits = zeros<double>(S, A), pi = logits, values = zeros<double>(mdp.T + 1, S);
  for (double& x : lowvar::values(logits)) x = rng.normal();
  for (double& x : lowvar::values(values)) x = rng.normal();
  for (int s = 0; s < S; ++s) {
    double sum = 0;
    for (int a = 0; a < A; ++a) sum += std::exp(logits(s, a));
    for (int a = 0; a < A; ++a) pi(s, a) = std::exp(logits(s, a)) / sum;
  }
  return {std::move(mdp), std::move(logits), std::move(pi), std::move(values)};
}

/// The outcomes of an MDP in rows: from, action, next; P and R [rows x 1].
struct Rows {
  std::vector<int> from, action, next;
  Array<double> P, R;
  explicit Rows(const Mdp& mdp) {
    std::vector<double> p, r;
    for (int s = 0; s < mdp.S; ++s)
      for (int a = 0; a < mdp.A; ++a)
        for (const Outcome& o : mdp.outcomes(s, a)) {
          from.push_back(s), action.push_back(a), next.push_back(o.next);
          p.push_back(o.probability), r.push_back(o.reward);
        }
    P = from_values<double>(static_cast<int>(p.size()), 1, p);
    R = from_values<double>(static_cast<int>(r.size()), 1, r);
  }
  /// pi(a|s) P(s'|s,a) of each row.
  Var<double> weights(Var<double> logits) const { return pick(gather(softmax(logits), from), action) * P; }
};

std::vector<double> list(const Array<double>& g) { return {values(g).begin(), values(g).end()}; }

/// Autodiff through V_t = E[r + gamma V_{t+1}(s')], unrolled.
std::vector<double> autodiff_unrolled(const Case& c) {
  const Rows rows(c.mdp);
  const Array<double> start = from_values<double>(c.mdp.S, 1, c.mdp.start);
  return list(grad(
      [&](Var<double> logits) {
        const Var<double> w = rows.weights(logits);
        Var<double> V = scatter_add(w * rows.R, rows.from, c.mdp.S);
        for (int t = 1; t < c.mdp.T; ++t)
          V = scatter_add(w * (rows.R + c.mdp.gamma * gather(V, rows.next)), rows.from, c.mdp.S);
        return dot(V, start);
      },
      c.logits));
}

/// Autodiff through V = (I - gamma P_pi)^{-1} r_pi. By the implicit function theorem dJ is the derivative of
/// lambda' (r_pi + gamma P_pi V) with V and lambda = (I - gamma P_pi)^{-T} start held fixed.
std::vector<double> autodiff_linear_solve(const Case& c) {
  const Mdp& mdp = c.mdp;
  const Rows rows(mdp);
  Array<double> transposed = zeros<double>(mdp.S, mdp.S), lambda = from_values<double>(mdp.S, 1, mdp.start);
  for (int s = 0; s < mdp.S; ++s) transposed(s, s) = 1;
  for (std::size_t i = 0; i < rows.from.size(); ++i)
    transposed(rows.next[i], rows.from[i]) -= mdp.gamma * c.pi(rows.from[i], rows.action[i]) * rows.P(i, 0);
  solve(mdp.S, 1, transposed.data(), lambda.data());
  const std::vector<double> V = stationary_values(mdp, c.pi);
  Array<double> target = zeros_like(rows.R);  // lambda(s) (r + gamma V(s'))
  for (std::size_t i = 0; i < rows.from.size(); ++i)
    target(i, 0) = lambda(rows.from[i], 0) * (rows.R(i, 0) + mdp.gamma * V[at(rows.next[i])]);
  return list(grad([&](Var<double> logits) { return dot(rows.weights(logits), target); }, c.logits));
}

/// sum over trajectories of probability x return x score.
std::vector<double> enumerated(const Case& c) {
  return enumerate("reinforce", c.mdp, c.pi, c.pi, c.values).mean;
}

/// Largest difference, relative to the largest component.
double distance(const std::vector<double>& x, const std::vector<double>& y) {
  double away = 0, scale = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    away = std::max(away, std::abs(x[i] - y[i]));
    scale = std::max(scale, std::abs(y[i]));
  }
  return away / scale;
}

/// For problems so small that a team would only wait for its members.
struct OneThread {
  int before = omp_get_max_threads();
  OneThread() { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before); }
};

constexpr double kGradient = 1e-10, kMoments = 1e-9;

TEST(ThreeRoutes, ToTheGradientOfAFiniteHorizon) {
  for (int i = 0; i < kCases; ++i) {
    const Case c = make_case(i);
    const std::vector<double> theorem = policy_gradient(c.mdp, c.pi);
    EXPECT_LT(distance(autodiff_unrolled(c), theorem), kGradient) << i;
    EXPECT_LT(distance(enumerated(c), theorem), kGradient) << i;
  }
}

TEST(ThreeRoutes, ToTheGradientOfAnInfiniteHorizon) {
  for (int i = 0; i < kCases; ++i) {
    Case c = make_case(i);
    c.mdp.T = static_cast<int>(std::ceil(-36 / std::log(c.mdp.gamma)));  // gamma^T < 1e-15
    const std::vector<double> implicit = autodiff_linear_solve(c);
    EXPECT_LT(distance(policy_gradient(c.mdp, c.pi), implicit), kGradient) << i;
    EXPECT_LT(distance(autodiff_unrolled(c), implicit), kGradient) << i;
  }
}

TEST(ThreeRoutes, PlantedFaultsAreNoticed) {
  for (int i = 0; i < kCases; ++i) {
    const Case c = make_case(i);
    const std::vector<double> theorem = policy_gradient(c.mdp, c.pi);
    Case wrong = c;
    wrong.mdp.gamma *= 1 - 1e-6;
    EXPECT_GT(distance(autodiff_unrolled(wrong), theorem), 10 * kGradient) << "discount, " << i;
    wrong = c;
    wrong.logits(0, 0) += 1e-6;
    EXPECT_GT(distance(autodiff_unrolled(wrong), theorem), 10 * kGradient) << "policy, " << i;
    wrong = c;
    wrong.mdp.outcome_list.back().reward *= 1 + 1e-4;
    EXPECT_GT(distance(enumerated(wrong), theorem), 10 * kGradient) << "reward, " << i;
    const auto undiscounted = enumerate("togo+undiscounted", c.mdp, c.pi, c.pi, c.values).mean;
    EXPECT_GT(distance(undiscounted, theorem), 10 * kGradient) << "gamma^t, " << i;
    EXPECT_GT(distance(autodiff_linear_solve(c), theorem), 10 * kGradient) << "horizon, " << i;
  }
}

TEST(TwoRoutes, ToBiasAndVarianceOfEveryEstimator) {
  const OneThread alone;
  int biased = 0;
  for (int i = 0; i < kCases; ++i) {
    const Case c = make_case(i);
    const std::vector<double> gradient = policy_gradient(c.mdp, c.pi);
    double norm = 0;
    for (const double g : gradient) norm += g * g;
    norm = std::sqrt(norm);
    for (const std::string& name : zoo()) {
      const ExactMoments recursion = exact_moments(name, c.mdp, c.pi, c.values);
      const Enumeration all = enumerate(name, c.mdp, c.pi, c.pi, c.values);
      EXPECT_LT(distance(recursion.variance, all.variance), kMoments) << name << ", " << i;
      const double bias = bias_norm(recursion, gradient);
      EXPECT_NEAR(bias, bias_norm({all.mean, {}}, gradient), kMoments * (bias + norm)) << name << ", " << i;
      biased += bias > 0.01 * norm;
    }
  }
  EXPECT_GT(biased, kCases) << "the critic is arbitrary";
}

/// Every estimator on trajectories of three of the MDPs, against the moments that both routes above agree on.
TEST(Sampling, AgreesWithBothRoutes) {
  const OneThread alone;
  // compare() gives 1e-6 to each of its two families; three times two share it here.
  const double shared = limit(6, 1e9) / limit(1, 1e9);
  for (const int i : {5, 38, 87}) {
    const Case c = make_case(i);
    const World world = tabular_world("garnet", c.mdp);
    const PolicyChoice choice{make_policy(world, "uniform").policy, {c.logits}};
    const auto sampled = [&](const std::vector<std::string>& names, const std::vector<std::string>& asked) {
      std::vector<Estimator> estimators;
      for (const std::string& name : names) estimators.push_back(make_estimator(name));
      return compare(world, choice, "scaled:0.5", estimators, asked, 100'000, 40);
    };
    const Deviation d = sampled(zoo(), zoo());
    EXPECT_LT(d.mean, shared) << d.worst_mean;
    EXPECT_LT(d.variance, shared) << d.worst_variance;
    const Deviation wrong = sampled({"gae:0.95", "td"}, {"td", "gae:0.95"});
    EXPECT_GT(std::max(wrong.mean, wrong.variance), shared) << "planted";
  }
}

}  // namespace
}  // namespace lowvar
