// Classic control against episodes derived from the published equations, and the pieces it is made of.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "autograd/autograd.h"
#include "envs/classic_control.h"
#include "experiments/worlds.h"
#include "traces.h"

namespace lowvar {
namespace {

/// One copy of a world, and what one step of it gives.
struct Player {
  World world;
  std::unique_ptr<States> states;
  explicit Player(const std::string& id) : world(make_world(id, {}, {})), states(world.states(1)) {}

  std::vector<double> observation() const {
    std::vector<float> x(static_cast<std::size_t>(world.observation));
    states->observe(0, 1, x.data());
    return {x.begin(), x.end()};
  }
  Step<std::vector<double>> step(const std::vector<double>& state, const std::vector<double>& action) {
    const int choice = static_cast<int>(action[0]);
    double reward{};
    char terminated{};
    Rng unused(0, "unused");
    states->set_numbers(0, state);
    states->step(0, 1, {&choice, action.data()}, {.each = &unused}, &reward, &terminated);
    return {states->numbers(0), reward, terminated != 0};
  }
};

void expect_close(const std::vector<double>& got, const std::vector<double>& want, double tolerance,
                  const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < want.size(); ++i)
    EXPECT_LE(std::abs(got[i] - want[i]), tolerance * std::max(1.0, std::abs(want[i])))
        << what << ", component " << i << ": got " << got[i] << ", want " << want[i];
}

TEST(ClassicControl, EverySingleTransitionIsThatOfTheEquations) {
  for (const auto& id : traced_worlds()) {
    Player player(id);
    const auto rows = read_trace(id);
    ASSERT_GT(rows.size(), 200U) << id;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const TraceRow& row = rows[i];
      const std::string what = join(id, ", episode ", row.episode, ", t ", row.t);
      player.states->set_numbers(0, row.state);
      EXPECT_EQ(player.observation(), row.observation) << what;
      if (row.t < 0) continue;
      const auto step = player.step(rows[i - 1].state, row.action);
      expect_close(step.state, row.state, 1e-12, what);
      EXPECT_NEAR(step.reward, row.reward, 1e-12 * std::max(1.0, std::abs(row.reward))) << what;
      EXPECT_EQ(step.terminated, row.terminated) << what;
      EXPECT_EQ(row.truncated, row.t + 1 == player.world.T) << what;
    }
  }
}

TEST(ClassicControl, WholeEpisodesAreThoseOfTheEquations) {
  for (const auto& id : traced_worlds()) {
    Player player(id);
    std::vector<double> state;
    for (const TraceRow& row : read_trace(id)) {
      if (row.t < 0) {
        state = row.state;
        continue;
      }
      const auto step = player.step(state, row.action);
      const std::string what = join(id, ", episode ", row.episode, ", t ", row.t);
      state = step.state;
      expect_close(state, row.state, 1e-8, what);
      EXPECT_NEAR(step.reward, row.reward, 1e-8) << what;
      EXPECT_EQ(step.terminated, row.terminated) << what;
      // An upright pole makes an error e times larger every twelve steps: past 200 of them a last digit is
      // 1e-8.
      if (row.t % 200 == 199) state = row.state;
    }
  }
}

/// A trace that goes wrong in its last digits is not taken for right.
TEST(ClassicControl, ASlightlyWrongWorldIsNoticed) {
  const auto rows = read_trace("CartPole-v1");
  int far = 0;
  for (std::size_t i = 1; i < 20; ++i) {
    const auto& s = rows[i - 1].state;
    const CartPole::State next = CartPole::move<double>(
        {s[0], s[1], s[2], s[3]}, (rows[i].action[0] == 1 ? 1 : -1) * CartPole::force * (1 + 1e-10));
    far += std::abs(next.x_dot - rows[i].state[1]) > 1e-12;
  }
  EXPECT_EQ(far, 19);
}

TEST(ClassicControl, TimeLimitsAndBoundsAreGymnasiums) {
  const std::vector<std::pair<std::string, int>> limits = {
      {"CartPole-v0", 200},    {"CartPole-v1", 500}, {"Acrobot-v1", 500},
      {"MountainCar-v0", 200}, {"Pendulum-v1", 200}, {"MountainCarContinuous-v0", 999},
  };
  for (const auto& [id, T] : limits) EXPECT_EQ(make_world(id, {}, {}).T, T) << id;
  EXPECT_EQ(CartPole::observation_high[0], 4.8F);
  EXPECT_EQ(CartPole::observation_high[2], 0.41887903F);
  EXPECT_EQ(Acrobot::observation_high[4], 12.566371F);
  EXPECT_EQ(Acrobot::observation_low[5], -28.274334F);
  EXPECT_EQ(MountainCar::observation_low[0], -1.2F);
  EXPECT_EQ(MountainCarContinuous::observation_high[1], 0.07F);
}

