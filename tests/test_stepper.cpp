// Worlds at run time. Many copies at once against one at a time: the same bits, for any number of threads;
// saved and restored to the bit, whatever their states are; one action reaches every world, sampled or
// stepped.
#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>

#include "algorithms/data/world.h"
#include "envs/classic_control.h"
#include "envs/tabular_environment.h"

namespace lowvar {
namespace {

template <class T>
std::vector<T> copy(std::span<const T> x) {
  return {x.begin(), x.end()};
}

/// Actions of step t, the same for every way of stepping.
template <Environment E>
std::vector<typename E::Action> actions_at(const E& env, int n, int t) {
  std::vector<typename E::Action> out;
  for (int i = 0; i < n; ++i) {
    Rng rng(5, "actions", static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(t));
    out.push_back(random_action(env, rng));
  }
  return out;
}

/// Actions as a Stepper takes them.
template <Environment E>
void step(Stepper& many, const std::vector<typename E::Action>& actions) {
  if constexpr (DiscreteEnvironment<E>) {
    many.step(actions, {});
  } else {
    Array<double> vectors = zeros<double>(many.size(), action_size<E>);
    for (int i = 0; i < many.size(); ++i)
      std::copy(actions[static_cast<std::size_t>(i)].begin(), actions[static_cast<std::size_t>(i)].end(),
                row(vectors, i).begin());
    many.step({}, vectors);
  }
}

/// Every number of `steps` steps: states, rewards, flags, observations.
struct Seen {
  std::vector<double> numbers;
  int terminated = 0, truncated = 0, both = 0;
  bool operator==(const Seen& other) const { return numbers == other.numbers; }
};

template <Environment E>
Seen one_at_a_time(const E& env, int n, int T, int steps) {
  struct Single {
    Rng rng;
    typename E::State state;
    std::uint32_t t = 0, episode = 0;
  };
  const auto rng_of = [](int i, std::uint32_t episode) {
    return Rng(7, "vector-env", static_cast<std::uint32_t>(i), episode);
  };
  std::vector<Single> all;
  for (int i = 0; i < n; ++i) {
    Rng rng = rng_of(i, 0);
    const auto state = env.reset(rng);
    all.push_back({rng, state});
  }
  Seen out;
  std::vector<double> x(static_cast<std::size_t>(env.observation));
  const auto see = [&](const typename E::State& s) {
    env.observe(s, x);
    out.numbers.insert(out.numbers.end(), x.begin(), x.end());
  };
  for (int t = 0; t < steps; ++t) {
    const auto actions = actions_at(env, n, t);
    for (int i = 0; i < n; ++i) {
      Single& e = all[static_cast<std::size_t>(i)];
      e.rng.seek(e.t + 1);
      const auto step = env.step(e.state, actions[static_cast<std::size_t>(i)], e.rng);
      const bool truncated = ++e.t == static_cast<std::uint32_t>(T);
      out.numbers.insert(out.numbers.end(), {step.reward, step.terminated * 1.0, truncated * 1.0});
      out.terminated += step.terminated, out.truncated += truncated, out.both += step.terminated && truncated;
      e.state = step.state;
      if (step.terminated || truncated) {
        see(e.state);  // the final observation
        e.rng = rng_of(i, ++e.episode);
        e.state = env.reset(e.rng);
        e.t = 0;
      }
      see(e.state);
    }
  }
  return out;
}

template <Environment E>
Seen all_at_once(const E& env, int n, int T, int steps, int restart_at = -1, bool spoilt = false) {
  const MakeStates states = states_of(env);
  const auto fresh = [&] { return std::make_unique<Stepper>(states(n), T, 7, "vector-env"); };
  auto many = fresh();
  Seen out;
  for (int t = 0; t < steps; ++t) {
    if (t == restart_at) {  // somewhere else, from what is known of it
      auto bytes = many->save();
      if (spoilt) bytes[bytes.size() - 2] ^= std::byte{1};
      many = fresh();
      many->restore(bytes);
    }
    step<E>(*many, actions_at(env, n, t));
    for (int i = 0; i < n; ++i) {
      const auto k = static_cast<std::size_t>(i);
      const bool terminated = many->terminated()[k] != 0, truncated = many->truncated()[k] != 0;
      out.numbers.insert(out.numbers.end(), {many->reward()[k], terminated * 1.0, truncated * 1.0});
      const auto see = [&](const std::vector<double>& x) {
        out.numbers.insert(out.numbers.end(), x.begin(), x.end());
      };
      if (terminated || truncated) see(row(many->final_observation(), i));
      see(row(many->observation(), i));
    }
  }
  return out;
}

/// Lanes of a vector, its tail, blocks and threads all agree with one environment alone.
template <Environment E>
void expect_same_as_alone(const E& env, int T, const std::string& name) {
  const int n = 259, steps = 70;
  const Seen alone = one_at_a_time(env, n, T, steps);
  EXPECT_GT(alone.truncated, 0) << name;
  const int threads = omp_get_max_threads();
  for (const int count : {1, 2, 3, 7}) {
    omp_set_num_threads(count);
    EXPECT_TRUE(all_at_once(env, n, T, steps) == alone) << name << ", " << count << " threads";
  }
  omp_set_num_threads(threads);
  EXPECT_TRUE(all_at_once(env, n, T, steps, steps / 2) == alone) << name << ", restored";
  if (!std::same_as<typename E::State, int>) {
    EXPECT_FALSE(all_at_once(env, n, T, steps, steps / 2, true) == alone)
        << name << ", restored with a fault";
  }
}

TEST(Stepper, StepsAsOneEnvironmentDoes) {
  expect_same_as_alone(CartPole{}, 60, "CartPole");
  expect_same_as_alone(FrictionCartPole{}, 50, "FrictionCartPole");
  expect_same_as_alone(Acrobot{}, 60, "Acrobot");
  expect_same_as_alone(MountainCar{}, 60, "MountainCar");
  expect_same_as_alone(MountainCarContinuous{}, 60, "MountainCarContinuous");
  expect_same_as_alone(Pendulum{}, 60, "Pendulum");
  expect_same_as_alone(TabularEnvironment(frozen_lake_4x4()), 20, "FrozenLake");
  expect_same_as_alone(TabularEnvironment(windy_grid()), 20, "windy-grid");
  Lqg noisy = double_integrator();
  noisy.Sigma_w = noisy.Sigma_0;
  expect_same_as_alone(LqgEnvironment<2, 1>(noisy), 10, "LQG");
}

TEST(Stepper, StatesFarFromAnyStartAgreeToo) {
  const int n = States::block;
  Rng rng(8, "far");
  const auto states = states_of(Acrobot{})(n);
  std::vector<std::vector<double>> before;
  for (int i = 0; i < n; ++i) {
    before.push_back(
        {rng.uniform(-40, 40), rng.uniform(-40, 40), rng.uniform(-30, 30), rng.uniform(-60, 60)});
    states->set_numbers(i, before.back());
    EXPECT_EQ(states->numbers(i), before.back());
  }
  const auto actions = actions_at(Acrobot{}, n, 0);
  std::vector<double> reward(before.size());
  std::vector<char> terminated(before.size());
  states->step(0, n, {actions.data()}, {.stream = &rng}, reward.data(), terminated.data());
  for (std::size_t i = 0; i < before.size(); ++i) {
    const auto& s = before[i];
    const auto step = Acrobot{}.step({s[0], s[1], s[2], s[3]}, actions[i], rng);
    EXPECT_EQ(terminated[i] != 0, step.terminated);
    EXPECT_EQ(states->numbers(static_cast<int>(i)),
              (std::vector<double>{step.state.theta1, step.state.theta2, step.state.theta1_dot,
                                   step.state.theta2_dot}))
        << i;
  }
}

/// Walks to the right; the end is at 3.
struct Walk {
  using State = double;
  using Action = int;
  static constexpr int actions = 2, observation = 1;
  static constexpr bool stochastic = false;
  State reset(Rng&) const { return 0; }
  Step<State> step(const State& s, int action, Rng&) const { return {s + action, s, s + action >= 3}; }
  void observe(const State& s, std::span<double> out) const { out[0] = float32(s); }
};

TEST(Stepper, TerminatedAndTruncatedAreTwoFacts) {
  Stepper many(states_of(Walk{})(3), 4, 0, "walks");
  const int ways[4][3] = {{1, 1, 0}, {1, 0, 0}, {1, 1, 1}, {0, 1, 1}};
  for (int t = 0; t < 4; ++t) {
    many.step(ways[t], {});
    if (t == 2) {  // the first has come to its end
      EXPECT_EQ(copy(many.terminated()), (std::vector<char>{1, 0, 0}));
      EXPECT_EQ(copy(many.truncated()), (std::vector<char>{0, 0, 0}));
      EXPECT_EQ(many.final_observation()(0, 0), 3);
      EXPECT_EQ(many.observation()(0, 0), 0);  // and started again
      EXPECT_EQ(many.observation()(1, 0), 2);
    }
  }
  // The second ends at its time limit, both at once; the third is cut by it.
  EXPECT_EQ(copy(many.terminated()), (std::vector<char>{0, 1, 0}));
  EXPECT_EQ(copy(many.truncated()), (std::vector<char>{0, 1, 1}));
  EXPECT_EQ(many.final_observation()(1, 0), 3);
  EXPECT_EQ(many.final_observation()(2, 0), 2);
  EXPECT_EQ(many.observation()(2, 0), 0);
}

TEST(Stepper, EnvironmentsAndEpisodesStartDifferently) {
  const MakeStates poles = states_of(CartPole{});
  Stepper many(poles(50), 1, 3, "a"), other(poles(50), 1, 4, "a"), third(poles(50), 1, 3, "b");
  std::vector<double> starts;
  for (int t = 0; t < 3; ++t)
    for (auto* each : {&many, &other, &third}) {
      for (int i = 0; i < 50; ++i) starts.push_back(each->states().numbers(i)[0]);
      each->step(actions_at(CartPole{}, 50, t), {});
    }
  std::sort(starts.begin(), starts.end());
  EXPECT_EQ(std::adjacent_find(starts.begin(), starts.end()), starts.end());
}

struct Breaks : Walk {
  Step<State> step(const State& s, int action, Rng& rng) const {
    if (action == 1) throw Error("broken");
    return Walk::step(s, action, rng);
  }
};

TEST(Stepper, ErrorsSpeak) {
  const MakeStates poles = states_of(CartPole{}), pendulums = states_of(Pendulum{});
  EXPECT_THROW(poles(0), Error);
  EXPECT_THROW(Stepper(poles(1), 0, 0, ""), Error);
  Stepper many(poles(3), 10, 0, "");
  EXPECT_THROW(many.step(std::vector<int>{0, 1}, {}), Error);
  EXPECT_THROW(Stepper(pendulums(3), 10, 0, "").step({}, zeros<double>(2, 1)), Error);
  auto bytes = many.save();
  bytes.pop_back();
  EXPECT_THROW(many.restore(bytes), Error);
  EXPECT_THROW(many.restore({}), Error);
  EXPECT_THROW(many.restore(Stepper(poles(4), 10, 0, "").save()), Error);
  EXPECT_THROW(many.restore(Stepper(pendulums(3), 10, 0, "").save()), Error);
  auto late = many.save();
  late[0] = std::byte{10};  // the step of the first
  EXPECT_THROW(many.restore(late), Error);
  late[0] = std::byte{9};
  EXPECT_NO_THROW(many.restore(late));
  Stepper chain(states_of(TabularEnvironment(lowvar::chain()))(1), 10, 0, "");
  auto nowhere = chain.save();
  nowhere[16] = std::byte{200};  // the state
  EXPECT_THROW(chain.restore(nowhere), Error);
  Stepper breaks(states_of(Breaks{})(1000), 10, 0, "");
  std::vector<int> actions(1000, 0);
  breaks.step(actions, {});
  actions[700] = 1;
  EXPECT_THROW(breaks.step(actions, {}), Error);
}

// ---- States of any type ----

/// A walk that remembers where it has been, and does not say that its observations are float32.
struct Remembers {
  using State = std::vector<double>;
  using Action = int;
  using Observed = double;
  static constexpr int actions = 2, observation = 2;
  State reset(Rng& rng) const { return {rng.uniform()}; }
  Step<State> step(const State& s, int action, Rng& rng) const {
    State next = s;
    next.push_back(next.back() + (action == 1 ? 0.1 : -0.1) * rng.uniform());
    return {next, next.back() - s.front(), next.size() > 30};
  }
  void observe(const State& s, std::span<double> out) const { out[0] = s.front(), out[1] = s.back(); }
};

/// A screen of a dot, whose state no copy of memory would keep; drawn in memory that each thread borrows.
struct Screen {
  struct State {
    std::shared_ptr<const std::pair<int, double>> at;  // column, height
  };
  using Action = int;
  using Observed = std::uint8_t;
  static constexpr int actions = 3, observation = 12;
  struct Scratch {
    std::atomic<int> users = 0;
    std::vector<std::uint8_t> canvas = std::vector<std::uint8_t>(observation);
  };
  static inline std::atomic<int> made = 0, shared = 0;

