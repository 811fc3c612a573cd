#include "algorithms/exact/counting.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "algorithms/estimators/names.h"
#include "core/error.h"

namespace lowvar {
namespace {

/// log P(n ones).
double log_binomial(int L, int n, double p) {
  return std::lgamma(L + 1.0) - std::lgamma(n + 1.0) - std::lgamma(L - n + 1.0) + n * std::log(p) +
         (L - n) * std::log1p(-p);
}

/// sum_n>=enough P(n) f(n).
template <class F>
double sum_of_right(int L, int enough, double p, F&& f) {
  double sum = 0;
  for (int n = L; n >= std::max(0, enough); --n) sum += std::exp(log_binomial(L, n, p)) * f(n);
  return sum;
}

/// E f and E f^2 given the number of ones.
struct Given {
  double f, square;
};

/// f = sum_t (prod_{k<=t} r_k) z_t, by recursion over (t, number of ones), of which the product is a
/// function.
std::vector<Given> cumulative(const BinaryAnswers& a) {
  const double log_one = std::log(a.pi / a.mu), log_zero = std::log((1 - a.pi) / (1 - a.mu));
  struct Carried {
    double p = 0, f = 0, square = 0;  // P, E[f; n], E[f^2; n]
  };
  std::vector<Carried> now(static_cast<std::size_t>(a.L) + 2), next;
  now[0].p = 1;
  for (int t = 0; t < a.L; ++t) {
    next.assign(now.size(), {});
    for (int n = 0; n <= t; ++n) {
      const Carried& c = now[static_cast<std::size_t>(n)];
      for (const int x : {0, 1}) {
        const int ones = n + x;
        const double p = x ? a.mu : 1 - a.mu;
        const double step = std::exp(ones * log_one + (t + 1 - ones) * log_zero) * (x - a.pi);
        Carried& to = next[static_cast<std::size_t>(ones)];
        to.p += p * c.p;
        to.f += p * (c.f + c.p * step);
        to.square += p * (c.square + 2 * step * c.f + step * step * c.p);
      }
    }
    now.swap(next);
  }
  std::vector<Given> out;
  for (int n = 0; n <= a.L; ++n) {
    const Carried& c = now[static_cast<std::size_t>(n)];
    out.push_back({c.f / c.p, c.square / c.p});
  }
  return out;
}

}  // namespace

double BinaryAnswers::right(double p) const {
  return sum_of_right(L, enough, p, [](int) { return 1; });
}

double BinaryAnswers::gradient() const {
  return sum_of_right(L, enough, pi, [&](int n) { return n - L * pi; });
}

double BinaryAnswers::divergence() const {
  return L * (mu * std::log(mu / pi) + (1 - mu) * std::log((1 - mu) / (1 - pi)));
}

CountedMoments counted_moments(const BinaryAnswers& a, std::string_view estimator, double b) {
  const EstimatorName name = parse_estimator(estimator);
  for (const UsedSuffix& each : name.suffixes)
    expect(each.suffix->kind == SuffixKind::importance, each.suffix->name(), " is no importance weight");
  const UsedSuffix* used = name.suffix(SuffixKind::importance);
  const SuffixId id = used ? used->suffix->id : SuffixId::is_none;
  const double r_one = a.pi / a.mu, r_zero = (1 - a.pi) / (1 - a.mu);
  std::vector<Given> given;
  if (id == SuffixId::is_cumulative) given = cumulative(a);
  CountedMoments out{0, 0};
  double second = 0;
  for (int n = 0; n <= a.L; ++n) {
    // In logarithms: a ratio may overflow where the probability of its answers does the opposite.
    const double S = n - a.L * a.pi, log_rho = n * std::log(r_one) + (a.L - n) * std::log(r_zero);
    const double log_p = log_binomial(a.L, n, a.mu), p = std::exp(log_p);
    struct Weighed {
      double f, square;  // P(n) E f and P(n) E f^2 given n
    };
    const auto times = [&](double log_w) {
      return Weighed{S * std::exp(log_p + log_w), S * S * std::exp(log_p + 2 * log_w)};
    };
    const auto f = [&]() -> Weighed {
      switch (id) {
        case SuffixId::is_none:
          return times(0);
        case SuffixId::is_token: {
          const double sum = n * r_one * (1 - a.pi) - (a.L - n) * r_zero * a.pi;
          return {p * sum, p * sum * sum};
        }
        case SuffixId::is_sequence:
          return times(used->arguments.empty() ? log_rho : std::min(log_rho, std::log(used->arguments[0])));
        case SuffixId::is_geometric:
          return times(log_rho / a.L);
        case SuffixId::mask:
          return log_rho > std::log(used->arguments[0]) ? Weighed{0, 0} : times(log_rho);
        case SuffixId::is_cumulative:
          return {p * given[static_cast<std::size_t>(n)].f, p * given[static_cast<std::size_t>(n)].square};
        default:
          fail("the weights ", used->suffix->pattern, " are no sums over the number of ones");
      }
    }();
    const double A = (n >= a.enough) - b;
    out.mean += A * f.f;
    second += A * A * f.square;
  }
  out.variance = second - out.mean * out.mean;
  return out;
}

namespace {

double density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi); }

