// Gymnasium's LunarLander-v3 and LunarLanderContinuous-v3 without wind, on Box2D: a lander on two sprung legs
// above ground that is drawn anew for each episode, to be set down between two flags.
//
// Gymnasium steps Box2D 2.3, this the library it is built with. With 2.4.1 one step from the same state
// agrees to 2.4e-5, a landing does not; what a pilot scores agrees within its noise (docs/environments.md).
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "envs/states.h"

namespace lowvar {

struct LunarLander {
  // Lengths are of Box2D's units, of which a pixel of Gymnasium's picture is a thirtieth.
  static constexpr double width = 20, height = 400 / 30.0, pad_height = height / 4;
  static constexpr int steps_per_second = 50;
  static constexpr double gamma = 0.99;
  static constexpr int T = 1000;
  static constexpr int observation = 8;  // x, y, their speeds, angle, its speed, left and right leg touch

  static constexpr int columns =
      11;  // of the ground, from x = 0 to width; the pad is from the 5th to the 7th
  static constexpr std::array<std::array<double, 2>, 6> hull = {{{-14 / 30.0, 17 / 30.0},
                                                                 {-17 / 30.0, 0},
                                                                 {-17 / 30.0, -10 / 30.0},
                                                                 {17 / 30.0, -10 / 30.0},
                                                                 {17 / 30.0, 0},
                                                                 {14 / 30.0, 17 / 30.0}}};
  static constexpr double leg_half_width = 2 / 30.0, leg_half_height = 8 / 30.0;

  /// What `States::shown` gives: where all is.
  struct Scene {
    struct Placed {
      double x, y, angle;
    };
    Placed lander;
    Placed legs[2];
    double main,
        side;  // power of the engines in the last step; side: above 0 the left, below 0 the right one
    double ground[columns];
  };
  static constexpr int scene_numbers = sizeof(Scene) / sizeof(double);

  /// What Gymnasium's own pilot does: it steers for a cone above the pad, by the offset and its speed.
  static int pilot_choice(std::span<const double> observation);
  static std::array<double, 2> pilot_powers(std::span<const double> observation);

  /// What it needs and this build is without, with how to get it; empty where all is there.
  static std::string missing();
  /// Actions are 0 nothing, 1 left, 2 main, 3 right engine; or, `continuous`, powers of the main engine and
  /// of those at the sides, from -1 to 1.
  static Spaces spaces(bool continuous);
  /// Throws Error where `missing`. A state is its episode so far: it is saved as the random numbers and
  /// engine powers that led to it, and restored by going through them again, which takes as long as it took.
  static MakeStates states(bool continuous);
};

}  // namespace lowvar
