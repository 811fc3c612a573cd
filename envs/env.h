// What an environment is. A value E with
//   E::State                        plain and copyable: whatever restarts from it is a loop
//   E::Action                       int, a choice among env.actions; or
//                                   std::array<double, n>, any numbers, of which those in
//                                   [env.action_low, env.action_high] are meant
//   env.observation                 length of an observation
//   State reset(Rng&) const
//   Step<State> step(const State&, const Action&, Rng&) const
//   void observe(const State&, std::span<double>) const      numbers rounded by float32()
// and, where it has them,
//   env.T, env.gamma                default time limit and discount
//   env.stochastic                  whether step draws random numbers; taken for true where it is not said
//   E::dear                         true: a step costs so much that a thread takes one at a time, as
//                                   with a physics engine; others are stepped in blocks, which costs
//                                   less than threads that meet
//   E::any_action                   true: vectors outside the bounds are meant too, and are never clipped
//   env.observation_low, _high      bounds of each component
//   env.levels                      std::array<int, n>: component j of a vector is one of the whole numbers
//                                   0 ... levels[j] - 1, and the bounds are these
//   env.image, env.unit             an ImageShape, where an observation is an image; and what a 1 in it means
//                                   to a network, 1 where it is not said (1/255 for grey values)
//   E::Observed                     what observations are: float, which is the default; double, not rounded;
//                                   std::uint8_t, and then observe writes to a std::span<std::uint8_t>
//   bool terminal(const State&) const          whether a start is an end already
//   E::Scratch, Scratch scratch() const        memory to work in, a physics engine's: reset, step and observe
//                                   then take a Scratch& as their last argument. What is left in it must not
//                                   matter.
//   std::vector<double> numbers(const State&) const, State state_of(std::span<const double>) const
//                                   a state as numbers that a person reads and writes, not needed for an int
//                                   nor for a struct of up to 64 doubles
//   void save(const State&, std::vector<std::byte>&) const, State load(std::span<const std::byte>) const
//                                   appends all of a state, and makes it again; not needed where State is
//                                   trivially copyable, nor for a std::vector of what is
// A step terminates or it does not; time limits belong to the rollout, which truncates.
//
// Where actions are vectors and the motion can be differentiated, it is written once, for any number X: a
// double, or a Var whose rows are trajectories side by side.
//   template <class X> using StateOf           a state of n Xs and nothing else; StateOf<double> is State
//   StateOf<X> next(const StateOf<X>&, const std::array<X, m>& action) const
//                                              where step leads, but for rounding and what is drawn, which is
//                                              added to it
//   X reward(const StateOf<X>&, const std::array<X, m>& action, const StateOf<X>& next) const
//   std::array<X, E::observation> sight(const StateOf<X>&) const     what is observed, but for rounding
// A derivative along a trajectory knows nothing of jumps and of where episodes end.
//
// Threads: all of these are const, and many threads call them on one environment at once, each with a State,
// an Rng and a Scratch of its own.
#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <span>
#include <type_traits>

#include "core/random.h"

