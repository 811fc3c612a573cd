// A world at run time: states of an environment side by side, whatever their type, behind one face. Sampling,
// training and playing all step worlds through it.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/error.h"
#include "core/shape.h"
#include "envs/env.h"

namespace lowvar {

/// What a world takes and gives.
struct Spaces {
  int A = 0;  // actions to choose from; 0 where they are vectors
  int m = 0;  // length of a vector that acts; 0 where actions are choices
  std::vector<double> action_low = {}, action_high = {};  // [m]
  bool any_action = false;                                // vectors outside the bounds are meant too
  std::vector<int> levels = {};  // [m], of vectors of choices: component j is one of 0 ... levels[j] - 1
  int observation = 0;           // length of an observation
  enum class Number { float32, float64, uint8 } observed = Number::float32;
  ImageShape image = {};   // of an observation that is one
  double unit = 1;         // what a 1 in an image means to a network
  bool stochastic = true;  // whether a step draws random numbers
  bool dear = false;       // whether a step costs more than it does threads to meet
  int numbers = 0;         // of a state, where it is one to read and write; else 0
};

/// Actions, a row each: choices, or vectors of m numbers.
struct ActionRows {
  const int* choice = nullptr;
  const double* vector = nullptr;
};

/// Observations to be written, in the type that the world gives them.
using ObservationRows = std::variant<float*, double*, std::uint8_t*>;

/// Where steps i = 0, 1, ... take random numbers from: each[i]; or, where there is none, stream->of(first +
/// i, episode[i]) at step[i].
struct Draws {
  Rng* each = nullptr;
  const Rng* stream = nullptr;
  std::uint32_t first = 0;
  const std::uint32_t *episode = nullptr, *step = nullptr;

  /// f(i, Rng&) for steps i in [0, n).
  template <class F>
  void for_each(int n, F&& f) const {
    if (each)
      for (int i = 0; i < n; ++i) f(i, each[i]);
    else
      stream->of_each(first, episode, step, n, f);
  }
};

/// n states of one world, each an episode of its own. Arrays that belong to states [begin, end) begin at that
/// of `begin`; at most `block` states take a step in one call.
///
/// Threads: different states may be used by different threads at once, and different objects too; what the
/// world shares (tables, a physics engine's model) is never written, and working memory is lent to one thread
/// at a time.
class States {
 public:
  static constexpr int block = 64;

  States(Spaces spaces, int n) : spaces_(std::move(spaces)), n_(n) {
    expect(n >= 1, "there must be at least one environment, got ", n);
  }
  virtual ~States() = default;
  States(const States&) = delete;
  States& operator=(const States&) = delete;

  const Spaces& spaces() const { return spaces_; }
  int size() const { return n_; }
  /// How many of them a thread steps in a call, at most `block`.
  int at_once() const { return spaces_.dear ? 1 : block; }

  /// A start, by the draws of `rng`.
  virtual void reset(int i, Rng& rng) = 0;
  /// Whether state i, a start, is an end already.
  virtual bool terminal(int i) const = 0;
  /// Steps by these very actions.
  virtual void step(int begin, int end, ActionRows actions, const Draws& draws, double* reward,
                    char* terminated) = 0;
  /// Steps by what a policy does: its vectors clipped to the world's bounds, component by component, unless
  /// it means any (Gymnasium's ClipAction).
  void act(int begin, int end, ActionRows actions, const Draws& draws, double* reward, char* terminated);
  /// Rows of spaces().observation numbers.
  virtual void observe(int begin, int end, ObservationRows out) const = 0;

  /// Appends all of state i, to the bit; `restore` makes it again, and throws Error where these are not the
  /// bytes of a state.
  virtual void save(int i, std::vector<std::byte>& out) const = 0;
  virtual void restore(int i, std::span<const std::byte> bytes) = 0;

  /// State i as spaces().numbers numbers, where it is one to read and write.
  virtual std::vector<double> numbers(int i) const = 0;
  virtual void set_numbers(int i, std::span<const double> x) = 0;

  /// What a picture of state i is drawn from (experiments/render.h).
  virtual std::vector<double> shown(int i) const { return numbers(i); }

