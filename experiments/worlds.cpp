#include "experiments/worlds.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "envs/ball_and_wall.h"
#include "envs/bandits.h"
#include "envs/classic_control.h"
#include "envs/double_pendulum.h"
#include "envs/lqr.h"
#include "envs/lunar_lander.h"
#include "envs/minatar/games.h"
#include "envs/retro/retro.h"
#ifdef LOWVAR_MUJOCO
#include "envs/mujoco/mujoco.h"
#endif
#include "experiments/algorithms.h"
#include "experiments/bike_planner.h"
#include "experiments/script.h"

namespace lowvar {
namespace {

using Gamma = std::optional<double>;
using Horizon = std::optional<int>;

World with(const std::string& id, Mdp mdp, Gamma gamma, Horizon T) {
  mdp.gamma = gamma.value_or(mdp.gamma);
  mdp.T = T.value_or(mdp.T);
  return tabular_world(id, std::move(mdp));
}

World of_sequences(const std::string& id, SequenceWorld of, Gamma gamma, Horizon T) {
  expect(!gamma || *gamma == 1, "the return of ", id, " is not discounted: --gamma must be 1, got ",
         gamma.value_or(1));
  expect(!T || *T == of.mdp.T, "the answers of ", id, " end by themselves: --horizon must be ", of.mdp.T,
         ", got ", T.value_or(0));
  return sequence_world(id, std::move(of));
}

// Ways to make a world: what the list below is written in.

template <Mdp (*make)()>
World tabular(const std::string& id, Gamma gamma, Horizon T) {
  return with(id, make(), gamma, T);
}

template <Environment E, int limit = E::T>
World environment(const std::string& id, Gamma gamma, Horizon T) {
  return environment_world(id, E{}, gamma.value_or(E::gamma), T.value_or(limit));
}

/// With n motors, on MuJoCo.
template <std::size_t n>
World locomotion(const std::string& id, Gamma gamma, Horizon T) {
#ifdef LOWVAR_MUJOCO
  const Mujoco<n> env(id);
  return environment_world(id, env, gamma.value_or(env.gamma), T.value_or(env.T));
#else
  throw Error(join(id, gamma.value_or(1), T.value_or(n), ": the engine is missing"));
#endif
}
#ifdef LOWVAR_MUJOCO
constexpr const char* kNoMujoco = "";
#else
constexpr const char* kNoMujoco = "MuJoCo (apt-get install libmujoco-dev, then build again)";
#endif

/// "NAME:NOISE" has noise of that deviation in each number of the state.
template <std::size_t n, std::size_t m, Lqg (*make)(double gamma, int T)>
World linear_quadratic(const std::string& id, Gamma gamma, Horizon T) {
  Lqg lqg = make(gamma.value_or(1), T.value_or(10));
  if (const std::size_t colon = id.find(':'); colon != std::string::npos) {
    const auto noise = real(id.substr(colon + 1));
    expect(noise && *noise > 0, "world '", id, "': NOISE must be a positive number, got '",
           id.substr(colon + 1), "'");
    for (int i = 0; i < lqg.n(); ++i) lqg.Sigma_w(i, i) = *noise * *noise;
  }
  World world = environment_world(id, LqgEnvironment<n, m>(lqg));
  world.lqg = std::make_shared<const Lqg>(lqg);
  world.linear = true;
  return world;
}

World thrown_ball(const std::string& id, Gamma gamma, Horizon T) {
  const BallAndWallEnvironment env;
  World world = environment_world(id, env, gamma.value_or(env.gamma), T.value_or(env.T));
  world.model = env.world;
  world.linear = true;
  return world;
}

template <bool continuous>
World lunar_lander(const std::string& id, Gamma gamma, Horizon T) {
  return world_of(id, LunarLander::spaces(continuous), LunarLander::states(continuous),
                  gamma.value_or(LunarLander::gamma), T.value_or(LunarLander::T));
}

/// The list with the games of MinAtar behind it.
std::vector<WorldEntry> with_minatar(std::vector<WorldEntry> list) {
  minatar::for_each_world([&]<class Game>(const minatar::World<Game>& world) {
    using E = minatar::MinAtar<Game>;
    list.push_back({world.id, world.description, E::gamma, E::T,
                    [variant = world.variant](const std::string& id, Gamma gamma, Horizon T) {
                      return environment_world(id, E{variant}, gamma.value_or(E::gamma), T.value_or(E::T));
                    }});
  });
  return list;
}

World bicycles(const std::string& id, Gamma gamma, Horizon T) {
  const auto city = bike_share_of(id);
  return world_of(id, city->spaces(), BikeShare::states(city), gamma.value_or(BikeShare::gamma),
                  T.value_or(BikeShare::T));
}

World few_bicycles(const std::string& id, Gamma gamma, Horizon T) {
  return tabular_world(id, BikeShare(small_bike_city()).table(gamma.value_or(0.95), T.value_or(48)).mdp);
}

/// What a city is, with what is missing for its planner.
std::string city_text(std::string text) {
  const std::string missing = BikePlanner::missing();
  return missing.empty() ? text : text + "; its planner needs " + missing;
}

World mdp_file(const std::string& id, Gamma gamma, Horizon T) {
  return with(id, read_mdp(id.substr(id.find(':') + 1)), gamma, T);
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
constexpr const char* kBandit = "bandit:R1,R2,...[:SPREAD]";
constexpr const char* kRandomLake = "FrozenLake-random:SIZE:SEED";

World random_mdp(const std::string& id, Gamma gamma, Horizon T) {
  const auto n = numbers_of(id, kGarnet,
                            {{"S", 1, 100'000}, {"A", 1, 10'000}, {"B", 1, 100'000}, {"SEED", 0, kAnySeed}});
  expect(n[2] <= n[0], "world '", id, "': B, the successors of an action, cannot be more than the ", n[0],
         " states");
  expect(n[0] * n[1] * n[2] <= 20'000'000, "world '", id, "': S x A x B must be at most 20000000, got ",
         n[0] * n[1] * n[2]);
  return with(id, garnet(static_cast<int>(n[0]), static_cast<int>(n[1]), static_cast<int>(n[2]), n[3]), gamma,
              T);
}

World random_lake(const std::string& id, Gamma gamma, Horizon T) {
  const auto n = numbers_of(id, kRandomLake, {{"SIZE", 2, 100}, {"SEED", 0, kAnySeed}});
  return with(id, frozen_lake_random(static_cast<int>(n[0]), n[1]), gamma, T);
}

/// "bandit:R1,R2,...", or with ":SPREAD" at the end: arm a pays R_a, or R_a - SPREAD and R_a + SPREAD half of
/// the time each. State 0 is where an arm is pulled; each possible payment leads to a state of its own, where
/// the episode ends.
World arms(const std::string& id, Gamma gamma, Horizon T) {
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
  const auto outcomes = [&](int, int a) {
    std::vector<Outcome> out;
    for (const Payoff& p : bandit.arms[static_cast<std::size_t>(a)])
      out.push_back({next++, p.probability, p.reward});
    return out;
  };
  return with(id, make_mdp(states, static_cast<int>(means.size()), 1, 1, start, terminal, outcomes), gamma,
              T);
}

template <SequenceWorld (*make)()>
World sequences(const std::string& id, Gamma gamma, Horizon T) {
  return of_sequences(id, make(), gamma, T);
}

World sequence_file(const std::string& id, Gamma gamma, Horizon T) {
  return of_sequences(id, read_sequences(id.substr(id.find(':') + 1)), gamma, T);
}

constexpr const char* kBrackets = "brackets:L";
constexpr const char* kSteps = "steps:L:J";
constexpr const char* kLong = "long:L:DELTA";

/// The whole number and the real one of NAME:N:X.
std::pair<int, double> count_and_number(const std::string& id, const char* pattern, int most, double low,
                                        double high) {
  const std::size_t first = id.find(':'), second = id.find(':', first + 1);
  expect(second != std::string::npos, "world '", id, "': its parameters are ", pattern);
  int n{};
  const auto [end, error] = std::from_chars(id.data() + first + 1, id.data() + second, n);
  expect(error == std::errc{} && end == id.data() + second && n >= 1 && n <= most, "world '", id,
         "': L must be a whole number from 1 to ", most);
  const auto x = real(id.substr(second + 1));
  expect(x && *x > low && *x < high, "world '", id, "': the last parameter of ", pattern,
         " must be a number between ", low, " and ", high);
  return {n, *x};
}

World bracket_world(const std::string& id, Gamma gamma, Horizon T) {
  const auto n = numbers_of(id, kBrackets, {{"L", 3, 10}});
  return of_sequences(id, brackets(static_cast<int>(n[0])), gamma, T);
}

World chain_of_steps(const std::string& id, Gamma gamma, Horizon T) {
  const auto [L, J] = count_and_number(id, kSteps, 10'000, 0, 1);
  return of_sequences(id, steps(L, J), gamma, T);
}

World long_world(const std::string& id, Gamma gamma, Horizon T) {
  const auto [L, delta] = count_and_number(id, kLong, 1'000'000, -0.5, 0.5);
  return of_sequences(id, long_answers(L, delta), gamma, T);
}

constexpr const char* kRetro = "retro:FOLDER[:OPTION=X...]";

/// Behind the folder: sticky=P, noop=FRAMES, skip=FRAMES, state=NAME.
World game(const std::string& id, Gamma gamma, Horizon T) {
  retro::Options options;
  std::string folder = id.substr(id.find(':') + 1);
  const auto option = [&](const std::string& name, const std::string& value) {
    const auto number = real(value);
    const auto whole_from = [&](int low, int high) {
      expect(number && *number >= low && *number <= high && *number == std::floor(*number), "world '", id,
             "': ", name, " must be a whole number from ", low, " to ", high, ", got '", value, "'");
      return static_cast<int>(*number);
    };
    if (name == "sticky") {
      expect(number && *number >= 0 && *number <= 1, "world '", id, "': sticky must be a probability, got '",
             value, "'");
      options.sticky = *number;
    } else if (name == "noop") {
      options.noop = whole_from(0, 10'000);
    } else if (name == "skip") {
      options.skip = whole_from(1, 1000);
    } else if (name == "state") {
      options.state = value;
    } else {
      fail("world '", id, "': a game's options are sticky=P, noop=FRAMES, skip=FRAMES and state=NAME, got '",
           name, "'");
    }
  };
  for (;;) {
    const std::size_t colon = folder.rfind(':'), equals = folder.find('=', colon);
    if (colon == std::string::npos || equals == std::string::npos) break;
    option(folder.substr(colon + 1, equals - colon - 1), folder.substr(equals + 1));
    folder.resize(colon);
  }
  const auto [spaces, states] = retro::playable(retro::game_folder(folder), options);
  return world_of(id, spaces, states, gamma.value_or(retro::kGamma), T.value_or(retro::kT));
}

std::vector<WorldEntry>& all_worlds() {
  static std::vector<WorldEntry> all = with_minatar({
      {"chain", "five states in a row, slippery, one exit", 0.95, 20, tabular<chain>},
      {"four-rooms", "10x10 grid with walls and three goals", 0.99, 100, tabular<four_rooms>},
      {"FrozenLake-v1", "Gymnasium's 4x4 slippery lake", 0.99, 100, tabular<frozen_lake_4x4>},
      {"FrozenLake8x8-v1", "Gymnasium's 8x8 slippery lake", 0.99, 200, tabular<frozen_lake_8x8>},
      {kRandomLake, "a random slippery lake of SIZE x SIZE", 0.99, 100, random_lake},
      {"CliffWalking-v0", "Gymnasium's 4x12 cliff, -100 a fall", 0.99, 200, tabular<cliff_walking>},
      {"bombs-and-bitcoin", "4x6 grid: home +10, bitcoin +1, bombs -10", 0.95, 50,
       tabular<bombs_and_bitcoin>},
      {"windy-grid", "7x10 grid with an upward wind", 0.99, 100, tabular<windy_grid>},
      {kGarnet, "random MDP of S states, A actions, B successors each", 0.95, 100, random_mdp},
      {kBandit, "arms that pay R1, R2, ..., give or take SPREAD", 1, 1, arms},
      {"single-integrator", "linear-quadratic: a position under a velocity", 1, 10,
       linear_quadratic<1, 1, single_integrator>},
      {"double-integrator", "linear-quadratic: position and velocity under a force", 1, 10,
       linear_quadratic<2, 1, double_integrator>},
      {"single-integrator:NOISE", "the same with noise of this deviation in the state", 0, 0,
       linear_quadratic<1, 1, single_integrator>},
      {"double-integrator:NOISE", "the same with noise of this deviation in each number of the state", 0, 0,
       linear_quadratic<2, 1, double_integrator>},
      {"CartPole-v0", "Gymnasium's CartPole, 200 steps", 0.99, 200, environment<CartPole, 200>},
      {"CartPole-v1", "Gymnasium's CartPole, 500 steps", 0.99, 500, environment<CartPole>},
      {"CartPoleFriction-v0", "cart-pole with friction, any force from -10 to 10", 0.99, FrictionCartPole::T,
       environment<FrictionCartPole>},
      {"CartPoleBalance-v0",
       "cart-pole under any force from -10 to 10, paid smoothly for staying in the middle", 0.99,
       CartPoleBalance::T, environment<CartPoleBalance>},
      {"Acrobot-v1", "Gymnasium's Acrobot: two links, a torque between them", 0.99, Acrobot::T,
       environment<Acrobot>},
      {"MountainCar-v0", "Gymnasium's MountainCar", 0.99, MountainCar::T, environment<MountainCar>},
      {"MountainCarContinuous-v0", "Gymnasium's MountainCar, any push from -1 to 1", 0.99,
       MountainCarContinuous::T, environment<MountainCarContinuous>},
      {"Pendulum-v1", "Gymnasium's Pendulum, any torque from -2 to 2", 0.99, Pendulum::T,
       environment<Pendulum>},
      {"Ant-v5", "Gymnasium's Ant on MuJoCo: run on four legs", 0.99, 1000, locomotion<8>, kNoMujoco},
      {"HalfCheetah-v5", "Gymnasium's HalfCheetah on MuJoCo: run on two legs", 0.99, 1000, locomotion<6>,
       kNoMujoco},
      {"Hopper-v5", "Gymnasium's Hopper on MuJoCo: hop on one leg", 0.99, 1000, locomotion<3>, kNoMujoco},
      {"InvertedDoublePendulum-v5", "Gymnasium's two poles on a cart, on MuJoCo", 0.99, 1000, locomotion<1>,
       kNoMujoco},
      {"InvertedPendulum-v5", "Gymnasium's pole on a cart, on MuJoCo", 0.99, 1000, locomotion<1>, kNoMujoco},
      {"Reacher-v5", "Gymnasium's Reacher on MuJoCo: bring a fingertip to a target", 0.99, 50, locomotion<2>,
       kNoMujoco},
      {"Swimmer-v5", "Gymnasium's Swimmer on MuJoCo: three links in a fluid", 0.99, 1000, locomotion<2>,
       kNoMujoco},
      {"Walker2d-v5", "Gymnasium's Walker2d on MuJoCo: walk on two legs", 0.99, 1000, locomotion<6>,
       kNoMujoco},
      {"Ant-v4", "version 4: no contact forces", 0.99, 1000, locomotion<8>, kNoMujoco},
      {"Hopper-v4", "version 4: a bonus where it ends, too", 0.99, 1000, locomotion<3>, kNoMujoco},
      {"InvertedDoublePendulum-v4", "version 4: a bonus where it ends, too, and more forces seen", 0.99, 1000,
       locomotion<1>, kNoMujoco},
      {"InvertedPendulum-v4", "version 4: a bonus where it ends, too", 0.99, 1000, locomotion<1>, kNoMujoco},
      {"Reacher-v4", "version 4: the distance before the step is paid", 0.99, 50, locomotion<2>, kNoMujoco},
      {"Walker2d-v4", "version 4: feet of unequal friction", 0.99, 1000, locomotion<6>, kNoMujoco},
      {"LunarLander-v3", "Gymnasium's lander, on Box2D: nothing, left, main or right engine",
       LunarLander::gamma, LunarLander::T, lunar_lander<false>, LunarLander::missing()},
      {"LunarLanderContinuous-v3", "Gymnasium's lander, on Box2D: powers of its engines from -1 to 1",
       LunarLander::gamma, LunarLander::T, lunar_lander<true>, LunarLander::missing()},
      {"double-pendulum", "two links, any torque from -5 to 5 between them, smooth and chaotic", 0.99,
       DoublePendulum::T, environment<DoublePendulum>},
      {"ball-and-wall", "a ball thrown over a wall, the action its angle; outcomes jump", 1, 1, thrown_ball},
      {"bike-share", city_text("six trucks that balance 60 stations of hired bicycles, a choice each"),
       BikeShare::gamma, BikeShare::T, bicycles},
      {"bike-share:FILE", city_text("the same in a city of one's own, from a JSON file"), BikeShare::gamma,
       BikeShare::T, bicycles},
      {"bike-share-small", "a truck between two stations of hired bicycles, as a table", 0.95, 48,
       few_bicycles},
      {"mdp:FILE", "a tabular world from a JSON file", 0, 0, mdp_file},
      {"seq-31", "31 answers of tokens E, a, b, right with one a more than b", 1, 4, sequences<seq_31>},
      {kBrackets, "well-formed brackets among tokens E ( ) a b, at most L of them", 0, 0, bracket_world},
      {"seq:FILE", "a sequence world from a JSON file", 0, 0, sequence_file},
      {"prompts:FILE", "sequence worlds from a JSON file, a prompt drawn first", 0, 0, sequence_file},
      {kSteps, "L steps that all have to be right, which they are with probability J", 0, 0, chain_of_steps},
      {kRetro, "a game in an emulator, seen as 84 x 84 grey pixels; Rockbelt-Nes is built with cc65",
       retro::kGamma, retro::kT, game, retro::missing()},
      {kLong, "L binary tokens, right with enough ones, whose probability is 1/2 + DELTA", 0, 0, long_world},
  });
  return all;
}

/// Whether an id is of this line.
bool is_of(const WorldEntry& entry, const std::string& id) {
  const std::size_t colon = entry.id.find(':');
  return colon == std::string::npos ? entry.id == id : id.starts_with(entry.id.substr(0, colon + 1));
}

}  // namespace

const std::vector<WorldEntry>& worlds() { return all_worlds(); }

void add_world(WorldEntry entry) {
  for (const WorldEntry& each : worlds())
    expect(!is_of(each, entry.id), "there is a world '", each.id, "' already");
  all_worlds().push_back(std::move(entry));
}

std::string unknown_name(std::string_view what, std::string_view typed,
                         const std::vector<std::string>& known) {
  std::string list;
  for (const auto& each : known) list += (list.empty() ? "" : ", ") + each;
  return join("unknown ", what, " '", typed, "'; known: ", list);
}

std::shared_ptr<const BikeShare> bike_share_of(const std::string& id) {
  const std::size_t colon = id.find(':');
  return std::make_shared<const BikeShare>(read_bike_city(
      colon == std::string::npos ? (data_directory() / "experiments" / "cities" / "bike-share.json").string()
                                 : id.substr(colon + 1)));
}

World make_world(const std::string& id, std::optional<double> gamma, std::optional<long> horizon) {
  if (gamma) expect(*gamma >= 0 && *gamma <= 1, "--gamma must be from 0 to 1, got ", *gamma);
  if (horizon)
    expect(*horizon >= 1 && *horizon <= 1'000'000, "--horizon must be from 1 to 1000000, got ", *horizon);
  std::vector<std::string> known;
  for (const WorldEntry& entry : worlds()) {
    if (is_of(entry, id)) expect(entry.missing.empty(), id, " needs ", entry.missing);
    if (is_of(entry, id))
      return entry.make(id, gamma, horizon ? Horizon(static_cast<int>(*horizon)) : std::nullopt);
    known.push_back(entry.id);
  }
  std::vector<std::string> nearest;
  while (nearest.size() < 10) {
    nearest.push_back(nearest_name(id, known));
    std::erase(known, nearest.back());
  }
  throw Error(join(unknown_name("world", id, nearest), " and ", known.size(),
                   " more, which `lowvar list envs` names"));
}

}  // namespace lowvar
