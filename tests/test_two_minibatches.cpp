// Two minibatches of updates from rewards that say nothing: the exact averages against drawn groups and
// against what follows from the algebra.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "algorithms/exact/two_minibatches.h"
#include "core/random.h"
#include "statistics.h"

namespace lowvar {
namespace {

constexpr double p[] = {0.5, 0.3, 0.2};
constexpr int k = 3, G = 3;

TEST(TwoMinibatches, EveryGroupOnce) {
  const auto groups = coin_groups(p, G, group_normalised_advantage(1));
  EXPECT_EQ(groups.size(), 56U);  // C(6 + 3 - 1, 3)
  double total = 0, up = 0, down = 0;
  for (const CoinGroup& each : groups) {
    total += each.probability;
    for (int a = 0; a < k; ++a) {
      up += each.probability * each.up[static_cast<std::size_t>(a)];
      down += each.probability * each.down[static_cast<std::size_t>(a)];
    }
  }
  EXPECT_NEAR(total, 1, 1e-14);
  EXPECT_NEAR(up, -down, 1e-15);
  // Three quarters have one or two right; of each the positive ones sum to 2 / sqrt(3).
  EXPECT_NEAR(up, 0.75 * 2 / std::sqrt(3.0) / G, 1e-15);
}

/// The change of entropy and of the first arm's probability in one draw, written from the definition: the
/// gradient of min(rho A, clip(rho) A) over the second group.
std::array<double, 2> drawn(Rng& rng, double eta, const ClipRange& clip) {
  std::array<double, k> theta;
  for (int a = 0; a < k; ++a) theta[static_cast<std::size_t>(a)] = std::log(p[a]);
  const auto probabilities = [&] { return softmax(theta); };
  for (int step = 0; step < 2; ++step) {
    std::vector<int> arm;
    std::vector<double> r, A(G);
    for (int i = 0; i < G; ++i) arm.push_back(rng.categorical(p)), r.push_back(rng.uniform() < 0.5);
    group_normalised_advantage(1)(r, A);
    const std::vector<double> pi = probabilities();
    std::array<double, k> g{};
    for (int i = 0; i < G; ++i) {
      const auto at = static_cast<std::size_t>(arm[static_cast<std::size_t>(i)]);
      const double rho = pi[at] / p[at], a = A[static_cast<std::size_t>(i)];
      const bool cut = a > 0 ? rho > 1 + clip.high : rho < 1 - clip.low;
      for (std::size_t j = 0; j < k && !cut; ++j) g[j] += rho * a / G * ((j == at) - pi[j]);
    }
    for (std::size_t j = 0; j < k; ++j) theta[j] += eta * g[j];
  }
  double H = 0;
  const std::vector<double> pi = probabilities();
  for (int a = 0; a < k; ++a)
    H += p[a] * std::log(p[a]) - pi[static_cast<std::size_t>(a)] * std::log(pi[static_cast<std::size_t>(a)]);
  return {H, pi[0] - p[0]};
}

TEST(TwoMinibatches, AsDrawn) {
  const auto groups = coin_groups(p, G, group_normalised_advantage(1));
  constexpr int n = 200'000;
  for (const ClipRange& clip :
       {ClipRange{}, ClipRange{0.2, 0.3}, ClipRange{.low = 0.15}, ClipRange{.high = 0.1}}) {
    const TwoMinibatches exact = two_minibatches(p, groups, 1.0, clip);
    Rng rng(2, "two minibatches");
    double sum[2] = {}, squares[2] = {};
    for (int i = 0; i < n; ++i) {
      const auto x = drawn(rng, 1.0, clip);
      for (std::size_t j = 0; j < 2; ++j) sum[j] += x[j], squares[j] += x[j] * x[j];
    }
    const double expected[2] = {exact.H2, exact.top2};
    for (int j = 0; j < 2; ++j) {
      const double mean = sum[j] / n, se = std::sqrt((squares[j] / n - mean * mean) / (n - 1));
      EXPECT_NEAR(mean, expected[j], limit(8, n - 1) * se);
      EXPECT_LT(se, (j == 0 ? 0.05 : 0.3) * std::abs(expected[j]));
    }
    EXPECT_LT(exact.apart, 1e-15);
  }
}

TEST(TwoMinibatches, PullsBackOnlyWithAClip) {
  const auto groups = coin_groups(p, G, group_normalised_advantage(1));
  EXPECT_LT(two_minibatches(p, groups, 1.0, {}).pull, 1e-15);
  EXPECT_EQ(two_minibatches(p, groups, 1.0, {}).outside, 0);
  EXPECT_GT(two_minibatches(p, groups, 1.0, {0.2, 0.2}).pull, 1e-3);
}

}  // namespace
}  // namespace lowvar
