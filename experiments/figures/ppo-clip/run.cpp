// PPO's clipped surrogate, one term (Schulman et al. 2017, figure 1): L(r) = min(r A, clip(r, 1-e, 1+e) A)
// against the probability ratio r, for A = 1 and A = -1. Its slope is taken by the project's own
// differentiation, through the surrogate that `ppo-clip` is trained and measured with: zero exactly where A >
// 0 and r > 1 + e, or A < 0 and r < 1 - e, else A.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "algorithms/estimators/surrogates.h"
#include "experiments/figures/figures.h"

namespace lowvar {
namespace {

constexpr double epsilon = 0.2;
constexpr double advantages[] = {1, -1};

}  // namespace

Reproduction run_ppo_clip(Effort effort, bool check, const std::filesystem::path& out) {
  const auto cells = static_cast<int>(choose(effort, 40, 80, 800));  // of r from 0 to 2
  OutputDirectory directory(out, {{"figure", "ppo-clip"}, {"epsilon", epsilon}, {"cells", cells}});
  const Surrogate surrogate = ppo_clip(epsilon);

  Csv csv({"A", "part", "r", "region", "L", "L_expected", "unclipped", "slope", "slope_expected"});
  for (const double A : advantages) {
    const auto L_at = [&](double r) { return std::min(r * A, std::clamp(r, 1 - epsilon, 1 + epsilon) * A); };
    for (const double r : {0.0, 1 - epsilon, 1 + epsilon, 2.0})
      csv.add_some({{"A", fmt::format("{}", A)},
                    {"part", "line"},
                    {"r", fmt::format("{}", r)},
                    {"L_expected", L_at(r)},
                    {"unclipped", r * A}});

    std::vector<double> ratio = {0.5, 1, 1.5};  // and the middles of equal cells, which meet no corner of L
    for (int i = 0; i < cells; ++i) ratio.push_back((i + 0.5) * 2 / cells);
    std::sort(ratio.begin(), ratio.end());
    const auto n = static_cast<int>(ratio.size());
    Array<double> log_pi = from_values<double>(n, 1, ratio);
    for (double& each : values(log_pi)) each = std::log(each);
    const Array<double> log_mu = zeros_like(log_pi), psi = full(n, 1, A);

    Tape<double> tape;
    const Var<double> x = tape.parameter(log_pi), L = surrogate(x, log_mu, psi);
    const Array<double> value = L.value(), dL = grad(sum(L), std::vector{x}).front();  // dL/dlog pi = r dL/dr
    for (int i = 0; i < n; ++i) {
      const double r = ratio[static_cast<std::size_t>(i)];
      const bool clipped = A > 0 ? r > 1 + epsilon : r < 1 - epsilon;
      csv.add({{"A", fmt::format("{}", A)},
               {"part", "point"},
               {"r", fmt::format("{}", r)},
               {"region", clipped ? "clipped" : "free"},
               {"L", value(i, 0)},
               {"L_expected", L_at(r)},
               {"unclipped", r * A},
               {"slope", dL(i, 0) / r},
               {"slope_expected", clipped ? 0 : A}});
    }
  }
  return publish("ppo-clip", directory, csv, check, "");
}

}  // namespace lowvar
