// Quadrature oracles of one-dimensional gradient estimators against published numbers, closed forms and
// sampling.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numbers>

#include "algorithms/exact/quadrature.h"
#include "autograd/autograd.h"
#include "core/error.h"
#include "core/random.h"
#include "tests/statistics.h"

namespace lowvar {
namespace {

using Json = nlohmann::json;
constexpr double kPi = std::numbers::pi;

Json reference(const std::string& group) {
  std::ifstream in(std::string(LOWVAR_TEST_DATA) + "/reference_values.json");
  return Json::parse(in).at(group);
}

/// Within tolerance of the expected number, or of 1 where that is 0 (or meant to be).
void expect_close(double value, double expected, double tolerance, const std::string& what) {
  const double scale = std::abs(expected) < 1e-14 ? 1 : std::abs(expected);
  EXPECT_NEAR(value, expected, tolerance * scale) << what;
}

/// The families of Mohamed et al. 2020, figures 2 and 3.
Integrand family(const std::string& name, double k) {
  if (name == "quad")
    return {[k](double x) { return (x - k) * (x - k); }, [k](double x) { return 2 * (x - k); }, {}};
  if (name == "exp")
    return {[k](double x) { return std::exp(-k * x * x); },
            [k](double x) { return -2 * k * x * std::exp(-k * x * x); },
            {}};
  return {[k](double x) { return std::cos(k * x); }, [k](double x) { return -k * std::sin(k * x); }, {}};
}

GaussianParameter parameter(const std::string& name) {
  return name == "mu" ? GaussianParameter::mu : GaussianParameter::sigma;
}

TEST(Quadrature, NormalMoments) {
  double moment = 1;  // E u^2k = 1 3 5 ..
  for (int k = 0; k <= 6; ++k) {
    const auto power = [k](double u) { return std::pow(u, 2 * k); };
    expect_close(normal_expectation(power), moment, 1e-13, "trapezoid");
    expect_close(normal_expectation(power, {-0.3, 1.7}), moment, 1e-13, "pieces");
    moment *= 2 * k + 1;
  }
  const auto step = [](double u) { return u > 0.7 ? 1.0 : 0.0; };
  const double tail = std::erfc(0.7 / std::sqrt(2)) / 2;
  expect_close(normal_expectation(step, {0.7}), tail, 1e-13, "a jump");
  EXPECT_GT(std::abs(normal_expectation(step) - tail), 1e-6) << "a jump that nobody was told of";
}

class MohamedTest : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Parameters, MohamedTest, testing::Values("mu", "sigma"));

TEST_P(MohamedTest, HasItsPublishedMoments) {
  constexpr double tolerance = 1e-10;
  const Json v = reference("mohamed")["values"];
  const GaussianParameter theta = parameter(GetParam());
  int entries = 0;
  for (const auto& [key, both] : v.items()) {
    if (!both.contains(GetParam())) continue;
    const Json& expected = both[GetParam()];
    const Integrand f = family(key.substr(0, key.find('_')), std::stod(key.substr(key.find('=') + 1)));
    const ScoreFunctionMoments m = score_function_moments(f, 1, 1, theta);
    const ScalarMoments pathwise = pathwise_moments(f, 1, 1, theta),
                        measure = measure_valued_moments(f, 1, 1, theta);
    expect_close(m.gradient, expected["grad"], tolerance, key + " grad");
    expect_close(m.variance(0), expected["SF"], tolerance, key + " SF");
    expect_close(m.variance(m.F), expected["SF_b_Ef"], tolerance, key + " SF_b_Ef");
    expect_close(m.optimal_variance, expected["SF_bstar"], tolerance, key + " SF_bstar");
    expect_close(m.b_star, expected["bstar"], tolerance, key + " bstar");
    expect_close(pathwise.variance, expected["pathwise"], tolerance, key + " pathwise");
    expect_close(measure.variance, expected["MVD"], tolerance, key + " MVD");
    expect_close(pathwise.mean, m.gradient, tolerance, key + " pathwise is unbiased");
    expect_close(measure.mean, m.gradient, tolerance, key + " MVD is unbiased");
    ++entries;
  }
  EXPECT_EQ(entries, 11);
}

/// The zero of an increasing function between low and high.
template <class F>
double bisect(F&& f, double low, double high) {
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (f(middle) > 0 ? high : low) = middle;
  }
  return (low + high) / 2;
}

