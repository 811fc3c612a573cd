// Runs that are stopped and gone on with: the same bytes as one that was left alone, for every algorithm and
// command that keeps checkpoints. tests/campaigns attacks the same promises at random and everywhere.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "command.h"
#include "experiments/checkpoint.h"

namespace lowvar {
namespace {

namespace fs = std::filesystem;

struct Call {
  std::string number, name, to;
};

/// A run whose calls that change files are noted, or of which one goes wrong (tests/campaigns/faults.c).
struct Disturbed {
  Finished finished;
  std::vector<Call> calls;

  /// Names of the checkpoints that were written, in order, and the call that gave each its name.
  std::vector<std::pair<std::string, std::string>> checkpoints() const {
    std::vector<std::pair<std::string, std::string>> out;
    for (const Call& call : calls)
      if (call.name == "rename" && call.to.ends_with(".checkpoint"))
        out.emplace_back(fs::path(call.to).filename().string(), call.number);
    return out;
  }
};

/// Without drawings, which take longer than all else.
std::string environment() {
  static const fs::path without = scratch("resume_no_matplotlib");
  std::ofstream(without / "matplotlib.py") << "raise ImportError('left out')\n";
  return "OMP_NUM_THREADS=1 PYTHONPATH=" + without.string();
}

Disturbed disturbed(const std::string& arguments, const fs::path& directory, const std::string& how = "") {
  const fs::path log = directory.string() + ".log";
  fs::remove(log);
  Disturbed out{lowvar(arguments, environment() + " LD_PRELOAD=" LOWVAR_FAULTS " FAULTS_UNDER=" +
                                      directory.string() + " FAULTS_LOG=" + log.string() + " " + how),
                {}};
  std::ifstream in(log);
  for (std::string line; std::getline(in, line);) {
    std::istringstream fields(line);
    Call call;
    std::string skipped;
    std::getline(fields, call.number, '\t'), std::getline(fields, call.name, '\t');
    for (int i = 0; i < 3; ++i) std::getline(fields, skipped, '\t');
    std::getline(fields, call.to);
    out.calls.push_back(call);
  }
  return out;
}

Disturbed killed_before(const std::string& call, const std::string& arguments, const fs::path& directory) {
  return disturbed(arguments + " --out " + directory.string(), directory,
                   "FAULTS_WAY=before FAULTS_AT=" + call);
}

Finished resume(const fs::path& directory) { return lowvar("resume " + directory.string(), environment()); }

int lines_of(const std::string& text) { return static_cast<int>(std::count(text.begin(), text.end(), '\n')); }

constexpr const char* ppo =
    "train ppo --env chain --set envs=4 --set rollout=64 --steps 1536 "
    "--checkpoint-every 1";
constexpr int killed = 128 + 9;

// ---- every kind of run ----

class Runs : public testing::TestWithParam<const char*> {};

TEST_P(Runs, GoOnFromWhereTheyWereKilled) {
  const fs::path folder = scratch("resume_runs");
  const std::string run = GetParam();
  const Disturbed whole = disturbed(run + " --out " + (folder / "whole").string(), folder / "whole");
  ASSERT_EQ(whole.finished.status, 0) << whole.finished.err;
  const auto written = whole.checkpoints();
  ASSERT_GE(written.size(), 3u) << "there is nothing to go on from";
  const std::size_t next = written.size() / 2;

  EXPECT_EQ(killed_before(written[next].second, run, folder / "part").finished.status, killed);
  EXPECT_FALSE(fs::exists(folder / "part" / "outputs.json"));
  const Disturbed rest = disturbed("resume " + (folder / "part").string(), folder / "part");
  EXPECT_EQ(rest.finished.status, 0) << rest.finished.err;
  EXPECT_EQ(rest.finished.err.find("is not used"), std::string::npos) << rest.finished.err;
  EXPECT_EQ(files(folder / "part"), files(folder / "whole"));

  std::set<std::string> before;  // what was computed already is not computed again, but for how seeds end
  for (std::size_t i = 0; i < next; ++i) before.insert(written[i].first);
  for (const auto& [name, call] : rest.checkpoints())
    EXPECT_TRUE(!before.contains(name) || fs::exists(folder / "whole" / "checkpoints" / name)) << name;
}

INSTANTIATE_TEST_SUITE_P(
    , Runs,
    testing::Values(
        "train reinforce --env chain --steps 1500 --checkpoint-every 20",
        "train reinforce-baseline --env CartPole-v1 --steps 2000 --checkpoint-every 2",
        "train q-actor-critic --env chain --set envs=4 --set rollout=64 --steps 1536 --checkpoint-every 1",
        "train a2c --env CartPole-v1 --seeds 0..2 --steps 1500 --checkpoint-every 2",
        "train a3c --env CartPole-v1 --set workers=1 --steps 40000 --checkpoint-every 1",
        "train npg --env chain --set envs=4 --set rollout=64 --steps 1536 --checkpoint-every 1",
        "train trpo --env CartPole-v1 --set envs=4 --set rollout=64 --steps 1536 --checkpoint-every 1", ppo,
        "train ppo --env Pendulum-v1 --set normalise_observations=true --set normalise_rewards=true"
        " --set envs=4 --set rollout=64 --steps 1536 --checkpoint-every 1",
        "train ppo-kl --env chain --set envs=4 --set rollout=64 --steps 1536 --checkpoint-every 1",
        "train ddpg --env Pendulum-v1 --steps 1200 --checkpoint-every 50",
        "train apg --env double-integrator --steps 1500 --checkpoint-every 2",
        "train ppo --env CartPole-v1 --set envs=4 --set rollout=64 --steps 1536 --checkpoint-every 1"
        " --measure-variance every=1,estimators=reinforce:gae:0.95,trajectories=8",
        "variance --env CartPole-v1 --estimators reinforce,gae:0.95 --value zero --trajectories 8000"
        " --checkpoint-work 0.01",
        "reproduce ladder --smoke --checkpoint-work 0.01"));

// ---- one run, stopped in the middle ----

/// A directory of `ppo` that was killed when it wrote its fourth checkpoint, and what it should become.
class Stopped : public testing::Test {
 protected:
  void SetUp() override {
    folder = scratch("resume_stopped");
    directory = folder / "part";
    const Disturbed whole =
        disturbed(ppo + std::string(" --out ") + (folder / "whole").string(), folder / "whole");
    written = whole.checkpoints();
    ASSERT_GE(written.size(), 5u) << whole.finished.err;
    ASSERT_EQ(killed_before(written[3].second, ppo, directory).finished.status, killed);
    expected = files(folder / "whole");
  }
  /// Newest first.
  std::vector<fs::path> checkpoints() const {
    std::vector<fs::path> out;
    for (const auto& entry : fs::directory_iterator(directory / "checkpoints")) out.push_back(entry.path());
    std::erase_if(out, [](const fs::path& each) { return each.extension() != ".checkpoint"; });
    std::sort(out.rbegin(), out.rend());
    return out;
  }
  void expect_goes_on() {
    const Finished finished = resume(directory);
    EXPECT_EQ(finished.status, 0) << finished.err;
    EXPECT_EQ(files(directory), expected);
    said = finished.err;
  }
  /// And changes nothing.
  void expect_refused(const Finished& finished, const std::string& why) {
    EXPECT_EQ(finished.status, 2);
    EXPECT_NE(finished.err.find(why), std::string::npos) << finished.err;
    EXPECT_EQ(lines_of(finished.err), 1) << finished.err;
  }