double above(double x) { return std::erfc(x / std::numbers::sqrt2) / 2; }

/// E[rho^k (X - s)^j; low < X < high] for j = 0, 1, 2, X standard normal and rho = exp(s X - s^2 / 2), by
/// rho^k density(x) = exp((k^2 - k) s^2 / 2) density(x - k s).
std::array<double, 3> tilted(int k, double s, double low, double high) {
  const double l = low - k * s, h = high - k * s, m = (k - 1) * s;
  const double at_l = std::isinf(l) ? 0 : density(l), at_h = std::isinf(h) ? 0 : density(h);
  const double zeroth = l > 0 ? above(l) - above(h) : above(-h) - above(-l), first = at_l - at_h;
  const double second = zeroth + (at_l > 0 ? l * at_l : 0) - (at_h > 0 ? h * at_h : 0);
  const double scale = std::exp((k * k - k) * s * s / 2);
  return {scale * zeroth, scale * (first + m * zeroth), scale * (second + 2 * m * first + m * m * zeroth)};
}

}  // namespace

CountedMoments limit_moments(double kappa, double c, std::string_view estimator, bool baseline) {
  expect(kappa > 0, "the divergence is ", kappa, ", and must be positive");
  const EstimatorName name = parse_estimator(estimator);
  const UsedSuffix* used = name.suffix(SuffixKind::importance);
  const SuffixId id = used ? used->suffix->id : SuffixId::is_none;
  const double s = std::sqrt(2 * kappa), right = s + c, b = baseline ? above(right) : 0;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double gradient = density(c);
  if (id == SuffixId::is_cumulative)
    return {std::exp(c * c / 2) * std::sqrt(2 * std::numbers::pi) * (above(c) - above(right)) / s, NAN};
  // Where the sequence's ratio reaches the threshold, if it has one.
  const double cut = used && !used->arguments.empty() ? std::log(used->arguments[0]) / s + s / 2 : infinity;
  double mean = 0, second = 0;
  const auto add = [&](double A, double low, double high, double weight, int k) {
    if (low >= high) return;
    const auto m = tilted(k, s, low, high), q = tilted(2 * k, s, low, high);
    const double shift = id == SuffixId::is_token ? s : 0;  // its f is X, the others' X - s
    mean += A * weight * (m[1] + shift * m[0]);
    second += A * A * weight * weight * (q[2] + 2 * shift * q[1] + shift * shift * q[0]);
  };
  for (const auto& [A, low, high] : {std::array{-b, -infinity, right}, std::array{1 - b, right, infinity}})
    switch (id) {
      case SuffixId::is_none:
      case SuffixId::is_token:
      case SuffixId::is_geometric:
        add(A, low, high, 1, 0);
        break;
      case SuffixId::is_sequence:
        add(A, low, std::min(high, cut), 1, 1);
        add(A, std::max(low, cut), high, cut < infinity ? used->arguments[0] : 0, 0);
        break;
      case SuffixId::mask:
        add(A, low, std::min(high, cut), 1, 1);
        break;
      default:
        fail("the weights ", used->suffix->pattern, " have no limit here");
    }
  return {mean / gradient, (second - mean * mean) / (gradient * gradient)};
}

}  // namespace lowvar
