// Tabular worlds: policies are tables of logits, and everything is known by recursion or by enumeration.
#include "experiments/tabular_model.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/exact/enumeration.h"
#include "algorithms/exact/tabular.h"
#include "core/input_file.h"
#include "experiments/answers.h"

namespace lowvar {
namespace {

constexpr int largest_linear = 1000;  // states of a world whose linear baseline is fitted

/// The JSON in a file. Throws Error where there is none, or no array under `key`, which means `meaning`.
nlohmann::json read_array(const std::string& path, const char* key, const char* meaning) {
  const auto json = nlohmann::json::parse(read_input(path), nullptr, false);
  expect(!json.is_discarded(), path, " is not valid JSON (numbers must be finite and no NaN)");
  expect(json.is_object() && json.contains(key) && json[key].is_array(), path, ": needs an object {\"", key,
         "\": ", meaning, "}");
  return json[key];
}

/// A table of rows x cols, read under `key` of a file.
Array<double> table_from(const nlohmann::json& table, const std::string& path, const char* key, int rows,
                         int cols) {
  expect(static_cast<int>(table.size()) == rows, path, ": \"", key, "\" needs ", rows, " rows, got ",
         table.size());
  Array<double> out = zeros<double>(rows, cols);
  for (std::size_t r = 0; r < table.size(); ++r) {
    expect(table[r].is_array() && static_cast<int>(table[r].size()) == cols, path, ": row ", r, " of \"", key,
           "\" needs ", cols, " numbers");
    for (std::size_t c = 0; c < table[r].size(); ++c) {
      const auto& x = table[r][c];
      expect(x.is_number() && std::isfinite(x.get<double>()), path, ": \"", key, "\" at row ", r, ", column ",
             c, " is not a finite number");
      out(r, c) = x.get<double>();
    }
  }
  return out;
}

/// {"values": [T+1][S]}, used as given, or [S], used at every t < T with V_T = 0.
Array<double> read_values(const std::string& path, int S, int T) {
  const auto list = read_array(path, "values", "[T+1][S] or [S]");
  if (list.empty() || list[0].is_array()) return table_from(list, path, "values", T + 1, S);
  expect(static_cast<int>(list.size()) == S, path, ": \"values\" needs ", S, " numbers, one a state, got ",
         list.size());
  Array<double> V = zeros<double>(T + 1, S);
  for (int s = 0; s < S; ++s) {
    const auto& x = list[static_cast<std::size_t>(s)];
    expect(x.is_number() && std::isfinite(x.get<double>()), path, ": \"values\" at ", s,
           " is not a finite number");
    for (int t = 0; t < T; ++t) V(t, s) = x.get<double>();
  }
  return V;
}

std::string unsuitable(const World& world, const Policy& policy, const Parameters& theta) {
  const auto* const table = std::get_if<Table>(&policy.model);
  const int S = world.mdp->S, A = world.mdp->A;
  if (table && table->S == S && table->outputs == A && policy.head == Head::softmax && theta.size() == 1)
    return "";
  return join("the oracle of ", world.id, " knows tables of logits [", S, " x ", A,
              "], and this policy is none");
}

PolicyChoice policy(const World& world, const std::string& spec) {
  const int S = world.mdp->S, A = world.mdp->A;
  const Policy pi{Table{S, A}};
  Array<double> logits = zeros<double>(S, A);
  if (auto rng = init_stream(spec)) {
    for (double& each : values(logits)) each = rng->normal();
  } else if (spec.starts_with("logits:")) {
    const std::string path = spec.substr(7);
    logits = table_from(read_array(path, "logits", "[S][A]"), path, "logits", S, A);
  } else if (spec == "reference") {
    constexpr double left[] = {.4, .3, .5, .6};
    if (world.id == "chain")
      for (int s = 0; s < 4; ++s) logits(s, 0) = std::log(left[s]), logits(s, 1) = std::log(1 - left[s]);
  } else if (spec != "uniform") {
    refuse_policy(world, spec);
  }
  return {pi, {logits}};
}

Constants constants(const World& world, const PolicyChoice& choice, int, std::uint64_t) {
  const Array<double> pi = table_of(world, choice.policy, choice.theta);
  Constants c = constants_of_states(*world.mdp, pi);
  BaselineConstants exact = baseline_constants(*world.mdp, pi);
  c.J = exact.J;
  c.b_star = exact.b_star;
  c.b_i = std::move(exact.b_i);
  c.mean_return_to_go = std::move(exact.mean_return_to_go);
  return c;
}

OracleAnswer ask(const OracleQuestion& q) {
  OracleAnswer out;
  const Mdp& mdp = *q.world.mdp;
  const std::string& name = q.estimator.name;
  const bool on_policy = &q.theta == &q.behaviour || q.theta == q.behaviour;
  const auto know = [&](auto&& moments) {
    out.truth.mean = std::move(moments.mean);
    out.truth.variance = std::move(moments.variance);
  };
  const Array<double> pi = table_of(q.world, q.policy, q.theta);
  const Array<double> V = q.critic.table ? *q.critic.table : zeros<double>(mdp.T + 1, mdp.S);
  out.truth.gradient = policy_gradient(mdp, pi);
  if (on_policy) try {
      know(exact_moments(name, mdp, pi, V, q.critic.action_table));
      return out;
    } catch (const Error&) {  // an estimator that the oracle has no recursion for
    }
  try {
    const Array<double> mu = table_of(q.world, q.policy, q.behaviour);
    if (q.estimator.unit != 1)
      know(enumerate_units(name, mdp, pi, mu, V, q.estimator.unit > 0 ? q.estimator.unit : q.batch, 1e6,
                           q.critic.action_table));
    else
      know(enumerate(name, mdp, pi, mu, V, 10'000'000, q.critic.action_table));
  } catch (const Error& e) {
    out.reason =
        join("no recursion gives its moments, and ", q.world.id, " cannot be enumerated: ", e.what());
  }
  return out;
}

}  // namespace

const WorldModel tabular_model = {
    .describes = [](const World& world) { return world.mdp != nullptr; },
    .policy = policy,
    .unsuitable = unsuitable,
    .critic = critic_of_states,
    .constants = constants,
    .exact_return = return_of_states,
    .ask = ask,
};

FittedCritic critic_of_states(const World& world, const PolicyChoice& behaviour, double scale,
                              bool of_actions) {
  const Mdp& mdp = *world.mdp;
  const Array<double> pi = table_of(world, behaviour.policy, behaviour.theta);
  const auto times = [&](Array<double> table) {
    for (double& each : values(table)) each *= scale;
    return table;
  };
  const Array<double> V = times(state_values(mdp, pi));
  const Array<double> Q = of_actions ? times(action_values(mdp, pi)) : Array<double>();
  return {table_critic(V, Q), V, Q, scale};
}

double return_of_states(const World& world, const Policy& policy, const Parameters& theta) {
  return expected_return(*world.mdp, table_of(world, policy, theta));
}

Constants constants_of_states(const Mdp& mdp, const Array<double>& pi) {
  const Array<double> V = state_values(mdp, pi), d = state_distribution(mdp, pi);
  Constants c;
  c.gamma = mdp.gamma;
  c.J = expected_return(mdp, pi);
  for (int t = 0; t < mdp.T; ++t) {
    double running = 0, G = 0;
    for (int s = 0; s < mdp.S; ++s) running += d(t, s), G += d(t, s) * V(t, s);
    c.mean_return_to_go.push_back(running > 0 ? G / running : 0);
  }
  if (mdp.S <= largest_linear) c.linear = linear_baseline(mdp, pi);
  c.per_state = per_state_baseline(mdp, pi);
  return c;
}

FittedCritic read_critic(const World& world, const std::string& spec, bool of_actions) {
  expect(world.mdp != nullptr, "value '", spec, "' is a table, and ", world.id, " has no states to tabulate");
  expect(!of_actions, "value '", spec, "' has no Q(s, a); use exact, scaled:C, zero or learned");
  Array<double> V = read_values(spec.substr(5), world.mdp->S, world.T);
  return {table_critic(V), V};
}

Array<double> table_of(const World& world, const Policy& policy, const Parameters& theta) {
  if (world.sequences) return state_probabilities(world, policy, theta);
  const std::string reason = unsuitable(world, policy, theta);
  expect(reason.empty(), "no table of probabilities: ", reason);
  std::vector<int> states(static_cast<std::size_t>(world.mdp->S));
  std::iota(states.begin(), states.end(), 0);
  return probabilities(policy, theta, {states});
}

}  // namespace lowvar
