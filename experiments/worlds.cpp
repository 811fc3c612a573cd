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
#include "algorithms/exact/tabular.h"
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

Policy policy_of(const World& world) {
  if (world.mdp) return {Table{world.mdp->S, world.mdp->A}};
  const int outputs = world.A ? world.A : world.m;
  return {Mlp{.sizes = {world.observation, 64, 64, outputs}, .output_gain = 0.01},
          world.A ? Head::softmax : Head::gaussian};
}

}  // namespace

const std::vector<WorldEntry>& worlds() {
  static const std::vector<WorldEntry> all = {
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
    if (!world.mdp) return {policy, initialise(policy, rng)};
    Array<double> logits = zeros<double>(world.mdp->S, world.mdp->A);
    for (double& each : values(logits)) each = rng.normal();
    return {policy, {logits}};
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

FittedCritic make_critic(const World& world, const PolicyChoice& behaviour, const std::string& spec,
                         int pilot, std::uint64_t seed) {
  if (spec == "learned") return fit_critic(world, behaviour.policy, behaviour.theta, pilot, seed);
  if (spec == "zero" && !world.mdp)
    return {[](Trajectories& batch) {
              batch.value.assign(static_cast<std::size_t>(batch.rows()), 0);
              batch.next_value = batch.value;
            },
            std::nullopt};
  const bool known =
      spec == "exact" || spec == "zero" || spec.starts_with("scaled:") || spec.starts_with("file:");
  expect(known, "unknown value '", spec, "'; known: exact, scaled:C, zero, file:F, learned");
  expect(world.mdp != nullptr, "value '", spec, "' needs a world whose model is known, and ", world.id,
         " has none; use zero or learned");
  Array<double> V;
  if (spec.starts_with("file:")) {
    V = read_values(spec.substr(5), world);
  } else {
    double scale = spec == "zero" ? 0 : 1;
    if (spec.starts_with("scaled:")) {
      const auto number = real(std::string_view(spec).substr(7));
      expect(number.has_value(), "value '", spec, "': the factor must be a number, as in scaled:0.5");
      scale = *number;
    }
    V = state_values(*world.mdp, table_of(world, behaviour.policy, behaviour.theta));
    for (double& each : values(V)) each *= scale;
  }
  return {table_critic(V), V};
}

Constants make_constants(const World& world, const PolicyChoice& choice, int pilot, std::uint64_t seed) {
  if (!world.mdp) return pilot_constants(world, choice.policy, choice.theta, pilot, seed);
  auto exact = baseline_constants(*world.mdp, table_of(world, choice.policy, choice.theta));
  return {world.gamma, exact.J, exact.b_star, std::move(exact.b_i), std::move(exact.mean_return_to_go)};
}

OracleAnswer ask_oracle(const World& world, const Policy& policy, const Parameters& theta,
                        const Parameters& behaviour, const Estimator& estimator,
                        const std::optional<Array<double>>& V) {
  OracleAnswer out;
  if (!world.mdp) {
    out.reason = world.id + " has no exact model";
    return out;
  }
  const Mdp& mdp = *world.mdp;
  const Array<double> pi = table_of(world, policy, theta);
  const Array<double> values = V ? *V : zeros<double>(mdp.T + 1, mdp.S);
  out.truth.gradient = policy_gradient(mdp, pi);
  if (&theta == &behaviour || theta == behaviour) {
    try {
      auto exact = exact_moments(estimator.name, mdp, pi, values);
      out.truth.mean = std::move(exact.mean);
      out.truth.variance = std::move(exact.variance);
    } catch (const Error& e) {  // an estimator that the oracle has no recursion for
      out.reason = e.what();
    }
    return out;
  }
  constexpr long limit = 10'000'000;
  const Array<double> mu = table_of(world, policy, behaviour);
  if (count_trajectories(mdp, mu, limit) > limit) {
    out.reason =
        join("off-policy values are enumerated, and ", world.id, " has more than ", limit, " trajectories");
    return out;
  }
  auto exact = enumerate(estimator.name, mdp, pi, mu, values, limit);
  out.truth.mean = std::move(exact.mean);
  out.truth.variance = std::move(exact.variance);
  return out;
}

}  // namespace lowvar
