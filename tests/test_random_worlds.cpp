// CliffWalking against Gymnasium's table, and the distributions of random lakes and Garnets at a family-wise
// 1e-6.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "envs/tabular.h"
#include "experiments/worlds.h"
#include "statistics.h"

namespace lowvar {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

std::string message_of(const auto& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

bool same(const Mdp& x, const Mdp& y) {
  const auto equal = [](const Outcome& a, const Outcome& b) {
    return a.next == b.next && a.probability == b.probability && a.reward == b.reward;
  };
  return x.offset == y.offset && x.terminal == y.terminal &&
         std::equal(x.outcome_list.begin(), x.outcome_list.end(), y.outcome_list.begin(),
                    y.outcome_list.end(), equal);
}

TEST(CliffWalking, IsGymnasiums) {
  const Mdp mdp = cliff_walking();
  check_mdp(mdp);
  EXPECT_EQ(mdp.S, 48);
  EXPECT_EQ(mdp.A, 4);
  EXPECT_EQ(mdp.gamma, 0.99);
  EXPECT_EQ(mdp.T, 200);
  EXPECT_EQ(mdp.start[36], 1);
  constexpr int delta[4][2] = {{-1, 0}, {0, 1}, {1, 0}, {0, -1}};  // UP, RIGHT, DOWN, LEFT
  for (int s = 0; s < 47; ++s) {
    EXPECT_FALSE(mdp.terminal[at(s)]);
    for (int a = 0; a < 4; ++a) {
      const int row = std::min(std::max(s / 12 + delta[a][0], 0), 3);
      const int col = std::min(std::max(s % 12 + delta[a][1], 0), 11);
      const bool cliff = row == 3 && col >= 1 && col <= 10;
      const auto outcomes = mdp.outcomes(s, a);
      ASSERT_EQ(outcomes.size(), 1u);
      EXPECT_EQ(outcomes[0].next, cliff ? 36 : row * 12 + col) << s << " " << a;
      EXPECT_EQ(outcomes[0].reward, cliff ? -100 : -1);
      EXPECT_EQ(outcomes[0].probability, 1);
    }
  }
  EXPECT_TRUE(mdp.terminal[47]);
}

/// Cells of a lake are holes or not; the goal is no hole.
std::vector<bool> holes(const Mdp& lake) {
  std::vector<bool> out(lake.terminal.begin(), lake.terminal.end());
  out.back() = false;
  return out;
}

TEST(RandomLake, HasAWay) {
  for (const int side : {2, 3, 4, 8, 25})
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      const Mdp lake = frozen_lake_random(side, seed);
      ASSERT_EQ(lake.S, side * side);
      std::set<int> reached{0};
      for (std::size_t before = 0; before != reached.size();) {
        before = reached.size();
        for (const int s : std::set<int>(reached))
          for (int a = 0; a < 4; ++a)
            for (const Outcome& o : lake.outcomes(s, a)) reached.insert(o.next);
      }
      EXPECT_TRUE(reached.contains(lake.S - 1)) << side << ", seed " << seed;
    }
}

TEST(RandomLake, SlipsLikeThePublishedOnes) {
  // The transitions of a lake follow from its holes: those of the published map, with our holes put in.
  const Mdp lake = frozen_lake_random(4, 11), published = frozen_lake_4x4();
  EXPECT_EQ(lake.T, 100);
  EXPECT_EQ(lake.gamma, 0.99);
  for (int s = 0; s < 15; ++s)
    for (int a = 0; a < 4; ++a) {
      if (lake.terminal[at(s)] || published.terminal[at(s)]) continue;
      const auto x = lake.outcomes(s, a), y = published.outcomes(s, a);
      ASSERT_EQ(x.size(), y.size());
      for (std::size_t k = 0; k < x.size(); ++k) {
        EXPECT_EQ(x[k].next, y[k].next);
        EXPECT_EQ(x[k].probability, y[k].probability);
        EXPECT_EQ(x[k].reward, y[k].reward);
      }
    }
}

TEST(RandomLake, HasTheDistributionOfGymnasiumsMaps) {
  // 2x2: of the two free cells both are frozen (.64), or one (.16 each); none leaves no way. Larger: a
  // fraction .8, hardly changed by the few maps without a way.
  const int N = 6000;
  std::array<double, 3> count{};
  for (std::uint64_t seed = 0; seed < N; ++seed) {
    const auto hole = holes(frozen_lake_random(2, seed));
    ASSERT_FALSE(hole[1] && hole[2]);
    ++count[hole[1] ? 1 : hole[2] ? 2 : 0];
  }
  const double p[] = {0.64 / 0.96, 0.16 / 0.96, 0.16 / 0.96};
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_LT(std::abs(count[i] / N - p[i]), limit(4, 1e9) * std::sqrt(p[i] * (1 - p[i]) / N)) << i;
  double frozen = 0, cells = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    for (const bool hole : holes(frozen_lake_random(60, seed))) frozen += !hole, ++cells;
  EXPECT_LT(std::abs(frozen / cells - 0.8), limit(4, 1e9) * std::sqrt(0.16 / cells));
}

TEST(RandomWorlds, AreFunctionsOfTheirSeeds) {
  EXPECT_TRUE(same(frozen_lake_random(8, 5), frozen_lake_random(8, 5)));
  EXPECT_FALSE(same(frozen_lake_random(8, 5), frozen_lake_random(8, 6)));
  EXPECT_TRUE(same(garnet(20, 3, 4, 5), garnet(20, 3, 4, 5)));
  EXPECT_FALSE(same(garnet(20, 3, 4, 5), garnet(20, 3, 4, 6)));
}

TEST(Garnet, HasItsDistribution) {
  const int S = 400, A = 5, B = 4, pairs = S * A;
  const Mdp mdp = garnet(S, A, B, 1);
  check_mdp(mdp);
  EXPECT_EQ(mdp.gamma, 0.95);
  EXPECT_EQ(mdp.T, 100);
  EXPECT_EQ(std::count(mdp.terminal.begin(), mdp.terminal.end(), 1), 0);
  EXPECT_EQ(mdp.start[0], mdp.start[at(S - 1)]);
  std::vector<double> visits(at(S));
  double reward = 0, reward2 = 0, squares = 0, fourth = 0;
  for (int s = 0; s < S; ++s)
    for (int a = 0; a < A; ++a) {
      const auto outcomes = mdp.outcomes(s, a);
      ASSERT_EQ(outcomes.size(), at(B));
      double sum = 0;
      for (const Outcome& o : outcomes) {
        ++visits[at(o.next)];
        reward += o.reward;
        reward2 += o.reward * o.reward;
        sum += o.probability * o.probability;
      }
      squares += sum;
      fourth += sum * sum;
    }
  const double n = pairs * B, comparisons = S + 3.0;
  EXPECT_LT(std::abs(reward / n), limit(comparisons, 1e9) / std::sqrt(n));
  EXPECT_LT(std::abs(reward2 / n - 1), limit(comparisons, 1e9) * std::sqrt(2 / n));
  // The pieces of [0, 1] between B - 1 uniform cuts: E sum p^2 = 2 / (B + 1).
  const double mean = squares / pairs, se = std::sqrt((fourth / pairs - mean * mean) / pairs);
  EXPECT_LT(std::abs(mean - 2.0 / (B + 1)), limit(comparisons, 1e9) * se);
  for (const double v : visits)
    EXPECT_LT(std::abs(v - pairs * B / double(S)), limit(comparisons, 1e9) * std::sqrt(n / S) + 1);
}

TEST(Garnet, BranchesFromOneToAllStates) {
  for (const int B : {1, 2, 6}) {
    const Mdp mdp = garnet(6, 2, B, 3);
    for (int s = 0; s < 6; ++s)
      for (int a = 0; a < 2; ++a) EXPECT_EQ(mdp.outcomes(s, a).size(), at(B));
  }
  EXPECT_EQ(garnet(6, 2, 1, 3).outcomes(0, 0)[0].probability, 1);
}

TEST(RandomWorlds, HaveNamesAndRefuseOthers) {
  EXPECT_TRUE(same(*make_world("garnet:12:3:4:7", {}, {}).mdp, garnet(12, 3, 4, 7)));
  EXPECT_TRUE(same(*make_world("FrozenLake-random:5:9", {}, {}).mdp, frozen_lake_random(5, 9)));
  EXPECT_TRUE(same(*make_world("CliffWalking-v0", {}, {}).mdp, cliff_walking()));
  const World world = make_world("garnet:12:3:4:7", 0.5, 6);
  EXPECT_EQ(world.mdp->T, 6);
  EXPECT_EQ(world.gamma, 0.5);
  const std::pair<const char*, const char*> bad[] = {
      {"garnet:5:2:2", "world 'garnet:5:2:2': its parameters are garnet:S:A:B:SEED"},
      {"garnet:5:2:2:1:1", "world 'garnet:5:2:2:1:1': its parameters are garnet:S:A:B:SEED"},
      {"garnet:S:A:B:SEED", "world 'garnet:S:A:B:SEED': S must be a whole number from 1 to 100000, got 'S'"},
      {"garnet:0:2:2:1", "world 'garnet:0:2:2:1': S must be a whole number from 1 to 100000, got '0'"},
      {"garnet:5:2.5:2:1", "world 'garnet:5:2.5:2:1': A must be a whole number from 1 to 10000, got '2.5'"},
      {"garnet:5:2:6:1",
       "world 'garnet:5:2:6:1': B, the successors of an action, cannot be more than the 5 states"},
      {"garnet:5:2:2:",
       "world 'garnet:5:2:2:': SEED must be a whole number from 0 to 18446744073709551615, "
       "got ''"},
      {"garnet:5:2:2:-1",
       "world 'garnet:5:2:2:-1': SEED must be a whole number from 0 to "
       "18446744073709551615, got '-1'"},
      {"garnet:100000:1000:100:1",
       "world 'garnet:100000:1000:100:1': S x A x B must be at most 20000000, got 10000000000"},
      {"FrozenLake-random:8", "world 'FrozenLake-random:8': its parameters are FrozenLake-random:SIZE:SEED"},
      {"FrozenLake-random:1:0",
       "world 'FrozenLake-random:1:0': SIZE must be a whole number from 2 to 100, got '1'"},
  };
  for (const auto& [id, message] : bad)
    EXPECT_EQ(message_of([&, &name = id] { make_world(name, {}, {}); }), message);
  EXPECT_EQ(message_of([] { frozen_lake_random(1, 0); }), "a frozen lake needs a side of at least 2, got 1");
  EXPECT_EQ(message_of([] { garnet(3, 1, 4, 0); }),
            "the branching of a Garnet lies between 1 and its 3 states, got 4");
}

}  // namespace
}  // namespace lowvar
