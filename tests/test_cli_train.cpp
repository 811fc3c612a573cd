// lowvar train, evaluate and compare as their users call them.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "command.h"
#include "experiments/algorithms.h"
#include "experiments/output.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

using Json = nlohmann::json;

/// Exit code 2, nothing on stdout, one line on stderr that holds `expected`.
void refused(const std::string& arguments, const std::string& expected) {
  const auto run = lowvar(arguments);
  EXPECT_EQ(run.status, 2) << arguments << "\n" << run.err;
  EXPECT_EQ(run.out, "") << arguments;
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
  EXPECT_NE(run.err.find(expected), std::string::npos) << arguments << "\n" << run.err;
}

TEST(CliTrain, WritesWhatTheConventionsSay) {
  const auto out = scratch("train");
  const auto run =
      lowvar("train ppo --env CartPole-v1 --seeds 3..4 --steps 4000 --set envs=4 --out " + out.string());
  ASSERT_EQ(run.status, 0) << run.err;
  const Json summary = Json::parse(contents(out / "summary.json"));
  ASSERT_EQ(summary.at("seeds").size(), 2u);
  for (const auto& seed : summary.at("seeds")) {
    EXPECT_EQ(seed.at("steps"), 3584);  // whole batches of 4 x 128
    EXPECT_GE(seed.at("final_return"), 9);
    EXPECT_GE(seed.at("eval_return"), 9);
    EXPECT_TRUE(seed.contains("best_100"));
  }
  EXPECT_EQ(summary.at("seeds")[1].at("seed"), 4);
  EXPECT_LE(summary.at("ci95")[0], summary.at("iqm"));
  EXPECT_GE(summary.at("ci95")[1], summary.at("iqm"));
  const Json manifest = Json::parse(contents(out / "manifest.json"));
  EXPECT_EQ(manifest.at("config").at("options").at("envs"), 4);
  EXPECT_EQ(manifest.at("config").at("options").at("estimator"), "ppo-clip:0.2+undiscounted");
  const Json machine = Json::parse(contents(out / "machine.json"));
  EXPECT_GT(machine.at("seeds")[0].at("steps_per_second"), 0);
  EXPECT_EQ(contents(out / "progress.csv").substr(0, 11), "seed,update");

  // The policy is one that other commands can take, and the same numbers come back.
  const auto evaluated = lowvar("evaluate " + out.string());
  ASSERT_EQ(evaluated.status, 0) << evaluated.err;
  EXPECT_EQ(Json::parse(evaluated.out).at("seeds")[0].at("eval_return"),
            summary.at("seeds")[0].at("eval_return"));
  const auto measured =
      lowvar("variance --env CartPole-v1 --policy run:" + out.string() +
             " --value zero --estimators togo --trajectories 64 --out " + (out / "v").string());
  EXPECT_EQ(measured.status, 0) << measured.err;
  const auto compared =
      lowvar("compare " + out.string() + " " + out.string() + " --out " + (out / "c").string());
  ASSERT_EQ(compared.status, 0) << compared.err;
  EXPECT_EQ(Json::parse(contents(out / "c" / "comparison.json")).at("pairs")[0].at("probability"), 0.5);
}

TEST(CliTrain, MeasuringAlongTheWayDisturbsNothing) {
  const auto out = scratch("train_measured");
  const std::string train = "train a2c --env CartPole-v1 --seeds 0 --steps 2000 --out ";
  ASSERT_EQ(lowvar(train + (out / "plain").string()).status, 0);
  const auto run =
      lowvar(train + (out / "measured").string() +
             " --measure-variance every=3,estimators=reinforce:gae:0.95:togo-value,trajectories=16");
  ASSERT_EQ(run.status, 0) << run.err;
  for (const char* file : {"progress.csv", "episodes.csv", "policy-0.json", "summary.json"})
    EXPECT_EQ(contents(out / "plain" / file), contents(out / "measured" / file)) << file;
  const std::string variance = contents(out / "measured" / "variance.csv");
  for (const char* part :
       {"0,0,0,,reinforce,trace_cov", "gae:0.95,trace_cov", "togo-value,ratio:reinforce", "0,3,768,"})
    EXPECT_NE(variance.find(part), std::string::npos) << part << "\n" << variance;
}