/// Starts of a world: the bounds of each component, and uniform between them as far as four moments tell.
template <class E>
void expect_uniform_starts(const std::vector<std::pair<double, double>>& bounds) {
  constexpr int n = 20000;
  std::vector<double> first(bounds.size()), second(bounds.size());
  const auto states = states_of(E{})(1);
  for (int i = 0; i < n; ++i) {
    Rng rng(1, "starts", static_cast<std::uint32_t>(i));
    states->reset(0, rng);
    const auto state = states->numbers(0);
    ASSERT_EQ(state.size(), bounds.size());
    for (std::size_t k = 0; k < bounds.size(); ++k) {
      const auto [low, high] = bounds[k];
      EXPECT_GE(state[k], low);
      EXPECT_LE(state[k], high);
      const double u = high > low ? (state[k] - low) / (high - low) : 0.5;
      first[k] += u / n, second[k] += u * u / n;
    }
  }
  for (std::size_t k = 0; k < bounds.size(); ++k) {
    if (bounds[k].first == bounds[k].second) continue;
    EXPECT_NEAR(first[k], 1.0 / 2, 6 * std::sqrt(1.0 / 12 / n)) << k;
    EXPECT_NEAR(second[k], 1.0 / 3, 6 * std::sqrt(4.0 / 45 / n)) << k;
  }
}

TEST(ClassicControl, StartsAreUniform) {
  const std::vector<std::pair<double, double>> cart(4, {-0.05, 0.05}),
      links(4, {float32(-0.1), float32(0.1)}), car = {{-0.6, -0.4}, {0, 0}},
                                               rod = {{-std::numbers::pi, std::numbers::pi}, {-1, 1}};
  expect_uniform_starts<CartPole>(cart);
  expect_uniform_starts<FrictionCartPole>(cart);
  expect_uniform_starts<Acrobot>(links);
  expect_uniform_starts<MountainCar>(car);
  expect_uniform_starts<MountainCarContinuous>(car);
  expect_uniform_starts<Pendulum>(rod);
  Rng rng(0, "acrobot");
  const auto s = Acrobot{}.reset(rng);
  EXPECT_EQ(s.theta1, float32(s.theta1));  // its start is rounded too
}

TEST(ClassicControl, Float32RoundsHoweverItIsCompiled) {
  Rng rng(2, "float32");
  for (int i = 0; i < 1000; ++i) {
    std::array<double, 4> x, y;
    for (double& each : x) each = rng.normal() * std::pow(10, rng.uniform(-30, 30));
    // Straight-line code that a compiler vectorises.
    y[0] = float32(x[0]), y[1] = float32(x[1]), y[2] = float32(x[2]), y[3] = float32(x[3]);
    for (std::size_t k = 0; k < 4; ++k) {
      volatile float rounded = static_cast<float>(x[k]);
      EXPECT_EQ(y[k], static_cast<double>(rounded)) << x[k];
    }
  }
  EXPECT_TRUE(std::signbit(float32(-0.0)));
  EXPECT_FALSE(std::signbit(float32(0.0)));
  EXPECT_EQ(float32(-1e300), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(float32(std::nan(""))));
}

TEST(ClassicControl, ModuloIsPythons) {
  Rng rng(3, "modulo");
  const double m = 2 * std::numbers::pi;
  for (int i = 0; i < 100000; ++i) {
    const double x = rng.uniform(-1, 1) * std::pow(10, rng.uniform(-3, 6));
    double want = std::fmod(x, m);
    if (want < 0) want += m;
    EXPECT_EQ(modulo(x, m), want) << x;
  }
  for (int k = -20; k <= 20; ++k)
    for (const double x : {k * m, std::nextafter(k * m, 1e9), std::nextafter(k * m, -1e9)}) {
      double want = std::fmod(x, m);
      if (want < 0) want += m;
      EXPECT_EQ(modulo(x, m), want) << x;
    }
}

