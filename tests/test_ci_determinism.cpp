// The promise: byte-identical result directories, but for machine.json, for any number of threads, with each
// of two families of OpenBLAS kernels (compared with themselves). The Haswell kernels are the sensitive ones.
#include <gtest/gtest.h>

#include "command.h"

namespace lowvar {
namespace {

void same_for_any_threads(const std::string& name, const std::string& arguments) {
  for (const char* core : {"Haswell", "SkylakeX"}) {
    const auto out = scratch("determinism_" + name + core);
    for (const char* threads : {"1", "2", "3", "7"}) {
      const auto run = lowvar(arguments + " --out " + (out / threads).string(),
                              std::string("OPENBLAS_CORETYPE=") + core + " OMP_NUM_THREADS=" + threads);
      ASSERT_EQ(run.status, 0) << run.err;
      EXPECT_EQ(files(out / "1"), files(out / threads)) << core << ", " << threads << " threads";
    }
    EXPECT_NE(contents(out / "1" / "machine.json").find(std::string("\"blas_core\": \"") + core),
              std::string::npos);
  }
}

TEST(Determinism, VarianceOnCartPole) {
  same_for_any_threads(
      "cartpole",
      "variance --env CartPole-v1 --estimators reinforce-optimal,togo-time,togo-value,gae:0.95,"
      "ppo-clip:0.2,reinforce-per-parameter --trajectories 300 --seed 7");
}

TEST(Determinism, VarianceOffPolicy) {
  same_for_any_threads(
      "offpolicy",
      "variance --env CartPole-v1 --behaviour init:1 --estimators ppo-clip:0.2 --trajectories 300");
}

TEST(Determinism, Ladder) { same_for_any_threads("ladder", "reproduce ladder --smoke"); }

}  // namespace
}  // namespace lowvar
