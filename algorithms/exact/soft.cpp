#include "algorithms/exact/soft.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace lowvar {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// What follows an action in a tree.
const Outcome& outcome(const Mdp& tree, int s, int a) {
  const auto all = tree.outcomes(s, a);
  expect(all.size() == 1 && (all[0].next > s || tree.terminal[at(all[0].next)]),
         "a recursion from the leaves needs a tree whose states are numbered from its root on; state ", s,
         ", action ", a);
  return all[0];
}

/// Leaves first: `choose(s, Q)` gives pi(.|s) from Q(s, .), and returns the state's own value.
Array<double> from_leaves(
    const Mdp& tree,
    const std::function<double(int s, const std::vector<double>& Q, std::span<double> pi)>& choose) {
  Array<double> pi = full<double>(tree.S, tree.A, 1.0 / tree.A);
  std::vector<double> V(at(tree.S), 0), Q(at(tree.A));
  for (int s = tree.S; s-- > 0;) {
    if (tree.terminal[at(s)]) continue;
    for (int a = 0; a < tree.A; ++a) {
      const Outcome& o = outcome(tree, s, a);
      Q[at(a)] = o.reward + V[at(o.next)];
    }
    V[at(s)] = choose(s, Q, row(pi, s));
  }
  return pi;
}

/// pi in proportion to ref e^{Q/beta}; log sum_a ref e^{Q/beta}.
double tilted(std::span<const double> ref, const std::vector<double>& Q, double beta, std::span<double> pi) {
  const double most = *std::max_element(Q.begin(), Q.end());
  double total = 0;
  for (std::size_t a = 0; a < Q.size(); ++a) total += pi[a] = ref[a] * std::exp((Q[a] - most) / beta);
  for (double& p : pi) p /= total;
  return most / beta + std::log(total);
}

double mean(std::span<const double> pi, const std::vector<double>& Q) {
  double V = 0;
  for (std::size_t a = 0; a < Q.size(); ++a) V += pi[a] * Q[a];
  return V;
}

}  // namespace

Array<double> soft_optimum(const Mdp& tree, const Array<double>& ref, double beta) {
  return from_leaves(tree, [&](int s, const std::vector<double>& U, std::span<double> pi) {
    return beta * tilted(row(ref, s), U, beta, pi);
  });
}

Array<double> partial_rest(const Mdp& tree, const Array<double>& ref, double beta) {
  return from_leaves(tree, [&](int s, const std::vector<double>& Q, std::span<double> pi) {
    tilted(row(ref, s), Q, beta, pi);
    return mean(pi, Q);
  });
}

Array<double> k3_rest(const Mdp& tree, const Array<double>& ref, double beta) {
  return from_leaves(tree, [&](int s, const std::vector<double>& Q, std::span<double> pi) {
    const auto r = row(ref, s);
    // At lambda = max (Q + beta ref) one share is 1 already; at max Q + beta all are at most ref.
    double low = -1e300, high = *std::max_element(Q.begin(), Q.end()) + beta;
    for (std::size_t a = 0; a < Q.size(); ++a) low = std::max(low, Q[a] + beta * r[a]);
    const auto total = [&](double lambda) {
      double sum = 0;
      for (std::size_t a = 0; a < Q.size(); ++a) sum += beta * r[a] / (lambda - Q[a]);
      return sum;
    };
    for (int i = 0; i < 200; ++i) {
      const double middle = low + (high - low) / 2;
      (total(middle) > 1 ? low : high) = middle;
    }
    const double lambda = low + (high - low) / 2, all = total(lambda);
    for (std::size_t a = 0; a < Q.size(); ++a) pi[a] = beta * r[a] / (lambda - Q[a]) / all;
    return mean(pi, Q);
  });
}

Regularised regularised(const Mdp& tree, const Array<double>& pi, const Array<double>& ref, double beta) {
  std::vector<double> J(at(tree.S), 0), KL = J;
  Regularised out{0, 0, 0};
  for (int s = tree.S; s-- > 0;) {
    if (tree.terminal[at(s)]) continue;
    for (int a = 0; a < tree.A; ++a) {
      if (pi(s, a) == 0) continue;
      const Outcome& o = outcome(tree, s, a);
      J[at(s)] += pi(s, a) * (o.reward + J[at(o.next)]);
      KL[at(s)] += pi(s, a) * (std::log(pi(s, a) / ref(s, a)) + KL[at(o.next)]);
    }
    out.J += tree.start[at(s)] * J[at(s)];
    out.KL += tree.start[at(s)] * KL[at(s)];
  }
  out.value = out.J - beta * out.KL;
  return out;
}

}  // namespace lowvar
