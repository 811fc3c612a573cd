#include "algorithms/train/a3c.h"

#include <omp.h>

#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>

#include "algorithms/train/a2c.h"
#include "algorithms/train/algorithm_of.h"
#include "algorithms/train/pieces.h"
#include "algorithms/train/store.h"

namespace lowvar {

/// A2C's (a2c.cpp) but for the whole return, shorter batches and the shared RMSProp of section 4.
A3cOptions a3c_recipe(const World& world) {
  A3cOptions o;
  static_cast<OnPolicyOptions&>(o) = a2c_recipe(world);
  o.batch.envs = 4, o.batch.rollout = 64;
  o.objective.estimator = "gae:1+undiscounted";
  o.step.update = Optimiser::rmsprop;
  o.step.adam_epsilon = 1e-5;
  o.step.anneal = true;
  o.critic.critic_lambda = 1;
  o.critic.critic_epochs = 0;
  return o;
}

void check(const A3cOptions& o, const World& world) {
  check(static_cast<const OnPolicyOptions&>(o), world);
  expect(o.workers >= 1 && o.workers <= 256, "workers must be from 1 to 256, got ", o.workers);
  expect(o.step.update == Optimiser::rmsprop && o.networks.precision == Precision::float32 &&
             !o.batch.episodes && !o.batch.max_episodes && o.critic.critic_epochs == 0,
         "workers share a float RMSProp: update must be rmsprop, precision float, and episodes, max_episodes "
         "and critic_epochs 0");
  expect(!o.batch.normalise_observations && !o.batch.normalise_rewards,
         "workers share no running moments: normalise_observations and normalise_rewards must be false");
}

namespace {

using T = float;

/// Parameters that the workers share, with the running mean of g^2 of a shared RMSProp (section 4). Each
/// number is read and written whole; numbers are not written together.
struct Shared {
  Arrays<T> x, square;
  std::atomic<long> step{0}, update{0};
  std::mutex watcher;  // who tells holds it

  explicit Shared(const Arrays<T>& start) : x(start) {
    for (const auto& each : x) square.push_back(zeros_like(each));
  }

  void load(Arrays<T>& to) {
    for (std::size_t i = 0; i < x.size(); ++i)
      for (std::size_t j = 0; j < x[i].size(); ++j)
        to[i].data()[j] = std::atomic_ref<T>(x[i].data()[j]).load(std::memory_order_relaxed);
  }

  void rmsprop(const Arrays<T>& g, std::size_t first, std::size_t last, double rate, double epsilon) {
    for (std::size_t i = first; i < last; ++i)
      for (std::size_t j = 0; j < x[i].size(); ++j) {
        const std::atomic_ref<T> at(x[i].data()[j]), running(square[i].data()[j]);
        const T e = g[i].data()[j];
        const T mean = T(0.99) * running.load(std::memory_order_relaxed) + T(0.01) * e * e;
        running.store(mean, std::memory_order_relaxed);
        at.store(at.load(std::memory_order_relaxed) -
                     static_cast<T>(rate) * e / (std::sqrt(mean) + static_cast<T>(epsilon)),
                 std::memory_order_relaxed);
      }
  }
};

/// One pass of a worker through algorithm S3.
UpdateReport worker_update(Training<T>& run, Shared& shared, const A3cOptions& o, const Watcher& watcher) {
  Learner<T>& l = run.learner;
  UpdateReport report{.learning_rate = o.step.learning_rate * annealed(run, o.step)};

  // Synchronise theta' = theta and w' = w; perform a_t by pi(a_t|s_t; theta') for t_max steps.
  shared.load(l.parameters);
  const Objective J = objective_of(o.objective);
  Trajectories batch = collect(run, o.batch, J.estimator, Watcher());
  value(l, o.batch, batch);
  const std::vector<double> A = weigh(J.estimator, batch, o.batch.gamma, batch.log_mu);
  const std::vector<double> R = lambda_returns(batch, o.batch.gamma, o.critic.critic_lambda);
  if (l.critic) report.explained_variance = explained_variance(R, batch.value);
  const PolicyTerm actor{J, l.policy, A};
  const auto critic = critic_term(l, R);

  // Accumulate gradients with respect to theta' and w', and move theta and w by them.
  Tally tally;
  const auto rows = minibatches(l, batch.rows(), 0, 1).front();
  auto g = gradient(&actor, critic ? &*critic : nullptr, l.parameters, l.policy_arrays, batch, rows);
  {
    const std::lock_guard lock(shared.watcher);
    watcher.saw(run.collector->episodes());
    show(watcher, l, batch, actor, o.batch.gamma);
    tally.saw(g, l.policy_arrays, rows.size(), 0, watcher);
  }
  clip_norm(g, o.step.max_gradient_norm);
  const double rate = report.learning_rate, of_critic = critic_rate(o.step, o.critic, rate);
  shared.rmsprop(g.g, 0, l.policy_arrays, rate, o.step.adam_epsilon);
  shared.rmsprop(g.g, l.policy_arrays, g.g.size(), of_critic, o.step.adam_epsilon);

  tally.write(report, critic.has_value());
  return report;
}

/// Between updates stand all workers or none: a run is one update, of all its steps.
class A3cRun final : public Run {
 public:
  A3cRun(const World& world, const A3cOptions& options, long steps, std::uint64_t seed)
      : world_(world), o_(options), total_(steps), seed_(seed) {
    for (int k = 0; k < o_.workers; ++k) {
      workers_.push_back({world, steps, new_learner<T>(world, o_.networks, o_.critic, seed)});
      workers_.back().learner.branch = k ? join("-", k) : "";
      workers_.back().collector.emplace(world, o_.batch.envs, seed, workers_.back().learner.branch);
    }
  }

