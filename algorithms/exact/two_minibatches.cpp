#include "algorithms/exact/two_minibatches.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/parallel.h"

namespace lowvar {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// TwoMinibatches of one first group, before what they are less of is taken off.
struct Change {
  double H1 = 0, H2 = 0, top1 = 0, top2 = 0, outside = 0, pull = 0, apart = 0;

  template <class F>
  void visit(F&& f) {
    f("H1", H1), f("H2", H2), f("top1", top1), f("top2", top2), f("outside", outside), f("pull", pull);
    f("apart", apart);
  }
};

/// softmax(theta + eta g) to p; its entropy, log sum e^logit - sum p logit.
double step(std::span<const double> theta, double eta, std::span<const double> g, std::span<double> p) {
  double total = 0, logits = 0;
  for (std::size_t a = 0; a < p.size(); ++a) {
    const double logit = theta[a] + eta * g[a];
    p[a] = std::exp(logit);
    total += p[a], logits += p[a] * logit;
  }
  for (double& each : p) each /= total;
  return std::log(total) - logits / total;
}

/// sum_a x_a z_a to g, at probabilities p.
void along_scores(std::span<const double> x, std::span<const double> p, std::span<double> g) {
  double total = 0;
  for (const double each : x) total += each;
  for (std::size_t a = 0; a < p.size(); ++a) g[a] = x[a] - total * p[a];
}

}  // namespace

std::vector<CoinGroup> coin_groups(std::span<const double> p, int G, const GroupAdvantage& advantage) {
  expect(G >= 2, "a group needs at least 2 answers, got ", G);
  const int k = static_cast<int>(p.size());
  std::vector<CoinGroup> out;
  std::vector<int> chosen(at(G));  // 2 arm + reward, in order
  std::vector<double> r(at(G)), A(at(G));
  const auto choose = [&](const auto& self, int i, int from, double probability, int alike) -> void {
    if (i == G) {
      for (int j = 0; j < G; ++j) r[at(j)] = chosen[at(j)] % 2;
      advantage(r, A);
      out.push_back({probability, std::vector<double>(p.size()), std::vector<double>(p.size())});
      for (int j = 0; j < G; ++j)
        (A[at(j)] > 0 ? out.back().up : out.back().down)[at(chosen[at(j)] / 2)] += A[at(j)] / G;
      return;
    }
    for (int each = from; each < 2 * k; ++each) {
      chosen[at(i)] = each;
      // Orders of the first i + 1 are those of the first i times this, divided among those alike.
      const int same = i > 0 && each == from ? alike + 1 : 1;
      self(self, i + 1, each, probability * p[at(each / 2)] / 2 * (i + 1) / same, same);
    }
  };
  choose(choose, 0, 0, 1, 0);
  return out;
}

TwoMinibatches two_minibatches(std::span<const double> p, const std::vector<CoinGroup>& groups, double eta,
                               const ClipRange& clip) {
  const std::size_t k = p.size();
  double up = 0;
  for (const CoinGroup& each : groups)
    for (const double x : each.up) up += each.probability * x;
  TwoMinibatches out;
  ordered_reduce(
      static_cast<int>(groups.size()),
      [&](int i) {
        const CoinGroup& first = groups[at(i)];
        std::vector<double> theta(k), x(k), g(k), p1(k), p2(k), rho(k), mean(k), pull(k);
        for (std::size_t a = 0; a < k; ++a) theta[a] = std::log(p[a]), x[a] = first.up[a] + first.down[a];
        along_scores(x, p, g);
        Change c;
        c.H1 = step(theta, eta, g, p1), c.top1 = p1[0];
        for (std::size_t a = 0; a < k; ++a) theta[a] += eta * g[a];
        std::vector<char> above(k), below(k);
        for (std::size_t a = 0; a < k; ++a) {
          rho[a] = p1[a] / p[a];
          above[a] = rho[a] > 1 + clip.high, below[a] = rho[a] < 1 - clip.low;
          if (above[a] || below[a]) c.outside += p[a];
          x[a] = up * p[a] * rho[a] * (below[a] - above[a]);
        }
        along_scores(x, p1, pull);
        for (const CoinGroup& second : groups) {
          for (std::size_t a = 0; a < k; ++a)
            x[a] = rho[a] * ((above[a] ? 0 : second.up[a]) + (below[a] ? 0 : second.down[a]));
          along_scores(x, p1, g);
          c.H2 += second.probability * step(theta, eta, g, p2);
          c.top2 += second.probability * p2[0];
          for (std::size_t a = 0; a < k; ++a) mean[a] += second.probability * g[a];
        }
        for (std::size_t a = 0; a < k; ++a) {
          c.pull += mean[a] * mean[a];
          c.apart = std::max(c.apart, std::abs(mean[a] - pull[a]));
        }
        c.pull = std::sqrt(c.pull);
        return c;
      },
      [&](int i, const Change& c) {
        const double P = groups[at(i)].probability;
        out.H1 += P * c.H1, out.H2 += P * c.H2, out.top1 += P * c.top1, out.top2 += P * c.top2;
        out.outside += P * c.outside, out.pull += P * c.pull, out.apart = std::max(out.apart, c.apart);
      });
  double H = 0;
  for (const double each : p) H -= each * std::log(each);
  out.H1 -= H, out.H2 -= H, out.top1 -= p[0], out.top2 -= p[0];
  return out;
}

}  // namespace lowvar