 private:
  Spaces spaces_;
  int n_;
};

/// n states of a world.
using MakeStates = std::function<std::unique_ptr<States>(int n)>;

inline void States::act(int begin, int end, ActionRows actions, const Draws& draws, double* reward,
                        char* terminated) {
  if (spaces_.m == 0 || spaces_.any_action) return step(begin, end, actions, draws, reward, terminated);
  thread_local std::vector<double> clipped;
  const auto m = static_cast<std::size_t>(spaces_.m), n = static_cast<std::size_t>(end - begin) * m;
  clipped.resize(n);
  for (std::size_t j = 0; j < m; ++j)
    for (std::size_t k = j; k < n; k += m)
      clipped[k] = std::clamp(actions.vector[k], spaces_.action_low[j], spaces_.action_high[j]);
  step(begin, end, {nullptr, clipped.data()}, draws, reward, terminated);
}

/// An action at random, uniform over the choices, or over those of each component, or between the bounds:
/// written where ActionRows read it.
inline void random_action(const Spaces& spaces, Rng& rng, int& choice, std::span<double> vector) {
  if (spaces.A > 0) choice = static_cast<int>(rng.uniform() * spaces.A);
  for (std::size_t j = 0; j < vector.size(); ++j)
    vector[j] = spaces.levels.empty() ? rng.uniform(spaces.action_low[j], spaces.action_high[j])
                                      : std::floor(rng.uniform() * spaces.levels[j]);
}

// ---- Environments as States ----

namespace detail {

/// Memory to work in, lent to one thread at a time and kept for the next.
template <class E>
class ScratchPool {
 public:
  struct GiveBack {
    ScratchPool* pool;
    void operator()(Scratch<E>* scratch) const {
      const std::lock_guard lock(pool->mutex_);
      pool->idle_.emplace_back(scratch);
    }
  };
  std::unique_ptr<Scratch<E>, GiveBack> lend(const E& env) {
    {
      const std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        auto* const scratch = idle_.back().release();
        idle_.pop_back();
        return {scratch, GiveBack{this}};
      }
    }
    return {new Scratch<E>(make_scratch(env)), GiveBack{this}};
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch<E>>> idle_;
};

/// Whether S is made of n doubles and nothing else: none of another type can be initialised by a double.
template <class S, std::size_t... i>
consteval bool is_doubles(std::index_sequence<i...>) {
  return requires(double x) { S{(static_cast<void>(i), x)...}; };
}
template <class E>
consteval int numbers_of_state() {
  using S = typename E::State;
  if constexpr (std::same_as<S, int>)
    return 1;
  else if constexpr (std::is_trivially_copyable_v<S> && sizeof(S) % sizeof(double) == 0 &&
                     sizeof(S) <= 64 * sizeof(double))
    return is_doubles<S>(std::make_index_sequence<sizeof(S) / sizeof(double)>())
               ? static_cast<int>(sizeof(S) / sizeof(double))
               : 0;
  else
    return 0;
}

template <class E>
inline constexpr bool reads_numbers = requires(const E& env, const typename E::State& s) {
  env.numbers(s);
  env.state_of(std::span<const double>());
};

template <class X>
inline constexpr bool is_vector = false;
template <class X>
inline constexpr bool is_vector<std::vector<X>> = std::is_trivially_copyable_v<X>;

/// Appends the bytes of x, those between its members 0 where the compiler can clear them (g++; clang 19
/// cannot).
template <class X>
void append(X x, std::vector<std::byte>& out) {
  static_assert(std::is_trivially_copyable_v<X>,
                "an environment whose State is not trivially copyable needs save and load (envs/env.h)");
#if __has_builtin(__builtin_clear_padding)
  __builtin_clear_padding(&x);
#endif
  const auto* const bytes = reinterpret_cast<const std::byte*>(&x);
  out.insert(out.end(), bytes, bytes + sizeof x);
}

}  // namespace detail

template <Environment E>
Spaces spaces_of(const E& env) {
  Spaces out;
  if constexpr (DiscreteEnvironment<E>) {
    out.A = env.actions;
  } else {
    out.m = action_size<E>;
    out.action_low.assign(env.action_low.begin(), env.action_low.end());
    out.action_high.assign(env.action_high.begin(), env.action_high.end());
    if constexpr (requires { E::any_action; }) out.any_action = E::any_action;
    if constexpr (requires { env.levels; }) out.levels.assign(env.levels.begin(), env.levels.end());
  }
  out.observation = env.observation;
  using Number = Spaces::Number;
  out.observed = std::same_as<Observed<E>, float>    ? Number::float32
                 : std::same_as<Observed<E>, double> ? Number::float64
                                                     : Number::uint8;
  if constexpr (requires { env.image; }) out.image = env.image;
  if constexpr (requires { env.unit; }) out.unit = env.unit;
  out.stochastic = is_stochastic(env);
  if constexpr (requires { E::dear; }) out.dear = E::dear;
  if constexpr (detail::reads_numbers<E>) {
    Rng rng(0, "a-state");
    Scratch<E> scratch = make_scratch(env);
    out.numbers = static_cast<int>(env.numbers(reset(env, rng, scratch)).size());
  } else {
    out.numbers = detail::numbers_of_state<E>();
  }
  return out;
}

/// An environment, and the memory that its steps work in, for any number of StatesOf.
template <Environment E>
struct SharedEnvironment {
  explicit SharedEnvironment(E e) : env(std::move(e)) {}
  const E env;
  mutable detail::ScratchPool<E> scratch;
};

template <Environment E>
class StatesOf final : public States {
 public:
  using State = typename E::State;
  using Action = typename E::Action;

