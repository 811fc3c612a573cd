// What surrounds a run: who reads its table, what its directory is called and holds, who else writes there,
// what can draw, and parameters that stop being numbers. Nothing of that loses a result, runs a command or
// passes for a success.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "command.h"
#include "experiments/output.h"

namespace lowvar {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

/// A path as one word of a shell.
std::string word(const fs::path& path) {
  std::string out = "'";
  for (const char c : path.string()) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

std::string variance_into(const fs::path& out) {
  return "variance --env chain --estimators togo,td --trajectories 2000 --out " + word(out);
}
std::string train_into(const fs::path& out, const std::string& algorithm = "reinforce") {
  return "train " + algorithm + " --env chain --seeds 0 --steps 4096 --evaluation-episodes 2 --out " +
         word(out);
}

/// The exit code, and one line on standard error that holds `says`.
void expect_refusal(const Finished& run, int status, const std::string& says) {
  EXPECT_EQ(run.status, status) << run.err;
  EXPECT_NE(run.err.find(says), std::string::npos) << run.err;
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
}

void expect_whole(const fs::path& directory) {
  ASSERT_TRUE(fs::exists(directory / "outputs.json")) << directory;
  const Json outputs = Json::parse(contents(directory / "outputs.json"));
  EXPECT_EQ(outputs.at("status"), 0);
  for (const auto& [name, hash] : outputs.at("xxh64").items())
    EXPECT_TRUE(fs::exists(directory / name)) << directory / name;
}

// ---- standard output and standard error ----

TEST(Surroundings, AFullOrClosedStandardOutputIsSaidAndLosesNothing) {
  const auto out = scratch("stdout");
  const std::string run = word(out / "train");
  ASSERT_EQ(lowvar(train_into(out / "train")).status, 0);
  for (const std::string to : {">/dev/full", ">&-"}) {
    const auto directory = [&](const std::string& name) {
      return out / (name + (to == ">&-" ? "-closed" : "-full"));
    };
    for (const std::string& command :
         {variance_into(directory("variance")), train_into(directory("train")),
          "compare " + run + " --out " + word(directory("compare")),
          "reproduce ppo-clip --smoke --out " + word(directory("figure")), "evaluate " + run,
          std::string("exact --env chain --estimators togo"), std::string("solve --env four-rooms"),
          std::string("env rollout --env chain --seed 1"), std::string("list envs"),
          std::string("explain togo"), std::string("--help"), std::string("variance --help"),
          std::string("--version")}) {
      SCOPED_TRACE(command + " " + to);
      expect_refusal(lowvar(command + " " + to), 2, "cannot write to standard output: ");
    }
    for (const char* name : {"variance", "train", "compare", "figure"}) expect_whole(directory(name));
    EXPECT_EQ(files(directory("train")), files(out / "train")) << "what is not printed is not in a file";
  }
}

TEST(Surroundings, AFullStandardErrorDisturbsNothing) {
  const auto out = scratch("stderr");
  const std::string redirected =
      "bash -c " + word(LOWVAR_BINARY " " + variance_into(out / "v") + " 2>/dev/full");
  EXPECT_EQ(start(redirected, "").status, 0);
  expect_whole(out / "v");
}

// ---- names ----

TEST(Surroundings, NoNameReachesAShellOrIsReadAsMathematics) {
  const auto out = scratch("names");
  const std::string names[] = {
      "it's", "a'; touch INJECTED; echo '", "x$\\frac$", "$(touch INJECTED)", "a b\nc", "$a_1$"};
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const auto trained = start("cd " + word(out) + " && " LOWVAR_BINARY, train_into(name));
    ASSERT_EQ(trained.status, 0) << trained.err;
    EXPECT_EQ(trained.err.find("not drawn"), std::string::npos) << trained.err;
    const std::string run = word(out / name), compared = name + " compared";
    const auto beside = lowvar("compare " + run + " " + run + " --out " + word(out / compared));
    ASSERT_EQ(beside.status, 0) << beside.err;
    for (const auto& directory : {out / name, out / compared}) {
      expect_whole(directory);
      EXPECT_TRUE(fs::exists(directory / "learning_curve.svg"));
    }
    const auto rendered =
        lowvar("env render --env chain --policy run:" + run + " --out " + word(out / (name + ".png")));
    EXPECT_TRUE(rendered.status == 0 || rendered.err.find("no picture") != std::string::npos) << rendered.err;
  }
  EXPECT_FALSE(fs::exists(out / "INJECTED"));
  EXPECT_FALSE(fs::exists("INJECTED"));
}

TEST(Surroundings, NamesThatAreNotUtf8AreKept) {
  const auto out = scratch("bytes_of_names");
  const fs::path run = out / "caf\xe9", mdp = out / "m\xff.json";
  std::ofstream(mdp) << R"({"states":2,"actions":2,"gamma":0.9,"horizon":3,"start":[1,0],
    "P":[[[0.5,0.5],[0.2,0.8]],[[0.7,0.3],[0.1,0.9]]],"R":[[1,-1],[0.5,2]],"terminal":[]})";
  const auto trained = lowvar("train reinforce --env mdp:" + word(mdp) +
                              " --seeds 0 --steps 2000 --evaluation-episodes 2 --out " + word(run));
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_EQ(trained.err.find("not drawn"), std::string::npos) << trained.err;
  EXPECT_NE(contents(run / "machine.json").find(R"(caf\\xe9)"), std::string::npos);
  for (const std::string& command :
       {"evaluate " + word(run), "compare " + word(run) + " " + word(run) + " --out " + word(out / "c\xe9"),
        "variance --env mdp:" + word(mdp) + " --policy run:" + word(run) +
            " --estimators togo --trajectories 100 --out " + word(out / "v\xe9")}) {
    const auto finished = lowvar(command);
    EXPECT_EQ(finished.status, 0) << command << "\n" << finished.err;
  }
  expect_whole(run);
  expect_whole(out / "c\xe9");
  expect_whole(out / "v\xe9");
  EXPECT_TRUE(Json::accept(contents(out / "v\xe9" / "manifest.json")));
}

