// Classic control, by Gymnasium 1.0's definitions and in its order of operations: dynamics in double,
// observations rounded to float32. Equations of motion are templates on the number type.
#pragma once

#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/vmath.h"
#include "envs/env.h"

namespace lowvar {
namespace detail {

constexpr double kUnbounded = std::numeric_limits<double>::infinity();

}  // namespace detail

/// Balance a pole on a cart by pushing it left (0) or right (1) (Barto, Sutton & Anderson 1983, without
/// friction). A step pays 1, the last one too; ends at |x| > 2.4 m or |theta| > 12 degrees.
struct CartPole {
  template <class Number>
  struct Pose {
    Number x, x_dot, theta, theta_dot;  // m, m/s, rad, rad/s
    bool operator==(const Pose&) const = default;
  };
  using State = Pose<double>;
  using Action = int;
  static constexpr int actions = 2, observation = 4, T = 500;
  static constexpr double gamma = 0.99;
  static constexpr bool stochastic = false;

  static constexpr double gravity = 9.8, cart_mass = 1.0, pole_mass = 0.1, half_length = 0.5, force = 10.0,
                          dt = 0.02;
  static constexpr double total_mass = pole_mass + cart_mass, pole_moment = pole_mass * half_length;
  static constexpr double x_limit = 2.4, theta_limit = 12 * 2 * std::numbers::pi / 360;
  static constexpr std::array<double, 4> observation_high = {float32(2 * x_limit), detail::kUnbounded,
                                                             float32(2 * theta_limit), detail::kUnbounded},
                                         observation_low = {-observation_high[0], -observation_high[1],
                                                            -observation_high[2], -observation_high[3]};

  State reset(Rng& rng) const {
    State s;
    for (double* each : {&s.x, &s.x_dot, &s.theta, &s.theta_dot}) *each = rng.uniform(-0.05, 0.05);
    return s;
  }

  /// One Euler step under the force F (Florian 2007, eqs. 23 and 24, without friction).
  template <class Number>
  static Pose<Number> move(const Pose<Number>& s, const Number& F) {
    const auto [sin_theta, cos_theta] = sin_cos(s.theta);
    const Number temp = (F + pole_moment * (s.theta_dot * s.theta_dot) * sin_theta) / total_mass;
    const Number theta_acc = (gravity * sin_theta - cos_theta * temp) /
                             (half_length * (4.0 / 3.0 - pole_mass * (cos_theta * cos_theta) / total_mass));
    const Number x_acc = temp - pole_moment * theta_acc * cos_theta / total_mass;
    return euler(s, x_acc, theta_acc);
  }

  template <class Number>
  static Pose<Number> euler(const Pose<Number>& s, const Number& x_acc, const Number& theta_acc) {
    return {s.x + dt * s.x_dot, s.x_dot + dt * x_acc, s.theta + dt * s.theta_dot,
            s.theta_dot + dt * theta_acc};
  }

  static bool has_fallen(const State& s) {
    return (std::abs(s.x) > x_limit) | (std::abs(s.theta) > theta_limit);
  }

  Step<State> step(const State& s, int action, Rng&) const {
    Step<State> out{move(s, action == 1 ? force : -force), 1.0, false};
    out.terminated = has_fallen(out.state);
    return out;
  }

  template <class Number>
  static std::array<Number, 4> sight(const Pose<Number>& s) {
    return {s.x, s.x_dot, s.theta, s.theta_dot};
  }
  void observe(const State& s, std::span<double> out) const { round_into(out, sight(s)); }
};

/// The cart-pole of Barto, Sutton & Anderson (1983, appendix) with its friction, the force being any number,
/// held within [-10, 10] N; limits, reward and start of CartPole. As in the cart-pole experiments of Schulman
/// et al. (2015, 2016), where an episode has at most 1000 steps.
struct FrictionCartPole {
  template <class Number>
  using Pose = CartPole::Pose<Number>;
  template <class Number>
  using StateOf = Pose<Number>;
  using State = CartPole::State;
  using Action = std::array<double, 1>;
  static constexpr int observation = 4, T = 1000;
  static constexpr double gamma = 0.99;
  static constexpr bool stochastic = false;
  static constexpr Action action_low = {-CartPole::force}, action_high = {CartPole::force};
  static constexpr auto observation_low = CartPole::observation_low,
                        observation_high = CartPole::observation_high;