  fs::path folder, directory;
  std::vector<std::pair<std::string, std::string>> written;
  std::map<std::string, std::string> expected;
  std::string said;
};

void flip(const fs::path& file, std::size_t at) {
  std::string bytes = contents(file);
  bytes.at(at) ^= 1;
  std::ofstream(file, std::ios::binary) << bytes;
}

TEST_F(Stopped, HasTwoCheckpointsAndWholeLines) {
  EXPECT_EQ(checkpoints().size(), 2u);
  for (const char* name : {"progress.csv", "episodes.csv"}) {
    const std::string text = contents(directory / name);
    EXPECT_GE(lines_of(text), 2) << name;
    EXPECT_TRUE(text.ends_with('\n') && expected.at(name).starts_with(text)) << name;
  }
  expect_goes_on();
  EXPECT_EQ(checkpoints().size(), 1u);
}

TEST_F(Stopped, GoesOnByItsOwnCommandAndNoOther) {
  expect_refused(lowvar(std::string(ppo) + " --seeds 1 --out " + directory.string()), "holds another run");
  const Finished again =
      lowvar(std::string(ppo) + " --out " + directory.string(), environment() + " OMP_NUM_THREADS=3");
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(files(directory), expected);
}

TEST_F(Stopped, GoesOnUnderAnotherNameAndFromElsewhere) {
  fs::rename(directory, folder / "it's moved");
  directory = folder / "it's moved";
  const Finished finished = start("cd / && " + environment() + " " LOWVAR_BINARY,
                                  "resume '" + folder.string() + "/it'\\''s moved/'");
  EXPECT_EQ(finished.status, 0) << finished.err;
  EXPECT_EQ(files(directory), expected);
  EXPECT_FALSE(fs::exists(folder / "part"));
}

TEST_F(Stopped, UsesTheCheckpointBeforeOneThatIsBroken) {
  const fs::path newest = checkpoints().front();
  flip(newest, fs::file_size(newest) / 2);
  expect_goes_on();
  EXPECT_NE(said.find(newest.string() + " is not used"), std::string::npos) << said;
}

TEST_F(Stopped, BeginsAgainWhereAllCheckpointsAreBroken) {
  for (const fs::path& each : checkpoints()) fs::resize_file(each, fs::file_size(each) - 1);
  expect_goes_on();
  EXPECT_NE(said.find("is not used"), std::string::npos) << said;
}

TEST_F(Stopped, TakesNoCheckpointOfAnotherRun) {
  const fs::path other = folder / "other";
  ASSERT_EQ(lowvar(std::string(ppo) + " --set gamma=0.5 --out " + other.string(), environment()).status, 0);
  const fs::path newest = checkpoints().front();
  fs::copy_file(fs::directory_iterator(other / "checkpoints")->path(), newest,
                fs::copy_options::overwrite_existing);
  expect_goes_on();
  EXPECT_NE(said.find("another run"), std::string::npos) << said;
}

TEST_F(Stopped, TakesNoLearnerOfOtherShapes) {
  const fs::path other = folder / "other", newest = checkpoints().front();
  const std::string elsewhere = "train ppo --env FrozenLake-v1 --set envs=4 --set rollout=64 --steps 256";
  ASSERT_EQ(lowvar(elsewhere + " --out " + other.string(), environment()).status, 0);
  Sections mixed = unpack(contents(newest));
  for (Section& each : mixed)
    if (each.name == "learner")
      each.bytes =
          section(unpack(contents(fs::directory_iterator(other / "checkpoints")->path())), "learner");
  std::ofstream(newest, std::ios::binary) << pack(mixed);
  expect_goes_on();
  EXPECT_NE(said.find(newest.string() + " is not used: array 0 of"), std::string::npos) << said;
}

TEST_F(Stopped, IsCutBackToItsCheckpoint) {
  std::ofstream(directory / "progress.csv", std::ios::app) << "0,99,99";
  std::ofstream(directory / "episodes.csv") << "lost";
  std::ofstream(directory / "policy-0.json.partial") << "{";
  std::ofstream(directory / "checkpoints" / "seed-0.99.checkpoint.partial") << "lowvarCP";
  expect_goes_on();
}

TEST_F(Stopped, IsRefusedWhereItsRecordsAreLost) {
  const auto lose = [&](const char* name, const std::string& why) {
    const std::string bytes = contents(directory / name);
    fs::remove(directory / name);
    expect_refused(resume(directory), why);
    std::ofstream(directory / name, std::ios::binary) << bytes.substr(0, bytes.size() / 2);
    expect_refused(resume(directory), why);
    std::ofstream(directory / name, std::ios::binary) << bytes;
  };
  lose("manifest.json", "is not a directory that");
  lose("machine.json", "is not a directory that");
  expect_goes_on();
}

TEST_F(Stopped, IsRefusedByAnotherBuild) {
  std::string text = contents(directory / "manifest.json");
  const std::size_t at = text.find("binary_xxh64\": \"") + 16;
  const char was = std::exchange(text[at], text[at] == '0' ? '1' : '0');
  std::ofstream(directory / "manifest.json") << text;
  expect_refused(resume(directory), "another build");
  text[at] = was;
  std::ofstream(directory / "manifest.json") << text;
  expect_goes_on();
}

TEST_F(Stopped, IsNotTouchedWhileAnotherProcessWritesIt) {
  const auto before = files(directory);
  const int lock = ::open((directory / ".lock").c_str(), O_RDWR);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  expect_refused(resume(directory), "is being written by another process");
  EXPECT_EQ(files(directory), before);
  ::close(lock);
  expect_goes_on();
}

TEST_F(Stopped, SaysThatItIsFinishedWhenItIs) {
  expect_goes_on();
  const Finished finished = resume(directory);
  EXPECT_EQ(finished.status, 0);
  EXPECT_NE(finished.out.find("is finished"), std::string::npos) << finished.out;
  EXPECT_EQ(files(directory), expected);
}

// ---- signals, and runs that cannot go on ----

TEST(Resume, ASignalKeepsTheWorkUntilThen) {
  const fs::path folder = scratch("resume_signals");
  const std::string every_3 =
      "train ppo --env chain --set envs=4 --set rollout=64 --steps 2048"
      " --checkpoint-every 3";
  const Disturbed whole = disturbed(every_3 + " --out " + (folder / "whole").string(), folder / "whole");
  ASSERT_GE(whole.checkpoints().size(), 2u);
  for (const auto& [name, status] : {std::pair("SIGINT", 130), std::pair("SIGTERM", 143)}) {
    const fs::path directory = folder / name;
    const Disturbed stopped =
        disturbed(every_3 + " --out " + directory.string(), directory,
                  std::string("FAULTS_WAY=") + name + " FAULTS_AT=" + whole.checkpoints()[0].second);
    EXPECT_EQ(stopped.finished.status, status);
    EXPECT_EQ(stopped.finished.out, "");
    EXPECT_EQ(lines_of(stopped.finished.err), 1) << stopped.finished.err;
    EXPECT_NE(stopped.finished.err.find(std::string("lowvar: stopped by ") + name), std::string::npos)
        << stopped.finished.err;
    EXPECT_NE(stopped.finished.err.find("lowvar resume "), std::string::npos) << stopped.finished.err;
    EXPECT_EQ(resume(directory).status, 0);
    EXPECT_EQ(files(directory), files(folder / "whole"));
  }
}

TEST(Resume, ANumericalFaultEndsARunForGood) {
  const fs::path directory = scratch("resume_fault") / "run";
  const Finished fault = lowvar(
      "train ppo --env chain --set envs=4 --set rollout=64 --set learning_rate=1e38 --steps 1536"
      " --checkpoint-every 1 --out " +
      directory.string());
  ASSERT_EQ(fault.status, 3) << fault.err;
  const auto left = files(directory);
  const Finished finished = resume(directory);
  EXPECT_EQ(finished.status, 3);
  EXPECT_NE(finished.err.find("numerical fault"), std::string::npos) << finished.err;
  EXPECT_EQ(files(directory), left);
}

TEST(Resume, WhatFailsAtTheEndIsDoneAgain) {
  const fs::path folder = scratch("resume_end");
  const auto study = [](const fs::path& directory) {
    return "variance --env chain --estimators reinforce --trajectories 6144 --checkpoint-work 1e-5 --out " +
           directory.string() + " --export-gradients " + (directory / "gradients.npy").string();
  };
  const Disturbed whole = disturbed(study(folder / "whole"), folder / "whole");
  ASSERT_EQ(whole.finished.status, 0) << whole.finished.err;
  int tried = 0;
  // The gradients take their name; then checkpoints that are not needed any more go.
  auto call = std::find_if(whole.calls.begin(), whole.calls.end(),
                           [](const Call& c) { return c.to.ends_with("gradients.npy"); });
  for (; call != whole.calls.end(); ++call) {
    if (call->name != "rename" && call->name != "unlink") continue;
    const fs::path directory = folder / call->number;
    const Disturbed failed =
        disturbed(study(directory), directory, "FAULTS_WAY=EIO FAULTS_AT=" + call->number);
    if (failed.finished.status != 0) {  // the folder of checkpoints may stay where it is empty
      EXPECT_EQ(failed.finished.status, 2) << call->name;
      EXPECT_EQ(lines_of(failed.finished.err), 1) << failed.finished.err;
      EXPECT_EQ(resume(directory).status, 0);
      ++tried;
    }
    EXPECT_EQ(files(directory), files(folder / "whole")) << call->name << " " << call->number;
  }
  EXPECT_GE(tried, 4);
}

TEST(Resume, NoCheckpointButTheLastWhereNoneIsAskedFor) {
  const fs::path folder = scratch("resume_none");
  const std::string none =
      "train ppo --env chain --set envs=4 --set rollout=64 --steps 1536"
      " --checkpoint-every 0";
  const Disturbed whole = disturbed(none + " --out " + (folder / "whole").string(), folder / "whole");
  EXPECT_EQ(whole.checkpoints().size(), 1u) << whole.finished.err;
  EXPECT_EQ(killed_before(whole.checkpoints()[0].second, none, folder / "part").finished.status, killed);
  EXPECT_EQ(resume(folder / "part").status, 0);
  EXPECT_EQ(files(folder / "part"), files(folder / "whole"));
}

TEST(Resume, IsRefusedWhereThereIsNoRun) {
  const fs::path folder = scratch("resume_no_run");
  std::ofstream(folder / "file") << "x";
  std::ofstream(folder / "manifest.json") << R"({"config": {}})";
  for (const char* name : {"", "file", "missing"}) {
    const Finished finished = resume(folder / name);
    EXPECT_EQ(finished.status, 2) << name;
    EXPECT_NE(finished.err.find("is not a directory that"), std::string::npos) << finished.err;
    EXPECT_EQ(lines_of(finished.err), 1) << finished.err;
  }
  EXPECT_EQ(files(folder).size(), 2u);
}

}  // namespace
}  // namespace lowvar
