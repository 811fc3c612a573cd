#include "algorithms/measure/moments.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace lowvar {

Moments Moments::of(const Array<double>& g, const Array<double>& reference) {
  const int n = shape(g).rows;
  const auto d = static_cast<std::size_t>(shape(g).cols);
  Moments out;
  out.n = n;
  out.mean.assign(d, 0);
  out.m2.assign(d, 0);
  out.direction.assign(d, 0);
  for (int i = 0; i < n; ++i) {
    const double *x = row(g, i).data(), *y = row(reference, i).data();
    double norm = 0, difference = 0;
    for (std::size_t j = 0; j < d; ++j) {
      out.mean[j] += x[j];
      norm += x[j] * x[j];
      difference += (x[j] - y[j]) * (x[j] - y[j]);
    }
    out.norm_sq += norm;
    out.difference_sq += difference;
    out.largest_norm_sq = std::max(out.largest_norm_sq, norm);
  }
  for (double& each : out.mean) each /= std::max(1, n);
  for (int i = 0; i < n; ++i) {
    const double* x = row(g, i).data();
    for (std::size_t j = 0; j < d; ++j) out.m2[j] += (x[j] - out.mean[j]) * (x[j] - out.mean[j]);
  }
  return out;
}

bool Moments::fits(std::size_t d) const {
  if (n == 0 && mean.empty()) return m2.empty() && direction.empty();
  return mean.size() == d && m2.size() == d && (direction.empty() || direction.size() == d);
}

void Moments::merge(const Moments& other) {
  if (n == 0 && mean.empty()) {
    *this = other;
    return;
  }
  const double total = n + other.n;
  if (other.n > 0) {
    const double share = other.n / total, cross = n * other.n / total;
    for (std::size_t j = 0; j < mean.size(); ++j) {
      const double apart = other.mean[j] - mean[j];
      mean[j] += apart * share;
      m2[j] += other.m2[j] + apart * apart * cross;
    }
  }
  n = total;
  difference_sq += other.difference_sq;
  norm_sq += other.norm_sq;
  largest_norm_sq = std::max(largest_norm_sq, other.largest_norm_sq);
  batches += other.batches;
  directions += other.directions;
  direction.resize(std::max(direction.size(), other.direction.size()), 0);
  for (std::size_t j = 0; j < other.direction.size(); ++j) direction[j] += other.direction[j];
}

void Moments::add_batch(std::span<const double> g) {
  batches += 1;
  const double norm = std::sqrt(std::inner_product(g.begin(), g.end(), g.begin(), 0.0));
  if (!(norm > 0)) return;
  directions += 1;
  direction.resize(g.size(), 0);
  for (std::size_t j = 0; j < g.size(); ++j) direction[j] += g[j] / norm;
}

Moments Moments::without(const Moments& part) const {
  Moments out = *this;
  out.n = n - part.n;
  for (std::size_t j = 0; j < mean.size(); ++j) {
    out.mean[j] = (n * mean[j] - part.n * part.mean[j]) / out.n;
    const double apart = part.mean[j] - out.mean[j];
    out.m2[j] = std::max(0.0, m2[j] - part.m2[j] - apart * apart * part.n * out.n / n);
  }
  for (std::size_t j = 0; j < part.direction.size(); ++j) out.direction[j] -= part.direction[j];
  out.difference_sq = difference_sq - part.difference_sq;
  out.norm_sq = norm_sq - part.norm_sq;
  out.batches = batches - part.batches;
  out.directions = directions - part.directions;
  return out;
}

double Moments::trace_cov() const {
  double total = 0;
  for (const double each : m2) total += each;
  return total / (n - 1);
}

std::vector<Estimate> jackknife(const std::vector<std::vector<Moments>>& blocks, const Statistic& statistic) {
  std::vector<Moments> all(blocks.front().size());
  std::size_t used = 0;
  for (const auto& block : blocks) {
    if (block.front().n == 0) continue;
    ++used;
    for (std::size_t e = 0; e < all.size(); ++e) all[e].merge(block[e]);
  }
  const std::vector<double> value = statistic(all);
  std::vector<Estimate> out;
  for (const double v : value) out.push_back({v, std::numeric_limits<double>::quiet_NaN()});
  if (used < 2) return out;
  std::vector<std::vector<double>> left_out;
  for (const auto& block : blocks) {
    if (block.front().n == 0) continue;
    std::vector<Moments> rest;
    for (std::size_t e = 0; e < all.size(); ++e) {
      rest.push_back(all[e].without(block[e]));
      rest.back().largest_norm_sq = 0;  // a maximum cannot be taken back: that of the other blocks
      for (const auto& other : blocks)
        if (&other != &block)
          rest.back().largest_norm_sq = std::max(rest.back().largest_norm_sq, other[e].largest_norm_sq);
    }
    left_out.push_back(statistic(rest));
  }
  const auto B = static_cast<double>(used);
  for (std::size_t k = 0; k < value.size(); ++k) {
    double mean = 0, square = 0;
    for (const auto& each : left_out) mean += each[k] / B;
    for (const auto& each : left_out) square += (each[k] - mean) * (each[k] - mean);
    out[k].se = std::sqrt(square * (B - 1) / B);
  }
  return out;
}

}  // namespace lowvar
