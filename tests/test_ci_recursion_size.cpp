// The moment recursion at 500 states x 4 actions, branching 5, horizon 100, held against sampling.
#include <gtest/gtest.h>

#include "sampled_against_exact.h"

namespace lowvar {
namespace {

TEST(RecursionSize, FiveHundredStatesAgreeWithSampling) {
  const World world = make_world("garnet:500:4:5:1", {}, 100);
  const PolicyChoice choice = make_policy(world, "init:1");
  const std::vector<Estimator> estimators{make_estimator("gae:0.95")};
  const Deviation d = compare(world, choice, "scaled:0.5", estimators, {"gae:0.95"}, 20'000, 60);
  EXPECT_LT(d.mean, 1) << d.worst_mean;
  EXPECT_LT(d.variance, 1) << d.worst_variance;
  const Deviation wrong = compare(world, choice, "scaled:0.5", estimators, {"gae:0.9"}, 20'000, 60);
  EXPECT_GT(wrong.variance, 1) << "planted";
}

}  // namespace
}  // namespace lowvar
