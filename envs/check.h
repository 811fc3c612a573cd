// check_env: whether a world keeps the rules that everything here relies on.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <exception>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "envs/env.h"

namespace lowvar {

struct EnvCheck {
  int T = 0;         // the time limit of its rollouts; 0: env.T, or 1000 where it has none
  int episodes = 6;  // half of them by actions at random, half by actions that keep the episode going
  std::uint64_t seed = 0;
};

namespace detail {

/// A sentence of each kind, the first.
class Complaints {
 public:
  template <class... Parts>
  [[gnu::noinline]] void operator()(const char* kind, const Parts&... parts) {
    sentences_.emplace(kind, join(parts...));
  }
  std::vector<std::string> sentences() const {
    std::vector<std::string> out;
    for (const auto& [kind, sentence] : sentences_) out.push_back(sentence);
    return out;
  }

 private:
  std::map<std::string, std::string> sentences_;
};

template <Environment E>
class EnvChecker {
 public:
  using State = typename E::State;
  using Action = typename E::Action;

  EnvChecker(const E& env, EnvCheck options)
      : env_(env), untouched_(env), options_(options), scratch_{make_scratch(env), make_scratch(env)} {
    if (options_.T == 0) {
      if constexpr (requires { env.T; })
        options_.T = env.T;
      else
        options_.T = 1000;
    }
  }

  std::vector<std::string> report() {
    declarations();
    if (complain_.sentences().empty()) {
      try {
        starts();
        for (int episode = 0; episode < options_.episodes; ++episode) play(episode);
        play_again();
        randomness();
        time_limit();
      } catch (const std::exception& e) {
        complain_("throws", "it throws: ", e.what());
      }
    }
    return complain_.sentences();
  }

 private:
  static constexpr std::size_t crowd = 100;
  static constexpr int starting_seeds = 16;

  /// An episode as it went, to be played again.
  struct Record {
    std::uint32_t episode;
    State start;
    std::vector<Action> actions;
    std::vector<State> states;
    std::vector<double> rewards;
    bool terminated = false, alive_on_purpose = false;
  };

  static std::string text(const Action& a) {
    if constexpr (DiscreteEnvironment<E>) {
      return std::to_string(a);
    } else {
      std::string out;
      for (const double x : a) out += join(out.empty() ? "" : ", ", x);
      return out;
    }
  }

  /// Equal as states where they can be compared, else as observations.
  bool same(const State& a, const State& b) const {
    if constexpr (std::equality_comparable<State>)
      return a == b;
    else
      return seen(a) == seen(b);
  }
  bool same(const Step<State>& a, const Step<State>& b) const {
    return a.reward == b.reward && a.terminated == b.terminated && same(a.state, b.state);
  }
  static bool same_position(Rng a, Rng b) {
    for (int i = 0; i < 8; ++i)
      if (a.bits() != b.bits()) return false;
    return true;
  }

  /// To work in: env_'s own, and one for all others, whose history is another.
  Scratch<E>& scratch_of(const E& env) const { return scratch_[&env == &env_ ? 0 : 1]; }
  State start(const E& env, Rng& rng) const { return lowvar::reset(env, rng, scratch_of(env)); }
  Step<State> step(const E& env, const State& s, const Action& a, Rng& rng) const {
    return lowvar::step(env, s, a, rng, scratch_of(env));
  }
  std::vector<Written<E>> seen(const State& s, Written<E> before = {}) const {
    std::vector<Written<E>> out(static_cast<std::size_t>(env_.observation), before);
    observe<E>(env_, s, out, scratch_of(env_));
    return out;
  }

  Rng rng_of(std::uint32_t episode) const { return Rng(options_.seed, "check-env", 0, episode); }
  static Rng at(Rng rng, std::size_t t) {
    rng.seek(static_cast<std::uint32_t>(t) + 1);
    return rng;
  }

