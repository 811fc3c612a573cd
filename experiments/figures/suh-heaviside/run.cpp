// First- and zeroth-order gradients of a step, smoothed by noise: exact means and variances against theta,
// and of a step that is a ramp of width nu, against nu (Suh et al. 2022, figures 2 and 4); beside batches of
// a hundred samples.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "algorithms/exact/quadrature.h"
#include "core/random.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"

namespace lowvar {
namespace {

constexpr double sigma = 0.2, widest = 0.8, shown_ramp = 0.1;
constexpr int samples = 100;  // a batch
constexpr std::uint64_t seed = 0;

/// 0 below -nu / 2, 1 above nu / 2, and straight between.
Integrand ramp_objective(double nu) {
  return {[nu](double x) { return std::clamp(x / nu + 0.5, 0.0, 1.0); },
          [nu](double x) { return std::abs(x) < nu / 2 ? 1 / nu : 0; },
          {-nu / 2, nu / 2}};
}

/// Means over batches, and how many batches of the first order saw no slope at all.
struct Sampled {
  Estimate first, zeroth;
  double silent;
};
Sampled sample(const Integrand& f, const std::string& stream, double theta, int batches) {
  std::vector<double> first, zeroth;
  double silent = 0;
  for (int batch = 0; batch < batches; ++batch) {
    Rng rng(seed, stream, static_cast<std::uint32_t>(batch));
    double slope = 0, score = 0;
    for (int i = 0; i < samples; ++i) {
      const double w = sigma * rng.normal();
      slope += f.df(theta + w) / samples;
      score += (f.f(theta + w) - f.f(theta)) * w / (sigma * sigma) / samples;
    }
    first.push_back(slope), zeroth.push_back(score);
    silent += slope == 0 ? 1. / batches : 0;
  }
  return {mean_of(first), mean_of(zeroth), silent};
}

}  // namespace

Reproduction run_suh_heaviside(Effort effort, bool check, const std::filesystem::path& out) {
  const auto points = static_cast<int>(choose(effort, 40, 80, 160)),
             batches = static_cast<int>(choose(effort, 100, 400, 2000));
  OutputDirectory directory(out, {{"figure", "suh-heaviside"},
                                  {"seed", seed},
                                  {"sigma", sigma},
                                  {"points", points},
                                  {"samples", samples},
                                  {"batches", batches}});
  std::string text;
  Csv csv({"part", "objective", "theta", "nu", "f", "F", "gradient", "first", "first_variance",
           "zeroth_variance", "zeroth_none", "zeroth_optimal", "first_sampled", "first_se", "zeroth_sampled",
           "zeroth_se", "silent", "silent_sampled"});
  /// The chance that none of a batch meets the ramp.
  const auto silent = [](double theta, double nu) {
    const auto below = [&](double x) { return 0.5 * std::erfc((theta - x) / (sigma * std::sqrt(2.0))); };
    return std::pow(1 - (below(nu / 2) - below(-nu / 2)), samples);
  };
  const auto add = [&](const char* part, double theta, double nu, bool sampled) {
    const Integrand f = nu > 0 ? ramp_objective(nu) : heaviside_objective();
    const auto score = score_function_moments(f, theta, sigma, GaussianParameter::mu);
    const auto path = pathwise_moments(f, theta, sigma, GaussianParameter::mu);
    const std::string at = fmt::format("{:.12g}", theta), of = fmt::format("{:.12g}", nu);
    Csv::Row row{{"part", part},
                 {"objective", nu > 0 ? "ramp" : "step"},
                 {"theta", at},
                 {"nu", of},
                 {"f", f.f(theta)},
                 {"F", score.F},
                 {"gradient", score.gradient},
                 {"first", path.mean},
                 {"first_variance", path.variance},
                 {"zeroth_variance", score.variance(f.f(theta))},
                 {"zeroth_none", score.variance(0)},
                 {"zeroth_optimal", score.optimal_variance},
                 {"silent", silent(theta, nu)}};
    if (sampled) {
      const Sampled s = sample(f, fmt::format("suh-heaviside {} {}", at, of), theta, batches);
      row.insert(row.end(), {{"first_sampled", s.first.value},
                             {"first_se", s.first.se},
                             {"zeroth_sampled", s.zeroth.value},
                             {"zeroth_se", s.zeroth.se},
                             {"silent_sampled", s.silent}});
    }
    csv.add_some(row);
  };
  Parts parts(directory);
  parts(csv, text, [&] {
    for (const double nu : {0.0, shown_ramp})
      for (int i = 0; i <= points; ++i) add("curve", widest * (2. * i / points - 1), nu, false);
    for (const double theta : {-0.4, -0.2, -0.1, 0.0, 0.1, 0.2, 0.4}) add("table", theta, 0, false);
  });
  parts(csv, text, [&] {
    for (const double nu : {0.0, shown_ramp})
      for (int i = -7; i <= 7; ++i) add("sampled", 0.1 * i, nu, true);
  });
  parts(csv, text, [&] {
    for (const double nu : {1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001})
      add("width", 0, nu, true);
    for (const double nu : {0.1, 0.01, 0.001}) {
      const auto path = pathwise_moments(ramp_objective(nu), 0, sigma, GaussianParameter::mu);
      text += fmt::format(
          "a ramp of width {:<6} first order: variance {:8.2f}; a batch of {} sees no slope with probability "
          "{:.3f}\n",
          nu, path.variance, samples, silent(0, nu));
    }
  });
  return publish("suh-heaviside", directory, csv, check, std::move(text));
}

}  // namespace lowvar
