// A million trajectories against the oracle: every estimator of the zoo as it is discounted, every critic,
// chain and four-rooms, at a family-wise 1e-6.
#include <gtest/gtest.h>

#include "sampled_against_exact.h"

namespace lowvar {
namespace {

void agree(const char* env, const char* value, std::uint64_t seed) {
  const auto names = filtered(zoo(), [](const EstimatorName& name) { return !name.undiscounted(); });
  const Deviation d = compare(env, value, names, 1'000'000, seed);
  EXPECT_LT(d.mean, 1) << value << ": " << d.worst_mean;
  EXPECT_LT(d.variance, 1) << value << ": " << d.worst_variance;
}

TEST(Million, ChainExact) { agree("chain", "exact", 21); }
TEST(Million, ChainHalf) { agree("chain", "scaled:0.5", 22); }
TEST(Million, ChainZero) { agree("chain", "zero", 23); }
TEST(Million, FourRoomsExact) { agree("four-rooms", "exact", 24); }
TEST(Million, FourRoomsHalf) { agree("four-rooms", "scaled:0.5", 25); }
TEST(Million, FourRoomsZero) { agree("four-rooms", "zero", 26); }

}  // namespace
}  // namespace lowvar
