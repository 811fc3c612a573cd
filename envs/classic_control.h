// Classic control, by Gymnasium 1.0's definitions: dynamics in double, observations rounded to float32.
#pragma once

#include <cmath>
#include <numbers>

#include "envs/env.h"

namespace lowvar {

/// Balance a pole on a cart by pushing it left (0) or right (1) (Barto, Sutton & Anderson 1983, without
/// friction). A step pays 1, the last one too; ends at |x| > 2.4 m or |theta| > 12 degrees.
struct CartPole {
  struct State {
    double x, x_dot, theta, theta_dot;  // m, m/s, rad, rad/s
  };
  static constexpr int actions = 2;
  static constexpr int observation = 4;

  static constexpr double gravity = 9.8, cart_mass = 1.0, pole_mass = 0.1, half_length = 0.5, force = 10.0,
                          dt = 0.02;
  static constexpr double x_limit = 2.4, theta_limit = 12 * 2 * std::numbers::pi / 360;

  State reset(Rng& rng) const {
    State s;
    for (double* each : {&s.x, &s.x_dot, &s.theta, &s.theta_dot}) *each = rng.uniform(-0.05, 0.05);
    return s;
  }

  /// One Euler step of the equations of motion (Florian 2007, eqs. 23 and 24, without friction).
  Step<State> step(const State& s, int action, Rng&) const {
    constexpr double total_mass = cart_mass + pole_mass, pole_moment = pole_mass * half_length;
    const double F = action == 1 ? force : -force;
    const double cos_theta = std::cos(s.theta), sin_theta = std::sin(s.theta);
    const double temp = (F + pole_moment * (s.theta_dot * s.theta_dot) * sin_theta) / total_mass;
    const double theta_acc = (gravity * sin_theta - cos_theta * temp) /
                             (half_length * (4.0 / 3.0 - pole_mass * (cos_theta * cos_theta) / total_mass));
    const double x_acc = temp - pole_moment * theta_acc * cos_theta / total_mass;
    const State next{s.x + dt * s.x_dot, s.x_dot + dt * x_acc, s.theta + dt * s.theta_dot,
                     s.theta_dot + dt * theta_acc};
    return {next, 1.0, std::abs(next.x) > x_limit || std::abs(next.theta) > theta_limit};
  }

  void observe(const State& s, std::span<double> out) const {
    out[0] = static_cast<float>(s.x);
    out[1] = static_cast<float>(s.x_dot);
    out[2] = static_cast<float>(s.theta);
    out[3] = static_cast<float>(s.theta_dot);
  }
};

}  // namespace lowvar
