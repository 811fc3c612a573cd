// Bad inputs and bad surroundings: a table of commands that must end with one sentence, the right exit code,
// nothing half-written and nothing of an earlier run lost; and one of surroundings that must not matter.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "command.h"

namespace lowvar {
namespace {

namespace fs = std::filesystem;

/// A line of a shell, in which LOWVAR is the program and the working directory holds what `prepare` makes;
/// how it must end; and words of its sentence.
struct Bad {
  std::string shell;
  int status;
  std::string says;
};

/// Files of every bad kind, in a directory that also holds a whole run, `run`.
fs::path prepare(const std::string& name) {
  const fs::path dir = scratch(name);
  const auto write = [&](const char* file, const std::string& text) { std::ofstream(dir / file) << text; };
  const std::string mdp = R"({"states":2,"actions":2,"gamma":0.9,"horizon":3,"start":[1,0],
    "P":[[[0.5,0.5],[0.2,0.8]],[[0.7,0.3],[0.1,0.9]]],"R":[[1,-1],[0.5,2]],"terminal":[]})";
  write("m.json", mdp);
  write("cut.json", mdp.substr(0, 100));
  write("empty", "");
  write("binary", std::string("\x00\xff\xfe\x01\x80 \n\x00", 8));
  write("deep.json", std::string(200'000, '['));
  write("deep_policy.json", "{\"policy\":" + std::string(200'000, '[') + std::string(200'000, ']') + "}");
  write("huge", "");
  fs::resize_file(dir / "huge", std::uintmax_t{1} << 40);  // of which nothing is stored
  write("good.toml", "gamma = 0.9\n");
  write("near.toml", "gama = 0.9\n");
  write("twice.toml", "gamma = 0.9\ngamma = 0.8\n");
  write("kind.toml", "gamma = \"high\"\n");
  write("list.toml", "gamma = [0.9, 0.8]\n");
  write("words.csv", "1,2,x\n");
  write("nan.csv", "nan,0,0,0,1\n");
  write("hex.csv", "0x1,0,0,0,1\n");
  write("short.csv", "0,0\n");
  write("actions.csv", "0\n1\n");
  ::mkfifo((dir / "fifo").c_str(), 0600);
  fs::create_directory_symlink("loop", dir / "loop");
  fs::create_symlink("nowhere", dir / "dangling");
  fs::create_directory(dir / "folder");
  for (const char* broken : {"no_manifest", "no_summary", "bad_summary", "fifo_policy", "deep_policy"})
    fs::create_directory(dir / broken);
  const auto trained =
      start("cd " + dir.string() + " && " LOWVAR_BINARY,
            "train reinforce --env chain --seeds 0 --steps 1024 --evaluation-episodes 2 --out run");
  EXPECT_EQ(trained.status, 0) << trained.err;
  for (const char* broken : {"no_summary", "bad_summary", "fifo_policy", "deep_policy"})
    fs::copy(dir / "run", dir / broken, fs::copy_options::recursive);
  fs::remove(dir / "no_summary" / "summary.json");
  std::ofstream(dir / "bad_summary" / "summary.json") << "{\"seeds\": 7";
  fs::remove(dir / "fifo_policy" / "policy-0.json");
  ::mkfifo((dir / "fifo_policy" / "policy-0.json").c_str(), 0600);
  fs::copy(dir / "deep_policy.json", dir / "deep_policy" / "policy-0.json",
           fs::copy_options::overwrite_existing);
  return dir;
}

/// A row for each of several ways to say the same.
void append(std::vector<Bad>& all, const std::string& before, const std::vector<std::string>& ways,
            const std::string& after, int status, const std::string& says) {
  for (const std::string& way : ways) all.push_back({before + way + after, status, says});
}

std::vector<Bad> bad_files() {
  std::vector<Bad> all;
  // What is there, but is no file of its kind; nothing of it may be waited for or read without an end.
  const std::vector<std::pair<std::string, std::string>> never = {
      {"missing", "no such file"},         {"folder", "not a regular file"},
      {"fifo", "not a regular file"},      {"loop", "no such file"},
      {"/dev/zero", "not a regular file"}, {"/dev/null", "not a regular file"},
      {"huge", "larger than 512 MB"},      {"dangling", "no such file"},
      {"m.json/below", "no such file"}};
  for (const auto& [file, says] : never)
    append(
        all, "LOWVAR ",
        {"exact --env mdp:" + file + " --estimators togo", "exact --env seq:" + file + " --estimators rloo:4",
         "exact --env prompts:" + file + " --estimators rloo:4",
         "exact --env seq-31 --estimators rloo:4 --policy tied:" + file,
         "exact --env seq-31 --estimators rloo:4 --policy prefix:" + file,
         "exact --env chain --estimators togo --policy logits:" + file,
         "exact --env chain --estimators td --value file:" + file,
         "exact --env chain --estimators ppo-clip:0.2 --behaviour logits:" + file,
         "train ppo --env chain --out o --config " + file,
         "env replay --env CartPole-v1 --transitions " + file,
         "env replay --env CartPole-v1 --state 0,0,0,0 --actions " + file},
        "", 2, says);
  for (const std::string file : {"empty", "binary", "cut.json", "deep.json"})
    append(
        all, "LOWVAR ",
        {"exact --env mdp:" + file + " --estimators togo", "exact --env seq:" + file + " --estimators rloo:4",
         "exact --env chain --estimators togo --policy logits:" + file,
         "exact --env chain --estimators td --value file:" + file},
        "", 2, file);
  for (const auto& [text, says] : std::vector<std::pair<std::string, std::string>>{
           {R"({"tokens":3,"end":0,"longest":2})", "needs \"right\" or \"reward\""},
           {R"({"tokens":3,"end":3,"longest":2,"right":[[0]]})",
            "\"end\" must be a whole number from 0 to 2"},
           {R"({"tokens":3,"end":0,"longest":2,"right":[[1]]})", "right[0] neither ends with the end token"},
           {R"({"tokens":3,"end":0,"longest":2,"right":[[0,1]]})", "right[0] goes on after the end token"},
           {R"({"tokens":3,"end":0,"longest":2,"right":[[3,0]]})", "right[0] must be of tokens from 0 to 2"},
           {R"({"tokens":3,"end":0,"longest":2,"right":[[0],[0]]})", "right[1] occurs twice"},
           {R"({"tokens":3,"end":0,"longest":2,"reward":[[[0],"x"]]})", "reward[0] must be a finite number"},
           {R"({"tokens":3,"end":0,"longest":2,"right":[[0]],"colour":1})", "unknown key \"colour\""},
           {R"({"tokens":3,"end":0,"longest":2,"right":[[0]],"policy":{"kind":"table","logits":[]}})",
            "tied or prefix"},
           {R"({"tokens":3,"end":0,"longest":2,"right":[[0]],"policy":{"kind":"tied","logits":[[0,0,0]]}})",
            "\"logits\" needs 3 rows, got 1"},
           {R"({"tokens":9,"end":0,"longest":30,"right":[[0]]})", "more than the 2e7"},
           {R"({"tokens":3,"end":0,"longest":2,"prompts":[{"right":[[0]],"probability":0.5}]})",
            "must sum to 1"}})
    all.push_back(
        {"printf '%s' '" + text + "' > s.json; LOWVAR exact --env seq:s.json --estimators rloo:4", 2, says});
  append(all, "LOWVAR exact --estimators rloo:4 --env ",
         {"steps:3", "steps:0:0.5", "steps:3:1", "steps:3:x", "long:3", "long:x:0.1", "long:3:0.5",
          "brackets:2", "seq-31 --gamma 0.9", "seq-31 --horizon 3", "seq-31 --policy kappa:x",
          "seq-31 --policy gru:x", "seq-31 --policy gru:0:0", "steps:3:0.5 --policy kappa:1",
          "long:8:0.1 --policy gru:0", "long:8:0.1 --policy prefix:m.json", "seq-31 --behaviour kappa:1"},
         "", 2, "");
  append(all, "LOWVAR train reinforce --env seq-31 --steps 1000 --out o --set ",
         {"estimator=rloo:7", "loss_kl=-1", "loss_kl=1 --set loss_kl_variant=k4",
          "loss_kl=1 --set loss_kl_variant=rao-blackwell", "estimator=kl:k3-loss", "reader=lstm"},
         "", 2, "");
  append(all, "LOWVAR train ppo --env chain --out o --config ", {"binary", "deep.json"}, "", 2, "line 1");
  all.insert(all.end(),
             {{"LOWVAR train ppo --env chain --out o --config near.toml", 2, "did you mean 'gamma'?"},
              {"LOWVAR train ppo --env chain --out o --config twice.toml", 2, "line 2"},
              {"LOWVAR train ppo --env chain --out o --config kind.toml", 2, "gamma"},
              {"LOWVAR train ppo --env chain --out o --config list.toml", 2, "gamma"},
              {"LOWVAR env replay --env CartPole-v1 --transitions words.csv", 2, "words.csv, line 1"},
              {"LOWVAR env replay --env CartPole-v1 --transitions nan.csv", 2, "nan.csv, line 1"},
              {"LOWVAR env replay --env CartPole-v1 --transitions hex.csv", 2, "hex.csv, line 1"},
              {"LOWVAR env replay --env CartPole-v1 --transitions short.csv", 2, "4 + 1 numbers"},
              {"LOWVAR env replay --env CartPole-v1 --transitions binary", 2, "binary, line 1"}});
  // Runs.
  for (const auto& [run, says] :
       std::vector<std::pair<std::string, std::string>>{{"missing", "missing"},
                                                        {"folder", "lowvar train"},
                                                        {"m.json", "m.json"},
                                                        {"no_summary", "summary.json"},
                                                        {"bad_summary", "summary.json"},
                                                        {"fifo_policy", "policy-0.json"},
                                                        {"deep_policy", "policy-0.json"},
                                                        {"loop", "loop"},
                                                        {"fifo", "fifo"}})
    append(all, "LOWVAR ", {"evaluate " + run, "compare run " + run + " --out o"}, "", 2, says);
  for (const std::string run : {"missing", "folder", "fifo", "fifo_policy", "deep_policy"})
    append(all, "LOWVAR ",
           {"exact --env chain --estimators togo --policy run:" + run,
            "variance --env chain --estimators togo --trajectories 10 --out o --policy run:" + run},
           "", 2, run);
  append(all, "LOWVAR ",
         {"variance --of-run folder --out o", "variance --of-run fifo --out o", "draw folder", "draw fifo",
          "draw missing"},
         "", 2, "");
  return all;
}

std::vector<Bad> bad_directories() {
  std::string long_name(300, 'n');
  std::vector<Bad> all;
  for (const auto& [out, says] : std::vector<std::pair<std::string, std::string>>{
           {"m.json", "cannot write results to m.json"},
           {"m.json/", "cannot write results to m.json/"},
           {"m.json/deeper", "cannot write results to m.json/deeper"},
           {"''", "--out is empty"},
           {long_name, "cannot write results"},
           {"dangling", "cannot write results to dangling"},
           {"loop/o", "cannot write results to loop/o"},
           {"fifo", "cannot write results to fifo"},
           {"/dev/null", "cannot write results to /dev/null"},
           {"/proc/self/o", "cannot write results to /proc/self/o"},
           {"/sys/o", "cannot write results to /sys/o"},
           {"run", "run holds another run"},
           {"run/", "holds another run"},
           {"./folder/../run", "holds another run"}})
    append(all, "LOWVAR ",
           {"variance --env chain --estimators togo --trajectories 10 --out ",
            "train reinforce --env chain --steps 64 --seeds 1 --out ", "compare run run --out ",
            "reproduce ppo-clip --smoke --out "},
           out, 2, says);
  all.insert(
      all.end(),
      {{"LOWVAR env render --env four-rooms --out m.json/x.svg", 2, "m.json/x.svg"},
       {"LOWVAR env render --env four-rooms --out missing/x.svg", 2, "missing/x.svg"},
       {"LOWVAR env render --env four-rooms --out folder.jpg", 2, ".svg or .png"},
       {"LOWVAR variance --env chain --estimators togo --trajectories 10 --out o --export-gradients m.json",
        2, "m.json is there already"},
       {"LOWVAR variance --env chain --estimators togo --trajectories 10 --out o --export-gradients run", 2,
        "run is there already"},
       {"LOWVAR variance --env chain --estimators togo --trajectories 10 --out o --export-gradients "
        "missing/g.npy",
        2, "missing/g.npy"},
       // A file system that is full, and one that is read-only.
       {"LOWVAR variance --env chain --estimators togo --trajectories 10 --out o --export-gradients "
        "/sys/g.npy",
        2, "/sys/g.npy"}});
  return all;
}

std::vector<Bad> bad_options() {
  std::vector<Bad> all;
  const std::string variance = "LOWVAR variance --env chain --estimators togo --out o ",
                    train = "LOWVAR train ppo --env chain --out o ";
  const std::vector<std::string> not_numbers = {"nan",   "inf", "-inf", "1e400", "0x10", "'10 '",
                                                "' 10'", "+10", "10,0", "1_000", "١٢٣",  "½",
                                                "1e",    "--",  "1.5",  "-1"};
  for (const std::string& option : {variance + "--trajectories=", train + "--steps="})
    append(all, option, {"''"}, "", 2, "required TEXT missing");
  append(all, variance + "--trajectories=", not_numbers, "", 2, "--trajectories must be a whole number");
  append(all, train + "--steps=", not_numbers, "", 2, "--steps must be a whole number");
  append(all, "LOWVAR env rollout --env chain --episodes=", not_numbers, "", 2,
         "--episodes must be a whole number");
  append(all, variance + "--seed=", {"-0", "18446744073709551616", "1e3", "0x1", "1.0"}, "", 2,
         "--seed must be a whole number");
  append(all, variance + "--gamma=", {"nan", "inf", "1e400", "0x1p-1", "0,9", "0.9f"}, "", 2,
         "--gamma must be a number");
  append(all, variance + "--gamma=", {"-0.1", "1.0000001", "-1e-300"}, "", 2, "--gamma must be from 0 to 1");
  append(all, train + "--seeds=",
         {",", "1,", ",1", "1..", "..1", "3..1", "1...3", "1..2..3", "-1..1", "a..b", "0..1e9", "0..99999999",
          "'1;2'", "' 1'", "1.5", "0x1"},
         "", 2, "--seeds must be like");
  append(all, train + "--seeds=", {"1,1", "0..3,2"}, "", 2, "--seeds names a seed twice");
  append(all, train + "--set ",
         {"gamma", "gamma=", "gamma=nan", "gamma=1e400", "gamma=x", "=1", "gamma=-0.1", "gama=1"}, "", 2, "");
  append(all, train + "--measure-variance ",
         {"''", "every=1", "estimators=togo", "every=0,estimators=togo", "nonsense"}, "", 2,
         "--measure-variance");
  append(all, "LOWVAR exact --env ",
         {"''", "Chain", "'chain '", "chain:", "garnet:0:1:1:0", "garnet:2:2:3:0", "garnet:-1:2:1:0",
          "garnet:99999999999:2:1:0", "bandit:", "bandit:nan", "bandit:1:-1", "FrozenLake-random:1:0",
          "FrozenLake-random:x:0", "mdp:", "FrozenLake-random:1000000:0"},
         " --estimators togo", 2, "");
  append(all, "LOWVAR exact --env chain --estimators ",
         {"''", "togo,", "togo:1", "gae:", "gae:nan", "gae:-0.1", "gae:1e400", "nstep:0", "nstep:1.5",
          "nstep:99999999999", "rloo:1", "td+whitened+whitened", "td+", "+whitened", "toġo"},
         "", 2, "");
  all.insert(all.end(),
             {{"LOWVAR exact --env chain --env chain --estimators togo", 2, "--env"},
              {variance + "--steps 10", 2, "--steps"},
              {train + "--trajectories 10", 2, "--trajectories"},
              {"LOWVAR variance --env chain --estimator togo --out o", 2, "--estimator"},
              {"LOWVAR train pppo --env chain --out o", 2, "unknown algorithm 'pppo'; known: "},
              {"LOWVAR trian ppo --env chain --out o", 2, "unknown command 'trian'; known: "},
              {"LOWVAR reproduce lader --out o", 2, "unknown figure 'lader'; known: "},
              {"LOWVAR exact --env chian --estimators togo", 2, "unknown world 'chian'; known: "},
              {"LOWVAR exact chain --env chain --estimators togo", 2, "chain"},
              {"LOWVAR draw", 2, "directory"},
              {"LOWVAR draw run run", 2, "run"},
              {"LOWVAR compare", 2, "directories"},
              {"LOWVAR --nonsense", 2, "subcommand"},
              {"LOWVAR ''", 2, ""},
              {"LOWVAR evaluate run --episodes 0", 2, "--episodes must be a whole number"},
              {"LOWVAR solve --env CartPole-v1", 2, "CartPole-v1"},
              {"LOWVAR env", 2, "env needs one of"},
              {"LOWVAR env replay --env CartPole-v1 --state 0,0,0 --actions actions.csv", 2, "is 4 numbers"},
              {"LOWVAR env replay --env CartPole-v1 --state 0,0,0,inf --actions actions.csv", 2, "finite"}});
  return all;
}

std::vector<Bad> bad_surroundings() {
  const std::string
      variance = "LOWVAR variance --env chain --estimators togo --trajectories 2000 --out o",
      train = "LOWVAR train reinforce --env chain --seeds 1 --steps 1024 --evaluation-episodes 2 --out o";
  return {
      {"ulimit -f 1; LOWVAR train reinforce --env chain --seeds 1 --steps 100000 --evaluation-episodes 2 "
       "--out o",
       2, "File too large"},
      {"cd folder; rmdir ../folder; " + variance, 2, "cannot write results"},
      {variance + " >/dev/full", 2, "standard output"},
      {"exec >&-; " + variance, 2, "standard output"},
  };
}

/// Runs each row in a directory of its own kind, and looks at what it leaves.
void expect_refused(const std::string& name, const std::vector<Bad>& all) {
  const fs::path dir = prepare(name);
  const auto run = files(dir / "run");
  for (const Bad& bad : all) {
    SCOPED_TRACE(bad.shell);
    std::string shell = bad.shell;
    for (std::size_t at; (at = shell.find("LOWVAR")) != std::string::npos;)
      shell.replace(at, 6, LOWVAR_BINARY);
    fs::create_directory(dir / "folder");
    std::ofstream(dir / "script") << "cd " << dir.string() << "\n" << shell << "\n";
    const auto finished = start("timeout 60 bash " + (dir / "script").string(), "");
    EXPECT_EQ(finished.status, bad.status) << finished.err;
    EXPECT_TRUE(finished.err.starts_with("lowvar: ")) << finished.err;
    EXPECT_NE(finished.err.find(bad.says), std::string::npos) << finished.err;
    EXPECT_EQ(std::count(finished.err.begin(), finished.err.end(), '\n'), 1) << finished.err;
    EXPECT_LT(finished.err.size(), 1000) << finished.err.substr(0, 1000);
    EXPECT_EQ(files(dir / "run"), run);
    EXPECT_EQ(fs::exists(dir / "o" / "outputs.json"), bad.says == "standard output");
    for (const auto& entry : fs::recursive_directory_iterator(dir))
      EXPECT_FALSE(entry.path().filename().string().ends_with(".partial")) << entry.path();
    fs::remove_all(dir / "o");
  }
}

TEST(BadInputs, SurroundingsThatDoNotMatter) {
  const fs::path dir = scratch("harmless");
  const auto run = [&](const std::string& around) {
    fs::remove_all(dir / "t"), fs::remove_all(dir / "v");
    std::ofstream(dir / "script")
        << "cd " << dir.string() << "\n"
        << around << "\n" LOWVAR_BINARY
        << " variance --env CartPole-v1 --estimators togo --trajectories 64 --out v >v.txt &&\n" LOWVAR_BINARY
           " train ppo --env chain --seeds 0 --steps 8192 --evaluation-episodes 2 --out t >t.txt\n";
    const auto finished = start("timeout 120 bash " + (dir / "script").string(), "");
    EXPECT_EQ(finished.status, 0) << around << finished.err;
    EXPECT_EQ(finished.err.find("lowvar: "), std::string::npos) << around << finished.err;
    auto all = files(dir / "t");
    all.merge(files(dir / "v"));
    return all;
  };
  const auto right = run("");
  for (const std::string around : {"export LC_ALL=de_DE.UTF-8 LANG=de_DE",
                                   "export LC_ALL=nonsense LC_NUMERIC=x",
                                   "export LC_ALL=tr_TR.UTF-8",
                                   "export TZ=Nowhere/Nothing:-99",
                                   "export TZ=:/dev/zero",
                                   "unset HOME USER LOGNAME",
                                   "export HOME=/nowhere",
                                   "export TERM=dumb COLUMNS=0 LINES=0",
                                   "unset TERM",
                                   "export COLUMNS=-1",
                                   "exec <&-",
                                   "exec 2>&-",
                                   "exec <&- 2>&-",
                                   "export PATH=",
                                   "unset PATH",
                                   "export TMPDIR=/nowhere",
                                   "export OMP_NUM_THREADS=0",
                                   "export OMP_NUM_THREADS=-1",
                                   "export OMP_NUM_THREADS=garbage",
                                   "export OMP_NUM_THREADS=1000",
                                   "export OMP_NUM_THREADS=99999999999999999999",
                                   "export OPENBLAS_NUM_THREADS=7 GOTO_NUM_THREADS=5",
                                   "export OMP_NESTED=true OMP_DYNAMIC=true",
                                   "export OMP_THREAD_LIMIT=1",
                                   "export OMP_SCHEDULE=guided",
                                   "export OMP_PROC_BIND=true OMP_PLACES=cores",
                                   "export MALLOC_PERTURB_=165",
                                   "export PYTHONHASHSEED=5",
                                   "export SOURCE_DATE_EPOCH=nonsense",
                                   "export MPLBACKEND=nonsense",
                                   "umask 077",
                                   "ulimit -n 32",
                                   "ulimit -s 1024",
                                   "ulimit -c 0",
                                   "export LD_PRELOAD=" LOWVAR_PRELOAD "/jumping_clock.so",
                                   "nice true; ulimit -u unlimited"})
    EXPECT_EQ(run(around), right) << around;
}

TEST(BadInputs, Files) { expect_refused("bad_files", bad_files()); }
TEST(BadInputs, Directories) { expect_refused("bad_directories", bad_directories()); }
TEST(BadInputs, Options) { expect_refused("bad_options", bad_options()); }
TEST(BadInputs, Surroundings) { expect_refused("bad_surroundings", bad_surroundings()); }

}  // namespace
}  // namespace lowvar
