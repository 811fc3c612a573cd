#include "experiments/models.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "experiments/algorithms.h"

namespace lowvar {

namespace {

std::vector<const WorldModel*>& models() {
  static std::vector<const WorldModel*> all = {&sequence_model, &tabular_model, &linear_quadratic_model,
                                               &ball_and_wall_model, &unknown_model};
  return all;
}

}  // namespace

void add_model(const WorldModel& model) { models().insert(models().begin(), &model); }

const WorldModel& model_of(const World& world) {
  return **std::find_if(models().begin(), models().end(),
                        [&](const WorldModel* model) { return model->describes(world); });
}

PolicyChoice make_policy(const World& world, const std::string& spec) {
  if (spec.starts_with("run:")) {
    const Learned learned = read_learned(policy_file(spec.substr(4)), world);
    return {learned.policy, learned.theta};
  }
  return model_of(world).policy(world, spec);
}

namespace {

FittedCritic zero_critic(int A) {
  return {[A](Trajectories& batch) {
            batch.value.assign(static_cast<std::size_t>(batch.rows()), 0);
            batch.next_value = batch.value;
            if (A) batch.action_values = zeros<double>(batch.rows(), A);
          },
          std::nullopt};
}

}  // namespace

FittedCritic make_critic(const World& world, const PolicyChoice& behaviour, const std::string& spec,
                         int pilot, std::uint64_t seed, bool of_actions) {
  if (spec == "learned") return fit_critic(world, behaviour.policy, behaviour.theta, pilot, seed, of_actions);
  if (spec.starts_with("file:")) return read_critic(world, spec, of_actions);
  double scale = spec == "zero" ? 0 : 1;
  if (spec.starts_with("scaled:")) {
    const auto number = real(std::string_view(spec).substr(7));
    expect(number.has_value(), "value '", spec, "': the factor must be a number, as in scaled:0.5");
    scale = *number;
  } else {
    expect(spec == "exact" || spec == "zero", "unknown value '", spec,
           "'; known: exact, scaled:C, zero, file:F, learned");
  }
  const WorldModel& model = model_of(world);
  const std::string reason = model.unsuitable(world, behaviour.policy, behaviour.theta);
  if (reason.empty()) return model.critic(world, behaviour, scale, of_actions);
  expect(spec == "zero", "value '", spec,
         "' needs a world whose model is known and a policy of its kind: ", reason, "; use zero or learned");
  return zero_critic(of_actions ? world.A : 0);
}

Constants make_constants(const World& world, const PolicyChoice& choice, int pilot, std::uint64_t seed) {
  const WorldModel& model = model_of(world);
  const std::string reason = model.unsuitable(world, choice.policy, choice.theta);
  if (reason.empty()) return model.constants(world, choice, pilot, seed);
  expect(pilot > 0, reason, ": constants are estimated from trajectories, and none were asked for");
  Constants c = pilot_constants(world, choice.policy, choice.theta, pilot, seed);
  c.dynamics = world.dynamics;
  c.differences = world.differences;
  return c;
}

double exact_return(const World& world, const Policy& policy, const Parameters& theta) {
  const WorldModel& model = model_of(world);
  const std::string reason = model.unsuitable(world, policy, theta);
  expect(reason.empty(), "J is not known: ", reason);
  return model.exact_return(world, policy, theta);
}

OracleAnswer ask_oracle(const World& world, const Policy& policy, const Parameters& theta,
                        const Parameters& behaviour, const Estimator& estimator, const FittedCritic& critic,
                        int batch) {
  const WorldModel& model = model_of(world);
  const std::string reason = model.unsuitable(world, policy, theta);
  if (!reason.empty()) return {{}, reason};
  return model.ask({world, policy, theta, behaviour, estimator, critic, batch});
}

OracleAnswer ask_oracle(const World& world, const Policy& policy, const Parameters& theta,
                        const Parameters& behaviour, const Estimator& estimator,
                        const std::optional<Array<double>>& V) {
  const FittedCritic critic{V ? table_critic(*V) : nullptr, V};
  return ask_oracle(world, policy, theta, behaviour, estimator, critic, 0);
}

std::optional<double> real(std::string_view text) {
  double value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<Rng> init_stream(const std::string& spec) {
  if (!spec.starts_with("init:")) return std::nullopt;
  std::uint64_t seed{};
  const std::string_view text = std::string_view(spec).substr(5);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  expect(error == std::errc{} && end == text.data() + text.size(), "policy '", spec,
         "': the seed must be a whole number");
  return Rng(seed, "policy-init");
}

void refuse_policy(const World& world, const std::string& spec) {
  expect(spec != "uniform" && !spec.starts_with("logits:"), "policy '", spec, "' is a table, and ", world.id,
         " has no states to tabulate; use init:SEED");
  throw Error(
      join("unknown policy '", spec, "'; known: reference, uniform, logits:FILE, init:SEED, run:DIR"));
}

}  // namespace lowvar
