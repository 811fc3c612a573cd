#include "algorithms/exact/bandit.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace lowvar {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

double sum(std::span<const double> x) { return std::accumulate(x.begin(), x.end(), 0.0); }

/// Exactly the first where all are equal.
double mean_of(std::span<const double> r) {
  double apart = 0;
  for (const double x : r) apart += x - r.front();
  return r.front() + apart / static_cast<double>(r.size());
}

void check(const Bandit& bandit, std::span<const double> p) {
  expect(!bandit.arms.empty() && p.size() == bandit.arms.size(),
         "the policy must have a probability for each of ", bandit.arms.size(), " arms (at least one), got ",
         p.size());
  for (std::size_t a = 0; a < p.size(); ++a) {
    expect(std::isfinite(p[a]) && p[a] >= 0, "the probability of arm ", a, " is ", p[a]);
    double total = 0;
    for (const Payoff& payoff : bandit.arms[a]) {
      expect(payoff.probability > 0 && std::isfinite(payoff.reward), "arm ", a, " pays ", payoff.reward,
             " with probability ", payoff.probability);
      total += payoff.probability;
    }
    expect(std::abs(total - 1) <= 1e-9, "the payoffs of arm ", a, " have total probability ", total,
           ", not 1");
  }
  expect(std::abs(sum(p) - 1) <= 1e-9, "the probabilities of the arms sum to ", sum(p), ", not to 1");
}

/// One sample's outcome: an arm and what it paid.
struct Sample {
  double probability;
  std::size_t arm;
  double reward;
};

std::vector<Sample> samples(const Bandit& bandit, std::span<const double> p) {
  check(bandit, p);
  std::vector<Sample> out;
  for (std::size_t a = 0; a < p.size(); ++a)
    for (const Payoff& payoff : bandit.arms[a])
      if (p[a] > 0) out.push_back({p[a] * payoff.probability, a, payoff.reward});
  return out;
}

double score(std::span<const double> p, std::size_t arm, std::size_t i) { return (arm == i ? 1 : 0) - p[i]; }

void check_group(int N) { expect(N >= 2, "a group needs at least two samples, got ", N); }

/// f(counts, probability) for every way to draw N samples from `all`.
template <class F>
void for_each_group(const std::vector<Sample>& all, int N, F&& f) {
  std::vector<int> counts(all.size());
  const auto fill = [&](auto&& self, std::size_t which, int left, double probability) -> void {
    if (which + 1 == all.size()) {
      counts[which] = left;
      f(counts, probability * std::pow(all[which].probability, left));
      return;
    }
    for (int n = 0; n <= left; ++n) {
      counts[which] = n;
      self(self, which + 1, left - n, probability);
      probability *= all[which].probability * (left - n) / (n + 1);
    }
  };
  fill(fill, 0, N, 1);
}

/// theta - a*, C (theta - a*), tr C, (C^2)_ii and its sum.
struct Quadratic {
  std::vector<double> Cd, C2;
  double dCd = 0, trace_C = 0, trace_C2 = 0;
};

Quadratic quadratic(const QuadraticBandit& bandit, std::span<const double> theta) {
  const int m = static_cast<int>(theta.size());
  expect(m >= 1 && shape(bandit.C) == Shape{m, m} && bandit.a_star.size() == at(m),
         "C must be [m x m] and a* and theta [m], got ", text(shape(bandit.C)), ", ", bandit.a_star.size(),
         " and ", m);
  Quadratic q{std::vector<double>(at(m)), std::vector<double>(at(m))};
  for (int i = 0; i < m; ++i) {
    for (int j = 0; j < m; ++j) {
      expect(bandit.C(i, j) == bandit.C(j, i), "C must be symmetric: entry ", i, ", ", j, " is not");
      q.Cd[at(i)] += bandit.C(i, j) * (theta[at(j)] - bandit.a_star[at(j)]);
      q.C2[at(i)] += bandit.C(i, j) * bandit.C(i, j);
    }
    q.dCd += (theta[at(i)] - bandit.a_star[at(i)]) * q.Cd[at(i)];
    q.trace_C += bandit.C(i, i);
    q.trace_C2 += q.C2[at(i)];
  }
  return q;
}

ExactMoments factorised(const QuadraticBandit& bandit, std::span<const double> theta, double sigma,
                        double own) {
  const Quadratic q = quadratic(bandit, theta);
  const double s2 = sigma * sigma;
  ExactMoments out{policy_gradient(bandit, theta), {}};
  for (std::size_t i = 0; i < theta.size(); ++i) {
    const double C_ii2 = bandit.C(i, i) * bandit.C(i, i);
    out.variance.push_back(8 * q.Cd[i] * q.Cd[i] + 12 * s2 * (q.C2[i] - C_ii2) + own * s2 * C_ii2);
  }
  return out;
}

}  // namespace