TEST(CliTrain, TheGradientOfARunIsMeasured) {
  const auto out = scratch("of_run");
  const std::string run = (out / "r").string();
  ASSERT_EQ(
      lowvar("train ppo --env FrozenLake-v1 --seeds 3..4 --steps 2000 --set envs=4 --set rollout=50 --out " +
             run)
          .status,
      0);
  const auto untouched = files(run);
  const auto measure = [&](const std::string& name, const std::string& options) {
    return lowvar("variance --of-run " + run + " --batches 8 --out " + (out / name).string() + " " + options);
  };
  const std::string options = "--update 2 --seed-of-run 4 --estimators gae:0.95+undiscounted,togo";
  for (const char* name : {"d", "again"}) {
    const auto measured = measure(name, options);
    ASSERT_EQ(measured.status, 0) << measured.err;
  }
  EXPECT_TRUE(files(out / "d") == files(out / "again"));
  EXPECT_TRUE(files(run) == untouched);

  std::map<std::string, std::map<std::string, std::map<std::string, std::string>>> rows;
  for (const auto& row : parse_csv(contents(out / "d" / "moments.csv")))
    rows[row.at("estimator")][row.at("quantity")] = row;
  ASSERT_EQ(rows.size(), 5u);
  for (const char* name : {"update:first", "update:batch", "update:step", "gae:0.95+undiscounted", "togo"}) {
    const auto& cosine = rows.at(name).at("cosine_truth");
    EXPECT_EQ(cosine.at("objective"),
              std::string(name) == "togo" ? "discounted-start" : "undiscounted-states")
        << name;
    EXPECT_EQ(cosine.at("unit"), "batch of 200 steps") << name;
    EXPECT_EQ(cosine.at("n"), "8") << name;
    EXPECT_LE(std::abs(std::stod(cosine.at("value"))), 1) << name;
    EXPECT_GT(std::stod(rows.at(name).at("trace_cov").at("value")), 0) << name;
  }
  EXPECT_EQ(rows.at("update:step").count("bias_norm"), 0u);

  // Another update, seed of the run or seed of the batches, other numbers.
  const std::string moments = contents(out / "d" / "moments.csv");
  int k = 0;
  for (const char* other :
       {"--update 3 --seed-of-run 4", "--update 2", "--update 2 --seed-of-run 4 --seed 1", ""}) {
    const std::string name = "other" + std::to_string(++k);
    const auto measured = measure(name, other + std::string(" --estimators gae:0.95+undiscounted,togo"));
    ASSERT_EQ(measured.status, 0) << measured.err;
    EXPECT_NE(contents(out / name / "moments.csv"), moments) << other;
  }
  const auto last = measure("last", "--update 9 --estimators gae:0.95+undiscounted,togo");
  EXPECT_EQ(contents(out / "last" / "moments.csv"), contents(out / "other4" / "moments.csv"));
}

TEST(CliTrain, RunsThatCannotBeMeasuredAreRefusedAndLeaveNothing) {
  const auto out = scratch("of_run_bad");
  const auto train = [&](const std::string& algorithm, const std::string& name) {
    ASSERT_EQ(lowvar("train " + algorithm + " --seeds 0 --steps 600 --out " + (out / name).string()).status,
              0);
  };
  train("ppo --env chain --set envs=2 --set rollout=50", "r");
  train("ddpg --env Pendulum-v1 --set hidden=4 --set warmup=100", "ddpg");
  train("a3c --env chain --set workers=1", "a3c");
  const std::string to = " --out " + (out / "x").string(),
                    run = "variance --of-run " + (out / "r").string() + to;
  refused(run + " --update 99999", "updates 0 to 5, and no update 99999");
  refused(run + " --update 6", "no update 6");
  refused(run + " --seed-of-run 77", "has no seed 77");
  refused(run + " --estimators reinforce-optimal", "constants");
  refused(run + " --estimators rloo:4", "groups");
  refused(run + " --batches 1", "--batches");
  refused(run + " --env chain", "drop --env");
  refused(run + " --gamma 0.5", "drop --gamma");
  refused(run + " --trajectories 64", "drop --trajectories");
  refused("variance --of-run " + out.string() + to, "is not a directory that `lowvar train` wrote");
  refused("variance --of-run " + (out / "nowhere").string() + to,
          "is not a directory that `lowvar train` wrote");
  refused("variance --of-run " + (out / "ddpg").string() + to, "ddpg");
  refused("variance --of-run " + (out / "a3c").string() + to, "a3c");
  EXPECT_FALSE(std::filesystem::exists(out / "x"));
}

