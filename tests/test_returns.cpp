// Returns, advantages and V-trace against their sums, term by term, on random episodes that terminate or are
// truncated, and the identities between them.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "algorithms/data/returns.h"
#include "core/random.h"

namespace lowvar {
namespace {

/// Steps of one episode, which ends as it may: next_v of its last step is 0 where it terminated and the
/// critic's value of the last observation where it was truncated.
struct Episode {
  std::vector<double> r, v, next_v, rho;
  double gamma;
};

Episode episode(Rng& rng) {
  Episode e;
  const int n = 1 + static_cast<int>(rng.uniform() * 8);
  e.gamma = rng.uniform() < 0.2 ? 1 : rng.uniform();
  for (int t = 0; t < n; ++t) {
    e.r.push_back(rng.normal());
    e.v.push_back(rng.normal());
    e.rho.push_back(std::exp(0.5 * rng.normal()));
  }
  e.next_v.assign(e.v.begin() + 1, e.v.end());
  const bool terminated = rng.uniform() < 0.5;
  e.next_v.push_back(terminated ? 0 : rng.normal());
  return e;
}

constexpr int kPatterns = 100'000;

/// f(episode, its TD errors) on every pattern.
template <class F>
void for_each_pattern(F&& f) {
  Rng rng(1, "patterns");
  for (int i = 0; i < kPatterns; ++i) {
    const Episode e = episode(rng);
    std::vector<double> delta(e.r.size());
    td_errors(e.r, e.v, e.next_v, e.gamma, delta);
    f(e, delta);
  }
}

/// The largest difference of the two, over all of them.
struct Largest {
  double value = 0;
  void operator()(double x, double y) {
    value = std::max(value, !(std::abs(x - y) < 1e300) ? 1e300 : std::abs(x - y));
  }
};

TEST(Returns, AreTheirSums) {
  Largest away;
  for_each_pattern([&](const Episode& e, const std::vector<double>&) {
    const std::size_t n = e.r.size();
    std::vector<double> G(n), cut(n);  // without and with what follows the last step
    const double bootstrap = e.next_v.back();
    returns_to_go(e.r, e.gamma, G);
    returns_to_go(e.r, e.gamma, cut, bootstrap);
    for (std::size_t t = 0; t < n; ++t) {
      double sum = 0;
      for (std::size_t k = t; k < n; ++k) sum += std::pow(e.gamma, k - t) * e.r[k];
      const double followed = sum + std::pow(e.gamma, n - t) * bootstrap;
      away(G[t], sum);
      away(cut[t], followed);
      if (t > 0) continue;
      away(discounted_return(e.r, e.gamma), sum);
      away(discounted_return(e.r, e.gamma, bootstrap), followed);
    }
  });
  EXPECT_LT(away.value, 1e-12);
}

TEST(Returns, AdvantagesAreMixturesOfBootstrappedSums) {
  // A^(k) = sum_{i<k} gamma^i r_{t+i} + gamma^k V(s_{t+k}) - V(s_t), a bootstrap past the end being that of
  // the end; nstep:K is A^(K), GAE (1 - lambda) sum_{k>=1} lambda^(k-1) A^(k) (Schulman et al. 2016, eqs.
  // 15-16).
  Largest away;
  for_each_pattern([&](const Episode& e, const std::vector<double>& delta) {
    const std::size_t n = e.r.size();
    const auto bootstrapped = [&](std::size_t t, std::size_t k) {
      k = std::min(k, n - t);
      double A = -e.v[t];
      for (std::size_t i = 0; i < k; ++i) A += std::pow(e.gamma, i) * e.r[t + i];
      return A + std::pow(e.gamma, k) * e.next_v[t + k - 1];
    };
    for (const int K : {1, 3, 8}) {
      std::vector<double> A = delta;
      nstep(A, e.gamma, K);
      for (std::size_t t = 0; t < n; ++t) away(A[t], bootstrapped(t, static_cast<std::size_t>(K)));
    }
    const double lambda = 0.9;
    std::vector<double> A = delta;
    gae(A, e.gamma, lambda);
    for (std::size_t t = 0; t < n; ++t) {
      double mixture =
          std::pow(lambda, n - t - 1) * bootstrapped(t, n - t);  // all that is left of the weights
      for (std::size_t k = 1; k < n - t; ++k)
        mixture += (1 - lambda) * std::pow(lambda, k - 1) * bootstrapped(t, k);
      away(A[t], mixture);
    }
  });
  EXPECT_LT(away.value, 1e-12);
}

/// V-trace's target v_t by eq. 1 of Espeholt et al. 2018; past the last step, what is bootstrapped from.
double target(const Episode& e, std::size_t t, double rho_bar, double c_bar) {
  if (t == e.r.size()) return e.next_v.back();
  double v = e.v[t], product = 1;
  for (std::size_t k = t; k < e.r.size(); ++k) {
    const double delta = std::min(rho_bar, e.rho[k]) * (e.r[k] + e.gamma * e.next_v[k] - e.v[k]);
    v += std::pow(e.gamma, k - t) * product * delta;
    product *= std::min(c_bar, e.rho[k]);
  }
  return v;
}

TEST(Returns, VTraceIsItsEquation) {
  Largest away;
  for_each_pattern([&](const Episode& e, const std::vector<double>& delta) {
    for (const auto& [rho_bar, c_bar] : {std::pair{1.0, 1.0}, {2.0, 0.5}, {0.8, 1.5}}) {
      std::vector<double> A = delta;
      vtrace(A, e.rho, e.gamma, rho_bar, c_bar);
      for (std::size_t t = 0; t < A.size(); ++t)
        away(A[t],
             std::min(rho_bar, e.rho[t]) * (e.r[t] + e.gamma * target(e, t + 1, rho_bar, c_bar) - e.v[t]));
    }
  });
  EXPECT_LT(away.value, 1e-11);
}

TEST(Returns, Identities) {
  Largest one, zero, on_policy;
  for_each_pattern([&](const Episode& e, const std::vector<double>& delta) {
    const std::size_t n = e.r.size();
    std::vector<double> A = delta, G(n), whole = delta;
    const std::vector<double> ones(n, 1);
    gae(A, e.gamma, 1);  // GAE(1) = reward-to-go - V
    returns_to_go(e.r, e.gamma, G, e.next_v.back());
    for (std::size_t t = 0; t < n; ++t) one(A[t], G[t] - e.v[t]);
    A = delta;
    gae(A, e.gamma, 0);  // GAE(0) = TD
    for (std::size_t t = 0; t < n; ++t) zero(A[t], e.r[t] + e.gamma * e.next_v[t] - e.v[t]);
    A = delta;
    vtrace(A, ones, e.gamma, 1, 1);  // V-trace on-policy = the longest n-step
    nstep(whole, e.gamma, static_cast<int>(n));
    for (std::size_t t = 0; t < n; ++t) on_policy(A[t], whole[t]);
  });
  EXPECT_LT(one.value, 1e-12);
  EXPECT_LT(zero.value, 1e-14);
  EXPECT_LT(on_policy.value, 1e-12);
}

TEST(Returns, OfNoStepIsWhatFollows) {
  EXPECT_EQ(discounted_return({}, 0.5), 0);
  EXPECT_EQ(discounted_return({}, 0.5, 3), 3);
  returns_to_go({}, 0.5, {}, 3);
  const std::vector<double> r{1, 2};
  EXPECT_EQ(discounted_return(r, 0.5, 8), 4);
  std::vector<double> G(2);
  returns_to_go(r, 0.5, G, 8);
  EXPECT_EQ(G, (std::vector<double>{4, 6}));
}

TEST(Returns, StandardisedNumbersHaveMeanZeroAndDeviationOne) {
  std::vector<double> x{3, 5, 10}, equal{2, 2, 2}, single{7};
  standardise(x), standardise(equal), standardise(single);
  EXPECT_NEAR(x[0] + x[1] + x[2], 0, 1e-14);
  EXPECT_NEAR((x[0] * x[0] + x[1] * x[1] + x[2] * x[2]) / 2, 1, 1e-7);
  EXPECT_EQ(equal, std::vector<double>(3, 0.0));
  EXPECT_EQ(single, std::vector<double>(1, 0.0));
  standardise({});
}

TEST(Returns, EqualNumbersAreStandardisedToZeroHoweverLargeAndMany) {
  for (const double x : {0.1, 1e6 / 3, 1e9, -1e15, 1e300})
    for (const std::size_t n : {1u, 2u, 3u, 6u, 7u, 49u, 1000u}) {
      std::vector<double> centred(n, x), standardised(n, x);
      centre(centred), standardise(standardised);
      EXPECT_EQ(centred, std::vector<double>(n, 0.0)) << x << ", " << n;
      EXPECT_EQ(standardised, std::vector<double>(n, 0.0)) << x << ", " << n;
    }
  // The plain mean of six numbers 1e9 / 3 is another number, and 1e-8 does not hide it.
  const double x = 1e9 / 3;
  double mean = 0;
  for (int i = 0; i < 6; ++i) mean += x / 6;
  EXPECT_GT(std::abs(x - mean), 1e-8);
}

TEST(Returns, ALargeOffsetCostsNoDigits) {
  const std::vector<double> plain{3, 5, 10, -2};
  std::vector<double> a = plain, b = plain;
  for (double& each : b) each += 1e12;
  standardise(a), standardise(b);
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-15);
}

}  // namespace
}  // namespace lowvar
