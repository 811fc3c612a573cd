// The bias-variance frontier of GAE: exact |bias|^2 and variance of one trajectory's estimate against lambda,
// with the exact critic V_t and with half of it; and lambda*(N), which minimises the mean squared error
// |bias|^2 + variance / N of an average over N trajectories. Sampled points at a few lambdas.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/exact/tabular.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"
#include "experiments/study.h"

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

/// One panel: a world and a critic of its reference policy.
struct Setting {
  World world;
  PolicyChoice choice;
  FittedCritic critic;
  const char* label;  // of the critic
};

/// From lambda = 0 to 1 at lambda = 1 - (1 - i / grid)^2: finest near 1, where lambda* goes.
std::vector<Point> exact_curve(const Setting& at, int grid) {
  const Array<double> pi = table_of(at.world, at.choice.policy, at.choice.theta);
  const std::vector<double> gradient = policy_gradient(*at.world.mdp, pi);
  std::vector<Point> curve;
  for (int i = 0; i <= grid; ++i) {
    const double up = 1 - static_cast<double>(i) / grid, lambda = 1 - up * up;
    const auto exact = exact_moments(fmt::format("gae:{}", lambda), *at.world.mdp, pi, *at.critic.table);
    curve.push_back({lambda, std::pow(bias_norm(exact, gradient), 2), trace(exact)});
  }
  return curve;
}

void add_curve(Csv& csv, const Setting& at, const std::vector<Point>& curve) {
  for (const Point& point : curve)
    csv.add_some({{"world", at.world.id},
                  {"critic", at.label},
                  {"part", "curve"},
                  {"lambda", fmt::format("{}", point.lambda)},
                  {"bias_sq_exact", point.bias_sq},
                  {"variance_exact", point.variance},
                  {"mse_exact", point.bias_sq + point.variance}});
}

/// lambda*(N), and what it reaches.
void add_best(Csv& csv, const Setting& at, const std::vector<Point>& curve) {
  for (int i = 0; i <= decades * per_decade; ++i) {
    const double N = std::round(std::pow(10.0, static_cast<double>(i) / per_decade));
    const auto mse = [&](const Point& p) { return p.bias_sq + p.variance / N; };
    const Point best = *std::min_element(curve.begin(), curve.end(),
                                         [&](const Point& x, const Point& y) { return mse(x) < mse(y); });
    csv.add_some({{"world", at.world.id},
                  {"critic", at.label},
                  {"part", "best"},
                  {"rung", fmt::format("N = {:.0f}", N)},
                  {"lambda", best.lambda},
                  {"bias_sq_exact", best.bias_sq},
                  {"variance_exact", best.variance},
                  {"mse_exact", mse(best)},
                  {"n", fmt::format("{:.0f}", N)}});
  }
}

/// The sampled points from n trajectories; a line for each.
std::string add_sampled(Csv& csv, const Setting& at, long n, Keeper keeper) {
  const auto& [policy, theta] = at.choice;
  Lineup lineup;
  for (const char* lambda : sampled) {
    const Estimator gae = make_estimator(fmt::format("gae:{}", lambda));
    lineup.add(gae, theta, ask_oracle(at.world, policy, theta, theta, gae, at.critic.table));
  }
  Progress progress(fmt::format("{}, {}", at.world.id, at.label));
  const Measured measured = measure(
      at.world, policy, theta, lineup.rungs, at.critic.critic, make_constants(at.world, at.choice, 0, seed),
      {.trajectories = n, .seed = seed, .progress = std::ref(progress), .keeper = std::move(keeper)});
  std::string text;
  for (const char* lambda : sampled) {
    const std::string name = fmt::format("gae:{}", lambda);
    const auto of = lineup.quantities(measured, lineup.at(name), name);
    const Quantity &variance = named(of, "trace_cov"), &bias = named(of, "bias_norm"),
                   &bias_sq = named(of, "bias_sq");
    csv.add({{"world", at.world.id},
             {"critic", at.label},
             {"part", "sampled"},
             {"rung", name},
             {"lambda", lambda},
             {"bias_sq", bias_sq.sampled.value},
             {"bias_sq_se", bias_sq.sampled.se},
             {"bias_sq_exact", bias_sq.exact},
             {"bias", bias.sampled.value},
             {"bias_se", bias.sampled.se},
             {"bias_exact", bias.exact},
             {"variance", variance.sampled.value},
             {"variance_se", variance.sampled.se},
             {"variance_exact", variance.exact},
             {"mse_exact", named(of, "mse").exact},
             {"n", n}});
    text += fmt::format(
        "{:<11} {:<4} {:<9} variance {:.6f} +- {:.6f}, exact {:.6f};  bias {:.5f} +- {:.5f}, exact {:.5f}\n",
        at.world.id, at.label, name, variance.sampled.value, variance.sampled.se, *variance.exact,
        bias.sampled.value, bias.sampled.se, *bias.exact);
  }
  return text;
}

}  // namespace

Reproduction run_gae_frontier(Effort effort, bool check, const std::filesystem::path& out) {
  const auto grid = static_cast<int>(choose(effort, 40, 100, 400));
  nlohmann::ordered_json config{{"figure", "gae-frontier"}, {"seed", seed}, {"grid", grid}};
  for (const Panel& p : panels) config["trajectories"][p.world] = choose(effort, p.smoke, p.quick, p.full);
  OutputDirectory directory(out, config);

  std::string text;
  Csv csv({"world", "critic", "part", "rung", "lambda", "bias_sq", "bias_sq_se", "bias_sq_exact", "bias",
           "bias_se", "bias_exact", "variance", "variance_se", "variance_exact", "mse_exact", "n"});
  Parts parts(directory);
  for (const Panel& panel : panels)
    for (const auto& [spec, label] : critics)
      parts(csv, text, [&, spec = spec, label = label] {
        Setting at{make_world(panel.world, {}, {}), {}, {}, label};
        at.choice = make_policy(at.world, "reference");
        at.critic = make_critic(at.world, at.choice, spec, 0, seed);
        const std::vector<Point> curve = exact_curve(at, grid);
        add_curve(csv, at, curve);
        add_best(csv, at, curve);
        text += add_sampled(csv, at, choose(effort, panel.smoke, panel.quick, panel.full), parts.keeper());
      });
  return publish("gae-frontier", directory, csv, check, std::move(text));
}

}  // namespace lowvar