  void declarations() {
    if (env_.observation < 1) complain_("size", "an observation has ", env_.observation, " numbers");
    if (options_.T < 1) complain_("limit", "the time limit is ", options_.T, " steps");
    if constexpr (requires { env_.gamma; })
      if (!(env_.gamma >= 0 && env_.gamma <= 1)) complain_("gamma", "gamma is ", env_.gamma);
    if constexpr (DiscreteEnvironment<E>) {
      if (env_.actions < 1) complain_("actions", "there are ", env_.actions, " actions");
    } else {
      for (std::size_t i = 0; i < env_.action_low.size(); ++i)
        if (!(std::isfinite(env_.action_low[i]) && env_.action_low[i] < env_.action_high[i] &&
              std::isfinite(env_.action_high[i])))
          complain_("actions", "the bounds of action component ", i, " are ", env_.action_low[i], " and ",
                    env_.action_high[i]);
    }
    if constexpr (requires {
                    env_.observation_low;
                    env_.observation_high;
                  })
      for (std::size_t i = 0; i < env_.observation_low.size(); ++i)
        if (!(env_.observation_low[i] <= env_.observation_high[i]))
          complain_("bounds", "the bounds of observation component ", i, " are ", env_.observation_low[i],
                    " and ", env_.observation_high[i]);
  }

  /// Observations are all written, float32, finite, within bounds, and the same when asked again.
  /// False where they are no numbers.
  bool look(const State& s, const std::string& where) {
    bool numbers = true;
    const auto out = seen(s, std::numeric_limits<Written<E>>::quiet_NaN());  // of uint8: 0
    for (std::size_t i = 0; i < out.size(); ++i) {
      if constexpr (std::same_as<Written<E>, double>) {
        if (!std::isfinite(out[i])) {
          complain_("observation", where, ": component ", i, " of the observation is ", out[i],
                    ", or was not written");
          numbers = false;
        } else if (std::same_as<Observed<E>, float> && out[i] != float32(out[i])) {
          complain_("float32", where, ": component ", i, " of the observation, ", out[i],
                    ", is not a float32 number");
        }
      }
      if constexpr (requires {
                      env_.observation_low;
                      env_.observation_high;
                    })
        if (out[i] < env_.observation_low[i] || out[i] > env_.observation_high[i])
          complain_("bounds", where, ": component ", i, " of the observation is ", out[i],
                    ", outside its bounds ", env_.observation_low[i], " and ", env_.observation_high[i]);
    }
    if (numbers && seen(s) != out)
      complain_("observe", where, ": observing one state twice gives two observations");
    return numbers;
  }

  void starts() {
    bool drew = false, differed = false;
    std::optional<State> first;
    for (std::uint32_t i = 0; i < starting_seeds; ++i) {
      const Rng fresh(options_.seed + i, "check-env-start", i);
      Rng one = fresh, two = fresh, three = fresh;
      const State s = start(env_, one);
      look(s, join("start ", i));
      if (!same(s, start(env_, two)) || !same(s, start(E(untouched_), three)))
        complain_("reset", "start ", i,
                  ": the same random numbers give two starts; reset depends on something else");
      drew = drew || !same_position(one, fresh);
      if (!first) first = s;
      differed = differed || !same(s, *first);
    }
    if (drew && !differed)
      complain_("seeds", "reset draws random numbers, but ", starting_seeds, " seeds start the same");
  }

  /// Any action, at times beyond its bounds.
  Action any_action(Rng& rng) const {
    Action a = random_action(env_, rng);
    if constexpr (ContinuousEnvironment<E>)
      if (rng.uniform() < 0.1)
        for (double& x : a) x *= 3;
    return a;
  }

