// What surrounds a run: who reads its table, what its directory is called and holds, who else writes there,
// what can draw, which BLAS is loaded, and parameters that stop being numbers. Nothing of that loses a
// result, changes one, runs a command or passes for a success.
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

TEST(Surroundings, ReproduceAllAsksFirst) {
  const auto out = scratch("all");
  ASSERT_EQ(lowvar(variance_into(out / "rloo")).status, 0);
  const auto before = files(out);
  expect_refusal(lowvar("reproduce all --smoke --out " + word(out)), 2, "rloo holds another run");
  EXPECT_EQ(files(out), before) << "no figure was begun";
}

TEST(Surroundings, ExportedGradientsReplaceNothing) {
  const auto out = scratch("exported");
  const fs::path file = out / "g.npy";
  const std::string exporting = variance_into(out / "v") + " --export-gradients " + word(file);
  std::ofstream(file) << "mine";
  expect_refusal(lowvar(exporting), 2, "g.npy is there already");
  EXPECT_EQ(contents(file), "mine");
  EXPECT_FALSE(fs::exists(out / "v"));
  ASSERT_EQ(lowvar(exporting + " --overwrite").status, 0);
  const std::string gradients = contents(file);
  EXPECT_TRUE(gradients.starts_with("\x93NUMPY"));
  ASSERT_EQ(lowvar(exporting).status, 0) << "the same command may be given again";
  EXPECT_EQ(contents(file), gradients);
  expect_refusal(lowvar(variance_into(out / "w") + " --export-gradients " + word(file)), 2,
                 "is there already");
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
    const std::string draws = run.err.substr(run.err.find("this draws it: lowvar ") + 22);
    expect_refusal(lowvar(draws.substr(0, draws.find('\n')), without), 2, "no matplotlib here");
    const auto later = lowvar(draws.substr(0, draws.find('\n')));
    EXPECT_EQ(later.status, 0) << draws << later.err;
    expect_whole(directory);
    const auto drawn_later = files(directory);
    EXPECT_TRUE(drawn_later.contains(stem + std::string(".svg")));
    ASSERT_EQ(lowvar(command).status, 0);
    EXPECT_EQ(drawn_later, files(directory)) << "drawn later and at once";
    ASSERT_EQ(lowvar("draw " + word(directory)).status, 0);
    EXPECT_EQ(drawn_later, files(directory)) << "drawn twice";
  }
  EXPECT_EQ(files(out / "it's"), drawn);
  EXPECT_EQ(lowvar(variance_into(out / "v"), without).status, 0);
  expect_refusal(lowvar("env render --env CartPole-v1 --out " + word(out / "x.png"), without), 2,
                 "no matplotlib here");
  EXPECT_FALSE(fs::exists(out / "x.png"));
}

