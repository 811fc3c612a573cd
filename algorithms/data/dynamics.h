// Dynamics that can be differentiated, of whatever environment, behind one face.
#pragma once

#include <bit>
#include <functional>
#include <vector>

#include "autograd/autograd.h"
#include "envs/states.h"

namespace lowvar {

/// The motion of trajectories side by side: a column is [N x 1], a number of N trajectories. Values of theirs
/// are without rounding and without what is drawn; both are added to them. Its functions may be called by
/// many threads at once.
struct Dynamics {
  using Column = Var<double>;
  using Columns = std::vector<Column>;

  int n = 0;                                // numbers of a state: those of States::numbers
  std::vector<double> low = {}, high = {};  // of actions; empty where any is meant
  /// Where each action, which is within the bounds, leads; where there is no `reward`, one column more, the
  /// reward.
  std::function<Columns(const Columns& state, const Columns& action)> next = nullptr;
  std::function<Column(const Columns& state, const Columns& action, const Columns& next)> reward = nullptr;
  /// What is seen of a state.
  std::function<Columns(const Columns& state)> sight = nullptr;
};

namespace detail {

/// Numbers as a struct of them, and back.
template <class To, class X, std::size_t n>
To of_columns(const std::vector<X>& x) {
  std::array<X, n> all;
  std::copy_n(x.begin(), n, all.begin());
  return std::bit_cast<To>(all);
}
template <class S>
std::vector<Var<double>> columns_of(const S& s) {
  constexpr std::size_t n = sizeof(S) / sizeof(Var<double>);
  const auto all = std::bit_cast<std::array<Var<double>, n>>(s);
  return {all.begin(), all.end()};
}

}  // namespace detail

template <DifferentiableEnvironment E>
Dynamics dynamics_of(const E& env) {
  using X = Var<double>;
  using State = typename E::template StateOf<X>;
  constexpr auto n = static_cast<std::size_t>(detail::numbers_of_state<E>());
  constexpr auto m = static_cast<std::size_t>(action_size<E>);
  static_assert(n > 0 && sizeof(State) == n * sizeof(X),
                "a state that can be differentiated is made of up to 64 numbers and of nothing else");
  constexpr auto state = detail::of_columns<State, X, n>;
  constexpr auto action = detail::of_columns<std::array<X, m>, X, m>;
  const Spaces spaces = spaces_of(env);
  return {.n = static_cast<int>(n),
          .low = spaces.any_action ? std::vector<double>() : spaces.action_low,
          .high = spaces.any_action ? std::vector<double>() : spaces.action_high,
          .next = [env](const auto& s,
                        const auto& a) { return detail::columns_of(env.next(state(s), action(a))); },
          .reward = [env](const auto& s, const auto& a,
                          const auto& to) { return env.reward(state(s), action(a), state(to)); },
          .sight = [env](const auto& s) { return detail::columns_of(env.sight(state(s))); }};
}

/// What is seen of all states, [n x p].
Array<double> observations(const States& states);

/// Those of any world without noise whose states are numbers and whose actions are vectors: derivatives are
/// central differences of its step and of what is seen, 1e-6 to both sides (what is seen in float32: 1e-3).
Dynamics dynamics_by_differences(const Spaces& spaces, MakeStates states);

}  // namespace lowvar
