// What the updates of groups climb where the reward is 0 or 1 and there is one prompt: E[update] = w(p) grad
// p with p the probability of a right answer, so each is the gradient of H(p), the integral of w. w by the
// definitions of the estimators on every group, beside closed forms; H by quadrature, beside closed forms.
// And the share of right answers in the groups that dynamic sampling keeps, beside RLOO's gradient.
#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <numbers>
#include <set>

#include "algorithms/exact/group_classes.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"

namespace lowvar {
namespace {

/// Of p and the size G of a group; a closed form, null where there is none.
using Form = double (*)(double p, int G);

/// 1 - (1 - p)^k.
double any_right(double p, int k) { return -std::expm1(k * std::log1p(-p)); }
double right_and_wrong(double p, int G) { return any_right(p, G) - std::pow(p, G); }
double some_right(double p, int k) { return any_right(p, k) / p; }
/// sum_{k<=K} (1 - (1-p)^k) / k, whose derivative is some_right.
double harmonic(double p, int K) {
  double sum = 0;
  for (int k = 1; k <= K; ++k) sum += any_right(p, k) / k;
  return sum;
}

struct Method {
  const char* name;
  const char* estimator;  // {} is G
  Form w, H;
};
const Method methods[] = {
    {"RLOO", "rloo:{}", [](double, int) { return 1.0; }, [](double p, int) { return p; }},
    {"group mean", "mean:{}", [](double, int G) { return 1 - 1.0 / G; },
     [](double p, int G) { return (1 - 1.0 / G) * p; }},
    {"GRPO", "grpo:{}", nullptr, nullptr},
    {"MaxRL", "maxrl:{}", some_right, harmonic},
    {"GPG", "gpg:{}", [](double p, int G) { return some_right(p, G - 1); },
     [](double p, int G) { return harmonic(p, G - 1); }},
    {"PKPO-4", "pkpo:{}:4:loo1", [](double p, int) { return 4 * std::pow(1 - p, 3); },
     [](double p, int) { return -std::pow(1 - p, 4); }},
    {"best minus second", "best-second:{}", [](double p, int G) { return G * std::pow(1 - p, G - 1); },
     [](double p, int G) { return -std::pow(1 - p, G); }},
    {"dynamic mean", "mean:{}+dynamic", [](double p, int G) { return (1 - 1.0 / G) / right_and_wrong(p, G); },
     nullptr},
    {"dynamic GRPO", "grpo:{}+dynamic", nullptr, nullptr},
};
constexpr int sizes[] = {4, 8, 16, 64};
constexpr double named[] = {1e-6, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99};

/// E[update] of a policy with grad p = `slope`.
double mean_update(const std::string& estimator, double p, double slope) {
  const std::vector<double> right{slope / p}, wrong{-slope / (1 - p)}, square{0};
  return group_moments(estimator,
                       {{1, 1, p, right, square, right, square}, {0, 1, 1 - p, wrong, square, wrong, square}},
                       1)
      .mean[0];
}

/// E[K/G | 0 < K < G], K ~ Bin(G, p).
double mean_share(double p, int G) {
  double kept = 0, sum = 0, ways = G;
  for (int K = 1; K < G; ways *= static_cast<double>(G - K) / (K + 1), ++K) {
    const double P = ways * std::pow(p, K) * std::pow(1 - p, G - K);
    kept += P, sum += P * K / G;
  }
  return sum / kept;
}

/// The integral of w from 1/2 to each p, by Simpson's rule in log(p / (1 - p)).
std::vector<double> integrals(const std::vector<double>& p, const std::function<double(double)>& w) {
  const auto logit = [](double x) { return std::log(x / (1 - x)); };
  const auto between = [&](double from, double to) {
    const int steps = static_cast<int>(std::ceil((to - from) / 0.02));
    const double h = (to - from) / (2 * steps);
    double sum = 0;
    for (int i = 0; i <= 2 * steps; ++i) {
      const double x = 1 / (1 + std::exp(-(from + i * h)));
      sum += (i == 0 || i == 2 * steps ? 1 : i % 2 ? 4 : 2) * w(x) * x * (1 - x);
    }
    return sum * h / 3;
  };
  std::vector<double> H(p.size());
  const auto middle = static_cast<std::size_t>(std::ranges::find(p, 0.5) - p.begin());
  for (std::size_t i = middle + 1; i < p.size(); ++i) H[i] = H[i - 1] + between(logit(p[i - 1]), logit(p[i]));
  for (std::size_t i = middle; i-- > 0;) H[i] = H[i + 1] - between(logit(p[i]), logit(p[i + 1]));
  return H;
}

}  // namespace

Reproduction run_hidden_objectives(Effort effort, bool check, const std::filesystem::path& out) {
  const auto cells = static_cast<int>(choose(effort, 24, 120, 400));  // of the grid in p, 1/2 among them
  OutputDirectory directory(out, {{"figure", "hidden-objectives"}, {"cells", cells}});
  std::string text;
  Csv csv({"part", "method", "G", "p", "w", "w_formula", "pw", "over_half", "H", "H_formula", "H_scaled",
           "share", "share_formula", "share_bias", "gradient_bias"});
  std::set<double> all(std::begin(named), std::end(named));
  for (int i = 0; i <= cells; ++i) all.insert(1 / (1 + std::exp(7 - 14.0 * i / cells)));
  const std::vector<double> grid(all.begin(), all.end());
  const auto name_of = [](double p) { return fmt::format("{}", p); };

  Parts parts(directory);
  for (const int G : sizes)
    for (const Method& m : methods)
      parts(csv, text, [&] {
        const std::string estimator = fmt::format(fmt::runtime(m.estimator), G);
        const auto w = [&](double p) { return mean_update(estimator, p, 1); };
        const std::vector<double> H = integrals(grid, w);
        const double half = w(0.5);
        for (std::size_t i = 0; i < grid.size(); ++i) {
          const double p = grid[i], x = w(p);
          csv.add_some({{"part", "weight"},
                        {"method", m.name},
                        {"G", G},
                        {"p", name_of(p)},
                        {"w", x},
                        {"w_formula", m.w ? m.w(p, G) : NAN},
                        {"pw", p * x},
                        {"over_half", x / half},
                        {"H", H[i]},
                        {"H_formula", m.H ? m.H(p, G) - m.H(0.5, G) : NAN},
                        {"H_scaled", H[i] / half}});
          if (G == 8 && p == 0.01) text += fmt::format("G = 8, p = 0.01  {:<18} w = {:.5f}\n", m.name, x);
        }
      });

  // As G grows: GRPO's tends to the inverse of the rewards' standard deviation, MaxRL's to 1/p. The third is
  // no group's: (r - p) over a Beta density with both parameters 3/2 (BNPO).
  struct Limit {
    const char* method;
    double (*w)(double p);
    double (*H)(double p);
  };
  const Limit limits[] = {{"GRPO", [](double p) { return 1 / std::sqrt(p * (1 - p)); },
                           [](double p) { return 2 * std::asin(std::sqrt(p)) - std::numbers::pi / 2; }},
                          {"MaxRL", [](double p) { return 1 / p; }, [](double p) { return std::log(2 * p); }},
                          {"BNPO",
                           [](double p) {
                             const double B = std::tgamma(1.5) * std::tgamma(1.5) / std::tgamma(3.0);
                             return B / std::pow(p * (1 - p), 0.5);
                           },
                           nullptr}};
  for (const Limit& limit : limits) {
    const std::vector<double> H = integrals(grid, limit.w);
    for (std::size_t i = 0; i < grid.size(); ++i) {
      const double p = grid[i], x = limit.w(p);
      csv.add_some({{"part", "limit"},
                    {"method", limit.method},
                    {"G", "infinite"},
                    {"p", name_of(p)},
                    {"w", x},
                    {"w_formula",
                     std::string_view(limit.method) == "BNPO" ? std::numbers::pi / 8 * limits[0].w(p) : NAN},
                    {"over_half", x / limit.w(0.5)},
                    {"H", H[i]},
                    {"H_formula", limit.H ? limit.H(p) : NAN},
                    {"H_scaled", H[i] / limit.w(0.5)}});
    }
  }

  // One logit: grad p = p (1 - p).
  for (const int G : sizes)
    for (const double p : grid) {
      const double share = mean_share(p, G);
      csv.add_some({{"part", "advantage"},
                    {"method", "RLOO"},
                    {"G", G},
                    {"p", name_of(p)},
                    {"share", share},
                    {"share_formula", p * (1 - std::pow(p, G - 1)) / right_and_wrong(p, G)},
                    {"share_bias", p - share},
                    {"gradient_bias",
                     std::abs(mean_update(fmt::format("rloo:{}", G), p, p * (1 - p)) - p * (1 - p))}});
    }
  return publish("hidden-objectives", directory, csv, check, std::move(text));
}

}  // namespace lowvar
