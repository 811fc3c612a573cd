// Seaquest: a submarine shoots fish and submarines, which pays 1 each, collects divers, and has to come up
// for air, with a diver aboard; six divers pay by the oxygen that is left.
#pragma once

#include <algorithm>

#include "envs/minatar/minatar.h"

namespace lowvar::minatar {

struct Seaquest {
  static constexpr int channels = 10;
  enum Channel {
    sub_front,
    sub_back,
    friendly_bullet,
    trail,
    enemy_bullet,
    enemy_fish,
    enemy_sub,
    oxygen_gauge,
    diver_gauge,
    diver
  };
  static constexpr std::array minimal{none, left, up, right, down, fire};
  static constexpr bool random = true;

  static constexpr int full_oxygen = 200, crew = 6, shot_interval = 5, enemy_shot_interval = 10,
                       diver_interval = 30, diver_move_interval = 5;

  struct Bullet {
    int x, y;
    Flag to_right;
    bool operator==(const Bullet&) const = default;
  };
  struct Swimmer {  // a fish or a diver
    int x, y;
    Flag to_right;
    int move_timer;
    bool operator==(const Swimmer&) const = default;
  };
  struct EnemySub {
    int x, y;
    Flag to_right;
    int move_timer, shot_timer;
    bool operator==(const EnemySub&) const = default;
  };

  /// In the order of birth.
  template <class X, int capacity>
  struct List {
    int size = 0;
    std::array<X, capacity> item = {};

    X* begin() { return item.data(); }
    X* end() { return item.data() + size; }
    const X* begin() const { return item.data(); }
    const X* end() const { return item.data() + size; }
    X& operator[](int i) { return item[static_cast<std::size_t>(i)]; }

    void push(const X& x) {
      expect(size < capacity, "a game has at most ", capacity,
             " of these at once; its state was not one of a game");
      (*this)[size++] = x;
    }
    /// The first that equals item i goes, later ones move up. Where item i is now, or -1 where it went.
    int remove(int i) {
      X* const first = std::find(begin(), end(), (*this)[i]);
      const bool itself = first == begin() + i;
      std::move(first + 1, end(), first);
      --size;
      return itself ? -1 : i - 1;
    }
    /// The same for the first at (x, y); whether there is one.
    bool remove_at(int x, int y) {
      for (int i = 0; i < size; ++i)
        if ((*this)[i].x == x && (*this)[i].y == y) {
          remove(i);
          return true;
        }
      return false;
    }
    bool operator==(const List&) const = default;
  };

  // What moves is off the grid with its tenth move at the latest.
  // - Enemies: with move interval M one lives for 10 (M + 1) steps at most. M is 2 from the sixth ramp on: of
  //   these, one a step, there are at most 30. Before, M is at most 5 and 15 or more steps lie between two:
  //   of these there are at most 60 / 15 = 4.
  // - Enemy bullets: one lives for 10 steps, in which a submarine shoots once, so there are no more than
  // enemies
  //   that lived within 10 steps: 40 and 5.
  // - Divers live for 60 steps, and there is one every 30; own bullets for 10, and there is one every 5.
  static constexpr int most_enemies = 40, most_enemy_bullets = 50, most_divers = 4, most_bullets = 4;

  struct State {
    int x = 5, y = 0;
    Flag to_right = false, surfaced = true;
    int oxygen = full_oxygen, aboard = 0;
    int spawn_interval = 20, spawn_timer = spawn_interval, diver_timer = diver_interval, move_interval = 5,
        ramp_index = 0, shot_timer = 0;
    List<Bullet, most_bullets> bullets = {};
    List<Bullet, most_enemy_bullets> enemy_bullets = {};
    List<Swimmer, most_enemies> fish = {};
    List<EnemySub, most_enemies> subs = {};
    List<Swimmer, most_divers> divers = {};
    bool operator==(const State&) const = default;
  };

  static bool meets(const State& s, const auto& other) { return other.x == s.x && other.y == s.y; }
  static void advance(auto& swimmer) { swimmer.x += swimmer.to_right ? 1 : -1; }

