// Worlds that are small in every way, of kinds that others are large of.
#pragma once

#include "envs/env.h"

namespace lowvar {

/// Images of 4 x 5 pixels of two colours; which way they turn is drawn. Paid for pressing what the first
/// pixel says.
struct Flicker {
  struct State {
    std::uint8_t seen[40];
  };
  using Action = int;
  using Observed = std::uint8_t;
  static constexpr int actions = 3, observation = 40, T = 9;
  static constexpr double gamma = 0.9, unit = 1.0 / 255;
  static constexpr ImageShape image{4, 5, 2};

  static State drawn(Rng& rng) {
    State out;
    for (auto& each : out.seen) each = static_cast<std::uint8_t>(rng.uniform() * 256);
    return out;
  }
  State reset(Rng& rng) const { return drawn(rng); }
  Step<State> step(const State& s, int action, Rng& rng) const {
    return {drawn(rng), action == s.seen[0] % 3 ? 1.0 : 0.0, rng.uniform() < 0.1};
  }
  void observe(const State& s, std::span<std::uint8_t> out) const {
    std::copy(std::begin(s.seen), std::end(s.seen), out.begin());
  }
};

/// Two levers, of three and of two positions, paid by where they stand together and by a number that is
/// drawn.
struct Levers {
  struct State {
    double x;
  };
  using Action = std::array<double, 2>;
  static constexpr int observation = 1, T = 9;
  static constexpr double gamma = 0.9;
  static constexpr std::array<int, 2> levels{3, 2};
  static constexpr Action action_low{0, 0}, action_high{2, 1};
  static constexpr double pays[3][2] = {{0, 1}, {2, -1}, {0.5, 3}};

  State reset(Rng& rng) const { return {float32(rng.uniform())}; }
  Step<State> step(const State& s, const Action& a, Rng& rng) const {
    const auto i = static_cast<std::size_t>(a[0]), j = static_cast<std::size_t>(a[1]);
    return {{float32(rng.uniform())}, s.x * pays[i][j], false};
  }
  void observe(const State& s, std::span<double> out) const { out[0] = s.x; }
};

}  // namespace lowvar
