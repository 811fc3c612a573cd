// Runs of on-policy pages. Such a page has options O, which are OnPolicyOptions and more, and
//   template <class T> UpdateReport update(Training<T>&, const O&, const Watcher&)
// and algorithm_of(O) is the Algorithm.
#pragma once

#include <concepts>
#include <memory>
#include <utility>

#include "algorithms/train/algorithm_of.h"
#include "algorithms/train/pieces.h"
#include "algorithms/train/store.h"

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
  OnPolicyRun(const World& world, const O& options, long steps, std::uint64_t seed)
      : o_(options), run_{world, steps, new_learner<T>(world, o_.networks, o_.critic, seed)} {
    if constexpr (requires { o_.kl_coefficient; }) run_.learner.kl_coefficient = o_.kl_coefficient;
    start_collector();
    if (run_.collector) run_.learner.environments = run_.collector->state();
  }
  OnPolicyRun(const OnPolicyRun& other)
      : o_(other.o_), run_{other.run_.world, other.run_.steps, other.run_.learner} {
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
  Learned learned() const override { return lowvar::learned(run_.learner, o_.batch); }
  Parameters policy_parameters() const override { return converted<double>(run_.learner.theta()); }
  long updates() const override { return run_.learner.update; }
  long steps() const override { return run_.learner.step; }
  std::unique_ptr<Run> clone() const override { return std::make_unique<OnPolicyRun>(*this); }
  std::vector<std::byte> store() const override { return stored(run_.learner); }
  void restore(std::span<const std::byte> learner) override {
    restore_from(learner, run_.learner);
    resume();
  }
  std::unique_ptr<Run> branch(std::uint64_t seed, const std::string& name) const override {
    auto out = std::make_unique<OnPolicyRun>(*this);
    out->run_.learner.seed = seed;
    out->run_.learner.branch = name;
    out->resume();
    return out;
  }

 private:
  void start_collector() {
    const Learner<T>& l = run_.learner;
    if (!o_.batch.episodes) run_.collector.emplace(run_.world, o_.batch.envs, l.seed, l.branch);
  }
  void resume() {
    start_collector();
    if (run_.collector) run_.collector->restore(run_.learner.environments);
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
  if (o.networks.precision == Precision::float64)
    return std::make_unique<OnPolicyRun<O, double>>(world, o, steps, seed);
  return std::make_unique<OnPolicyRun<O, float>>(world, o, steps, seed);
}

}  // namespace lowvar
