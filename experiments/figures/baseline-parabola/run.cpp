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
#include "experiments/worlds.h"

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
double score_norm_sq(const Mdp& mdp, const Array<double>& pi) {
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

}  // namespace

int run_baseline_parabola(Effort effort, bool check, const std::filesystem::path& out) {
  const World chain = make_world("chain", {}, {}), rooms = make_world("four-rooms", {}, {});
  const Panel panels[] = {
      {bandit(), {{Table{1, 4}}, {{{0.3, -0.2, 0.5, -1.0}}}}, choose(effort, 2000, 200'000, 2'000'000)},
      {chain, make_policy(chain, "reference"), choose(effort, 2000, 200'000, 1'000'000)},
      {rooms, make_policy(rooms, "reference"), choose(effort, 500, 20'000, 200'000)},
  };
  nlohmann::ordered_json config{{"figure", "baseline-parabola"}, {"seed", seed}, {"points", points}};
  for (const Panel& p : panels) config["trajectories"][p.world.id] = p.trajectories;
  OutputDirectory directory(out, config);

  Csv csv({"world", "rung", "b", "trace_cov", "trace_cov_se", "trace_cov_exact", "parabola", "bias",
           "bias_se", "bias_exact", "score_norm_sq", "n"});
  for (const auto& [world, choice, n] : panels) {
    const Mdp& mdp = *world.mdp;
    const Array<double> pi = table_of(world, choice.policy, choice.theta);
    const Constants constants = make_constants(world, choice, 0, seed);
    const std::vector<double> gradient = policy_gradient(mdp, pi);
    const auto at = [&](int i, int of) {
      return constants.b_star * (1 + 4.0 / 3 * (2.0 * i / (of - 1) - 1));
    };
    const auto exact = [&](double b) {
      return reinforce_moments(mdp, pi, std::vector<double>(gradient.size(), b));
    };
    const double E_S2 = score_norm_sq(mdp, pi), least = trace(exact(constants.b_star));
    const auto parabola = [&](double b) {
      return least + (b - constants.b_star) * (b - constants.b_star) * E_S2;
    };

    for (int i = 0; i < curve; ++i)
      csv.add({world.id, "curve", number(at(i, curve)), "", "", number(trace(exact(at(i, curve)))),
               number(parabola(at(i, curve))), "", "", "", "", ""});

    std::vector<double> b = {0, constants.J, constants.b_star};
    std::vector<std::string> names = {"b = 0", "b = E R", "b = b*"};
    for (int i = 0; i < points; ++i)
      b.push_back(at(i, points)), names.push_back(fmt::format("point {}", i + 1));
    std::vector<Rung> rungs;
    std::vector<Truth> truth;
    const auto add = [&](Estimator estimator, ExactMoments moments) {
      rungs.push_back({std::move(estimator), &choice.theta});
      truth.push_back({gradient, std::move(moments.mean), std::move(moments.variance)});
    };
    for (const double each : b) add(reinforce_minus(each), exact(each));
    names.emplace_back("one for each parameter");
    add(make_estimator("reinforce-per-parameter"), reinforce_moments(mdp, pi, constants.b_i));

    Progress progress(world.id);
    const Measured measured = measure(world, choice.policy, choice.theta, rungs, nullptr, constants,
                                      {.trajectories = n, .seed = seed, .progress = std::ref(progress)});
    for (std::size_t i = 0; i < rungs.size(); ++i) {
      const auto of = quantities(measured, rungs, truth, static_cast<int>(i), 0);
      const Quantity &variance = of[0], &bias = of[1];
      csv.add({world.id, names[i], i < b.size() ? number(b[i]) : "", number(variance.sampled.value),
               number(variance.sampled.se), number(*variance.exact),
               i < b.size() ? number(parabola(b[i])) : "", number(bias.sampled.value),
               number(bias.sampled.se), number(*bias.exact), number(E_S2), std::to_string(n)});
      if (i < 3 || i >= b.size())
        fmt::print("{:<11} {:<23} {:>10.6f} +- {:.6f}  exact {:.6f}\n", world.id, names[i],
                   variance.sampled.value, variance.sampled.se, *variance.exact);
    }
  }
  return publish("baseline-parabola", directory, csv, check);
}

}  // namespace lowvar
