// Planning against published values, by routes that share little, and on models learned from episodes; the
// linear solver beneath.
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "algorithms/exact/dynamic_programming.h"
#include "algorithms/exact/tabular.h"
#include "core/blas.h"
#include "core/random.h"

namespace lowvar {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

constexpr double kTolerance = 1e-10;

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

double value_start(const Mdp& mdp, const Plan& plan) {
  double value = 0;
  for (int s = 0; s < mdp.S; ++s) value += mdp.start[at(s)] * plan.values[at(s)];
  return value;
}

/// The largest difference of two tables of values, relative to the largest value.
double distance(const std::vector<double>& V, const std::vector<double>& W) {
  double away = 0, scale = 0;
  for (std::size_t s = 0; s < V.size(); ++s) {
    away = std::max(away, std::abs(V[s] - W[s]));
    scale = std::max(scale, std::abs(W[s]));
  }
  return away / scale;
}

Array<double> table(const Mdp& mdp, const std::vector<int>& policy) {
  Array<double> pi = zeros<double>(mdp.S, mdp.A);
  for (int s = 0; s < mdp.S; ++s) pi(s, policy[at(s)]) = 1;
  return pi;
}

Mdp with_gamma(Mdp mdp, double gamma) {
  mdp.gamma = gamma;
  return mdp;
}
Mdp with_horizon(Mdp mdp, int T) {
  mdp.T = T;
  return mdp;
}

/// 50 of many sizes and discounts.
std::vector<Mdp> garnets() {
  std::vector<Mdp> all;
  for (int i = 0; i < 50; ++i)
    all.push_back(
        with_gamma(garnet(2 + i, 1 + i % 5, 1 + i % 2, static_cast<std::uint64_t>(i)), 0.02 * (i % 50)));
  return all;
}

std::vector<Mdp> grids() {
  return {frozen_lake_4x4(), frozen_lake_8x8(),   cliff_walking(), four_rooms(),
          windy_grid(),      bombs_and_bitcoin(), chain(),         frozen_lake_random(12, 3)};
}

// ---- The linear solver ----

TEST(Solve, SolvesSystemsOfManyColumns) {
  for (const int n : {1, 2, 3, 7, 64, 129})
    for (const int columns : {1, 2, 5}) {
      Rng rng(1, "solve", static_cast<std::uint32_t>(n), static_cast<std::uint32_t>(columns));
      Array<double> A = zeros<double>(n, n), B = zeros<double>(n, columns);
      for (double& x : values(A)) x = rng.normal();
      for (double& x : values(B)) x = rng.normal();
      Array<double> destroyed = A, X = B;
      solve(n, columns, destroyed.data(), X.data());
      for (int i = 0; i < n; ++i)
        for (int j = 0; j < columns; ++j) {
          double sum = 0, size = 0;
          for (int k = 0; k < n; ++k) sum += A(i, k) * X(k, j), size += std::abs(A(i, k) * X(k, j));
          EXPECT_NEAR(sum, B(i, j), 1e-14 * n * size) << n << "x" << columns;
        }
    }
  solve(0, 1, static_cast<double*>(nullptr), nullptr);
}

TEST(Solve, RefusesASingularMatrix) {
  std::vector<double> A{1, 2, 2, 4}, b{1, 1};
  EXPECT_EQ(message_of([&] { solve(2, 1, A.data(), b.data()); }),
            "a linear system of 2 equations is singular: pivot 2 is zero");
}

TEST(Solve, GivesTheSameBitsForAnyNumberOfThreads) {
  const int n = 300, before = omp_get_max_threads();
  Rng rng(2, "solve");
  Array<double> A = zeros<double>(n, n), b = zeros<double>(n, 1);
  for (double& x : values(A)) x = rng.normal();
  for (double& x : values(b)) x = rng.normal();
  std::vector<Array<double>> results;
  for (const int threads : {1, 2, 4}) {
    omp_set_num_threads(threads);
    Array<double> destroyed = A, x = b;
    solve(n, 1, destroyed.data(), x.data());
    EXPECT_EQ(omp_get_max_threads(), threads);
    results.push_back(x);
  }
  omp_set_num_threads(before);
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

// ---- The infinite horizon ----

TEST(Planning, FindsThePublishedValues) {
  const std::pair<Mdp, double> known[] = {
      {frozen_lake_4x4(), 0.54202593}, {frozen_lake_8x8(), 0.41464036}, {cliff_walking(), -12.24789770}};
  for (const auto& [mdp, value] : known) {
    EXPECT_NEAR(value_start(mdp, value_iteration(mdp)), value, 5e-9);
    EXPECT_NEAR(value_start(mdp, modified_policy_iteration(mdp)), value, 5e-9);
    EXPECT_NEAR(value_start(mdp, policy_iteration(mdp)), value, 5e-9);
  }
  EXPECT_EQ(policy_iteration(frozen_lake_4x4()).policy,
            (std::vector<int>{0, 3, 3, 3, 0, 0, 0, 0, 3, 1, 0, 0, 0, 2, 1, 0}));
}

TEST(Planning, AllRoutesAgree) {
  std::vector<Mdp> all = garnets();
  for (Mdp& grid : grids()) all.push_back(std::move(grid));
  for (const Mdp& mdp : all) {
    const Plan linear = policy_iteration(mdp);
    EXPECT_LT(distance(stationary_values(mdp, table(mdp, linear.policy)), linear.values), kTolerance);
    for (const long sweeps : {1L, 2L, 7L, std::numeric_limits<long>::max()}) {
      const Plan plan = modified_policy_iteration(mdp, sweeps);
      EXPECT_LT(distance(plan.values, linear.values), kTolerance) << mdp.S << " states, " << sweeps;
      EXPECT_EQ(plan.policy, linear.policy) << mdp.S << " states, " << sweeps;
    }
  }
}

TEST(Planning, NoPolicyIsBetter) {
  for (const Mdp& mdp : garnets()) {
    const Plan plan = policy_iteration(mdp);
    for (int s = 0; s < mdp.S; ++s)
      for (int a = 0; a < mdp.A; ++a) {
        std::vector<int> other = plan.policy;
        other[at(s)] = a;
        const auto V = stationary_values(mdp, table(mdp, other));
        for (int from = 0; from < mdp.S; ++from)
          EXPECT_LE(V[at(from)], plan.values[at(from)] + 1e-12 * (1 + std::abs(plan.values[at(from)])));
      }
  }
}

TEST(Planning, PlantedFaultsAreNoticed) {
  for (const Mdp& mdp : {frozen_lake_4x4(), cliff_walking(), garnet(20, 3, 2, 9)}) {
    const std::vector<double> V = value_iteration(mdp).values;
    const auto caught = [&](const Mdp& wrong) {
      return distance(policy_iteration(wrong).values, V) > 100 * kTolerance;
    };
    EXPECT_FALSE(caught(mdp));
    EXPECT_TRUE(caught(with_gamma(mdp, mdp.gamma * (1 - 1e-7)))) << "discount";
    Mdp paid = mdp;
    for (Outcome& o : paid.outcome_list) o.reward *= 1 + 1e-7;
    EXPECT_TRUE(caught(paid)) << "rewards";
    Mdp end = mdp;
    end.gamma = 1;
    for (Outcome& o : end.outcome_list) o.probability *= mdp.gamma * (1 - 1e-7);
    EXPECT_GT(distance(backward_induction(with_horizon(end, 5000)).values, V), 100 * kTolerance) << "P";
    const int too_short = value_iteration(mdp).iterations / 2;
    EXPECT_GT(distance(backward_induction(with_horizon(mdp, too_short)).values, V), 100 * kTolerance)
        << "stopped early";
    std::vector<int> worse = policy_iteration(mdp).policy;
    const auto first =
        static_cast<std::size_t>(std::max_element(mdp.start.begin(), mdp.start.end()) - mdp.start.begin());
    worse[first] = (worse[first] + 1) % mdp.A;
    EXPECT_GT(distance(stationary_values(mdp, table(mdp, worse)), V), 100 * kTolerance) << "policy";
  }
}

TEST(Planning, TiesGoToTheLowestActionAndNotToRounding) {
  // Three ways to 1, by sums that differ in their last bits.
  const Mdp mdp = make_mdp(3, 3, 0.9, 1, {1, 0, 0}, {0, 0, 1}, [](int s, int a) {
    if (s == 1) return std::vector<Outcome>{{1, 0.5, 1}, {2, 0.5, 1}};
    if (a == 0) return std::vector<Outcome>{{2, 0.7, 1 - 2e-16}, {0, 0.3, 0}};
    if (a == 1) return std::vector<Outcome>{{2, 0.4, 1 + 2e-16}, {0, 0.3, 0}, {1, 0.3, 1 - 0.9 / 0.55}};
    return std::vector<Outcome>{{2, 0.7, 1 + 1e-6}, {0, 0.3, 0}};
  });
  EXPECT_EQ(policy_iteration(mdp).policy[0], 2);
  Mdp equal = mdp;
  for (Outcome& o : equal.outcome_list)
    if (o.reward == 1 + 1e-6) o.reward = 1;
  EXPECT_EQ(policy_iteration(equal).policy[0], 0);
  EXPECT_EQ(value_iteration(equal).policy[0], 0);
  EXPECT_EQ(backward_induction(with_horizon(equal, 2000)).policy[0], 0);
}

TEST(StationaryValues, AreTheLimitOfLongHorizons) {
  for (const Mdp& mdp : garnets()) {
    const Array<double> uniform = full(mdp.S, mdp.A, 1.0 / mdp.A);
    const Array<double> V = state_values(with_horizon(mdp, 3000), uniform);
    EXPECT_LT(distance(stationary_values(mdp, uniform), {row(V, 0).begin(), row(V, 0).end()}), 1e-12);
  }
}

// ---- gamma = 1 ----

TEST(TotalReward, HasItsKnownValues) {
  // Always L: 8200 = 10 (9^4 - 1) / (9 - 1) visits of state 0 (the gambler's ruin), and 1 at the end.
  const std::pair<Mdp, double> known[] = {
      {chain(), 0.2 * 8200 + 1}, {frozen_lake_4x4(), 14.0 / 17}, {windy_grid(), -15}, {cliff_walking(), -13}};
  for (const auto& [world, value] : known) {
    const Mdp mdp = with_gamma(world, 1);
    const auto close = [&](const Plan& plan) {
      EXPECT_NEAR(value_start(mdp, plan), value, kTolerance * std::abs(value));
      EXPECT_LT(distance(stationary_values(mdp, table(mdp, plan.policy)), plan.values), kTolerance);
    };
    close(value_iteration(mdp));
    close(modified_policy_iteration(mdp, 4));
    close(policy_iteration(mdp));
  }
}

TEST(TotalReward, ThePolicyEndsWhereWaitingIsAsGood) {
  // Staying pays nothing, so that at gamma = 1 it is worth as much as going; it comes first.
  const Mdp mdp = make_mdp(3, 2, 1, 1, {1, 0, 0}, {0, 0, 1}, [](int s, int a) {
    return std::vector<Outcome>{{a == 0 ? s : s + 1, 1, s == 1 && a == 1 ? 5.0 : 0.0}};
  });
  for (const Plan& plan : {value_iteration(mdp), policy_iteration(mdp)}) {
    EXPECT_EQ(plan.values, (std::vector<double>{5, 5, 0}));
    EXPECT_EQ(plan.policy, (std::vector<int>{1, 1, 0}));
  }
  EXPECT_EQ(stationary_values(mdp, table(mdp, {0, 0, 0})), (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(stationary_values(mdp, table(mdp, {1, 0, 0})), (std::vector<double>{0, 0, 0}));
}

TEST(TotalReward, RefusesWhatHasNoValue) {
  EXPECT_EQ(message_of([] { value_iteration(with_gamma(garnet(5, 2, 2, 0), 1)); }),
            "at gamma = 1 an infinite horizon needs a way to a terminal state from every state, and state 0 "
            "has none");
  const Mdp bounty = make_mdp(2, 2, 1, 1, {1, 0}, {0, 1}, [](int, int a) {
    return std::vector<Outcome>{{a, 1, 1}};  // stay and be paid, or end
  });
  EXPECT_EQ(message_of([&] { policy_iteration(bounty); }),
            "at gamma = 1 the policy has no value on an infinite horizon: from state 0 it never ends");
  EXPECT_EQ(message_of([&] { value_iteration(bounty); }),
            "the values still change by 1 after 10000000 sweeps at gamma = 1; policy iteration by linear "
            "solve, a smaller gamma or a finite horizon gives an answer");
  EXPECT_EQ(backward_induction(with_horizon(bounty, 7)).values[0], 7);
}

// ---- The finite horizon ----

TEST(BackwardInduction, IsTheBestOfAllPlans) {
  // All plans of 3 steps on 2 states, a policy a step.
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    const Mdp mdp = with_horizon(with_gamma(garnet(2, 2, 2, seed), 0.7), 3);
    std::vector<double> best(2, -1e9);
    for (int plan = 0; plan < 64; ++plan) {
      std::vector<double> V(2);
      for (int t = 2; t >= 0; --t) {
        std::vector<double> now(2);
        for (int s = 0; s < 2; ++s)
          for (const Outcome& o : mdp.outcomes(s, plan >> (2 * t + s) & 1))
            now[at(s)] += o.probability * (o.reward + 0.7 * V[at(o.next)]);
        V = now;
      }
      for (std::size_t s = 0; s < 2; ++s) best[s] = std::max(best[s], V[s]);
    }
    const Plan plan = backward_induction(mdp);
    EXPECT_LT(distance(plan.values, best), 1e-14);
    EXPECT_EQ(plan.iterations, 3);
  }
}

TEST(BackwardInduction, TendsToTheInfiniteHorizon) {
  std::vector<Mdp> all = garnets();
  for (Mdp& grid : grids()) all.push_back(std::move(grid));
  for (const Mdp& mdp : all) {
    const Plan endless = policy_iteration(mdp), finite = backward_induction(with_horizon(mdp, 4000));
    EXPECT_LT(distance(finite.values, endless.values), kTolerance);
    EXPECT_EQ(finite.policy, endless.policy);
  }
  // The cliff takes 13 steps.
  EXPECT_NEAR(backward_induction(with_horizon(cliff_walking(), 12)).values[36],
              -(1 - std::pow(0.99, 12)) / 0.01, 1e-13);
  EXPECT_NEAR(backward_induction(with_horizon(cliff_walking(), 13)).values[36], -12.24789770, 5e-9);
  EXPECT_NEAR(backward_induction(with_horizon(cliff_walking(), 14)).values[36], -12.24789770, 5e-9);
}

// ---- The learned model ----

TEST(LearnedModel, ConvergesToTheOptimum) {
  for (const Mdp& mdp : {frozen_lake_4x4(), cliff_walking(), chain(), garnet(10, 3, 3, 4)}) {
    const Plan best = policy_iteration(mdp), finite = backward_induction(mdp);
    double last = -1e9;
    for (const long episodes : {30L, 1000L, 20'000L}) {
      const Plan plan = plan_on_learned_model(mdp, episodes, 5, false);
      for (int s = 0; s < mdp.S; ++s)
        EXPECT_LE(plan.values[at(s)], best.values[at(s)] + 1e-9) << "no plan beats the optimum";
      EXPECT_GE(value_start(mdp, plan), last - 1e-9);
      last = value_start(mdp, plan);
      EXPECT_LE(value_start(mdp, plan_on_learned_model(mdp, episodes, 5, true)),
                value_start(mdp, finite) + 1e-9);
    }
    EXPECT_NEAR(last, value_start(mdp, best), 2e-3 * std::abs(value_start(mdp, best)));
    EXPECT_NEAR(value_start(mdp, plan_on_learned_model(mdp, 20'000, 5, true)), value_start(mdp, finite),
                2e-3 * std::abs(value_start(mdp, finite)));
  }
  for (const Mdp& mdp : {frozen_lake_4x4(), cliff_walking()})
    EXPECT_NEAR(value_start(mdp, plan_on_learned_model(mdp, 20'000, 5, false)),
                value_start(mdp, policy_iteration(mdp)), 1e-9);
}

TEST(LearnedModel, CountsWhatItSees) {
  const Mdp mdp = frozen_lake_4x4(), model = learn_model(mdp, 50'000, 1);
  EXPECT_EQ(model.terminal, mdp.terminal);
  for (int s = 0; s < mdp.S; ++s)
    for (int a = 0; a < mdp.A; ++a) {
      const auto truth = mdp.outcomes(s, a), learned = model.outcomes(s, a);
      ASSERT_EQ(learned.size(), truth.size());
      for (std::size_t k = 0; k < truth.size(); ++k) {
        EXPECT_EQ(learned[k].next, truth[k].next);
        EXPECT_EQ(learned[k].reward, truth[k].reward);
        EXPECT_NEAR(learned[k].probability, truth[k].probability, 0.05);
      }
    }
  const auto numbers = [&](std::uint64_t seed) {
    std::vector<double> p;
    for (const Outcome& o : learn_model(mdp, 50, seed).outcome_list) p.push_back(o.probability);
    return p;
  };
  EXPECT_EQ(numbers(3), numbers(3));
  EXPECT_NE(numbers(3), numbers(4));
}

TEST(LearnedModel, AssumesTheWorstOfWhatItHasNotSeen) {
  // A corridor 0 -> 1 -> ... -> 5 (terminal), one step an action; the lowest reward is -3, from 1 to 2.
  const auto corridor = [](double low) {
    return make_mdp(6, 2, 0.5, 3, {1, 0, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 1}, [=](int s, int) {
      return std::vector<Outcome>{{s + 1, 1, s == 1 ? low : 1.0}};
    });
  };
  const Mdp one = learn_model(corridor(-3), 1, 0);  // one episode: one of the actions in 0, 1, 2
  EXPECT_EQ(one.terminal, (std::vector<char>{0, 0, 0, 0, 1, 1})) << "4 was never seen";
  for (int s = 0; s < 4; ++s) {
    int unknown = 0;
    for (int a = 0; a < 2; ++a) {
      const Outcome o = one.outcomes(s, a).front();
      ASSERT_EQ(one.outcomes(s, a).size(), 1u);
      EXPECT_EQ(o.probability, 1);
      if (o.next != s) continue;
      ++unknown;
      EXPECT_EQ(o.reward, -3);
    }
    EXPECT_EQ(unknown, s == 3 ? 2 : 1) << "state " << s;
  }
  for (const Outcome& o : learn_model(corridor(2), 1, 0).outcome_list)
    EXPECT_TRUE(o.reward > 0 || o.reward == 0) << "no reward below 0 was seen";
  EXPECT_EQ(learn_model(corridor(2), 1, 0).outcomes(3, 0).front().reward, 0);
  EXPECT_THROW(learn_model(corridor(0), 0, 0), Error);
  EXPECT_NE(message_of([&] {
              plan_on_learned_model(with_gamma(corridor(-3), 1), 1, 0, false);
            }).find("the model learned from 1 episodes: at gamma = 1 an infinite horizon needs"),
            std::string::npos);
}

// ---- Bad input ----

TEST(Planning, RefusesWhatItCannotPlan) {
  Mdp huge = chain();
  for (Outcome& o : huge.outcome_list) o.reward = 1e308;
  EXPECT_THROW(value_iteration(huge), NumericalFault);
  EXPECT_THROW(policy_iteration(huge), NumericalFault);
  EXPECT_THROW(backward_induction(huge), NumericalFault);
  EXPECT_THROW(value_iteration(with_gamma(chain(), 1.5)), Error);
  EXPECT_THROW(backward_induction(with_horizon(chain(), 0)), Error);
  EXPECT_THROW(modified_policy_iteration(chain(), 0), Error);
  EXPECT_THROW(stationary_values(chain(), zeros<double>(5, 2)), Error);
  const Mdp large = garnet(5001, 1, 1, 0);
  EXPECT_EQ(message_of([&] { policy_iteration(large); }),
            "a linear solve over 5001 states is too large, at most 5000; value iteration needs none");
  EXPECT_EQ(value_iteration(large).values.size(), 5001u);
}

TEST(Planning, NothingToGainIsAPlanToo) {
  const Mdp nothing = make_mdp(2, 2, 0.9, 3, {1, 0}, {0, 0}, [](int s, int) {
    return std::vector<Outcome>{{1 - s, 1, 0}};
  });
  const Mdp over = make_mdp(1, 1, 1, 1, {1}, {1}, [](int, int) { return std::vector<Outcome>{}; });
  for (const Mdp& mdp : {nothing, over})
    for (const Plan& plan : {value_iteration(mdp), policy_iteration(mdp), backward_induction(mdp)}) {
      EXPECT_EQ(plan.values, std::vector<double>(at(mdp.S)));
      EXPECT_EQ(plan.policy, std::vector<int>(at(mdp.S)));
    }
}

}  // namespace
}  // namespace lowvar
