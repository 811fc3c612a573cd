// Two links swung up by a torque at the joint between them: Acrobot's equations of motion without its limits,
// smooth everywhere, and chaotic.
#pragma once

#include "envs/classic_control.h"

namespace lowvar {

/// Acrobot's links (Sutton & Barto 1998, section 11.3; without friction) under any torque, held within [-5,
/// 5]; steps of 0.05 s by the classical Runge-Kutta method. A step pays the height of the tip above the
/// upright position, from -4 to 0, less 0.001 times the square of the torque; it never ends.
struct DoublePendulum {
  template <class Number>
  using StateOf = Acrobot::Links<Number>;
  using State = Acrobot::State;
  using Action = std::array<double, 1>;
  static constexpr int observation = 6, T = 100;
  static constexpr double gamma = 0.99;
  static constexpr bool stochastic = false;
  static constexpr Action action_low = {-5}, action_high = {5};
  static constexpr double dt = 0.05;

  State reset(Rng& rng) const { return Acrobot{}.reset(rng); }

  template <class Number>
  static StateOf<Number> next(const StateOf<Number>& s, const std::array<Number, 1>& action) {
    return Acrobot::move(s, Number(clip(action[0], action_low[0], action_high[0])), dt);
  }
  template <class Number>
  static Number reward(const StateOf<Number>&, const std::array<Number, 1>& action,
                       const StateOf<Number>& next) {
    const Number torque = clip(action[0], action_low[0], action_high[0]);
    return -sin_cos(next.theta1).cos - sin_cos(next.theta1 + next.theta2).cos - 2 - 0.001 * (torque * torque);
  }
  template <class Number>
  static std::array<Number, 6> sight(const StateOf<Number>& s) {
    return Acrobot::sight(s);
  }

  Step<State> step(const State& s, const Action& action, Rng&) const {
    Step<State> out{next(s, action), 0, false};
    out.reward = reward(s, action, out.state);
    return out;
  }

  void observe(const State& s, std::span<double> out) const { round_into(out, sight(s)); }
};

}  // namespace lowvar
