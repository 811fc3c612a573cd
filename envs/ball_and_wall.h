// One-dimensional worlds with jumps, on which derivatives of single outcomes mislead: the step and the ball
// thrown over a wall (Suh et al. 2022).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "core/vmath.h"
#include "envs/env.h"

namespace lowvar {

/// 1 for theta >= 0, else 0. Its derivative is 0 wherever there is one.
template <class X>
X heaviside(const X& theta) {
  return less_equal(-theta, 0);
}

/// A ball leaves the origin at speed v0 and angle theta and flies over flat ground. A wall of height h stands
/// at distance d; a ball that would meet it falls at its foot.
struct BallAndWall {
  double v0 = 1;
  double g = 9.81;
  double d = 0.06;
  double h = 0.02;
};

// For any number type: doubles, or Vars whose rows are samples.

/// Where the ball would land without the wall, and whether it meets it (1 or 0).
template <class X>
struct Flight {
  X range;
  X hit;
};

template <class X>
Flight<X> flight(const BallAndWall& world, const X& theta) {
  using std::cos;
  using std::sin;
  const auto [v0, g, d, h] = world;
  const X sine = sin(theta), cosine = cos(theta);
  const X range = (2 * v0 * v0 / g) * sine * cosine;
  const X height = d * sine / cosine - (g * d * d / (2 * v0 * v0)) / (cosine * cosine);
  return {range, greater(range, d) * less_equal(height, h)};
}

/// x_T(theta), smooth between breaks(world, ..).
template <class X>
X landing_point(const BallAndWall& world, const X& theta) {
  const auto [range, hit] = flight(world, theta);
  return (1 - hit) * range + world.d * hit;
}

/// r = -x_T^2.
template <class X>
X reward(const BallAndWall& world, const X& theta) {
  const X x = landing_point(world, theta);
  return -(x * x);
}

/// dr/dtheta between the breaks.
inline double reward_slope(const BallAndWall& world, double theta) {
  const auto [range, hit] = flight(world, theta);
  return hit == 1 ? 0 : -4 * range * world.v0 * world.v0 / world.g * std::cos(2 * theta);
}

/// The angles in [low, high] at which x_T has a kink (it reaches the wall: x = d) or a jump (it clears the
/// wall: height h at distance d), increasing. They repeat with period pi.
inline std::vector<double> breaks(const BallAndWall& world, double low, double high) {
  const auto [v0, g, d, h] = world;
  std::vector<double> angles;
  const double reach = g * d / (v0 * v0);
  if (reach <= 1)
    angles.insert(angles.end(), {std::asin(reach) / 2, (std::numbers::pi - std::asin(reach)) / 2});
  // height = d tau - k (1 + tau^2) with tau = tan(theta)
  const double k = g * d * d / (2 * v0 * v0), discriminant = d * d - 4 * k * (h + k);
  if (discriminant > 0) {
    const double larger = (d + std::sqrt(discriminant)) / (2 * k);
    angles.insert(angles.end(), {std::atan(larger), std::atan((h + k) / (k * larger))});
  }
  std::vector<double> out;
  for (const double angle : angles)
    for (double k_pi = std::ceil((low - angle) / std::numbers::pi); angle + k_pi * std::numbers::pi <= high;
         ++k_pi)
      out.push_back(angle + k_pi * std::numbers::pi);
  std::sort(out.begin(), out.end());
  return out;
}

/// A throw as an episode of one step: the action is the angle, any number, and there is nothing to see. The
/// state is where the ball is, at the origin or where it landed.
struct BallAndWallEnvironment {
  template <class Number>
  struct Place {
    Number x;
    bool operator==(const Place&) const = default;
  };
  template <class Number>
  using StateOf = Place<Number>;
  using State = Place<double>;
  using Action = std::array<double, 1>;
  static constexpr int observation = 1, T = 1;
  static constexpr double gamma = 1;
  static constexpr bool stochastic = false, any_action = true;
  static constexpr Action action_low = {0}, action_high = {std::numbers::pi / 2};

  BallAndWall world = {};

  State reset(Rng&) const { return {0}; }

  template <class Number>
  Place<Number> next(const Place<Number>&, const std::array<Number, 1>& angle) const {
    return {landing_point(world, angle[0])};
  }
  template <class Number>
  Number reward(const Place<Number>&, const std::array<Number, 1>&, const Place<Number>& next) const {
    return -(next.x * next.x);
  }
  /// 1, whatever the state, so that a linear policy is a mean angle.
  template <class Number>
  std::array<Number, 1> sight(const Place<Number>& s) const {
    return {0 * s.x + 1};
  }

  Step<State> step(const State& s, const Action& angle, Rng&) const {
    const State landed = next(s, angle);
    return {landed, reward(s, angle, landed), true};
  }

  void observe(const State& s, std::span<double> out) const { round_into(out, sight(s)); }
};

}  // namespace lowvar
