// The variance of REINFORCE in the gain grows like 1/sigma^2 as exploration shrinks (Han & Yang 2026): a
// missing state baseline. With V_t(s) subtracted from the reward to go it stays flat; a constant baseline
// does not help. In the log-std the state baseline changes the rate of the noise-to-signal ratio, sigma^-4
// to sigma^-2, not the fact. Exact lines, and sampled points of the gain's variance from trajectories of the
// same world.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "algorithms/exact/lqr.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"

namespace lowvar {
namespace {

constexpr double gain[] = {-1, -3};
constexpr const char* estimators[] = {"reinforce", "reinforce-optimal", "togo", "togo-value"};
constexpr const char* table[] = {"0.0001", "0.001", "0.01", "0.1", "1"};  // sigma^2
constexpr std::uint64_t seed = 0;
constexpr int batches = 40;

LinearGaussianPolicy policy_at(double sigma2) { return {{{gain[0], gain[1]}}, {std::log(sigma2) / 2}}; }

/// Variance of the gradient in K and its standard error, from `batches` batches of n trajectories, in the
/// order of `estimators`.
std::vector<Estimate> sample(const Lqg& world, double sigma2, double b, int n) {
  const QuadraticValues V = state_values(world, policy_at(sigma2));
  const auto T = static_cast<std::size_t>(world.T);
  std::vector<std::vector<double>> total(4);  // [estimator][batch]
  for (int batch = 0; batch < batches; ++batch) {
    double sum[4][2] = {}, squares[4] = {};
    Rng rng(seed, fmt::format("missing-baseline {}", sigma2), static_cast<std::uint32_t>(batch));
    for (int i = 0; i < n; ++i) {
      std::vector<double> s = reset(world, rng), r(T), v(T);
      std::vector<std::vector<double>> z(T);
      for (std::size_t t = 0; t < T; ++t) {
        const double noise = std::sqrt(sigma2) * rng.normal();
        v[t] = value(V, static_cast<int>(t), s);
        z[t] = {noise / sigma2 * s[0], noise / sigma2 * s[1]};
        const auto next = step(world, s, std::vector{gain[0] * s[0] + gain[1] * s[1] + noise}, rng);
        r[t] = next.reward;
        s = next.state;
      }
      double g[4][2] = {}, score[2] = {}, togo = 0;  // gamma = 1
      for (std::size_t t = T; t-- > 0;) {
        togo += r[t];
        for (std::size_t k = 0; k < 2; ++k)
          score[k] += z[t][k], g[2][k] += togo * z[t][k], g[3][k] += (togo - v[t]) * z[t][k];
      }
      for (std::size_t k = 0; k < 2; ++k) g[0][k] = togo * score[k], g[1][k] = (togo - b) * score[k];
      for (std::size_t j = 0; j < 4; ++j)
        for (std::size_t k = 0; k < 2; ++k) sum[j][k] += g[j][k], squares[j] += g[j][k] * g[j][k];
    }
    for (std::size_t j = 0; j < 4; ++j)
      total[j].push_back((squares[j] - (sum[j][0] * sum[j][0] + sum[j][1] * sum[j][1]) / n) / (n - 1));
  }
  std::vector<Estimate> out;
  for (const auto& each : total) out.push_back(mean_of(each));
  return out;
}

}  // namespace

Reproduction run_missing_baseline(Effort effort, bool check, const std::filesystem::path& out) {
  const auto n = static_cast<int>(choose(effort, 100, 2000, 20'000));  // trajectories a batch
  OutputDirectory directory(out,
                            {{"figure", "missing-baseline"}, {"seed", seed}, {"batches", batches}, {"n", n}});
  const Lqg world = double_integrator(1, 10);
  std::string text;
  Csv csv({"part", "sigma2", "estimator", "var_K", "var_K_se", "var_K_exact", "var_l_exact", "nsr_l"});
  const auto add = [&](const char* part, const std::string& variance, bool draws) {
    const double sigma2 = std::stod(variance);
    const LinearGaussianPolicy policy = policy_at(sigma2);
    const QuadraticValues V = state_values(world, policy);
    const double b = baseline_constants(world, policy, LqgParameters::K).b_star,
                 grad_l = policy_gradient(world, policy)[2];
    const auto sampled = draws ? sample(world, sigma2, b, n) : std::vector<Estimate>(4, {NAN, NAN});
    for (std::size_t j = 0; j < 4; ++j) {
      const double K = trace(exact_moments(estimators[j], world, policy, V, LqgParameters::K)),
                   l = trace(exact_moments(estimators[j], world, policy, V, LqgParameters::log_std));
      const auto [x, se] = sampled[j];
      csv.add({{"part", part},
               {"sigma2", variance},
               {"estimator", estimators[j]},
               {"var_K", x},
               {"var_K_se", se},
               {"var_K_exact", K},
               {"var_l_exact", l},
               {"nsr_l", l / (grad_l * grad_l)}});
      if (draws)
        text += fmt::format("sigma^2 = {:<7} {:<18} Var K {:.5g} +- {:.2g}, exact {:.5g};  NSR l {:.5g}\n",
                            variance, estimators[j], x, se, K, l / (grad_l * grad_l));
    }
  };
  Parts parts(directory);
  for (const char* sigma2 : table) parts(csv, text, [&] { add("table", sigma2, true); });
  for (int i = -16; i <= 4; ++i) add("curve", fmt::format("{:.6g}", std::pow(10, i / 4.0)), false);
  return publish("missing-baseline", directory, csv, check, std::move(text));
}

}  // namespace lowvar
