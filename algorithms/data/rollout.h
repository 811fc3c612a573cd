// Sampling trajectories. Trajectory i of a stream is the same whoever samples it and beside whichever others,
// up to the rounding of a network's outputs, which depends on how many rows it sees at once: a shard is
// always sampled whole.
#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>

#include "algorithms/data/trajectory.h"
#include "envs/env.h"
#include "envs/tabular.h"
#include "nn/policy.h"

namespace lowvar {

/// Which trajectories to sample: [first, first + count) of stream `stream` of `seed`. Those of a group, as
/// many as `group` from a multiple of it on, start from the same state.
struct Draw {
  std::uint64_t seed;
  std::string_view stream;
  int first;
  int count;
  int group = 1;

  Rng start(int i) const { return {seed, stream, static_cast<std::uint32_t>((first + i) / group * group)}; }
  Rng steps(int i) const { return {seed, stream, static_cast<std::uint32_t>(first + i)}; }
};

/// What a policy does before a batch of observations, a row each.
class ActingPolicy {
 public:
  /// T is float or double; `observation` is null for a table, `state` empty for a network.
  template <class T>
  ActingPolicy(const Policy& policy, std::span<const Array<T>> theta, std::span<const int> state,
               const Array<T>* observation);
  ActingPolicy(const Policy& policy, const std::vector<Array<double>>& theta, const Inputs& inputs)
      : ActingPolicy(policy, std::span(theta), inputs.state, inputs.observation) {}
  /// Draws the action of row r; log mu of it.
  double act(int r, Rng& rng, int& action) const;
  double act(int r, Rng& rng, std::span<double> action) const;
  /// The likeliest action: the lowest of equals, or the mean.
  void act_greedily(int r, int& action) const;
  void act_greedily(int r, std::span<double> action) const;

 private:
  Array<double> p_;              // action probabilities, or means
  std::vector<double> log_std_;  // of a Gaussian
};

/// Trajectories of a tabular policy pi [S x A]; horizon mdp.T.
Trajectories rollout(const Mdp& mdp, const Array<double>& pi, Draw draw);

/// Trajectories of at most T steps; the episodes of the draw run side by side, one batch of observations a
/// step.
template <Environment E>
Trajectories rollout(const E& env, const Policy& policy, const std::vector<Array<double>>& theta, int T,
                     Draw draw) {
  struct Episode {
    Rng rng;
    typename E::State state;
    std::vector<double> observation, reward, log_mu;
    std::vector<int> action;
    std::vector<double> vector;
    bool terminated = false;
  };
  std::vector<Episode> episodes;
  for (int i = 0; i < draw.count; ++i) {
    Rng start = draw.start(i);
    episodes.push_back({draw.steps(i), env.reset(start), {}, {}, {}, {}, {}});
  }
  std::vector<int> running;
  for (int i = 0; i < draw.count; ++i) running.push_back(i);
  for (int t = 0; t < T && !running.empty(); ++t) {
    Array<double> observation = zeros<double>(static_cast<int>(running.size()), E::observation);
    for (std::size_t k = 0; k < running.size(); ++k)
      env.observe(episodes[static_cast<std::size_t>(running[k])].state,
                  row(observation, static_cast<int>(k)));
    const ActingPolicy acting(policy, theta, {{}, &observation});
    std::vector<int> still;
    for (std::size_t k = 0; k < running.size(); ++k) {
      Episode& e = episodes[static_cast<std::size_t>(running[k])];
      e.rng.seek(static_cast<std::uint32_t>(t) + 1);  // step 0 is the reset
      typename E::Action action;
      e.log_mu.push_back(acting.act(static_cast<int>(k), e.rng, action));
      const auto step = env.step(e.state, action, e.rng);
      const auto seen = row(observation, static_cast<int>(k));
      e.observation.insert(e.observation.end(), seen.begin(), seen.end());
      if constexpr (DiscreteEnvironment<E>)
        e.action.push_back(action);
      else
        e.vector.insert(e.vector.end(), action.begin(), action.end());
      e.reward.push_back(step.reward);
      e.state = step.state;
      e.terminated = step.terminated;
      if (!step.terminated) still.push_back(running[k]);
    }
    running = std::move(still);
  }
  Trajectories out;
  std::vector<double> observations, vectors;
  for (const Episode& e : episodes) {
    out.offset.push_back(out.offset.back() + static_cast<int>(e.reward.size()));
    observations.insert(observations.end(), e.observation.begin(), e.observation.end());
    out.action.insert(out.action.end(), e.action.begin(), e.action.end());
    vectors.insert(vectors.end(), e.vector.begin(), e.vector.end());
    out.reward.insert(out.reward.end(), e.reward.begin(), e.reward.end());
    out.log_mu.insert(out.log_mu.end(), e.log_mu.begin(), e.log_mu.end());
    out.terminated.push_back(e.terminated);
    out.truncated.push_back(!e.terminated);
  }
  out.observation = from_values<double>(out.rows(), E::observation, observations);
  out.final_observation = zeros<double>(draw.count, E::observation);
  for (int i = 0; i < draw.count; ++i)
    env.observe(episodes[static_cast<std::size_t>(i)].state, row(out.final_observation, i));
  if constexpr (ContinuousEnvironment<E>)
    out.action_vector = from_values<double>(out.rows(), action_size<E>, vectors);
  return out;
}

}  // namespace lowvar