TEST(ClassicControl, AnglesAreWrappedATurnAtATime) {
  Rng rng(4, "wrap");
  const double pi = std::numbers::pi;
  const auto turn_by_turn = [&](double x) {
    while (x > pi) x -= 2 * pi;
    while (x < -pi) x += 2 * pi;
    return x;
  };
  for (int i = 0; i < 100000; ++i) {
    const double near = rng.uniform(-5 * pi, 5 * pi), far = rng.uniform(-300, 300);
    EXPECT_EQ(Acrobot::wrap(near), turn_by_turn(near));
    EXPECT_NEAR(Acrobot::wrap(far), turn_by_turn(far), 1e-12) << far;
  }
  for (const double x : {pi, -pi, std::nextafter(pi, 4), std::nextafter(-pi, -4), 0.0, 3 * pi})
    EXPECT_EQ(Acrobot::wrap(x), turn_by_turn(x)) << x;
  EXPECT_TRUE(std::isnan(Acrobot::wrap(std::numeric_limits<double>::infinity())));
}

// The equations of motion on another type of number: a value and its derivative.

struct Dual {
  double value = 0, slope = 0;
  Dual(double v = 0, double d = 0) : value(v), slope(d) {}
  friend Dual operator+(Dual a, Dual b) { return {a.value + b.value, a.slope + b.slope}; }
  friend Dual operator-(Dual a, Dual b) { return {a.value - b.value, a.slope - b.slope}; }
  friend Dual operator-(Dual a) { return {-a.value, -a.slope}; }
  friend Dual operator*(Dual a, Dual b) { return {a.value * b.value, a.slope * b.value + a.value * b.slope}; }
  friend Dual operator/(Dual a, Dual b) {
    return {a.value / b.value, (a.slope - a.value / b.value * b.slope) / b.value};
  }
  friend Dual sin(Dual a) { return {std::sin(a.value), std::cos(a.value) * a.slope}; }
  friend Dual cos(Dual a) { return {std::cos(a.value), -std::sin(a.value) * a.slope}; }
  friend Dual greater(Dual a, double b) { return {a.value > b ? 1.0 : 0.0, 0}; }
  friend Dual clip(Dual a, double low, double high) {
    return a.value < low ? Dual(low) : a.value > high ? Dual(high) : a;
  }
};

TEST(ClassicControl, EquationsOfMotionAreTemplates) {
  const double h = 1e-6, F = 3;
  const auto slope = [&](auto f) { return (f(F + h) - f(F - h)) / (2 * h); };
  const CartPole::Pose<Dual> cart{0.1, 0.2, 0.3, 0.4};
  EXPECT_NEAR(CartPole::move(cart, Dual(F, 1)).theta_dot.slope, slope([](double u) {
                return CartPole::move<double>({0.1, 0.2, 0.3, 0.4}, u).theta_dot;
              }),
              1e-8);
  EXPECT_NEAR(FrictionCartPole::move(cart, Dual(F, 1)).x_dot.slope, slope([](double u) {
                return FrictionCartPole::move<double>({0.1, 0.2, 0.3, 0.4}, u).x_dot;
              }),
              1e-8);
  EXPECT_NEAR(Acrobot::move(Acrobot::Links<Dual>{0.1, 0.2, 0.3, 0.4}, Dual(F, 1)).theta2.slope,
              slope([](double u) {
                return Acrobot::move<double>({0.1, 0.2, 0.3, 0.4}, u).theta2;
              }),
              1e-8);
  EXPECT_NEAR(Pendulum::move(Pendulum::Swing<Dual>{0.1, 0.2}, Dual(F, 1)).theta.slope, slope([](double u) {
                return Pendulum::move<double>({0.1, 0.2}, u).theta;
              }),
              1e-8);
}

/// d/dF of one component of move(s, F) by the engine, at F = 3.
template <class World, template <class> class Pose, class... Numbers>
double engine_slope(Var<double> Pose<Var<double>>::*component, Numbers... s) {
  const std::vector<Array<double>> force = {full(1, 1, 3.0)}, state = {full(1, 1, s)...};
  Tape<double> tape;
  const auto F = tape.parameters(force), at = tape.parameters(state);
  const auto next = [&]<std::size_t... i>(std::index_sequence<i...>) {
    return World::move(Pose<Var<double>>{at[i]...}, F[0]);
  }
  (std::make_index_sequence<sizeof...(s)>{});
  return grad(sum(next.*component), F)[0](0, 0);
}

