// Processes that mpirun starts: what they gather, deal and tell each other; the same bytes for any number of
// them; one sentence where they fail, and an end where one dies.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <thread>

#include "together.h"

namespace lowvar {
namespace {

class Together : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = cannot_start_together(); !why.empty()) GTEST_SKIP() << why;
  }
};

/// How often `what` is in the text.
int count(const std::string& text, const std::string& what) {
  int n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

TEST_F(Together, GatherDealAndTell) {
  for (const char* what : {"gather", "deal", "letters", "wait", "unread"})
    for (const int n : {1, 2, 3, 4}) {
      const auto run = together(n, LOWVAR_TOGETHER, what, "OMP_NUM_THREADS=2");
      EXPECT_EQ(run.status, 0) << what << " by " << n << ": " << run.err;
    }
}

TEST_F(Together, ThrowWhatTheFirstThrows) {
  const auto run = together(3, LOWVAR_TOGETHER, "throw 1");
  EXPECT_EQ(run.status, 2);
  EXPECT_EQ(count(run.err, "together: of 1\n"), 1) << run.err;
  EXPECT_EQ(count(run.err, "together:"), 1) << run.err;
}

TEST_F(Together, EndWhereSomeFailAndComplainOnce) {
  for (const int who : {0, 1, 2}) {
    const auto run = together(3, LOWVAR_TOGETHER, join("fail ", who));
    EXPECT_EQ(run.status, 2);
    EXPECT_EQ(count(run.err, join("together: process ", who, " fails")), 1) << run.err;
    EXPECT_EQ(count(run.err, "together:"), 1) << run.err;
  }
}

TEST_F(Together, GiveTheSameBytes) {
  const auto out = scratch("processes");
  for (const std::string& arguments :
       {std::string("variance --env chain --value scaled:0.5 --estimators togo,gae:0.95 --trajectories 3000"),
        std::string("env rollout --env CartPole-v1 --episodes 300")}) {
    std::map<std::string, std::string> first;
    for (const int n : {0, 1, 2, 3}) {
      const auto directory = out / std::to_string(n);
      std::filesystem::remove_all(directory);
      const bool writes = !arguments.starts_with("env");
      const std::string all = arguments + (writes ? " --out " + directory.string() : "");
      const auto run = n ? together(n, LOWVAR_BINARY, all, "OMP_NUM_THREADS=1") : lowvar(all);
      ASSERT_EQ(run.status, 0) << run.err;
      std::map<std::string, std::string> came = {{"", run.out}};
      if (writes) came.merge(files(directory));
      if (n == 0) first = came;
      EXPECT_EQ(came, first) << n << " processes: " << arguments;
    }
  }
}

TEST_F(Together, RefuseBadInputInOneSentence) {
  const auto out = scratch("processes_refused");
  for (const std::string& arguments :
       {std::string("variance --env chain --estimators nothing --trajectories 10 --out ") + out.string(),
        std::string("variance --env chain --estimators togo --trajectories 10 --out /proc/self/nothing"),
        std::string("train ppo --env CartPole-v1 --steps many --out ") + out.string()}) {
    const auto run = together(3, LOWVAR_BINARY, arguments);
    EXPECT_EQ(run.status, 2) << arguments;
    EXPECT_EQ(count(run.err, "lowvar: "), 1) << run.err;
    EXPECT_EQ(run.out, "");
  }
  EXPECT_TRUE(files(out).empty());
}

TEST_F(Together, EndWhereStandardOutputIsFull) {
  const auto out = scratch("processes_full");
  const auto run = start("mpirun -n 2 sh -c '" LOWVAR_BINARY
                         " variance --env chain --estimators togo --trajectories 100 --out " +
                             out.string() + " >/dev/full'",
                         "", mpirun_environment);
  EXPECT_EQ(run.status, 2);
  EXPECT_EQ(count(run.err, "lowvar: cannot write to standard output"), 1) << run.err;
  EXPECT_TRUE(files(out).contains("moments.csv"));
}

TEST_F(Together, EndWhereOneIsKilled) {
  const auto out = scratch("processes_killed");
  const std::string seen = (out / "pid").string();
  // Rank 1 tells its number, becomes lowvar, and is killed while all of them measure.
  const std::string program = "sh -c '[ $OMPI_COMM_WORLD_RANK = 1 ] && echo $$ >" + seen +
                              "; exec " LOWVAR_BINARY
                              " variance --env CartPole-v1 --estimators togo --trajectories 10000000 --out " +
                              (out / "run").string() + "'";
  std::thread killer([&] {
    for (int tries = 0; tries < 600 && !std::filesystem::exists(out / "run" / "manifest.json"); ++tries)
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    ::kill(std::stoi("0" + contents(seen)), SIGKILL);
  });
  const auto before = std::chrono::steady_clock::now();
  const auto run = together(3, program, "");
  killer.join();
  EXPECT_NE(run.status, 0);
  EXPECT_LE(count(run.err, "lowvar: "), 1) << run.err;
  EXPECT_FALSE(std::filesystem::exists(out / "run" / "outputs.json"));
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(90));
}

}  // namespace
}  // namespace lowvar
