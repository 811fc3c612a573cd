// lowvar solve: optimal values and policy of a tabular world.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <iostream>
#include <map>

#include "algorithms/exact/dynamic_programming.h"
#include "experiments/cli/commands.h"

namespace lowvar::cli {
namespace {

struct Options {
  std::string env, method = "value-iteration", gamma, horizon, seed = "0", sweeps;
  bool json = false;
};

Plan plan_of(const World& world, const Options& o, bool finite_horizon) {
  const Mdp& mdp = *world.mdp;
  const std::uint64_t seed = seed_option(o.seed);
  const std::string learned = "learned-model:";
  expect(o.sweeps.empty() || o.method == "policy-iteration", "--sweeps belongs to policy-iteration, not to ",
         o.method);
  const long sweeps = o.sweeps.empty() ? std::numeric_limits<long>::max()
                                       : count_option("--sweeps", o.sweeps, 1, 1'000'000'000);
  if (o.method.starts_with(learned))
    return plan_on_learned_model(
        mdp, count_option("EPISODES of learned-model", o.method.substr(learned.size()), 1, 100'000'000), seed,
        finite_horizon);
  const std::map<std::string, std::function<Plan()>> methods = {
      {"value-iteration", [&] { return value_iteration(mdp); }},
      {"policy-iteration", [&] { return modified_policy_iteration(mdp, sweeps); }},
      {"linear", [&] { return policy_iteration(mdp); }}};
  const auto method = methods.find(o.method);
  if (method == methods.end())
    throw Error(unknown_name("method", o.method,
                             {"value-iteration", "policy-iteration", "linear", "learned-model:EPISODES"}));
  return finite_horizon ? backward_induction(mdp) : method->second();
}

/// How a grid's states lie, row by row, in as many layers as there are states for, and what its actions do.
struct Grid {
  int rows, cols;
  std::array<const char*, 4> arrows;
};

std::optional<Grid> grid_of(const World& world) {
  constexpr std::array clockwise{"↑", "→", "↓", "←"}, lake{"←", "↓", "→", "↑"};
  if (world.id == "four-rooms") return Grid{10, 10, clockwise};
  if (world.id == "windy-grid") return Grid{7, 10, clockwise};
  if (world.id == "bombs-and-bitcoin") return Grid{4, 6, clockwise};
  if (world.id == "CliffWalking-v0") return Grid{4, 12, clockwise};
  if (!world.id.starts_with("FrozenLake")) return std::nullopt;
  const int side = static_cast<int>(std::lround(std::sqrt(world.mdp->S)));
  return Grid{side, side, lake};
}

void print_grid(const Mdp& mdp, const Plan& plan, const Grid& grid) {
  for (int s = 0; s < mdp.S; ++s) {
    const auto i = static_cast<std::size_t>(s);
    if (s % (grid.rows * grid.cols) == 0) fmt::print("\n");
    fmt::print("{}{}", mdp.terminal[i] ? "·" : grid.arrows[static_cast<std::size_t>(plan.policy[i])],
               s % grid.cols == grid.cols - 1 ? "\n" : " ");
  }
}

int solve(const Options& o) {
  std::optional<double> gamma;
  std::optional<long> horizon;
  if (!o.gamma.empty()) gamma = real_option("--gamma", o.gamma);
  if (!o.horizon.empty()) horizon = count_option("--horizon", o.horizon, 1, 1'000'000);
  const World world = make_world(o.env, gamma, horizon);
  expect(world.mdp != nullptr, "solve needs a world whose model is known, and ", world.id, " has none");
  const Mdp& mdp = *world.mdp;
  const Plan plan = plan_of(world, o, horizon.has_value());
  double value_start = 0;
  for (std::size_t s = 0; s < plan.values.size(); ++s) value_start += mdp.start[s] * plan.values[s];
  if (o.json) {
    Json out;
    out["value_start"] = value_start;
    out["values"] = plan.values;
    out["policy"] = plan.policy;
    out["iterations"] = plan.iterations;
    std::cout << out.dump(2) << "\n";
    return 0;
  }
  fmt::print("{}, gamma {}, {}, {}: {} iterations\nvalue of the start {:.12g}\n\n{:>8} {:>22} {:>8}\n",
             world.id, mdp.gamma, horizon ? fmt::format("horizon {}", mdp.T) : "infinite horizon",
             horizon && !o.method.starts_with("learned") ? "backward induction" : o.method, plan.iterations,
             value_start, "state", "value", "action");
  for (std::size_t s = 0; s < plan.values.size(); ++s)
    fmt::print("{:>8} {:>22.12g} {:>8}\n", s, plan.values[s],
               mdp.terminal[s] ? "-" : fmt::format("{}", plan.policy[s]));
  if (const auto grid = grid_of(world)) print_grid(mdp, plan, *grid);
  return 0;
}

}  // namespace

void add_solve(CLI::App& app, int& status) {
  auto* command = app.add_subcommand("solve", "optimal values and policy of a tabular world");
  auto o = std::make_shared<Options>();
  command->add_option("--env", o->env, "world id, or mdp:FILE")->required();
  command
      ->add_option("--method", o->method,
                   "value-iteration | policy-iteration | linear (policy iteration by linear solve) | "
                   "learned-model:EPISODES (plan on a model counted in episodes of the uniform policy; the "
                   "values are the plan's in the true model)")
      ->capture_default_str();
  command->add_option("--gamma", o->gamma, "discount (default: the world's)");
  command->add_option(
      "--horizon", o->horizon,
      "steps, by backward induction; values and policy are those of the first (default: no end)");
  command->add_option("--seed", o->seed, "of learned-model")->capture_default_str();
  command->add_option("--sweeps", o->sweeps,
                      "sweeps to evaluate each policy of policy-iteration (default: until nothing changes)");
  command->add_flag("--json", o->json, "print JSON");
  command->callback([=, &status] { status = solve(*o); });
}

}  // namespace lowvar::cli
