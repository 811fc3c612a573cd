#include "algorithms/train/apg.h"

#include "algorithms/train/algorithm_of.h"
#include "algorithms/train/pieces.h"
#include "core/store.h"

namespace lowvar {

ApgOptions apg_recipe(const World& world) { return {.gamma = world.gamma}; }

void check(const ApgOptions& o, const World& world) {
  expect(world.lqg != nullptr, "apg differentiates the dynamics, and those of ", world.id, " are not known");
  at_least_one({{"trajectories", o.trajectories}});
  at_most(1e8, {{"trajectories x horizon", static_cast<double>(o.trajectories) * world.T}});
  from_zero_to_one({{"gamma", o.gamma}});
  positive({{"learning_rate", o.learning_rate}});
  not_negative({{"max_gradient_norm", o.max_gradient_norm}});
}

namespace {

class ApgRun final : public Run {
 public:
  ApgRun(const World& world, const ApgOptions& options, long steps, std::uint64_t seed)
      : world_(world), o_(options), total_(steps) {
    l_.seed = seed;
    l_.policy = {Linear{world.observation, world.m}, Head::gaussian};
    Rng rng(seed, "policy-init");
    l_.parameters = initialise(l_.policy, rng, o_.log_std);
    l_.policy_arrays = l_.parameters.size();
  }

  bool goes_on() const override { return l_.step + batch_steps() <= total_; }

  /// theta <- theta + alpha (1/N) sum_i dR_i/dtheta, over N trajectories.
  UpdateReport update(const Watcher& watcher) override {
    const double done = static_cast<double>(l_.step) / static_cast<double>(total_);
    UpdateReport report{.update = l_.update,
                        .learning_rate = o_.anneal ? o_.learning_rate * (1 - done) : o_.learning_rate};
    const int N = o_.trajectories, first = next_episode(l_.episodes, N);
    l_.episodes += N;
    const Trajectories batch =
        world_.sample(l_.policy, l_.parameters, world_.T, {l_.seed, "train" + l_.branch, first, N});
    watcher.saw(whole_episodes(batch, l_.step));
    const Estimator pathwise = make_estimator("pathwise");
    Constants constants;
    constants.gamma = o_.gamma;
    constants.dynamics = world_.lqg;
    auto up = policy_gradient_estimate(pathwise, l_.policy, l_.parameters, batch, constants);
    Gradient<double> g;
    std::size_t k = 0;
    for (const auto& x : l_.parameters) {
      g.g.push_back(zeros_like(x));
      for (double& each : values(g.g.back())) each = -up[k++];
    }
    Tally tally;
    tally.saw(g, l_.policy_arrays, static_cast<std::size_t>(batch.rows()), 0, watcher);
    clip_norm(g, o_.max_gradient_norm);
    adam_step(l_.parameters, g.g, l_.policy_adam, {.learning_rate = report.learning_rate});
    report.step = l_.step += batch.rows();
    ++l_.update;
    tally.write(report, false);
    report.entropy = UpdateReport::none;
    return report;
  }

  bool finite() const override { return all_finite(l_.parameters); }
  Learned learned() const override { return {l_.policy, l_.parameters}; }
  Parameters policy_parameters() const override { return l_.parameters; }
  long updates() const override { return l_.update; }
  long steps() const override { return l_.step; }
  double work() const override { return seconds_of(4 * static_cast<double>(l_.step), 0); }  // gains are few
  std::unique_ptr<Run> clone() const override { return std::make_unique<ApgRun>(*this); }
  std::vector<std::byte> store() const override { return stored(l_); }
  void restore(std::span<const std::byte> learner) override {
    const Parameters like = l_.parameters;
    restore_from(learner, l_);
    expect_shapes(l_, like);
  }
  std::unique_ptr<Run> branch(std::uint64_t seed, const std::string& name) const override {
    auto out = std::make_unique<ApgRun>(*this);
    out->l_.seed = seed;
    out->l_.branch = name;
    return out;
  }

  long batch_steps() const { return static_cast<long>(o_.trajectories) * world_.T; }

 private:
  const World& world_;
  ApgOptions o_;
  long total_;
  Learner<double> l_;
};

}  // namespace

long first_batch(const ApgOptions& o, const World& world) {
  return static_cast<long>(o.trajectories) * world.T;
}

std::unique_ptr<Run> start(const ApgOptions& o, const World& world, long steps, std::uint64_t seed) {
  return std::make_unique<ApgRun>(world, o, steps, seed);
}

std::unique_ptr<Algorithm> algorithm(const ApgOptions& options) { return algorithm_of(options); }

}  // namespace lowvar
