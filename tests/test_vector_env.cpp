// Many environments at once against one at a time: the same bits, for any number of threads.
#include <gtest/gtest.h>
#include <omp.h>

#include "envs/classic_control.h"
#include "envs/lqr.h"
#include "envs/tabular_environment.h"
#include "envs/vector_env.h"

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
Seen all_at_once(const E& env, int n, int T, int steps, int restart_at = -1) {
  VectorEnv<E> many(env, n, T, 7);
  Seen out;
  for (int t = 0; t < steps; ++t) {
    if (t == restart_at) {  // somewhere else, from what is known of it
      VectorEnv<E> other(env, n, T, 7);
      other.restore(many.places());
      many = other;
    }
    many.step(actions_at(env, n, t));
    for (int i = 0; i < n; ++i) {
      const auto k = static_cast<std::size_t>(i);
      const bool terminated = many.terminated()[k] != 0, truncated = many.truncated()[k] != 0;
      out.numbers.insert(out.numbers.end(), {many.reward()[k], terminated * 1.0, truncated * 1.0});
      if (terminated || truncated)
        for (const float x : row(many.final_observation(), i)) out.numbers.push_back(static_cast<double>(x));
      for (const float x : row(many.observation(), i)) out.numbers.push_back(static_cast<double>(x));
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
}

TEST(VectorEnv, StepsAsOneEnvironmentDoes) {
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

TEST(VectorEnv, StatesFarFromAnyStartAgreeToo) {
  const int n = 301;
  Rng rng(8, "far");
  VectorEnv<Acrobot> many(Acrobot{}, n, 500, 0);
  auto places = many.places();
  for (auto& place : places)
    place.state = {rng.uniform(-40, 40), rng.uniform(-40, 40), rng.uniform(-30, 30), rng.uniform(-60, 60)};
  many.restore(places);
  const auto actions = actions_at(Acrobot{}, n, 0);
  many.step(actions);
  Rng unused(0, "unused");
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto step = Acrobot{}.step(places[i].state, actions[i], unused);
    EXPECT_EQ(many.terminated()[i], step.terminated);
    if (!step.terminated) {
      EXPECT_EQ(many.states()[i], step.state) << i;
    }
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

TEST(VectorEnv, TerminatedAndTruncatedAreTwoFacts) {
  VectorEnv<Walk> many(Walk{}, 3, 4, 0);
  const int ways[4][3] = {{1, 1, 0}, {1, 0, 0}, {1, 1, 1}, {0, 1, 1}};
  for (int t = 0; t < 4; ++t) {
    many.step(ways[t]);
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
  EXPECT_EQ(many.places()[0].episode, 1U);
  EXPECT_EQ(many.places()[0].t, 1U);
}

TEST(VectorEnv, EnvironmentsAndEpisodesStartDifferently) {
  VectorEnv<CartPole> many(CartPole{}, 50, 1, 3), other(CartPole{}, 50, 1, 4);
  std::vector<double> starts;
  for (int t = 0; t < 3; ++t) {
    for (const auto* each : {&many, &other})
      for (const auto& s : each->states()) starts.push_back(s.x);
    many.step(actions_at(CartPole{}, 50, t));
    other.step(actions_at(CartPole{}, 50, t));
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

TEST(VectorEnv, ErrorsSpeak) {
  EXPECT_THROW(VectorEnv<CartPole>(CartPole{}, 0, 10, 0), Error);
  EXPECT_THROW(VectorEnv<CartPole>(CartPole{}, 1, 0, 0), Error);
  VectorEnv<CartPole> many(CartPole{}, 3, 10, 0);
  EXPECT_THROW(many.step(std::vector<int>{0, 1}), Error);
  EXPECT_THROW(many.restore({}), Error);
  VectorEnv<Breaks> breaks(Breaks{}, 1000, 10, 0);
  std::vector<int> actions(1000, 0);
  breaks.step(actions);
  actions[700] = 1;
  EXPECT_THROW(breaks.step(actions), Error);
}

}  // namespace
}  // namespace lowvar