  StatesOf(std::shared_ptr<const SharedEnvironment<E>> shared, Spaces spaces, int n)
      : States(std::move(spaces), n), shared_(std::move(shared)) {
    Rng rng(0, "unused");
    with_scratch([&](const E& env, Scratch<E>& scratch) {
      state_.assign(static_cast<std::size_t>(n), lowvar::reset(env, rng, scratch));
    });
  }

  void reset(int i, Rng& rng) override {
    with_scratch([&](const E& env, Scratch<E>& scratch) { at(i) = lowvar::reset(env, rng, scratch); });
  }
  bool terminal([[maybe_unused]] int i) const override {
    if constexpr (requires { shared_->env.terminal(state_[0]); })
      return shared_->env.terminal(at(i));
    else
      return false;
  }
  void step(int begin, int end, ActionRows actions, const Draws& draws, double* reward,
            char* terminated) override {
    with_scratch([&](const E& env, Scratch<E>& scratch) {
      move(env, scratch, begin, end - begin, actions, draws, reward, terminated);
    });
  }
  void observe(int begin, int end, ObservationRows out) const override {
    with_scratch([&](const E& env, Scratch<E>& scratch) {
      look(env, scratch, begin, end - begin, std::get<Observed<E>*>(out));
    });
  }

  void save(int i, std::vector<std::byte>& out) const override {
    const State& s = at(i);
    if constexpr (requires { shared_->env.save(s, out); }) {
      shared_->env.save(s, out);
    } else if constexpr (detail::is_vector<State>) {
      for (const auto& x : s) detail::append(x, out);
    } else {
      detail::append(s, out);
    }
  }
  void restore(int i, std::span<const std::byte> bytes) override {
    if constexpr (requires { shared_->env.load(bytes); }) {
      at(i) = shared_->env.load(bytes);
    } else if constexpr (detail::is_vector<State>) {
      using X = typename State::value_type;
      expect(bytes.size() % sizeof(X) == 0, "a state is a whole number of ", sizeof(X), "-byte entries, got ",
             bytes.size(), " bytes");
      at(i).resize(bytes.size() / sizeof(X));
      std::memcpy(at(i).data(), bytes.data(), bytes.size());
    } else {
      expect(bytes.size() == sizeof(State), "a state is ", sizeof(State), " bytes, got ", bytes.size());
      std::memcpy(&at(i), bytes.data(), bytes.size());
    }
  }