TEST_P(MohamedTest, PathwiseMeetsTheScoreFunctionWhereItShould) {
  const Json v = reference("mohamed")["crossings"];
  const GaussianParameter theta = parameter(GetParam());
  for (const std::string name : {"cos", "exp"})
    for (const bool optimal : {false, true}) {
      const double k = bisect(
          [&](double each) {
            const Integrand f = family(name, each);
            const ScoreFunctionMoments m = score_function_moments(f, 1, 1, theta);
            return pathwise_moments(f, 1, 1, theta).variance - (optimal ? m.optimal_variance : m.variance(0));
          },
          0.2, 2);
      expect_close(k, v[name + "_" + GetParam()][optimal ? 1 : 0], 1e-10, name);
    }
}

/// Closed forms for exp(-k x^2) at any mu and sigma: the trapezoid rule holds where Gauss-Hermite is 5 % off.
TEST(Quadrature, PeakedObjectives) {
  for (const double k : {0.1, 10.0, 1000.0})
    for (const double mu : {1.0, -0.4})
      for (const double sigma : {1.0, 0.3, 2.0}) {
        const double width = 1 + 2 * k * sigma * sigma;
        const double F = std::exp(-k * mu * mu / width) / std::sqrt(width);
        const ScoreFunctionMoments m =
            score_function_moments(family("exp", k), mu, sigma, GaussianParameter::mu);
        EXPECT_NEAR(m.F, F, 1e-13);
        EXPECT_NEAR(m.gradient, -2 * k * mu / width * F, 1e-12);
        EXPECT_NEAR(score_function_moments(family("exp", k), mu, sigma, GaussianParameter::sigma).gradient,
                    (4 * k * k * mu * mu / width - 2 * k) * sigma / width * F, 1e-12);
      }
}

TEST(Quadrature, MeasureValuedEstimatesAgreeWithSampling) {
  constexpr int kSamples = 400'000;
  const double mu = 0.3, sigma = 0.8;
  const Integrand f = family("cos", 2);
  for (const GaussianParameter theta : {GaussianParameter::mu, GaussianParameter::sigma}) {
    const ScalarMoments exact = measure_valued_moments(f, mu, sigma, theta);
    double sum1 = 0, sum2 = 0, sum4 = 0;
    for (int i = 0; i < kSamples; ++i) {
      Rng rng(3, "measure-valued", static_cast<std::uint32_t>(i));
      double g;
      if (theta == GaussianParameter::mu) {
        const double u = std::sqrt(-2 * std::log(1 - rng.uniform()));
        g = (f.f(mu + sigma * u) - f.f(mu - sigma * u)) / (sigma * std::sqrt(2 * kPi));
      } else {
        const double x = rng.normal(), y = rng.normal(), z = rng.normal();
        const double v = std::copysign(std::sqrt(x * x + y * y + z * z), rng.uniform() - 0.5);
        g = (f.f(mu + sigma * v) - f.f(mu + sigma * v * rng.uniform())) / sigma;
      }
      const double d = g - exact.mean, square = d * d - exact.variance;
      sum1 += d;
      sum2 += square;
      sum4 += square * square;
    }
    const double z = limit(4, kSamples);
    EXPECT_LT(std::abs(sum1), z * std::sqrt(exact.variance * kSamples));
    EXPECT_LT(std::abs(sum2), z * std::sqrt(sum4));
  }
}

