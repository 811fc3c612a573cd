// The promise for processes: byte-identical result directories but for machine.json, for any number of
// processes times any number of threads.
#include <gtest/gtest.h>

#include "together.h"

namespace lowvar {
namespace {

void same_for_any_processes(const std::string& name, const std::string& arguments) {
  if (const std::string why = cannot_start_together(); !why.empty()) GTEST_SKIP() << why;
  const auto out = scratch("processes_" + name);
  for (const int n : {1, 2, 3, 4})
    for (const char* threads : {"1", "2", "3"}) {
      // In the same place each time, for some files name their directory.
      const auto directory = out / "run";
      std::filesystem::remove_all(directory);
      const auto run = together(n, LOWVAR_BINARY, arguments + " --out " + directory.string(),
                                std::string("OMP_NUM_THREADS=") + threads);
      ASSERT_EQ(run.status, 0) << n << " processes of " << threads << " threads: " << run.err;
      const auto came = files(directory);
      static std::map<std::string, std::map<std::string, std::string>> first;
      if (!first.contains(name)) first[name] = came;
      EXPECT_GT(came.size(), 3U);
      EXPECT_EQ(came, first[name]) << n << " processes of " << threads << " threads";
    }
}

TEST(Processes, VarianceOnCartPole) {
  same_for_any_processes("variance",
                         "variance --env CartPole-v1 --estimators reinforce-optimal,togo-value,gae:0.95,"
                         "ppo-clip:0.2 --trajectories 600 --seed 7");
}

TEST(Processes, OneSeedOfManyEnvironments) {
  same_for_any_processes("ppo", "train ppo --env CartPole-v1 --steps 16384 --set envs=64 --set rollout=64");
}

TEST(Processes, NaturalGradients) {
  same_for_any_processes("trpo", "train trpo --env CartPole-v1 --steps 8192 --set envs=40 --set rollout=100");
}

TEST(Processes, PoliciesOfPixels) {
  same_for_any_processes(
      "pixels",
      "train ppo --env MinAtar/Breakout-v1 --steps 2048 --evaluation-episodes 3 --set envs=64"
      " --set rollout=16 --set hidden=16 --set epochs=2");
}

TEST(Processes, GamesInAnEmulator) {
  const std::string game = "--env retro:Rockbelt-Nes:noop=30 --horizon 40 ";
  const auto rollout = lowvar("env rollout --episodes 1 " + game);
  if (rollout.err.find("apt-get install") != std::string::npos) GTEST_SKIP() << rollout.err;
  same_for_any_processes("game", "train ppo " + game +
                                     "--steps 128 --evaluation-episodes 3 --set envs=4 --set rollout=16"
                                     " --set convolutions=4,8,4 --set hidden=8 --set epochs=1");
}

TEST(Processes, SeveralSeeds) {
  same_for_any_processes("seeds", "train a2c --env CartPole-v1 --seeds 0..3 --steps 4000");
}

TEST(Processes, AFigure) { same_for_any_processes("figure", "reproduce ladder-not-a-theorem --smoke"); }

}  // namespace
}  // namespace lowvar
