// What an environment is. A value E with
//   E::State                        plain and copyable: whatever restarts from it is a loop
//   E::Action                       int, a choice among env.actions; or
//                                   std::array<double, n>, any numbers, of which those in
//                                   [E::action_low, E::action_high] are meant
//   env.observation                 length of an observation
//   State reset(Rng&) const
//   Step<State> step(const State&, const Action&, Rng&) const
//   void observe(const State&, std::span<double>) const      numbers rounded by float32()
// and, where it has them,
//   env.T, env.gamma                default time limit and discount
//   env.stochastic                  whether step draws random numbers; taken for true where it is not said
//   env.observation_low, _high      bounds of each component
// A step terminates or it does not; time limits belong to the rollout, which truncates.
#pragma once

#include <array>
#include <concepts>
#include <span>
#include <type_traits>

#include "core/random.h"

namespace lowvar {

/// x rounded to float32. A plain (double)(float)x is not enough: g++ 12 drops both conversions where it
/// vectorises straight-line code. Adding zero keeps them apart, and copysign keeps the sign of zero.
constexpr double float32(double x) {
  return __builtin_copysign(static_cast<double>(static_cast<float>(x) + 0.0F), x);
}

template <class State>
struct Step {
  State state;
  double reward;
  bool terminated;
};

namespace detail {
template <class A>
inline constexpr int action_size = 0;
template <std::size_t n>
inline constexpr int action_size<std::array<double, n>> = static_cast<int>(n);
}  // namespace detail

/// How many numbers an action of E is.
template <class E>
inline constexpr int action_size =
    std::same_as<typename E::Action, int> ? 1 : detail::action_size<typename E::Action>;

template <class E>
concept AnyActionEnvironment = std::copyable<typename E::State> &&
    requires(const E& env, const typename E::State& state, const typename E::Action& action, Rng& rng,
             std::span<double> out) {
  { env.observation } -> std::convertible_to<int>;
  { env.reset(rng) } -> std::same_as<typename E::State>;
  { env.step(state, action, rng) } -> std::same_as<Step<typename E::State>>;
  env.observe(state, out);
};

template <class E>
concept DiscreteEnvironment = AnyActionEnvironment<E> && std::same_as<typename E::Action, int> &&
    requires(const E& env) {
  { env.actions } -> std::convertible_to<int>;
};

template <class E>
concept ContinuousEnvironment =
    AnyActionEnvironment<E> &&(detail::action_size<typename E::Action> > 0) && requires {
  { E::action_low } -> std::convertible_to<typename E::Action>;
  { E::action_high } -> std::convertible_to<typename E::Action>;
};

template <class E>
concept Environment = DiscreteEnvironment<E> || ContinuousEnvironment<E>;

/// Whether step draws random numbers.
template <Environment E>
bool is_stochastic(const E& env) {
  if constexpr (requires { env.stochastic; })
    return env.stochastic;
  else
    return true;
}

/// Uniform over the actions, or between their bounds.
template <Environment E>
typename E::Action random_action(const E& env, Rng& rng) {
  if constexpr (DiscreteEnvironment<E>) {
    return static_cast<int>(rng.uniform() * env.actions);
  } else {
    typename E::Action a;
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = rng.uniform(E::action_low[i], E::action_high[i]);
    return a;
  }
}

}  // namespace lowvar