TEST(ClassicControl, EquationsOfMotionRunOnTheEngine) {
  const CartPole::Pose<Dual> cart{0.1, 0.2, 0.3, 0.4};
  EXPECT_NEAR(
      (engine_slope<CartPole, CartPole::Pose>(&CartPole::Pose<Var<double>>::theta_dot, 0.1, 0.2, 0.3, 0.4)),
      CartPole::move(cart, Dual(3, 1)).theta_dot.slope, 1e-12);
  EXPECT_NEAR((engine_slope<FrictionCartPole, CartPole::Pose>(&CartPole::Pose<Var<double>>::x_dot, 0.1, 0.2,
                                                              0.3, 0.4)),
              FrictionCartPole::move(cart, Dual(3, 1)).x_dot.slope, 1e-12);
  EXPECT_NEAR(
      (engine_slope<Acrobot, Acrobot::Links>(&Acrobot::Links<Var<double>>::theta2, 0.1, 0.2, 0.3, 0.4)),
      Acrobot::move(Acrobot::Links<Dual>{0.1, 0.2, 0.3, 0.4}, Dual(3, 1)).theta2.slope, 1e-12);
  EXPECT_NEAR((engine_slope<Pendulum, Pendulum::Swing>(&Pendulum::Swing<Var<double>>::theta, 0.1, 0.2)),
              Pendulum::move(Pendulum::Swing<Dual>{0.1, 0.2}, Dual(3, 1)).theta.slope, 1e-12);
}

/// The cost of thirty steps under a linear feedback, of the gains k: numbers or Vars.
template <class Number>
Number pendulum_cost(const Number& k0, const Number& k1) {
  Pendulum::Swing<Number> s{0 * k0 + 1.0, 0 * k1 - 0.5};
  Number cost = 0 * k0;
  for (int t = 0; t < 30; ++t) {
    s = Pendulum::move(s, k0 * sin_cos(s.theta).sin + k1 * s.theta_dot);
    cost = cost + s.theta * s.theta + 0.1 * (s.theta_dot * s.theta_dot);
  }
  return cost;
}
template <class World, class Number>
Number cart_pole_cost(const Number& k0, const Number& k1) {
  CartPole::Pose<Number> s{0 * k0, 0 * k0 + 0.1, 0 * k0 + 0.4, 0 * k0 - 0.8};
  Number cost = 0 * k0;
  for (int t = 0; t < 30; ++t) {
    s = World::move(s, k0 * s.theta + k1 * s.theta_dot);
    cost = cost + s.theta * s.theta + 0.1 * (s.x * s.x);
  }
  return cost;
}

/// The pathwise gradient of an episode, of gains a and b, against central differences.
template <class F, class G>
void expect_pathwise(F on_numbers, G on_vars, double a, double b) {
  const std::vector<Array<double>> gains = {full(1, 1, a), full(1, 1, b)};
  Tape<double> tape;
  const auto k = tape.parameters(gains);
  const auto cost = on_vars(k[0], k[1]);
  EXPECT_NEAR(cost.item(), on_numbers(a, b), 1e-12 * std::abs(on_numbers(a, b)));
  const auto g = grad(sum(cost), k);
  const double h = 1e-5, d0 = (on_numbers(a + h, b) - on_numbers(a - h, b)) / (2 * h),
               d1 = (on_numbers(a, b + h) - on_numbers(a, b - h)) / (2 * h);
  EXPECT_NEAR(g[0](0, 0), d0, 1e-7 * (1 + std::abs(d0)));
  EXPECT_NEAR(g[1](0, 0), d1, 1e-7 * (1 + std::abs(d1)));
  EXPECT_GT(std::abs(d0), 1e-3);
}

TEST(ClassicControl, GradientsGoThroughWholeEpisodes) {
  using V = Var<double>;
  expect_pathwise(pendulum_cost<double>, pendulum_cost<V>, -6, -1.5);
  expect_pathwise(cart_pole_cost<CartPole, double>, cart_pole_cost<CartPole, V>, 30, 5);
  expect_pathwise(cart_pole_cost<FrictionCartPole, double>, cart_pole_cost<FrictionCartPole, V>, 30, 5);
}

TEST(ClassicControl, FrictionTakesEnergyOut) {
  // At rest friction does nothing; moving, it slows the cart by about mu_c / total mass a second.
  const CartPole::State still{0, 0, 0.05, 0}, moving{0, 1, 0, 0};
  EXPECT_NEAR(FrictionCartPole::move(still, 2.0).x_dot, CartPole::move(still, 2.0).x_dot, 1e-15);
  EXPECT_NEAR(FrictionCartPole::move(still, 2.0).theta_dot, CartPole::move(still, 2.0).theta_dot, 1e-15);
  EXPECT_LT(FrictionCartPole::move(moving, 0.0).x_dot, CartPole::move(moving, 0.0).x_dot);
  EXPECT_GT(FrictionCartPole::move({0, -1, 0, 0}, 0.0).x_dot, CartPole::move({0, -1, 0, 0}, 0.0).x_dot);
}

}  // namespace
}  // namespace lowvar
