// Sampling trajectories. Trajectory i of a stream is the same whoever samples it and beside whichever others,
// up to the rounding of a network's outputs, which depends on how many rows it sees at once: a shard is
// always sampled whole.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "algorithms/data/trajectory.h"
#include "envs/states.h"
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
  ActingPolicy(const Policy& policy, const std::vector<Array<double>>& theta, std::span<const int> state,
               const Array<double>* observation)
      : ActingPolicy(policy, std::span(theta), state, observation) {}
  /// Draws the action of row r; log mu of it.
  double act(int r, Rng& rng, int& action) const;
  double act(int r, Rng& rng, std::span<double> action) const;
  /// The likeliest action: the lowest of equals, or the mean.
  void act_greedily(int r, int& action) const;
  void act_greedily(int r, std::span<double> action) const;

 private:
  template <class F>
  void for_components(int r, std::span<double> action, F&& choose) const;

  Array<double> p_;              // action probabilities, or means
  std::vector<double> log_std_;  // of a Gaussian
  std::vector<int> levels_;      // of vectors of choices
};

/// Trajectories of a tabular policy pi [S x A]; horizon mdp.T.
Trajectories rollout(const Mdp& mdp, const Array<double>& pi, Draw draw);

/// Trajectories of at most T steps, of which each of `states`, draw.count of them, takes one, side by side:
/// one batch of observations a step. A vector that acts is recorded, and log mu is of it, as the policy drew
/// it; the world sees it clipped (States::act). A start that is an end already is an episode of no steps.
/// A table's observations are taken for state numbers. `watch(i)` is called where state i is new: at its
/// start and after each step.
Trajectories rollout(States& states, const Policy& policy, const std::vector<Array<double>>& theta, int T,
                     Draw draw, const std::function<void(int i)>& watch = nullptr);

}  // namespace lowvar
