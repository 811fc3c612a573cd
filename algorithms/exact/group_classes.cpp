#include "algorithms/exact/group_classes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "algorithms/exact/definitions.h"
#include "core/error.h"

namespace lowvar {

double count_compositions(std::size_t classes, int G, double limit) {
  double n = 1;
  for (std::size_t k = 1; k < classes && n <= limit; ++k)
    n = n * (static_cast<double>(G) + static_cast<double>(k)) / static_cast<double>(k);
  return std::min(n, limit + 1);
}

GroupMoments group_moments(std::string_view estimator, const std::vector<AnswerClass>& classes, int longest,
                           double limit) {
  const EstimatorName name = parse_estimator(estimator);
  expect(name.family->groups, "estimator \"", estimator, "\" is of no group");
  const int G = name.unit();
  const std::size_t C = classes.size();
  expect(count_compositions(C, G, limit) <= limit, "groups of ", G, " from ", C,
         " classes of answers are more than ", limit);
  const std::size_t d = classes.front().mean_up.size();
  GroupMoments out{std::vector<double>(d), std::vector<double>(d), 0};
  std::vector<double> log_factorial(static_cast<std::size_t>(G) + 1, 0);
  for (int k = 1; k <= G; ++k)
    log_factorial[static_cast<std::size_t>(k)] = log_factorial[static_cast<std::size_t>(k) - 1] + std::log(k);

  std::vector<int> count(C, 0);
  std::vector<double> R(static_cast<std::size_t>(G)), g(d);
  std::vector<int> length(static_cast<std::size_t>(G));
  const auto add = [&] {
    double log_p = log_factorial[static_cast<std::size_t>(G)];
    std::size_t i = 0;
    for (std::size_t c = 0; c < C; ++c) {
      if (count[c] == 0) continue;
      log_p +=
          count[c] * std::log(classes[c].probability) - log_factorial[static_cast<std::size_t>(count[c])];
      for (int k = 0; k < count[c]; ++k, ++i) R[i] = classes[c].R, length[i] = classes[c].length;
    }
    if (name.dynamic() && std::all_of(R.begin(), R.end(), [&](double r) { return r == R[0]; })) return;
    const double p = std::exp(log_p);
    out.kept += p;
    const std::vector<double> A = group_advantages(name, R, length);
    // Answers of a class may weigh differently (the best of several, say): each by itself.
    std::fill(g.begin(), g.end(), 0);
    i = 0;
    for (std::size_t c = 0; c < C; ++c)
      for (int k = 0; k < count[c]; ++k, ++i) {
        const double a = A[i] * aggregation_factor(name, length, i, longest);
        if (a == 0) continue;
        const auto& m = a > 0 ? classes[c].mean_up : classes[c].mean_down;
        const auto& q = a > 0 ? classes[c].square_up : classes[c].square_down;
        for (std::size_t j = 0; j < d; ++j) {
          g[j] += a * m[j];
          out.second[j] += p * a * a * (q[j] - m[j] * m[j]);
        }
      }
    for (std::size_t j = 0; j < d; ++j) {
      out.mean[j] += p * g[j];
      out.second[j] += p * g[j] * g[j];
    }
  };
  const auto choose = [&](const auto& self, std::size_t c, int left) -> void {
    if (c + 1 == C) {
      count[c] = left;
      if (left == 0 || classes[c].probability > 0) add();
      return;
    }
    for (int k = 0; k <= (classes[c].probability > 0 ? left : 0); ++k) {
      count[c] = k;
      self(self, c + 1, left - k);
    }
  };
  choose(choose, 0, G);
  expect(out.kept > 0, "no group of \"", estimator, "\" has returns that differ");
  for (std::size_t j = 0; j < d && name.dynamic(); ++j) out.mean[j] /= out.kept, out.second[j] /= out.kept;
  return out;
}

RightAndWrong right_and_wrong(const std::vector<AnswerClass>& classes) {
  RightAndWrong out;
  std::vector<double> gradient(classes.front().mean_up.size());
  for (const AnswerClass& c : classes) {
    expect(c.R == 0 || c.R == 1, "an answer was paid ", c.R, ", which is neither 0 nor 1");
    const double square = std::accumulate(c.square_up.begin(), c.square_up.end(), 0.0);
    (c.R == 1 ? out.right_sq : out.wrong_sq) += c.probability * square;
    if (c.R == 0) continue;
    out.p += c.probability;
    for (std::size_t j = 0; j < gradient.size(); ++j) gradient[j] += c.probability * c.mean_up[j];
  }
  out.right_sq /= out.p, out.wrong_sq /= 1 - out.p;
  out.gradient_sq = std::inner_product(gradient.begin(), gradient.end(), gradient.begin(), 0.0);
  return out;
}

std::vector<AnswerClass> classes_of(const RightAndWrong& a) {
  const double gradient = std::sqrt(a.gradient_sq);
  const std::vector<double> up{gradient / a.p}, down{-gradient / (1 - a.p)};
  return {{1, 1, a.p, up, {a.right_sq}, up, {a.right_sq}},
          {0, 1, 1 - a.p, down, {a.wrong_sq}, down, {a.wrong_sq}}};
}

double constant_baseline_variance(const RightAndWrong& a, double b) {
  return a.p * (1 - b) * (1 - b) * a.right_sq + (1 - a.p) * b * b * a.wrong_sq - a.gradient_sq;
}

double optimal_baseline(const RightAndWrong& a) {
  return a.p * a.right_sq / (a.p * a.right_sq + (1 - a.p) * a.wrong_sq);
}

double leave_one_out_variance(const RightAndWrong& a, int G) {
  expect(G >= 2, "a group that leaves one out has 2 answers at least, not ", G);
  const double others = a.p * (1 - a.p) / (G - 1);
  return a.p * a.right_sq * ((1 - a.p) * (1 - a.p) + others) + (1 - a.p) * a.wrong_sq * (a.p * a.p + others) -
         a.gradient_sq * (1 - 1.0 / (G - 1));
}

double ratio_from_which_groups_help(double p, int G) {
  const double share = (1 - p) / (G - 1);
  return (1 - p) * (p + share) / (p * (2 - p - share));
}

}  // namespace lowvar
