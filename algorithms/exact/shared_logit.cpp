#include "algorithms/exact/shared_logit.h"

#include <cmath>

#include "core/blas.h"

namespace lowvar {
namespace {

/// x of x(s) = right(s) + sum over steps of P x(next).
std::vector<double> solved(const ScoredChain& chain, std::vector<double> right) {
  const std::size_t n = chain.size();
  std::vector<double> A(n * n, 0);
  for (std::size_t s = 0; s < n; ++s) {
    A[s * n + s] += 1;
    for (const ScoredStep& step : chain[s])
      if (step.next >= 0) A[s * n + static_cast<std::size_t>(step.next)] -= step.probability;
  }
  solve(static_cast<int>(n), 1, A.data(), right.data());
  return right;
}

/// Expectations of f(step, what is known of the next state), `end` after the last step.
template <class F, class Known>
std::vector<double> expected(const ScoredChain& chain, const std::vector<Known>& known, const Known& end,
                             F&& f) {
  std::vector<double> out(chain.size(), 0);
  for (std::size_t s = 0; s < chain.size(); ++s)
    for (const ScoredStep& step : chain[s])
      out[s] +=
          step.probability * f(s, step, step.next < 0 ? end : known[static_cast<std::size_t>(step.next)]);
  return out;
}

constexpr double choose[3][3] = {{1, 0, 0}, {1, 1, 0}, {1, 2, 1}};

}  // namespace

std::vector<ReturnAndScore> return_and_score(const ScoredChain& chain) {
  ReturnAndScore end{};
  end[0][0] = 1;
  std::vector<ReturnAndScore> out(chain.size(), end);
  for (int i = 0; i <= 2; ++i)
    for (int j = 0; j <= 2; ++j) {
      if (i + j == 0) continue;
      const auto lower =
          expected(chain, out, end, [&](std::size_t, const ScoredStep& step, const auto& next) {
            double sum = 0;
            for (int k = 0; k <= i; ++k)
              for (int l = 0; l <= j; ++l)
                if (k + l < i + j)
                  sum += choose[i][k] * choose[j][l] * std::pow(step.reward, i - k) *
                         std::pow(step.score, j - l) *
                         next[static_cast<std::size_t>(k)][static_cast<std::size_t>(l)];
            return sum;
          });
      const auto x = solved(chain, lower);
      for (std::size_t s = 0; s < chain.size(); ++s)
        out[s][static_cast<std::size_t>(i)][static_cast<std::size_t>(j)] = x[s];
    }
  return out;
}

std::vector<OneParameterMoments> to_go_moments(const ScoredChain& chain, const std::vector<double>& b) {
  struct Known {
    double R = 0, R2 = 0, T = 0, RT = 0, T2 = 0;
  };
  const auto moments = return_and_score(chain);
  std::vector<Known> known;
  for (const ReturnAndScore& m : moments) known.push_back({m[1][0], m[2][0]});
  const auto fill = [&](double Known::*what, auto&& right) {
    const auto x = solved(chain, expected(chain, known, Known{}, right));
    for (std::size_t s = 0; s < chain.size(); ++s) known[s].*what = x[s];
  };
  // With c = r - b(s): T = z (c + R') + T'.
  fill(&Known::T, [&](std::size_t s, const ScoredStep& step, const Known& next) {
    return step.score * (step.reward - b[s] + next.R);
  });
  fill(&Known::RT, [&](std::size_t s, const ScoredStep& step, const Known& next) {
    const double c = step.reward - b[s];
    return step.score * (step.reward * c + (step.reward + c) * next.R + next.R2) + step.reward * next.T;
  });
  fill(&Known::T2, [&](std::size_t s, const ScoredStep& step, const Known& next) {
    const double c = step.reward - b[s];
    return step.score * step.score * (c * c + 2 * c * next.R + next.R2) +
           2 * step.score * (c * next.T + next.RT);
  });
  std::vector<OneParameterMoments> out;
  for (const Known& k : known) out.push_back({k.T, k.T2 - k.T * k.T});
  return out;
}

OneParameterMoments whole_return_moments(const ReturnAndScore& m, double b) {
  const double mean = m[1][1] - b * m[0][1];
  return {mean, m[2][2] - 2 * b * m[1][2] + b * b * m[0][2] - mean * mean};
}

double optimal_baseline(const ReturnAndScore& m) { return m[1][2] / m[0][2]; }

}  // namespace lowvar
