// Breakout: a paddle, a ball that goes along diagonals, three rows of bricks that pay 1 each and come back
// once all are gone.
#pragma once

#include <algorithm>

#include "envs/minatar/minatar.h"

namespace lowvar::minatar {

struct Breakout {
  static constexpr int channels = 4;
  enum Channel { paddle, ball, trail, brick };
  static constexpr std::array minimal{none, left, right};
  static constexpr bool random = false;

  /// Up-left, up-right, down-right, down-left: 1 bit mirrors left and right, 3 less it mirrors up and down.
  using Direction = int;

  static constexpr int first_row = 1, rows = 3, bottom = grid - 1;
  static constexpr std::uint32_t wall = (1U << (rows * grid)) - 1;  // all bricks, a bit each

  struct State {
    int x, y;            // the ball
    int last_x, last_y;  // where it was
    Direction direction;
    int paddle = 4;
    std::uint32_t bricks = wall;
    Flag struck = false;  // a brick, in steps one after another
    bool operator==(const State&) const = default;
  };

  static std::uint32_t brick_at(int x, int y) {
    return y >= first_row && y < first_row + rows ? 1U << ((y - first_row) * grid + x) : 0;
  }

  template <class Draws>
  static State reset(Draws& draws) {
    const bool from_right = draws.integer(0, 2) == 1;
    const int x = from_right ? grid - 1 : 0;
    return {x, 3, x, 3, from_right ? 3 : 2};
  }

  template <class Draws>
  static Outcome step(State& s, int action, bool, Draws&) {
    Outcome out;
    if (action == left) s.paddle = std::max(0, s.paddle - 1);
    if (action == right) s.paddle = std::min(grid - 1, s.paddle + 1);

    s.last_x = s.x, s.last_y = s.y;
    int x = s.x + (s.direction == 1 || s.direction == 2 ? 1 : -1), y = s.y + (s.direction >= 2 ? 1 : -1);
    if (!on_grid(x)) {
      x = std::clamp(x, 0, grid - 1);
      s.direction ^= 1;
    }
    bool touching = false;
    if (y < 0) {
      y = 0;
      s.direction = 3 - s.direction;
    } else if (const std::uint32_t hit = s.bricks & brick_at(x, y)) {
      touching = true;
      if (!s.struck) {
        out.reward = 1;
        s.struck = true;
        s.bricks ^= hit;
        y = s.last_y;
        s.direction = 3 - s.direction;
      }
    } else if (y == bottom) {
      if (s.bricks == 0) s.bricks = wall;
      if (s.x == s.paddle) {
        s.direction = 3 - s.direction;
        y = s.last_y;
      } else if (x == s.paddle) {
        s.direction ^= 2;
        y = s.last_y;
      } else {
        out.over = true;
      }
    }
    if (!touching) s.struck = false;
    s.x = x, s.y = y;
    return out;
  }

  static bool possible(const State& s) {
    return on_grid(s.x) && on_grid(s.y) && on_grid(s.last_x) && on_grid(s.last_y) && on_grid(s.paddle) &&
           s.direction >= 0 && s.direction < 4;
  }

  static void observe(const State& s, Picture<channels> picture) {
    picture.paint(s.paddle, bottom, paddle);
    picture.paint(s.x, s.y, ball);
    picture.paint(s.last_x, s.last_y, trail);
    for (int i = 0; i < rows * grid; ++i)
      picture.cells[(first_row * grid + i) * channels + brick] = s.bricks >> i & 1;
  }
};

}  // namespace lowvar::minatar