  std::vector<double> numbers(int i) const override {
    if constexpr (detail::reads_numbers<E>) {
      return shared_->env.numbers(at(i));
    } else if constexpr (std::same_as<State, int>) {
      return {static_cast<double>(at(i))};
    } else if constexpr (constexpr int n = detail::numbers_of_state<E>(); n > 0) {
      const auto x = std::bit_cast<std::array<double, n>>(at(i));
      return {x.begin(), x.end()};
    } else {
      return {};
    }
  }
  void set_numbers(int i, std::span<const double> x) override {
    expect(static_cast<int>(x.size()) == spaces().numbers && spaces().numbers > 0, "a state is ",
           spaces().numbers, " numbers to write, got ", x.size());
    if constexpr (detail::reads_numbers<E>) {
      at(i) = shared_->env.state_of(x);
    } else if constexpr (std::same_as<State, int>) {
      at(i) = static_cast<int>(x[0]);
    } else if constexpr (constexpr int n = detail::numbers_of_state<E>(); n > 0) {
      std::array<double, n> all;
      std::copy(x.begin(), x.end(), all.begin());
      at(i) = std::bit_cast<State>(all);
    }
  }

 private:
  State& at(int i) { return state_[static_cast<std::size_t>(i)]; }
  const State& at(int i) const { return state_[static_cast<std::size_t>(i)]; }

  template <class F>
  void with_scratch(F&& f) const {
    if constexpr (has_scratch<E>) {
      f(shared_->env, *shared_->scratch.lend(shared_->env));
    } else {
      Scratch<E> none;
      f(shared_->env, none);
    }
  }

  /// The loops are kept in a form that g++ 12 vectorises where step has no branches: everything inlined, what
  /// step returns not const, flags as wide as the numbers that decide them.
  [[gnu::flatten]] void move(const E& env, Scratch<E>& scratch, int begin, int n, ActionRows actions,
                             const Draws& draws, double* __restrict reward, char* ended) {
    State* __restrict const state = state_.data() + begin;
    Action copied[block];
    const Action* __restrict action = copied;
    if constexpr (DiscreteEnvironment<E>)
      action = actions.choice;
    else
      std::memcpy(copied, actions.vector, static_cast<std::size_t>(n) * sizeof(Action));
    double terminated[block];
    const auto move_one = [&](int i, Rng& rng) {
      auto next = lowvar::step(env, state[i], action[i], rng, scratch);
      state[i] = std::move(next.state), reward[i] = next.reward, terminated[i] = int{next.terminated};
    };
    if (draws.each || is_stochastic(env)) {
      draws.for_each(n, move_one);
    } else {
      Rng unused = *draws.stream;
      for (int i = 0; i < n; ++i) move_one(i, unused);
    }
    for (int i = 0; i < n; ++i) ended[i] = terminated[i] != 0;
  }

  [[gnu::flatten]] void look(const E& env, Scratch<E>& scratch, int begin, int n,
                             Observed<E>* __restrict out) const {
    const State* __restrict const state = state_.data() + begin;
    const auto p = static_cast<std::size_t>(env.observation);
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i)
      look_at(env, scratch, state[i], out + i * p);
  }

  static void look_at(const E& env, Scratch<E>& scratch, const State& state, Observed<E>* out) {
    if constexpr (std::same_as<Observed<E>, Written<E>>) {
      lowvar::observe(env, state, std::span(out, static_cast<std::size_t>(env.observation)), scratch);
    } else if constexpr (requires { std::array<double, E::observation>{}; }) {
      std::array<double, E::observation> x;
      lowvar::observe<E>(env, state, x, scratch);
      for (int j = 0; j < E::observation; ++j) out[j] = static_cast<float>(x[static_cast<std::size_t>(j)]);
    } else {
      std::vector<double> x(static_cast<std::size_t>(env.observation));
      lowvar::observe<E>(env, state, x, scratch);
      for (std::size_t j = 0; j < x.size(); ++j) out[j] = static_cast<float>(x[j]);
    }
  }

  std::shared_ptr<const SharedEnvironment<E>> shared_;
  std::vector<State> state_;
};

/// States of one environment, which they share.
template <Environment E>
MakeStates states_of(E env) {
  const auto shared = std::make_shared<const SharedEnvironment<E>>(std::move(env));
  return [shared, spaces = spaces_of(shared->env)](int n) -> std::unique_ptr<States> {
    return std::make_unique<StatesOf<E>>(shared, spaces, n);
  };
}

}  // namespace lowvar
