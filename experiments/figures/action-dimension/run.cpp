// The curse of the action dimension: the variance of score function gradients on the quadratic bandit of
// Silver et al. 2014 against its dimension m (after Wu et al. 2018, whose factorised baselines these are).
// Without a baseline it is O(m^3), with a state baseline O(m^2), with a factorised one O(m), like pathwise.
// Closed forms for the lines, and an own sampler, which knows none of them, for a few points.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "algorithms/exact/bandit.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"

namespace lowvar {
namespace {

constexpr double sigma = 0.5;
constexpr std::uint64_t seed = 0;
constexpr int batches = 40;  // of which each gives an estimate of the variance
constexpr int table[] = {1, 2, 10, 25, 50, 100, 400, 1000, 2000}, sampled[] = {2, 10, 50, 400, 2000};
enum { none, state, mean, optimal, pathwise, estimators };
constexpr const char* names[estimators] = {"none", "state", "factorised mean", "factorised optimal",
                                           "pathwise"};

/// tr Cov of each estimator, at theta = 0, from `batches` batches of n samples.
std::vector<Estimate> sample(const QuadraticBandit& bandit, int n) {
  const auto m = bandit.a_star.size();
  const double s2 = sigma * sigma;
  std::vector<double> c, e(m), u(m);
  for (std::size_t i = 0; i < m; ++i) c.push_back(bandit.C(i, i));
  const double J = expected_reward(bandit, std::vector<double>(m), sigma);

  std::vector<std::vector<double>> total(estimators);  // [estimator][batch]
  for (int b = 0; b < batches; ++b) {
    std::vector<double> sum(estimators * m), squares(estimators);
    Rng rng(seed, fmt::format("action-dimension {}", m), static_cast<std::uint32_t>(b));
    for (int k = 0; k < n; ++k) {
      double r = 0;
      for (std::size_t i = 0; i < m; ++i) {
        u[i] = rng.normal();
        e[i] = sigma * u[i] - bandit.a_star[i];
        r -= c[i] * e[i] * e[i];
      }
      for (std::size_t i = 0; i < m; ++i) {
        // All of r but what action i adds, and what i adds on average: by d = -a*, of u^2 for the optimal
        // one.
        const double others = r + c[i] * e[i] * e[i], d2 = bandit.a_star[i] * bandit.a_star[i],
                     z = u[i] / sigma;
        const double g[estimators] = {r * z, (r - J) * z, (r - (others - c[i] * (d2 + s2))) * z,
                                      (r - (others - c[i] * (d2 + 3 * s2))) * z, -2 * c[i] * e[i]};
        for (std::size_t j = 0; j < estimators; ++j) sum[j * m + i] += g[j], squares[j] += g[j] * g[j];
      }
    }
    for (std::size_t j = 0; j < estimators; ++j) {
      double centred = squares[j];
      for (std::size_t i = 0; i < m; ++i) centred -= sum[j * m + i] * sum[j * m + i] / n;
      total[j].push_back(centred / (n - 1));
    }
  }
  std::vector<Estimate> out;
  for (const auto& each : total) out.push_back(mean_of(each));
  return out;
}

}  // namespace

Reproduction run_action_dimension(Effort effort, bool check, const std::filesystem::path& out) {
  const auto normals = static_cast<int>(choose(effort, 20'000, 500'000, 5'000'000));  // a batch, at most
  const auto most = static_cast<int>(choose(effort, 500, 10'000, 100'000));  // samples a batch, at most
  OutputDirectory directory(out, {{"figure", "action-dimension"},
                                  {"seed", seed},
                                  {"sigma", sigma},
                                  {"batches", batches},
                                  {"normals", normals},
                                  {"most", most}});
  std::set<int> dimensions(std::begin(table), std::end(table));
  for (int i = 0; i <= 40; ++i) dimensions.insert(static_cast<int>(std::round(std::pow(2000, i / 40.0))));

  std::string text;
  Csv csv({"m", "estimator", "variance_exact", "gradient_norm_sq", "nsr", "variance", "variance_se", "n"});
  Parts parts(directory);
  for (const int m : dimensions)
    parts(csv, text, [&] {
      const QuadraticBandit bandit = silver_bandit(m);
      const std::vector<double> theta(static_cast<std::size_t>(m));  // d = -4
      const double J = expected_reward(bandit, theta, sigma);
      const double exact[] = {trace(score_function_moments(bandit, theta, sigma, 0)),
                              trace(score_function_moments(bandit, theta, sigma, J)),
                              trace(factorised_mean_moments(bandit, theta, sigma)),
                              trace(factorised_optimal_moments(bandit, theta, sigma)),
                              trace(pathwise_moments(bandit, theta, sigma))};
      double norm_sq = 0;
      for (const double x : policy_gradient(bandit, theta)) norm_sq += x * x;
      const bool draws = std::find(std::begin(sampled), std::end(sampled), m) != std::end(sampled);
      const int n = std::min(most, normals / m);
      const auto got = draws ? sample(bandit, n) : std::vector<Estimate>{};
      for (std::size_t j = 0; j < estimators; ++j) {
        Csv::Row row = {{"m", m},
                        {"estimator", names[j]},
                        {"variance_exact", exact[j]},
                        {"gradient_norm_sq", norm_sq},
                        {"nsr", exact[j] / norm_sq}};
        if (draws)
          row.insert(row.end(), {{"variance", got[j].value}, {"variance_se", got[j].se}, {"n", n * batches}});
        csv.add_some(row);
      }
      if (draws)
        text += fmt::format(
            "m = {:<5} state {:.5g} +- {:.2g}, exact {:.5g};  factorised {:.5g} +- {:.2g}, exact {:.5g}\n", m,
            got[state].value, got[state].se, exact[state], got[optimal].value, got[optimal].se,
            exact[optimal]);
      csv.add_some(
          {{"m", m}, {"estimator", "state over factorised"}, {"variance_exact", exact[state] / exact[mean]}});
      csv.add_some(
          {{"m", m}, {"estimator", "mean over optimal"}, {"variance_exact", exact[mean] / exact[optimal]}});
    });
  return publish("action-dimension", directory, csv, check, std::move(text));
}

}  // namespace lowvar