TEST(Surroundings, OnlyWhatIsFinishedAndWholeIsDrawn) {
  const auto out = scratch("draw");
  const fs::path run = out / "run";
  const std::string draws = "draw " + word(run);
  expect_refusal(lowvar("draw " + word(out / "nowhere")), 2, "holds no results of lowvar");
  ASSERT_EQ(lowvar(variance_into(out / "v")).status, 0);
  auto before = files(out / "v");
  expect_refusal(lowvar("draw " + word(out / "v")), 2, "holds nothing to draw");
  EXPECT_EQ(files(out / "v"), before);

  ASSERT_EQ(lowvar(train_into(run)).status, 0);
  before = files(run);
  const int file = ::open((run / ".lock").c_str(), O_RDWR);
  ASSERT_EQ(::flock(file, LOCK_EX | LOCK_NB), 0);
  expect_refusal(lowvar(draws), 2, "is being written by another process");
  ::close(file);
  EXPECT_EQ(files(run), before);

  std::ofstream(run / "episodes.csv", std::ios::app) << "0,9999,1,1\n";
  expect_refusal(lowvar(draws), 2, "episodes.csv is not what the run wrote");
  std::ofstream(run / "episodes.csv") << before.at("episodes.csv");
  EXPECT_EQ(files(run), before);
  fs::remove(run / "outputs.json");
  expect_refusal(lowvar(draws), 2, "is not finished");
  std::ofstream(run / "outputs.json") << R"({"status":3,"xxh64":{}})";
  expect_refusal(lowvar(draws), 3, "stopped by a numerical fault");
  std::ofstream(run / "outputs.json") << before.at("outputs.json");

  // A manifest names no program.
  fs::create_directories(out / "f");
  std::ofstream(out / "f" / "plot.py") << "open('INJECTED', 'w')\n";
  std::ofstream(out / "f" / "manifest.json") << Json{{"config", {{"figure", (out / "f").string()}}}};
  std::ofstream(out / "f" / "outputs.json") << R"({"status":0,"xxh64":{}})";
  expect_refusal(lowvar("draw " + word(out / "f")), 2, "holds nothing to draw");
  EXPECT_FALSE(fs::exists("INJECTED"));

  // Runs are found from where they were compared.
  ASSERT_EQ(start("cd " + word(out) + " && " LOWVAR_BINARY, "compare run run --out c").status, 0);
  const auto compared = files(out / "c");
  ASSERT_EQ(lowvar("draw " + word(out / "c")).status, 0);
  EXPECT_EQ(files(out / "c"), compared);
}

// ---- BLAS ----

/// The library of Debian's pthread flavour, or of its serial one; empty where that is not installed.
std::string other_flavour(const std::string& name) {
  const fs::path library = "/usr/lib/x86_64-linux-gnu/openblas-" + name + "/libopenblas.so.0";
  return fs::exists(library) ? library.string() : "";
}

TEST(Surroundings, TheFlavourOfOpenBlasChangesNoByte) {
  const auto out = scratch("flavours");
  const auto of_run = [&](const std::string& environment, const std::string& flavour,
                          const std::string& program = LOWVAR_BINARY) {
    const auto measured = start(
        program, "variance --env CartPole-v1 --estimators togo --trajectories 256 --out " + word(out / "run"),
        "OPENBLAS_CORETYPE=Haswell " + environment);  // kernels whose bits depend on the number of threads
    EXPECT_EQ(measured.status, 0) << environment << ": " << measured.err;
    EXPECT_EQ(Json::parse(contents(out / "run" / "machine.json")).at("blas_flavour"), flavour) << environment;
    return files(out / "run");
  };
  const auto right = of_run("OMP_NUM_THREADS=1", "openmp");
  std::vector<std::array<std::string, 2>> surroundings = {{"", "openmp"}};
  for (const std::string name : {"pthread", "serial"}) {
    const std::string library = other_flavour(name);
    if (library.empty()) continue;
    surroundings.push_back({"LD_LIBRARY_PATH=" + fs::path(library).parent_path().string(), "openmp"});
    // Stronger than what the program can ask for.
    surroundings.push_back({"LD_PRELOAD=" + library, name == "pthread" ? "pthreads" : name});
  }
  for (const auto& [environment, flavour] : surroundings)
    for (const char* threads : {"1", "2", "3"})
      EXPECT_EQ(of_run(environment + " OMP_NUM_THREADS=" + threads, flavour), right)
          << environment << ", " << threads << " threads";
  // The program alone, elsewhere.
  fs::create_directories(out / "elsewhere");
  fs::copy(LOWVAR_BINARY, out / "elsewhere" / "lowvar");
  EXPECT_EQ(of_run("OMP_NUM_THREADS=2 " + surroundings.back()[0], surroundings.back()[1],
                   out / "elsewhere" / "lowvar"),
            right);
}

TEST(Surroundings, ABlasThatIsNotOpenBlasIsRefused) {
  const auto out = scratch("other_blas");
  expect_refusal(lowvar(variance_into(out / "v"), "LD_PRELOAD=" LOWVAR_PRELOAD "/other_blas.so"), 2,
                 "cblas_dgemm comes from " LOWVAR_PRELOAD "/other_blas.so");
  EXPECT_FALSE(fs::exists(out / "v"));
}

