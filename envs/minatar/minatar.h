// MinAtar (Young & Tian 2019, arXiv:1903.03176): five small games with the looks of Atari's, written from
// their rules. A game G is
//   G::channels                     of its picture of 10 x 10 cells, each 0 or 1
//   G::minimal                      the actions that it has a use for; it takes all six
//   G::random                       whether a step draws random numbers
//   G::State                        plain
//   State reset(Draws&)
//   Outcome step(State&, int action, bool ramping, Draws&)      of a game that is not over
//   void observe(const State&, Picture<channels>)
//   bool possible(const State&)     whether a state that was stored is one to go on from
// where Draws gives, one after another, a uniform() in [0, 1) or an integer(low, high) in low ... high - 1.
// The order of draws is that of the original, so that a recording of them plays its games again (recorded.h).
// A step in which the game ends still runs to its end: what it earns later counts.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "core/error.h"
#include "core/shape.h"
#include "envs/env.h"

namespace lowvar::minatar {

inline constexpr int grid = 10;

/// x grows to the right, y downwards.
constexpr bool on_grid(int x) { return x >= 0 && x < grid; }

/// A bool as wide as an int. Between the members of a game's state lies nothing: it has one form as bytes.
using Flag = int;

enum Action : int { none, left, up, right, down, fire };

struct Outcome {
  int reward = 0;
  bool over = false;
};

/// A picture to be painted, all of it 0 at first.
template <int channels>
struct Picture {
  std::uint8_t* cells;
  void paint(int x, int y, int channel) const { cells[(y * grid + x) * channels + channel] = 1; }
};

struct RngDraws {
  static constexpr bool recorded = false;
  Rng& rng;
  double uniform() { return rng.uniform(); }
  int integer(int low, int high) { return low + static_cast<int>(rng.uniform() * (high - low)); }
};

/// What may be chosen of a game.
struct Variant {
  bool minimal = false;  // the actions: those it has a use for, or all six
  double sticky = 0.1;   // the probability with which the action played last is played again
  bool ramping = true;   // whether it becomes harder
};
inline constexpr Variant v0{.minimal = true, .sticky = 0}, v1{};

/// A game as an Environment.
///
/// The original's memory of the action played last is not cleared by its reset. Here a start is a fresh
/// state, and so is the memory, as in an original that was just made: nothing was played.
template <class Game>
struct MinAtar {
  using Action = int;
  using Observed = std::uint8_t;
  static constexpr ImageShape image{grid, grid, Game::channels};
  static constexpr int observation = grid * grid * Game::channels;
  static constexpr double gamma = 0.99;
  static constexpr int T = 10'000;  // the original has none

  struct State {
    typename Game::State game;
    int played = 0;
    Flag over = false;
    bool operator==(const State&) const = default;
  };
  static_assert(std::has_unique_object_representations_v<State>);

  Variant variant = v1;
  int actions = variant.minimal ? static_cast<int>(Game::minimal.size()) : 6;
  bool stochastic = variant.sticky > 0 || Game::random;

  State reset(Rng& rng) const {
    RngDraws draws{rng};
    return start(draws);
  }
  Step<State> step(const State& state, int action, Rng& rng) const {
    RngDraws draws{rng};
    Step<State> out{state, 0, false};
    const Outcome outcome = play(out.state, action, draws);
    out.reward = outcome.reward, out.terminated = outcome.over;
    return out;
  }
  void observe(const State& state, std::span<std::uint8_t> out) const {
    std::fill(out.begin(), out.end(), std::uint8_t{0});
    Game::observe(state.game, Picture<Game::channels>{out.data()});
  }
  bool terminal(const State& state) const { return state.over; }
  State load(std::span<const std::byte> bytes) const {
    State s{};
    expect(bytes.size() == sizeof s, "a state is ", sizeof s, " bytes, got ", bytes.size());
    std::memcpy(&s, bytes.data(), sizeof s);
    expect(s.played >= 0 && s.played < actions && Game::possible(s.game),
           "these bytes are no state of the game: something is off the grid");
    return s;
  }

  template <class Draws>
  State start(Draws& draws) const {
    return {Game::reset(draws)};
  }
  /// A step; of a game that is over it changes nothing but what was played.
  template <class Draws>
  Outcome play(State& state, int action, Draws& draws) const {
    // A recording has this draw also where nothing sticks.
    if (variant.sticky > 0 || Draws::recorded)
      if (draws.uniform() < variant.sticky) action = state.played;
    state.played = action;
    if (state.over) return {0, true};
    const int move = variant.minimal ? Game::minimal[static_cast<std::size_t>(action)] : action;
    const Outcome out = Game::step(state.game, move, variant.ramping, draws);
    state.over = out.over;
    return out;
  }
};

}  // namespace lowvar::minatar
