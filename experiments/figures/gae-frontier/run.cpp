// The bias-variance frontier of GAE: exact |bias|^2 and variance of one trajectory's estimate against lambda,
// with the exact critic V_t and with half of it; and lambda*(N), which minimises the mean squared error
// |bias|^2 + variance / N of an average over N trajectories. Sampled points at a few lambdas.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/exact/tabular.h"
#include "experiments/figures/figures.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

struct Panel {
  const char* world;
  long smoke, quick, full;  // trajectories
};
constexpr Panel panels[] = {{"chain", 2000, 200'000, 1'000'000}, {"four-rooms", 500, 20'000, 200'000}};
struct CriticName {
  const char* spec;
  const char* label;
};
constexpr CriticName critics[] = {{"exact", "V"}, {"scaled:0.5", "V/2"}};
constexpr const char* sampled[] = {"0", "0.5", "0.9", "0.95", "1"};
constexpr std::uint64_t seed = 0;
constexpr int decades = 5, per_decade = 4;

/// Exact |bias|^2 and variance at one lambda.
struct Point {
  double lambda, bias_sq, variance;
};

}  // namespace

int run_gae_frontier(Effort effort, bool check, const std::filesystem::path& out) {
  // lambda = 1 - (1 - i / grid)^2: finest near 1, where lambda* goes.
  const auto grid = static_cast<int>(choose(effort, 40, 100, 400));
  nlohmann::ordered_json config{{"figure", "gae-frontier"}, {"seed", seed}, {"grid", grid}};
  for (const Panel& p : panels) config["trajectories"][p.world] = choose(effort, p.smoke, p.quick, p.full);
  OutputDirectory directory(out, config);

  Csv csv({"world", "critic", "part", "rung", "lambda", "bias_sq", "bias_sq_se", "bias_sq_exact", "bias",
           "bias_se", "bias_exact", "variance", "variance_se", "variance_exact", "mse_exact", "n"});
  for (const Panel& panel : panels) {
    const World world = make_world(panel.world, {}, {});
    const PolicyChoice choice = make_policy(world, "reference");
    const Array<double> pi = table_of(world, choice.policy, choice.theta);
    const std::vector<double> gradient = policy_gradient(*world.mdp, pi);
    const long n = choose(effort, panel.smoke, panel.quick, panel.full);
    for (const auto& [spec, label] : critics) {
      const FittedCritic critic = make_critic(world, choice, spec, 0, seed);

      std::vector<Point> curve;
      for (int i = 0; i <= grid; ++i) {
        const double up = 1 - static_cast<double>(i) / grid, lambda = 1 - up * up;
        const auto exact = exact_moments(fmt::format("gae:{}", lambda), *world.mdp, pi, *critic.table);
        curve.push_back({lambda, std::pow(bias_norm(exact, gradient), 2), trace(exact)});
        csv.add({panel.world, label, "curve", "", fmt::format("{}", lambda), "", "",
                 number(curve.back().bias_sq), "", "", "", "", "", number(curve.back().variance),
                 number(curve.back().bias_sq + curve.back().variance), ""});
      }
      for (int i = 0; i <= decades * per_decade; ++i) {
        const double N = std::round(std::pow(10.0, static_cast<double>(i) / per_decade));
        const auto mse = [&](const Point& p) { return p.bias_sq + p.variance / N; };
        const Point best = *std::min_element(curve.begin(), curve.end(),
                                             [&](const Point& a, const Point& b) { return mse(a) < mse(b); });
        csv.add({panel.world, label, "best", fmt::format("N = {:.0f}", N), number(best.lambda), "", "",
                 number(best.bias_sq), "", "", "", "", "", number(best.variance), number(mse(best)),
                 fmt::format("{:.0f}", N)});
      }

      std::vector<Rung> rungs;
      std::vector<Truth> truth;
      for (const char* lambda : sampled) {
        rungs.push_back({make_estimator(fmt::format("gae:{}", lambda)), &choice.theta});
        truth.push_back(
            ask_oracle(world, choice.policy, choice.theta, choice.theta, rungs.back().estimator, critic.table)
                .truth);
      }
      Progress progress(fmt::format("{}, {}", panel.world, label));
      const Measured measured = measure(world, choice.policy, choice.theta, rungs, critic.critic,
                                        make_constants(world, choice, 0, seed),
                                        {.trajectories = n, .seed = seed, .progress = std::ref(progress)});
      for (std::size_t i = 0; i < rungs.size(); ++i) {
        const auto of = quantities(measured, rungs, truth, static_cast<int>(i), 0);
        const Quantity &variance = of[0], &bias = of[1], &bias_sq = of[2], &mse = of[3];
        csv.add({panel.world, label, "sampled", rungs[i].estimator.name, sampled[i],
                 number(bias_sq.sampled.value), number(bias_sq.sampled.se), number(*bias_sq.exact),
                 number(bias.sampled.value), number(bias.sampled.se), number(*bias.exact),
                 number(variance.sampled.value), number(variance.sampled.se), number(*variance.exact),
                 number(*mse.exact), std::to_string(n)});
        fmt::print(
            "{:<11} {:<4} {:<9} variance {:.6f} +- {:.6f}, exact {:.6f};  bias {:.5f} +- {:.5f}, exact "
            "{:.5f}\n",
            panel.world, label, rungs[i].estimator.name, variance.sampled.value, variance.sampled.se,
            *variance.exact, bias.sampled.value, bias.sampled.se, *bias.exact);
      }
    }
  }
  return publish("gae-frontier", directory, csv, check);
}

}  // namespace lowvar