  static constexpr double cart_friction = 0.0005, pole_friction = 0.000002;  // mu_c, mu_p

  State reset(Rng& rng) const { return CartPole{}.reset(rng); }

  /// One Euler step of 0.02 s under the force F.
  template <class Number>
  static Pose<Number> move(const Pose<Number>& s, const Number& F) {
    using Cart = CartPole;
    const auto [sin_theta, cos_theta] = sin_cos(s.theta);
    const Number rub = cart_friction * (greater(s.x_dot, 0.0) - greater(-s.x_dot, 0.0));
    const Number swing = Cart::pole_moment * (s.theta_dot * s.theta_dot) * sin_theta;
    const Number theta_acc =
        (Cart::gravity * sin_theta + cos_theta * ((rub - F - swing) / Cart::total_mass) -
         pole_friction * s.theta_dot / Cart::pole_moment) /
        (Cart::half_length * (4.0 / 3.0 - Cart::pole_mass * (cos_theta * cos_theta) / Cart::total_mass));
    const Number x_acc = (F + swing - Cart::pole_moment * theta_acc * cos_theta - rub) / Cart::total_mass;
    return Cart::euler(s, x_acc, theta_acc);
  }

  template <class Number>
  static Pose<Number> next(const Pose<Number>& s, const std::array<Number, 1>& action) {
    return move(s, clip(action[0], action_low[0], action_high[0]));
  }
  template <class Number>
  static Number reward(const Pose<Number>& s, const std::array<Number, 1>&, const Pose<Number>&) {
    return 0 * s.x + 1.0;
  }
  template <class Number>
  static std::array<Number, 4> sight(const Pose<Number>& s) {
    return CartPole::sight(s);
  }

  Step<State> step(const State& s, const Action& action, Rng&) const {
    Step<State> out{next(s, action), 1.0, false};
    out.terminated = CartPole::has_fallen(out.state);
    return out;
  }

  void observe(const State& s, std::span<double> out) const { round_into(out, sight(s)); }
};

/// CartPole's cart and pole, the force being any number, held within [-10, 10] N, and a reward that can be
/// differentiated: 1 - (x / 2.4)^2 / 2 - (theta / 12 degrees)^2 / 2 of where a step leads. Limits and start
/// of CartPole: a step within the limits pays from 0 to 1.
struct CartPoleBalance {
  template <class Number>
  using StateOf = CartPole::Pose<Number>;
  using State = CartPole::State;
  using Action = std::array<double, 1>;
  static constexpr int observation = 4, T = 500;
  static constexpr double gamma = 0.99;
  static constexpr bool stochastic = false;
  static constexpr Action action_low = {-CartPole::force}, action_high = {CartPole::force};
  static constexpr auto observation_low = CartPole::observation_low,
                        observation_high = CartPole::observation_high;

  State reset(Rng& rng) const { return CartPole{}.reset(rng); }

  template <class Number>
  static StateOf<Number> next(const StateOf<Number>& s, const std::array<Number, 1>& action) {
    return CartPole::move(s, clip(action[0], action_low[0], action_high[0]));
  }
  template <class Number>
  static Number reward(const StateOf<Number>&, const std::array<Number, 1>&, const StateOf<Number>& next) {
    const Number x = next.x / CartPole::x_limit, theta = next.theta / CartPole::theta_limit;
    return 1 - 0.5 * (x * x) - 0.5 * (theta * theta);
  }
  template <class Number>
  static std::array<Number, 4> sight(const StateOf<Number>& s) {
    return CartPole::sight(s);
  }

  Step<State> step(const State& s, const Action& action, Rng&) const {
    Step<State> out{next(s, action), 0, false};
    out.reward = reward(s, action, out.state);
    out.terminated = CartPole::has_fallen(out.state);
    return out;
  }

