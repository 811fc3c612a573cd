// Asterix: gold, which pays 1, and enemies, which end the game, cross eight rows, ever faster and more often.
#pragma once

#include <algorithm>

#include "envs/minatar/minatar.h"

namespace lowvar::minatar {

struct Asterix {
  static constexpr int channels = 4;
  enum Channel { player, enemy, trail, gold };
  static constexpr std::array minimal{none, left, up, right, down};
  static constexpr bool random = true;

  static constexpr int slots = 8, ramp_interval = 100;

  struct Slot {
    int x = 0;
    Flag filled = false, to_right = false, is_gold = false;
    bool operator==(const Slot&) const = default;
  };
  struct State {
    int x = 5, y = 5;  // of the player
    int spawn_interval = 10, spawn_timer = spawn_interval;
    int move_interval = 5, move_timer = move_interval;
    int ramp_timer = ramp_interval, ramp_index = 0;
    std::array<Slot, slots> row = {};  // slot i is in row i + 1
    bool operator==(const State&) const = default;
  };

  template <class Draws>
  static State reset(Draws&) {
    return {};
  }

  template <class Draws>
  static void spawn(State& s, Draws& draws) {
    const bool to_right = draws.uniform() < 0.5;
    const bool is_gold = draws.uniform() < 1.0 / 3;
    const auto empty =
        std::count_if(s.row.begin(), s.row.end(), [](const Slot& slot) { return !slot.filled; });
    if (empty == 0) return;
    int skip = draws.integer(0, static_cast<int>(empty));
    for (Slot& slot : s.row)
      if (!slot.filled && skip-- == 0) {
        slot = {to_right ? 0 : grid - 1, true, to_right, is_gold};
        return;
      }
  }

  template <class Draws>
  static Outcome step(State& s, int action, bool ramping, Draws& draws) {
    Outcome out;
    if (s.spawn_timer == 0) {
      spawn(s, draws);
      s.spawn_timer = s.spawn_interval;
    }

    if (action == left) s.x = std::max(0, s.x - 1);
    if (action == right) s.x = std::min(grid - 1, s.x + 1);
    if (action == up) s.y = std::max(1, s.y - 1);
    if (action == down) s.y = std::min(slots, s.y + 1);

    const auto meet = [&](int i) {
      Slot& slot = s.row[static_cast<std::size_t>(i)];
      if (!slot.filled || slot.x != s.x || i + 1 != s.y) return;
      if (slot.is_gold) {
        slot.filled = false;
        ++out.reward;
      } else {
        out.over = true;
      }
    };
    for (int i = 0; i < slots; ++i) meet(i);
    if (s.move_timer == 0) {
      s.move_timer = s.move_interval;
      for (int i = 0; i < slots; ++i) {
        Slot& slot = s.row[static_cast<std::size_t>(i)];
        slot.x += slot.to_right ? 1 : -1;
        if (!on_grid(slot.x)) slot.filled = false;
        meet(i);
      }
    }
    --s.spawn_timer;
    --s.move_timer;

    if (ramping && (s.spawn_interval > 1 || s.move_interval > 1)) {
      if (s.ramp_timer >= 0) {
        --s.ramp_timer;
      } else {
        if (s.move_interval > 1 && s.ramp_index % 2 == 1) --s.move_interval;
        if (s.spawn_interval > 1) --s.spawn_interval;
        ++s.ramp_index;
        s.ramp_timer = ramp_interval;
      }
    }
    return out;
  }

  static bool possible(const State& s) {
    return on_grid(s.x) && on_grid(s.y) && std::all_of(s.row.begin(), s.row.end(), [](const Slot& slot) {
             return !slot.filled || on_grid(slot.x);
           });
  }

  static void observe(const State& s, Picture<channels> picture) {
    picture.paint(s.x, s.y, player);
    for (int i = 0; i < slots; ++i) {
      const Slot& slot = s.row[static_cast<std::size_t>(i)];
      if (!slot.filled) continue;
      picture.paint(slot.x, i + 1, slot.is_gold ? gold : enemy);
      const int behind = slot.x + (slot.to_right ? -1 : 1);
      if (on_grid(behind)) picture.paint(behind, i + 1, trail);
    }
  }
};

}  // namespace lowvar::minatar
