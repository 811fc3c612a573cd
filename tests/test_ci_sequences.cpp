// Sampled groups of answers against their exact moments: 4e5 groups of four, on-policy and on data of another
// policy, at a family-wise error of 1e-6 each; and faults that have to be noticed.
#include <gtest/gtest.h>

#include "sampled_against_exact.h"

namespace lowvar {
namespace {

constexpr long groups = 400'000;

TEST(CiSequences, SampledGroupsAgreeWithEveryGroup) {
  const World world = make_world("seq-31", {}, {});
  const PolicyChoice pi = make_policy(world, "reference");
  const std::vector<std::string> names = {"rloo:4",
                                          "mean:4+const",
                                          "grpo:4+seq-mean",
                                          "grpo:4+token-mean",
                                          "opo:4",
                                          "opo-loo:4",
                                          "whiten:4+token-mean",
                                          "maxrl:4",
                                          "gpg:4",
                                          "pkpo:4:2:loo1",
                                          "best-second:4",
                                          "grpo:4+token-mean+dynamic",
                                          "reinforce",
                                          "reinforce-optimal",
                                          "remax",
                                          "kl:k1-togo",
                                          "kl:k3-loss",
                                          "kl:rao-blackwell",
                                          "kl:full-vocabulary"};
  expect_agreement(compare(world, pi, FittedCritic{}, made(names), names, 4 * groups, 41), "on-policy");
}

TEST(CiSequences, SampledGroupsOfAnotherPolicyAgreeWithEveryGroup) {
  const World world = make_world("seq-31", {}, {});
  const PolicyChoice pi = make_policy(world, "kappa:2"), mu = make_policy(world, "reference");
  const std::vector<std::string> names = {"rloo:4+is-none",
                                          "rloo:4+is-sequence",
                                          "rloo:4+mask:2",
                                          "rloo:4+is-cumulative",
                                          "grpo:4+seq-mean+clip:0.2:0.2",
                                          "grpo:4+token-mean+dynamic+clip:0.2:0.28",
                                          "grpo:4+token-mean+cispo:1.28",
                                          "grpo:4+seq-mean+gspo:0.0003:0.0004",
                                          "topr:4",
                                          "reinforce+is-sequence"};
  expect_agreement(compare(world, pi, FittedCritic{}, made(names), names, 4 * groups, 42, 32, &mu.theta),
                   "off-policy");
}

TEST(CiSequences, NetworksOverPrefixesAgreeWithEveryAnswer) {
  const World world = make_world("seq-31", {}, {});
  for (const char* policy : {"gru:1:6", "attention:1:6"}) {
    const std::vector<std::string> names = {"rloo:4", "grpo:4+seq-mean", "reinforce", "kl:k3-loss"};
    expect_agreement(
        compare(world, make_policy(world, policy), FittedCritic{}, made(names), names, 40'000, 43), policy);
  }
}

TEST(CiSequences, PlantedFaultsAreNoticed) {
  const World world = make_world("seq-31", {}, {});
  const PolicyChoice pi = make_policy(world, "kappa:2"), mu = make_policy(world, "reference");
  // What is sampled, and what the oracle is asked for in its place: a clip on the wrong side, a missing
  // length, the mean that counts its own answer, groups that are not drawn again.
  for (const auto& [sampled, asked] : std::vector<std::pair<std::string, std::string>>{
           {"grpo:4+seq-mean+clip:0.1:0.5", "grpo:4+seq-mean+clip:0.5:0.1"},
           {"grpo:4+seq-mean+is-token", "grpo:4+is-token"},
           {"rloo:4+is-none", "mean:4+is-none"},
           {"grpo:4+dynamic+is-none", "grpo:4+is-none"}}) {
    const Deviation d =
        compare(world, pi, FittedCritic{}, made({sampled}), {asked}, 4 * groups, 44, 32, &mu.theta);
    EXPECT_GT(std::max(d.mean, d.variance), 1) << sampled << " for " << asked;
  }
}

}  // namespace
}  // namespace lowvar
