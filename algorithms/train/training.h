// What trainers share with whoever starts and watches them: an algorithm with its options, a run of it, and
// what a run tells.
#pragma once

#include <functional>
#include <limits>
#include <memory>

#include "algorithms/train/learner.h"

namespace lowvar {

/// One update. NaN where a trainer has no such number.
struct UpdateReport {
  static constexpr double none = std::numeric_limits<double>::quiet_NaN();
  long update = 0;
  long step = 0;                     // environment steps taken, those of its batch included
  double entropy = none;             // mean over the batch
  double kl = none;                  // mean KL(before || after)
  double clip_fraction = none;       // of rows outside the clip in use
  double explained_variance = none;  // of the critic's targets by its values, before the update
  double value_loss = none;          // of the critic, before coefficients
  double gradient_norm = none;       // of the policy's gradient, before it is clipped
  double gradient_snr = none;        // |mean|^2 / variance over the minibatches of the first epoch
  double learning_rate = none;
};

/// A batch that an update is about to follow: collected, normalised, valued and weighed.
struct WeighedBatch {
  const Trajectories& batch;
  const Policy& policy;
  const Parameters& theta;
  const Objective& objective;
  std::span<const double> psi;  // [rows], before a minibatch standardises them
  double gamma;
  /// What the policy ascends on `rows`, [d]: the gradient that the update would follow there, at theta.
  std::function<std::vector<double>(std::span<const int> rows)> gradient;
};

class Run;

/// Called in the order of what happened; each may be empty.
struct Watcher {
  std::function<void(const UpdateReport&)> update = nullptr;
  std::function<void(const Episode&)> episode = nullptr;
  /// After an update: the run stands, and may be stored.
  std::function<void(const Run&)> stands = nullptr;
  /// Before update `update`, with what it starts from; taken where `wants` says so.
  std::function<bool(long update)> wants = nullptr;
  std::function<void(long update, long step, const Learned&)> snapshot = nullptr;
  std::function<void(const WeighedBatch&)> weighed = nullptr;
  /// What the optimiser is about to follow: the policy's part, ascending, before norms are clipped, [d].
  std::function<void(const std::vector<double>&)> gradient = nullptr;

  void saw(const UpdateReport& report) const {
    if (update) update(report);
  }
  void saw(const std::vector<Episode>& episodes) const {
    if (episode)
      for (const auto& each : episodes) episode(each);
  }
};

/// About how many seconds of one core rows take on their way through networks of so many numbers and back;
/// what acting and stepping a small world takes is in it.
constexpr double seconds_of(double rows, double parameters) { return rows * (1e-7 + 1.5e-10 * parameters); }

/// A training run that stands between two updates. Copies go on independently, in the same way.
class Run {
 public:
  virtual ~Run() = default;
  /// Whether there are steps left for an update.
  virtual bool goes_on() const = 0;
  virtual UpdateReport update(const Watcher& watcher) = 0;
  /// Whether every parameter, the critic's included, is a finite number.
  virtual bool finite() const = 0;
  /// An update that leaves a run to go on with. Throws NumericalFault naming the first array of parameters
  /// that is not finite after it.
  UpdateReport advance(const Watcher& watcher);
  virtual Learned learned() const = 0;
  /// As the optimiser has them, in the units of what the learner sees.
  virtual Parameters policy_parameters() const = 0;
  /// How many have been done, and the environment steps that they took.
  virtual long updates() const = 0;
  virtual long steps() const = 0;
  /// About how many seconds of one core it has taken, within a factor of 3: counted, so that it is a function
  /// of the run's state alone.
  virtual double work() const = 0;
  virtual std::unique_ptr<Run> clone() const = 0;
  /// The learner, exactly; and back. Throws Error where these are not the bytes of a learner of the same
  /// algorithm, options and world; then this run cannot be gone on with.
  virtual std::vector<std::byte> store() const = 0;
  virtual void restore(std::span<const std::byte> learner) = 0;
  /// A copy whose next batch begins where this one stands, with random numbers of another seed and stream.
  /// Throws Error where an algorithm's batches are not drawn from a policy that stands still.
  virtual std::unique_ptr<Run> branch(std::uint64_t seed, const std::string& name) const = 0;
  /// Until nothing is left; what was learnt.
  Learned finish(const Watcher& watcher);

 protected:
  void expect_finite() const;
};

/// An algorithm with its options: a value behind a face.
class Algorithm {
 public:
  virtual ~Algorithm() = default;
  virtual std::unique_ptr<Algorithm> clone() const = 0;
  /// f(name, option) for each of its options.
  virtual void visit(const std::function<void(const char*, OptionRef)>& f) = 0;
  /// Throws Error naming the first option that is wrong in this world, or that `steps` are too few.
  virtual void check(const World& world, long steps) const = 0;
  virtual double gamma() const = 0;
  /// Threads that a run keeps busy by itself; 1 where several runs may share the machine.
  virtual int threads() const { return 1; }
  /// A run of `steps` environment steps: its last update is of the last whole batch. Every random number is a
  /// function of the seed. The world must outlive it.
  virtual std::unique_ptr<Run> start(const World& world, long steps, std::uint64_t seed) const = 0;
};

/// A whole run.
Learned train(const World& world, const Algorithm& algorithm, long steps, std::uint64_t seed,
              const Watcher& watcher = {});

/// The number of the next episode where `done` have been drawn and `more` are to be. Throws Error where no
/// numbers are left for them.
int next_episode(long done, int more);

/// Each trajectory of a batch as an episode, after `steps` steps before it.
std::vector<Episode> whole_episodes(const Trajectories& batch, long steps);

/// Returns (undiscounted) of the first `episodes` episodes of the greedy policy on stream "evaluation".
/// `before_step`, which may end it all by an exception, is called often, by any thread.
std::vector<double> evaluate(
    const World& world, const Policy& policy, const Parameters& theta, int episodes, std::uint64_t seed,
    const std::function<void()>& before_step = [] {});

}  // namespace lowvar
