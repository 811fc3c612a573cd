// lowvar solve, and the worlds with parameters, as an outside checker calls them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "command.h"

namespace lowvar {
namespace {

using Json = nlohmann::json;

Json solved(const std::string& arguments) {
  const auto run = lowvar("solve --json " + arguments);
  EXPECT_EQ(run.status, 0) << arguments << "\n" << run.err;
  EXPECT_EQ(run.err, "") << arguments;
  return Json::parse(run.out);
}

TEST(CliSolve, GivesThePublishedValuesByEveryMethod) {
  const std::pair<const char*, double> known[] = {
      {"FrozenLake-v1", 0.54202593}, {"FrozenLake8x8-v1", 0.41464036}, {"CliffWalking-v0", -12.24789770}};
  for (const auto& [env, value] : known) {
    const std::string world = std::string("--env ") + env;
    const Json first = solved(world + " --gamma 0.99");
    EXPECT_NEAR(first.at("value_start"), value, 5e-9) << env;
    for (const char* method :
         {"value-iteration", "policy-iteration", "policy-iteration --sweeps 3", "linear"}) {
      const Json other = solved(world + " --method " + method);
      EXPECT_EQ(other.at("policy"), first.at("policy")) << env << " " << method;
      ASSERT_EQ(other.at("values").size(), first.at("values").size());
      for (std::size_t s = 0; s < other.at("values").size(); ++s)
        EXPECT_NEAR(other.at("values")[s], first.at("values")[s], 1e-10) << env << " " << method;
      EXPECT_TRUE(other.at("iterations").is_number_integer());
      EXPECT_EQ(other.size(), 4u);
    }
  }
}

TEST(CliSolve, AveragesOverTheStart) {
  const Json garnet = solved("--env garnet:7:3:2:1 --gamma 0.8");
  double mean = 0;
  for (const Json& v : garnet.at("values")) mean += v.get<double>() / 7;
  EXPECT_NEAR(garnet.at("value_start"), mean, 1e-14);
  EXPECT_EQ(garnet.at("policy").size(), 7u);
}

TEST(CliSolve, EndsAtTheHorizon) {
  for (const char* method : {"value-iteration", "policy-iteration", "linear"}) {
    const Json finite = solved(std::string("--env CliffWalking-v0 --horizon 12 --method ") + method);
    EXPECT_NEAR(finite.at("value_start"), -(1 - std::pow(0.99, 12)) / 0.01, 1e-12) << "one step too few";
    EXPECT_EQ(finite.at("iterations"), 12);
  }
  EXPECT_NEAR(solved("--env CliffWalking-v0 --horizon 13").at("value_start"), -12.24789770, 5e-9);
  EXPECT_EQ(solved("--env chain --horizon 1").at("value_start"), 0.2);
}

TEST(CliSolve, PlansOnALearnedModel) {
  const std::string lake = "--env FrozenLake-v1 --method learned-model:";
  EXPECT_NEAR(solved(lake + "50000").at("value_start"), 0.54202593, 5e-9);
  EXPECT_EQ(solved(lake + "200 --seed 3"), solved(lake + "200 --seed 3"));
  EXPECT_NE(solved(lake + "200 --seed 3"), solved(lake + "200 --seed 4"));
  for (const char* seed : {"0", "1", "2"})
    EXPECT_LE(solved(lake + "200 --seed " + seed).at("value_start"), 0.54202594);
  const double optimum = solved("--env FrozenLake-v1 --horizon 30").at("value_start");
  const double learned = solved(lake + "50000 --horizon 30").at("value_start");
  EXPECT_LE(learned, optimum + 1e-12);
  EXPECT_GE(learned, 0.98 * optimum);
}

TEST(CliSolve, TalksToPeopleToo) {
  const auto cliff = lowvar("solve --env CliffWalking-v0");
  EXPECT_EQ(cliff.status, 0);
  EXPECT_NE(cliff.out.find("value of the start -12.2478977001"), std::string::npos) << cliff.out;
  EXPECT_NE(cliff.out.find("→ → → → → → → → → → → ↓\n↑ "), std::string::npos) << cliff.out;
  const auto lake = lowvar("solve --env FrozenLake-v1");
  EXPECT_NE(lake.out.find("\n← ↑ ↑ ↑\n← · ← ·\n↑ ↓ ← ·\n· → ↓ ·\n"), std::string::npos) << lake.out;
  EXPECT_EQ(lowvar("solve --env garnet:3:2:2:0").status, 0);
  const auto envs = lowvar("list envs");
  for (const char* id : {"CliffWalking-v0", "FrozenLake-random:SIZE:SEED", "garnet:S:A:B:SEED"})
    EXPECT_NE(envs.out.find(id), std::string::npos) << id;
}

TEST(CliSolve, NewWorldsHaveTheirOracles) {
  for (const char* env : {"garnet:6:3:2:5", "FrozenLake-random:4:2", "CliffWalking-v0"}) {
    const auto run =
        lowvar(std::string("exact --json --horizon 10 --estimators togo,togo-value --env ") + env);
    ASSERT_EQ(run.status, 0) << run.err;
    const Json out = Json::parse(run.out);
    for (const auto& [name, each] : out.at("estimators").items())
      EXPECT_LT(each.at("bias_norm"), 1e-9) << env << " " << name;
  }
}

TEST(CliSolve, BadInputIsOneClearSentence) {
  const std::pair<const char*, const char*> bad[] = {
      {"", "--env is required"},
      {"--env moon", "unknown world 'moon'"},
      {"--env CartPole-v1", "solve needs a world whose model is known, and CartPole-v1 has none"},
      {"--env chain --method magic", "unknown method 'magic'; known: value-iteration, policy-iteration"},
      {"--env chain --method learned-model", "unknown method 'learned-model'"},
      {"--env chain --method learned-model:", "EPISODES of learned-model must be a whole number"},
      {"--env chain --method learned-model:0", "EPISODES of learned-model must be a whole number"},
      {"--env chain --method learned-model:many", "EPISODES of learned-model must be a whole number"},
      {"--env chain --method learned-model:10 --seed -1", "--seed must be a whole number"},
      {"--env chain --gamma 2", "--gamma must be from 0 to 1"},
      {"--env chain --gamma x", "--gamma must be a number"},
      {"--env chain --horizon 0", "--horizon must be a whole number"},
      {"--env chain --method linear --sweeps 3", "--sweeps belongs to policy-iteration"},
      {"--env chain --method policy-iteration --sweeps 0", "--sweeps must be a whole number"},
      {"--env garnet:5:2:2:1 --gamma 1", "at gamma = 1 an infinite horizon needs a way to a terminal state"},
      {"--env garnet:5:2", "its parameters are garnet:S:A:B:SEED"},
      {"--env garnet:5:2:9:1", "B, the successors of an action, cannot be more than the 5 states"},
      {"--env FrozenLake-random:1:1", "SIZE must be a whole number from 2 to 100"},
      {"--env garnet:6000:1:1:1 --method linear", "a linear solve over 6000 states is too large"},
  };
  for (const auto& [arguments, says] : bad) {
    const auto run = lowvar(std::string("solve --json ") + arguments);
    EXPECT_EQ(run.status, 2) << arguments << "\n" << run.err;
    EXPECT_NE(run.err.find(says), std::string::npos) << arguments << "\n" << run.err;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << arguments << "\n" << run.err;
    EXPECT_EQ(run.out, "") << arguments;
  }
}

}  // namespace
}  // namespace lowvar