TEST(Quadrature, HeavisideHasItsPublishedMoments) {
  constexpr double sigma = 0.2, tolerance = 1e-11;
  const Integrand f = heaviside_objective();
  const Json values = reference("suh_heaviside")["values"];
  EXPECT_EQ(values.size(), 4u);
  for (const auto& [key, expected] : values.items()) {
    const double theta = std::stod(key);
    const ScoreFunctionMoments m = score_function_moments(f, theta, sigma, GaussianParameter::mu);
    expect_close(m.F, expected["F"], tolerance, key);
    expect_close(m.gradient, expected["grad"], tolerance, key);
    expect_close(m.variance(f.f(theta)), expected["var_zero_noise_baseline"], tolerance, key);
    expect_close(m.variance(0), expected["var_b0"], tolerance, key);
    const ScalarMoments first_order = pathwise_moments(f, theta, sigma, GaussianParameter::mu);
    EXPECT_EQ(first_order.mean, 0);
    EXPECT_EQ(first_order.variance, 0);
    expect_close(measure_valued_moments(f, theta, sigma, GaussianParameter::mu).mean, expected["grad"],
                 tolerance, key);

    // With z = |theta| / sigma: Var = (z phi(z) + 1 - Phi(z) - phi(z)^2) / sigma^2.
    const double z = theta / sigma, phi = std::exp(-z * z / 2) / std::sqrt(2 * kPi);
    const double closed = (z * phi + std::erfc(z / std::sqrt(2)) / 2 - phi * phi) / (sigma * sigma);
    expect_close(m.variance(f.f(theta)), closed, tolerance, key);
    const ScoreFunctionMoments mirror = score_function_moments(f, -theta, sigma, GaussianParameter::mu);
    if (theta > 0) expect_close(mirror.variance(f.f(-theta)), closed, tolerance, key);
  }
}

TEST(Quadrature, BallAndWallHasItsPublishedMoments) {
  constexpr double sigma = 0.05, tolerance = 1e-9;
  const Json values = reference("suh_ball_wall")["values"];
  EXPECT_EQ(values.size(), 4u);
  for (const auto& [key, expected] : values.items()) {
    const double theta = std::stod(key);
    const Integrand f = ball_and_wall_objective({}, theta, sigma);
    const ScoreFunctionMoments m = score_function_moments(f, theta, sigma, GaussianParameter::mu);
    const ScalarMoments first = pathwise_moments(f, theta, sigma, GaussianParameter::mu);
    expect_close(m.F, expected["F"], tolerance, key + " F");
    expect_close(m.gradient, expected["grad"], tolerance, key + " grad");
    expect_close(first.mean, expected["FoBG"], tolerance, key + " FoBG");
    expect_close(first.mean - m.gradient, expected["bias"], tolerance, key + " bias");
    expect_close(first.variance, expected["VarF"], tolerance, key + " VarF");
    expect_close(m.variance(0), expected["VarZ_b0"], tolerance, key + " VarZ_b0");
    expect_close(m.variance(f.f(theta)), expected["VarZ_zero_noise_baseline"], tolerance,
                 key + " zero noise");
    expect_close(m.variance(m.F), expected["VarZ_bF"], tolerance, key + " VarZ_bF");
    expect_close(m.optimal_variance, expected["VarZ_bstar"], tolerance, key + " VarZ_bstar");
    expect_close(measure_valued_moments(f, theta, sigma, GaussianParameter::mu).mean, m.gradient, tolerance,
                 key + " MVD");
  }
}

TEST(Quadrature, BallAndWallKnowsItsBreaks) {
  const BallAndWall world;
  const std::vector<double> angles = breaks(world, 0, kPi / 2);
  ASSERT_EQ(angles.size(), 4u);
  const std::vector<double> published{0.314663, 0.693204, 1.199343, 1.256133};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(angles[i], published[i], 5e-7);
  EXPECT_EQ(breaks(world, -kPi, 2 * kPi).size(), 12u);
  constexpr double h = 1e-9;
  const auto gap = [&](double angle) {
    return std::abs(landing_point(world, angle + h) - landing_point(world, angle - h));
  };
  EXPECT_LT(gap(angles[0]), 1e-8);
  EXPECT_GT(gap(angles[1]), 0.03);
  EXPECT_GT(gap(angles[2]), 0.005);
  EXPECT_LT(gap(angles[3]), 1e-8);
  EXPECT_EQ(landing_point(world, 0.5), world.d);
}

