// The tabular worlds and the rules of Mdp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "envs/tabular.h"

namespace lowvar {
namespace {

using Json = nlohmann::json;

Json reference(const char* group) {
  std::ifstream in(std::string(LOWVAR_TEST_DATA) + "/reference_values.json");
  return Json::parse(in).at(group);
}

double action_value(const Mdp& mdp, const std::vector<double>& V, int s, int a) {
  double Q = 0;
  for (const Outcome& o : mdp.outcomes(s, a))
    Q += o.probability * (o.reward + mdp.gamma * V[static_cast<std::size_t>(o.next)]);
  return Q;
}

/// Optimal infinite-horizon values by value iteration.
std::vector<double> optimal_values(const Mdp& mdp, int sweeps = 20000) {
  std::vector<double> V(static_cast<std::size_t>(mdp.S));
  for (int i = 0; i < sweeps; ++i)
    for (int s = 0; s < mdp.S; ++s) {
      if (mdp.terminal[static_cast<std::size_t>(s)]) continue;
      double best = -std::numeric_limits<double>::infinity();
      for (int a = 0; a < mdp.A; ++a) best = std::max(best, action_value(mdp, V, s, a));
      V[static_cast<std::size_t>(s)] = best;
    }
  return V;
}

/// The one outcome of a deterministic (s, a).
Outcome only(const Mdp& mdp, int s, int a) {
  const auto outcomes = mdp.outcomes(s, a);
  EXPECT_EQ(outcomes.size(), 1u);
  return outcomes.front();
}

std::string message_of(const auto& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

constexpr int kUp = 0, kRight = 1, kDown = 2, kLeft = 3;

TEST(TabularWorlds, AreWellFormed) {
  for (const Mdp& mdp :
       {chain(), four_rooms(), frozen_lake_4x4(), frozen_lake_8x8(), bombs_and_bitcoin(), windy_grid()}) {
    check_mdp(mdp);
    ASSERT_EQ(mdp.offset.size(), static_cast<std::size_t>(mdp.S * mdp.A + 1));
    for (int s = 0; s < mdp.S; ++s)
      for (int a = 0; a < mdp.A; ++a) {
        double sum = 0;
        int previous = -1;
        for (const Outcome& o : mdp.outcomes(s, a)) {
          EXPECT_GT(o.next, previous);
          EXPECT_GT(o.probability, 0);
          previous = o.next;
          sum += o.probability;
        }
        EXPECT_NEAR(sum, mdp.terminal[static_cast<std::size_t>(s)] ? 0 : 1, 1e-15);
      }
  }
}

TEST(TabularWorlds, ChainIsTheReferenceChain) {
  const Json world = reference("chain5").at("world");
  const Mdp mdp = chain();
  EXPECT_EQ(mdp.S, world["S"]);
  EXPECT_EQ(mdp.A, world["A"]);
  EXPECT_EQ(mdp.T, world["T"]);
  EXPECT_EQ(mdp.gamma, world["gamma"]);
  EXPECT_EQ(mdp.start, (std::vector<double>{1, 0, 0, 0, 0}));
  EXPECT_EQ(mdp.terminal, (std::vector<char>{0, 0, 0, 0, 1}));
  for (int s = 0; s < 4; ++s)
    for (int a = 0; a < 2; ++a) {
      std::vector<double> P(5), R = world["R"][s][a];
      for (const Outcome& o : mdp.outcomes(s, a)) {
        P[static_cast<std::size_t>(o.next)] = o.probability;
        EXPECT_EQ(o.reward, R[static_cast<std::size_t>(o.next)]);
      }
      for (std::size_t next = 0; next < 5; ++next)
        EXPECT_NEAR(P[next], world["P"][s][a][next].get<double>(), 1e-15);
    }
}

TEST(TabularWorlds, FourRoomsHasItsWallsAndDoors) {
  const Mdp mdp = four_rooms();
  EXPECT_EQ(mdp.T, 100);
  EXPECT_EQ(mdp.gamma, 0.99);
  EXPECT_EQ(only(mdp, 0, kUp).next, 0);
  EXPECT_EQ(only(mdp, 0, kRight).next, 1);
  EXPECT_EQ(only(mdp, 0, kDown).next, 10);
  EXPECT_EQ(only(mdp, 0, kLeft).next, 0);
  for (int i = 0; i < 10; ++i) {
    const bool door = i == 2 || i == 7;
    EXPECT_EQ(only(mdp, 40 + i, kDown).next, door ? 50 + i : 40 + i);
    EXPECT_EQ(only(mdp, 50 + i, kUp).next, door ? 40 + i : 50 + i);
    EXPECT_EQ(only(mdp, 10 * i + 4, kRight).next, door ? 10 * i + 5 : 10 * i + 4);
    EXPECT_EQ(only(mdp, 10 * i + 5, kLeft).next, door ? 10 * i + 4 : 10 * i + 5);
  }
  EXPECT_EQ(only(mdp, 67, kDown).reward, 1);
  EXPECT_EQ(only(mdp, 62, kDown).reward, 0.3);
  EXPECT_EQ(only(mdp, 17, kDown).reward, 0.6);
  EXPECT_EQ(std::count(mdp.terminal.begin(), mdp.terminal.end(), 1), 3);
}

TEST(TabularWorlds, FrozenLakesHaveTheKnownOptimalValues) {
  EXPECT_NEAR(optimal_values(frozen_lake_4x4())[0], 0.54202593, 5e-9);
  EXPECT_NEAR(optimal_values(frozen_lake_8x8())[0], 0.41464036, 5e-9);
  EXPECT_EQ(frozen_lake_4x4().T, 100);
  EXPECT_EQ(frozen_lake_8x8().T, 200);
}

TEST(TabularWorlds, FrozenLakeSlipsToTheSides) {
  const Mdp mdp = frozen_lake_4x4();
  const auto down = mdp.outcomes(14, 1);  // left to 13, down against the border, right into the goal
  ASSERT_EQ(down.size(), 3u);
  EXPECT_EQ(down[0].next, 13);
  EXPECT_EQ(down[1].next, 14);
  EXPECT_EQ(down[2].next, 15);
  EXPECT_EQ(down[2].reward, 1);
  EXPECT_EQ(down[0].reward, 0);
  const auto left = mdp.outcomes(0, 0);  // up and left stay, down moves
  ASSERT_EQ(left.size(), 2u);
  EXPECT_NEAR(left[0].probability, 2.0 / 3, 1e-16);
  EXPECT_EQ(left[1].next, 4);
}

TEST(TabularWorlds, BitcoinPaysOnceBombsEachTime) {
  const Mdp mdp = bombs_and_bitcoin();
  EXPECT_EQ(mdp.S, 48);
  EXPECT_EQ(mdp.T, 50);
  EXPECT_EQ(mdp.gamma, 0.95);
  const Outcome bitcoin = only(mdp, 1, kRight);
  EXPECT_EQ(bitcoin.next, 24 + 2);
  EXPECT_EQ(bitcoin.reward, 1);
  EXPECT_EQ(only(mdp, 24 + 1, kRight).next, 24 + 2);
  EXPECT_EQ(only(mdp, 24 + 1, kRight).reward, 0);
  for (int taken : {0, 24}) {
    for (int bomb : {5, 7, 9, 11, 12, 14, 16, 19, 21, 23})
      for (int a = 0; a < 4; ++a) {
        const int away = (a + 2) % 4;
        const Outcome out = only(mdp, taken + bomb, a);
        if (out.next == taken + bomb) {
          EXPECT_EQ(out.reward, 0) << "a bump into the border enters nothing";
        } else if (!mdp.terminal[static_cast<std::size_t>(out.next)] && out.next % 24 != 2) {
          EXPECT_EQ(only(mdp, out.next, away).reward, -10);
          EXPECT_EQ(only(mdp, out.next, away).next % 24, bomb);
        }
      }
    EXPECT_EQ(only(mdp, taken + 16, kDown).next, taken + 22);
    EXPECT_EQ(only(mdp, taken + 16, kDown).reward, 10);
    EXPECT_TRUE(mdp.terminal[static_cast<std::size_t>(taken + 22)]);
  }
  EXPECT_EQ(std::count(mdp.terminal.begin(), mdp.terminal.end(), 1), 2);
  int ways_into_bombs = 0;
  for (int s = 0; s < 24; ++s)
    for (int a = 0; a < 4; ++a)
      for (const Outcome& o : mdp.outcomes(s, a)) ways_into_bombs += o.reward == -10;
  EXPECT_EQ(ways_into_bombs, 29);  // neighbours of the ten bombs, home (no way out) left out
}

TEST(TabularWorlds, WindyGridTakesFifteenSteps) {
  Mdp mdp = windy_grid();
  EXPECT_EQ(mdp.S, 70);
  EXPECT_EQ(only(mdp, 33, kRight).next, 24);  // wind of the column departed from
  EXPECT_EQ(only(mdp, 36, kRight).next, 17);
  EXPECT_EQ(only(mdp, 9, kUp).next, 9);
  EXPECT_EQ(only(mdp, 48, kLeft).next, 37);
  EXPECT_EQ(only(mdp, 48, kLeft).reward, -1);
  EXPECT_TRUE(mdp.terminal[37]);
  mdp.gamma = 1;
  EXPECT_EQ(optimal_values(mdp, 200)[30], -15);  // Sutton & Barto, example 6.5
}

TEST(MakeMdp, MergesSuccessorsAndDropsImpossibleOnes) {
  const Mdp mdp = make_mdp(2, 1, 1, 3, {1, 0}, {0, 1}, [](int, int) {
    return std::vector<Outcome>{{1, 0.25, 4}, {0, 0.5, 7}, {1, 0.25, 2}, {0, 0, 100}};
  });
  ASSERT_EQ(mdp.outcomes(0, 0).size(), 2u);
  EXPECT_EQ(mdp.outcomes(0, 0)[0].probability, 0.5);
  EXPECT_EQ(mdp.outcomes(0, 0)[0].reward, 7);
  EXPECT_EQ(mdp.outcomes(0, 0)[1].probability, 0.5);
  EXPECT_EQ(mdp.outcomes(0, 0)[1].reward, 3);
  EXPECT_TRUE(mdp.outcomes(1, 0).empty());
}

TEST(MakeMdp, RefusesWhatIsNoMdp) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto build = [](std::vector<double> start, double gamma, int T, std::vector<Outcome> outcomes) {
    return [=] { make_mdp(2, 1, gamma, T, start, {0, 0}, [&](int, int) { return outcomes; }); };
  };
  const std::vector<Outcome> fine{{0, 1, 0}};
  EXPECT_EQ(message_of(build({1, 0}, 1, 1, fine)), "no error");
  EXPECT_EQ(message_of(build({1, 0.5}, 1, 1, fine)), "the start distribution sums to 1.5, not to 1");
  EXPECT_EQ(message_of(build({2, -1}, 1, 1, fine)), "the start distribution has a probability of -1");
  EXPECT_EQ(message_of(build({1}, 1, 1, fine)), "the start distribution needs 2 numbers, got 1");
  EXPECT_EQ(message_of(build({1, 0}, 1.5, 1, fine)), "gamma must lie in [0, 1], got 1.5");
  EXPECT_EQ(message_of(build({1, 0}, nan, 1, fine)), "gamma must lie in [0, 1], got nan");
  EXPECT_EQ(message_of(build({1, 0}, 1, 0, fine)), "the horizon must be at least 1, got 0");
  EXPECT_EQ(message_of(build({1, 0}, 1, 1, {{0, 0.9, 0}})),
            "the probabilities of state 0, action 0 sum to 0.9, not to 1");
  EXPECT_EQ(message_of(build({1, 0}, 1, 1, {{0, 1.5, 0}, {1, -0.5, 0}})),
            "state 0, action 0 leads to state 1 with probability -0.5");
  EXPECT_EQ(message_of(build({1, 0}, 1, 1, {{2, 1, 0}})),
            "state 0, action 0 leads to state 2, but states are 0..1");
  EXPECT_EQ(message_of(build({1, 0}, 1, 1, {{1, 1, nan}})),
            "the reward of state 0, action 0, next state 1 is nan");
  Mdp mdp = chain();
  EXPECT_EQ(message_of([&] { append_outcomes(mdp, 0, 0, fine); }),
            "outcomes of state 0, action 0 come out of row-major order");
}

}  // namespace
}  // namespace lowvar
