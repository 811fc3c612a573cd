#include <algorithm>
#include <charconv>
#include <cmath>

#include "experiments/cli/commands.h"

namespace lowvar::cli {

double real_option(const std::string& option, const std::string& text) {
  double value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  expect(error == std::errc{} && end == text.data() + text.size() && std::isfinite(value), option,
         " must be a number, got '", text, "'");
  return value;
}

long count_option(const std::string& option, const std::string& text, long low, long high) {
  double value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  expect(error == std::errc{} && end == text.data() + text.size() && value == std::floor(value) &&
             value >= static_cast<double>(low) && value <= static_cast<double>(high),
         option, " must be a whole number from ", low, " to ", high, ", got '", text, "'");
  return static_cast<long>(value);
}

std::uint64_t seed_option(const std::string& text) {
  std::uint64_t value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  expect(error == std::errc{} && end == text.data() + text.size(),
         "--seed must be a whole number from 0 to 2^64 - 1, got '", text, "'");
  return value;
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> out(1);
  for (const char c : list)
    if (c == ',')
      out.emplace_back();
    else
      out.back() += c;
  return out;
}

void add_checkpoint_work(CLI::App& app, std::string& seconds) {
  app.add_option("--checkpoint-work", seconds,
                 "seconds of one core, counted and not timed, between checkpoints (default: 30)");
}

void set_checkpoint_work(const std::string& seconds) {
  if (seconds.empty()) return;
  const double work = real_option("--checkpoint-work", seconds);
  expect(work >= 1e-6, "--checkpoint-work must be at least 1e-6 seconds, got ", work);
  seconds_between_checkpoints() = work;
}

void add_overwrite(CLI::App& app, bool& overwrite) {
  app.add_flag("--overwrite", overwrite, "remove the results of another run that the directory holds");
}

void Selection::add_to(CLI::App& app, bool required) {
  app.add_option("--env", env, "world id, or mdp:FILE")->required(required);
  app.add_option("--estimators", estimators, "names, separated by commas")->required(required);
  app.add_option("--policy", policy,
                 "reference | uniform | logits:FILE | init:SEED | run:DIR; of sequences also tied:FILE | "
                 "prefix:FILE | "
                 "kappa:K | gru:SEED[:WIDTH] | attention:SEED[:WIDTH]")
      ->capture_default_str();
  app.add_option("--behaviour", behaviour,
                 "the policy that acts, for estimators with importance weights (default: --policy)");
  app.add_option("--value", value,
                 "exact | scaled:C | zero | file:F | learned (default: exact where there is an oracle)");
  app.add_option("--gamma", gamma, "discount (default: the world's)");
  app.add_option("--horizon", horizon, "steps at most (default: the world's)");
  app.add_option("--batch", batch, "trajectories in a batch, for estimators that look at one (+whitened)")
      ->capture_default_str();
}

namespace {

/// Throws Error where an estimator cannot be had of this subject.
void expect_suits(const Subject& subject, const Estimator& e, bool off_policy) {
  const World& world = subject.world;
  expect(!off_policy || e.off_policy, "estimator '", e.name,
         "' has no importance weights, so --behaviour would bias it; ppo-clip:EPS, vtrace:RHO:C and what has "
         "a suffix "
         "such as +is-sequence take data of another policy");
  expect(!e.of_divergence || (world.sequences && world.sequences->reference.size() > 0), "estimator '",
         e.name, "' is of the divergence from a reference policy, and ", world.id, " says none");
  expect(!e.needs_greedy || world.mdp || world.differences, "estimator '", e.name,
         "' needs what the likeliest actions return, which is random in ", world.id, ", or not known");
  expect(!e.needs_states || world.mdp, "estimator '", e.name, "' needs a baseline of each state, and ",
         world.id, " has no states to tabulate");
  expect(!e.needs_dynamics || e.by_differences || world.dynamics, "estimator '", e.name,
         "' needs dynamics that can be differentiated, and those of ", world.id, " are not",
         world.differences ? "; pathwise-fd takes finite differences" : "");
  expect(!e.by_differences || world.differences, "estimator '", e.name,
         "' needs states and actions that are numbers, and no noise, which ", world.id, " has not");
  expect(!e.needs_action_values || world.A > 0, "estimator '", e.name,
         "' needs Q(s, a) for choices of action, and those of ", world.id, " are vectors");
}

}  // namespace

Subject subject_of(const Selection& s) {
  std::optional<double> gamma;
  std::optional<long> horizon;
  if (!s.gamma.empty()) gamma = real_option("--gamma", s.gamma);
  if (!s.horizon.empty()) horizon = count_option("--horizon", s.horizon, 1, 1'000'000);
  const bool off_policy = !s.behaviour.empty();
  Subject out;
  out.env = s.env;
  out.world = make_world(s.env, gamma, horizon);
  out.policy_name = s.policy;
  out.behaviour_name = off_policy ? s.behaviour : s.policy;
  out.policy = make_policy(out.world, out.policy_name);
  out.behaviour = make_policy(out.world, out.behaviour_name);
  out.value = s.value.empty() ? (out.world.known() ? "exact" : "learned") : s.value;
  out.batch = static_cast<int>(count_option("--batch", s.batch, 2, 1'000'000));
  for (const auto& name : split(s.estimators)) {
    out.estimators.push_back(make_estimator(name));
    expect_suits(out, out.estimators.back(), off_policy);
  }
  return out;
}

}  // namespace lowvar::cli
