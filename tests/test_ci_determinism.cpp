// The promise: byte-identical gradients, and byte-identical result directories but for machine.json, for any
// number of threads, with each of two families of OpenBLAS kernels (compared with themselves). The Haswell
// kernels are the sensitive ones; those of SkylakeX need a CPU with AVX-512 and are left out elsewhere.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "command.h"

namespace lowvar {
namespace {

std::vector<std::string> cores() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return {"Haswell", "SkylakeX"};
  std::printf("this CPU has no AVX-512: the SkylakeX kernels are left out\n");
  return {"Haswell"};
}

std::string environment(const std::string& core, const std::string& threads) {
  return "OPENBLAS_CORETYPE=" + core + " OMP_NUM_THREADS=" + threads;
}

void same_for_any_threads(const std::string& name, const std::string& arguments) {
  for (const std::string& core : cores()) {
    const auto out = scratch("determinism_" + name + core);
    for (const char* threads : {"1", "2", "3", "7"}) {
      const auto run = lowvar(arguments + " --out " + (out / threads).string(), environment(core, threads));
      ASSERT_EQ(run.status, 0) << run.err;
      EXPECT_EQ(files(out / "1"), files(out / threads)) << core << ", " << threads << " threads";
    }
    EXPECT_GT(files(out / "1").size(), 2U);
    EXPECT_NE(contents(out / "1" / "machine.json").find("\"blas_core\": \"" + core), std::string::npos);
  }
}

TEST(Determinism, Gradients) {
  for (const std::string& core : cores()) {
    std::string first;
    for (const char* threads : {"1", "2", "3", "5", "8"}) {
      const auto run = start(LOWVAR_GRADIENT_HASHES, "", environment(core, threads));
      ASSERT_EQ(run.status, 0) << run.err;
      if (first.empty()) first = run.out;
      EXPECT_EQ(run.out, first) << core << ", " << threads << " threads";
    }
    EXPECT_TRUE(first.starts_with(core + "\n")) << first;
    EXPECT_EQ(std::count(first.begin(), first.end(), '\n'), 1 + 2 * 2 * 6) << first;
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

TEST(Determinism, Ppo) {
  same_for_any_threads("ppo", "train ppo --env CartPole-v1 --steps 20000 --seeds 0..2");
}

// One seed: the threads share the work inside it.
TEST(Determinism, PpoOfOneSeed) {
  same_for_any_threads("ppo1", "train ppo --env CartPole-v1 --steps 4000 --seeds 3");
}

TEST(Determinism, PpoOfPixels) {
  same_for_any_threads("pixels", "train ppo --env MinAtar/Seaquest-v1 --steps 4096 --seeds 0..1");
}

TEST(Determinism, PpoOfVectorsOfChoices) {
  same_for_any_threads("choices", "train ppo --env bike-share --steps 4096 --seeds 0..1");
}

TEST(Determinism, Trpo) {
  same_for_any_threads("trpo", "train trpo --env CartPole-v1 --steps 6000 --seeds 0..1");
}

TEST(Determinism, Reinforce) {
  same_for_any_threads("reinforce", "train reinforce --env CartPole-v1 --steps 6000 --seeds 0..1");
}

}  // namespace
}  // namespace lowvar
