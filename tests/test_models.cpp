// What is known of a world, and of which policies: everything else gets a reason, or a sentence.
#include <gtest/gtest.h>

#include "experiments/worlds.h"

namespace lowvar {
namespace {

PolicyChoice network(const World& world, int inputs) {
  const int outputs = world.A ? world.A : world.m;
  const Policy policy{Mlp{.sizes = {inputs, 8, outputs}}, world.A ? Head::softmax : Head::gaussian};
  Rng rng(1, "network");
  return {policy, initialise(policy, rng)};
}

std::string message_of(const auto& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Models, OraclesAnswerPoliciesOfAnotherKindWithAReason) {
  for (const std::string id : {"single-integrator", "double-integrator", "chain", "CartPole-v1"}) {
    const World world = make_world(id, {}, {});
    const PolicyChoice other = network(world, std::max(1, world.observation));
    for (const std::string name : {"reinforce", "togo", "gae:0.9"}) {
      const auto answer =
          ask_oracle(world, other.policy, other.theta, other.theta, make_estimator(name), FittedCritic{}, 32);
      EXPECT_TRUE(answer.truth.gradient.empty() && answer.truth.variance.empty()) << id;
      EXPECT_NE(answer.reason, "") << id;
    }
    EXPECT_NE(message_of([&] { exact_return(world, other.policy, other.theta); }), "") << id;
    EXPECT_NE(message_of([&] { make_critic(world, other, "exact", 0, 0); }).find("needs a world whose model"),
              std::string::npos)
        << id;
    EXPECT_NE(make_critic(world, other, "zero", 0, 0).critic, nullptr) << id;
    EXPECT_NE(message_of([&] { make_constants(world, other, 0, 0); }), "") << id;
  }
  const World lake = make_world("FrozenLake-v1", {}, {}), chain = make_world("chain", {}, {});
  const PolicyChoice of_chain = make_policy(chain, "uniform");
  EXPECT_NE(message_of([&] { table_of(lake, of_chain.policy, of_chain.theta); }), "");
}

TEST(Models, PoliciesOfTheirOwnKindAreKnown) {
  for (const std::string id : {"single-integrator", "chain"}) {
    const World world = make_world(id, {}, {});
    const PolicyChoice own = make_policy(world, "reference");
    const auto answer =
        ask_oracle(world, own.policy, own.theta, own.theta, make_estimator("togo"), FittedCritic{}, 32);
    EXPECT_EQ(answer.reason, "") << id;
    EXPECT_FALSE(answer.truth.gradient.empty() || answer.truth.variance.empty()) << id;
    EXPECT_EQ(exact_return(world, own.policy, own.theta), make_constants(world, own, 0, 0).J) << id;
  }
}

TEST(Models, ConstantsOfAPolicyThatTheOracleDoesNotKnowAreThoseOfAPilot) {
  const World world = make_world("double-integrator", {}, 4);
  const PolicyChoice other = network(world, 2);
  const Constants c = make_constants(world, other, 200, 1),
                  pilot = pilot_constants(world, other.policy, other.theta, 200, 1);
  EXPECT_EQ(c.J, pilot.J);
  EXPECT_EQ(c.b_star, pilot.b_star);
  EXPECT_EQ(c.dynamics, world.lqg);
}

}  // namespace
}  // namespace lowvar