std::vector<double> softmax(std::span<const double> logits) {
  expect(!logits.empty(), "softmax needs at least one logit");
  const double top = *std::max_element(logits.begin(), logits.end());
  std::vector<double> p;
  for (const double l : logits) p.push_back(std::exp(l - top));
  const double total = sum(p);
  for (double& each : p) each /= total;
  return p;
}

BanditMoments bandit_moments(const Bandit& bandit, std::span<const double> p) {
  const std::vector<Sample> all = samples(bandit, p);
  const std::vector<double> zero(p.size());
  BanditMoments m{.gradient = zero, .S2 = zero, .S2R = zero, .S2R2 = zero};
  for (const Sample& o : all) m.J += o.probability * o.reward;
  for (const Sample& o : all) {
    const double centred = o.reward - m.J;
    m.reward_variance += o.probability * centred * centred;
    for (std::size_t i = 0; i < p.size(); ++i) {
      const double z = score(p, o.arm, i);
      m.gradient[i] += o.probability * z * centred;
      m.S2[i] += o.probability * z * z;
      m.S2R[i] += o.probability * z * z * o.reward;
      m.S2R2[i] += o.probability * z * z * o.reward * o.reward;
    }
  }
  return m;
}

double optimal_baseline(const BanditMoments& m) { return sum(m.S2) == 0 ? 0 : sum(m.S2R) / sum(m.S2); }

std::vector<double> optimal_baselines(const BanditMoments& m) {
  std::vector<double> b;
  for (std::size_t i = 0; i < m.S2.size(); ++i) b.push_back(m.S2[i] == 0 ? 0 : m.S2R[i] / m.S2[i]);
  return b;
}

ExactMoments reinforce_moments(const Bandit& bandit, std::span<const double> p, double b) {
  return reinforce_moments(bandit, p, std::vector<double>(p.size(), b));
}

ExactMoments reinforce_moments(const Bandit& bandit, std::span<const double> p,
                               const std::vector<double>& b) {
  expect(b.size() == p.size(), "the baselines must be one per arm, ", p.size(), ", got ", b.size());
  ExactMoments out{bandit_moments(bandit, p).gradient, std::vector<double>(p.size())};
  for (const Sample& o : samples(bandit, p))
    for (std::size_t i = 0; i < p.size(); ++i) {
      const double deviation = (o.reward - b[i]) * score(p, o.arm, i) - out.mean[i];
      out.variance[i] += o.probability * deviation * deviation;
    }
  return out;
}

ExactMoments rloo_moments(const Bandit& bandit, std::span<const double> p, int N) {
  check_group(N);
  const BanditMoments m = bandit_moments(bandit, p);
  ExactMoments out = reinforce_moments(bandit, p, m.J);
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double others = m.reward_variance * m.S2[i] + m.gradient[i] * m.gradient[i];
    out.variance[i] = (out.variance[i] + others / (N - 1)) / N;
  }
  return out;
}

ExactMoments group_mean_moments(const Bandit& bandit, std::span<const double> p, int N) {
  ExactMoments out = rloo_moments(bandit, p, N);
  const double factor = 1 - 1.0 / N;
  for (double& x : out.mean) x *= factor;
  for (double& x : out.variance) x *= factor * factor;
  return out;
}

GroupAdvantage leave_one_out_advantage() {
  return [](std::span<const double> r, std::span<double> A) {
    const double N = static_cast<double>(r.size()), mean = mean_of(r);
    for (std::size_t i = 0; i < r.size(); ++i) A[i] = (r[i] - mean) * N / (N - 1);
  };
}

GroupAdvantage group_mean_advantage() {
  return [](std::span<const double> r, std::span<double> A) {
    const double mean = mean_of(r);
    for (std::size_t i = 0; i < r.size(); ++i) A[i] = r[i] - mean;
  };
}

GroupAdvantage group_normalised_advantage(int ddof, double epsilon) {
  expect(ddof == 0 || ddof == 1, "ddof must be 0 or 1, got ", ddof);
  expect(epsilon >= 0, "epsilon cannot be negative, got ", epsilon);
  return [ddof, epsilon](std::span<const double> r, std::span<double> A) {
    const double N = static_cast<double>(r.size()), mean = mean_of(r);
    double squares = 0;
    for (const double x : r) squares += (x - mean) * (x - mean);
    if (squares == 0) {
      std::fill(A.begin(), A.end(), 0.0);
      return;
    }
    for (std::size_t i = 0; i < r.size(); ++i)
      A[i] = (r[i] - mean) / (std::sqrt(squares / (N - ddof)) + epsilon);
  };
}