  void observe(const State& s, std::span<double> out) const { round_into(out, sight(s)); }
};

/// Swing the tip of two links above a bar by a torque of -1, 0 or 1 at the joint between them (Sutton 1996;
/// Sutton & Barto, with the book's dynamics). A step pays -1, the one that ends the episode 0.
struct Acrobot {
  template <class Number>
  struct Links {
    Number theta1, theta2, theta1_dot, theta2_dot;  // theta1 from hanging down, theta2 from the first link
    bool operator==(const Links&) const = default;
  };
  using State = Links<double>;
  using Action = int;
  static constexpr int actions = 3, observation = 6, T = 500;
  static constexpr double gamma = 0.99;
  static constexpr bool stochastic = false;

  static constexpr double pi = std::numbers::pi, gravity = 9.8, dt = 0.2;
  static constexpr double m1 = 1, m2 = 1, l1 = 1, l2 = 1, lc1 = 0.5, lc2 = 0.5, I1 = 1, I2 = 1;
  static constexpr double max_velocity_1 = 4 * pi, max_velocity_2 = 9 * pi;
  static constexpr std::array<double, 6>
      observation_high = {1, 1, 1, 1, float32(max_velocity_1), float32(max_velocity_2)},
      observation_low = {-1, -1, -1, -1, -observation_high[4], -observation_high[5]};

  State reset(Rng& rng) const {
    State s;
    for (double* each : {&s.theta1, &s.theta2, &s.theta1_dot, &s.theta2_dot})
      *each = float32(rng.uniform(-0.1, 0.1));
    return s;
  }

  /// ds/dt under a torque (Sutton & Barto 1998, section 11.3).
  template <class Number>
  static Links<Number> derivative(const Links<Number>& s, const Number& torque) {
    const auto [sin_2, cos_2] = sin_cos(s.theta2);
    const Number d1 = m1 * (lc1 * lc1) + m2 * (l1 * l1 + lc2 * lc2 + 2 * l1 * lc2 * cos_2) + I1 + I2;
    const Number d2 = m2 * (lc2 * lc2 + l1 * lc2 * cos_2) + I2;
    const Number phi2 = m2 * lc2 * gravity * sin_cos(s.theta1 + s.theta2 - pi / 2).cos;
    const Number phi1 = -m2 * l1 * lc2 * (s.theta2_dot * s.theta2_dot) * sin_2 -
                        2 * m2 * l1 * lc2 * s.theta2_dot * s.theta1_dot * sin_2 +
                        (m1 * lc1 + m2 * l1) * gravity * sin_cos(s.theta1 - pi / 2).cos + phi2;
    const Number theta2_acc =
        (torque + d2 / d1 * phi1 - m2 * l1 * lc2 * (s.theta1_dot * s.theta1_dot) * sin_2 - phi2) /
        (m2 * (lc2 * lc2) + I2 - d2 * d2 / d1);
    const Number theta1_acc = -(d2 * theta2_acc + phi1) / d1;
    return {s.theta1_dot, s.theta2_dot, theta1_acc, theta2_acc};
  }

  /// s + h k.
  template <class Number>
  static Links<Number> along(const Links<Number>& s, double h, const Links<Number>& k) {
    return {s.theta1 + h * k.theta1, s.theta2 + h * k.theta2, s.theta1_dot + h * k.theta1_dot,
            s.theta2_dot + h * k.theta2_dot};
  }

  /// One step of h seconds of the classical Runge-Kutta method.
  template <class Number>
  static Links<Number> move(const Links<Number>& s, const Number& torque, double h = dt) {
    const Links<Number> k1 = derivative(s, torque), k2 = derivative(along(s, h / 2, k1), torque),
                        k3 = derivative(along(s, h / 2, k2), torque),
                        k4 = derivative(along(s, h, k3), torque);
    const auto sum = [](const Number& a, const Number& b, const Number& c, const Number& d) {
      return a + 2 * b + 2 * c + d;
    };
    return along(
        s, h / 6,
        {sum(k1.theta1, k2.theta1, k3.theta1, k4.theta1), sum(k1.theta2, k2.theta2, k3.theta2, k4.theta2),
         sum(k1.theta1_dot, k2.theta1_dot, k3.theta1_dot, k4.theta1_dot),
         sum(k1.theta2_dot, k2.theta2_dot, k3.theta2_dot, k4.theta2_dot)});
  }

