#include "algorithms/train/a3c.h"

#include <omp.h>

#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>

#include "algorithms/train/a2c.h"
#include "algorithms/train/algorithm_of.h"
#include "algorithms/train/pieces.h"
#include "core/processes.h"
#include "core/store.h"

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

constexpr long round = 32;  // passes a worker, about, before all stand

/// Parameters that the workers share, with the running mean of g^2 of a shared RMSProp (section 4). Each
/// number is read and written whole; numbers are not written together.
struct Shared {
  Arrays<T> x, square;

  explicit Shared(const Arrays<T>& start) : x(start) {
    for (const auto& each : x) square.push_back(zeros_like(each));
  }

  template <class F>
  void visit(F&& f) {
    f("x", x), f("square", square);
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

/// One pass of a worker through algorithm S3; who tells the watcher holds `telling`.
UpdateReport pass(Training<T>& run, Shared& shared, const A3cOptions& o, const Watcher& watcher,
                  std::mutex& telling) {
  Learner<T>& l = run.learner;
  UpdateReport report{.update = l.update, .learning_rate = o.step.learning_rate * annealed(run, o.step)};

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
    const std::lock_guard lock(telling);
    watcher.saw(run.collector->episodes());
    show(watcher, l, batch, actor, o.batch.gamma);
    tally.saw(g, l.policy_arrays, rows.size(), 0, watcher);
  }
  clip_norm(g, o.step.max_gradient_norm);
  const double rate = report.learning_rate, of_critic = critic_rate(o.step, o.critic, rate);
  shared.rmsprop(g.g, 0, l.policy_arrays, rate, o.step.adam_epsilon);
  shared.rmsprop(g.g, l.policy_arrays, g.g.size(), of_critic, o.step.adam_epsilon);

  tally.write(report, critic.has_value());
  report.step = l.step;
  return report;
}

/// An update of a run is a round of them, after which all workers stand: passes are taken by whoever has done
/// with the one before.
class A3cRun final : public Run {
 public:
  A3cRun(const World& world, const A3cOptions& options, long steps, std::uint64_t seed)
      : world_(world),
        o_(options),
        total_(steps),
        seed_(seed),
        shared_(new_learner<T>(world, o_.networks, o_.critic, seed).parameters) {
    for (int k = 0; k < o_.workers; ++k) {
      Training<T>& worker =
          workers_.emplace_back(world, steps, new_learner<T>(world, o_.networks, o_.critic, seed));
      worker.learner.branch = k ? join("-", k) : "";
      worker.collector.emplace(world, o_.batch.envs, seed, worker.learner.branch);
      worker.learner.environments = worker.collector->state();
    }
  }

  bool goes_on() const override { return steps() + o_.batch.steps() <= total_; }

  UpdateReport update(const Watcher& watcher) override {
    const Alone alone;  // workers of other processes do otherwise
    const long first = update_, last = std::min(first + round * o_.workers, total_ / o_.batch.steps());
    std::atomic<long> next = first;
    UpdateReport report;  // of the last pass
    std::mutex telling;
    std::exception_ptr error;
#pragma omp parallel for num_threads(o_.workers) schedule(static, 1)
    for (int k = 0; k < o_.workers; ++k) {
      try {
        Training<T>& worker = workers_[static_cast<std::size_t>(k)];
        Learner<T>& l = worker.learner;
        while ((l.update = next.fetch_add(1)) < last) {
          l.step = l.update * o_.batch.steps();
          if (l.update > first && watcher.wants) {
            const std::lock_guard lock(telling);
            shared_.load(l.parameters);
            if (watcher.wants(l.update)) watcher.snapshot(l.update, l.step, lowvar::learned(l, o_.batch));
          }
          const UpdateReport each = pass(worker, shared_, o_, watcher, telling);
          const std::lock_guard lock(telling);
          if (each.update + 1 == last)
            report = each;
          else
            watcher.saw(each);
          shared_.load(l.parameters);
          if (!all_finite(l.parameters)) break;  // there is nothing to act by, as the round's end says
        }
      } catch (...) {
#pragma omp critical(lowvar_workers)
        error = std::current_exception();
      }
    }
    if (error) std::rethrow_exception(error);
    update_ = std::min(next.load(), last);
    shared_.load(workers_.front().learner.parameters);
    return report;
  }

  bool finite() const override { return all_finite(shared_.x); }
  Learned learned() const override { return lowvar::learned(workers_.front().learner, o_.batch); }
  Parameters policy_parameters() const override {
    return converted<double>(workers_.front().learner.theta());
  }
  long updates() const override { return update_; }
  long steps() const override { return update_ * o_.batch.steps(); }
  double work() const override { return work_of(workers_.front().learner, steps(), o_); }
  std::unique_ptr<Run> clone() const override {
    auto out = std::make_unique<A3cRun>(world_, o_, total_, seed_);
    out->restore(store());
    return out;
  }
  std::vector<std::byte> store() const override { return stored(*this); }
  void restore(std::span<const std::byte> learner) override {
    const Arrays<T> like = shared_.x;
    restore_from(learner, *this);
    expect_shapes<T>("parameters", std::span(shared_.x), std::span(like));
    expect_shapes<T>("square", std::span(shared_.square), std::span(like));
    expect(update_ >= 0 && update_ <= total_ / o_.batch.steps(), "the stored learner's update is ", update_,
           ", and the run has ", total_ / o_.batch.steps());
    for (Training<T>& each : workers_) {
      expect_shapes(each.learner, like);
      each.collector->restore(each.learner.environments);
    }
  }
  std::unique_ptr<Run> branch(std::uint64_t, const std::string&) const override {
    throw Error(
        "the batches of a3c depend on what its workers do at the same time, and cannot be drawn again");
  }

  /// Of what changes, between rounds.
  template <class F>
  void visit(F&& f) {
    f("shared", shared_), f("update", update_);
    for (Training<T>& each : workers_) f("worker", each.learner);
  }

 private:
  const World& world_;
  A3cOptions o_;
  long total_;
  std::uint64_t seed_;
  Shared shared_;
  std::vector<Training<T>> workers_;  // the first has what is shared, between rounds
  long update_ = 0;
};

}  // namespace

long first_batch(const A3cOptions& o, const World&) { return o.batch.steps(); }

std::unique_ptr<Run> start(const A3cOptions& o, const World& world, long steps, std::uint64_t seed) {
  return std::make_unique<A3cRun>(world, o, steps, seed);
}

std::unique_ptr<Algorithm> algorithm(const A3cOptions& options) { return algorithm_of(options); }

}  // namespace lowvar