ExactMoments group_moments(const Bandit& bandit, std::span<const double> p, int N,
                           const GroupAdvantage& advantage, double limit) {
  check_group(N);
  const std::vector<Sample> all = samples(bandit, p);
  double groups = 1;
  for (std::size_t i = 1; i < all.size(); ++i)
    groups *= static_cast<double>(at(N) + i) / static_cast<double>(i);
  expect(groups <= limit, "there are ", groups, " groups of ", N, " samples, more than the limit of ", limit);

  std::vector<double> rewards(at(N)), A(at(N)), g(p.size());
  const auto estimate = [&](const std::vector<int>& counts) {
    std::size_t next = 0;
    for (std::size_t o = 0; o < all.size(); ++o)
      for (int n = 0; n < counts[o]; ++n) rewards[next++] = all[o].reward;
    advantage(rewards, A);
    std::fill(g.begin(), g.end(), 0.0);
    next = 0;
    for (std::size_t o = 0; o < all.size(); next += at(counts[o]), ++o)
      if (counts[o] > 0)
        for (std::size_t i = 0; i < p.size(); ++i) g[i] += A[next] * counts[o] * score(p, all[o].arm, i) / N;
  };
  ExactMoments out{std::vector<double>(p.size()), std::vector<double>(p.size())};
  for_each_group(all, N, [&](const std::vector<int>& counts, double probability) {
    estimate(counts);
    for (std::size_t i = 0; i < p.size(); ++i) out.mean[i] += probability * g[i];
  });
  for_each_group(all, N, [&](const std::vector<int>& counts, double probability) {
    estimate(counts);
    for (std::size_t i = 0; i < p.size(); ++i)
      out.variance[i] += probability * (g[i] - out.mean[i]) * (g[i] - out.mean[i]);
  });
  return out;
}

double expected_reward(const QuadraticBandit& bandit, std::span<const double> theta, double sigma) {
  const Quadratic q = quadratic(bandit, theta);
  return -(q.dCd + sigma * sigma * q.trace_C);
}

std::vector<double> policy_gradient(const QuadraticBandit& bandit, std::span<const double> theta) {
  std::vector<double> gradient = quadratic(bandit, theta).Cd;
  for (double& x : gradient) x *= -2;
  return gradient;
}

double optimal_baseline(const QuadraticBandit& bandit, std::span<const double> theta, double sigma) {
  const Quadratic q = quadratic(bandit, theta);
  return -(q.dCd + sigma * sigma * q.trace_C) -
         2 * sigma * sigma * q.trace_C / static_cast<double>(theta.size());
}

ExactMoments score_function_moments(const QuadraticBandit& bandit, std::span<const double> theta,
                                    double sigma, double b) {
  expect(sigma > 0, "a score needs a positive sigma, got ", sigma);
  const Quadratic q = quadratic(bandit, theta);
  const double s2 = sigma * sigma, shift = -(q.dCd + s2 * q.trace_C) - b;
  double dC2d = 0;
  for (const double x : q.Cd) dC2d += x * x;
  ExactMoments out{policy_gradient(bandit, theta), {}};
  for (std::size_t i = 0; i < theta.size(); ++i) {
    const double second = shift * shift - 4 * s2 * bandit.C(i, i) * shift + 4 * s2 * dC2d +
                          2 * s2 * s2 * q.trace_C2 + 8 * s2 * q.Cd[i] * q.Cd[i] + 8 * s2 * s2 * q.C2[i];
    out.variance.push_back(second / s2 - 4 * q.Cd[i] * q.Cd[i]);
  }
  return out;
}

ExactMoments factorised_mean_moments(const QuadraticBandit& bandit, std::span<const double> theta,
                                     double sigma) {
  return factorised(bandit, theta, sigma, 10);
}

ExactMoments factorised_optimal_moments(const QuadraticBandit& bandit, std::span<const double> theta,
                                        double sigma) {
  return factorised(bandit, theta, sigma, 6);
}

ExactMoments pathwise_moments(const QuadraticBandit& bandit, std::span<const double> theta, double sigma) {
  ExactMoments out{policy_gradient(bandit, theta), quadratic(bandit, theta).C2};
  for (double& x : out.variance) x *= 4 * sigma * sigma;
  return out;
}

}  // namespace lowvar
