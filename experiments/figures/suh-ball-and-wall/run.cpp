// A ball thrown over a wall, its angle smoothed by noise: exact means and variances of first- and
// zeroth-order gradients against the angle, beside batches of a hundred samples; and descent by the first,
// the zeroth and their alpha-order mix (Suh et al. 2022, figures 3 and 7).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "algorithms/exact/quadrature.h"
#include "core/parallel.h"
#include "core/random.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"

namespace lowvar {
namespace {

constexpr BallAndWall world;
constexpr std::uint64_t seed = 0;

// The sweep.
constexpr double sweep_sigma = 0.05;
constexpr int sweep_samples = 100;

// Descent.
constexpr double descent_sigma = 0.1, first_angle = 0.1, step_size = 0.1;
constexpr int descent_samples = 50, iterations = 1000, every = 10;
constexpr double tolerance = 0.01;  // gamma of alpha

/// Means and variances of single samples' estimates in a batch.
struct Batch {
  double first = 0, zeroth = 0, first_variance = 0, zeroth_variance = 0;
};
Batch sample(double theta, double sigma, int n, Rng& rng) {
  Batch out;
  double first2 = 0, zeroth2 = 0;
  const double here = reward(world, theta);
  for (int i = 0; i < n; ++i) {
    const double w = sigma * rng.normal(), slope = reward_slope(world, theta + w),
                 score = (reward(world, theta + w) - here) * w / (sigma * sigma);
    out.first += slope / n, first2 += slope * slope / n;
    out.zeroth += score / n, zeroth2 += score * score / n;
  }
  out.first_variance = (first2 - out.first * out.first) * n / (n - 1);
  out.zeroth_variance = (zeroth2 - out.zeroth * out.zeroth) * n / (n - 1);
  return out;
}

/// What the mix believes: that errors of a sample are at most `bound`, of which Bernstein's bound on the
/// error of the zeroth order, right with probability `confidence`, is made.
struct Trust {
  double confidence, bound;
};

/// The share of the first order that has the least variance, but with which the estimate is within
/// `tolerance` of the gradient, as far as the zeroth order can tell (Suh et al. 2022, lemma 4.1).
double alpha_of(const Batch& batch, int n, Trust trust) {
  const double log = -std::log(1 - trust.confidence), by_size = 2 * trust.bound * log / (3 * n);
  const double error = by_size + std::sqrt(by_size * by_size + 2 * batch.zeroth_variance * log / n);
  const double sum = batch.first_variance + batch.zeroth_variance,
               best = sum > 0 ? batch.zeroth_variance / sum : 1;
  const double left = tolerance - error, apart = std::abs(batch.first - batch.zeroth);
  return left <= 0 ? 0 : best * apart <= left ? best : left / apart;
}

/// The gradient that is followed: alpha of the first order, the rest of the zeroth.
struct Order {
  const char* name;
  double (*alpha)(const Batch& batch);
};
constexpr Order orders[] = {{"first", [](const Batch&) { return 1.; }},
                            {"zeroth", [](const Batch&) { return 0.; }},
                            {"mixed",
                             [](const Batch& b) {
                               return alpha_of(b, descent_samples, {0.95, 0.01});
                             }},
                            {"mixed, L = 1",
                             [](const Batch& b) {
                               return alpha_of(b, descent_samples, {0.95, 1});
                             }},
                            {"mixed, confidence 0.05", [](const Batch& b) {
                               return alpha_of(b, descent_samples, {0.05, 1});
                             }}};

double smoothed(double theta) {
  return score_function_moments(ball_and_wall_objective(world, theta, descent_sigma), theta, descent_sigma,
                                GaussianParameter::mu)
      .F;
}

/// Along one descent, `every` so many iterations: the angle, the smoothed cost, the mean share of the first
/// order since.
struct Path {
  std::vector<double> theta, F, alpha;
  template <class V>
  void visit(V&& f) {
    f("theta", theta), f("F", F), f("alpha", alpha);
  }
};
Path descend(const Order& order, int trial) {
  Path out;
  double theta = first_angle, share = 0;
  for (int t = 0; t <= iterations; ++t) {
    if (t % every == 0) {
      out.theta.push_back(theta), out.F.push_back(smoothed(theta));
      out.alpha.push_back(share / every);
      share = 0;
    }
    Rng rng(seed, "suh-ball-and-wall descent", static_cast<std::uint32_t>(trial),
            static_cast<std::uint32_t>(t));
    const Batch batch = sample(theta, descent_sigma, descent_samples, rng);
    const double alpha = order.alpha(batch);
    theta -= step_size * (alpha * batch.first + (1 - alpha) * batch.zeroth);
    share += alpha;
  }
  return out;
}

}  // namespace

Reproduction run_suh_ball_and_wall(Effort effort, bool check, const std::filesystem::path& out) {
  const auto points = static_cast<int>(choose(effort, 40, 160, 400)),
             repeats = static_cast<int>(choose(effort, 20, 100, 400)),
             trials = static_cast<int>(choose(effort, 10, 20, 100));
  OutputDirectory directory(out, {{"figure", "suh-ball-and-wall"},
                                  {"seed", seed},
                                  {"points", points},
                                  {"repeats", repeats},
                                  {"trials", trials},
                                  {"iterations", iterations}});
  std::string text;
  Csv csv({"part",
           "theta",
           "f",
           "F",
           "gradient",
           "first",
           "bias",
           "first_variance",
           "zeroth_variance",
           "zeroth_none",
           "zeroth_optimal",
           "first_sampled",
           "first_se",
           "zeroth_sampled",
           "zeroth_se",
           "order",
           "t",
           "angle",
           "angle_low",
           "angle_high",
           "cost",
           "cost_se",
           "alpha",
           "over"});
  const auto add = [&](const char* part, double theta, bool sampled) {
    const Integrand f = ball_and_wall_objective(world, theta, sweep_sigma);
    const auto score = score_function_moments(f, theta, sweep_sigma, GaussianParameter::mu);
    const auto path = pathwise_moments(f, theta, sweep_sigma, GaussianParameter::mu);
    Csv::Row row{{"part", part},
                 {"theta", fmt::format("{:.12g}", theta)},
                 {"f", f.f(theta)},
                 {"F", score.F},
                 {"gradient", score.gradient},
                 {"first", path.mean},
                 {"bias", path.mean - score.gradient},
                 {"first_variance", path.variance},
                 {"zeroth_variance", score.variance(f.f(theta))},
                 {"zeroth_none", score.variance(0)},
                 {"zeroth_optimal", score.optimal_variance}};
    if (sampled) {
      std::vector<double> first, zeroth;
      for (int repeat = 0; repeat < repeats; ++repeat) {
        Rng rng(seed, fmt::format("suh-ball-and-wall {:.12g}", theta), static_cast<std::uint32_t>(repeat));
        const Batch batch = sample(theta, sweep_sigma, sweep_samples, rng);
        first.push_back(batch.first), zeroth.push_back(batch.zeroth);
      }
      const Estimate one = mean_of(first), zero = mean_of(zeroth);
      row.insert(row.end(), {{"first_sampled", one.value},
                             {"first_se", one.se},
                             {"zeroth_sampled", zero.value},
                             {"zeroth_se", zero.se}});
    }
    csv.add_some(row);
  };
  Parts parts(directory);
  parts(csv, text, [&] {
    for (int i = 0; i <= points; ++i) add("curve", std::numbers::pi / 2 * i / points, false);
    for (const double theta : {0.2, 0.6, 0.8, 1.2}) add("table", theta, false);
    for (int i = 0; i <= 15; ++i) add("sampled", 0.05 + 0.1 * i, true);
  });
  for (const Order& order : orders)
    parts(csv, text, [&] {
      std::vector<Path> paths;
      ordered_reduce(
          trials, [&](int trial) { return descend(order, trial); },
          [&](int, const Path& path) { paths.push_back(path); });
      for (std::size_t k = 0; k < paths[0].theta.size(); ++k) {
        std::vector<double> angle, cost;
        double alpha = 0, over = 0;
        for (const Path& path : paths) {
          angle.push_back(path.theta[k]), cost.push_back(path.F[k]);
          alpha += path.alpha[k] / trials;
          // Smoothed, the best angle without clearing the wall costs 0.0036.
          over += path.F[k] < -0.005 ? 1. / trials : 0;
        }
        std::sort(angle.begin(), angle.end());
        const auto tenth = angle.size() / 10;
        const Estimate mean = mean_of(cost);
        csv.add_some({{"part", "descent"},
                      {"order", order.name},
                      {"t", static_cast<int>(k) * every},
                      {"angle", angle[angle.size() / 2]},
                      {"angle_low", angle[tenth]},
                      {"angle_high", angle[angle.size() - 1 - tenth]},
                      {"cost", mean.value},
                      {"cost_se", mean.se},
                      {"alpha", k > 0 ? alpha : NAN},
                      {"over", over}});
        if (k + 1 == paths[0].theta.size())
          text += fmt::format("{:<23} after {} steps the cost is {:.5f} +- {:.5f}, over the wall {:.2f}\n",
                              order.name, iterations, mean.value, mean.se, over);
      }
    });
  return publish("suh-ball-and-wall", directory, csv, check, std::move(text));
}

}  // namespace lowvar