TEST(CliTrain, ConfigsAndFlags) {
  const auto out = scratch("train_config");
  std::ofstream(out / "a.toml")
      << "envs = 2\nrollout = 16\nhidden = [8]\nlearning_rate = 1e-3\nanneal = false\n";
  const auto run = lowvar("train ppo --env CartPole-v1 --steps 64 --config " + (out / "a.toml").string() +
                          " --set rollout=32 --out " + (out / "r").string());
  ASSERT_EQ(run.status, 0) << run.err;
  const Json options = Json::parse(contents(out / "r" / "manifest.json")).at("config").at("options");
  EXPECT_EQ(options.at("envs"), 2);
  EXPECT_EQ(options.at("rollout"), 32);
  EXPECT_EQ(options.at("hidden"), Json({8}));
  EXPECT_EQ(options.at("anneal"), false);
  // Every shipped file is one of options that its algorithm has, in its world.
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(LOWVAR_SOURCE_DIR) + "/experiments/configs")) {
    const std::string name = entry.path().stem().string();
    const std::size_t bar = name.find('_');
    const std::string algorithm = name.substr(0, bar), rest = name.substr(bar + 1);
    // What is named after no world is for many, those of vectors unless it says otherwise.
    const auto named =
        std::find_if(worlds().begin(), worlds().end(), [&](const auto& w) { return w.id == rest; });
    const std::string id = named != worlds().end()                 ? rest
                           : rest.starts_with("cartpole")          ? "CartPole-v1"
                           : rest.starts_with("minatar")           ? "MinAtar/Breakout-v1"
                           : rest == "retro" || rest == "rockbelt" ? "retro:Rockbelt-Nes"
                                                                   : "Pendulum-v1";
    const auto entry_of = std::find_if(worlds().begin(), worlds().end(), [&](const auto& w) {
      return w.id == id || (id.starts_with("retro:") && w.id.starts_with("retro:"));
    });
    if (!entry_of->missing.empty()) continue;
    const World world = make_world(id, {}, {});
    const auto made = make_algorithm(algorithm, world);
    EXPECT_NO_THROW(read_config(*made, entry.path())) << name;
    EXPECT_NO_THROW(made->check(world, 1'000'000)) << name;
  }
}

TEST(CliTrain, TunedSettingsAreTheDefaultOfAWorld) {
  const auto out = scratch("train_tuned");
  const std::string train = "train ppo --env Pendulum-v1 --steps 64 --set envs=2 --set rollout=16 --out ";
  ASSERT_EQ(lowvar(train + (out / "tuned").string()).status, 0);
  std::ofstream(out / "other.toml") << "gamma = 0.8\n";
  ASSERT_EQ(lowvar(train + (out / "other").string() + " --config " + (out / "other.toml").string()).status,
            0);
  const auto options = [&](const char* run) {
    return Json::parse(contents(out / run / "manifest.json")).at("config").at("options");
  };
  EXPECT_EQ(options("tuned").at("gamma"), 0.9);
  EXPECT_EQ(options("tuned").at("reward_scale"), 0.1);
  EXPECT_EQ(options("other").at("gamma"), 0.8);
  EXPECT_EQ(options("other").at("reward_scale"), 1);
}

/// Rewards that a learner sees scaled are measured scaled: variances are in the square of its units.
TEST(CliTrain, WhatIsMeasuredAlongARunIsInTheUnitsOfWhatItLearns) {
  const auto out = scratch("train_units");
  const auto variance = [&](const char* scale) {
    const auto run = out / scale;
    const auto trained =
        lowvar(std::string("train ppo --env Pendulum-v1 --steps 64 --set envs=2 --set rollout=32 --set "
                           "hidden=8 --set reward_scale=") +
               scale + " --measure-variance every=1,estimators=togo,trajectories=8 --out " + run.string());
    EXPECT_EQ(trained.status, 0) << trained.err;
    const auto rows = parse_csv(contents(run / "variance.csv"));
    return std::stod(rows.front().at("value"));
  };
  EXPECT_NEAR(variance("0.25") / variance("1"), 0.0625, 1e-9);
}

