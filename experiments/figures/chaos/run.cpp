// Pathwise against the score function on a noisy circle map, at three strengths of its kick: exact variance
// of one trajectory's gradient against the number of steps, with their best mix; and what a hundred thousand
// trajectories show of it.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "algorithms/exact/noisy_circle.h"
#include "core/parallel.h"
#include "core/random.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"

namespace lowvar {
namespace {

constexpr double two_pi = 2 * std::numbers::pi;
constexpr int longest = 30, batches = 100;
constexpr std::uint64_t seed = 0;

/// Sums over trajectories, a step each.
struct Sums {
  std::vector<double> pathwise, pathwise2, score, score2;
  double log_slope = 0;  // mean of log |dx'/dx| over steps beyond the first ten
  template <class F>
  void visit(F&& f) {
    f("pathwise", pathwise), f("pathwise2", pathwise2), f("score", score), f("score2", score2);
    f("log_slope", log_slope);
  }
};

Sums sample(const NoisyCircle& circle, int batch, int trajectories) {
  const std::vector<double> none(longest, 0.0);
  Sums out{none, none, none, none};
  for (int i = 0; i < trajectories; ++i) {
    Rng rng(seed, fmt::format("chaos {}", circle.K), static_cast<std::uint32_t>(batch),
            static_cast<std::uint32_t>(i));
    double x = rng.uniform(), D = 0, S = 0;
    for (std::size_t t = 0; t < out.score.size(); ++t) {
      const double xi = rng.normal();
      const double slope = 1 + circle.K * std::cos(two_pi * x);
      if (t >= 10) out.log_slope += std::log(std::abs(slope)) / (longest - 10) / trajectories;
      D = slope * D + 1;
      S += xi / circle.sigma;
      x += circle.theta + circle.K / two_pi * std::sin(two_pi * x) + circle.sigma * xi;
      const double path = -two_pi * std::sin(two_pi * x) * D, score = std::cos(two_pi * x) * S;
      out.pathwise[t] += path, out.pathwise2[t] += path * path;
      out.score[t] += score, out.score2[t] += score * score;
    }
  }
  return out;
}

/// The variance in each batch, averaged.
Estimate variance_of(std::span<const Sums> all, std::size_t t, int n, std::vector<double> Sums::*sums,
                     std::vector<double> Sums::*squares) {
  std::vector<double> each;
  for (const Sums& s : all) {
    const double mean = (s.*sums)[t] / n;
    each.push_back(((s.*squares)[t] - n * mean * mean) / (n - 1));
  }
  return mean_of(each);
}

}  // namespace

Reproduction run_chaos(Effort effort, bool check, const std::filesystem::path& out) {
  const auto trajectories = static_cast<int>(choose(effort, 50, 1000, 10'000));  // a batch
  OutputDirectory directory(out, {{"figure", "chaos"},
                                  {"seed", seed},
                                  {"steps", longest},
                                  {"batches", batches},
                                  {"trajectories", trajectories}});
  std::string text;
  Csv csv({"part", "K", "H", "J", "gradient", "gradient_score", "pathwise", "score", "score_optimal", "mix",
           "pathwise_growth", "score_growth", "pathwise_sampled", "pathwise_se", "score_sampled", "score_se",
           "crossing", "lyapunov", "lyapunov_se"});
  Parts parts(directory);
  for (const double K : {0.5, 2.0, 6.0})
    parts(csv, text, [&] {
      const NoisyCircle circle{.K = K};
      const std::string name = fmt::format("{}", K);
      std::vector<Sums> sampled;
      ordered_reduce(
          batches, [&](int batch) { return sample(circle, batch, trajectories); },
          [&](int, const Sums& sums) { sampled.push_back(sums); });
      const auto exact = circle_moments(circle, longest);
      int crossing = 0;
      for (std::size_t t = 0; t < exact.size(); ++t) {
        const CircleMoments& m = exact[t];
        const double path = m.pathwise_variance, score = m.score_variance(0);
        if (crossing == 0 && path > score) crossing = static_cast<int>(t) + 1;
        const Estimate p = variance_of(sampled, t, trajectories, &Sums::pathwise, &Sums::pathwise2),
                       s = variance_of(sampled, t, trajectories, &Sums::score, &Sums::score2);
        csv.add_some({{"part", "step"},
                      {"K", name},
                      {"H", t + 1},
                      {"J", m.J},
                      {"gradient", m.pathwise_mean},
                      {"gradient_score", m.score_mean},
                      {"pathwise", path},
                      {"score", score},
                      {"score_optimal", m.score_optimal_variance},
                      {"mix", path * score / (path + score)},
                      {"pathwise_growth", t > 0 ? path / exact[t - 1].pathwise_variance : NAN},
                      {"score_growth", t > 0 ? score - exact[t - 1].score_variance(0) : NAN},
                      {"pathwise_sampled", p.value},
                      {"pathwise_se", p.se},
                      {"score_sampled", s.value},
                      {"score_se", s.se}});
      }
      std::vector<double> log_slopes;
      for (const Sums& sums : sampled) log_slopes.push_back(sums.log_slope);
      const Estimate lyapunov = mean_of(log_slopes);
      csv.add_some({{"part", "crossing"},
                    {"K", name},
                    {"crossing", crossing},
                    {"lyapunov", lyapunov.value},
                    {"lyapunov_se", lyapunov.se}});
      text += fmt::format(
          "K = {:<4} pathwise has more variance than the score function from {} steps on; neighbours' "
          "distance "
          "grows by exp({:.3f}) a step\n",
          K, crossing, lyapunov.value);
    });
  return publish("chaos", directory, csv, check, std::move(text));
}

}  // namespace lowvar
