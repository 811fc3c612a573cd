// Studies as values: what a measurement and the oracle say of the same subject, and how it is looked up.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"
#include "experiments/study.h"

namespace lowvar {
namespace {

Subject chain(const std::vector<std::string>& estimators) {
  Subject subject;
  subject.env = "chain";
  subject.world = make_world("chain", {}, {});
  subject.policy_name = subject.behaviour_name = "reference";
  subject.policy = subject.behaviour = make_policy(subject.world, "reference");
  subject.value = "scaled:0.5";
  for (const auto& name : estimators) subject.estimators.push_back(make_estimator(name));
  return subject;
}

const MomentRow& row(const EstimatorResult& of, const std::string& quantity) {
  const auto found = std::find_if(of.moments.begin(), of.moments.end(),
                                  [&](const MomentRow& each) { return each.quantity.name == quantity; });
  EXPECT_NE(found, of.moments.end()) << quantity;
  return *found;
}

TEST(Study, MeasuredAndExactSpeakOfTheSameSubject) {
  const Subject subject = chain({"reinforce", "gae:0.95", "rloo:4"});
  const VarianceResult measured =
      study_variance({.subject = subject, .trajectories = 4000, .relative_to = 1});
  const ExactResult exact = study_exact(subject);
  EXPECT_EQ(measured.env, "chain");
  EXPECT_EQ(measured.n, 4000);
  ASSERT_EQ(measured.estimators.size(), 3u);
  ASSERT_EQ(exact.estimators.size(), 3u);
  EXPECT_EQ(exact.gradient.size(), 10u);
  for (std::size_t e = 0; e < 3; ++e) {
    const EstimatorResult& of = measured.estimators[e];
    EXPECT_EQ(of.name, exact.estimators[e].estimator);
    EXPECT_EQ(row(of, "trace_cov").quantity.exact, exact.estimators[e].trace_cov);
    EXPECT_EQ(row(of, "trace_cov").unit, e == 2 ? "group of 4 trajectories" : "trajectory");
    EXPECT_EQ(row(of, "cosine").unit, "batch of 32 trajectories");
    EXPECT_EQ(row(of, "env_steps").unit, "trajectory");
    ASSERT_EQ(of.parameters.size(), 10u);
    ASSERT_EQ(of.layers.size(), 1u);
    double trace = 0, exact_trace = 0;
    for (const auto& p : of.parameters) trace += p.variance.value, exact_trace += *p.exact_variance;
    EXPECT_NEAR(of.layers[0].trace_cov.value, trace, 1e-12 * trace);
    EXPECT_NEAR(row(of, "trace_cov").quantity.sampled.value, trace, 1e-12 * trace);
    EXPECT_NEAR(*of.layers[0].exact, exact_trace, 1e-12 * exact_trace);
  }
  EXPECT_EQ(row(measured.estimators[1], "ratio:gae:0.95").quantity.sampled.value, 1);
}

TEST(Study, RefusesBeforeItMeasures) {
  EXPECT_THROW(check({.subject = chain({"rloo:3"}), .trajectories = 100}), Error);
  EXPECT_NO_THROW(check({.subject = chain({"rloo:4"}), .trajectories = 100}));
  Subject nonsense = chain({"togo"});
  nonsense.value = "perfect";
  EXPECT_THROW(check({.subject = nonsense}), Error);
}

TEST(Study, ALineupIsLookedUpByName) {
  const Subject subject = chain({"togo", "reinforce"});
  Lineup lineup;
  for (const auto& e : subject.estimators) lineup.add(e, subject.policy.theta, {});
  EXPECT_EQ(lineup.at("togo"), 0);
  EXPECT_EQ(lineup.at("reinforce"), 1);
  EXPECT_THROW(lineup.at("td"), Error);
  const Measured measured = measure(subject.world, subject.policy.policy, subject.policy.theta, lineup.rungs,
                                    nullptr, {}, {.trajectories = 100});
  const auto of = lineup.quantities(measured, lineup.at("togo"), "reinforce");
  EXPECT_GT(named(of, "ratio:reinforce").sampled.value, 0);
  EXPECT_THROW(named(of, "ratio:togo"), Error);
  EXPECT_THROW(named(of, "bias_norm"), Error) << "no gradient is known";
}

TEST(Study, HeavyTailsAreWarnedOf) {
  VarianceResult result;
  EstimatorResult& togo = result.estimators.emplace_back();
  togo.name = "togo";
  MomentRow& share = togo.moments.emplace_back();
  share.quantity = {"largest_share", {0.05, 0}, {}};
  EXPECT_EQ(warnings(result), "");
  share.quantity.sampled.value = 0.16;
  EXPECT_TRUE(warnings(result).starts_with("warning: togo: one trajectory is 16 % of")) << warnings(result);
}

}  // namespace
}  // namespace lowvar
