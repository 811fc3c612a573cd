// The command line as an outside checker calls it: names, numbers, files, and one clear sentence for bad
// input.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "command.h"

namespace lowvar {
namespace {

using Json = nlohmann::json;

const Json& reference() {
  static const Json json = Json::parse(contents(std::string(LOWVAR_TEST_DATA) + "/reference_values.json"));
  return json;
}

void expect_relative(double got, double want, double tolerance, const std::string& what) {
  EXPECT_LE(std::abs(got - want), tolerance * std::abs(want)) << what << ": got " << got << ", want " << want;
}

TEST(Cli, ExactGivesTheReferenceValues) {
  const std::map<std::string, std::string> keys = {{"reinforce", "reinforce_b0"},
                                                   {"reinforce-mean", "reinforce_bJ"},
                                                   {"reinforce-optimal", "reinforce_bstar"},
                                                   {"reinforce-per-parameter", "reinforce_componentwise"},
                                                   {"togo", "rtg_b0"}};
  for (const auto& [env, group] :
       {std::pair{"chain", "chain5"}, std::pair{"four-rooms", "four_rooms_clean"}}) {
    const Json& want = reference().at(group).at("values");
    for (const char* value : {"exact", "scaled:0.5", "zero"}) {
      const auto run =
          lowvar(std::string("exact --json --env ") + env + " --value " + value +
                 " --estimators reinforce,reinforce-mean,reinforce-optimal,reinforce-per-parameter,togo,"
                 "togo-value,td,gae:0,gae:0.5,gae:0.9,gae:0.95,gae:1,ppo-clip:0.2,togo-value+undiscounted");
      ASSERT_EQ(run.status, 0) << run.err;
      const Json got = Json::parse(run.out);
      expect_relative(got.at("J"), want.at("J"), 1e-9, std::string(env) + " J");
      const auto trace = [&](const std::string& name) {
        return got.at("estimators").at(name).at("trace_cov").get<double>();
      };
      const auto bias = [&](const std::string& name) {
        return got.at("estimators").at(name).at("bias_norm").get<double>();
      };
      for (const auto& [name, key] : keys) expect_relative(trace(name), want.at(key), 1e-9, env + name);
      const std::string critic = value == std::string("exact") ? "V" : "halfV";
      if (value == std::string("zero")) {
        expect_relative(trace("togo-value"), want.at("rtg_b0"), 1e-9, "zero critic");
        expect_relative(trace("gae:1"), want.at("rtg_b0"), 1e-9, "zero critic");
        continue;
      }
      for (const char* lambda : {"0", "0.5", "0.9", "0.95", "1"}) {
        const std::string name = std::string("gae:") + lambda, key = "gae_" + critic + "_" + lambda;
        expect_relative(trace(name), want.at(key + "_var"), 1e-9, env + key);
        if (want.contains(key + "_bias2"))
          EXPECT_NEAR(bias(name), std::sqrt(want.at(key + "_bias2").get<double>()), 1e-9) << env << key;
        else
          EXPECT_LT(bias(name), 1e-12);
      }
      EXPECT_EQ(trace("ppo-clip:0.2"), trace("gae:0.95"));
      EXPECT_EQ(trace("td"), trace("gae:0"));
      if (value == std::string("exact")) {
        expect_relative(trace("togo-value+undiscounted"), want.at("rtg_V_undiscounted_state_weighting_var"),
                        1e-9, env);
        expect_relative(std::pow(bias("togo-value+undiscounted"), 2),
                        want.at("rtg_V_undiscounted_state_weighting_bias2"), 1e-9, env);
      }
    }
  }
  const Json chain = Json::parse(lowvar("exact --json --env chain --estimators togo").out);
  ASSERT_EQ(chain.at("gradient").size(), 10U);
  for (std::size_t i = 0; i < 8; ++i)
    EXPECT_NEAR(chain.at("gradient")[i], reference().at("chain5").at("values").at("grad")[i], 1e-12);
  EXPECT_EQ(chain.at("gradient")[8], 0.0);
}

TEST(Cli, VarianceWritesWhatTheConventionsSay) {
  const auto out = scratch("variance");
  const auto run = lowvar(
      "variance --env chain --estimators togo,gae:0.95 --trajectories 500 --seed 3 --relative-to gae:0.95"
      " --export-gradients " +
      (out / "g.npy").string() + " --out " + (out / "v").string());
  ASSERT_EQ(run.status, 0) << run.err;
  const std::string moments = contents(out / "v" / "moments.csv");
  EXPECT_TRUE(moments.starts_with("env,estimator,quantity,value,se,exact,unit,n\n"));
  for (const char* quantity : {"trace_cov", "bias_norm", "bias_sq", "mse", "snr", "noise_scale", "cosine",
                               "ratio:gae:0.95", "largest_share"})
    EXPECT_NE(moments.find(std::string("chain,togo,") + quantity + ","), std::string::npos) << quantity;
  for (const char* name : {"layers.csv", "manifest.json", "machine.json", "outputs.json"})
    EXPECT_TRUE(std::filesystem::exists(out / "v" / name)) << name;
  const std::string npy = contents(out / "g.npy");
  EXPECT_NE(npy.find("'shape': (2,500,10,)"), std::string::npos);
  EXPECT_EQ(npy.size() % 64, (2 * 500 * 10 * 8) % 64);
  EXPECT_EQ(Json::parse(contents(out / "v" / "outputs.json")).at("status"), 0);
}

TEST(Cli, SameBytesTwiceAndForAnyNumberOfThreads) {
  const auto out = scratch("bytes");
  for (const char* threads : {"1", "2", "3"})
    ASSERT_EQ(lowvar("variance --env chain --estimators togo,td --trajectories 3000 --out " +
                         (out / threads).string(),
                     std::string("OMP_NUM_THREADS=") + threads)
                  .status,
              0);
  EXPECT_EQ(files(out / "1"), files(out / "2"));
  EXPECT_EQ(files(out / "1"), files(out / "3"));
}

TEST(Cli, OffPolicyPpoIsEnumeratedWhereItCanBe) {
  const auto dir = scratch("offpolicy");
  std::ofstream(dir / "m.json") << R"({"states":2,"actions":2,"gamma":0.9,"horizon":3,"start":[1,0],
    "P":[[[0.5,0.5],[0.2,0.8]],[[0.7,0.3],[0.1,0.9]]],"R":[[1,-1],[0.5,2]],"terminal":[]})";
  std::ofstream(dir / "mu.json") << R"({"logits":[[0.3,-0.3],[-1,0.5]]})";
  const std::string mdp = "--env mdp:" + (dir / "m.json").string(),
                    mu = " --behaviour logits:" + (dir / "mu.json").string();
  const auto run = lowvar("exact --json " + mdp + mu + " --estimators ppo-clip:0.1");
  ASSERT_EQ(run.status, 0) << run.err;
  const double exact = Json::parse(run.out).at("estimators").at("ppo-clip:0.1").at("trace_cov");
  ASSERT_EQ(lowvar("variance " + mdp + mu + " --estimators ppo-clip:0.1 --trajectories 100000 --out " +
                   (dir / "v").string())
                .status,
            0);
  std::istringstream moments(contents(dir / "v" / "moments.csv"));
  bool found = false;
  for (std::string line; std::getline(moments, line);) {
    if (line.find(",trace_cov,") == std::string::npos) continue;
    double value, se, known;
    ASSERT_EQ(
        std::sscanf(line.substr(line.find("trace_cov,") + 10).c_str(), "%lf,%lf,%lf", &value, &se, &known), 3)
        << line;
    EXPECT_EQ(known, exact);
    EXPECT_LT(std::abs(value - exact), 6 * se);
    found = true;
  }
  EXPECT_TRUE(found);
  const auto refused = lowvar("exact " + mdp + mu + " --estimators togo");
  EXPECT_EQ(refused.status, 2);
  const auto many =
      Json::parse(lowvar("exact --json --env chain --behaviour uniform --estimators ppo-clip:0.2").out);
  EXPECT_TRUE(many.at("estimators").at("ppo-clip:0.2").at("trace_cov").is_null());
  EXPECT_NE(
      many.at("estimators").at("ppo-clip:0.2").at("reason").get<std::string>().find("more than 10000000"),
      std::string::npos);
}

