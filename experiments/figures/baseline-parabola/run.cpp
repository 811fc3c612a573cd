// The baseline parabola: the variance of REINFORCE with a constant baseline, g = (R - b) S with S = sum_t
// z_t, is Var(b*) + (b - b*)^2 E|S|^2. Its minimum b* is neither 0 nor E R, and a baseline of its own for
// every parameter goes below it. Exact curves by the recursion of moments on a bandit and two tabular worlds,
// sampled points by the ruler that measures every estimator; all points of a world are of the same
// trajectories.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "algorithms/data/returns.h"
#include "algorithms/exact/tabular.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"
#include "experiments/study.h"

namespace lowvar {
namespace {

constexpr std::uint64_t seed = 0;
constexpr int points = 9, curve = 33;  // over b* -+ 4/3 |b*|, so that b = 0 and b = b* are among them

/// Four arms that always pay the same, as an MDP of one state and one step.
World bandit() {
  constexpr double r[] = {1, 0.2, -0.5, 2};
  return tabular_world("bandit", make_mdp(1, 4, 1, 1, {1}, {0}, [&](int, int a) {
                         return std::vector<Outcome>{{0, 1, r[a]}};
                       }));
}

struct Panel {
  World world;
  PolicyChoice choice;
  long trajectories;
};

struct Baseline {
  std::string name;
  double b;   // NaN where there is one for each parameter
  bool told;  // printed, and not only drawn
};

/// (R - b) sum_t z_t.
Estimator reinforce_minus(double b) {
  return {.name = fmt::format("b = {:.6g}", b),
          .weights = [b](const Trajectories& batch, const Constants& c) {
            Array<double> psi = zeros<double>(batch.rows(), 1);
            for (int i = 0; i < batch.size(); ++i)
              for (int r = batch.begin(i); r < batch.end(i); ++r)
                psi(r, 0) = discounted_return(batch.rewards(i), c.gamma) - b;
            return psi;
          }};
}

/// E|S|^2: scores of different steps are uncorrelated, and E|z_t|^2 = 1 - sum_a pi(a|s_t)^2.
double mean_score_norm_sq(const Mdp& mdp, const Array<double>& pi) {
  const Array<double> d = state_distribution(mdp, pi);
  double total = 0;
  for (int t = 0; t < mdp.T; ++t)
    for (int s = 0; s < mdp.S; ++s) {
      double spread = 1;
      for (const double p : row(pi, s)) spread -= p * p;
      total += d(t, s) * spread;
    }
  return total;
}

/// What is exactly known of constant baselines in one world.
struct Exact {
  const Mdp& mdp;
  Array<double> pi;
  Constants constants;
  std::vector<double> gradient;
  double score_norm_sq, least;  // E|S|^2, Var(b*)

  explicit Exact(const Panel& panel)
      : mdp(*panel.world.mdp),
        pi(table_of(panel.world, panel.choice.policy, panel.choice.theta)),
        constants(make_constants(panel.world, panel.choice, 0, seed)),
        gradient(policy_gradient(mdp, pi)),
        score_norm_sq(mean_score_norm_sq(mdp, pi)),
        least(trace(moments(constants.b_star))) {}

