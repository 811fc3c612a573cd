// Many environments of one kind, stepped at once: the same bits for any number of threads.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/array.h"
#include "core/parallel.h"
#include "envs/env.h"

namespace lowvar {

/// n environments side by side. Autoreset is of the same step: where an episode ends, `step` leaves the flags
/// and the final observation of the episode that ended and the observation of the new one's start, so no
/// action is lost. `terminated` and `truncated` are two facts, and both may hold at once, as in Gymnasium:
/// whoever bootstraps does so from the final observation where `truncated` and not `terminated`.
///
/// Environment i in its episode k draws from Rng(seed, stream, i, k): step 0 of it is the reset, step t + 1
/// what comes after action t.
template <Environment E>
class VectorEnv {
 public:
  using State = typename E::State;
  using Action = typename E::Action;

  /// Where an environment is; with the constructor's arguments, all there is to know of it.
  struct Place {
    State state;
    std::uint32_t t = 0, episode = 0;
  };

  VectorEnv(E env, int n, int T, std::uint64_t seed, std::string_view stream = "vector-env")
      : env_(std::move(env)), T_(static_cast<std::uint32_t>(T)), stream_(seed, stream) {
    expect(n >= 1, "there must be at least one environment, got ", n);
    expect(T >= 1, "the time limit must be at least 1 step, got ", T);
    const auto count = static_cast<std::size_t>(n);
    t_.resize(count);
    episode_.resize(count);
    reward_.resize(count);
    terminated_.resize(count);
    truncated_.resize(count);
    observation_ = final_observation_ = zeros<float>(n, env_.observation);
    for (int i = 0; i < n; ++i) {
      Rng rng = rng_of(i);
      state_.push_back(env_.reset(rng));
    }
    observe(0, n);
  }

  int size() const { return static_cast<int>(state_.size()); }

  /// One action each.
  void step(std::span<const Action> actions) {
    expect(actions.size() == state_.size(), "needs ", state_.size(), " actions, one an environment, got ",
           actions.size());
    parallel_for((size() + block - 1) / block, [&](int b) {
      const int begin = b * block, end = std::min(begin + block, size());
      move(actions, begin, end);
      end_episodes(begin, end);
      observe(begin, end);
    });
  }

  /// [n x p], of the states that the next actions act on.
  const Array<float>& observation() const { return observation_; }
  /// [n x p]; row i is the last observation of environment i's episode where one ended in the last step.
  const Array<float>& final_observation() const { return final_observation_; }
  std::span<const double> reward() const { return reward_; }
  std::span<const char> terminated() const { return terminated_; }
  std::span<const char> truncated() const { return truncated_; }
  std::span<const State> states() const { return state_; }

  std::vector<Place> places() const {
    std::vector<Place> out;
    for (std::size_t i = 0; i < state_.size(); ++i) out.push_back({state_[i], t_[i], episode_[i]});
    return out;
  }
  /// Puts every environment where `places` was taken; rewards and flags are those of no step.
  void restore(std::span<const Place> places) {
    expect(places.size() == state_.size(), "needs ", state_.size(), " places, got ", places.size());
    for (std::size_t i = 0; i < places.size(); ++i) {
      state_[i] = places[i].state;
      t_[i] = places[i].t;
      episode_[i] = places[i].episode;
      reward_[i] = terminated_[i] = truncated_[i] = 0;
    }
    observe(0, size());
  }

 private:
  static constexpr int block = 64;  // environments that one thread steps in one go

  /// Of environment i's episode, at its first draw.
  Rng rng_of(int i) const {
    return stream_.of(static_cast<std::uint32_t>(i), episode_[static_cast<std::size_t>(i)]);
  }

  /// The loops are kept in a form that g++ 12 vectorises where step has no branches: everything inlined, what
  /// step returns not const, flags as wide as the numbers that decide them.
  [[gnu::flatten]] void move(std::span<const Action> actions, int begin, int end) {
    State* __restrict const state = state_.data() + begin;
    const Action* __restrict const action = actions.data() + begin;
    double* __restrict const reward = reward_.data() + begin;
    double terminated[block];
    const int n = end - begin;
    if (is_stochastic(env_)) {
      std::uint32_t next[block];  // the step that comes
      for (int i = 0; i < n; ++i) next[i] = t_[static_cast<std::size_t>(begin + i)] + 1;
      stream_.of_each(static_cast<std::uint32_t>(begin), episode_.data() + begin, next, n,
                      [&](int i, Rng& rng) {
                        auto step = env_.step(state[i], action[i], rng);
                        state[i] = step.state, reward[i] = step.reward, terminated[i] = int{step.terminated};
                      });
    } else {
      Rng unused = stream_;
      for (int i = 0; i < n; ++i) {
        auto step = env_.step(state[i], action[i], unused);
        state[i] = step.state, reward[i] = step.reward, terminated[i] = int{step.terminated};
      }
    }
    for (int i = 0; i < n; ++i) terminated_[static_cast<std::size_t>(begin + i)] = terminated[i] != 0;
  }

  void end_episodes(int begin, int end) {
    for (int i = begin; i < end; ++i) {
      const auto k = static_cast<std::size_t>(i);
      truncated_[k] = ++t_[k] == T_;
      if (!terminated_[k] && !truncated_[k]) [[likely]]
        continue;
      observe(state_[k], row(final_observation_, i).data());
      t_[k] = 0;
      ++episode_[k];
      Rng rng = rng_of(i);
      state_[k] = env_.reset(rng);
    }
  }

  [[gnu::flatten]] void observe(int begin, int end) {
    const State* __restrict const state = state_.data();
    float* __restrict const out = observation_.data();
    const auto p = static_cast<std::size_t>(env_.observation);
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
      observe(state[i], out + i * p);
  }

  void observe(const State& state, float* out) const {
    if constexpr (requires { std::array<double, E::observation>{}; }) {
      std::array<double, E::observation> x;
      env_.observe(state, x);
      for (int j = 0; j < E::observation; ++j) out[j] = static_cast<float>(x[static_cast<std::size_t>(j)]);
    } else {
      std::vector<double> x(static_cast<std::size_t>(env_.observation));
      env_.observe(state, x);
      for (std::size_t j = 0; j < x.size(); ++j) out[j] = static_cast<float>(x[j]);
    }
  }

  E env_;
  std::uint32_t T_;
  Rng stream_;
  std::vector<State> state_;
  std::vector<std::uint32_t> t_, episode_;
  std::vector<double> reward_;
  std::vector<char> terminated_, truncated_;
  Array<float> observation_, final_observation_;
};

}  // namespace lowvar
