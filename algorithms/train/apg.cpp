#include "algorithms/train/apg.h"

#include "algorithms/train/algorithm_of.h"
#include "algorithms/train/pieces.h"
#include "core/store.h"

namespace lowvar {

ApgOptions apg_recipe(const World& world) {
  ApgOptions o{.gamma = world.gamma};
  if (!world.linear) o.learning_rate = 0.01;  // of a network
  return o;
}

namespace {

/// Of a trajectory, at most.
int steps_of(const ApgOptions& o, const World& world) { return o.horizon ? o.horizon : world.T; }

}  // namespace

void check(const ApgOptions& o, const World& world) {
  const EstimatorFamily& family = *parse_estimator(o.estimator).family;
  expect(family.kind == EstimatorKind::pathwise, "estimator, ", o.estimator,
         ", must be pathwise or pathwise-fd, which may be stopped, as in pathwise:20, for apg follows "
         "derivatives "
         "of paths");
  expect(family.needs.differences ? world.differences != nullptr : world.dynamics != nullptr,
         "apg differentiates the dynamics, and those of ", world.id, " are not known",
         world.differences ? "; with estimator pathwise-fd it takes their finite differences" : "");
  at_least_one({{"trajectories", o.trajectories}});
  not_negative({{"horizon", o.horizon}});
  at_most(world.T, {{"horizon", o.horizon}});
  at_most(1e8, {{"trajectories x horizon", static_cast<double>(o.trajectories) * steps_of(o, world)}});
  check_hidden(o.hidden);
  positive({{"policy_gain", o.policy_gain}});
  from_zero_to_one({{"gamma", o.gamma}});
  positive({{"learning_rate", o.learning_rate}});
  not_negative({{"max_gradient_norm", o.max_gradient_norm}});
}

long first_batch(const ApgOptions& o, const World& world) {
  return static_cast<long>(o.trajectories) * steps_of(o, world);
}

namespace {

class ApgRun final : public Run {
 public:
  ApgRun(const World& world, const ApgOptions& options, long steps, std::uint64_t seed)
      : world_(world), o_(options), total_(steps) {
    const NetworkOptions networks{.hidden = o_.hidden,
                                  .activation = o_.activation,
                                  .policy_gain = o_.policy_gain,
                                  .log_std = o_.log_std};
    l_ = new_learner<double>(world, networks, {.critic = CriticKind::none}, seed);
  }

  bool goes_on() const override { return l_.step + batch_steps() <= total_; }

  /// theta <- theta + alpha (1/N) sum_i dR_i/dtheta, over N trajectories.
  UpdateReport update(const Watcher& watcher) override {
    const double done = static_cast<double>(l_.step) / static_cast<double>(total_);
    UpdateReport report{.update = l_.update,
                        .learning_rate = o_.anneal ? o_.learning_rate * (1 - done) : o_.learning_rate};
    const int N = o_.trajectories, first = next_episode(l_.episodes, N);
    l_.episodes += N;
    const Trajectories batch = world_.sample(l_.policy, l_.parameters, steps_of(o_, world_),
                                             {l_.seed, "train" + l_.branch, first, N});
    watcher.saw(whole_episodes(batch, l_.step));
    const Estimator pathwise = make_estimator(o_.estimator);
    Constants constants;
    constants.gamma = o_.gamma;
    constants.dynamics = world_.dynamics;
    constants.differences = world_.differences;
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
  double work() const override {
    double parameters = 0;
    for (const auto& x : l_.parameters) parameters += static_cast<double>(x.size());
    return seconds_of(4 * static_cast<double>(l_.step), parameters);
  }
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

  long batch_steps() const { return first_batch(o_, world_); }

 private:
  const World& world_;
  ApgOptions o_;
  long total_;
  Learner<double> l_;
};

}  // namespace

std::unique_ptr<Run> start(const ApgOptions& o, const World& world, long steps, std::uint64_t seed) {
  return std::make_unique<ApgRun>(world, o, steps, seed);
}

std::unique_ptr<Algorithm> algorithm(const ApgOptions& options) { return algorithm_of(options); }

}  // namespace lowvar