  ExactMoments moments(double b) const {
    return reinforce_moments(mdp, pi, std::vector<double>(gradient.size(), b));
  }
  double parabola(double b) const {
    return least + (b - constants.b_star) * (b - constants.b_star) * score_norm_sq;
  }
  /// The i-th of so many baselines over the width of the figure.
  double baseline(int i, int of) const { return constants.b_star * (1 + 4.0 / 3 * (2.0 * i / (of - 1) - 1)); }
};

std::vector<Baseline> baselines_of(const Exact& exact) {
  std::vector<Baseline> out = {
      {"b = 0", 0, true}, {"b = E R", exact.constants.J, true}, {"b = b*", exact.constants.b_star, true}};
  for (int i = 0; i < points; ++i)
    out.push_back({fmt::format("point {}", i + 1), exact.baseline(i, points), false});
  out.push_back({"one for each parameter", NAN, true});
  return out;
}

void add_curve(Csv& csv, const Panel& panel, const Exact& exact) {
  for (int i = 0; i < curve; ++i) {
    const double b = exact.baseline(i, curve);
    csv.add_some({{"world", panel.world.id},
                  {"rung", "curve"},
                  {"b", b},
                  {"trace_cov_exact", trace(exact.moments(b))},
                  {"parabola", exact.parabola(b)}});
  }
}

/// The sampled points; a line for each that is told.
std::string add_points(Csv& csv, const Panel& panel, const Exact& exact, Keeper keeper) {
  const auto& [world, choice, n] = panel;
  const std::vector<Baseline> baselines = baselines_of(exact);
  Lineup lineup;
  for (const Baseline& each : baselines) {
    const bool constant = !std::isnan(each.b);
    ExactMoments moments =
        constant ? exact.moments(each.b) : reinforce_moments(exact.mdp, exact.pi, exact.constants.b_i);
    lineup.add(constant ? reinforce_minus(each.b) : make_estimator("reinforce-per-parameter"), choice.theta,
               {{exact.gradient, std::move(moments.mean), std::move(moments.variance)}, ""});
  }
  Progress progress(world.id);
  const Measured measured =
      measure(world, choice.policy, choice.theta, lineup.rungs, nullptr, exact.constants,
              {.trajectories = n, .seed = seed, .progress = std::ref(progress), .keeper = std::move(keeper)});
  std::string text;
  for (std::size_t i = 0; i < baselines.size(); ++i) {
    const auto& [name, b, told] = baselines[i];
    const auto of = lineup.quantities(measured, static_cast<int>(i), lineup.rungs[i].estimator.name);
    const Quantity &variance = named(of, "trace_cov"), &bias = named(of, "bias_norm");
    csv.add({{"world", world.id},
             {"rung", name},
             {"b", b},
             {"trace_cov", variance.sampled.value},
             {"trace_cov_se", variance.sampled.se},
             {"trace_cov_exact", variance.exact},
             {"parabola", exact.parabola(b)},
             {"bias", bias.sampled.value},
             {"bias_se", bias.sampled.se},
             {"bias_exact", bias.exact},
             {"score_norm_sq", exact.score_norm_sq},
             {"n", n}});
    if (told)
      text += fmt::format("{:<11} {:<23} {:>10.6f} +- {:.6f}  exact {:.6f}\n", world.id, name,
                          variance.sampled.value, variance.sampled.se, *variance.exact);
  }
  return text;
}

}  // namespace

Reproduction run_baseline_parabola(Effort effort, bool check, const std::filesystem::path& out) {
  const World chain = make_world("chain", {}, {}), rooms = make_world("four-rooms", {}, {});
  const Panel panels[] = {
      {bandit(), {{Table{1, 4}}, {{{0.3, -0.2, 0.5, -1.0}}}}, choose(effort, 2000, 200'000, 2'000'000)},
      {chain, make_policy(chain, "reference"), choose(effort, 2000, 200'000, 1'000'000)},
      {rooms, make_policy(rooms, "reference"), choose(effort, 500, 20'000, 200'000)},
  };
  nlohmann::ordered_json config{{"figure", "baseline-parabola"}, {"seed", seed}, {"points", points}};
  for (const Panel& p : panels) config["trajectories"][p.world.id] = p.trajectories;
  OutputDirectory directory(out, config);

  std::string text;
  Csv csv({"world", "rung", "b", "trace_cov", "trace_cov_se", "trace_cov_exact", "parabola", "bias",
           "bias_se", "bias_exact", "score_norm_sq", "n"});
  Parts parts(directory);
  for (const Panel& panel : panels)
    parts(csv, text, [&] {
      const Exact exact(panel);
      add_curve(csv, panel, exact);
      text += add_points(csv, panel, exact, parts.keeper());
    });
  return publish("baseline-parabola", directory, csv, check, std::move(text));
}

}  // namespace lowvar