  /// Actions that last two steps longer than the time limit, or as long as can be found: many episodes at
  /// random, those that end replaced by copies of those that do not (Aldous & Vazirani 1994, go with the
  /// winners).
  std::vector<Action> lasting_actions(const State& start, const Rng& rng, Rng& choice) const {
    struct Move {
      Action action;
      std::size_t parent;
    };
    const auto one_of = [&](std::size_t n) {
      return static_cast<std::size_t>(choice.uniform() * static_cast<double>(n));
    };
    std::vector<State> now(crowd, start);
    std::vector<std::vector<Move>> moves;
    for (std::size_t t = 0; t < static_cast<std::size_t>(options_.T) + 2; ++t) {
      std::vector<State> next;
      std::vector<Move> alive;
      Action last{};
      for (std::size_t i = 0; i < crowd; ++i) {
        Rng draws = at(rng, t);
        last = random_action(env_, choice);
        auto moved = step(env_, now[i], last, draws);
        if (moved.terminated) continue;
        next.push_back(std::move(moved.state));
        alive.push_back({last, i});
      }
      if (alive.empty()) {
        moves.push_back({{last, crowd - 1}});
        break;
      }
      for (const std::size_t survivors = alive.size(); alive.size() < crowd;) {
        const std::size_t i = one_of(survivors);
        next.push_back(next[i]);
        alive.push_back(alive[i]);
      }
      now = std::move(next);
      moves.push_back(std::move(alive));
    }
    std::vector<Action> out(moves.size());
    for (std::size_t t = moves.size(), i = 0; t-- > 0;) {
      out[t] = moves[t][i].action;
      i = moves[t][i].parent;
    }
    return out;
  }

  static auto numbers_of(const State& s) {
    return std::bit_cast<std::array<double, sizeof(State) / sizeof(double)>>(s);
  }
  static bool close(double a, double b) { return std::abs(a - b) <= 1e-6 * (1 + std::abs(a)); }

  /// What can be differentiated is what steps, but for rounding.
  void motion(const State& s, const Action& a, const Step<State>& taken, const std::string& where) {
    if constexpr (DifferentiableEnvironment<E>) {
      if (is_stochastic(env_)) return;
      const State next = env_.next(s, a);
      const auto led = numbers_of(next), stepped = numbers_of(taken.state);
      for (std::size_t j = 0; j < led.size(); ++j)
        if (!close(stepped[j], led[j]))
          complain_("next", where, ": number ", j, " of the state is ", stepped[j], ", and next says ",
                    led[j]);
      if (const double r = env_.reward(s, a, next); !close(taken.reward, r))
        complain_("paid", where, ": the step pays ", taken.reward, ", and reward says ", r);
      const auto sight = env_.sight(taken.state);
      const auto out = seen(taken.state);
      for (std::size_t j = 0; j < out.size(); ++j)
        if (!close(out[j], sight[j]))
          complain_("sight", where, ": component ", j, " of the observation is ", out[j], ", and sight says ",
                    sight[j]);
    }
  }

  void play(int number) {
    const auto episode = static_cast<std::uint32_t>(number);
    Rng rng = rng_of(episode), choice(options_.seed, "check-env-actions", episode);
    const State first = start(env_, rng);
    Record record{episode, first, {}, {}, {}, false, number % 2 == 0};
    std::vector<Action> actions;
    if (record.alive_on_purpose)
      actions = lasting_actions(first, rng, choice);
    else
      for (int t = 0; t < options_.T + 2; ++t) actions.push_back(any_action(choice));
    State s = first;
    for (std::size_t t = 0; t < actions.size() && !record.terminated; ++t) {
      const Action& a = actions[t];
      const std::string where = join("episode ", episode, ", step ", t, ", action ", text(a));
      const Rng before = at(rng, t);
      Rng one = before, two = before, three = before;
      const auto next = step(env_, s, a, one);
      if (!std::isfinite(next.reward)) {
        complain_("reward", where, ": the reward is ", next.reward);
        return;
      }
      if (!look(next.state, where)) return;
      motion(s, a, next, where);
      if (!same(next, step(env_, s, a, two)) || !same_position(one, two))
        complain_("purity", where,
                  ": the same state, action and random numbers give two different steps; something is "
                  "remembered outside the state");
      if (!same(next, step(E(untouched_), s, a, three)) || !same_position(one, three))
        complain_("copies", where, ": a copy of the world that was never used steps differently");
      ++steps_;
      if (!same_position(one, before)) {
        ++draws_;
        Rng other = at(Rng(options_.seed, "check-env-other", 0, episode), t);
        differed_ += !same(next, step(env_, s, a, other));
      }
      record.actions.push_back(a);
      record.states.push_back(next.state);
      record.rewards.push_back(next.reward);
      record.terminated = next.terminated;
      s = next.state;
    }
    records_.push_back(std::move(record));
  }

