#include "algorithms/exact/quadrature.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "algorithms/exact/gauss_legendre.h"
#include "core/error.h"

namespace lowvar {
namespace {

constexpr double kReach = 14;  // in standard deviations; exp(-14^2 / 2) = 3e-43

double density(double u) { return std::exp(-u * u / 2) / std::sqrt(2 * std::numbers::pi); }

using Node = QuadratureNode;

/// Nodes on [low, high], cut at the breaks and into pieces of at most `piece`.
std::vector<Node> piecewise_rule(double low, double high, const std::vector<double>& breaks, double piece) {
  std::vector<double> cuts{low};
  for (const double b : breaks)
    if (b > low && b < high) cuts.push_back(b);
  cuts.push_back(high);
  std::vector<Node> rule;
  for (std::size_t c = 0; c + 1 < cuts.size(); ++c) {
    const int pieces = static_cast<int>(std::ceil((cuts[c + 1] - cuts[c]) / piece));
    const double half = (cuts[c + 1] - cuts[c]) / pieces / 2;
    for (int i = 0; i < pieces; ++i)
      for (const Node& node : gauss_legendre())
        rule.push_back({cuts[c] + half * (2 * i + 1 + node.x), half * node.weight});
  }
  return rule;
}

/// Nodes u with weights that include the normal density.
std::vector<Node> normal_rule(const std::vector<double>& breaks) {
  std::vector<Node> rule;
  if (breaks.empty()) {
    constexpr int steps_per_unit = 512;
    constexpr int steps = static_cast<int>(kReach) * steps_per_unit;
    for (int i = -steps; i <= steps; ++i) rule.push_back({i * 1.0 / steps_per_unit, 1.0 / steps_per_unit});
  } else {
    rule = piecewise_rule(-kReach, kReach, breaks, 0.5);
  }
  for (Node& node : rule) node.weight *= density(node.x);
  return rule;
}

void check(const Integrand& objective, double sigma) {
  expect(sigma > 0, "sigma must be positive, got ", sigma);
  expect(std::is_sorted(objective.breaks.begin(), objective.breaks.end()),
         "the breaks of an objective must increase");
}

/// The breaks in u = (x - mu) / sigma.
std::vector<double> standardised(const Integrand& objective, double mu, double sigma) {
  std::vector<double> breaks = objective.breaks;
  for (double& b : breaks) b = (b - mu) / sigma;
  return breaks;
}

/// sigma times the score at u.
double scaled_score(double u, GaussianParameter theta) {
  return theta == GaussianParameter::mu ? u : u * u - 1;
}

ScalarMoments measure_valued_mu(const Integrand& o, double mu, double sigma) {
  std::vector<double> breaks = standardised(o, mu, sigma);
  for (double& b : breaks) b = std::abs(b);
  std::sort(breaks.begin(), breaks.end());
  double first = 0, second = 0;
  for (const auto& [u, weight] : piecewise_rule(0, kReach, breaks, 0.5)) {
    const double w = weight * u * std::exp(-u * u / 2);
    const double g = (o.f(mu + sigma * u) - o.f(mu - sigma * u)) / (sigma * std::sqrt(2 * std::numbers::pi));
    first += w * g;
    second += w * g * g;
  }
  return {first, second - first * first};
}

ScalarMoments measure_valued_sigma(const Integrand& o, double mu, double sigma) {
  std::vector<double> breaks = standardised(o, mu, sigma);
  if (!std::binary_search(breaks.begin(), breaks.end(), 0.0))
    breaks.insert(std::upper_bound(breaks.begin(), breaks.end(), 0.0), 0.0);
  double first = 0, second = 0;
  for (const auto& [v, weight] : piecewise_rule(-kReach, kReach, breaks, 0.5)) {
    const double f = o.f(mu + sigma * v);
    double inner = 0, inner2 = 0;
    for (const auto& [y, dy] : piecewise_rule(std::min(v, 0.0), std::max(v, 0.0), breaks, 1)) {
      const double g = (f - o.f(mu + sigma * y)) / sigma;
      inner += dy / std::abs(v) * g;
      inner2 += dy / std::abs(v) * g * g;
    }
    first += weight * density(v) * v * v * inner;
    second += weight * density(v) * v * v * inner2;
  }
  return {first, second - first * first};
}

}  // namespace

Integrand heaviside_objective() {
  return {[](double x) { return heaviside(x); }, [](double) { return 0.0; }, {0.0}};
}

Integrand ball_and_wall_objective(const BallAndWall& world, double mu, double sigma) {
  return {[world](double x) { return reward(world, x); },
          [world](double x) { return reward_slope(world, x); },
          breaks(world, mu - kReach * sigma, mu + kReach * sigma)};
}

double normal_expectation(const std::function<double(double)>& h, const std::vector<double>& breaks) {
  double sum = 0;
  for (const auto& [u, w] : normal_rule(breaks)) sum += w * h(u);
  return sum;
}

ScoreFunctionMoments score_function_moments(const Integrand& objective, double mu, double sigma,
                                            GaussianParameter theta) {
  check(objective, sigma);
  const std::vector<Node> rule = normal_rule(standardised(objective, mu, sigma));
  std::vector<double> f, s;
  for (const auto& [u, w] : rule) {
    f.push_back(objective.f(mu + sigma * u));
    s.push_back(scaled_score(u, theta) / sigma);
  }
  const auto expectation = [&](auto&& h) {
    double sum = 0;
    for (std::size_t i = 0; i < rule.size(); ++i) sum += rule[i].weight * h(f[i], s[i]);
    return sum;
  };
  ScoreFunctionMoments m{};
  m.score_norm2 = (theta == GaussianParameter::mu ? 1 : 2) / (sigma * sigma);
  m.F = expectation([](double fx, double) { return fx; });
  m.gradient = expectation([&](double fx, double sx) { return (fx - m.F) * sx; });
  m.b_star = m.F + expectation([&](double fx, double sx) { return (fx - m.F) * sx * sx; }) / m.score_norm2;
  m.optimal_variance = expectation([&](double fx, double sx) {
    const double deviation = (fx - m.b_star) * sx - m.gradient;
    return deviation * deviation;
  });
  return m;
}

ScalarMoments pathwise_moments(const Integrand& objective, double mu, double sigma, GaussianParameter theta) {
  check(objective, sigma);
  const std::vector<Node> rule = normal_rule(standardised(objective, mu, sigma));
  std::vector<double> g;
  for (const auto& [u, w] : rule)
    g.push_back(objective.df(mu + sigma * u) * (theta == GaussianParameter::mu ? 1 : u));
  ScalarMoments m{0, 0};
  for (std::size_t i = 0; i < rule.size(); ++i) m.mean += rule[i].weight * g[i];
  for (std::size_t i = 0; i < rule.size(); ++i)
    m.variance += rule[i].weight * (g[i] - m.mean) * (g[i] - m.mean);
  return m;
}

ScalarMoments measure_valued_moments(const Integrand& objective, double mu, double sigma,
                                     GaussianParameter theta) {
  check(objective, sigma);
  return theta == GaussianParameter::mu ? measure_valued_mu(objective, mu, sigma)
                                        : measure_valued_sigma(objective, mu, sigma);
}

}  // namespace lowvar
