// What the pages are made of: free functions on a learner and a batch.
#pragma once

#include <concepts>
#include <optional>
#include <span>
#include <vector>

#include "algorithms/train/training.h"

namespace lowvar {

/// An on-policy run as an update sees it.
template <class T>
struct Training {
  const World& world;
  long steps;  // that the run is to take
  Learner<T> learner;
  std::optional<Collector> collector = {};  // where batches are rollouts
};

/// Run::work of a learner: of each row one pass to act, and those of its update.
template <class T, std::derived_from<OnPolicyOptions> O>
double work_of(const Learner<T>& learner, long steps, const O& o) {
  double passes = 2 + o.critic.critic_epochs;
  if constexpr (requires { o.epochs; }) passes += o.epochs - 1;
  if constexpr (requires { o.cg_iterations; }) passes += 3 * o.cg_iterations;
  double parameters = multiplications(learner.policy.model);
  if (learner.critic) parameters += multiplications(learner.critic->model);
  return seconds_of(passes * static_cast<double>(steps), parameters);
}

/// What is left of what an update moves by at first: falls linearly to 0 where that is asked.
template <class T>
double annealed(const Training<T>& run, const StepOptions& o) {
  return o.anneal ? 1 - static_cast<double>(run.learner.step) / static_cast<double>(run.steps) : 1;
}

// ---- The batch ----

/// The next batch of the policy: rollouts, or whole episodes, whose groups share a start. Observations are
/// normalised and rewards brought to the learner's scale, where that is asked. Counts steps and episodes.
template <class T>
Trajectories collect(Training<T>& run, const BatchOptions& o, const Estimator& estimator,
                     const Watcher& watcher);

/// Fills the batch's values by the critic, if there is one, and what follows each trajectory's last step:
/// nothing where the episode is over, else the value of what was seen last.
template <class T>
void value(const Learner<T>& learner, const BatchOptions& o, Trajectories& batch);

/// 1 - Var(target - value) / Var(target); NaN where targets are all equal.
double explained_variance(std::span<const double> target, std::span<const double> value);

// ---- The objective ----

Objective objective_of(const ObjectiveOptions& o);

/// What the critic descends; nothing without one.
template <class T>
std::optional<CriticTerm> critic_term(const Learner<T>& learner, std::span<const double> target) {
  if (!learner.critic) return std::nullopt;
  return CriticTerm{*learner.critic, target};
}

/// Shows the watcher, if it looks, what the policy is about to follow.
template <class T>
void show(const Watcher& watcher, const Learner<T>& learner, const Trajectories& batch,
          const PolicyTerm& actor, double gamma);

// ---- Steps ----

/// 0 ... n - 1 in `parts` parts of equal size up to one row, in an order that is of stream "minibatches"
/// where there are several.
template <class T>
std::vector<std::vector<int>> minibatches(const Learner<T>& learner, int n, int epoch, int parts);

enum class Of { policy, critic, both };

/// Scales g to the norm `most` where it is longer; 0: no limit.
template <class T>
void clip_norm(Gradient<T>& g, double most);
/// The critic's learning rate where the policy's is `rate`.
inline double critic_rate(const StepOptions& o, const CriticOptions& critic, double rate) {
  return critic.critic_learning_rate > 0 ? critic.critic_learning_rate * rate / o.learning_rate : rate;
}

/// One step of the optimiser down g, its norm clipped. `rate` is the policy's learning rate.
template <class T>
void descend(Learner<T>& learner, Gradient<T>& g, const StepOptions& o, const CriticOptions& critic,
             double rate, Of what);

/// The critic's own epochs of minibatches, if it has them.
template <class T>
void fit_critic(Learner<T>& learner, const StepOptions& o, const CriticOptions& critic, double rate,
                const Trajectories& batch, std::span<const double> target, UpdateReport& report);

/// The policy's part of a gradient, ascending, [d].
template <class T>
std::vector<double> ascent(const Gradient<T>& g, std::size_t policy_arrays);

/// What the gradients of an update are like, for its report.
class Tally {
 public:
  /// A gradient on so many rows, in epoch `epoch`; shown to the watcher, too.
  template <class T>
  void saw(const Gradient<T>& g, std::size_t policy_arrays, std::size_t rows, int epoch,
           const Watcher& watcher);
  /// gradient_norm, gradient_snr, entropy and, where the critic learnt beside the policy, value_loss.
  void write(UpdateReport& report, bool joint) const;

 private:
  std::vector<double> sum_;  // of the first epoch's gradients
  double square_ = 0, norm_ = 0, entropy_ = 0, value_loss_ = 0, rows_ = 0;
  int first_epoch_ = 0, count_ = 0;
};

/// kl, and clip_fraction where the estimator has a clip, of the policy against the one that acted.
template <class T>
void compare_with_before(const Learner<T>& learner, const Estimator& estimator, const Trajectories& batch,
                         UpdateReport& report);

}  // namespace lowvar
