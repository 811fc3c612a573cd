// Locomotion on MuJoCo against recorded transitions of Gymnasium's (tests/data/mujoco), and against what
// versions 4 and 5 say of each other. States restart exactly, and threads change nothing.
#include <gtest/gtest.h>
#include <omp.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "algorithms/data/stepper.h"
#include "envs/check.h"
#include "envs/mujoco/mujoco.h"
#include "experiments/render.h"

namespace lowvar {
namespace {

using Numbers = std::vector<double>;

/// What one step leads to.
struct Next {
  double reward;
  bool terminated;
  Numbers observation, state;
};

Next step(const World& world, const Numbers& state, const Numbers& action) {
  const auto states = world.states(1);
  states->set_numbers(0, state);
  Rng rng(0, "unused");
  Next out{};
  char terminated{};
  states->step(0, 1, {nullptr, action.data()}, {.each = &rng}, &out.reward, &terminated);
  out.terminated = terminated != 0;
  out.observation.resize(static_cast<std::size_t>(world.observation));
  states->observe(0, 1, out.observation.data());
  out.state = states->numbers(0);
  return out;
}

double worst(const Numbers& x, const Numbers& y) {
  EXPECT_LE(y.size(), x.size());
  double out = 0;
  for (std::size_t i = 0; i < y.size(); ++i)
    out = std::max(out, std::abs(x[i] - y[i]) / std::max(1.0, std::abs(y[i])));
  return out;
}

/// The largest differences from what was recorded: of all numbers; and how many flags are wrong.
std::pair<double, int> against_recorded(const World& world, const nlohmann::json& rows) {
  double off = 0;
  int flags = 0;
  for (const auto& row : rows) {
    const Next next = step(world, row["state"].get<Numbers>(), row["action"].get<Numbers>());
    off = std::max({off, worst(next.observation, row["observation"].get<Numbers>()),
                    worst(next.state, row["next"].get<Numbers>()),
                    std::abs(next.reward - row["reward"].get<double>())});
    flags += next.terminated != row["terminated"].get<bool>();
  }
  return {off, flags};
}

nlohmann::json recorded() {
  return nlohmann::json::parse(std::ifstream(LOWVAR_TEST_DATA "/mujoco/transitions.json"));
}

TEST(Mujoco, TakesTheRecordedTransitions) {
  const auto all = recorded();
  ASSERT_EQ(all.size(), 9U);
  for (const auto& [id, rows] : all.items()) {
    ASSERT_GE(rows.size(), 20U) << id;
    const auto [off, flags] = against_recorded(make_world(id, {}, {}), rows);
    EXPECT_LE(off, 1e-11) << id;
    EXPECT_EQ(flags, 0) << id;
  }
  // A foot of another friction is noticed.
  EXPECT_GT(against_recorded(make_world("Walker2d-v4", {}, {}), all["Walker2d-v5"]).first, 1e-3);
}

TEST(Mujoco, VersionsDifferWhereTheyShould) {
  const auto all = recorded();
  const auto compare = [&](const std::string& name, auto&& check) {
    const World v4 = make_world(name + "-v4", {}, {}), v5 = make_world(name + "-v5", {}, {});
    int ends = 0;
    for (const auto& row : all[name + "-v5"]) {
      const auto state = row["state"].get<Numbers>(), action = row["action"].get<Numbers>();
      const Next four = step(v4, state, action), five = step(v5, state, action);
      EXPECT_EQ(four.terminated, five.terminated);
      ends += five.terminated;
      check(four, five);
    }
    return ends;
  };
  const auto bonus = [](double paid) {
    return [paid](const Next& four, const Next& five) {
      EXPECT_EQ(four.state, five.state);
      EXPECT_NEAR(four.reward - five.reward, five.terminated ? paid : 0, 1e-12);
    };
  };
  EXPECT_GT(compare("Hopper", bonus(1)), 0);
  EXPECT_GT(compare("InvertedPendulum", bonus(1)), 0);
  EXPECT_GT(compare("InvertedDoublePendulum",
                    [&](const Next& four, const Next& five) {
                      bonus(10)(four, five);
                      EXPECT_EQ(four.observation.size(), 11U);
                      EXPECT_TRUE(std::equal(five.observation.begin(), five.observation.end(),
                                             four.observation.begin()));
                    }),
            0);
  compare("Reacher", [](const Next& four, const Next& five) {
    EXPECT_EQ(four.state, five.state);
    EXPECT_NE(four.reward, five.reward);
    EXPECT_EQ(four.observation.size(), 11U);
  });
  compare("Ant", [](const Next& four, const Next& five) {
    EXPECT_EQ(four.state, five.state);
    EXPECT_EQ(four.observation.size(), 27U);
    EXPECT_TRUE(std::equal(four.observation.begin(), four.observation.end(), five.observation.begin()));
    double squares = 0;
    for (std::size_t j = 27; j < 105; ++j) squares += five.observation[j] * five.observation[j];
    EXPECT_NEAR(four.reward - five.reward, 0.0005 * squares + (five.terminated ? 1 : 0), 1e-12);
  });
}

TEST(Mujoco, KeepsTheRulesOfEnvironments) {
  const EnvCheck brief{.T = 60, .episodes = 4};
  EXPECT_EQ(check_env(Mujoco<3>("Hopper-v5"), brief), std::vector<std::string>{});
  EXPECT_EQ(check_env(Mujoco<1>("InvertedDoublePendulum-v5"), brief), std::vector<std::string>{});
  EXPECT_EQ(check_env(Mujoco<2>("Reacher-v4"), brief), std::vector<std::string>{});
  EXPECT_EQ(check_env(Mujoco<8>("Ant-v5"), brief), std::vector<std::string>{});
}

/// All numbers of an episode's first steps in n worlds, restarting each from its bytes at step `cut` if that
/// is not 0.
std::vector<Numbers> play(const World& world, int n, int steps, int cut, int threads) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(threads);
  auto many = world.stepper(n, world.T, 3, "worlds");
  std::vector<Numbers> out;
  for (int t = 0; t < steps; ++t) {
    if (cut > 0 && t == cut) {
      const auto bytes = many->save();
      many = world.stepper(n, world.T, 3, "worlds");
      many->restore(bytes);
    }
    Array<double> actions = zeros<double>(n, world.m);
    Rng rng(4, "actions", static_cast<std::uint32_t>(t));
    for (double& a : values(actions)) a = rng.uniform(-1, 1);
    many->step({}, actions);
    for (int i = 0; i < n; ++i) out.push_back(many->states().numbers(i));
    out.emplace_back(many->reward().begin(), many->reward().end());
    const auto seen = values(*many->observation().get<double>());
    out.emplace_back(seen.begin(), seen.end());
  }
  omp_set_num_threads(before);
  return out;
}

TEST(Mujoco, RestartsExactlyAndThreadsChangeNothing) {
  for (const char* id : {"Ant-v5", "HalfCheetah-v5", "Hopper-v5", "InvertedDoublePendulum-v5",
                         "InvertedPendulum-v5", "Reacher-v5", "Swimmer-v5", "Walker2d-v5"}) {
    const World world = make_world(id, {}, {});
    const auto whole = play(world, 5, 60, 0, 1);
    EXPECT_EQ(play(world, 5, 60, 23, 1), whole) << id << " from the bytes of its states";
    EXPECT_EQ(play(world, 5, 60, 0, 3), whole) << id << " on three threads";
    EXPECT_EQ(play(world, 5, 60, 41, 2), whole) << id << " both";
  }
}

TEST(Mujoco, KnowsWhereItsSolidsAre) {
  const MujocoModel hopper("Hopper-v5");
  Numbers upright(12, 0);
  upright[0] = 3, upright[1] = 1.25;
  const auto solids = hopper.solids(upright);
  ASSERT_EQ(solids.size(), 4U);
  const Solid &torso = solids[0], &foot = solids[3];
  EXPECT_NEAR(torso.from[0], 3, 1e-12);
  EXPECT_NEAR(std::max(torso.from[2], torso.to[2]), 1.45, 1e-12);
  EXPECT_NEAR(foot.from[2], 0.1, 1e-12);
  EXPECT_NEAR(std::abs(foot.from[0] - foot.to[0]), 0.39, 1e-12);
  EXPECT_EQ(foot.radius, 0.06);
  EXPECT_TRUE(can_draw("Hopper-v5"));
  EXPECT_FALSE(can_draw("garnet:5:2:2:0"));
}

TEST(Mujoco, SaysWhatIsWrongAndWritesNothing) {
  const auto before = std::distance(std::filesystem::directory_iterator("."), {});
  EXPECT_THROW(Mujoco<1>("Hopper-v6"), Error);
  EXPECT_THROW(Mujoco<1>("Hopper-v5"), Error);
  const World world = make_world("Hopper-v5", {}, {});
  Numbers state(12, 0);
  state[1] = 1.25, state[8] = 1e12;
  try {
    step(world, state, {0, 0, 0});
    ADD_FAILURE() << "a velocity of 1e12 was taken";
  } catch (const NumericalFault& fault) {
    EXPECT_STREQ(fault.what(), "the simulation of Hopper-v5 has left the finite numbers: a velocity is none");
  }
  const auto states = world.states(1);
  Rng rng(0, "start");
  states->reset(0, rng);
  EXPECT_THROW(states->restore(0, std::vector<std::byte>(8)), Error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator("."), {}), before);
}

}  // namespace
}  // namespace lowvar
