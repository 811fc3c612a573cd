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
  EXPECT_EQ(c.dynamics, world.dynamics);
}

/// One choice, which pays its number.
struct Choice {
  struct State {
    double x;
  };
  using Action = int;
  static constexpr int actions = 2, observation = 1;
  State reset(Rng&) const { return {1}; }
  Step<State> step(const State& s, int action, Rng&) const { return {s, static_cast<double>(action), true}; }
  void observe(const State& s, std::span<double> out) const { out[0] = float32(s.x); }
};

/// What is known of it.
struct ChoiceKnown {
  double pays = 1;
};

double probability_of_one(const Policy& policy, const Parameters& theta) {
  const Observations seen = full<double>(1, 1, 1.0);
  return probabilities(policy, theta, {{}, &seen})(0, 1);
}

const WorldModel choice_model{
    .describes = [](const World& world) { return std::any_cast<ChoiceKnown>(&world.model) != nullptr; },
    .policy = unknown_model.policy,
    .unsuitable = [](const World&, const Policy&, const Parameters&) { return std::string(); },
    .critic = nullptr,
    .constants = nullptr,
    .exact_return =
        [](const World& world, const Policy& policy, const Parameters& theta) {
          return std::any_cast<ChoiceKnown>(world.model).pays * probability_of_one(policy, theta);
        },
    .ask =
        [](const OracleQuestion& q) {
          OracleAnswer out;
          for (std::size_t i = 0; i < q.theta.size(); ++i)
            for (std::size_t j = 0; j < q.theta[i].size(); ++j) {
              Parameters more = q.theta, less = q.theta;
              more[i].data()[j] += 1e-5, less[i].data()[j] -= 1e-5;
              out.truth.gradient.push_back(
                  (probability_of_one(q.policy, more) - probability_of_one(q.policy, less)) / 2e-5);
            }
          return out;
        }};

/// A kind of model that the library does not know answers like those that it does.
TEST(Models, AModelIsAddedFromOutside) {
  add_model(choice_model);
  World world = environment_world("choice", Choice{}, 1.0, 1);
  EXPECT_FALSE(world.known());
  EXPECT_EQ(&model_of(world), &unknown_model);
  world.model = ChoiceKnown{};
  EXPECT_TRUE(world.known());
  ASSERT_EQ(&model_of(world), &choice_model);
  EXPECT_EQ(&model_of(make_world("chain", {}, {})), &tabular_model);

  const PolicyChoice choice = make_policy(world, "init:3");
  const double p = probability_of_one(choice.policy, choice.theta);
  EXPECT_EQ(exact_return(world, choice.policy, choice.theta), p);
  const Estimator e = make_estimator("reinforce");
  const auto known =
      ask_oracle(world, choice.policy, choice.theta, choice.theta, e, std::nullopt).truth.gradient;
  const Trajectories batch = world.sample(choice.policy, choice.theta, 1, {1, "test", 0, 64});
  const auto g = policy_gradient_estimate(e, choice.policy, choice.theta, batch, {});
  double share = 0;  // of the trajectories that chose 1, over the probability of it: the scores are all alike
  for (const int a : batch.action) share += a / 64.0 / p;
  ASSERT_EQ(known.size(), g.size());
  for (std::size_t i = 0; i < g.size(); ++i) EXPECT_NEAR(g[i], share * known[i], 1e-8) << i;
}

}  // namespace
}  // namespace lowvar
