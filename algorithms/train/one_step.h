// The update that REINFORCE and the advantage actor-critic share: one step along the gradient of one batch.
// They differ in the batch, in the estimator's weights and in the critic's target, which are options.
#pragma once

#include <vector>

#include "algorithms/train/options.h"
#include "algorithms/train/pieces.h"
#include "algorithms/train/training.h"

namespace lowvar {

/// theta <- theta + alpha (sum grad log pi(a|s; theta) psi + c grad H), w along - grad (G - V(s; w))^2 / 2,
/// jointly or in epochs of its own (Sutton & Barto 2018, section 13.4; Mnih et al. 2016, algorithm S3).
template <class T>
UpdateReport one_step(Training<T>& run, const OnPolicyOptions& o, const Watcher& watcher) {
  Learner<T>& l = run.learner;
  UpdateReport report{.learning_rate = o.step.learning_rate * annealed(run, o.step)};

  const Objective J = objective_of(o.objective);
  Trajectories batch = collect(run, o.batch, J.estimator, watcher);
  value(l, o.batch, batch);
  const std::vector<double> psi = weigh(J.estimator, batch, o.batch.gamma, batch.log_mu);
  const std::vector<double> G = lambda_returns(batch, o.batch.gamma, o.critic.critic_lambda);
  if (l.critic) report.explained_variance = explained_variance(G, batch.value);
  const PolicyTerm actor{J, l.policy, psi};
  const auto critic = critic_term(l, G);
  show(watcher, l, batch, actor, o.batch.gamma);

  Tally tally;
  const auto rows = minibatches(l, batch.rows(), 0, 1).front();
  auto g =
      gradient(&actor, o.critic.joint() ? &*critic : nullptr, l.parameters, l.policy_arrays, batch, rows);
  tally.saw(g, l.policy_arrays, rows.size(), 0, watcher);
  descend(l, g, o.step, o.critic, report.learning_rate, o.critic.joint() ? Of::both : Of::policy);
  fit_critic(l, o.step, o.critic, report.learning_rate, batch, G, report);

  tally.write(report, o.critic.joint());
  compare_with_before(l, J.estimator, batch, report);
  return report;
}

}  // namespace lowvar
