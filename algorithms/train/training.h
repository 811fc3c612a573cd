// What trainers share: what they give, and what they tell whoever watches.
#pragma once

#include <functional>
#include <limits>
#include <optional>

#include "algorithms/data/collect.h"

namespace lowvar {

/// A policy, and the critic it was learnt with, if any.
struct Learned {
  Policy policy;
  Parameters theta;
  std::optional<Model> critic = {};
  Parameters w = {};
  bool action_values = false;  // the critic is Q(s, .), not V(s)
};

/// One update. NaN where a trainer has no such number.
struct UpdateReport {
  static constexpr double none = std::numeric_limits<double>::quiet_NaN();
  long update = 0;
  long step = 0;                     // environment steps taken, those of its batch included
  double entropy = none;             // mean over the batch
  double kl = none;                  // mean KL(before || after)
  double clip_fraction = none;       // of rows outside PPO's clipping range
  double explained_variance = none;  // of the critic's targets by its values, before the update
  double value_loss = none;          // of the critic, before coefficients
  double gradient_norm = none;       // of the policy's gradient, before it is clipped
  double gradient_snr = none;        // |mean|^2 / variance over the minibatches of the first epoch
  double learning_rate = none;
};

/// Called in the order of what happened; each may be empty.
struct Watcher {
  std::function<void(const UpdateReport&)> update = nullptr;
  std::function<void(const Collector::Episode&)> episode = nullptr;
  /// Before update `update`, with what it starts from; taken where `wants` says so.
  std::function<bool(long update)> wants = nullptr;
  std::function<void(long update, long step, const Learned&)> snapshot = nullptr;

  void saw(const UpdateReport& report) const {
    if (update) update(report);
  }
  void saw(const std::vector<Collector::Episode>& episodes) const {
    if (episode)
      for (const auto& each : episodes) episode(each);
  }
};

/// Each trajectory of a batch as an episode, after `steps` steps before it.
std::vector<Collector::Episode> whole_episodes(const Trajectories& batch, long steps);

/// Returns (undiscounted) of the first `episodes` episodes of the greedy policy on stream "evaluation".
std::vector<double> evaluate(const World& world, const Policy& policy, const Parameters& theta, int episodes,
                             std::uint64_t seed);

}  // namespace lowvar
