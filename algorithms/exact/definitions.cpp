#include "algorithms/exact/definitions.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace lowvar {
namespace {

double binomial(int n, int k) {
  if (k < 0 || k > n) return 0;
  return std::exp(std::lgamma(n + 1.0) - std::lgamma(k + 1.0) - std::lgamma(n - k + 1.0));
}

[[noreturn]] void undefined(const EstimatorName& name) {
  fail("estimator \"", name.family->pattern, "\" has no exact moments");
}

}  // namespace

std::vector<double> group_advantages(const EstimatorName& name, const std::vector<double>& R,
                                     const std::vector<int>& length) {
  const std::size_t n = R.size();
  const auto G = static_cast<double>(n);
  const bool equal = std::all_of(R.begin(), R.end(), [&](double r) { return r == R[0]; });
  double mean = 0, tokens = 0, token_mean = 0;
  for (std::size_t i = 0; i < n; ++i) {
    mean += R[i] / G;
    tokens += length[i];
    token_mean += length[i] * R[i];
  }
  token_mean /= tokens;
  std::vector<double> A(n, 0);
  const auto each = [&](auto&& f) {
    for (std::size_t i = 0; i < n; ++i) A[i] = f(i);
    return A;
  };
  switch (name.id()) {
    case FamilyId::mean:
      return equal ? A : each([&](std::size_t i) { return R[i] - mean; });
    case FamilyId::rloo:
      return equal ? A : each([&](std::size_t i) { return R[i] - (G * mean - R[i]) / (G - 1); });
    case FamilyId::grpo: {
      if (equal) return A;
      double square = 0;
      for (const double r : R) square += (r - mean) * (r - mean) / (G - 1);
      return each([&](std::size_t i) { return (R[i] - mean) / std::sqrt(square); });
    }
    case FamilyId::opo:
      return equal ? A : each([&](std::size_t i) { return R[i] - token_mean; });
    case FamilyId::opo_loo:
      if (equal) return A;
      return each([&](std::size_t i) {
        const double others = tokens - length[i];
        return others > 0 ? R[i] - (token_mean * tokens - length[i] * R[i]) / others : 0;
      });
    case FamilyId::whiten: {
      if (equal) return A;
      double square = 0;
      for (std::size_t i = 0; i < n; ++i) square += length[i] * (R[i] - token_mean) * (R[i] - token_mean);
      const double variance = tokens > 1 ? square / (tokens - 1) : 0;
      return each([&](std::size_t i) { return (R[i] - token_mean) / std::sqrt(variance + 1e-8); });
    }
    case FamilyId::maxrl:
      return mean == 0 ? A : each([&](std::size_t i) { return R[i] / mean; });
    case FamilyId::gpg: {
      const auto nonzero = static_cast<double>(n) - static_cast<double>(std::count(R.begin(), R.end(), 0.0));
      return nonzero == 0 || equal ? A : each([&](std::size_t i) { return (R[i] - mean) * G / nonzero; });
    }
    case FamilyId::best_second: {
      std::vector<double> sorted = R;
      std::sort(sorted.begin(), sorted.end(), std::greater<>());
      A[static_cast<std::size_t>(std::find(R.begin(), R.end(), sorted[0]) - R.begin())] =
          G * (sorted[0] - sorted[1]);
      return A;
    }
    case FamilyId::pkpo: {
      const int N = static_cast<int>(n), k = static_cast<int>(name.arguments[1]);
      const auto rho = [](int N_, int c, int k_) { return 1 - binomial(N_ - c, k_) / binomial(N_, k_); };
      const auto c = static_cast<int>(std::count_if(R.begin(), R.end(), [](double r) { return r > 0; }));
      return each([&](std::size_t i) {
        const bool right = R[i] > 0;
        const int others = c - (right ? 1 : 0);
        const double gain = right ? 1 : rho(N - 1, others, k - 1);
        const double baseline = name.arguments[2] == 1   ? rho(N - 1, others, k)
                                : name.arguments[2] == 2 ? rho(N - 1, others, k - 1)
                                                         : 0;
        return k * (gain - baseline);
      });
    }
    case FamilyId::topr:
      return each([&](std::size_t i) { return 2 * R[i] - 1; });
    default:
      undefined(name);
  }
}

double aggregation_factor(const EstimatorName& name, const std::vector<int>& length, std::size_t i,
                          int longest) {
  const auto G = static_cast<double>(length.size());
  const UsedSuffix* how = name.suffix(SuffixKind::aggregation);
  if (!how) return 1 / G;
  switch (how->suffix->id) {
    case SuffixId::seq_mean:
      return 1 / (G * std::max(1, length[i]));
    case SuffixId::token_mean:
      return 1.0 / std::max(1, std::accumulate(length.begin(), length.end(), 0));
    default:
      return 1 / (G * longest);
  }
}

std::vector<double> importance_weights(const EstimatorName& name, const std::vector<double>& r, double sign) {
  const std::size_t l = r.size();
  double rho = 1;
  for (const double each : r) rho *= each;
  if (name.id() == FamilyId::topr) return std::vector<double>(l, sign > 0 ? 1 : std::min(rho, 1.0));
  const UsedSuffix* used = name.suffix(SuffixKind::importance);
  std::vector<double> w(l, 1);
  if (!used || used->suffix->id == SuffixId::is_none || l == 0) return w;
  const std::vector<double>& x = used->arguments;
  const auto outside = [&](double ratio) {  // of the clip's interval, on the side the step would go to
    return sign > 0 ? ratio > 1 + x[1] : sign < 0 && ratio < 1 - x[0];
  };
  const double root = std::pow(rho, 1 / static_cast<double>(l));
  switch (used->suffix->id) {
    case SuffixId::is_token:
      return r;
    case SuffixId::is_sequence:
      return std::vector<double>(l, x.empty() ? rho : std::min(rho, x[0]));
    case SuffixId::is_cumulative:
      std::partial_sum(r.begin(), r.end(), w.begin(), std::multiplies<>());
      return w;
    case SuffixId::is_geometric:
      return std::vector<double>(l, root);
    case SuffixId::mask:
      return std::vector<double>(l, rho <= x[0] ? rho : 0);
    case SuffixId::clip:
      for (std::size_t t = 0; t < l; ++t) w[t] = outside(r[t]) ? 0 : r[t];
      return w;
    case SuffixId::cispo:
      for (std::size_t t = 0; t < l; ++t) w[t] = std::min(r[t], x[0]);
      return w;
    case SuffixId::gspo:
      return std::vector<double>(l, !x.empty() && outside(root) ? 0 : root);
    default:
      fail("the weights of ", used->suffix->pattern,
           " are from outside, and the oracle has no definition of them");
  }
}

}  // namespace lowvar
