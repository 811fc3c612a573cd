// Runs of on-policy pages. Such a page has options O, which are OnPolicyOptions and more, and
//   template <class T> UpdateReport update(Training<T>&, const O&, const Watcher&)
// and algorithm_of(O) is the Algorithm.
#pragma once

#include <concepts>
#include <memory>
#include <utility>

#include "algorithms/train/algorithm_of.h"
#include "algorithms/train/pieces.h"
#include "core/store.h"

namespace lowvar {

namespace detail {

// The page's own, from a class with a member of that name.
template <class O, class T>
UpdateReport page_update(Training<T>& run, const O& o, const Watcher& watcher) {
  return update(run, o, watcher);
}

}  // namespace detail

template <class O, class T>
class OnPolicyRun final : public Run {
 public:
  /// Goes on from `learner`; one that is new has no environments yet.
  OnPolicyRun(const World& world, const O& options, long steps, Learner<T> learner)
      : o_(options), run_{world, steps, std::move(learner)} {
    resume();
  }

  bool goes_on() const override {
    const Learner<T>& l = run_.learner;
    if (o_.batch.max_episodes && l.episodes >= o_.batch.max_episodes) return false;
    return o_.batch.episodes ? l.step < run_.steps : l.step + o_.batch.steps() <= run_.steps;
  }
  UpdateReport update(const Watcher& watcher) override {
    UpdateReport report = detail::page_update(run_, o_, watcher);
    report.update = run_.learner.update++;
    report.step = run_.learner.step;
    return report;
  }
  bool finite() const override { return all_finite(run_.learner.parameters); }
  Learned learned() const override { return lowvar::learned(run_.learner, o_.batch); }
  Parameters policy_parameters() const override { return converted<double>(run_.learner.theta()); }
  long updates() const override { return run_.learner.update; }
  long steps() const override { return run_.learner.step; }
  double work() const override { return work_of(run_.learner, steps(), o_); }
  std::unique_ptr<Run> clone() const override { return with(run_.learner); }
  std::vector<std::byte> store() const override { return stored(run_.learner); }
  void restore(std::span<const std::byte> learner) override {
    const Arrays<T> like = run_.learner.parameters;
    restore_from(learner, run_.learner);
    expect_shapes(run_.learner, like);
    resume();
  }
  std::unique_ptr<Run> branch(std::uint64_t seed, const std::string& name) const override {
    Learner<T> learner = run_.learner;
    learner.seed = seed;
    learner.branch = name;
    return with(std::move(learner));
  }

 private:
  std::unique_ptr<Run> with(Learner<T> learner) const {
    return std::make_unique<OnPolicyRun>(run_.world, o_, run_.steps, std::move(learner));
  }
  /// Environments where the learner left them.
  void resume() {
    if (o_.batch.episodes) return;
    Learner<T>& l = run_.learner;
    run_.collector.emplace(run_.world, o_.batch.envs, l.seed, l.branch);
    if (l.environments.places.empty())
      l.environments = run_.collector->state();
    else
      run_.collector->restore(l.environments);
  }

  O o_;
  Training<T> run_;
};

/// Steps of the first batch; of whole episodes one is enough.
template <std::derived_from<OnPolicyOptions> O>
long first_batch(const O& o, const World&) {
  return o.batch.episodes ? 1 : o.batch.steps();
}

template <std::derived_from<OnPolicyOptions> O>
std::unique_ptr<Run> start(const O& o, const World& world, long steps, std::uint64_t seed) {
  const auto run = [&]<class T>(Learner<T> learner) -> std::unique_ptr<Run> {
    if constexpr (requires { o.kl_coefficient; }) learner.kl_coefficient = o.kl_coefficient;
    return std::make_unique<OnPolicyRun<O, T>>(world, o, steps, std::move(learner));
  };
  if (o.networks.precision == Precision::float64)
    return run(new_learner<double>(world, o.networks, o.critic, seed));
  return run(new_learner<float>(world, o.networks, o.critic, seed));
}

}  // namespace lowvar
