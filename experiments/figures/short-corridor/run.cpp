// The short corridor of Sutton & Barto (2018), example 13.1, with its variances: exact moments of REINFORCE
// with and without baselines, by solving over its three states, and the learning curves of figures 13.1
// and 13.2.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "algorithms/exact/shared_logit.h"
#include "core/random.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"

namespace lowvar {
namespace {

constexpr std::uint64_t seed = 0;
constexpr int episodes = 1000;
constexpr double start = 1.47;  // the weights begin at -1.47 (right) and 1.47 (left): p is 0.05

/// Right is to the right in the first and the last of three states and to the left in the middle one; each
/// step costs 1. The parameter is the logit of right. With `reversed` false all states are alike.
ScoredChain corridor(double p, bool reversed = true) {
  const auto steps = [&](int right, int left) {
    return std::vector<ScoredStep>{{p, 1 - p, -1, right}, {1 - p, -p, -1, left}};
  };
  return {steps(1, 0), reversed ? steps(0, 2) : steps(2, 0), steps(-1, 1)};
}

/// The same with a logit for each state, of which that of `state` is the parameter.
ScoredChain of_one_logit(ScoredChain chain, std::size_t state) {
  for (std::size_t s = 0; s < chain.size(); ++s)
    for (ScoredStep& step : chain[s]) step.score *= s == state;
  return chain;
}

struct Curve {
  const char* name;
  double step, critic_step;  // of the weights; of the baseline, 0 without
};
const Curve curves[] = {{"2^-12", std::ldexp(1, -12), 0},
                        {"2^-13", std::ldexp(1, -13), 0},
                        {"2^-14", std::ldexp(1, -14), 0},
                        {"baseline", std::ldexp(1, -9), std::ldexp(1, -6)}};

/// The return of each episode of a run. The weights move once an episode, at the policy that acted; the
/// baseline, a number, moves at every step, and with it p is kept within [0.05, 0.95].
std::vector<double> learn(const Curve& curve, int run) {
  Rng rng(seed, fmt::format("short-corridor {}", curve.name), static_cast<std::uint32_t>(run));
  double right = -start, left = start, w = 0;
  std::vector<double> returns;
  std::vector<char> went_right;
  for (int episode = 0; episode < episodes; ++episode) {
    double p = 1 / (1 + std::exp(left - right));
    if (curve.critic_step > 0) p = std::clamp(p, 0.05, 0.95);
    const ScoredChain chain = corridor(p);
    went_right.clear();
    for (int s = 0; s >= 0;) {
      const bool is_right = rng.uniform() < p;
      went_right.push_back(is_right);
      s = chain[static_cast<std::size_t>(s)][is_right ? 0 : 1].next;
    }
    double gradient = 0;
    for (std::size_t t = 0; t < went_right.size(); ++t) {
      const double G = -static_cast<double>(went_right.size() - t), error = G - w;
      w += curve.critic_step * error;
      gradient += error * (went_right[t] - p);
    }
    right += curve.step * gradient, left -= curve.step * gradient;
    returns.push_back(-static_cast<double>(went_right.size()));
  }
  return returns;
}

}  // namespace

Reproduction run_short_corridor(Effort effort, bool check, const std::filesystem::path& out) {
  const int runs = static_cast<int>(choose(effort, 20, 30, 100));
  OutputDirectory directory(out, {{"figure", "short-corridor"}, {"seed", seed}, {"runs", runs}});
  Csv csv({"part", "world", "p", "estimator", "J", "J_formula", "gradient", "mean", "b", "variance", "curve",
           "episode", "value", "se"});
  std::string text;

  const double best = 2 - std::sqrt(2);
  const auto add = [&](const char* part, const char* world, double p, const ScoredChain& chain) {
    const auto moments = return_and_score(chain);
    const ReturnAndScore& m = moments.front();
    const double J = m[1][0], b = optimal_baseline(m);
    std::vector<double> V;
    for (const ReturnAndScore& each : moments) V.push_back(each[1][0]);
    const std::vector<double> none(V.size(), 0), constant(V.size(), J);
    const auto row = [&](const char* estimator, const OneParameterMoments& of, double baseline) {
      csv.add_some({{"part", part},
                    {"world", world},
                    {"p", fmt::format("{:.4g}", p)},
                    {"estimator", estimator},
                    {"J", J},
                    {"J_formula", std::string(world) == "corridor" ? (2 * p - 4) / (p * (1 - p)) : NAN},
                    {"gradient", m[1][1]},
                    {"mean", of.mean},
                    {"b", baseline},
                    {"variance", of.variance}});
    };
    row("reinforce", whole_return_moments(m, 0), 0);
    row("reinforce, b = J", whole_return_moments(m, J), J);
    row("reinforce, b*", whole_return_moments(m, b), b);
    row("to go", to_go_moments(chain, none).front(), 0);
    row("to go, constant", to_go_moments(chain, constant).front(), J);
    row("to go, V(s)", to_go_moments(chain, V).front(), NAN);
  };
  for (const double p : {0.05, 0.2, 0.5, best, 0.8, 0.95}) add("table", "corridor", p, corridor(p));
  add("table", "no state reversed", 0.5, corridor(0.5, false));
  for (const double p : {0.05, 0.5}) {
    const ScoredChain chain = corridor(p);
    const auto moments = return_and_score(chain);
    std::vector<double> V;
    for (const ReturnAndScore& each : moments) V.push_back(each[1][0]);
    const std::vector<double> constant(V.size(), V.front());
    for (const auto& [estimator, b] : {std::pair{"to go, constant", constant}, {"to go, V(s)", V}}) {
      double variance = 0;
      for (std::size_t s = 0; s < chain.size(); ++s)
        variance += to_go_moments(of_one_logit(chain, s), b).front().variance;
      csv.add_some({{"part", "table"},
                    {"world", "a logit for each state"},
                    {"p", fmt::format("{:.4g}", p)},
                    {"estimator", estimator},
                    {"J", V.front()},
                    {"variance", variance}});
    }
  }
  for (int i = 2; i <= 98; ++i) add("curve", "corridor", i / 100.0, corridor(i / 100.0));

  Parts parts(directory);
  for (const Curve& curve : curves)
    parts(csv, text, [&] {
      std::vector<std::vector<double>> all;
      for (int run = 0; run < runs; ++run) all.push_back(learn(curve, run));
      const auto window = [&](int first, int last) {  // episodes from 1 on, both included
        std::vector<double> means;
        for (const auto& returns : all) {
          double sum = 0;
          for (int e = first - 1; e < last; ++e) sum += returns[static_cast<std::size_t>(e)];
          means.push_back(sum / (last - first + 1));
        }
        return mean_of(means);
      };
      for (const auto& [first, last] : {std::pair{1, 20}, {190, 210}, {490, 510}, {950, 1000}}) {
        const auto [value, se] = window(first, last);
        csv.add_some({{"part", "window"},
                      {"curve", curve.name},
                      {"episode", fmt::format("{}-{}", first, last)},
                      {"value", value},
                      {"se", se}});
      }
      for (int e = 10; e <= episodes; e += 10) {
        const auto [value, se] = window(e - 9, e);
        csv.add_some(
            {{"part", "learning"}, {"curve", curve.name}, {"episode", e - 5}, {"value", value}, {"se", se}});
      }
      const auto [value, se] = window(950, 1000);
      text += fmt::format("{}: {:.2f} +- {:.2f} an episode at the end\n", curve.name, value, se);
    });
  return publish("short-corridor", directory, csv, check, std::move(text));
}

}  // namespace lowvar