  Scratch scratch() const {
    ++made;
    return {};
  }
  static State at(int column, double height) {
    return {std::make_shared<const std::pair<int, double>>(column, height)};
  }
  State reset(Rng& rng, Scratch&) const { return at(0, rng.uniform()); }
  Step<State> step(const State& s, int action, Rng& rng, Scratch& scratch) const {
    if (++scratch.users > 1) ++shared;
    const State next = at((s.at->first + action) % observation, s.at->second + 0.01 * rng.uniform());
    --scratch.users;
    return {next, next.at->second, next.at->second > 1};
  }
  void observe(const State& s, std::span<std::uint8_t> out, Scratch& scratch) const {
    if (++scratch.users > 1) ++shared;
    std::fill(scratch.canvas.begin(), scratch.canvas.end(), std::uint8_t{0});
    scratch.canvas[static_cast<std::size_t>(s.at->first)] = static_cast<std::uint8_t>(250 * s.at->second);
    std::copy(scratch.canvas.begin(), scratch.canvas.end(), out.begin());
    --scratch.users;
  }
  void save(const State& s, std::vector<std::byte>& out) const {
    detail::append(s.at->first, out);
    detail::append(s.at->second, out);
  }
  State load(std::span<const std::byte> bytes) const {
    int column{};
    double height{};
    expect(bytes.size() == sizeof column + sizeof height, "not a screen");
    std::memcpy(&column, bytes.data(), sizeof column);
    std::memcpy(&height, bytes.data() + sizeof column, sizeof height);
    return at(column, height);
  }
};

/// What `steps` steps of a fresh stepper, or of one restored, show: in bytes.
template <Environment E>
std::string shown(Stepper& many, int first, int steps) {
  std::ostringstream out;
  out.precision(17);
  for (int t = first; t < first + steps; ++t) {
    step<E>(many, actions_at(E{}, many.size(), t));
    for (const double r : many.reward()) out << r << ' ';
    for (int i = 0; i < many.size(); ++i)
      for (const double x : row(many.observation(), i)) out << x << ' ';
  }
  return out.str();
}

template <Environment E>
void expect_restored(const std::string& name) {
  const MakeStates states = states_of(E{});
  Stepper many(states(150), 40, 1, "any"), other(states(150), 40, 1, "any"), stale(states(150), 40, 1, "any");
  shown<E>(many, 0, 55);  // episodes have ended, and differ in length
  other.restore(many.save());
  stale.restore(many.save());
  EXPECT_EQ(other.save(), many.save()) << name;
  const std::string wanted = shown<E>(many, 55, 20);
  EXPECT_EQ(shown<E>(other, 55, 20), wanted) << name;
  shown<E>(stale, 55, 1);
  EXPECT_NE(shown<E>(stale, 55, 20), wanted) << name << ": one step late";
}

TEST(Stepper, StatesOfAnyTypeAreSavedAndRestored) {
  expect_restored<Remembers>("a list");
  expect_restored<Screen>("a screen");
  expect_restored<CartPole>("doubles");
}

TEST(Stepper, ObservationsAreOfTheTypeThatTheWorldGives) {
  const Stepper list(states_of(Remembers{})(2), 5, 1, ""), screen(states_of(Screen{})(2), 5, 1, "");
  EXPECT_NE(list.observation().get<double>(), nullptr);
  EXPECT_NE(screen.observation().get<std::uint8_t>(), nullptr);
  EXPECT_NE(list.observation()(0, 0), static_cast<double>(static_cast<float>(list.observation()(0, 0))));
  const World world = environment_world("screen", Screen{}, 0.9, 5);
  EXPECT_EQ(world.observed, Spaces::Number::uint8);
  const Policy policy{Mlp{.sizes = {12, 3}}};
  Rng rng(1, "init");
  const Trajectories batch = world.sample(policy, initialise(policy, rng), 5, {1, "s", 0, 3});
  EXPECT_EQ(batch.rows(), 15);
  EXPECT_GT(batch.observation(0, 0), 0);
  EXPECT_EQ(batch.observation(0, 0), std::floor(batch.observation(0, 0)));
}

TEST(Stepper, ScratchMemoryIsLentToOneThreadAtATime) {
  const int threads = omp_get_max_threads();
  omp_set_num_threads(4);
  Screen::made = Screen::shared = 0;
  Stepper many(states_of(Screen{})(1000), 40, 1, "lent");
  shown<Screen>(many, 0, 20);
  omp_set_num_threads(threads);
  EXPECT_EQ(Screen::shared, 0);
  EXPECT_GE(Screen::made, 1);
  EXPECT_LE(Screen::made, 5);  // one for each thread, and one where the spaces are asked for
}

TEST(States, OfDoublesAreNumbersToReadAndWrite) {
  struct Mixed : Walk {
    struct State {
      double x;
      std::int64_t turn;
    };
    State reset(Rng&) const { return {0, 0}; }
    Step<State> step(const State& s, int, Rng&) const { return {s, 0, false}; }
    void observe(const State& s, std::span<double> out) const { out[0] = s.x; }
  };
  EXPECT_EQ(spaces_of(CartPole{}).numbers, 4);
  EXPECT_EQ(spaces_of(LqgEnvironment<2, 1>(double_integrator())).numbers, 2);
  EXPECT_EQ(spaces_of(Walk{}).numbers, 1);
  EXPECT_EQ(spaces_of(TabularEnvironment(chain())).numbers, 1);
  EXPECT_EQ(spaces_of(Mixed{}).numbers, 0);
  EXPECT_EQ(spaces_of(Remembers{}).numbers, 0);
  EXPECT_THROW(states_of(Mixed{})(1)->set_numbers(0, std::vector<double>{0, 0}), Error);
  EXPECT_THROW(states_of(CartPole{})(1)->set_numbers(0, std::vector<double>{0, 0}), Error);
}

// ---- One action reaches every world ----

/// Pays 10000 a_0 + a_1 of the action that it sees.
template <bool any>
struct Reveals {
  struct State {
    double x;
  };
  using Action = std::array<double, 2>;
  static constexpr int observation = 1;
  static constexpr bool any_action = any;
  static constexpr Action action_low = {-0.25, 0}, action_high = {0.5, 3};
  State reset(Rng&) const { return {0}; }
  Step<State> step(const State& s, const Action& a, Rng&) const { return {s, 10000 * a[0] + a[1], false}; }
  void observe(const State& s, std::span<double> out) const { out[0] = s.x; }
};

TEST(OneAction, IsClippedByComponentWhereverAPolicyActs) {
  const Policy policy{Linear{1, 2}, Head::gaussian};
  const Parameters theta = {{{0}, {0}}, {{0, 1}}};  // N(0, diag(1, e^2))
  const auto seen = [](double a0, double a1) {
    return 10000 * std::clamp(a0, -0.25, 0.5) + std::clamp(a1, 0.0, 3.0);
  };
  const World world = environment_world("reveals", Reveals<false>{}, 1, 5),
              any = environment_world("reveals-any", Reveals<true>{}, 1, 5);
  EXPECT_EQ(world.action_low, (std::vector<double>{-0.25, 0}));
  EXPECT_EQ(world.action_high, (std::vector<double>{0.5, 3}));
  const Draw draw{1, "actions", 0, 40};
  const Trajectories batch = world.sample(policy, theta, 5, draw),
                     as_drawn = any.sample(policy, theta, 5, draw);
  ASSERT_EQ(batch.rows(), 200);
  Stepper many(world.states(200), 5, 1, ""), other(any.states(200), 5, 1, "");
  many.step({}, batch.action_vector);
  other.step({}, batch.action_vector);
  int outside = 0;
  for (int r = 0; r < batch.rows(); ++r) {
    const auto k = static_cast<std::size_t>(r);
    const double a0 = batch.action_vector(r, 0), a1 = batch.action_vector(r, 1);
    EXPECT_EQ(batch.reward[k], seen(a0, a1));
    EXPECT_EQ(many.reward()[k], seen(a0, a1));
    EXPECT_EQ(as_drawn.reward[k], 10000 * a0 + a1);  // of the same draws
    EXPECT_EQ(other.reward()[k], 10000 * a0 + a1);
    EXPECT_NEAR(batch.log_mu[k],
                -0.5 * (a0 * a0 + a1 * a1 / std::exp(2)) - 1 - std::log(2 * std::numbers::pi), 1e-12);
    outside += a0 < -0.25 && a1 > 3;
  }
  EXPECT_GT(outside, 5);
  // What is replayed is taken as it is.
  const double given[] = {-7, 90};
  Rng rng(1, "unused");
  double reward{};
  char terminated{};
  const auto states = world.states(1);
  states->step(0, 1, {nullptr, given}, {.each = &rng}, &reward, &terminated);
  EXPECT_EQ(reward, -70000 + 90);
  states->act(0, 1, {nullptr, given}, {.each = &rng}, &reward, &terminated);
  EXPECT_EQ(reward, -2500 + 3);
}

// ---- Starts that are ends ----

/// Starts at 0 or at 3, where it is over.
template <int percent_over>
struct MayBeOver : Walk {
  static constexpr bool stochastic = true;
  State reset(Rng& rng) const { return rng.uniform() < 0.01 * percent_over ? 3 : 0; }
  bool terminal(const State& s) const { return s >= 3; }
};

TEST(StartsThatAreEnds, AreEpisodesOfNoStepsWhenSampledAndDrawnAgainWhenStepped) {
  const World world = environment_world("may-be-over", MayBeOver<50>{}, 1, 10);
  const Policy policy{Mlp{.sizes = {1, 2}}};
  Rng rng(1, "init");
  const Trajectories batch = world.sample(policy, initialise(policy, rng), 10, {1, "s", 0, 100});
  int none = 0;
  for (int i = 0; i < batch.size(); ++i) {
    const auto k = static_cast<std::size_t>(i);
    none += batch.length(i) == 0;
    if (batch.length(i) == 0) {
      EXPECT_TRUE(batch.terminated[k] && !batch.truncated[k]);
      EXPECT_EQ(batch.final_observation(i, 0), 3);
    } else {
      EXPECT_EQ(batch.observation(batch.begin(i), 0), 0);
    }
  }
  EXPECT_GT(none, 20);
  EXPECT_LT(none, 80);
  const auto many = world.stepper(100, 10, 1, "s");
  for (int t = 0; t < 20; ++t) {
    for (int i = 0; i < 100; ++i) EXPECT_LT(many->observation()(i, 0), 3);
    many->step(std::vector<int>(100, 1), {});
  }
  const World over = environment_world("over", MayBeOver<100>{}, 1, 10);
  EXPECT_EQ(over.sample(policy, initialise(policy, rng), 10, {1, "s", 0, 4}).rows(), 0);
  EXPECT_THROW(over.stepper(1, 10, 1, "s"), Error);
}

TEST(StartsThatAreEnds, OfTabularWorldsToo) {
  Mdp mdp = chain();
  std::fill(mdp.start.begin(), mdp.start.end(), 0.0);
  mdp.start[1] = mdp.start[4] = 0.5;
  const World world = tabular_world("half-over", mdp);
  const auto many = world.stepper(200, 20, 1, "s");
  for (int i = 0; i < 200; ++i) EXPECT_EQ(many->observation()(i, 0), 1);
  mdp.start[1] = 0, mdp.start[4] = 1;
  const World over = tabular_world("over", mdp);
  EXPECT_THROW(over.stepper(1, 20, 1, "s"), Error);
  const Policy policy{Table{5, 2}};
  EXPECT_EQ(over.sample(policy, {zeros<double>(5, 2)}, 20, {1, "s", 0, 4}).rows(), 0);
}

// ---- The tabular sampler ----

/// It is the general one, quicker.
TEST(TabularSampler, GivesWhatTheGeneralOneGives) {
  for (const Mdp& mdp : {chain(), frozen_lake_4x4(), windy_grid(), garnet(6, 3, 3, 1)}) {
    const World world = tabular_world("table", mdp);
    const Policy policy{Table{mdp.S, mdp.A}};
    Array<double> logits = zeros<double>(mdp.S, mdp.A);
    Rng rng(2, "logits");
    for (double& x : values(logits)) x = rng.normal();
    const Draw draw{3, "tables", 5, 60, 4};
    const Trajectories quick = world.sample(policy, {logits}, mdp.T, draw),
                       general = rollout(*world.states(60), policy, {logits}, mdp.T, draw);
    EXPECT_EQ(quick.offset, general.offset);
    EXPECT_EQ(quick.state, general.state);
    EXPECT_EQ(quick.action, general.action);
    EXPECT_EQ(quick.reward, general.reward);
    EXPECT_EQ(quick.final_state, general.final_state);
    EXPECT_EQ(quick.terminated, general.terminated);
    EXPECT_EQ(quick.truncated, general.truncated);
    const Trajectories other = rollout(*world.states(60), policy, {logits}, mdp.T, {4, "tables", 5, 60, 4});
    EXPECT_NE(quick.action, other.action);
  }
}

}  // namespace
}  // namespace lowvar
