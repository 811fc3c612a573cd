// lowvar solve: optimal values and policy of a tabular world.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <map>

#include "experiments/cli/commands.h"

namespace lowvar::cli {
namespace {

struct Options {
  std::string env, method = "value-iteration", gamma, horizon, seed = "0", sweeps;
  bool json = false;
};

/// --method, with what belongs to it, put into the study.
void set_method(SolveStudy& study, const Options& o) {
  const std::string learned = "learned-model:";
  const std::map<std::string, SolveMethod> methods = {{"value-iteration", SolveMethod::value_iteration},
                                                      {"policy-iteration", SolveMethod::policy_iteration},
                                                      {"linear", SolveMethod::linear}};
  expect(o.sweeps.empty() || o.method == "policy-iteration", "--sweeps belongs to policy-iteration, not to ",
         o.method);
  if (!o.sweeps.empty()) study.sweeps = count_option("--sweeps", o.sweeps, 1, 1'000'000'000);
  if (o.method.starts_with(learned)) {
    study.method = SolveMethod::learned_model;
    study.episodes =
        count_option("EPISODES of learned-model", o.method.substr(learned.size()), 1, 100'000'000);
    return;
  }
  const auto method = methods.find(o.method);
  if (method == methods.end())
    throw Error(unknown_name("method", o.method,
                             {"value-iteration", "policy-iteration", "linear", "learned-model:EPISODES"}));
  study.method = method->second;
}

SolveStudy study_of(const Options& o) {
  std::optional<double> gamma;
  std::optional<long> horizon;
  if (!o.gamma.empty()) gamma = real_option("--gamma", o.gamma);
  if (!o.horizon.empty()) horizon = count_option("--horizon", o.horizon, 1, 1'000'000);
  SolveStudy study{.world = make_world(o.env, gamma, horizon), .finite_horizon = horizon.has_value()};
  study.seed = seed_option(o.seed);
  set_method(study, o);
  return study;
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

std::string as_text(const Grid& grid, const Mdp& mdp, const Plan& plan) {
  std::string out;
  for (int s = 0; s < mdp.S; ++s) {
    const auto i = static_cast<std::size_t>(s);
    if (s % (grid.rows * grid.cols) == 0) out += "\n";
    out += mdp.terminal[i] ? "·" : grid.arrows[static_cast<std::size_t>(plan.policy[i])];
    out += s % grid.cols == grid.cols - 1 ? "\n" : " ";
  }
  return out;
}

Json as_json(const SolveResult& result) {
  return {{"value_start", result.value_start},
          {"values", result.plan.values},
          {"policy", result.plan.policy},
          {"iterations", result.plan.iterations}};
}

std::string as_text(const SolveStudy& study, const SolveResult& result, const std::string& method) {
  const Mdp& mdp = *study.world.mdp;
  const Plan& plan = result.plan;
  const bool backward = study.finite_horizon && study.method != SolveMethod::learned_model;
  std::string out = fmt::format(
      "{}, gamma {}, {}, {}: {} iterations\nvalue of the start {:.12g}\n\n{:>8} {:>22} {:>8}\n",
      study.world.id, mdp.gamma, study.finite_horizon ? fmt::format("horizon {}", mdp.T) : "infinite horizon",
      backward ? "backward induction" : method, plan.iterations, result.value_start, "state", "value",
      "action");
  for (std::size_t s = 0; s < plan.values.size(); ++s)
    out += fmt::format("{:>8} {:>22.12g} {:>8}\n", s, plan.values[s],
                       mdp.terminal[s] ? "-" : fmt::format("{}", plan.policy[s]));
  if (const auto grid = grid_of(study.world)) out += as_text(*grid, mdp, plan);
  return out;
}

int solve(const Options& o) {
  const SolveStudy study = study_of(o);
  const SolveResult result = study_solve(study);
  print(o.json ? json_text(as_json(result)) : as_text(study, result, o.method));
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