  /// An angle brought into [-pi, pi] by whole turns, up to two of them one after another.
  static double wrap(double angle) {
    angle = std::abs(angle) > 5 * pi ? angle - 2 * pi * std::nearbyint(angle / (2 * pi)) : angle;
    for (int turn = 0; turn < 2; ++turn) {
      angle = angle > pi ? angle - 2 * pi : angle;
      angle = angle < -pi ? angle + 2 * pi : angle;
    }
    return angle;
  }

  Step<State> step(const State& s, int action, Rng&) const {
    Step<State> out{move(s, action - 1.0), -1.0, false};
    State& next = out.state;
    next.theta1 = wrap(next.theta1);
    next.theta2 = wrap(next.theta2);
    next.theta1_dot = clip(next.theta1_dot, -max_velocity_1, max_velocity_1);
    next.theta2_dot = clip(next.theta2_dot, -max_velocity_2, max_velocity_2);
    out.terminated = -sin_cos(next.theta1).cos - sin_cos(next.theta2 + next.theta1).cos > 1.0;
    out.reward = out.terminated ? 0.0 : -1.0;
    return out;
  }

  template <class Number>
  static std::array<Number, 6> sight(const Links<Number>& s) {
    const auto [sin_1, cos_1] = sin_cos(s.theta1);
    const auto [sin_2, cos_2] = sin_cos(s.theta2);
    return {cos_1, sin_1, cos_2, sin_2, s.theta1_dot, s.theta2_dot};
  }
  void observe(const State& s, std::span<double> out) const { round_into(out, sight(s)); }
};

/// Drive an underpowered car up the right hill by pushing left (0), not (1) or right (2) (Moore 1990; Sutton
/// & Barto 2018, example 10.1). A step pays -1; ends at x >= 0.5.
struct MountainCar {
  template <class Number>
  struct Car {
    Number x, v;
    bool operator==(const Car&) const = default;
  };
  using State = Car<double>;
  using Action = int;
  static constexpr int actions = 3, observation = 2, T = 200;
  static constexpr double gamma = 0.99;
  static constexpr bool stochastic = false;

  static constexpr double x_low = -1.2, x_high = 0.6, max_speed = 0.07, goal = 0.5, force = 0.001,
                          gravity = 0.0025;
  static constexpr std::array<double, 2> observation_low = {float32(x_low), float32(-max_speed)},
                                         observation_high = {float32(x_high), float32(max_speed)};

  State reset(Rng& rng) const { return {rng.uniform(-0.6, -0.4), 0.0}; }

  /// The state after an acceleration, its speed held within the limit; the left wall stops the car.
  template <class Number>
  static Car<Number> move(const Car<Number>& s, const Number& acceleration) {
    const Number v = clip(s.v + acceleration, -max_speed, max_speed), x = s.x + v;
    const Number stopped = less_equal(x, x_low) * less(v, 0.0);
    return {clip(x, x_low, x_high), where(stopped, 0.0, v)};
  }

  Step<State> step(const State& s, int action, Rng&) const {
    Step<State> out{move(s, (action - 1) * force + sin_cos(3 * s.x).cos * -gravity), -1.0, false};
    out.terminated = (out.state.x >= goal) & (out.state.v >= 0);
    return out;
  }

  template <class Number>
  static std::array<Number, 2> sight(const Car<Number>& s) {
    return {s.x, s.v};
  }
  void observe(const State& s, std::span<double> out) const { round_into(out, sight(s)); }
};

/// The same hill, the push being any number, held within [-1, 1]. A step pays minus a tenth of the action's
/// square, 100 more when it ends at x >= 0.45. A step's arithmetic is in double; the state it leaves is
/// rounded to float32.
struct MountainCarContinuous {
  template <class Number>
  using StateOf = MountainCar::Car<Number>;
  using State = MountainCar::State;
  using Action = std::array<double, 1>;
  static constexpr int observation = 2, T = 999;
  static constexpr double gamma = 0.99;
  static constexpr bool stochastic = false;
  static constexpr Action action_low = {-1.0}, action_high = {1.0};

  static constexpr double goal = 0.45, power = 0.0015;
  static constexpr auto observation_low = MountainCar::observation_low,
                        observation_high = MountainCar::observation_high;

