#include "algorithms/train/npg.h"

#include "algorithms/train/on_policy.h"

namespace lowvar {

NpgOptions npg_recipe(const World& world) { return {natural_recipe(world)}; }

/// theta <- theta + beta F^-1 grad J (Kakade 2001, section 2), with beta such that the mean KL is about
/// kl_step.
template <class T>
UpdateReport update(Training<T>& run, const NpgOptions& o, const Watcher& watcher) {
  Learner<T>& l = run.learner;
  const double left = annealed(run, o.step);
  UpdateReport report{.learning_rate = o.step.learning_rate * left};

  const Objective J = objective_of(o.objective);
  Trajectories batch = collect(run, o.batch, J.estimator, watcher);
  value(l, o.batch, batch);
  const std::vector<double> psi = weigh(J.estimator, batch, o.batch.gamma, batch.log_mu);
  const std::vector<double> target = lambda_returns(batch, o.batch.gamma, o.critic.critic_lambda);
  if (l.critic) report.explained_variance = explained_variance(target, batch.value);
  const PolicyTerm actor{J, l.policy, psi};
  show(watcher, l, batch, actor, o.batch.gamma);

  Tally tally;
  const auto rows = minibatches(l, batch.rows(), 0, 1).front();
  const auto g = gradient<T>(&actor, nullptr, l.parameters, l.policy_arrays, batch, rows);
  tally.saw(g, l.policy_arrays, rows.size(), 0, watcher);
  const PolicyOutputs old = policy_outputs(l.policy, l.theta(), batch.inputs());
  const auto [x, beta] = natural_step(l, o, batch, ascent(g, l.policy_arrays), o.kl_step * left);
  move_policy(l, Arrays<T>(l.parameters), x, beta);
  fit_critic(l, o.step, o.critic, report.learning_rate, batch, target, report);

  tally.write(report, false);
  report.kl = mean_kl(l.policy, old, l.theta(), batch.inputs());
  return report;
}

std::unique_ptr<Algorithm> algorithm(const NpgOptions& options) { return algorithm_of(options); }

}  // namespace lowvar
