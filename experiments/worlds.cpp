#include "experiments/worlds.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/exact/enumeration.h"
#include "algorithms/exact/lqr.h"
#include "algorithms/exact/tabular.h"
#include "envs/bandits.h"
#include "envs/classic_control.h"
#include "experiments/algorithms.h"

namespace lowvar {
namespace {

template <Mdp (*make)()>
World tabular(const char* id) {
  return tabular_world(id, make());
}

template <Environment E>
std::shared_ptr<const AnyEnvironment> play() {
  return any_environment(E{});
}

std::optional<double> real(std::string_view text) {
  double value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// A JSON file of numbers under `key`: a table of rows x cols, or where `rows_alone` a list of `rows`
/// numbers.
Array<double> read_table(const std::string& path, const char* key, int rows, int cols, const char* meaning) {
  std::ifstream in(path);
  expect(in.good() && !std::filesystem::is_directory(path), "cannot read ", path,
         ": no such file, or not a readable one");
  const auto json = nlohmann::json::parse(in, nullptr, false);
  expect(!json.is_discarded(), path, " is not valid JSON (numbers must be finite and no NaN)");
  expect(json.is_object() && json.contains(key) && json[key].is_array(), path, ": needs an object {\"", key,
         "\": ", meaning, "}");
  const auto& table = json[key];
  const auto entry = [&](const nlohmann::json& x, std::size_t r, std::size_t c) {
    expect(x.is_number() && std::isfinite(x.get<double>()), path, ": \"", key, "\" at row ", r, ", column ",
           c, " is not a finite number");
    return x.get<double>();
  };
  expect(static_cast<int>(table.size()) == rows, path, ": \"", key, "\" needs ", rows, " rows, got ",
         table.size());
  Array<double> out = zeros<double>(rows, cols);
  for (std::size_t r = 0; r < table.size(); ++r) {
    expect(table[r].is_array() && static_cast<int>(table[r].size()) == cols, path, ": row ", r, " of \"", key,
           "\" needs ", cols, " numbers");
    for (std::size_t c = 0; c < table[r].size(); ++c) out(r, c) = entry(table[r][c], r, c);
  }
  return out;
}

/// {"values": [T+1][S]}, used as given, or [S], used at every t < T with V_T = 0.
Array<double> read_values(const std::string& path, const World& world) {
  std::ifstream in(path);
  const auto json = in.good() && !std::filesystem::is_directory(path)
                        ? nlohmann::json::parse(in, nullptr, false)
                        : nlohmann::json();
  const int S = world.mdp->S, T = world.T;
  if (!json.is_object() || !json.contains("values") || !json["values"].is_array() || json["values"].empty() ||
      json["values"][0].is_array())
    return read_table(path, "values", T + 1, S, "[T+1][S] or [S]");
  const auto& list = json["values"];
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

/// The whole numbers that follow the colons of `id`, one for each of `fields`; `pattern` shows their names.
struct Field {
  const char* name;
  std::uint64_t low, high;
};
std::vector<std::uint64_t> numbers_of(const std::string& id, const char* pattern,
                                      std::initializer_list<Field> fields) {
  expect(std::count(id.begin(), id.end(), ':') == static_cast<long>(fields.size()), "world '", id,
         "': its parameters are ", pattern);
  std::vector<std::uint64_t> out;
  std::size_t begin = id.find(':') + 1;
  for (const Field& field : fields) {
    const std::string text = id.substr(begin, id.find(':', begin) - begin);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out.emplace_back());
    expect(error == std::errc{} && end == text.data() + text.size() && out.back() >= field.low &&
               out.back() <= field.high,
           "world '", id, "': ", field.name, " must be a whole number from ", field.low, " to ", field.high,
           ", got '", text, "'");
    begin += text.size() + 1;
  }
  return out;
}

constexpr std::uint64_t kAnySeed = std::numeric_limits<std::uint64_t>::max();
constexpr const char* kGarnet = "garnet:S:A:B:SEED";
constexpr int largest_linear = 1000;  // states of a world whose linear baseline is fitted
constexpr const char* kBandit = "bandit:R1,R2,...[:SPREAD]";
constexpr const char* kRandomLake = "FrozenLake-random:SIZE:SEED";

World make_garnet(const std::string& id) {
  const auto n = numbers_of(id, kGarnet,
                            {{"S", 1, 100'000}, {"A", 1, 10'000}, {"B", 1, 100'000}, {"SEED", 0, kAnySeed}});
  expect(n[2] <= n[0], "world '", id, "': B, the successors of an action, cannot be more than the ", n[0],
         " states");
  expect(n[0] * n[1] * n[2] <= 20'000'000, "world '", id, "': S x A x B must be at most 20000000, got ",
         n[0] * n[1] * n[2]);
  return tabular_world(id,
                       garnet(static_cast<int>(n[0]), static_cast<int>(n[1]), static_cast<int>(n[2]), n[3]));
}

World make_random_lake(const std::string& id) {
  const auto n = numbers_of(id, kRandomLake, {{"SIZE", 2, 100}, {"SEED", 0, kAnySeed}});
  return tabular_world(id, frozen_lake_random(static_cast<int>(n[0]), n[1]));
}

/// "bandit:R1,R2,...", or with ":SPREAD" at the end: arm a pays R_a, or R_a - SPREAD and R_a + SPREAD half of
/// the time each. State 0 is where an arm is pulled; each possible payment leads to a state of its own, where
/// the episode ends.
World make_bandit(const std::string& id) {
  const std::string list = id.substr(id.find(':') + 1);
  const std::size_t colon = std::min(list.size(), list.find(':'));
  std::vector<double> means;
  for (std::size_t begin = 0; begin <= colon;) {
    const std::size_t end = std::min(colon, list.find(',', begin));
    const auto mean = real(list.substr(begin, end - begin));
    expect(mean.has_value(), "world '", id, "': its parameters are bandit:R1,R2,...[:SPREAD], numbers, got '",
           list.substr(begin, end - begin), "'");
    means.push_back(*mean);
    begin = end + 1;
  }
  expect(means.size() >= 2, "world '", id, "': a bandit needs at least two arms");
  double spread = 0;
  if (colon < list.size()) {
    const auto given = real(list.substr(colon + 1));
    expect(given && *given >= 0, "world '", id, "': SPREAD must be a number from 0 on, got '",
           list.substr(colon + 1), "'");
    spread = *given;
  }
  const Bandit bandit = spread > 0 ? noisy_bandit(means, spread) : fixed_bandit(means);
  int states = 1;
  for (const auto& arm : bandit.arms) states += static_cast<int>(arm.size());
  std::vector<double> start(static_cast<std::size_t>(states), 0);
  std::vector<char> terminal(static_cast<std::size_t>(states), 1);
  start[0] = 1, terminal[0] = 0;
  int next = 1;
  return tabular_world(
      id, make_mdp(states, static_cast<int>(means.size()), 1, 1, start, terminal, [&](int, int a) {
        std::vector<Outcome> out;
        for (const Payoff& p : bandit.arms[static_cast<std::size_t>(a)])
          out.push_back({next++, p.probability, p.reward});
        return out;
      }));
}

template <std::size_t n, std::size_t m>
World lqg_world(std::string id, const Lqg& lqg) {
  World world = environment_world(std::move(id), LqgEnvironment<n, m>(lqg), lqg.gamma, lqg.T);
  world.lqg = std::make_shared<const Lqg>(lqg);
  return world;
}

World make_lqg(const std::string& id, double gamma, int T) {
  if (id == "single-integrator") return lqg_world<1, 1>(id, single_integrator(gamma, T));
  return lqg_world<2, 1>(id, double_integrator(gamma, T));
}

/// Its parameters in the order of the oracle's, K and log_std.
LinearGaussianPolicy linear_gaussian(const Parameters& theta) {
  return {theta.front(), {theta.back().begin(), theta.back().end()}};
}

Policy policy_of(const World& world) {
  if (world.mdp) return {Table{world.mdp->S, world.mdp->A}};
  if (world.lqg) return {Linear{world.observation, world.m}, Head::gaussian};
  const int outputs = world.A ? world.A : world.m;
  return {Mlp{.sizes = {world.observation, 64, 64, outputs}, .output_gain = 0.01},
          world.A ? Head::softmax : Head::gaussian};
}

}  // namespace

namespace {

std::vector<WorldEntry>& all_worlds() {
  static std::vector<WorldEntry> all = {
      {"chain", "five states in a row, slippery, one exit", 0.95, 20, [] { return tabular<chain>("chain"); }},
      {"four-rooms", "10x10 grid with walls and three goals", 0.99, 100,
       [] { return tabular<four_rooms>("four-rooms"); }},
      {"FrozenLake-v1", "Gymnasium's 4x4 slippery lake", 0.99, 100,
       [] { return tabular<frozen_lake_4x4>("FrozenLake-v1"); }},
      {"FrozenLake8x8-v1", "Gymnasium's 8x8 slippery lake", 0.99, 200,
       [] { return tabular<frozen_lake_8x8>("FrozenLake8x8-v1"); }},
      {kRandomLake, "a random slippery lake of SIZE x SIZE", 0.99, 100,
       [] { return make_random_lake("FrozenLake-random:8:0"); }},
      {"CliffWalking-v0", "Gymnasium's 4x12 cliff, -100 a fall", 0.99, 200,
       [] { return tabular<cliff_walking>("CliffWalking-v0"); }},
      {"bombs-and-bitcoin", "4x6 grid: home +10, bitcoin +1, bombs -10", 0.95, 50,
       [] { return tabular<bombs_and_bitcoin>("bombs-and-bitcoin"); }},
      {"windy-grid", "7x10 grid with an upward wind", 0.99, 100,
       [] { return tabular<windy_grid>("windy-grid"); }},
      {kGarnet, "random MDP of S states, A actions, B successors each", 0.95, 100,
       [] { return make_garnet("garnet:10:3:2:0"); }},
      {kBandit, "arms that pay R1, R2, ..., give or take SPREAD", 1, 1,
       [] { return make_bandit("bandit:1,0.7,0"); }},
      {"single-integrator", "linear-quadratic: a position under a velocity", 1, 10,
       [] { return make_lqg("single-integrator", 1, 10); },
       [] { return any_environment(LqgEnvironment<1, 1>(single_integrator())); }},
      {"double-integrator", "linear-quadratic: position and velocity under a force", 1, 10,
       [] { return make_lqg("double-integrator", 1, 10); },
       [] { return any_environment(LqgEnvironment<2, 1>(double_integrator())); }},
      {"CartPole-v0", "Gymnasium's CartPole, 200 steps", 0.99, 200,
       [] { return environment_world("CartPole-v0", CartPole{}, 0.99, 200); }, play<CartPole>},
      {"CartPole-v1", "Gymnasium's CartPole, 500 steps", 0.99, 500,
       [] { return environment_world("CartPole-v1", CartPole{}, 0.99, 500); }, play<CartPole>},
      {"CartPoleFriction-v0", "cart-pole with friction, any force from -10 to 10", 0.99, FrictionCartPole::T,
       [] { return environment_world("CartPoleFriction-v0", FrictionCartPole{}, 0.99, FrictionCartPole::T); },
       play<FrictionCartPole>},
      {"Acrobot-v1", "Gymnasium's Acrobot: two links, a torque between them", 0.99, Acrobot::T,
       [] { return environment_world("Acrobot-v1", Acrobot{}, Acrobot::gamma, Acrobot::T); }, play<Acrobot>},
      {"MountainCar-v0", "Gymnasium's MountainCar", 0.99, MountainCar::T,
       [] { return environment_world("MountainCar-v0", MountainCar{}, MountainCar::gamma, MountainCar::T); },
       play<MountainCar>},
      {"MountainCarContinuous-v0", "Gymnasium's MountainCar, any push from -1 to 1", 0.99,
       MountainCarContinuous::T,
       [] {
         return environment_world("MountainCarContinuous-v0", MountainCarContinuous{}, 0.99,
                                  MountainCarContinuous::T);
       },
       play<MountainCarContinuous>},
      {"Pendulum-v1", "Gymnasium's Pendulum, any torque from -2 to 2", 0.99, Pendulum::T,
       [] { return environment_world("Pendulum-v1", Pendulum{}, 0.99, Pendulum::T); }, play<Pendulum>},
  };
  return all;
}

}  // namespace

const std::vector<WorldEntry>& worlds() { return all_worlds(); }

void add_world(WorldEntry entry) {
  for (const WorldEntry& each : worlds())
    expect(each.id != entry.id, "there is a world '", entry.id, "' already");
  all_worlds().push_back(std::move(entry));
}

std::string unknown_name(std::string_view what, std::string_view typed,
                         const std::vector<std::string>& known) {
  std::string list;
  for (const auto& each : known) list += (list.empty() ? "" : ", ") + each;
  return join("unknown ", what, " '", typed, "'; known: ", list);
}

World make_world(const std::string& id, std::optional<double> gamma, std::optional<long> horizon) {
  if (gamma) expect(*gamma >= 0 && *gamma <= 1, "--gamma must be from 0 to 1, got ", *gamma);
  if (horizon)
    expect(*horizon >= 1 && *horizon <= 1'000'000, "--horizon must be from 1 to 1000000, got ", *horizon);
  World world;
  if (id.starts_with("mdp:")) {
    world = tabular_world(id, read_mdp(id.substr(4)));
  } else if (id.starts_with("garnet:")) {
    world = make_garnet(id);
  } else if (id.starts_with("FrozenLake-random:")) {
    world = make_random_lake(id);
  } else if (id.starts_with("bandit:")) {
    world = make_bandit(id);
  } else {
    const auto entry =
        std::find_if(worlds().begin(), worlds().end(), [&](const WorldEntry& e) { return e.id == id; });
    std::vector<std::string> known;
    for (const auto& e : worlds()) known.push_back(e.id);
    known.emplace_back("mdp:FILE");
    if (entry == worlds().end()) throw Error(unknown_name("world", id, known));
    world = entry->make();
  }
  if (world.mdp && (gamma || horizon)) {
    Mdp mdp = *world.mdp;
    if (gamma) mdp.gamma = *gamma;
    if (horizon) mdp.T = static_cast<int>(*horizon);
    return tabular_world(id, std::move(mdp));
  }
  if (world.lqg)
    return make_lqg(id, gamma.value_or(world.gamma), horizon ? static_cast<int>(*horizon) : world.T);
  if (gamma) world.gamma = *gamma;
  if (horizon) world.T = static_cast<int>(*horizon);
  return world;
}

Playground make_playground(const std::string& id) {
  for (const auto& entry : worlds())
    if (entry.id == id && entry.environment) return {entry.environment(), entry.T};
  const World world = make_world(id, std::nullopt, std::nullopt);
  return {any_environment(TabularEnvironment(world.mdp)), world.T};
}

PolicyChoice make_policy(const World& world, const std::string& spec) {
  if (spec.starts_with("run:")) {
    const Learned learned = read_learned(policy_file(spec.substr(4)), world);
    return {learned.policy, learned.theta};
  }
  const Policy policy = policy_of(world);
  if (spec.starts_with("init:")) {
    std::uint64_t seed{};
    const std::string_view text = std::string_view(spec).substr(5);
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
    expect(error == std::errc{} && end == text.data() + text.size(), "policy '", spec,
           "': the seed must be a whole number");
    Rng rng(seed, "policy-init");
    if (world.lqg) {
      Array<double> K = zeros<double>(world.m, world.observation);
      for (double& each : values(K)) each = rng.normal();
      return {policy, {K, zeros<double>(1, world.m)}};
    }
    if (!world.mdp) return {policy, initialise(policy, rng)};
    Array<double> logits = zeros<double>(world.mdp->S, world.mdp->A);
    for (double& each : values(logits)) each = rng.normal();
    return {policy, {logits}};
  }
  if (world.lqg && spec == "reference") {
    Array<double> K = riccati_optimum(*world.lqg).K;
    for (double& each : values(K)) each *= 0.5;
    return {policy, {K, full<double>(1, world.m, std::log(0.5))}};
  }
  if (!world.mdp) {
    if (spec == "reference") return make_policy(world, "init:0");
    expect(spec != "uniform" && !spec.starts_with("logits:"), "policy '", spec, "' is a table, and ",
           world.id, " has no states to tabulate; use init:SEED");
  } else {
    const int S = world.mdp->S, A = world.mdp->A;
    if (spec.starts_with("logits:")) return {policy, {read_table(spec.substr(7), "logits", S, A, "[S][A]")}};
    Array<double> logits = zeros<double>(S, A);
    if (spec == "uniform") return {policy, {logits}};
    if (spec == "reference") {
      constexpr double left[] = {.4, .3, .5, .6};
      if (world.id == "chain")
        for (int s = 0; s < 4; ++s) logits(s, 0) = std::log(left[s]), logits(s, 1) = std::log(1 - left[s]);
      return {policy, {logits}};
    }
  }
  throw Error(
      join("unknown policy '", spec, "'; known: reference, uniform, logits:FILE, init:SEED, run:DIR"));
}

Array<double> table_of(const World& world, const Policy& policy, const Parameters& theta) {
  std::vector<int> states(static_cast<std::size_t>(world.mdp->S));
  std::iota(states.begin(), states.end(), 0);
  return probabilities(policy, theta, {states});
}

namespace {

Critic quadratic_critic(QuadraticValues V) {
  return [V = std::move(V)](Trajectories& batch) {
    batch.value.assign(static_cast<std::size_t>(batch.rows()), 0);
    batch.next_value = batch.value;  // 0 at the horizon
    for (int i = 0; i < batch.size(); ++i)
      for (int r = batch.begin(i); r < batch.end(i); ++r) {
        const double v = value(V, r - batch.begin(i), row(batch.observation, r));
        batch.value[static_cast<std::size_t>(r)] = v;
        if (r > batch.begin(i)) batch.next_value[static_cast<std::size_t>(r) - 1] = v;
      }
  };
}

}  // namespace

FittedCritic make_critic(const World& world, const PolicyChoice& behaviour, const std::string& spec,
                         int pilot, std::uint64_t seed, bool of_actions) {
  if (spec == "learned") return fit_critic(world, behaviour.policy, behaviour.theta, pilot, seed, of_actions);
  if (spec == "zero" && !world.known())
    return {[A = of_actions ? world.A : 0](Trajectories& batch) {
              batch.value.assign(static_cast<std::size_t>(batch.rows()), 0);
              batch.next_value = batch.value;
              if (A) batch.action_values = zeros<double>(batch.rows(), A);
            },
            std::nullopt};
  const bool known =
      spec == "exact" || spec == "zero" || spec.starts_with("scaled:") || spec.starts_with("file:");
  expect(known, "unknown value '", spec, "'; known: exact, scaled:C, zero, file:F, learned");
  expect(world.known(), "value '", spec, "' needs a world whose model is known, and ", world.id,
         " has none; use zero or learned");
  if (spec.starts_with("file:")) {
    expect(world.mdp != nullptr, "value '", spec, "' is a table, and ", world.id,
           " has no states to tabulate");
    expect(!of_actions, "value '", spec, "' has no Q(s, a); use exact, scaled:C, zero or learned");
    Array<double> V = read_values(spec.substr(5), world);
    return {table_critic(V), V};
  }
  double scale = spec == "zero" ? 0 : 1;
  if (spec.starts_with("scaled:")) {
    const auto number = real(std::string_view(spec).substr(7));
    expect(number.has_value(), "value '", spec, "': the factor must be a number, as in scaled:0.5");
    scale = *number;
  }
  if (world.lqg) {
    expect(!of_actions, "a critic of Q(s, a) is for choices of action, and those of ", world.id,
           " are vectors");
    return {quadratic_critic(scaled(state_values(*world.lqg, linear_gaussian(behaviour.theta)), scale)),
            std::nullopt,
            {},
            scale};
  }
  const Array<double> pi = table_of(world, behaviour.policy, behaviour.theta);
  const auto times = [&](Array<double> table) {
    for (double& each : values(table)) each *= scale;
    return table;
  };
  const Array<double> V = times(state_values(*world.mdp, pi));
  const Array<double> Q = of_actions ? times(action_values(*world.mdp, pi)) : Array<double>();
  return {table_critic(V, Q), V, Q, scale};
}

Constants make_constants(const World& world, const PolicyChoice& choice, int pilot, std::uint64_t seed) {
  if (!world.known()) return pilot_constants(world, choice.policy, choice.theta, pilot, seed);
  BaselineConstants exact;
  Constants c;
  if (world.mdp) {
    const Array<double> pi = table_of(world, choice.policy, choice.theta);
    exact = baseline_constants(*world.mdp, pi);
    if (world.mdp->S <= largest_linear) c.linear = linear_baseline(*world.mdp, pi);
    c.per_state = per_state_baseline(*world.mdp, pi);
  } else {
    exact = baseline_constants(*world.lqg, linear_gaussian(choice.theta));
    if (pilot > 0) c.linear = pilot_constants(world, choice.policy, choice.theta, pilot, seed).linear;
  }
  c.gamma = world.gamma;
  c.J = exact.J;
  c.b_star = exact.b_star;
  c.b_i = std::move(exact.b_i);
  c.mean_return_to_go = std::move(exact.mean_return_to_go);
  c.dynamics = world.lqg;
  return c;
}

OracleAnswer ask_oracle(const World& world, const Policy& policy, const Parameters& theta,
                        const Parameters& behaviour, const Estimator& estimator,
                        const std::optional<Array<double>>& V) {
  return ask_oracle(world, policy, theta, behaviour, estimator, FittedCritic{nullptr, V}, 0);
}

OracleAnswer ask_oracle(const World& world, const Policy& policy, const Parameters& theta,
                        const Parameters& behaviour, const Estimator& estimator, const FittedCritic& critic,
                        int batch) {
  OracleAnswer out;
  const bool on_policy = &theta == &behaviour || theta == behaviour;
  const auto know = [&](auto&& moments) {
    out.truth.mean = std::move(moments.mean);
    out.truth.variance = std::move(moments.variance);
  };
  const std::string& name = estimator.name;
  if (world.lqg) {
    const LinearGaussianPolicy pi = linear_gaussian(theta);
    out.truth.gradient = policy_gradient(*world.lqg, pi);
    if (!on_policy) {
      out.reason = "off-policy values are enumerated, which " + world.id + " does not allow";
      return out;
    }
    if (estimator.needs_critic && !critic.multiple) {
      out.reason = "the values of a learned critic are not quadratic";
      return out;
    }
    try {
      know(exact_moments(name, *world.lqg, pi,
                         scaled(state_values(*world.lqg, pi), critic.multiple.value_or(0))));
    } catch (const Error& e) {
      out.reason = e.what();
    }
    return out;
  }
  if (!world.mdp) {
    out.reason = world.id + " has no exact model";
    return out;
  }
  const Mdp& mdp = *world.mdp;
  const Array<double> pi = table_of(world, policy, theta);
  const Array<double> values = critic.table ? *critic.table : zeros<double>(mdp.T + 1, mdp.S);
  out.truth.gradient = policy_gradient(mdp, pi);
  if (on_policy) try {
      know(exact_moments(name, mdp, pi, values, critic.action_table));
      return out;
    } catch (const Error& e) {  // an estimator that the oracle has no recursion for
      out.reason = e.what();
    }
  const int unit = estimator.unit > 0 ? estimator.unit : batch;
  try {
    if (estimator.unit != 1) {
      expect(on_policy, "those of several trajectories are enumerated on-policy alone");
      know(enumerate_units(name, mdp, pi, values, unit, 1e6, critic.action_table));
    } else {
      const Array<double> mu = table_of(world, policy, behaviour);
      know(enumerate(name, mdp, pi, mu, values, 10'000'000, critic.action_table));
    }
    out.reason.clear();
  } catch (const Error& e) {
    out.reason = join("no recursion gives its moments, and ", world.id, " cannot be enumerated: ", e.what());
  }
  return out;
}

}  // namespace lowvar