  /// Everything once more, in the order it went and after all of it: what a world remembers shows late.
  void play_again() {
    for (const Record& record : records_)
      for (const E& env : {E(env_), E(untouched_)}) {
        Rng rng = rng_of(record.episode);
        State s = start(env, rng);
        if (!same(s, record.start))
          complain_("reset", "episode ", record.episode, " starts differently when it is played again");
        for (std::size_t t = 0; t < record.actions.size(); ++t) {
          Rng draws = at(rng, t);
          const auto next = step(env, s, record.actions[t], draws);
          const bool last = record.terminated && t + 1 == record.actions.size();
          if (!same(next, {record.states[t], record.rewards[t], last})) {
            complain_("again", "episode ", record.episode, ", step ", t,
                      ": it goes differently when it is played again");
            return;
          }
          s = next.state;
        }
      }
  }

  void randomness() {
    if constexpr (requires { env_.stochastic; }) {
      if (!env_.stochastic && draws_ > 0)
        complain_("stochastic", "it says that steps draw no random numbers, but they do");
      if (env_.stochastic && steps_ > 0 && draws_ == 0)
        complain_("stochastic", "it says that steps are random, but they draw nothing from the Rng they get");
    }
    if (draws_ >= 100 && differed_ == 0)
      complain_("stochastic", draws_, " steps drew random numbers, and none depends on them");
  }

  /// Episodes kept going on purpose that all terminate at the time limit: it was meant as a truncation.
  void time_limit() {
    if (options_.T < 3) return;
    std::map<std::size_t, int> ends;
    int kept = 0;
    for (const Record& record : records_)
      if (record.alive_on_purpose) ++kept, ends[record.terminated ? record.actions.size() : 0]++;
    for (const auto& [length, count] : ends)
      if (count == kept && kept >= 2 && std::abs(static_cast<long>(length) - options_.T) <= 1)
        complain_("time limit", "every episode that lasts terminates after ", length,
                  " steps, which is the time limit of ", options_.T,
                  ": time limits belong to the rollout, which truncates");
  }

  const E& env_;
  E untouched_;
  EnvCheck options_;
  mutable Scratch<E> scratch_[2];
  std::vector<Record> records_;
  long steps_ = 0, draws_ = 0, differed_ = 0;  // steps taken, those that drew, those that depended on it
  Complaints complain_;
};

}  // namespace detail

/// What is wrong with a world, a sentence each; empty where nothing was found. Held to, by playing it:
/// - a step is a function of state, action and random numbers, and a start of random numbers; copies agree,
///   however much they were used, and nothing is remembered outside the state;
/// - what is left in scratch memory, where there is one, does not matter;
/// - random numbers come from the Rng that is passed, and where they are drawn they matter; `stochastic`,
///   where it is declared, is right;
/// - rewards and observations are finite, observations are float32 numbers unless they are said to be others,
/// all of them written, and within
///   observation_low and observation_high where those are declared, up to the last of an episode;
/// - actions beyond their bounds are borne;
/// - what can be differentiated is what steps: next, reward and sight, but for rounding, where nothing is
/// drawn;
/// - an episode does not terminate because of the time limit.
template <Environment E>
std::vector<std::string> check_env(const E& env, EnvCheck options = {}) {
  return detail::EnvChecker<E>(env, options).report();
}

}  // namespace lowvar
