#include "algorithms/train/analytic.h"

#include <cmath>
#include <numeric>

#include "algorithms/train/options.h"
#include "algorithms/train/policy_gradient.h"

namespace lowvar {

void check(const AnalyticOptions& o, const World& world) {
  expect(world.lqg != nullptr, "apg differentiates the dynamics, and those of ", world.id, " are not known");
  at_least_one({{"trajectories", o.trajectories}});
  from_zero_to_one({{"gamma", o.gamma}});
  positive({{"learning_rate", o.learning_rate}});
  not_negative({{"max_gradient_norm", o.max_gradient_norm}});
}

Learned train(const World& world, const AnalyticOptions& o, long steps, std::uint64_t seed,
              const Watcher& watcher) {
  check(o, world);
  const Estimator estimator = make_estimator("pathwise");
  Constants constants;
  constants.gamma = o.gamma;
  constants.dynamics = world.lqg;
  Learned out{{Linear{world.observation, world.m}, Head::gaussian}, {}};
  Rng rng(seed, "policy-init");
  out.theta = initialise(out.policy, rng, o.log_std);
  AdamState<double> adam;
  const long per_update = static_cast<long>(o.trajectories) * world.T;
  for (UpdateReport report; report.step + per_update <= steps; ++report.update) {
    if (watcher.wants && watcher.wants(report.update)) watcher.snapshot(report.update, report.step, out);
    const auto first = static_cast<int>(report.update * o.trajectories);
    const Trajectories batch =
        world.sample(out.policy, out.theta, world.T, {seed, "train", first, o.trajectories});
    watcher.saw(whole_episodes(batch, report.step));
    report.step += batch.rows();
    const auto g = policy_gradient_estimate(estimator, out.policy, out.theta, batch, constants);
    report.gradient_norm = std::sqrt(std::inner_product(g.begin(), g.end(), g.begin(), 0.0));
    const double left = 1 - static_cast<double>(report.step - per_update) / static_cast<double>(steps);
    report.learning_rate = o.anneal ? o.learning_rate * left : o.learning_rate;
    const double shrink = o.max_gradient_norm > 0 && report.gradient_norm > o.max_gradient_norm
                              ? o.max_gradient_norm / report.gradient_norm
                              : 1;
    Parameters descent = out.theta;
    std::size_t k = 0;
    for (auto& x : descent)
      for (double& each : values(x)) each = -shrink * g[k++];
    adam_step(out.theta, descent, adam, {.learning_rate = report.learning_rate});
    watcher.saw(report);
  }
  return out;
}

}  // namespace lowvar
