// The public check of worlds: it finds nothing wrong with any of ours, and finds each of the faults planted
// below.
#include <gtest/gtest.h>

#include <random>

#include "envs/ball_and_wall.h"
#include "envs/check.h"
#include "envs/classic_control.h"
#include "envs/double_pendulum.h"
#include "envs/lqr.h"
#include "envs/tabular_environment.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

template <Environment E>
void expect_sound(const E& env, const std::string& name, EnvCheck options = {}) {
  for (const auto& sentence : check_env(env, options)) ADD_FAILURE() << name << ": " << sentence;
}

TEST(CheckEnv, ClassicControlIsSound) {
  expect_sound(CartPole{}, "CartPole");
  expect_sound(CartPole{}, "CartPole-v0", {.T = 200});
  expect_sound(FrictionCartPole{}, "FrictionCartPole");
  expect_sound(Acrobot{}, "Acrobot");
  expect_sound(MountainCar{}, "MountainCar");
  expect_sound(MountainCarContinuous{}, "MountainCarContinuous");
  expect_sound(Pendulum{}, "Pendulum");
  expect_sound(CartPoleBalance{}, "CartPoleBalance");
  expect_sound(DoublePendulum{}, "DoublePendulum");
  expect_sound(BallAndWallEnvironment{}, "BallAndWallEnvironment");
}

TEST(CheckEnv, TabularWorldsAreSound) {
  std::vector<std::string> ids = {"FrozenLake-random:8:0", "garnet:10:3:2:0", "bandit:1,0.7,0"};
  for (const auto& entry : worlds())
    if (entry.id.find(':') == std::string::npos && entry.missing.empty()) ids.push_back(entry.id);
  int checked = 0;
  for (const auto& id : ids) {
    const World world = make_world(id, {}, {});
    if (!world.mdp || world.sequences) continue;  // answers end by themselves where they are longest
    expect_sound(TabularEnvironment(world.mdp), id);
    ++checked;
  }
  EXPECT_EQ(checked, 11);
}

TEST(CheckEnv, WorldsOfAUserAreMadeByIdAndTakeNoIdThatIsThere) {
  EXPECT_THROW(add_world<CartPole>("chain", "taken", 1, 10), Error);
  add_world<CartPole>("of-a-user", "a pole", 0.5, 10);
  EXPECT_EQ(make_world("of-a-user", {}, {}).gamma, 0.5);
  EXPECT_EQ(make_world("of-a-user", {}, {}).T, 10);
  EXPECT_EQ(make_world("of-a-user", 0.25, 7).gamma, 0.25);
  EXPECT_EQ(make_world("of-a-user", 0.25, 7).T, 7);
  EXPECT_THROW(add_world<CartPole>("of-a-user", "twice", 1, 10), Error);
  EXPECT_THROW(add_world<CartPole>("garnet:1:1:1:1", "of a line that is there", 1, 10), Error);
  add_world<Pendulum>("says-its-own", "a pendulum");
  EXPECT_EQ(make_world("says-its-own", {}, {}).T, Pendulum::T);
}

TEST(CheckEnv, LinearQuadraticWorldsAreSound) {
  expect_sound(LqgEnvironment<2, 1>(double_integrator()), "double integrator");
  Lqg noisy = double_integrator();
  noisy.Sigma_w = noisy.Sigma_0;
  expect_sound(LqgEnvironment<2, 1>(noisy), "double integrator with noise");
}

/// Exactly the complaints that contain these words are expected.
template <Environment E>
void expect_fault(const E& env, const std::string& words, EnvCheck options = {}) {
  const auto report = check_env(env, options);
  ASSERT_FALSE(report.empty()) << words;
  bool found = false;
  std::string all;
  for (const auto& sentence : report)
    found = found || sentence.find(words) != std::string::npos, all += "  " + sentence + "\n";
  EXPECT_TRUE(found) << "nobody said '" << words << "':\n" << all;
}

struct HiddenState : CartPole {
  mutable double wear = 0;
  Step<State> step(const State& s, int action, Rng& rng) const {
    auto out = CartPole::step(s, action, rng);
    out.state.x_dot += wear += 1e-9;
    return out;
  }
};