TEST(Cli, ValueFilesAreUsedAsGiven) {
  const auto dir = scratch("values");
  std::ofstream(dir / "m.json") << R"({"states":2,"actions":2,"gamma":0.9,"horizon":2,"start":[1,0],
    "P":[[[0.5,0.5],[0.2,0.8]],[[0,1],[0,1]]],"R":[[[1,-1],[0.5,2]],[[0,0],[0,0]]],"terminal":[1]})";
  std::ofstream(dir / "full.json") << R"({"values":[[1,0.5],[2,0.25],[3,4]]})";
  std::ofstream(dir / "list.json") << R"({"values":[1,0.5]})";
  std::ofstream(dir / "same.json") << R"({"values":[[1,0.5],[1,0.5],[0,0]]})";
  std::ofstream(dir / "short.json") << R"({"values":[[1,0.5],[1,0.5]]})";
  const std::string mdp =
      "--json --estimators td,gae:0.95,togo-value --env mdp:" + (dir / "m.json").string() + " --value file:";
  const auto full = lowvar("exact " + mdp + (dir / "full.json").string());
  ASSERT_EQ(full.status, 0) << full.err;
  EXPECT_EQ(lowvar("exact " + mdp + (dir / "list.json").string()).out,
            lowvar("exact " + mdp + (dir / "same.json").string()).out);
  EXPECT_EQ(lowvar("exact " + mdp + (dir / "short.json").string()).status, 2);
}

