// Importance weights against the length of the answer: relative bias and noise to signal of no correction,
// the ratio of each token, of the answer's geometric mean, of all tokens so far and of the whole answer,
// truncated or masked too. Answers of L independent binary tokens, exact up to L = 16,384, beside the limit
// that depends on kappa = L KL(token) alone; and which weight has the least squared error from N answers.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "algorithms/exact/counting.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"

namespace lowvar {
namespace {

constexpr double c = 0.5;  // an answer is right from so many standard deviations above the mean on
constexpr int lengths[] = {16, 64, 256, 512, 1024, 2048, 4096, 16384};
constexpr double deltas[] = {0.005, 0.01, 0.02, 0.04};
constexpr int longest_cumulative = 1024, map_length = 1024;
constexpr double largest_kappa = 3.3;

struct Weight {
  const char *name, *suffix;
};
constexpr Weight weights[] = {{"none", "+is-none"},           {"token", "+is-token"},
                              {"geometric", "+is-geometric"}, {"cumulative", "+is-cumulative"},
                              {"sequence", "+is-sequence"},   {"truncated", "+is-sequence:3"},
                              {"masked", "+mask:3"}};
constexpr std::size_t none = 0, whole_answer = 4, masked = 6;

BinaryAnswers answers_of(int L, double delta) {
  return {L, static_cast<int>(std::ceil(L * (0.5 + delta) + std::sqrt(L) / 4 - 1e-9)), 0.5 + delta, 0.5};
}

/// Of an estimate from one answer, in units of the gradient.
struct Relative {
  double bias, nsr;
};
Relative counted(const BinaryAnswers& a, const Weight& weight, bool baseline) {
  const double gradient = a.gradient();
  const CountedMoments m =
      counted_moments(a, std::string("reinforce") + weight.suffix, baseline ? a.right(a.mu) : 0);
  return {m.mean / gradient - 1, m.variance / (gradient * gradient)};
}
Relative limit(double kappa, const Weight& weight, bool baseline) {
  const CountedMoments m = limit_moments(kappa, c, std::string("reinforce") + weight.suffix, baseline);
  return {m.mean - 1, m.variance};
}

}  // namespace

Reproduction run_staleness(Effort effort, bool check, const std::filesystem::path& out) {
  const long steps = choose(effort, 60, 120, 240);  // of kappa and of N
  OutputDirectory directory(out, {{"figure", "staleness"}, {"steps", steps}});
  Csv csv({"part", "weight", "baseline", "L", "delta", "kappa", "bias", "size", "nsr", "bias_limit",
           "nsr_limit", "bias_none", "N", "mse"});
  std::string text;
  Parts parts(directory);

  for (const int L : lengths)
    parts(csv, text, [&] {
      for (const double delta : deltas) {
        const BinaryAnswers a = answers_of(L, delta);
        if (a.divergence() > largest_kappa) continue;
        for (const bool baseline : {true, false})
          for (const Weight& weight : weights) {
            if (std::string(weight.name) == "cumulative" && L > longest_cumulative) continue;
            const Relative x = counted(a, weight, baseline), to = limit(a.divergence(), weight, baseline);
            csv.add_some({{"part", "counted"},
                          {"weight", weight.name},
                          {"baseline", baseline ? "yes" : "no"},
                          {"L", L},
                          {"delta", fmt::format("{}", delta)},
                          {"kappa", a.divergence()},
                          {"bias", x.bias},
                          {"size", std::abs(x.bias)},
                          {"nsr", x.nsr},
                          {"bias_limit", to.bias},
                          {"nsr_limit", to.nsr},
                          {"bias_none", counted(a, weights[none], baseline).bias}});
          }
      }
    });

  const auto add_limit = [&](const char* part, const std::string& name, double kappa, const Weight& weight,
                             bool baseline) {
    const Relative to = limit(kappa, weight, baseline);
    csv.add_some({{"part", part},
                  {"weight", weight.name},
                  {"baseline", baseline ? "yes" : "no"},
                  {"delta", name},
                  {"kappa", kappa},
                  {"size", std::abs(to.bias)},
                  {"bias_limit", to.bias},
                  {"nsr_limit", to.nsr}});
  };
  for (const bool baseline : {true, false})
    for (const Weight& weight : weights) {
      for (long i = 0; i <= steps; ++i)
        add_limit("limit", "",
                  1e-3 * std::pow(largest_kappa / 1e-3, static_cast<double>(i) / static_cast<double>(steps)),
                  weight, baseline);
      for (const double kappa : {0.0512, 0.2048, 0.8192})
        add_limit("limit at", fmt::format("{}", kappa), kappa, weight, baseline);
    }

  // From where on the mask is more biased than no correction.
  double low = 0.1, high = 0.4;
  for (int i = 0; i < 60; ++i) {
    const double kappa = (low + high) / 2;
    (std::abs(limit(kappa, weights[masked], true).bias) < std::abs(limit(kappa, weights[none], true).bias)
         ? low
         : high) = kappa;
  }
  csv.add_some({{"part", "crossing"}, {"weight", "masked"}, {"kappa", low}});
  text += fmt::format("the mask at 3 is more biased than no correction from kappa = {:.4f} on\n", low);

  // Which weight is the best for N answers, at one length and at deltas for which the threshold is no
  // rounding. Where truncation and masks do nothing they are the whole answer's ratio, so less must be
  // visibly less.
  parts(csv, text, [&] {
    for (int j = 2; 2.0 * j * j / map_length < largest_kappa; ++j) {
      const BinaryAnswers a = answers_of(map_length, static_cast<double>(j) / map_length);
      std::vector<Relative> of;
      for (const Weight& weight : weights) of.push_back(counted(a, weight, true));
      const auto mse = [&](std::size_t w, double N) { return of[w].bias * of[w].bias + of[w].nsr / N; };
      const auto add = [&](const char* part, std::size_t w, double N, bool parts_of_it) {
        csv.add_some({{"part", part},
                      {"weight", weights[w].name},
                      {"L", map_length},
                      {"delta", fmt::format("{}/{}", j, map_length)},
                      {"kappa", a.divergence()},
                      {"bias", parts_of_it ? of[w].bias : NAN},
                      {"nsr", parts_of_it ? of[w].nsr : NAN},
                      {"N", fmt::format("{:.6g}", N)},
                      {"mse", mse(w, N)}});
      };
      for (std::size_t w = 0; w < std::size(weights); ++w) add("error", w, 1000, true);
      for (long i = 0; i <= steps; ++i) {
        const double N = std::pow(10, 1 + 5 * static_cast<double>(i) / static_cast<double>(steps));
        std::size_t best = whole_answer;
        for (std::size_t w = 0; w < std::size(weights); ++w)
          if (mse(w, N) < 0.999 * mse(best, N)) best = w;
        add("best", best, N, false);
      }
    }
  });
  return publish("staleness", directory, csv, check, std::move(text));
}

}  // namespace lowvar
