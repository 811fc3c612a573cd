// The noisy circle map against values that were computed elsewhere, by another method; against itself on a
// finer grid; against sampled trajectories; and its two gradients against each other.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numbers>

#include "algorithms/exact/noisy_circle.h"
#include "core/error.h"
#include "core/random.h"
#include "statistics.h"

namespace lowvar {
namespace {

constexpr double two_pi = 2 * std::numbers::pi;

TEST(NoisyCircle, HasTheMomentsThatWereComputedElsewhere) {
  const auto all = nlohmann::json::parse(std::ifstream(LOWVAR_TEST_DATA "/reference_values2.json"));
  int compared = 0;
  for (const auto& [key, rows] : all.at("chaos").items()) {
    if (key == "_definition") continue;
    const auto moments = circle_moments({.K = std::stod(key)}, 30);
    ASSERT_EQ(rows.size(), moments.size());
    for (std::size_t t = 0; t < moments.size(); ++t) {
      const auto near = [&](double got, const char* name) {
        const double want = rows[t].at(name);
        EXPECT_NEAR(got, want, 1e-10 * std::max(1.0, std::abs(want))) << "K " << key << ", step " << t + 1;
        ++compared;
      };
      near(moments[t].J, "J");
      near(moments[t].pathwise_mean, "grad_path");
      near(moments[t].score_mean, "grad_score");
      near(moments[t].pathwise_variance, "var_path");
      near(moments[t].score_variance(0), "var_score");
      near(moments[t].score_optimal_variance, "var_score_bstar");
      near(moments[t].score_norm2, "ES2");
    }
  }
  EXPECT_EQ(compared, 3 * 30 * 7);
}

TEST(NoisyCircle, IsExactOnItsGrid) {
  for (const double K : {0.5, 2.0, 6.0}) {
    const auto coarse = circle_moments({.K = K}, 12), fine = circle_moments({.K = K}, 12, 512);
    for (std::size_t t = 0; t < coarse.size(); ++t) {
      EXPECT_NEAR(fine[t].pathwise_variance / coarse[t].pathwise_variance, 1, 1e-12);
      EXPECT_NEAR(fine[t].score_optimal_variance / coarse[t].score_optimal_variance, 1, 1e-12);
      EXPECT_NEAR(coarse[t].pathwise_mean, coarse[t].score_mean, 1e-10);
    }
  }
  // Noise that goes round the circle several times.
  const auto wide = circle_moments({.K = 1, .theta = 0.3, .sigma = 1.5}, 2);
  EXPECT_NEAR(wide[1].score_norm2, 2 / (1.5 * 1.5), 1e-12);
  EXPECT_NEAR(wide[1].pathwise_mean, wide[1].score_mean, 1e-12);
  EXPECT_THROW(circle_moments({.K = 1, .sigma = 0}, 2), Error);
  EXPECT_THROW(circle_moments({.K = 1}, 0), Error);
}

TEST(NoisyCircle, SampledTrajectoriesHaveItsMoments) {
  constexpr int n = 200'000, H = 3;
  const NoisyCircle circle{.K = 1.5, .theta = 0.2, .sigma = 0.15};
  const CircleMoments exact = circle_moments(circle, H).back();
  double sums[3] = {}, squares[3] = {}, fourths[3] = {};
  const double means[3] = {exact.J, exact.pathwise_mean, exact.score_mean};
  for (std::uint32_t i = 0; i < n; ++i) {
    Rng rng(1, "circle", i);
    double x = rng.uniform(), D = 0, S = 0;
    for (int t = 0; t < H; ++t) {
      const double xi = rng.normal();
      D = (1 + circle.K * std::cos(two_pi * x)) * D + 1;
      S += xi / circle.sigma;
      x += circle.theta + circle.K / two_pi * std::sin(two_pi * x) + circle.sigma * xi;
    }
    const double f = std::cos(two_pi * x), g[3] = {f, -two_pi * std::sin(two_pi * x) * D, (f - exact.J) * S};
    for (int k = 0; k < 3; ++k) {
      const double deviation = g[k] - means[k];
      sums[k] += deviation / n, squares[k] += deviation * deviation / n;
      fourths[k] += std::pow(deviation, 4) / n;
    }
  }
  const double z = limit(5, n);
  for (int k = 0; k < 3; ++k) EXPECT_LT(std::abs(sums[k]), z * std::sqrt(squares[k] / n)) << k;
  const double variances[3] = {0, exact.pathwise_variance, exact.score_variance(exact.J)};
  for (int k = 1; k < 3; ++k)
    EXPECT_NEAR(squares[k], variances[k], z * std::sqrt((fourths[k] - squares[k] * squares[k]) / n)) << k;
}

}  // namespace
}  // namespace lowvar