namespace lowvar {

/// x rounded to float32. A plain (double)(float)x is not enough: g++ 12 drops both conversions where it
/// vectorises straight-line code. Adding zero keeps them apart, and copysign keeps the sign of zero.
constexpr double float32(double x) {
  return __builtin_copysign(static_cast<double>(static_cast<float>(x) + 0.0F), x);
}

/// Numbers as they are observed, each rounded.
template <std::size_t p>
void round_into(std::span<double> out, const std::array<double, p>& x) {
  for (std::size_t j = 0; j < p; ++j) out[j] = float32(x[j]);
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

struct NoScratch {};
template <class E>
struct ScratchOf {
  using type = NoScratch;
};
template <class E>
requires requires { typename E::Scratch; }
struct ScratchOf<E> {
  using type = typename E::Scratch;
};

template <class E>
struct ObservedOf {
  using type = float;
};
template <class E>
requires requires { typename E::Observed; }
struct ObservedOf<E> {
  using type = typename E::Observed;
};
}  // namespace detail

/// The memory that E works in; empty where it needs none.
template <class E>
using Scratch = typename detail::ScratchOf<E>::type;
template <class E>
inline constexpr bool has_scratch = !std::same_as<Scratch<E>, detail::NoScratch>;

/// What an observation of E is made of, and what `observe` writes.
template <class E>
using Observed = typename detail::ObservedOf<E>::type;
template <class E>
using Written = std::conditional_t<std::same_as<Observed<E>, std::uint8_t>, std::uint8_t, double>;

/// How many numbers an action of E is.
template <class E>
inline constexpr int action_size =
    std::same_as<typename E::Action, int> ? 1 : detail::action_size<typename E::Action>;

// The three functions of an environment, with or without scratch memory.

template <class E>
typename E::State reset(const E& env, Rng& rng, Scratch<E>& scratch) {
  if constexpr (has_scratch<E>)
    return env.reset(rng, scratch);
  else
    return env.reset(rng);
}
template <class E>
Step<typename E::State> step(const E& env, const typename E::State& state, const typename E::Action& action,
                             Rng& rng, Scratch<E>& scratch) {
  if constexpr (has_scratch<E>)
    return env.step(state, action, rng, scratch);
  else
    return env.step(state, action, rng);
}
template <class E>
void observe(const E& env, const typename E::State& state, std::span<Written<E>> out, Scratch<E>& scratch) {
  if constexpr (has_scratch<E>)
    env.observe(state, out, scratch);
  else
    env.observe(state, out);
}
template <class E>
Scratch<E> make_scratch([[maybe_unused]] const E& env) {
  if constexpr (has_scratch<E>)
    return env.scratch();
  else
    return {};
}

template <class E>
concept AnyActionEnvironment = std::copyable<typename E::State> &&
    requires(const E& env, const typename E::State& state, const typename E::Action& action, Rng& rng,
             std::span<Written<E>> out, Scratch<E>& scratch) {
  { env.observation } -> std::convertible_to<int>;
  requires(!has_scratch<E>) || requires {
    { env.reset(rng, scratch) } -> std::same_as<typename E::State>;
    { env.step(state, action, rng, scratch) } -> std::same_as<Step<typename E::State>>;
    env.observe(state, out, scratch);
    env.scratch();
  };
  requires has_scratch<E> || requires {
    { env.reset(rng) } -> std::same_as<typename E::State>;
    { env.step(state, action, rng) } -> std::same_as<Step<typename E::State>>;
    env.observe(state, out);
  };
};

template <class E>
concept DiscreteEnvironment = AnyActionEnvironment<E> && std::same_as<typename E::Action, int> &&
    requires(const E& env) {
  { env.actions } -> std::convertible_to<int>;
};

template <class E>
concept ContinuousEnvironment = AnyActionEnvironment<E> &&(detail::action_size<typename E::Action> > 0) &&
                                requires(const E& env) {
  { env.action_low } -> std::convertible_to<typename E::Action>;
  { env.action_high } -> std::convertible_to<typename E::Action>;
};

template <class E>
concept Environment = DiscreteEnvironment<E> || ContinuousEnvironment<E>;

template <class E>
concept DifferentiableEnvironment =
    ContinuousEnvironment<E> && std::same_as < typename E::template StateOf<double>,
typename E::State >
    &&requires(const E& env, const typename E::State& state, const typename E::Action& action) {
  { env.next(state, action) } -> std::same_as<typename E::State>;
  { env.reward(state, action, state) } -> std::same_as<double>;
  { env.sight(state) } -> std::same_as<std::array<double, static_cast<std::size_t>(E::observation)>>;
};

/// Whether step draws random numbers.
template <Environment E>
bool is_stochastic(const E& env) {
  if constexpr (requires { env.stochastic; })
    return env.stochastic;
  else
    return true;
}

/// Uniform over the actions, or over the choices of each component, or between the bounds.
template <Environment E>
typename E::Action random_action(const E& env, Rng& rng) {
  if constexpr (DiscreteEnvironment<E>) {
    return static_cast<int>(rng.uniform() * env.actions);
  } else {
    typename E::Action a;
    for (std::size_t i = 0; i < a.size(); ++i)
      if constexpr (requires { env.levels; })
        a[i] = std::floor(rng.uniform() * env.levels[i]);
      else
        a[i] = rng.uniform(env.action_low[i], env.action_high[i]);
    return a;
  }
}

}  // namespace lowvar
