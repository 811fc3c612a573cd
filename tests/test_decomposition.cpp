// The decomposition of a step's variance: oracles by other routes, and what is measured against the oracles.
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <functional>
#include <numeric>

#include "algorithms/exact/decomposition.h"
#include "algorithms/exact/lqr.h"
#include "algorithms/measure/decomposition.h"
#include "experiments/worlds.h"
#include "statistics.h"

namespace lowvar {
namespace {

using Vector = std::vector<double>;

double squared_norm(const Vector& x) { return std::inner_product(x.begin(), x.end(), x.begin(), 0.0); }

void expect_same(const StepVariance& a, const StepVariance& b, double tolerance) {
  const auto same = [&](double x, double y, const char* what) {
    EXPECT_NEAR(x, y, tolerance * (std::abs(y) + 1e-3)) << what;
  };
  same(a.tau, b.tau, "tau");
  same(a.a_none(), b.a_none(), "a, no baseline");
  same(a.a_value(), b.a_value(), "a, V");
  same(a.a_exact(), b.a_exact(), "a, exact");
  same(a.s(), b.s(), "s");
  same(squared_norm(a.gradient), squared_norm(b.gradient), "gradient");
}

// ---- Tabular worlds, by visiting all that can follow ----

/// The terms as their definitions say: every state, action and continuation.
StepVariance visited(const Mdp& mdp, const Array<double>& pi, const Vector& p, const Vector& V, double lambda,
                     int steps) {
  StepVariance out;
  const auto S = static_cast<std::size_t>(mdp.S), A = static_cast<std::size_t>(mdp.A);
  out.gradient.assign(S * A, 0);
  for (int s = 0; s < mdp.S; ++s) {
    const double visits = p[static_cast<std::size_t>(s)];
    if (visits == 0) continue;
    Vector of_state(A), means, weights, squares;
    for (int a = 0; a < mdp.A; ++a) {
      Vector z(A);
      for (int b = 0; b < mdp.A; ++b) z[static_cast<std::size_t>(b)] = (a == b) - pi(s, b);
      double mean = 0, second = 0;
      // f(probability, sum so far) over what follows.
      const std::function<void(int, int, int, double, double)> go = [&](int s0, int a0, int k, double q,
                                                                        double sum) {
        for (const Outcome& o : mdp.outcomes(s0, a0)) {
          const auto next = static_cast<std::size_t>(o.next);
          const double delta = o.reward + mdp.gamma * V[next] - V[static_cast<std::size_t>(s0)];
          const double now = sum + std::pow(mdp.gamma * lambda, k) * delta, r = q * o.probability;
          if (k + 1 == steps || mdp.terminal[next]) {
            mean += r * now, second += r * now * now;
          } else {
            for (int b = 0; b < mdp.A; ++b) go(o.next, b, k + 1, r * pi(o.next, b), now);
          }
        }
      };
      go(s, a, 0, 1, 0);
      const double w = visits * pi(s, a), none = mean + V[static_cast<std::size_t>(s)];
      out.tau += w * (second - mean * mean) * squared_norm(z);
      out.second_none += w * none * none * squared_norm(z);
      out.second_value += w * mean * mean * squared_norm(z);
      means.push_back(mean), weights.push_back(w), squares.push_back(squared_norm(z));
      for (std::size_t b = 0; b < A; ++b) of_state[b] += pi(s, a) * mean * z[b];
    }
    const double value = std::inner_product(means.begin(), means.end(), weights.begin(), 0.0) / visits;
    for (std::size_t a = 0; a < A; ++a)
      out.second_exact += weights[a] * std::pow(means[a] - value, 2) * squares[a];
    out.of_state += visits * squared_norm(of_state);
    for (std::size_t b = 0; b < A; ++b)
      out.gradient[static_cast<std::size_t>(s) * A + b] = visits * of_state[b];
  }
  return out;
}

Array<double> reference_policy() {  // of the chain
  return {{0.4, 0.6}, {0.3, 0.7}, {0.5, 0.5}, {0.6, 0.4}, {0.5, 0.5}};
}

TEST(Decomposition, OfATableIsWhatVisitingEverythingGives) {
  const Mdp mdp = chain();
  const Array<double> pi = reference_policy();
  const Vector p = visits(mdp, pi, 6), V = {0.3, 0.5, 0.4, 0.9, 0};
  EXPECT_NEAR(std::accumulate(p.begin(), p.end(), 0.0), 1, 1e-14);
  EXPECT_EQ(p.back(), 0);
  for (const double lambda : {0.0, 0.7, 1.0})
    for (const int steps : {1, 2, 6})
      expect_same(step_variance(mdp, pi, p, V, lambda, steps), visited(mdp, pi, p, V, lambda, steps), 1e-12);
}

TEST(Decomposition, VisitsAreThoseOfStepsThatAreTaken) {
  // Two states and an end; from each the next, surely.
  const Mdp mdp = make_mdp(3, 1, 1, 5, {1, 0, 0}, {0, 0, 1}, [](int s, int) {
    return std::vector<Outcome>{{s + 1, 1, 0}};
  });
  const Array<double> pi = {{1}, {1}, {1}};
  EXPECT_EQ(visits(mdp, pi, 1), (Vector{1, 0, 0}));
  EXPECT_EQ(visits(mdp, pi, 4), (Vector{0.5, 0.5, 0}));
}

// ---- Linear worlds ----

/// One state, one action, all that there can be: costs of both kinds, noise, a gain that changes, an offset.
AffineLqg small_world(int T) {
  AffineLqg p{{{{0.9}}, {{0.5}}, {{0.7}}, {{0.3}}, {{0.4}}, {{0.2}}, 0.9, T}, {{0.6}}, {0.8}, {}, {-0.4}};
  for (int t = 0; t < T; ++t) p.gain.push_back({{0.3 - 0.2 * t, -0.5 + 0.1 * t}});
  return p;
}

/// E f over n independent standard normals, of polynomials up to degree 13 in each (Gauss and Hermite).
double expectation(int n, const std::function<double(const double* u)>& f) {
  constexpr double node[] = {0, 1.154405394739968, 2.366759410734541, 3.750439717725742};
  constexpr double weight[] = {0.457142857142857, 0.240123178605013, 0.030757123967586, 0.000548268855972};
  double u[4] = {};
  const std::function<double(int)> go = [&](int k) {
    if (k == n) return f(u);
    double sum = 0;
    for (int i = -3; i <= 3; ++i) {
      u[k] = std::copysign(node[std::abs(i)], i);
      sum += weight[std::abs(i)] * go(k + 1);
    }
    return sum;
  };
  return go(0);
}

double value(const Array<double>& form, double s) {
  return form(0, 0) + 2 * form(0, 1) * s + form(1, 1) * s * s;
}

/// Step 0 of two, as the definitions say: s, then u_0, then all that follows, each by quadrature.
StepVariance by_quadrature(const AffineLqg& p, const Forms& V, double lambda, bool of_gain) {
  const double sigma = std::exp(p.log_std[0]), kappa = p.world.gamma * lambda;
  const auto act = [&](int t, double s, double u) {
    return p.gain[static_cast<std::size_t>(t)](0, 0) + p.gain[static_cast<std::size_t>(t)](0, 1) * s +
           sigma * u;
  };
  const auto move = [&](double s, double a, double w) {
    return p.world.A(0, 0) * s + p.world.B(0, 0) * a + std::sqrt(p.world.Sigma_w(0, 0)) * w;
  };
  const auto delta = [&](int t, double s, double a, double next) {
    const auto k = static_cast<std::size_t>(t);
    return -(p.Q_now(0, 0) * s * s + p.world.Q_a(0, 0) * a * a + p.world.Q_s(0, 0) * next * next) +
           p.world.gamma * value(V[k + 1], next) - value(V[k], s);
  };
  const auto advantage = [&](double s, double u0, const double* rest) {  // w_0, u_1, w_1
    const double a = act(0, s, u0), next = move(s, a, rest[0]), b = act(1, next, rest[1]),
                 last = move(next, b, rest[2]);
    return delta(0, s, a, next) + kappa * delta(1, next, b, last);
  };
  const auto at = [&](double s, double u0) {
    const double mean = expectation(3, [&](const double* r) { return advantage(s, u0, r); });
    const double second = expectation(3, [&](const double* r) { return std::pow(advantage(s, u0, r), 2); });
    return std::pair{mean, second - mean * mean};
  };
  StepVariance out;
  out.gradient.assign(of_gain ? 2 : 1, 0);
  const double deviation = std::sqrt(p.world.Sigma_0(0, 0));
  const auto over = [&](auto f) {  // E f(s, u, mean, variance, z)
    return expectation(2, [&](const double* x) {
      const double s = p.start[0] + deviation * x[0];
      const auto [mean, variance] = at(s, x[1]);
      const Vector z = of_gain ? Vector{x[1] / sigma, x[1] * s / sigma} : Vector{x[1] * x[1] - 1};
      return f(s, mean, variance, z);
    });
  };
  out.tau = over([](double, double, double v, const Vector& z) { return v * squared_norm(z); });
  out.second_value = over([](double, double m, double, const Vector& z) { return m * m * squared_norm(z); });
  out.second_none = over([&](double s, double m, double, const Vector& z) {
    return std::pow(m + value(V[0], s), 2) * squared_norm(z);
  });
  out.second_exact = over([&](double s, double m, double, const Vector& z) {
    const double value = expectation(1, [&](const double* u) { return at(s, *u).first; });
    return std::pow(m - value, 2) * squared_norm(z);
  });
  for (std::size_t i = 0; i < out.gradient.size(); ++i) {
    out.gradient[i] = over([&](double, double m, double, const Vector& z) { return m * z[i]; });
    out.of_state += expectation(1, [&](const double* x) {
      const double s = p.start[0] + deviation * x[0];
      return std::pow(
          expectation(1,
                      [&](const double* u) {
                        const Vector z = of_gain ? Vector{*u / sigma, *u * s / sigma} : Vector{*u * *u - 1};
                        return at(s, *u).first * z[i];
                      }),
          2);
    });
  }
  return out;
}

TEST(Decomposition, OfALinearWorldIsWhatQuadratureGives) {
  const AffineLqg p = small_world(2);
  const Forms V = {{{0.2, -0.3}, {-0.3, -0.8}}, {{0.1, 0.2}, {0.2, -0.5}}, {{-0.4, 0.1}, {0.1, -0.2}}};
  const auto states = state_distributions(p);
  for (const double lambda : {0.0, 0.8}) {
    const AdvantageForms A = advantage_forms(p, V, lambda);
    expect_same(step_variance(p, A, V, states[0], 0, {{0, 1}, false}), by_quadrature(p, V, lambda, true),
                1e-11);
    expect_same(step_variance(p, A, V, states[0], 0, {{}, true}), by_quadrature(p, V, lambda, false), 1e-11);
  }
}

TEST(Decomposition, OfOneStepAddsUpToTheVarianceOfTheOtherOracle) {
  Lqg world = double_integrator(0.95, 1);
  world.Sigma_w = {{0.2, 0.05}, {0.05, 0.1}};
  const LinearGaussianPolicy policy{{{-1, -3}}, {-0.5}};
  const AffineLqg p{world, zeros<double>(2, 2), {0, 0}, {{{0, -1, -3}}}, policy.log_std};
  const Forms V = state_values(p);
  const QuadraticValues known = state_values(world, policy);
  EXPECT_NEAR(V[0](0, 0), -known.c[0], 1e-12);
  EXPECT_NEAR(V[0](1, 2), -known.P[0](0, 1), 1e-12);
  const StepVariance x =
      step_variance(p, advantage_forms(p, V, 1), V, state_distributions(p)[0], 0, {{1, 2}, true});
  const auto total = [&](const char* estimator) {
    const auto v = exact_moments(estimator, world, policy, known).variance;
    return std::accumulate(v.begin(), v.end(), 0.0);
  };
  EXPECT_NEAR(x.tau + x.a_value() + x.s(), total("togo-value"), 1e-10 * total("togo-value"));
  EXPECT_NEAR(x.tau + x.a_none() + x.s(), total("togo"), 1e-10 * total("togo"));
  const auto gradient = policy_gradient(world, policy);
  for (std::size_t i = 0; i < gradient.size(); ++i) EXPECT_NEAR(x.gradient[i], gradient[i], 1e-10);
}

TEST(Decomposition, LaterStepsAreFirstStepsOfWhatIsLeft) {
  const AffineLqg p = small_world(4);
  const Forms V = state_values(p);
  const AdvantageForms A = advantage_forms(p, V, 0.9);
  const auto states = state_distributions(p);
  AffineLqg left = p;
  left.world.T = 3, left.gain.erase(left.gain.begin());
  left.start = {states[1].mean[1]};
  left.world.Sigma_0(0, 0) = states[1].covariance(1, 1);
  const Forms V_left = state_values(left);
  expect_same(
      step_variance(p, A, V, states[1], 1, {{0}}),
      step_variance(left, advantage_forms(left, V_left, 0.9), V_left, state_distributions(left)[0], 0, {{0}}),
      1e-12);
}

TEST(Decomposition, OfAMixtureSeesTheSpreadOfItsParts) {
  const StepVariance a{1, 6, 4, 3, 2, {1, 1}}, b{3, 8, 6, 7, 4, {1, -1}};
  const StepVariance x = mixed(std::vector{a, b}, std::vector{0.5, 0.5});
  EXPECT_EQ(x.tau, 2);
  EXPECT_EQ(x.a_none(), 4);
  EXPECT_EQ(x.a_value(), 2);
  EXPECT_EQ(x.a_exact(), 2);
  EXPECT_EQ(x.s(), 3 - 1);
}

TEST(Decomposition, RefusesWhatDoesNotFit) {
  AffineLqg p = small_world(2);
  p.gain.pop_back();
  EXPECT_THROW(state_values(p), Error);
  p = small_world(2);
  p.start = {0, 0};
  EXPECT_THROW(state_distributions(p), Error);
  EXPECT_THROW(advantage_forms(small_world(2), Forms(2), 1), Error);
  EXPECT_THROW(step_variance(chain(), reference_policy(), Vector(4), Vector(5), 1, 3), Error);
}

// ---- Measured ----

const Quantity& of(const Decomposed& measured, const std::string& name) {
  for (const Quantity& q : measured.quantities)
    if (q.name == name) return q;
  throw Error("no such quantity");
}

/// Whether each term is the exact one within its sampling error.
bool agrees(const Decomposed& measured, const StepVariance& exact) {
  const double rest = exact.tau + exact.s();
  const std::pair<const char*, double> all[] = {
      {"tau", exact.tau},
      {"a_none", exact.a_none()},
      {"a_value", exact.a_value()},
      {"a_exact", exact.a_exact()},
      {"s", exact.s()},
      {"gradient_sq", squared_norm(exact.gradient)},
      {"saved", (exact.a_none() - exact.a_value()) / (rest + exact.a_none())},
      {"critic", (exact.a_value() - exact.a_exact()) / (rest + exact.a_value())},
      {"left", exact.a_exact() / (rest + exact.a_exact())}};
  const double z = limit(100, 63);
  bool good = true;
  for (const auto& [name, value] : all) {
    const Estimate x = of(measured, name).sampled;
    good = good && std::abs(x.value - value) <= z * x.se + 1e-12;
  }
  return good;
}

/// Where the chain is measured, with a V that is wrong in its own way at each state.
struct OfTheChain {
  World world = make_world("chain", {}, {});
  Array<double> pi = reference_policy();
  Policy policy{Table{5, 2}};
  Parameters theta = {pi};
  Vector V = {0.3, 0.5, 0.4, 0.9, 0};
  DecompositionOptions o{
      .states = 30'000, .steps = 6, .gamma = world.gamma, .lambdas = {1, 0.6, 0}, .seed = 1};

  OfTheChain() {
    for (double& x : values(theta[0])) x = std::log(x);
  }
  std::vector<Decomposed> measured() const { return decompose(world, policy, theta, table_value(V), o); }
  StepVariance exact(double lambda) const {
    return step_variance(*world.mdp, pi, visits(*world.mdp, pi, world.T), V, lambda, o.steps);
  }
};

TEST(Decomposition, IsMeasuredOnTheChainAsItIs) {
  OfTheChain chain;
  const auto measured = chain.measured();
  ASSERT_EQ(measured.size(), 3u);
  EXPECT_EQ(measured[0].states, chain.o.states);
  for (const Decomposed& each : measured) EXPECT_TRUE(agrees(each, chain.exact(each.lambda))) << each.lambda;

  // Of something else it is told apart.
  EXPECT_FALSE(agrees(measured[0], chain.exact(0.6)));
  EXPECT_FALSE(agrees(measured[1], chain.exact(1)));
  OfTheChain other = chain;
  other.o.steps = 3;
  EXPECT_FALSE(agrees(measured[0], other.exact(1))) << "steps that are not looked at";
  other = chain;
  other.V[1] += 0.2;
  EXPECT_FALSE(agrees(measured[0], other.exact(1))) << "another V";
  const Vector start = visits(*chain.world.mdp, chain.pi, 1);
  EXPECT_FALSE(agrees(measured[0], step_variance(*chain.world.mdp, chain.pi, start, chain.V, 1, 6)))
      << "starts in place of all states";
  for (double StepVariance::*term :
       {&StepVariance::tau, &StepVariance::second_none, &StepVariance::second_value,
        &StepVariance::second_exact, &StepVariance::of_state}) {
    StepVariance wrong = chain.exact(1);
    wrong.*term *= 1.5;
    EXPECT_FALSE(agrees(measured[0], wrong));
  }
}

TEST(Decomposition, IsMeasuredOnALinearWorldAsItIs) {
  World world = make_world("double-integrator", {}, {});
  Lqg model = *world.lqg;
  model.Sigma_w = {{0.02, 0.01}, {0.01, 0.05}};
  world = environment_world("noisy", LqgEnvironment<2, 1>(model), 0.9, 4);
  const Array<double> K = {{-1, -1.5}};
  const Policy policy{Linear{2, 1}, Head::gaussian};
  const Parameters theta = {K, {{-0.5}}};
  const Array<double> V = {{-1, 0, 0}, {0, -0.9, -0.2}, {0, -0.2, -0.3}};
  const StateValue of_observation = [&](const Inputs& seen) {
    Vector out;
    for (int r = 0; r < seen.rows(); ++r) {
      const double x = (*seen.observation)(r, 0), v = (*seen.observation)(r, 1);
      out.push_back(V(0, 0) + V(1, 1) * x * x + 2 * V(1, 2) * x * v + V(2, 2) * v * v);
    }
    return out;
  };
  const DecompositionOptions o{.states = 30'000, .steps = 3, .gamma = 0.9, .lambdas = {1, 0.5}, .seed = 2};
  for (const Decomposed& each : decompose(world, policy, theta, of_observation, o)) {
    std::vector<StepVariance> steps;
    for (int t = 0; t < world.T; ++t) {
      AffineLqg p{model, zeros<double>(2, 2), {0, 0}, {}, {-0.5}};
      p.world.T = t + o.steps, p.world.gamma = o.gamma;
      p.gain.assign(static_cast<std::size_t>(p.world.T), {{0, -1, -1.5}});
      const Forms at_all(p.gain.size() + 1, V);
      steps.push_back(step_variance(p, advantage_forms(p, at_all, each.lambda), at_all,
                                    state_distributions(p)[static_cast<std::size_t>(t)], t, {{1, 2}, true}));
    }
    EXPECT_TRUE(agrees(each, mixed(steps, Vector(4, 0.25)))) << each.lambda;
    EXPECT_FALSE(agrees(each, mixed(steps, Vector{1, 0, 0, 0}))) << "starts in place of all states";
  }
}

std::vector<double> numbers(const std::vector<Decomposed>& all) {
  std::vector<double> out;
  for (const auto& each : all) {
    out.push_back(static_cast<double>(each.states));
    for (const Quantity& q : each.quantities) out.push_back(q.sampled.value), out.push_back(q.sampled.se);
  }
  return out;
}

TEST(Decomposition, HasTheSameBitsForAnyNumberOfThreadsAndGoesOnWhereItStood) {
  OfTheChain chain;
  chain.o.states = 700;
  std::vector<Keeper> kept;
  chain.o.keeper.stands = [&](double, const auto& state) { kept.push_back({.kept = state()}); };
  const auto whole = numbers(chain.measured());
  const int before = omp_get_max_threads();
  for (const int threads : {1, 3}) {
    omp_set_num_threads(threads);
    EXPECT_EQ(numbers(chain.measured()), whole) << threads;
  }
  omp_set_num_threads(before);
  ASSERT_GE(kept.size(), 2u);
  for (const Keeper& each : kept) {
    chain.o.keeper = each;
    EXPECT_EQ(numbers(chain.measured()), whole);
  }
  chain.o.states = 701;
  EXPECT_THROW(chain.measured(), Error);
  chain.o.states = 700, chain.o.lambdas = {1};
  EXPECT_THROW(chain.measured(), Error);
}

TEST(Decomposition, WithoutVIsThatOfNought) {
  OfTheChain chain;
  chain.o.states = 300;
  const auto none = decompose(chain.world, chain.policy, chain.theta, nullptr, chain.o);
  chain.V.assign(5, 0);
  EXPECT_EQ(numbers(none), numbers(chain.measured()));
  EXPECT_EQ(of(none[0], "a_none").sampled.value, of(none[0], "a_value").sampled.value);
}

TEST(Decomposition, RefusesToMeasureWhatMakesNoSense) {
  const auto refused = [](auto change) {
    OfTheChain chain;
    chain.o.states = 100;
    change(chain.o);
    EXPECT_THROW(chain.measured(), Error);
  };
  refused([](auto& o) { o.states = 1; });
  refused([](auto& o) { o.steps = 0; });
  refused([](auto& o) { o.gamma = 1.1; });
  refused([](auto& o) { o.lambdas = {}; });
  refused([](auto& o) { o.lambdas = {-0.1}; });
  EXPECT_THROW(model_value(Table{5, 2}, {zeros<double>(5, 2)}), Error);
}

}  // namespace
}  // namespace lowvar
