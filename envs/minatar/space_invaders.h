// Space Invaders: aliens come down row by row and shoot; each that is shot pays 1, and each wave after the
// first is faster.
#pragma once

#include <algorithm>
#include <bit>

#include "envs/minatar/minatar.h"

namespace lowvar::minatar {

struct SpaceInvaders {
  static constexpr int channels = 6;
  enum Channel { cannon, alien, alien_left, alien_right, friendly_bullet, enemy_bullet };
  static constexpr std::array minimal{none, left, right, fire};
  static constexpr bool random = false;

  static constexpr int bottom = grid - 1, shot_interval = 5, alien_shot_interval = 10;

  /// Rows of cells, cell x being bit x.
  using Map = std::array<std::uint32_t, grid>;
  static constexpr bool has(const Map& map, int x, int y) {
    return map[static_cast<std::size_t>(y)] >> x & 1;
  }
  static constexpr void put(Map& map, int x, int y) { map[static_cast<std::size_t>(y)] |= 1U << x; }
  static constexpr Map wave() {
    Map out{};
    for (int y = 0; y < 4; ++y)
      for (int x = 2; x < 8; ++x) put(out, x, y);
    return out;
  }
  static int count(const Map& map) {
    int out = 0;
    for (const std::uint32_t row : map) out += std::popcount(row);
    return out;
  }
  static bool in_column(const Map& map, int x) {
    return std::any_of(map.begin(), map.end(), [x](std::uint32_t row) { return row >> x & 1; });
  }

  struct State {
    int x = 5;  // of the cannon
    Map bullets = {}, enemy_bullets = {}, aliens = wave();
    int way = -1;  // of the aliens
    int move_interval = 12, move_timer = move_interval;
    int alien_shot_timer = alien_shot_interval, shot_timer = 0;
    bool operator==(const State&) const = default;
  };

  template <class Draws>
  static State reset(Draws&) {
    return {};
  }

  /// An enemy bullet where the lowest alien of the nearest column is, of two the left one.
  static void shoot(State& s) {
    for (int distance = 0; distance < grid; ++distance)
      for (const int x : {s.x - distance, s.x + distance}) {
        if (!on_grid(x)) continue;
        for (int y = bottom; y >= 0; --y)
          if (has(s.aliens, x, y)) return put(s.enemy_bullets, x, y);
      }
  }

  template <class Draws>
  static Outcome step(State& s, int action, bool ramping, Draws&) {
    Outcome out;
    if (action == fire && s.shot_timer == 0) {
      put(s.bullets, s.x, bottom);
      s.shot_timer = shot_interval;
    }
    if (action == left) s.x = std::max(0, s.x - 1);
    if (action == right) s.x = std::min(grid - 1, s.x + 1);

    std::rotate(s.bullets.begin(), s.bullets.begin() + 1, s.bullets.end());
    s.bullets.back() = 0;
    std::rotate(s.enemy_bullets.begin(), s.enemy_bullets.end() - 1, s.enemy_bullets.end());
    s.enemy_bullets.front() = 0;
    const auto hits_cannon = [&](const Map& map) { return has(map, s.x, bottom); };
    out.over = hits_cannon(s.enemy_bullets) || hits_cannon(s.aliens);

    if (s.move_timer == 0) {
      s.move_timer = std::min(count(s.aliens), s.move_interval);
      if (in_column(s.aliens, s.way < 0 ? 0 : grid - 1)) {
        s.way = -s.way;
        if (s.aliens.back() != 0) out.over = true;
        std::rotate(s.aliens.begin(), s.aliens.end() - 1, s.aliens.end());
      } else {
        for (std::uint32_t& row : s.aliens) row = s.way < 0 ? row >> 1 : row << 1;
      }
      if (hits_cannon(s.aliens)) out.over = true;
    }
    if (s.alien_shot_timer == 0) {
      s.alien_shot_timer = alien_shot_interval;
      shoot(s);
    }
    for (std::size_t y = 0; y < grid; ++y) {
      const std::uint32_t killed = s.aliens[y] & s.bullets[y];
      out.reward += std::popcount(killed);
      s.aliens[y] ^= killed, s.bullets[y] ^= killed;
    }
    if (s.shot_timer > 0) --s.shot_timer;
    --s.move_timer;
    --s.alien_shot_timer;
    if (count(s.aliens) == 0) {
      if (ramping && s.move_interval > 6) --s.move_interval;
      s.aliens = wave();
    }
    return out;
  }

  static bool possible(const State& s) {
    const auto inside = [](const Map& map) {
      return std::all_of(map.begin(), map.end(), [](std::uint32_t row) { return row >> grid == 0; });
    };
    return on_grid(s.x) && inside(s.bullets) && inside(s.enemy_bullets) && inside(s.aliens) &&
           count(s.aliens) > 0;
  }

  static void observe(const State& s, Picture<channels> picture) {
    picture.paint(s.x, bottom, cannon);
    const auto paint = [&](const Map& map, int channel) {
      for (int y = 0; y < grid; ++y)
        for (std::uint32_t row = map[static_cast<std::size_t>(y)]; row != 0; row &= row - 1)
          picture.paint(std::countr_zero(row), y, channel);
    };
    paint(s.aliens, alien);
    paint(s.aliens, s.way < 0 ? alien_left : alien_right);
    paint(s.bullets, friendly_bullet);
    paint(s.enemy_bullets, enemy_bullet);
  }
};

}  // namespace lowvar::minatar