/// Each must end with exit code 2 and one line that says `says`.
struct Bad {
  const char* arguments;
  const char* says;
};

TEST(Cli, BadInputGetsOneSentenceAndExitCodeTwo) {
  const auto dir = scratch("bad");
  const auto write = [&](const char* name, const std::string& text) { std::ofstream(dir / name) << text; };
  const std::string good = R"("actions":1,"gamma":0.9,"horizon":3,"start":[1,0],"R":[[1],[0]],"terminal":[])";
  write("cut.json", R"({"states":2,"actions":1,"gam)");
  write("rows.json", R"({"states":2,"P":[[[0.5,0.4]],[[1,0]]],)" + good + "}");
  write("enormous.json", R"({"states":1e18,"P":[[[0.5,0.5]],[[1,0]]],)" + good + "}");
  write("nan.json", R"({"logits":[[NaN,0],[0,0],[0,0],[0,0],[0,0]]})");
  write("huge.json", R"({"logits":[[1e999,0],[0,0],[0,0],[0,0],[0,0]]})");
  write("few.json", R"({"logits":[[0,0]]})");
  write("words.json", R"({"logits":[["a",0],[0,0],[0,0],[0,0],[0,0]]})");
  write("file", "");
  const Bad bad[] = {
      {"", "subcommand"},
      {"frobnicate", "frobnicate"},
      {"exact --estimators togo", "--env"},
      {"exact --env chain", "--estimators"},
      {"exact --env moon --estimators togo", "unknown world 'moon'"},
      {"exact --env chain --estimators tog", "unknown estimator 'tog'"},
      {"exact --env chain --estimators togo,,td", "unknown estimator ''"},
      {"exact --env chain --estimators gae:2", "lambda must be a number from 0 to 1"},
      {"exact --env chain --estimators nstep:0", "whole number"},
      {"exact --env chain --estimators reinforce+undiscounted", "no gamma^t"},
      {"exact --env chain --estimators togo --gamma 1.5", "--gamma must be from 0 to 1"},
      {"exact --env chain --estimators togo --gamma nan", "--gamma must be a number"},
      {"exact --env chain --estimators togo --horizon 0", "--horizon must be a whole number"},
      {"exact --env chain --estimators togo --horizon 2.5", "--horizon must be a whole number"},
      {"exact --env chain --estimators togo --value perfect", "unknown value"},
      {"exact --env chain --estimators togo --value scaled:x", "factor must be a number"},
      {"exact --env chain --estimators togo --value learned", "not a learned one"},
      {"exact --env chain --estimators togo --policy clever", "unknown policy"},
      {"exact --env chain --estimators togo --policy init:-1", "whole number"},
      {"exact --env CartPole-v1 --estimators togo", "whose model is known"},
      {"exact --env chain --estimators togo --behaviour uniform", "no importance weights"},
      {"exact --env mdp:/nowhere/at/all.json --estimators togo", "/nowhere/at/all.json"},
      {"exact --env mdp:DIR/cut.json --estimators togo", "cut.json"},
      {"exact --env mdp:DIR/rows.json --estimators togo", "sum to"},
      {"exact --env mdp:DIR/enormous.json --estimators togo", "states"},
      {"exact --env mdp:DIR --estimators togo", "DIR"},
      {"exact --env chain --estimators togo --policy logits:DIR/nan.json", "nan.json"},
      {"exact --env chain --estimators togo --policy logits:DIR/huge.json", "huge.json"},
      {"exact --env chain --estimators togo --policy logits:DIR/few.json", "needs 5 rows"},
      {"exact --env chain --estimators togo --policy logits:DIR/words.json", "finite number"},
      {"exact --env chain --estimators togo --policy logits:DIR/missing.json", "missing.json"},
      {"variance --env chain --estimators togo", "--out"},
      {"variance --env chain --estimators togo --trajectories -5 --out DIR/o",
       "--trajectories must be a whole number"},
      {"variance --env chain --estimators togo --trajectories 10.5 --out DIR/o",
       "--trajectories must be a whole number"},
      {"variance --env chain --estimators togo --trajectories 1 --out DIR/o",
       "--trajectories must be a whole number"},
      {"variance --env chain --estimators togo --trajectories 1e30 --out DIR/o",
       "--trajectories must be a whole number"},
      {"variance --env chain --estimators togo --trajectories ten --out DIR/o",
       "--trajectories must be a whole number"},
      {"variance --env chain --estimators togo --seed -1 --out DIR/o", "--seed"},
      {"variance --env chain --estimators togo --until-rse 0 --out DIR/o", "--until-rse"},
      {"variance --env chain --estimators togo --cosine-batch 0 --out DIR/o", "--cosine-batch"},
      {"variance --env chain --estimators togo --relative-to td --out DIR/o", "--relative-to 'td'"},
      {"variance --env chain --estimators togo --trajectories 10 --out DIR/file", "cannot write results"},
      {"variance --env chain --estimators togo --trajectories 10 --out DIR/file/deeper",
       "cannot write results"},
      {"variance --env chain --estimators togo --trajectories 10 --out DIR/o --export-gradients DIR/no/g.npy",
       "cannot write"},
      {"variance --env CartPole-v1 --estimators togo --policy uniform --out DIR/o", "is a table"},
      {"variance --env CartPole-v1 --estimators togo-value --value exact --trajectories 10 --out DIR/o",
       "whose model is known"},
      {"reproduce moon", "unknown figure 'moon'"},
      {"reproduce ladder --smoke --full", "--smoke"},
      {"list moons", "unknown list 'moons'"},
      {"explain togoo", "unknown estimator 'togoo'"},
  };
  for (const Bad& each : bad) {
    std::string arguments = each.arguments, says = each.says;
    for (std::string* text : {&arguments, &says})
      for (std::size_t at; (at = text->find("DIR")) != std::string::npos;) text->replace(at, 3, dir.string());
    const auto run = lowvar(arguments);
    EXPECT_EQ(run.status, 2) << arguments << "\n" << run.err;
    EXPECT_NE(run.err.find(says), std::string::npos) << arguments << "\n" << run.err;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << arguments << "\n" << run.err;
    EXPECT_EQ(run.out, "") << arguments;
  }
  EXPECT_FALSE(std::filesystem::exists(dir / "no"));
}

