#include "algorithms/exact/noisy_circle.h"

#include <array>
#include <cmath>
#include <numbers>

#include "core/error.h"

namespace lowvar {
namespace {

constexpr double two_pi = 2 * std::numbers::pi;

/// The density of the noise that goes from x to y, and the first two moments of its score, all over the ways
/// round the circle: [to][from] times the width of a cell.
struct Kernel {
  std::vector<double> density, score, score2;
};
Kernel kernel(const NoisyCircle& circle, int N) {
  const auto [K, theta, sigma] = circle;
  const auto cells = static_cast<std::size_t>(N) * static_cast<std::size_t>(N);
  Kernel out{std::vector<double>(cells), std::vector<double>(cells), std::vector<double>(cells)};
  const int rounds = 1 + static_cast<int>(std::ceil(9 * sigma));
  for (int i = 0; i < N; ++i) {
    const double x = static_cast<double>(i) / N;
    const double mean = x + theta + K / two_pi * std::sin(two_pi * x);
    for (int j = 0; j < N; ++j) {
      const double way = static_cast<double>(j) / N - mean, least = way - std::round(way);
      const auto at = static_cast<std::size_t>(j) * static_cast<std::size_t>(N) + static_cast<std::size_t>(i);
      for (int round = -rounds; round <= rounds; ++round) {
        const double xi = (least + round) / sigma;
        const double w = std::exp(-xi * xi / 2) / (sigma * std::sqrt(two_pi)) / N;
        out.density[at] += w;
        out.score[at] += w * xi / sigma;
        out.score2[at] += w * xi * xi / (sigma * sigma);
      }
    }
  }
  return out;
}

}  // namespace

std::vector<CircleMoments> circle_moments(const NoisyCircle& circle, int H, int points) {
  expect(circle.sigma > 0, "sigma must be positive, got ", circle.sigma);
  expect(H >= 1 && points >= 2, "needs a step and two points, got ", H, " and ", points);
  const auto N = static_cast<std::size_t>(points);
  const Kernel k = kernel(circle, points);
  std::vector<double> slope(N), f(N), df(N);
  for (std::size_t i = 0; i < N; ++i) {
    const double angle = two_pi * static_cast<double>(i) / points;
    slope[i] = 1 + circle.K * std::cos(angle);
    f[i] = std::cos(angle), df[i] = -two_pi * std::sin(angle);
  }
  // At x: the density, and times it the mean of D, D^2, S and S^2.
  struct Carried {
    double p = 0, D = 0, D2 = 0, S = 0, S2 = 0;
  };
  std::vector<Carried> now(N, Carried{.p = 1});
  std::vector<CircleMoments> out;
  for (int t = 0; t < H; ++t) {
    std::vector<Carried> next(N);
    for (std::size_t j = 0; j < N; ++j)
      for (std::size_t i = 0; i < N; ++i) {
        const double w = k.density[j * N + i], w1 = k.score[j * N + i], w2 = k.score2[j * N + i];
        const auto& [p, D, D2, S, S2] = now[i];
        next[j].p += w * p;
        next[j].D += w * (slope[i] * D + p);
        next[j].D2 += w * (slope[i] * slope[i] * D2 + 2 * slope[i] * D + p);
        next[j].S += w * S + w1 * p;
        next[j].S2 += w * S2 + 2 * w1 * S + w2 * p;
      }
    now = std::move(next);
    CircleMoments m{};
    double path2 = 0, fS2 = 0, f2S2 = 0;
    for (std::size_t i = 0; i < N; ++i) {
      const auto [p, D, D2, S, S2] = now[i];
      m.J += f[i] * p / points;
      m.pathwise_mean += df[i] * D / points;
      path2 += df[i] * df[i] * D2 / points;
      m.score_mean += f[i] * S / points;
      m.score_norm2 += S2 / points;
      fS2 += f[i] * S2 / points;
      f2S2 += f[i] * f[i] * S2 / points;
    }
    m.pathwise_variance = path2 - m.pathwise_mean * m.pathwise_mean;
    m.b_star = fS2 / m.score_norm2;
    m.score_optimal_variance = f2S2 - m.b_star * fS2 - m.score_mean * m.score_mean;
    out.push_back(m);
  }
  return out;
}

}  // namespace lowvar