  template <class Draws>
  static State reset(Draws&) {
    return {};
  }

  template <class Draws>
  static void spawn_enemy(State& s, Draws& draws) {
    const bool to_right = draws.uniform() < 0.5;
    const bool is_sub = draws.uniform() < 1.0 / 3;
    const int y = draws.integer(1, 9), x = to_right ? 0 : grid - 1;
    const auto against = [&](const auto& enemy) { return enemy.y == y && enemy.to_right != to_right; };
    if (std::any_of(s.subs.begin(), s.subs.end(), against) ||
        std::any_of(s.fish.begin(), s.fish.end(), against))
      return;
    if (is_sub)
      s.subs.push({x, y, to_right, s.move_interval, enemy_shot_interval});
    else
      s.fish.push({x, y, to_right, s.move_interval});
  }

  template <class Draws>
  static void spawn_diver(State& s, Draws& draws) {
    const bool to_right = draws.uniform() < 0.5;
    s.divers.push({to_right ? 0 : grid - 1, draws.integer(1, 9), to_right, diver_move_interval});
  }

  static void move_player(State& s, int action) {
    if (action == fire && s.shot_timer == 0) {
      s.bullets.push({s.x, s.y, s.to_right});
      s.shot_timer = shot_interval;
    }
    if (action == left) s.x = std::max(0, s.x - 1), s.to_right = false;
    if (action == right) s.x = std::min(grid - 1, s.x + 1), s.to_right = true;
    if (action == up) s.y = std::max(0, s.y - 1);
    if (action == down) s.y = std::min(grid - 2, s.y + 1);
  }

  static void move_bullets(State& s, Outcome& out) {
    for (int i = s.bullets.size - 1; i >= 0; --i) {
      Bullet& bullet = s.bullets[i];
      advance(bullet);
      if (!on_grid(bullet.x)) {
        s.bullets.remove(i);
      } else if (s.fish.remove_at(bullet.x, bullet.y) || s.subs.remove_at(bullet.x, bullet.y)) {
        s.bullets.remove(i);
        ++out.reward;
      }
    }
  }

  static void move_divers(State& s) {
    for (int i = s.divers.size - 1; i >= 0; --i) {
      Swimmer& d = s.divers[i];
      const auto taken = [&] {
        if (!meets(s, d) || s.aboard >= crew) return false;
        s.divers.remove(i);
        ++s.aboard;
        return true;
      };
      if (taken()) continue;
      if (d.move_timer > 0) {
        --d.move_timer;
        continue;
      }
      d.move_timer = diver_move_interval;
      advance(d);
      if (!on_grid(d.x))
        s.divers.remove(i);
      else
        taken();
    }
  }

  /// Moves one of the enemies when it is its time; whether it is gone, off the grid or hit.
  static bool move_enemy(State& s, auto& enemy, Outcome& out) {
    if (meets(s, enemy)) out.over = true;
    if (enemy.move_timer > 0) {
      --enemy.move_timer;
      return false;
    }
    enemy.move_timer = s.move_interval;
    advance(enemy);
    if (!on_grid(enemy.x)) return true;
    if (meets(s, enemy)) {
      out.over = true;
      return false;
    }
    const bool hit = s.bullets.remove_at(enemy.x, enemy.y);
    out.reward += hit;
    return hit;
  }

  static void move_subs(State& s, Outcome& out) {
    for (int i = s.subs.size - 1; i >= 0; --i) {
      const bool gone = move_enemy(s, s.subs[i], out);
      EnemySub sub = s.subs[i];
      const int at = gone ? s.subs.remove(i) : i;
      if (sub.shot_timer == 0) {  // also of one that has just gone
        sub.shot_timer = enemy_shot_interval;
        s.enemy_bullets.push({sub.x, sub.y, sub.to_right});
      } else {
        --sub.shot_timer;
      }
      if (at >= 0) s.subs[at] = sub;
    }
  }

