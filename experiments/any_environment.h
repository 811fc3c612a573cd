// Any environment behind one face, its states and actions lists of numbers: what the `env` commands play.
#pragma once

#include <bit>
#include <memory>
#include <vector>

#include "envs/env.h"
#include "envs/tabular_environment.h"

namespace lowvar {

class AnyEnvironment {
 public:
  using Numbers = std::vector<double>;

  int state_size, observation_size, action_size;
  int actions = 0;  // how many to choose from; 0: an action is action_size numbers
  int states = 0;   // how many there are; 0: a state is state_size numbers
  bool stochastic;

  virtual Numbers reset(Rng& rng) const = 0;
  virtual Step<Numbers> step(const Numbers& state, const Numbers& action, Rng& rng) const = 0;
  virtual Numbers observe(const Numbers& state) const = 0;
  virtual Numbers random_action(Rng& rng) const = 0;
  virtual ~AnyEnvironment() = default;
};

/// States are ints or made of doubles alone.
template <Environment E>
class AnyEnvironmentOf final : public AnyEnvironment {
  using State = typename E::State;
  using Action = typename E::Action;
  static constexpr bool counted = std::same_as<State, int>;
  using Doubles = std::array<double, counted ? 1 : sizeof(State) / sizeof(double)>;

  static State state_of(const Numbers& x) {
    if constexpr (counted) {
      return static_cast<int>(x[0]);
    } else {
      Doubles d;
      std::copy_n(x.begin(), d.size(), d.begin());
      return std::bit_cast<State>(d);
    }
  }
  static Numbers numbers_of(const State& s) {
    if constexpr (counted) {
      return {static_cast<double>(s)};
    } else {
      const auto d = std::bit_cast<Doubles>(s);
      return {d.begin(), d.end()};
    }
  }
  static Action action_of(const Numbers& x) {
    if constexpr (DiscreteEnvironment<E>) {
      return static_cast<int>(x[0]);
    } else {
      Action a;
      std::copy_n(x.begin(), a.size(), a.begin());
      return a;
    }
  }

 public:
  explicit AnyEnvironmentOf(E env) : env_(std::move(env)) {
    state_size = static_cast<int>(Doubles{}.size());
    observation_size = env_.observation;
    action_size = lowvar::action_size<E>;
    stochastic = is_stochastic(env_);
    if constexpr (DiscreteEnvironment<E>) actions = env_.actions;
    if constexpr (std::same_as<E, TabularEnvironment>) states = env_.mdp->S;
  }

  Numbers reset(Rng& rng) const override { return numbers_of(env_.reset(rng)); }
  Step<Numbers> step(const Numbers& state, const Numbers& action, Rng& rng) const override {
    const auto step = env_.step(state_of(state), action_of(action), rng);
    return {numbers_of(step.state), step.reward, step.terminated};
  }
  Numbers observe(const Numbers& state) const override {
    Numbers out(static_cast<std::size_t>(observation_size));
    env_.observe(state_of(state), out);
    return out;
  }
  Numbers random_action(Rng& rng) const override {
    const Action a = lowvar::random_action(env_, rng);
    if constexpr (DiscreteEnvironment<E>)
      return {static_cast<double>(a)};
    else
      return {a.begin(), a.end()};
  }

 private:
  E env_;
};

template <Environment E>
std::shared_ptr<const AnyEnvironment> any_environment(E env) {
  return std::make_shared<AnyEnvironmentOf<E>>(std::move(env));
}

}  // namespace lowvar
