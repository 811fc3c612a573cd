#include "experiments/summary.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/error.h"
#include "core/random.h"

namespace lowvar {
namespace {

constexpr int resamplings = 2000;

std::vector<double> resampled(std::span<const double> x, Rng& rng) {
  std::vector<double> out;
  for (std::size_t i = 0; i < x.size(); ++i)
    out.push_back(x[static_cast<std::size_t>(rng.uniform() * static_cast<double>(x.size()))]);
  return out;
}

/// Quantile q with linear interpolation between order statistics.
double quantile(std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

template <class F>
std::array<double, 2> interval(F&& statistic) {
  Rng rng(0, "bootstrap");
  std::vector<double> draws;
  for (int i = 0; i < resamplings; ++i) draws.push_back(statistic(rng));
  std::sort(draws.begin(), draws.end());
  return {quantile(draws, 0.025), quantile(draws, 0.975)};
}

double improvement(std::span<const double> x, std::span<const double> y) {
  double sum = 0;
  for (const double a : x)
    for (const double b : y) sum += a > b ? 1 : a == b ? 0.5 : 0;
  return sum / static_cast<double>(x.size() * y.size());
}

}  // namespace

double interquartile_mean(std::span<const double> x) {
  expect(!x.empty(), "an interquartile mean needs a number at least");
  std::vector<double> sorted(x.begin(), x.end());
  std::sort(sorted.begin(), sorted.end());
  const auto cut = static_cast<std::ptrdiff_t>(sorted.size() / 4);
  return std::accumulate(sorted.begin() + cut, sorted.end() - cut, 0.0) /
         static_cast<double>(static_cast<std::ptrdiff_t>(sorted.size()) - 2 * cut);
}

std::array<double, 2> interquartile_mean_interval(std::span<const double> x) {
  return interval([&](Rng& rng) { return interquartile_mean(resampled(x, rng)); });
}

Improvement probability_of_improvement(std::span<const double> x, std::span<const double> y) {
  return {improvement(x, y), interval([&](Rng& rng) {
            const auto a = resampled(x, rng), b = resampled(y, rng);
            return improvement(a, b);
          })};
}

}  // namespace lowvar