TEST(Cli, AReaderWhoHasGoneTakesNoResultAlong) {
  const auto out = scratch("unread");
  const auto run = unread("variance --env chain --estimators togo --trajectories 100 --export-gradients " +
                          (out / "g.npy").string() + " --out " + (out / "variance").string());
  EXPECT_EQ(run.status, 2) << run.err;
  const std::string train = "train reinforce --env chain --steps 2000 --evaluation-episodes 2 --out ";
  EXPECT_EQ(unread(train + (out / "train").string()).status, 2);
  EXPECT_EQ(unread("compare " + (out / "train").string() + " --out " + (out / "compare").string()).status, 2);
  for (const char* command : {"variance", "train", "compare"}) {
    const auto path = out / command / "outputs.json";
    ASSERT_TRUE(std::filesystem::exists(path)) << path;
    EXPECT_EQ(Json::parse(contents(path)).at("status"), 0) << path;
  }
  EXPECT_TRUE(std::filesystem::exists(out / "g.npy"));
}

TEST(Cli, ListAndExplain) {
  for (const char* what : {"envs", "estimators", "figures"})
    EXPECT_EQ(lowvar(std::string("list ") + what).status, 0);
  const auto run = lowvar("explain gae:0.95");
  EXPECT_EQ(run.status, 0);
  for (const char* part :
       {"equation", "Schulman et al. 2016", "critic", "algorithms/estimators/estimators.cpp:"})
    EXPECT_NE(run.out.find(part), std::string::npos) << run.out;
  const std::string vtrace = lowvar("explain vtrace:1:1").out, baseline = lowvar("explain togo-value").out;
  EXPECT_NE(vtrace.find("biased there even with the exact critic: states"), std::string::npos) << vtrace;
  EXPECT_NE(baseline.find("no, with any critic"), std::string::npos) << baseline;
  EXPECT_EQ(lowvar("--help").status, 0);
  EXPECT_EQ(lowvar("--version").status, 0);
}

}  // namespace
}  // namespace lowvar