struct RemembersLate : CartPole {
  mutable long steps = 0;
  Step<State> step(const State& s, int action, Rng& rng) const {
    auto out = CartPole::step(s, action, rng);
    if (++steps > 5000) out.reward = 2;
    return out;
  }
};

TEST(CheckEnv, HiddenStateIsFound) {
  expect_fault(HiddenState{}, "two different steps");
  expect_fault(RemembersLate{}, "never used steps differently");
}

/// The time limit of `World` claimed as a termination.
template <class World, int limit>
struct EndsAtItsTimeLimit : World {
  struct State {
    typename World::State inner;
    int t = 0;
    bool operator==(const State&) const = default;
  };
  State reset(Rng& rng) const { return {World::reset(rng)}; }
  Step<State> step(const State& s, const typename World::Action& action, Rng& rng) const {
    const auto out = World::step(s.inner, action, rng);
    return {{out.state, s.t + 1}, out.reward, out.terminated || s.t + 1 >= limit};
  }
  void observe(const State& s, std::span<double> out) const { World::observe(s.inner, out); }
};

TEST(CheckEnv, TerminationAtTheTimeLimitIsFound) {
  const std::string words = "time limits belong to the rollout";
  expect_fault(EndsAtItsTimeLimit<Pendulum, 200>{}, words);
  expect_fault(EndsAtItsTimeLimit<MountainCar, 200>{}, words);
  expect_fault(EndsAtItsTimeLimit<CartPole, 500>{}, words);  // which actions at random never reach
  expect_fault(EndsAtItsTimeLimit<CartPole, 200>{}, words, {.T = 200});
}

struct OtherMotion : Pendulum {
  Step<State> step(const State& s, const Action& action, Rng& rng) const {
    auto out = Pendulum::step(s, action, rng);
    out.state.theta_dot *= 0.999;
    return out;
  }
};
struct OtherReward : Pendulum {
  Step<State> step(const State& s, const Action& action, Rng& rng) const {
    auto out = Pendulum::step(s, action, rng);
    out.reward *= 0.999;
    return out;
  }
};
struct OtherSight : Pendulum {
  void observe(const State& s, std::span<double> out) const {
    Pendulum::observe(s, out);
    std::swap(out[0], out[1]);
  }
};

TEST(CheckEnv, WhatIsDifferentiatedIsWhatSteps) {
  expect_fault(OtherMotion{}, "and next says");
  expect_fault(OtherReward{}, "and reward says");
  expect_fault(OtherSight{}, "and sight says");
}

struct UnboundedObservation : Pendulum {
  void observe(const State& s, std::span<double> out) const {
    Pendulum::observe(s, out);
    out[2] *= 2;
  }
};

struct DoubleObservation : Pendulum {
  void observe(const State& s, std::span<double> out) const {
    Pendulum::observe(s, out);
    out[2] = s.theta_dot;
  }
};

struct ForgottenComponent : Pendulum {
  void observe(const State& s, std::span<double> out) const {
    out[0] = float32(std::cos(s.theta));
    out[1] = float32(std::sin(s.theta));
  }
};

struct GrowsWithoutBound : Pendulum {
  static constexpr std::array<double, 3> observation_high = {1, 1, std::numeric_limits<double>::infinity()},
                                         observation_low = {-1, -1, -observation_high[2]};
  Step<State> step(const State& s, const Action& action, Rng& rng) const {
    auto out = Pendulum::step(s, action, rng);
    out.state.theta_dot = 3 * s.theta_dot;
    return out;
  }
};

TEST(CheckEnv, UnboundedObservationsAreFound) {
  expect_fault(UnboundedObservation{}, "outside its bounds");
  expect_fault(DoubleObservation{}, "not a float32 number");
  expect_fault(ForgottenComponent{}, "was not written");
  expect_fault(GrowsWithoutBound{}, "component 2 of the observation is");
}