/// The templates on Vars, one row for each angle.
TEST(Quadrature, SlopesAreThoseOfTheDynamics) {
  const BallAndWall world;
  const int n = 181;
  Array<double> theta = zeros<double>(n, 1);
  for (int i = 0; i < n; ++i) theta(i, 0) = -0.5 + 0.0137 * i;
  const Array<double> slope = grad([&](Var<double> t) { return sum(reward(world, t)); }, theta);
  for (int i = 0; i < n; ++i)
    EXPECT_NEAR(slope(i, 0), reward_slope(world, theta(i, 0)), 1e-14) << theta(i, 0);
  Tape<double> tape;
  const auto t = tape.parameter(theta);
  EXPECT_EQ(grad(sum(heaviside(t) * t), t)(0, 0), 0);
  EXPECT_EQ(grad(sum(heaviside(t) * t), t)(n - 1, 0), 1);
}

/// The pathwise estimate itself: a gradient through the dynamics for each sample.
TEST(Quadrature, AutodiffThroughTheDynamicsHasTheOraclesMoments) {
  const BallAndWall world;
  constexpr int n = 100'000;
  constexpr double sigma = 0.05;
  const double z = limit(8, n);
  for (const double theta : {0.3, 0.6, 0.7, 1.2}) {
    Array<double> angle = zeros<double>(n, 1);
    Rng rng(7, "ball and wall");
    for (int i = 0; i < n; ++i) angle(i, 0) = theta + sigma * rng.normal();
    const Array<double> g = grad([&](Var<double> x) { return sum(reward(world, x)); }, angle);
    double mean = 0, square = 0, fourth = 0;
    for (const double x : values(g)) mean += x / n;
    for (const double x : values(g)) square += std::pow(x - mean, 2) / n, fourth += std::pow(x - mean, 4) / n;

    const Integrand f = ball_and_wall_objective(world, theta, sigma);
    const ScalarMoments exact = pathwise_moments(f, theta, sigma, GaussianParameter::mu);
    const double error = std::sqrt(exact.variance / n);
    EXPECT_NEAR(mean, exact.mean, z * error) << theta;
    EXPECT_NEAR(square, exact.variance, z * std::sqrt((fourth - square * square) / n)) << theta;
    // What the jumps contribute is missing from it.
    const double gradient = score_function_moments(f, theta, sigma, GaussianParameter::mu).gradient;
    if (theta != 0.3) {
      EXPECT_GT(std::abs(mean - gradient), 20 * error) << theta;
    }
  }
}

TEST(Quadrature, PlantedErrorsAreNoticed) {
  const Integrand f = family("cos", 2);
  const ScoreFunctionMoments m = score_function_moments(f, 0.5, 1, GaussianParameter::mu);
  EXPECT_GT(std::abs(m.variance(-m.b_star) / m.optimal_variance - 1), 1e-2) << "wrong sign of the baseline";
  // The published moments of the ball do not come out of a rule that does not know the breaks.
  Integrand ball = ball_and_wall_objective({}, 0.6, 0.05);
  const double truth = score_function_moments(ball, 0.6, 0.05, GaussianParameter::mu).gradient;
  ball.breaks.clear();
  EXPECT_GT(std::abs(score_function_moments(ball, 0.6, 0.05, GaussianParameter::mu).gradient / truth - 1),
            1e-6);
  // Independent instead of coupled pairs have another variance.
  const ScalarMoments coupled = measure_valued_moments(f, 0.5, 1, GaussianParameter::mu);
  const auto one_sided = [&](double sign, int power) {
    return normal_expectation(
        [&](double u) {
          return u <= 0 ? 0
                        : std::sqrt(2 * kPi) * u * std::pow(f.f(0.5 + sign * u) / std::sqrt(2 * kPi), power);
        },
        {0.0});
  };
  double independent = 0;
  for (const double sign : {1.0, -1.0})
    independent += one_sided(sign, 2) - one_sided(sign, 1) * one_sided(sign, 1);
  EXPECT_GT(std::abs(independent / coupled.variance - 1), 1e-2);
}

TEST(Quadrature, RefusesWhatHasNoDensity) {
  const Integrand f = family("cos", 1);
  EXPECT_THROW(score_function_moments(f, 0, 0, GaussianParameter::mu), Error);
  EXPECT_THROW(pathwise_moments({f.f, f.df, {1, 0}}, 0, 1, GaussianParameter::mu), Error);
}

}  // namespace
}  // namespace lowvar
