// The noise-to-signal ratio of REINFORCE, tr Cov(g) / |grad J|^2 over the gain and the log-std together, on
// the double integrator at T = 1 (Han & Yang 2026): their table, and the heat-map over the variances of
// action and initial state, which is a function of their ratio alone. Below, the variance against the
// horizon, estimator by estimator, in a stable, a marginal and an unstable system. All exact, by Gaussian
// moments.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "algorithms/exact/lqr.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"

namespace lowvar {
namespace {

constexpr struct {
  const char* name;
  double log_sigma2, sigma0_2;
} table[] = {
    {"large, large", 6, 10}, {"large, small", 6, 0.1}, {"small, small", -4, 0.1}, {"small, large", -4, 10}};
constexpr int horizon = 25;  // of the panels over T
constexpr int exponents[] = {6, 5, 4, 3, 2, 1, 0, -1, -2, -3, -4, -12};

constexpr struct {
  const char* name;
  double rho;
} systems[] = {{"0.9", 0.9}, {"1", 1.0}, {"1.118", 1.118}};
constexpr const char* estimators[] = {"reinforce", "reinforce-optimal", "togo", "togo-value", "td"};

/// A rotation by half a radian and a growth of rho each step, pushed along the second axis; K = 0,
/// sigma^2 = 0.1, Sigma_0 = I.
Lqg spiral(double rho, int T) {
  Lqg world = double_integrator(1, T);
  const double c = rho * std::cos(0.5), s = rho * std::sin(0.5);
  world.A = {{c, -s}, {s, c}};
  world.B = {{0}, {1}};
  return world;
}

/// Variances and squared norms of the gradient in K and in the log-std.
struct Point {
  double var_K, var_l, K2, l2;
  double nsr() const { return (var_K + var_l) / (K2 + l2); }
};

Point at(double sigma2, double sigma0_2) {
  Lqg world = double_integrator(1, 1);
  for (int i = 0; i < 2; ++i) world.Sigma_0(i, i) = sigma0_2;
  const LinearGaussianPolicy policy{{{-1, -3}}, {std::log(sigma2) / 2}};
  const ExactMoments m = exact_moments("reinforce", world, policy, zero_values(world));
  const std::vector<double> g = policy_gradient(world, policy);
  return {m.variance[0] + m.variance[1], m.variance[2], g[0] * g[0] + g[1] * g[1], g[2] * g[2]};
}

}  // namespace

Reproduction run_noise_to_signal(Effort effort, bool check, const std::filesystem::path& out) {
  const auto cells = static_cast<int>(choose(effort, 4, 8, 32));  // a decade
  OutputDirectory directory(out, {{"figure", "noise-to-signal"}, {"cells", cells}});
  std::string text;
  Csv csv({"part", "name", "sigma2", "sigma0_2", "var_K", "var_l", "norm_K", "norm_l", "nsr", "along", "rho",
           "T", "growth"});
  const auto add = [&](const char* part, const std::string& name, double sigma2, double sigma0_2,
                       double along) {
    const Point x = at(sigma2, sigma0_2);
    csv.add_some({{"part", part},
                  {"name", name},
                  {"sigma2", sigma2},
                  {"sigma0_2", sigma0_2},
                  {"var_K", x.var_K},
                  {"var_l", x.var_l},
                  {"norm_K", std::sqrt(x.K2)},
                  {"norm_l", std::sqrt(x.l2)},
                  {"nsr", x.nsr()},
                  {"along", along}});
  };
  for (const auto& [name, log_sigma2, sigma0_2] : table) {
    const Point x = at(std::exp(log_sigma2), sigma0_2);
    text += fmt::format("{:<13} Var K {:.4g}, Var l {:.4g}, NSR {:.4g}\n", name, x.var_K, x.var_l, x.nsr());
    add("table", name, std::exp(log_sigma2), sigma0_2, NAN);
  }
  for (const int e : exponents) add("ratio", fmt::format("1e{}", e), 1, std::pow(10, e), NAN);

  // The map, from 1e-4 to 1e4 both ways; `along` is the value where sigma^2 = 1 on the same diagonal.
  const int half = 4 * cells;
  Parts parts(directory);
  for (int i = -half; i <= half; ++i)
    parts(csv, text, [&] {
      for (int j = -half; j <= half; ++j)
        add("map", "", std::pow(10, static_cast<double>(i) / cells),
            std::pow(10, static_cast<double>(j) / cells),
            at(1, std::pow(10, static_cast<double>(j - i) / cells)).nsr());
    });

  const LinearGaussianPolicy idle{{{0, 0}}, {std::log(0.1) / 2}};
  for (const auto& [name, rho] : systems)
    for (const char* estimator : estimators) {
      double before = NAN;
      for (int T = 1; T <= horizon; ++T) {
        const Lqg world = spiral(rho, T);
        const double variance =
            trace(exact_moments(estimator, world, idle, state_values(world, idle), LqgParameters::K));
        csv.add_some({{"part", "horizon"},
                      {"name", estimator},
                      {"sigma2", "0.1"},
                      {"sigma0_2", "1"},
                      {"var_K", variance},
                      {"rho", name},
                      {"T", T},
                      {"growth", variance / before}});
        before = variance;
      }
      text += fmt::format("rho = {:<6} {:<18} Var K at T = {}: {:.5g}\n", name, estimator, horizon, before);
    }
  return publish("noise-to-signal", directory, csv, check, std::move(text));
}

}  // namespace lowvar
