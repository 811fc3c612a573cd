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
  EXPECT_TRUE(gae.undiscounted());
  EXPECT_FALSE(gae.whitened());
  EXPECT_EQ(gae.unit(), 1);
  const EstimatorName vtrace = parse_estimator("vtrace:2:1e+0+undiscounted+whitened");
  EXPECT_EQ(vtrace.arguments, (std::vector<double>{2, 1}));
  EXPECT_TRUE(vtrace.whitened() && vtrace.undiscounted());
  EXPECT_EQ(vtrace.unit(), 0);
  EXPECT_EQ(parse_estimator("nstep:12").arguments, std::vector<double>{12});
  EXPECT_EQ(parse_estimator("rloo:7").unit(), 7);
  EXPECT_TRUE(parse_estimator("togo").arguments.empty());
}

TEST(Names, SuffixesAreTakenApart) {
  const EstimatorName dapo = parse_estimator("grpo:8+token-mean+dynamic+clip:0.2:0.28");
  EXPECT_EQ(dapo.unit(), 8);
  EXPECT_TRUE(dapo.dynamic() && dapo.off_policy());
  EXPECT_EQ(dapo.suffix(SuffixKind::aggregation)->suffix->id, SuffixId::token_mean);
  EXPECT_EQ(dapo.suffix(SuffixKind::importance)->arguments, (std::vector<double>{0.2, 0.28}));
  EXPECT_TRUE(parse_estimator("rloo:4+is-sequence").suffix(SuffixKind::importance)->arguments.empty());
  EXPECT_EQ(parse_estimator("gae:0.9+is-sequence:1e+1").suffix(SuffixKind::importance)->arguments,
            std::vector<double>{10});
  EXPECT_EQ(parse_estimator("pkpo:8:2").arguments, (std::vector<double>{8, 2, 0}));
  EXPECT_EQ(parse_estimator("pkpo:8:2:loo1").arguments, (std::vector<double>{8, 2, 2}));
  EXPECT_FALSE(parse_estimator("rloo:4").off_policy());
  const EstimatorName cut = parse_estimator("pathwise:7+stop-policy");
  EXPECT_EQ(cut.arguments, std::vector<double>{7});
  EXPECT_EQ(cut.suffix(SuffixKind::path)->suffix->id, SuffixId::stop_policy);
  EXPECT_TRUE(parse_estimator("pathwise").arguments.empty());
}

TEST(Names, PresetsAreWhatTheyStandFor) {
  for (const EstimatorPreset& preset : estimator_presets()) {
    std::string name = preset.pattern, stands_for = preset.stands_for;
    name.replace(name.find(":G"), 2, ":6"), stands_for.replace(stands_for.find(":G"), 2, ":6");
    const EstimatorName one = parse_estimator(name), other = parse_estimator(stands_for);
    EXPECT_EQ(one.family, other.family) << name;
    EXPECT_EQ(one.unit(), 6) << name;
    ASSERT_EQ(one.suffixes.size(), other.suffixes.size()) << name;
    for (std::size_t i = 0; i < one.suffixes.size(); ++i)
      EXPECT_EQ(one.suffixes[i].suffix, other.suffixes[i].suffix) << name;
    EXPECT_TRUE(parse_estimator(name + "+clip:0.2:0.2").off_policy()) << name;
  }
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
           {"+undiscounted", "and behind them, where they fit, +seq-mean, "},
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
           {"rloo", "G must be a whole number of at least 2, as in rloo:4"},
           {"rloo:1", "G must be"},
           {"grpo:2.5", "G must be"},
           {"grpo:1000001", "G must be"},
           {"reinforce+undiscounted", "reinforce carries no gamma^t that +undiscounted could drop"},
           {"reinforce-mean+undiscounted", "reinforce-mean carries no gamma^t"},
           {"rloo:4+undiscounted", "rloo carries no gamma^t"},
           {"pathwise+undiscounted", "pathwise carries no gamma^t"},
           {"pathwise:0", "K must be a whole number of at least 1, as in pathwise:20"},
           {"pathwise:1.5", "K must be"},
           {"pathwise+stop-policy+stop-reward", "has both +stop-policy and +stop-reward"},
           {"togo+stop-policy", "togo follows no path through the dynamics"},
           {"reinforce+whitened", "has no advantages of single steps that +whitened could normalise"},
           {"all-action+whitened", "all-action has no advantages"},
           {"grpo:4+whitened", "grpo has no advantages"},
           {"grpo:4+clip:0.2",
            "LO must be a number from 0 to 1 and HI one from 0 on after +clip, as in +clip:0.2:0.28"},
           {"grpo:4+clip:-1:0.2", "LO must be"},
           {"grpo:4+mask", "C must be a positive number after +mask"},
           {"grpo:4+seq-mean:2", "+seq-mean takes no argument"},
           {"grpo:4+seq-mean+const", "has both +seq-mean and +const, of which one is enough"},
           {"grpo:4+is-token+seq-mean", "+seq-mean stands before +is-token"},
           {"reinforce+dynamic", "weighs no groups that could be drawn again"},
           {"topr:4+is-token", "topr has importance weights of its own"},
           {"ppo-clip:0.2+is-token", "ppo-clip has importance weights of its own"},
           {"kl:k3-loss+seq-mean", "kl weighs no scores"},
           {"kl:k4", "VARIANT must be one of k1-reward"},
           {"pkpo:4", "K must be a whole number from 1 to G"},
           {"pkpo:4:5", "K must be"},
           {"pkpo:4:4:loo", "K must be"},
           {"pkpo:4:2:best", "K must be"},
           {"trl-dapo", "G must be a whole number of at least 2, as in trl-dapo:8"},
           {"trl-dapo:1", "G must be"}})
    EXPECT_NE(refusal(name).find(sentence), std::string::npos) << "'" << name << "': " << refusal(name);
}

}  // namespace
}  // namespace lowvar