TEST(Surroundings, KernelsOfAnOldCpuAreNotUsedOnANewOne) {
  const auto out = scratch("unknown_cpu");
  const std::string unknown = "LD_PRELOAD=" LOWVAR_PRELOAD "/unknown_cpu.so";
  const auto measured =
      start("env -u OPENBLAS_CORETYPE " + unknown + " " LOWVAR_BINARY, variance_into(out / "v"));
  ASSERT_EQ(measured.status, 0) << measured.err;
  EXPECT_EQ(Json::parse(contents(out / "v" / "machine.json")).at("blas_core"),
            __builtin_cpu_supports("avx512vl") ? "SkylakeX" : "Haswell");
  // What the environment names is used, and here the library in front is found out.
  expect_refusal(lowvar(variance_into(out / "w"), "OPENBLAS_CORETYPE=Haswell " + unknown), 2,
                 "unknown_cpu.so");
}

// ---- numbers ----

TEST(Surroundings, ARunWhoseParametersStopBeingNumbersIsNoResult) {
  const auto out = scratch("not_finite");
  const char* const array = "holds a number that is not finite after ";
  const std::string settings[][3] = {
      {"a2c --env CartPole-v1", "--set learning_rate=1e300", array},
      {"ppo --env Pendulum-v1", "--set learning_rate=1e300", array},
      {"a3c --env CartPole-v1", "--set learning_rate=1e300 --set workers=1", array},
      {"ddpg --env Pendulum-v1", "--set learning_rate=1e300 --set warmup=100", array},
      // Gains that are finite, of states that are: their product is not.
      {"apg --env double-integrator", "--set learning_rate=1e300", "a mean action that is not finite"}};
  for (const auto& [what, how, says] : settings) {
    SCOPED_TRACE(what);
    const fs::path run = out / what.substr(0, what.find(' '));
    const auto trained = lowvar("train " + what + " --seeds 0..1 --steps 20000 --evaluation-episodes 2 " +
                                how + " --out " + word(run));
    expect_refusal(trained, 3, says);
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
  fs::remove(run / "outputs.json");  // whose hash the policy has no longer
  expect_refusal(lowvar("evaluate " + word(run)), 3, "not finite");
  expect_refusal(lowvar("compare " + word(run) + " --out " + word(run.parent_path() / "c")), 3, "not finite");
  expect_refusal(lowvar("variance --env chain --policy run:" + word(run) +
                        " --estimators togo --trajectories 64 --out " + word(run.parent_path() / "v")),
                 3, "not finite");
}

TEST(Surroundings, APolicyActsByNumbersAlone) {
  const auto run = scratch("infinite_policy") / "run";
  ASSERT_EQ(
      lowvar("train ppo --env CartPole-v1 --seeds 0 --steps 4096 --evaluation-episodes 2 --out " + word(run))
          .status,
      0);
  Json policy = Json::parse(contents(run / "policy-0.json"));
  int sign = 1;  // finite parameters, whose sums are not
  for (auto& array : policy["policy"]["parameters"])
    for (auto& x : array["values"]) x = (sign = -sign) * 1e308;
  std::ofstream(run / "policy-0.json") << policy;
  fs::remove(run / "outputs.json");
  const fs::path v = run.parent_path() / "v";
  for (const std::string& command :
       {"evaluate " + word(run), "env rollout --env CartPole-v1 --policy run:" + word(run),
        "variance --env CartPole-v1 --policy run:" + word(run) +
            " --estimators togo --trajectories 64 --out " + word(v)})
    expect_refusal(lowvar(command), 3, "a probability that is not finite");
  EXPECT_EQ(Json::parse(contents(v / "outputs.json")).at("status"), 3);
  expect_refusal(lowvar("exact --env double-integrator --estimators togo --policy run:" + word(run)), 2,
                 "does not fit");
}

}  // namespace
}  // namespace lowvar
