// Derivatives along paths: held to finite differences of whole rollouts, and to the score function, whose
// mean is the same where outcomes do not jump. Every comparison of samples holds at a family-wise error of
// 1e-6, with fixed seeds.
#include <gtest/gtest.h>
#include <omp.h>

#include <bit>
#include <cmath>

#include "algorithms/estimators/gradient.h"
#include "envs/ball_and_wall.h"
#include "envs/classic_control.h"
#include "envs/double_pendulum.h"
#include "envs/lqr.h"
#include "experiments/models.h"
#include "sampled_against_exact.h"

namespace lowvar {
namespace {

/// A network of three units, whose log_std is `log_std`.
PolicyChoice small_network(const World& world, double log_std, std::uint64_t seed = 1) {
  const Policy pi{Mlp{.sizes = {world.observation, 3, world.m}}, Head::gaussian};
  Rng rng(seed, "policy-init");
  return {pi, initialise(pi, rng, log_std)};
}

Lqg noisy_lqg() {
  Lqg world = random_lqg(3, 2, 0.9, 4, 0.9, 8);
  for (int i = 0; i < 3; ++i) world.Sigma_w(i, i) = 0.1 + 0.1 * i;
  return world;
}

Array<double> estimates(const std::string& name, const World& world, const PolicyChoice& choice,
                        const Trajectories& batch, Constants c = {}) {
  c.gamma = world.gamma;
  c.dynamics = world.dynamics;
  c.differences = world.differences;
  const Estimator e = make_estimator(name);
  return estimate({&e}, choice.policy, choice.theta, batch, batch.offset, c).front();
}

// ---- finite differences ----

/// Where the path is cut, as a name says it.
struct Held {
  std::string name;
  int every = 0;
  bool policy = false, reward = false;
};

/// R of trajectory i of a batch at parameters theta, everything drawn, rounded or held staying as it was at
/// theta_0.
template <class E>
double moved_return(const E& env, const World& world, const PolicyChoice& at, const Parameters& theta,
                    const Trajectories& b, int i, const Held& held) {
  constexpr std::size_t n = sizeof(typename E::State) / sizeof(double), m = action_size<E>;
  using Numbers = std::array<double, n>;
  using State = typename E::State;
  const auto recorded = [&](int t) {
    const auto from = t < b.length(i) ? row(b.numbers, b.begin(i) + t) : row(b.final_numbers, i);
    Numbers s{};
    std::copy(from.begin(), from.end(), s.begin());
    return s;
  };
  const auto mean = [&](const Parameters& parameters, const std::vector<double>& seen) {
    const Array<double> observation = from_values<double>(1, world.observation, seen);
    std::array<double, m> a;
    ActingPolicy(at.policy, parameters, {}, &observation).act_greedily(0, a);
    return a;
  };
  const auto clipped = [&](std::array<double, m> a) {
    if (!world.any_action)
      for (std::size_t j = 0; j < m; ++j) a[j] = std::clamp(a[j], env.action_low[j], env.action_high[j]);
    return a;
  };
  double total = 0, discount = 1;
  Numbers s = recorded(0);
  for (int t = 0; t < b.length(i); ++t, discount *= world.gamma) {
    const int r = b.begin(i) + t;
    if (held.every && t % held.every == 0) s = recorded(t);
    const Numbers s_0 = recorded(t), to_0 = recorded(t + 1);
    const auto seen_0 = row(b.observation, r);
    std::vector<double> seen = seen_0;
    if (!held.policy) {
      const auto now = env.sight(std::bit_cast<State>(s)), then = env.sight(std::bit_cast<State>(s_0));
      for (std::size_t j = 0; j < seen.size(); ++j) seen[j] += now[j] - then[j];
    }
    const auto mean_0 = mean(at.theta, seen_0), mean_now = mean(theta, seen);
    std::array<double, m> a_0, a;
    for (std::size_t j = 0; j < m; ++j) {
      a_0[j] = b.action_vector(r, j);
      a[j] = mean_now[j] + std::exp(theta.back()(0, j) - at.theta.back()(0, j)) * (a_0[j] - mean_0[j]);
    }
    a_0 = clipped(a_0), a = clipped(a);
    const auto led_to = [&](const Numbers& from) {
      const auto now = std::bit_cast<Numbers>(env.next(std::bit_cast<State>(from), a)),
                 then = std::bit_cast<Numbers>(env.next(std::bit_cast<State>(s_0), a_0));
      Numbers to = to_0;
      for (std::size_t j = 0; j < n; ++j) to[j] += now[j] - then[j];
      return to;
    };
    const Numbers paid = held.reward ? s_0 : s;
    total += discount * env.reward(std::bit_cast<State>(paid), a, std::bit_cast<State>(led_to(paid)));
    s = led_to(s);
  }
  return total;
}

/// The largest distance of an estimate from the central difference, over its scale.
template <class E>
double distance_from_differences(const E& env, const World& world, const PolicyChoice& choice,
                                 const Trajectories& batch, const Held& held, const std::string& name) {
  const Array<double> g = estimates(name, world, choice, batch);
  double worst = 0;
  for (int i = 0; i < batch.size(); ++i) {
    double scale = 1e-3;
    for (const double x : row(g, i)) scale = std::max(scale, std::abs(x));
    int k = 0;
    for (std::size_t p = 0; p < choice.theta.size(); ++p)
      for (std::size_t j = 0; j < choice.theta[p].size(); ++j, ++k) {
        constexpr double h = 1e-6;
        Parameters up = choice.theta, down = choice.theta;
        up[p].data()[j] += h, down[p].data()[j] -= h;
        const double slope = (moved_return(env, world, choice, up, batch, i, held) -
                              moved_return(env, world, choice, down, batch, i, held)) /
                             (2 * h);
        worst = std::max(worst, std::abs(g(i, k) - slope) / scale);
      }
  }
  return worst;
}

const std::vector<Held> kCuts = {{"pathwise"},
                                 {"pathwise:1", 1},
                                 {"pathwise:3", 3},
                                 {"pathwise:1000", 1000},
                                 {"pathwise+stop-policy", 0, true},
                                 {"pathwise+stop-reward", 0, false, true},
                                 {"pathwise:4+stop-policy", 4, true}};

template <class E>
void expect_differences(const E& env, int T, double log_std) {
  const World world = environment_world("a-world", env, 0.9, T);
  const PolicyChoice choice = small_network(world, log_std);
  const Trajectories batch = world.sample(choice.policy, choice.theta, T, {3, "test", 0, 4});
  for (const Held& held : kCuts)
    EXPECT_LT(distance_from_differences(env, world, choice, batch, held, held.name), 2e-6)
        << typeid(E).name() << ", " << held.name;
}

TEST(Pathwise, IsTheDerivativeOfWholeRollouts) {
  expect_differences(Pendulum{}, 12, 0.5);  // so that some actions are clipped
  expect_differences(CartPoleBalance{}, 12, 0);
  expect_differences(FrictionCartPole{}, 12, 0);
  expect_differences(MountainCarContinuous{}, 12, 0);
  expect_differences(DoublePendulum{}, 12, 1);
  expect_differences(LqgEnvironment<3, 2>(noisy_lqg()), 8, 0);
  expect_differences(BallAndWallEnvironment{}, 1, -1);
}

TEST(Pathwise, StepsAfterTheEndOfAnEpisodePayNothing) {
  const CartPoleBalance env;
  const World world = environment_world("a-world", env, 0.9, 60);
  const PolicyChoice choice = small_network(world, 2);
  const Trajectories batch = world.sample(choice.policy, choice.theta, 60, {3, "test", 0, 4});
  int shortest = 60, longest = 0;
  for (int i = 0; i < batch.size(); ++i)
    shortest = std::min(shortest, batch.length(i)), longest = std::max(longest, batch.length(i));
  ASSERT_LT(shortest, longest);
  EXPECT_LT(distance_from_differences(env, world, choice, batch, {}, "pathwise"), 1e-5);
}

TEST(Pathwise, CutsAreNoticedWhereTheyAreNotMade) {
  const Pendulum env;
  const World world = environment_world("a-world", env, 0.9, 12);
  const PolicyChoice choice = small_network(world, 0.5);
  const Trajectories batch = world.sample(choice.policy, choice.theta, 12, {3, "test", 0, 4});
  for (const Held& held : kCuts) {
    if (held.name == "pathwise" || held.every == 1000) continue;
    EXPECT_GT(distance_from_differences(env, world, choice, batch, {}, held.name), 1e-3) << held.name;
  }
}

TEST(Pathwise, AnglesPastHalfATurnAreOnTheSideOfThePath) {
  const Pendulum env;
  const World world = environment_world("a-world", env, 0.99, 80);
  const PolicyChoice choice = small_network(world, 0.5);
  const Trajectories batch = world.sample(choice.policy, choice.theta, 80, {3, "test", 0, 8});
  double furthest = 0;
  for (const double each : values(batch.numbers)) furthest = std::max(furthest, std::abs(each));
  ASSERT_GT(furthest, 3.2);
  EXPECT_LT(distance_from_differences(env, world, choice, batch, {}, "pathwise"), 1e-4);
}

TEST(Pathwise, AWorldThatPaysTheSameWhateverIsDoneHasNone) {
  const World world = environment_world("a-world", FrictionCartPole{});
  const PolicyChoice choice = small_network(world, 0);
  const Trajectories batch = world.sample(choice.policy, choice.theta, world.T, {3, "test", 0, 4});
  const Array<double> g = estimates("pathwise", world, choice, batch);
  for (const double each : values(g)) EXPECT_EQ(each, 0);
}

TEST(Pathwise, FiniteDifferencesOfTheStepAgree) {
  const auto distance = [](const World& world, double log_std) {
    const PolicyChoice choice = small_network(world, log_std);
    const Trajectories batch = world.sample(choice.policy, choice.theta, world.T, {3, "test", 0, 4});
    const Array<double> exact = estimates("pathwise", world, choice, batch),
                        differences = estimates("pathwise-fd", world, choice, batch);
    double scale = 0, worst = 0;
    for (std::size_t k = 0; k < exact.size(); ++k) {
      scale = std::max(scale, std::abs(exact.data()[k]));
      worst = std::max(worst, std::abs(exact.data()[k] - differences.data()[k]));
    }
    return worst / scale;
  };
  EXPECT_LT(distance(environment_world("a-world", Pendulum{}, 0.9, 12), 0.5), 1e-3);
  EXPECT_LT(distance(environment_world("a-world", CartPoleBalance{}, 0.9, 12), 0), 1e-3);
  EXPECT_LT(distance(environment_world("a-world", DoublePendulum{}, 0.9, 12), 1), 1e-3);
  EXPECT_LT(distance(environment_world("a-world", LqgEnvironment<2, 1>(double_integrator())), 0), 1e-3);
  // Planted: rewards of another world.
  World other = environment_world("a-world", Pendulum{}, 0.9, 12);
  Dynamics twice = *other.differences;
  twice.next = [next = twice.next](const auto& s, const auto& a) {
    auto out = next(s, a);
    out.back() = out.back() * 2.0;
    return out;
  };
  other.differences = std::make_shared<const Dynamics>(twice);
  EXPECT_GT(distance(other, 0.5), 0.1);
}

TEST(Pathwise, NumbersOfThreadsChangeNoBit) {
  const World world = environment_world("a-world", Pendulum{});
  const PolicyChoice choice = make_policy(world, "init:1");
  const int before = omp_get_max_threads();
  std::vector<Array<double>> g;
  for (const int threads : {1, 2, 4}) {
    omp_set_num_threads(threads);
    const Trajectories batch = world.sample(choice.policy, choice.theta, 50, {3, "test", 0, 32});
    g.push_back(estimates("pathwise", world, choice, batch));
  }
  omp_set_num_threads(before);
  EXPECT_EQ(g[0], g[1]);
  EXPECT_EQ(g[0], g[2]);
}

// ---- the score function ----

struct Smooth {
  const char* name;
  World world;
  double log_std;
};
std::vector<Smooth> smooth_worlds() {
  const auto of = [](const char* name, const auto& env, int T, double log_std) {
    return Smooth{name, environment_world(name, env, 0.9, T), log_std};
  };
  return {of("Pendulum", Pendulum{}, 5, 0.3),
          of("CartPoleBalance", CartPoleBalance{}, 6, 2),
          of("MountainCarContinuous", MountainCarContinuous{}, 4, 0),
          of("DoublePendulum", DoublePendulum{}, 6, 1.5),
          of("single integrator", LqgEnvironment<1, 1>(single_integrator()), 4, 0),
          of("noisy", LqgEnvironment<3, 2>(noisy_lqg()), 3, -0.5)};
}

/// How far the mean of the pathwise derivative in `dynamics` is from that of the score function on
/// the same trajectories of `world`: the largest over the parameters, as a multiple of what a family-wise
/// error of 1e-6 over all worlds allows.
double distance_from_scores(const World& world, const Dynamics& dynamics, double log_std, int N) {
  const PolicyChoice choice = small_network(world, log_std);
  World moved = world;
  moved.dynamics = std::make_shared<const Dynamics>(dynamics);
  const Constants pilot = pilot_constants(world, choice.policy, choice.theta, 4000, 8);
  std::vector<double> mean, squares;
  constexpr int shard = 64;
  for (int first = 0; first < N; first += shard) {
    const Trajectories batch = world.sample(choice.policy, choice.theta, world.T, {7, "test", first, shard});
    for (const char over : batch.terminated) EXPECT_FALSE(over) << world.id;
    const Array<double> path = estimates("pathwise", moved, choice, batch),
                        scores = estimates("togo-linear", world, choice, batch, pilot);
    mean.resize(path.shape(1), 0), squares.resize(path.shape(1), 0);
    for (int i = 0; i < shard; ++i)
      for (std::size_t j = 0; j < mean.size(); ++j) {
        const double d = path(i, j) - scores(i, j);
        mean[j] += d / N, squares[j] += d * d / N;
      }
  }
  double worst = 0;
  for (std::size_t j = 0; j < mean.size(); ++j) {
    const double se = std::sqrt((squares[j] - mean[j] * mean[j]) / (N - 1));
    if (se > 0) worst = std::max(worst, std::abs(mean[j]) / se);
  }
  return worst / limit(6 * static_cast<double>(mean.size()), N - 1);
}

TEST(Pathwise, HasTheMeanOfTheScoreFunctionWhereOutcomesDoNotJump) {
  for (const Smooth& each : smooth_worlds()) {
    const Dynamics& dynamics = *each.world.dynamics;
    constexpr int N = 1 << 15;
    EXPECT_LT(distance_from_scores(each.world, dynamics, each.log_std, N), 1) << each.name;
    // Planted: rewards twice as large.
    Dynamics twice = dynamics;
    twice.reward = [&](const auto& s, const auto& a, const auto& next) {
      return dynamics.reward(s, a, next) * 2.0;
    };
    EXPECT_GT(distance_from_scores(each.world, twice, each.log_std, N), 1) << each.name;
  }
}

/// r = -(s' - 1)^4 has a slope whose mean depends on the noise; that of a quadratic has none.
struct Quartic : LqgEnvironment<1, 1> {
  using LqgEnvironment::LqgEnvironment;
  template <class Number>
  Number reward(const std::array<Number, 1>&, const std::array<Number, 1>&,
                const std::array<Number, 1>& next) const {
    const Number x = next[0] - 1.0;
    return -(x * x * x * x);
  }
  Step<State> step(const State& s, const Action& a, Rng& rng) const {
    Step<State> out = LqgEnvironment::step(s, a, rng);
    out.reward = reward(s, a, out.state);
    return out;
  }
};

TEST(Pathwise, NoiseBelongsToTheStateThatIsPaidFor) {
  Lqg lqg = single_integrator(0.9, 2);
  lqg.B(0, 0) = 1;
  lqg.Sigma_0(0, 0) = lqg.Sigma_w(0, 0) = 0.3;
  const World world = environment_world("quartic", Quartic(lqg));
  const Dynamics& dynamics = *world.dynamics;
  EXPECT_LT(distance_from_scores(world, dynamics, -0.5, 1 << 16), 1);
  Dynamics blind = dynamics;
  blind.reward = [&](const auto& s, const auto& a, const auto&) {
    return dynamics.reward(s, a, dynamics.next(s, a));
  };
  EXPECT_GT(distance_from_scores(world, blind, -0.5, 1 << 16), 1);
}

// ---- where outcomes jump ----

struct Jump {
  double angle, gradient, pathwise, variance;  // d/dangle, E of the pathwise, Var of (r - r(angle)) z
};

TEST(BallAndWall, PathwiseIsBiasedByWhatJumpsAreWorth) {
  // Suh et al. 2022, section 3: computed elsewhere, for sigma = 0.05.
  const World world = make_world("ball-and-wall", {}, {});
  for (const Jump& known : {Jump{0.2, -0.01439, -0.01439, 3.8e-4}, Jump{0.6, -0.00923, -0.00019, 0.00273},
                            Jump{0.8, -0.00392, 0.00133, 0}, Jump{1.2, 0.02187, 0.01266, 0}}) {
    const PolicyChoice choice = make_policy(world, join("angle:", known.angle));
    const auto ask = [&](const char* name) {
      return ask_oracle(world, choice.policy, choice.theta, choice.theta, make_estimator(name),
                        FittedCritic{}, 0)
          .truth;
    };
    const Truth path = ask("pathwise"), scores = ask("remax");
    EXPECT_NEAR(path.gradient[0], known.gradient, 5.1e-6) << known.angle;
    EXPECT_NEAR(path.mean[0], known.pathwise, 5.1e-6) << known.angle;
    EXPECT_NEAR(scores.mean[0], known.gradient, 5.1e-6) << known.angle;
    if (known.variance > 0) {
      EXPECT_NEAR(scores.variance[0], known.variance, 5.1e-6) << known.angle;
    }
  }
  const PolicyChoice at = make_policy(world, "angle:0.6");
  const Truth path =
      ask_oracle(world, at.policy, at.theta, at.theta, make_estimator("pathwise"), FittedCritic{}, 0).truth;
  EXPECT_NEAR(path.mean[0] - path.gradient[0], 0.0090449959, 5.1e-11);
}

TEST(BallAndWall, SamplesAgreeWithQuadrature) {
  const World world = make_world("ball-and-wall", {}, {});
  const std::vector<std::string> names = {
      "reinforce", "reinforce-mean", "reinforce-optimal", "reinforce-per-parameter",
      "togo",      "togo-time",      "togo-value",        "td",
      "gae:0.95",  "remax",          "pathwise"};
  for (const char* angle : {"angle:0.6", "angle:1.2:0.1"}) {
    const PolicyChoice choice = make_policy(world, angle);
    const FittedCritic critic = make_critic(world, choice, "scaled:0.5", 0, 0);
    expect_agreement(compare(world, choice, critic, made(names), names, 40'000, 31), angle);
  }
  // Planted: the wall left out of what is paid.
  const PolicyChoice choice = make_policy(world, "reference");
  Estimator e = make_estimator("reinforce");
  e.weights = [](const Trajectories& b, const Constants&) {
    Array<double> psi = zeros<double>(b.rows(), 1);
    for (int r = 0; r < b.rows(); ++r) {
      const double x = flight(BallAndWall{}, b.action_vector(r, 0)).range;
      psi(r, 0) = -x * x;
    }
    return psi;
  };
  const Deviation d =
      compare(world, choice, make_critic(world, choice, "exact", 0, 0), {e}, {"reinforce"}, 40'000, 32);
  EXPECT_GT(d.mean, 1);
}

TEST(BallAndWall, PoliciesAreAngles) {
  const World world = make_world("ball-and-wall", {}, {});
  EXPECT_EQ(make_policy(world, "angle:0.8").theta[0](0, 0), 0.8);
  EXPECT_EQ(make_policy(world, "angle:0.8:0.1").theta[1](0, 0), std::log(0.1));
  for (const char* wrong :
       {"angle:", "angle:x", "angle:0.8:0", "angle:0.8:-1", "angle:0.8:x", "uniform", "other"})
    EXPECT_THROW(make_policy(world, wrong), Error) << wrong;
}

}  // namespace
}  // namespace lowvar
