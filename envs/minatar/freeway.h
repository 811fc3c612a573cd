// Freeway: a chicken crosses eight lanes of cars, each crossing paying 1; a car that hits it sends it back.
// An episode has 2501 steps.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "envs/minatar/minatar.h"

namespace lowvar::minatar {

struct Freeway {
  static constexpr int channels = 7;
  enum Channel { chicken, car, trail };  // a trail's channel is this and its car's speed less one
  static constexpr std::array minimal{none, up, down};
  static constexpr bool random = true;

  static constexpr int lanes = 8, column = 4, kerb = grid - 1, rest = 3;

  struct Car {
    int x = 0, timer = 0, speed = 0;  // speed: steps between its moves, negative to the left
    int way() const { return (speed > 0) - (speed < 0); }
    bool operator==(const Car&) const = default;
  };
  struct State {
    int y = kerb;  // of the chicken
    int move_timer = rest;
    int steps_left = 2500;             // it is over below 0
    std::array<Car, lanes> cars = {};  // car i is in row i + 1
    bool operator==(const State&) const = default;
  };

  /// New speeds and directions; the cars stay where they are.
  template <class Draws>
  static void randomise(std::array<Car, lanes>& cars, Draws& draws) {
    for (Car& c : cars) c.timer = draws.integer(1, 6);
    for (Car& c : cars) {
      const double u = draws.uniform();
      c.speed = c.timer * ((u > 0.5) - (u < 0.5));
      c.timer = std::abs(c.speed);
    }
  }

  template <class Draws>
  static State reset(Draws& draws) {
    State s;
    randomise(s.cars, draws);
    return s;
  }

  template <class Draws>
  static Outcome step(State& s, int action, bool, Draws& draws) {
    Outcome out;
    if ((action == up || action == down) && s.move_timer == 0) {
      s.move_timer = rest;
      s.y = std::clamp(s.y + (action == up ? -1 : 1), 0, kerb);
    }
    if (s.y == 0) {
      out.reward = 1;
      randomise(s.cars, draws);
      s.y = kerb;
    }
    for (int i = 0; i < lanes; ++i) {
      Car& c = s.cars[static_cast<std::size_t>(i)];
      const auto hit = [&] {
        if (c.x == column && s.y == i + 1) s.y = kerb;
      };
      hit();
      if (c.timer == 0) {
        c.timer = std::abs(c.speed);
        c.x = (c.x + c.way() + grid) % grid;
        hit();
      } else {
        --c.timer;
      }
    }
    if (s.move_timer > 0) --s.move_timer;
    out.over = --s.steps_left < 0;
    return out;
  }

  static bool possible(const State& s) {
    return on_grid(s.y) && std::all_of(s.cars.begin(), s.cars.end(), [](const Car& c) {
             return on_grid(c.x) && c.speed >= -5 && c.speed <= 5;
           });
  }

  static void observe(const State& s, Picture<channels> picture) {
    picture.paint(column, s.y, chicken);
    for (int i = 0; i < lanes; ++i) {
      const Car& c = s.cars[static_cast<std::size_t>(i)];
      picture.paint(c.x, i + 1, car);
      picture.paint((c.x - c.way() + grid) % grid, i + 1, trail + std::abs(c.speed) - 1);
    }
  }
};

}  // namespace lowvar::minatar