TEST(Surroundings, BytesComeBackFromJson) {
  const std::string names[] = {"",
                               "plain",
                               "caf\xe9",
                               "\\xe9",
                               "\\x5c",
                               "\\\\x5c",
                               "é",
                               "𝛾",
                               "\xed\xa0\x80",
                               "\xc0\xaf",
                               "\xf4\x90\x80\x80",
                               "cut \xe2\x82",
                               "x$\\frac$",
                               "\xff\xfe\\x",
                               "a\nb"};
  for (const std::string& name : names) {
    EXPECT_EQ(bytes_of(utf8(name)), name);
    EXPECT_EQ(Json::parse(json_text({{"name", name}})).at("name").get<std::string>(), utf8(name));
  }
  EXPECT_EQ(utf8("é and \xe9"), "é and \\xe9");
  EXPECT_EQ(utf8("x$\\frac$"), "x$\\frac$");
  EXPECT_EQ(utf8("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "halves of surrogate pairs are not characters";
}

// ---- directories ----

TEST(Surroundings, ADirectoryOfAnotherRunIsRefused) {
  const auto out = scratch("directories");
  const fs::path run = out / "run", measured = out / "measured";
  ASSERT_EQ(lowvar(train_into(run)).status, 0);
  ASSERT_EQ(lowvar(variance_into(measured)).status, 0);
  const auto before = files(run), of_variance = files(measured);
  const std::string says = "holds another run";
  for (const std::string& command : {train_into(run, "a2c"), train_into(run) + " --set gamma=0.5",
                                     variance_into(run), "compare " + word(run) + " --out " + word(run),
                                     "variance --of-run " + word(run) + " --batches 4 --out " + word(run),
                                     "reproduce ppo-clip --smoke --out " + word(run)}) {
    const auto refused = lowvar(command);
    expect_refusal(refused, 2, run.string() + " " + says);
    EXPECT_EQ(refused.out, "");
    EXPECT_EQ(files(run), before) << command;
  }
  expect_refusal(lowvar(train_into(measured)), 2, measured.string() + " " + says);
  EXPECT_EQ(files(measured), of_variance);

  // The run itself may be done again, and comes out the same.
  ASSERT_EQ(lowvar(train_into(run)).status, 0);
  EXPECT_EQ(files(run), before);

  // Asked to, another takes its place, and nothing of it stays.
  ASSERT_EQ(lowvar(variance_into(run) + " --overwrite").status, 0);
  EXPECT_EQ(files(run), of_variance);
}

TEST(Surroundings, ADirectoryThatAnotherProcessWritesIsRefused) {
  const auto out = scratch("locked");
  ASSERT_EQ(lowvar(train_into(out / "run")).status, 0);
  const auto before = files(out / "run");
  const int file = ::open((out / "run" / ".lock").c_str(), O_RDWR);
  ASSERT_GE(file, 0);
  ASSERT_EQ(::flock(file, LOCK_EX | LOCK_NB), 0) << "a run that has ended has left its lock";
  for (const std::string& command : {train_into(out / "run"), variance_into(out / "run") + " --overwrite"}) {
    expect_refusal(lowvar(command), 2, "is being written by another process");
    EXPECT_EQ(files(out / "run"), before);
  }
  ::close(file);
  EXPECT_EQ(lowvar(train_into(out / "run")).status, 0);

  // Two at once: one has the directory, the other none of it.
  const std::string slow =
      "train ppo --env CartPole-v1 --steps 40000 --seeds 0 --evaluation-episodes 2 --out " +
      word(out / "two");
  const auto both = start("(" LOWVAR_BINARY " " + slow + "; echo first $?) & (" LOWVAR_BINARY " " + slow +
                              " --set gamma=0.5; echo second $?)",
                          "; wait");
  const bool first = both.out.find("first 0") != std::string::npos,
             second = both.out.find("second 0") != std::string::npos;
  EXPECT_NE(first, second) << both.out;
  EXPECT_NE(both.out.find(first ? "second 2" : "first 2"), std::string::npos) << both.out;
  expect_whole(out / "two");
  EXPECT_EQ(
      Json::parse(contents(out / "two" / "manifest.json")).at("config").at("options").at("gamma") == 0.5,
      second);
}

// ---- drawing ----

TEST(Surroundings, WithoutMatplotlibResultsAreWholeAndTheFigureIsDrawnLater) {
  const auto out = scratch("no_matplotlib");
  std::ofstream(out / "matplotlib.py") << "raise ImportError('no matplotlib here')\n";
  const std::string without = "PYTHONPATH=" + out.string();
  ASSERT_EQ(lowvar(train_into(out / "it's")).status, 0);
  const auto drawn = files(out / "it's");
  for (const auto& [command, directory, stem] :
       {std::tuple{train_into(out / "it's"), out / "it's", "learning_curve"},
        {"compare " + word(out / "it's") + " --out " + word(out / "c"), out / "c", "learning_curve"},
        {"reproduce ppo-clip --smoke --check --out " + word(out / "f"), out / "f", "ppo-clip"}}) {
    const auto run = lowvar(command, without);
    EXPECT_EQ(run.status, 0) << run.err;
    EXPECT_NE(run.err.find(stem + std::string(".svg was not drawn (ImportError: no matplotlib here)")),
              std::string::npos)
        << run.err;
    EXPECT_NE(run.out, "");
    expect_whole(directory);
    EXPECT_FALSE(fs::exists(directory / (stem + std::string(".svg")))) << "a drawing of an earlier run stays";
    const std::string draws = run.err.substr(run.err.find("this draws them: ") + 17);
    EXPECT_EQ(start(draws.substr(0, draws.find('\n')), "").status, 0) << draws;
    EXPECT_TRUE(fs::exists(directory / (stem + std::string(".svg"))));
  }
  EXPECT_EQ(contents(out / "it's" / "learning_curve.svg"), drawn.at("learning_curve.svg"));
  EXPECT_EQ(lowvar(variance_into(out / "v"), without).status, 0);
  expect_refusal(lowvar("env render --env CartPole-v1 --out " + word(out / "x.png"), without), 2,
                 "no matplotlib here");
  EXPECT_FALSE(fs::exists(out / "x.png"));
}

// ---- numbers ----

TEST(Surroundings, ARunWhoseParametersStopBeingNumbersIsNoResult) {
  const auto out = scratch("not_finite");
  const std::string settings[][2] = {{"a2c --env CartPole-v1", "--set learning_rate=1e300"},
                                     {"ppo --env Pendulum-v1", "--set learning_rate=1e300"},
                                     {"a3c --env CartPole-v1", "--set learning_rate=1e300 --set workers=1"},
                                     {"ddpg --env Pendulum-v1", "--set learning_rate=1e300 --set warmup=100"},
                                     {"apg --env double-integrator", "--set learning_rate=1e300"}};
  for (const auto& [what, how] : settings) {
    SCOPED_TRACE(what);
    const fs::path run = out / what.substr(0, what.find(' '));
    const auto trained = lowvar("train " + what + " --seeds 0..1 --steps 20000 --evaluation-episodes 2 " +
                                how + " --out " + word(run));
    expect_refusal(trained, 3, "holds a number that is not finite after ");
    EXPECT_EQ(Json::parse(contents(run / "outputs.json")).at("status"), 3);
    EXPECT_FALSE(fs::exists(run / "summary.json"));
    expect_refusal(lowvar("evaluate " + word(run)), 3, "stopped by a numerical fault");
    expect_refusal(lowvar("compare " + word(run) + " --out " + word(out / "c")), 3,
                   "stopped by a numerical fault");
  }
  expect_refusal(lowvar("variance --env CartPole-v1 --policy run:" + word(out / "a2c") +
                        " --estimators togo --trajectories 64 --out " + word(out / "v")),
                 3, "stopped by a numerical fault");
}

TEST(Surroundings, APolicyThatIsNoNumberIsNotScored) {
  const auto run = scratch("null_policy") / "run";
  ASSERT_EQ(lowvar(train_into(run)).status, 0);
  std::string policy = contents(run / "policy-0.json");
  const std::size_t values = policy.find("\"values\":[") + 10;
  policy.replace(values, policy.find(',', values) - values, "null");
  std::ofstream(run / "policy-0.json") << policy;
  expect_refusal(lowvar("evaluate " + word(run)), 3, "not finite");
  expect_refusal(lowvar("variance --env chain --policy run:" + word(run) +
                        " --estimators togo --trajectories 64 --out " + word(run.parent_path() / "v")),
                 3, "not finite");
}

}  // namespace
}  // namespace lowvar