  State reset(Rng& rng) const { return MountainCar{}.reset(rng); }

  template <class Number>
  static StateOf<Number> next(const StateOf<Number>& s, const std::array<Number, 1>& action) {
    const Number push = clip(action[0], action_low[0], action_high[0]);
    const Number acceleration = push * power - MountainCar::gravity * sin_cos(3 * s.x).cos;
    return MountainCar::move(s, acceleration);
  }
  /// 1 where the episode is over.
  template <class Number>
  static Number arrived(const StateOf<Number>& next) {
    return greater_equal(next.x, goal) * greater_equal(next.v, 0.0);
  }
  template <class Number>
  static Number reward(const StateOf<Number>&, const std::array<Number, 1>& action,
                       const StateOf<Number>& next) {
    return 100.0 * arrived(next) - action[0] * action[0] * 0.1;
  }
  template <class Number>
  static std::array<Number, 2> sight(const StateOf<Number>& s) {
    return MountainCar::sight(s);
  }

  Step<State> step(const State& s, const Action& action, Rng&) const {
    const State to = next(s, action);
    return {{float32(to.x), float32(to.v)}, reward(s, action, to), arrived(to) != 0};
  }

  void observe(const State& s, std::span<double> out) const { round_into(out, sight(s)); }
};

/// Swing a pendulum up and hold it there by a torque, held within [-2, 2]; theta = 0 is upright. A step pays
/// -(theta^2 + 0.1 theta_dot^2 + 0.001 torque^2) of where it starts, theta taken in [-pi, pi); never ends.
struct Pendulum {
  template <class Number>
  struct Swing {
    Number theta, theta_dot;
    bool operator==(const Swing&) const = default;
  };
  template <class Number>
  using StateOf = Swing<Number>;
  using State = Swing<double>;
  using Action = std::array<double, 1>;
  static constexpr int observation = 3, T = 200;
  static constexpr double gamma = 0.99;
  static constexpr bool stochastic = false;
  static constexpr Action action_low = {-2.0}, action_high = {2.0};

  static constexpr double pi = std::numbers::pi, gravity = 10.0, mass = 1.0, length = 1.0, dt = 0.05,
                          max_speed = 8.0;
  static constexpr std::array<double, 3> observation_high = {1, 1, max_speed},
                                         observation_low = {-1, -1, -max_speed};

  State reset(Rng& rng) const {
    const double theta = rng.uniform(-pi, pi);
    return {theta, rng.uniform(-1.0, 1.0)};
  }

  /// One semi-implicit Euler step of theta_ddot = 3g/(2l) sin(theta) + 3/(ml^2) torque, a rod about its end.
  template <class Number>
  static Swing<Number> move(const Swing<Number>& s, const Number& torque) {
    const Number acceleration =
        3 * gravity / (2 * length) * sin_cos(s.theta).sin + 3.0 / (mass * (length * length)) * torque;
    const Number theta_dot = clip(s.theta_dot + acceleration * dt, -max_speed, max_speed);
    return {s.theta + theta_dot * dt, theta_dot};
  }

  template <class Number>
  static Swing<Number> next(const Swing<Number>& s, const std::array<Number, 1>& action) {
    return move(s, clip(action[0], action_low[0], action_high[0]));
  }
  template <class Number>
  static Number reward(const Swing<Number>& s, const std::array<Number, 1>& action, const Swing<Number>&) {
    const Number u = clip(action[0], action_low[0], action_high[0]);
    const Number angle = modulo(s.theta + pi, 2 * pi) - pi;
    return -(angle * angle + 0.1 * (s.theta_dot * s.theta_dot) + 0.001 * (u * u));
  }
  template <class Number>
  static std::array<Number, 3> sight(const Swing<Number>& s) {
    const auto [sine, cosine] = sin_cos(s.theta);
    return {cosine, sine, s.theta_dot};
  }

  Step<State> step(const State& s, const Action& action, Rng&) const {
    Step<State> out{next(s, action), 0, false};
    out.reward = reward(s, action, out.state);
    return out;
  }

  void observe(const State& s, std::span<double> out) const { round_into(out, sight(s)); }
};

}  // namespace lowvar