TEST(CliTrain, PoliciesOfSequencesAreKeptReadAndMeasured) {
  for (const std::string reader : {"none", "gru", "attention"}) {
    const auto out = scratch("train_" + reader), update = scratch("update_" + reader);
    const auto run =
        lowvar("train reinforce --env seq-31 --seeds 0 --steps 4000 --set hidden=4 --set reader=" + reader +
               " --out " + out.string());
    ASSERT_EQ(run.status, 0) << run.err;
    const double value = Json::parse(contents(out / "summary.json")).at("seeds")[0].at("exact_value");
    const auto exact = lowvar("exact --env seq-31 --estimators rloo:4 --json --policy run:" + out.string());
    ASSERT_EQ(exact.status, 0) << exact.err;
    const Json read = Json::parse(exact.out);
    EXPECT_NEAR(read.at("J").get<double>(), value, 1e-12) << reader;
    EXPECT_LT(read.at("estimators").at("rloo:4").at("bias_norm").get<double>(), 1e-9) << reader;
    const auto measured =
        lowvar("variance --of-run " + out.string() + " --update 0 --batches 200 --out " + update.string());
    ASSERT_EQ(measured.status, 0) << measured.err;
    int found = 0;
    for (const auto& row : parse_csv(contents(update / "moments.csv"))) {
      if (row.at("estimator") != "update:batch" || row.at("quantity") != "bias_sq") continue;
      EXPECT_LT(std::abs(std::stod(row.at("value"))), 6 * std::stod(row.at("se")))
          << reader;  // RLOO has none
      ++found;
    }
    EXPECT_EQ(found, 1) << reader;
  }
}

TEST(CliTrain, LinearPoliciesOfAnyWorldAreSummedUp) {
  const auto out = scratch("train_ball");
  ASSERT_EQ(lowvar("train apg --env ball-and-wall --seeds 0 --steps 1600 --out " + out.string()).status, 0);
  const auto exact =
      lowvar("exact --env ball-and-wall --policy run:" + out.string() + " --estimators pathwise");
  EXPECT_EQ(exact.status, 0) << exact.err;
  EXPECT_NE(exact.out.find("pathwise"), std::string::npos);
}

TEST(CliTrain, BadInputGetsOneSentence) {
  const auto out = scratch("train_bad");
  const std::string ppo = "train ppo --env CartPole-v1 --out " + (out / "x").string() + " ";
  std::ofstream(out / "unknown.toml") << "envs = 4\nlearning_rat = 1\n";
  std::ofstream(out / "broken.toml") << "envs = = 4\n";
  std::ofstream(out / "type.toml") << "envs = 'many'\n";
  refused("train pppo --env CartPole-v1 --out " + out.string(), "unknown algorithm 'pppo'");
  refused(ppo + "--set epoch=3", "did you mean 'epochs'");
  refused(ppo + "--set epochs=three", "epochs must be a whole number, got 'three'");
  refused(ppo + "--set epochs=0", "epochs must be at least 1");
  refused(ppo + "--set gamma=1.5", "gamma must be from 0 to 1");
  refused(ppo + "--set epochs", "--set needs key=value");
  refused(ppo + "--set update=adamw", "update must be one of");
  refused(ppo + "--set estimator=gea:0.9", "unknown estimator");
  refused(ppo + "--set estimator=reinforce-optimal", "constants");
  refused(ppo + "--seeds 5..2", "--seeds must be like");
  refused(ppo + "--seeds 1,1", "names a seed twice");
  refused(ppo + "--steps -1", "--steps must be a whole number");
  refused(ppo + "--config " + (out / "unknown.toml").string(),
          "unknown.toml, line 2: unknown option 'learning_rat'");
  refused(ppo + "--config " + (out / "broken.toml").string(), "broken.toml, line 1");
  refused(ppo + "--config " + (out / "type.toml").string(), "envs must be a whole number, got 'many'");
  refused(ppo + "--config nowhere.toml", "nowhere.toml: there is no such file");
  refused(ppo + "--measure-variance every=3", "needs both");
  refused("train ddpg --env CartPole-v1 --out " + out.string(), "are choices");
  refused("train q-actor-critic --env Pendulum-v1 --out " + out.string(), "acts by vectors");
  refused(ppo + "--steps 1000", "fewer than the 1024");
  refused(ppo + "--steps 4000 --set estimator=rloo:4", "episodes must be a multiple");
  refused("train apg --env CartPole-v1 --out " + out.string(), "dynamics");
  refused("evaluate " + out.string(), "summary.json");
  refused("compare " + out.string() + " --out " + (out / "c").string(), "summary.json");
  EXPECT_FALSE(std::filesystem::exists(out / "x"));
}

}  // namespace
}  // namespace lowvar