  bool goes_on() const override { return !finished_; }
  /// All of the steps; the watcher is told of each worker's updates.
  Learned finish(const Watcher& watcher) override {
    Shared shared(workers_.front().learner.parameters);
    std::exception_ptr error;
#pragma omp parallel for num_threads(o_.workers) schedule(static, 1)
    for (int k = 0; k < o_.workers; ++k) {
      try {
        work(workers_[static_cast<std::size_t>(k)], shared, watcher);
      } catch (...) {
#pragma omp critical(lowvar_workers)
        error = std::current_exception();
      }
    }
    if (error) std::rethrow_exception(error);
    finished_ = true;
    steps_ = shared.step;
    updates_ = shared.update;
    shared.load(workers_.front().learner.parameters);
    expect_finite();
    return learned();
  }
  UpdateReport update(const Watcher& watcher) override {
    finish(watcher);
    return {.update = updates_, .step = steps_};
  }
  bool finite() const override { return all_finite(workers_.front().learner.parameters); }
  Learned learned() const override { return lowvar::learned(workers_.front().learner, o_.batch); }
  Parameters policy_parameters() const override {
    return converted<double>(workers_.front().learner.theta());
  }
  long updates() const override { return updates_; }
  long steps() const override { return steps_; }
  std::unique_ptr<Run> clone() const override {
    expect(!finished_, "a run of a3c is copied before it starts, or not at all");
    return std::make_unique<A3cRun>(world_, o_, total_, seed_);
  }
  std::vector<std::byte> store() const override { return stored(workers_.front().learner); }
  void restore(std::span<const std::byte> learner) override {
    restore_from(learner, workers_.front().learner);
    finished_ = true;
  }
  std::unique_ptr<Run> branch(std::uint64_t, const std::string&) const override {
    throw Error(
        "the batches of a3c depend on what its workers do at the same time, and cannot be drawn again");
  }

 private:
  /// Until all workers together have taken the steps.
  void work(Training<T>& run, Shared& shared, const Watcher& watcher) {
    Learner<T>& l = run.learner;
    const long per_update = o_.batch.steps();
    while ((l.step = shared.step.fetch_add(per_update)) + per_update <= total_) {
      l.update = shared.update.fetch_add(1);
      if (watcher.wants) {
        const std::lock_guard lock(shared.watcher);
        shared.load(l.parameters);
        if (watcher.wants(l.update)) watcher.snapshot(l.update, l.step, lowvar::learned(l, o_.batch));
      }
      UpdateReport report = worker_update(run, shared, o_, watcher);
      report.update = l.update;
      report.step = l.step;
      const std::lock_guard lock(shared.watcher);
      watcher.saw(report);
    }
    shared.step.fetch_sub(per_update);  // what was not taken
  }

  const World& world_;
  A3cOptions o_;
  long total_;
  std::uint64_t seed_;
  std::vector<Training<T>> workers_;
  bool finished_ = false;
  long steps_ = 0, updates_ = 0;
};

}  // namespace

long first_batch(const A3cOptions& o, const World&) { return o.batch.steps(); }

std::unique_ptr<Run> start(const A3cOptions& o, const World& world, long steps, std::uint64_t seed) {
  return std::make_unique<A3cRun>(world, o, steps, seed);
}

std::unique_ptr<Algorithm> algorithm(const A3cOptions& options) { return algorithm_of(options); }

}  // namespace lowvar
