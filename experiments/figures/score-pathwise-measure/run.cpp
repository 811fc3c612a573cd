// Four estimators of d/dtheta E f(x; k), x ~ N(mu, sigma^2), at mu = sigma = 1 and for theta = mu and sigma:
// variance of one sample against k (Mohamed et al. 2020, figures 2 and 3), all by quadrature. Pathwise beats
// the score function while f is smooth on the scale of sigma, and loses beyond; the crossings are bisected.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "algorithms/exact/quadrature.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"

namespace lowvar {
namespace {

constexpr double mu = 1, sigma = 1;

struct Family {
  const char* name;
  Integrand (*at)(double k);
  double low, high;  // of k
  bool logarithmic;
  std::vector<double> table;  // the k of the reference values
  bool crosses;
};

const Family families[] = {
    {"quadratic",
     [](double k) {
       return Integrand{
           [k](double x) { return (x - k) * (x - k); }, [k](double x) { return 2 * (x - k); }, {}};
     },
     -3,
     3,
     false,
     {-3, -1, 0, 1, 3},
     false},
    {"exp",
     [](double k) {
       return Integrand{[k](double x) { return std::exp(-k * x * x); },
                        [k](double x) { return -2 * k * x * std::exp(-k * x * x); },
                        {}};
     },
     0.1,
     10,
     true,
     {0.1, 1, 10},
     true},
    {"cos",
     [](double k) {
       return Integrand{
           [k](double x) { return std::cos(k * x); }, [k](double x) { return -k * std::sin(k * x); }, {}};
     },
     0.5,
     5,
     true,
     {0.5, 1, 5},
     true},
};

constexpr struct {
  GaussianParameter theta;
  const char* name;
} parameters[] = {{GaussianParameter::mu, "mu"}, {GaussianParameter::sigma, "sigma"}};

/// The k where the variance of pathwise comes to exceed that of the score function, plain or with b*.
double crossing(const Family& family, GaussianParameter theta, bool optimal) {
  double low = family.low, high = family.high;
  for (int i = 0; i < 60; ++i) {
    const double k = std::sqrt(low * high);
    const auto score = score_function_moments(family.at(k), mu, sigma, theta);
    const double path = pathwise_moments(family.at(k), mu, sigma, theta).variance;
    (path < score.variance(optimal ? score.b_star : 0) ? low : high) = k;
  }
  return std::sqrt(low * high);
}

}  // namespace

Reproduction run_score_pathwise_measure(Effort effort, bool check, const std::filesystem::path& out) {
  const auto points = static_cast<int>(choose(effort, 25, 100, 400));
  OutputDirectory directory(
      out, {{"figure", "score-pathwise-measure"}, {"mu", mu}, {"sigma", sigma}, {"points", points}});
  std::string text;
  Csv csv({"family", "theta", "part", "k", "gradient", "score", "score_mean", "score_optimal", "pathwise",
           "measure_valued", "crossing", "disagreement"});
  Parts parts(directory);
  for (const Family& family : families)
    for (const auto& [theta, name] : parameters)
      parts(csv, text, [&, theta = theta, name = name] {
        double disagreement = 0;  // of the three estimators about the gradient
        const auto add = [&](const char* part, double k) {
          const Integrand f = family.at(k);
          const auto score = score_function_moments(f, mu, sigma, theta);
          const auto path = pathwise_moments(f, mu, sigma, theta),
                     measure = measure_valued_moments(f, mu, sigma, theta);
          disagreement = std::max(
              {disagreement, std::abs(path.mean - score.gradient), std::abs(measure.mean - score.gradient)});
          csv.add_some({{"family", family.name},
                        {"theta", name},
                        {"part", part},
                        {"k", fmt::format("{:.12g}", k)},
                        {"gradient", score.gradient},
                        {"score", score.variance(0)},
                        {"score_mean", score.variance(score.F)},
                        {"score_optimal", score.optimal_variance},
                        {"pathwise", path.variance},
                        {"measure_valued", measure.variance}});
        };
        for (int i = 0; i < points; ++i) {
          const double at = i / (points - 1.0);
          add("curve", family.logarithmic ? family.low * std::pow(family.high / family.low, at)
                                          : family.low + (family.high - family.low) * at);
        }
        for (const double k : family.table) add("table", k);
        csv.add_some(
            {{"family", family.name}, {"theta", name}, {"part", "worst"}, {"disagreement", disagreement}});
        text += fmt::format("{:<10} {:<6} the gradients agree to {:.1e}", family.name, name, disagreement);
        for (const bool optimal : {false, true}) {
          if (!family.crosses) continue;
          const double k = crossing(family, theta, optimal);
          csv.add_some({{"family", family.name},
                        {"theta", name},
                        {"part", optimal ? "crossing, b*" : "crossing"},
                        {"pathwise", pathwise_moments(family.at(k), mu, sigma, theta).variance},
                        {"crossing", k}});
          text += fmt::format(";  pathwise loses to {} from k = {:.5f}", optimal ? "b*" : "b = 0", k);
        }
        text += fmt::format("\n");
      });
  return publish("score-pathwise-measure", directory, csv, check, std::move(text));
}

}  // namespace lowvar