  static void move_enemy_bullets(State& s, Outcome& out) {
    for (int i = s.enemy_bullets.size - 1; i >= 0; --i) {
      Bullet& bullet = s.enemy_bullets[i];
      if (meets(s, bullet)) out.over = true;
      advance(bullet);
      if (!on_grid(bullet.x))
        s.enemy_bullets.remove(i);
      else if (meets(s, bullet))
        out.over = true;
    }
  }

  static void move_fish(State& s, Outcome& out) {
    for (int i = s.fish.size - 1; i >= 0; --i)
      if (move_enemy(s, s.fish[i], out)) s.fish.remove(i);
  }

  /// Without a diver aboard the game ends. Six are paid for, and leave one too few: -1 survives the next
  /// time.
  static void surface(State& s, bool ramping, Outcome& out) {
    if (s.aboard == 0) {
      out.over = true;
      return;
    }
    s.surfaced = true;
    if (s.aboard == crew) {
      s.aboard = 0;
      out.reward += s.oxygen * grid / full_oxygen;
    }
    s.oxygen = full_oxygen;
    --s.aboard;
    if (ramping && (s.spawn_interval > 1 || s.move_interval > 2)) {
      if (s.move_interval > 2 && s.ramp_index % 2 == 1) --s.move_interval;
      if (s.spawn_interval > 1) --s.spawn_interval;
      ++s.ramp_index;
    }
  }

  template <class Draws>
  static Outcome step(State& s, int action, bool ramping, Draws& draws) {
    Outcome out;
    if (s.spawn_timer == 0) {
      spawn_enemy(s, draws);
      s.spawn_timer = s.spawn_interval;
    }
    if (s.diver_timer == 0) {
      spawn_diver(s, draws);
      s.diver_timer = diver_interval;
    }
    move_player(s, action);
    move_bullets(s, out);
    move_divers(s);
    move_subs(s, out);
    move_enemy_bullets(s, out);
    move_fish(s, out);
    for (int* const timer : {&s.spawn_timer, &s.diver_timer, &s.shot_timer})
      if (*timer > 0) --*timer;
    if (s.oxygen <= 0) out.over = true;
    if (s.y > 0) {
      --s.oxygen;
      s.surfaced = false;
    } else if (!s.surfaced) {
      surface(s, ramping, out);
    }
    return out;
  }

  static bool possible(const State& s) {
    const auto inside = [](const auto& list) {
      return list.size >= 0 && list.size <= static_cast<int>(list.item.size()) &&
             std::all_of(list.begin(), list.end(),
                         [](const auto& each) { return on_grid(each.x) && on_grid(each.y); });
    };
    return on_grid(s.x) && on_grid(s.x + (s.to_right ? -1 : 1)) && on_grid(s.y) && s.aboard <= crew &&
           s.oxygen <= full_oxygen && inside(s.bullets) && inside(s.enemy_bullets) && inside(s.fish) &&
           inside(s.subs) && inside(s.divers);
  }

  static void observe(const State& s, Picture<channels> picture) {
    picture.paint(s.x, s.y, sub_front);
    picture.paint(s.x + (s.to_right ? -1 : 1), s.y, sub_back);  // at a wall it faces the wall
    for (int x = 0; x < std::max(0, s.oxygen) * grid / full_oxygen; ++x)
      picture.paint(x, grid - 1, oxygen_gauge);
    for (int x = grid - 1 - s.aboard; x < grid - 1; ++x) picture.paint(x, grid - 1, diver_gauge);
    const auto paint = [&](const auto& list, int channel, bool trails) {
      for (const auto& each : list) {
        picture.paint(each.x, each.y, channel);
        const int behind = each.x + (each.to_right ? -1 : 1);
        if (trails && on_grid(behind)) picture.paint(behind, each.y, trail);
      }
    };
    paint(s.bullets, friendly_bullet, false);
    paint(s.enemy_bullets, enemy_bullet, false);
    paint(s.fish, enemy_fish, true);
    paint(s.subs, enemy_sub, true);
    paint(s.divers, diver, true);
  }
};

}  // namespace lowvar::minatar
