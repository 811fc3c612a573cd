// Moments without a horizon under one shared parameter, against values that were computed elsewhere and
// against samples.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "algorithms/exact/shared_logit.h"
#include "core/random.h"

namespace lowvar {
namespace {

ScoredChain corridor(double p) {
  const auto steps = [&](int right, int left) {
    return std::vector<ScoredStep>{{p, 1 - p, -1, right}, {1 - p, -p, -1, left}};
  };
  return {steps(1, 0), steps(0, 2), steps(-1, 1)};
}

TEST(SharedLogit, CorridorAsComputedElsewhere) {
  const auto all = nlohmann::json::parse(std::ifstream(LOWVAR_TEST_DATA "/reference_values2.json"));
  int compared = 0;
  for (const auto& [key, of] : all.at("corridor").items()) {
    if (!key.starts_with("p0")) continue;
    const ScoredChain chain = corridor(of.at("p"));
    const auto moments = return_and_score(chain);
    std::vector<double> V;
    for (const ReturnAndScore& m : moments) V.push_back(m[1][0]);
    const double b = optimal_baseline(moments.front());
    const auto expect = [&](double x, const char* name) {
      EXPECT_NEAR(x, of.at(name).get<double>(), 1e-8 * std::max(1.0, std::abs(x))) << key << " " << name;
    };
    expect(V.front(), "J");
    expect(moments.front()[1][1], "grad");
    expect(b, "bstar");
    expect(whole_return_moments(moments.front(), 0).variance, "reinforce");
    expect(whole_return_moments(moments.front(), V.front()).variance, "reinforce_bJ");
    expect(whole_return_moments(moments.front(), b).variance, "reinforce_bstar");
    expect(to_go_moments(chain, {0, 0, 0}).front().variance, "togo");
    expect(to_go_moments(chain, {V[0], V[0], V[0]}).front().variance, "togo_constant_J");
    expect(to_go_moments(chain, V).front().variance, "togo_V");
    ++compared;
  }
  EXPECT_EQ(compared, 6);
}

/// Rewards, scores and outcomes that differ from action to action, and a baseline that differs from state to
/// state.
TEST(SharedLogit, SampledEpisodes) {
  const ScoredChain chain = {{{0.3, 0.7, 1, 1}, {0.5, -0.6, 0.2, 0}, {0.2, 0.45, -2, -1}},
                             {{0.6, 0.2, 0.5, 0}, {0.4, -0.3, 3, -1}}};
  const std::vector<double> b{0.4, -1.5};
  const OneParameterMoments exact = to_go_moments(chain, b).front();
  const ReturnAndScore m = return_and_score(chain).front();
  const OneParameterMoments whole = whole_return_moments(m, 0.7);
  Rng rng(1, "shared logit");
  constexpr int n = 400'000;
  double sum[2] = {}, square[2] = {};
  for (int i = 0; i < n; ++i) {
    std::vector<std::pair<int, ScoredStep>> path;
    for (int s = 0; s >= 0;) {
      std::vector<double> p;
      for (const ScoredStep& step : chain[static_cast<std::size_t>(s)]) p.push_back(step.probability);
      path.push_back({s, chain[static_cast<std::size_t>(s)][static_cast<std::size_t>(rng.categorical(p))]});
      s = path.back().second.next;
    }
    double G = 0, T = 0, S = 0;
    for (std::size_t t = path.size(); t-- > 0;) {
      G += path[t].second.reward;
      T += path[t].second.score * (G - b[static_cast<std::size_t>(path[t].first)]);
      S += path[t].second.score;
    }
    const double g[2] = {T, (G - 0.7) * S};
    for (int k = 0; k < 2; ++k) sum[k] += g[k], square[k] += g[k] * g[k];
  }
  for (const auto& [k, want] : {std::pair{0, exact}, {1, whole}}) {
    const double mean = sum[k] / n;
    EXPECT_NEAR(mean, want.mean, 6 * std::sqrt(want.variance / n));
    EXPECT_NEAR(square[k] / n - mean * mean, want.variance, 0.03 * want.variance);
  }
}

}  // namespace
}  // namespace lowvar
