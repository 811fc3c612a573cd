// Names of estimators: taken apart by the table, and refused with a sentence.
#include <gtest/gtest.h>

#include "core/error.h"
#include "zoo.h"

namespace lowvar {
namespace {

TEST(Names, AreTakenApart) {
  const EstimatorName gae = parse_estimator("gae:0.95+undiscounted");
  EXPECT_EQ(gae.id(), FamilyId::gae);
  EXPECT_EQ(gae.argument, "0.95");
  EXPECT_EQ(gae.arguments, std::vector<double>{0.95});
  EXPECT_TRUE(gae.undiscounted);
  EXPECT_FALSE(gae.whitened);
  EXPECT_EQ(gae.unit(), 1);
  const EstimatorName vtrace = parse_estimator("vtrace:2:1e+0+undiscounted+whitened");
  EXPECT_EQ(vtrace.arguments, (std::vector<double>{2, 1}));
  EXPECT_TRUE(vtrace.whitened && vtrace.undiscounted);
  EXPECT_EQ(vtrace.unit(), 0);
  EXPECT_EQ(parse_estimator("nstep:12").arguments, std::vector<double>{12});
  EXPECT_EQ(parse_estimator("rloo:7").unit(), 7);
  EXPECT_TRUE(parse_estimator("togo").arguments.empty());
}

TEST(Names, ExamplesAreOfTheirFamilies) {
  for (const EstimatorFamily& family : estimator_families()) {
    EXPECT_EQ(parse_estimator(family.example).family, &family) << family.pattern;
    const auto colons = [](const std::string& text) { return std::count(text.begin(), text.end(), ':'); };
    EXPECT_EQ(colons(family.pattern), static_cast<long>(family.arguments.size())) << family.pattern;
    EXPECT_EQ(colons(family.pattern), colons(family.example)) << family.pattern;
  }
}

/// The text of the error.
std::string refusal(std::string_view name) {
  try {
    parse_estimator(name);
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

TEST(Names, AreRefusedWithASentence) {
  for (const auto& [name, sentence] : std::vector<std::pair<std::string, std::string>>{
           {"", "unknown estimator ''; known: reinforce, reinforce-mean, "},
           {"reinforced", "unknown estimator 'reinforced'"},
           {"tog", "unknown estimator 'tog'"},
           {"Togo", "unknown estimator 'Togo'"},
           {"togo+", "unknown estimator 'togo+'"},
           {"+undiscounted", "single steps also with +whitened and +undiscounted"},
           {"togo+undiscounted+undiscounted", "unknown estimator"},
           {"togo+whitened+undiscounted+whitened", "unknown estimator"},
           {"togo:1", "estimator 'togo:1' takes no argument after a colon"},
           {"td:", "takes no argument"},
           {"gae", "estimator 'gae': lambda must be a number from 0 to 1, as in gae:0.95"},
           {"gae:", "lambda must be"},
           {"gae:2", "lambda must be"},
           {"gae:-0.1", "lambda must be"},
           {"gae:nan", "lambda must be"},
           {"gae:0.5x", "lambda must be"},
           {"gae:0.5 ", "lambda must be"},
           {"gae:0.5:1", "lambda must be"},
           {"nstep", "K must be a whole number of at least 1, as in nstep:5"},
           {"nstep:0", "K must be"},
           {"nstep:-1", "K must be"},
           {"nstep:1.5", "K must be"},
           {"nstep:99999999999", "K must be"},
           {"ppo-clip:0", "the clipping range must be a number between 0 and 1, as in ppo-clip:0.2"},
           {"ppo-clip:1", "the clipping range must be"},
           {"vtrace:1", "RHO must be a positive number and C one from 0 on, as in vtrace:1:1"},
           {"vtrace:0:1", "RHO must be"},
           {"vtrace:1:-1", "RHO must be"},
           {"vtrace:1:1:1", "RHO must be"},
           {"rloo", "N must be a whole number of at least 2, as in rloo:4"},
           {"rloo:1", "N must be"},
           {"grpo:2.5", "N must be"},
           {"grpo:1000001", "N must be"},
           {"reinforce+undiscounted", "reinforce carries no gamma^t that +undiscounted could drop"},
           {"reinforce-mean+undiscounted", "reinforce-mean carries no gamma^t"},
           {"rloo:4+undiscounted", "rloo carries no gamma^t"},
           {"pathwise+undiscounted", "pathwise carries no gamma^t"},
           {"reinforce+whitened", "has no advantages of single steps that +whitened could normalise"},
           {"all-action+whitened", "all-action has no advantages"},
           {"grpo:4+whitened", "grpo has no advantages"}})
    EXPECT_NE(refusal(name).find(sentence), std::string::npos) << "'" << name << "': " << refusal(name);
}

}  // namespace
}  // namespace lowvar