/// Works in memory of its own, and reads what is left in it where `remembers`.
template <bool remembers>
struct WithScratch : Pendulum {
  struct Scratch {
    double torque = 0;
  };
  Scratch scratch() const { return {}; }
  State reset(Rng& rng, Scratch&) const { return Pendulum::reset(rng); }
  Step<State> step(const State& s, const Action& action, Rng& rng, Scratch& scratch) const {
    scratch.torque = remembers ? 0.5 * scratch.torque + action[0] : action[0];
    return Pendulum::step(s, {scratch.torque}, rng);
  }
  void observe(const State& s, std::span<double> out, Scratch&) const { Pendulum::observe(s, out); }
};

TEST(CheckEnv, WhatIsLeftInScratchMemoryMustNotMatter) {
  expect_sound(WithScratch<false>{}, "scratch");
  expect_fault(WithScratch<true>{}, "two different steps");
}

struct OfDoubles : DoubleObservation {
  using Observed = double;
};

struct OfPixels : MountainCar {
  using Observed = std::uint8_t;
  static constexpr std::array<double, 2> observation_low = {0, 0}, observation_high = {255, 255};
  void observe(const State& s, std::span<std::uint8_t> out) const {
    out[0] = static_cast<std::uint8_t>(100 * (s.x + 1.2));
    out[1] = s.v < 0;
  }
};

TEST(CheckEnv, ObservationsAreOfTheTypeThatIsSaid) {
  expect_sound(OfDoubles{}, "doubles");
  expect_sound(OfPixels{}, "pixels");
}

struct GlobalCounter : Pendulum {
  static inline int counter = 0;
  State reset(Rng& rng) const {
    State s = Pendulum::reset(rng);
    s.theta += 1e-3 * ++counter;
    return s;
  }
};

struct OwnGenerator : MountainCar {
  mutable std::mt19937 generator{1};
  static constexpr bool stochastic = true;
  Step<State> step(const State& s, int action, Rng& rng) const {
    Step<State> out = MountainCar::step(s, action, rng);
    out.state.v += 1e-6 * static_cast<double>(generator()) / 4294967296.0;
    return out;
  }
};

struct FixedSeed : MountainCar {
  static constexpr bool stochastic = true;
  Step<State> step(const State& s, int action, Rng&) const {
    Rng own(1, "mine");
    Step<State> out = MountainCar::step(s, action, own);
    out.state.v = std::min(out.state.v + 1e-6 * own.uniform(), max_speed);
    return out;
  }
};

struct DrawsInVain : MountainCar {
  State reset(Rng& rng) const {
    rng.uniform();
    return {-0.5, 0};
  }
};

struct SaysNothingOfItsDraws : MountainCar {
  Step<State> step(const State& s, int action, Rng& rng) const {
    Step<State> out = MountainCar::step(s, action, rng);
    out.reward -= rng.uniform();
    return out;
  }
};

TEST(CheckEnv, MisuseOfRandomNumbersIsFound) {
  expect_fault(GlobalCounter{}, "reset depends on something else");
  expect_fault(OwnGenerator{}, "two different steps");
  expect_fault(FixedSeed{}, "draw nothing from the Rng they get");
  expect_fault(DrawsInVain{}, "16 seeds start the same");
  expect_fault(SaysNothingOfItsDraws{}, "says that steps draw no random numbers");
}

struct RewardOverZero : MountainCar {
  Step<State> step(const State& s, int action, Rng& rng) const {
    Step<State> out = MountainCar::step(s, action, rng);
    out.reward = std::log(out.state.v);
    return out;
  }
};

struct Throws : MountainCar {
  Step<State> step(const State&, int, Rng&) const { throw std::runtime_error("out of petrol"); }
};

TEST(CheckEnv, RewardsThatAreNoNumbersAndErrorsAreFound) {
  expect_fault(RewardOverZero{}, "the reward is");
  expect_fault(Throws{}, "out of petrol");
}

struct Backwards : Pendulum {
  static constexpr Action action_low = {2.0}, action_high = {-2.0};
};

TEST(CheckEnv, DeclarationsAreRead) { expect_fault(Backwards{}, "bounds of action component 0"); }

}  // namespace
}  // namespace lowvar
