#include "algorithms/train/a2c.h"

#include "algorithms/train/on_policy.h"

namespace lowvar {
namespace {

/// A table forgets what it has stopped to visit: large batches, and no bonus for what is not worth a visit.
void for_tables(A2cOptions& o) {
  o.batch.rollout = 256;
  o.step.learning_rate = 0.1;
  o.step.anneal = false;
  o.objective.entropy_coefficient = 0;
}

}  // namespace

/// Mnih et al. 2016, section 8: entropy 0.01. Batches, rates and the critic's epochs are ours, tuned on
/// CartPole.
A2cOptions a2c_recipe(const World& world) {
  A2cOptions o;
  o.batch.gamma = world.gamma;
  o.batch.rollout = 32;
  o.objective.estimator = "gae:0.95+undiscounted";
  o.objective.entropy_coefficient = 0.01;
  o.step.learning_rate = 1e-3;
  o.step.anneal = true;
  o.step.max_gradient_norm = 0.5;
  o.critic.critic_epochs = 4;
  o.critic.critic_minibatches = 4;
  if (world.mdp) for_tables(o), o.critic.critic_epochs = 0;
  return o;
}

A2cOptions q_actor_critic_recipe(const World& world) {
  A2cOptions o;
  o.batch.gamma = world.gamma;
  o.batch.rollout = 256;
  o.objective.estimator = "q-value+undiscounted";
  o.objective.advantages = Advantages::standardised;
  o.objective.entropy_coefficient = 0.01;
  o.step.learning_rate = 3e-3;
  o.step.anneal = true;
  o.step.max_gradient_norm = 0.5;
  o.critic.critic = CriticKind::action_value;
  o.critic.critic_learning_rate = 1e-3;
  o.critic.critic_epochs = 20;
  if (world.mdp) for_tables(o), o.critic.critic_epochs = 10, o.critic.critic_learning_rate = 0.2;
  return o;
}

/// One pass of algorithm S3 (Mnih et al. 2016), its actors in step.
template <class T>
UpdateReport update(Training<T>& run, const A2cOptions& o, const Watcher& watcher) {
  Learner<T>& l = run.learner;
  UpdateReport report{.learning_rate = o.step.learning_rate * annealed(run, o.step)};

  // Perform a_t by pi(a_t|s_t; theta) for t_max steps; R = V(s_t; w) where the episode goes on.
  const Objective J = objective_of(o.objective);
  Trajectories batch = collect(run, o.batch, J.estimator, watcher);
  value(l, o.batch, batch);
  const std::vector<double> A = weigh(J.estimator, batch, o.batch.gamma, batch.log_mu);
  const std::vector<double> R = lambda_returns(batch, o.batch.gamma, o.critic.critic_lambda);
  if (l.critic) report.explained_variance = explained_variance(R, batch.value);
  const PolicyTerm actor{J, l.policy, A};
  const auto critic = critic_term(l, R);
  show(watcher, l, batch, actor, o.batch.gamma);

  // d theta = grad log pi(a|s; theta) A + c grad H;  d w = grad (R - V(s; w))^2 / 2, here or in epochs of its
  // own.
  Tally tally;
  const auto rows = minibatches(l, batch.rows(), 0, 1).front();
  auto g =
      gradient(&actor, o.critic.joint() ? &*critic : nullptr, l.parameters, l.policy_arrays, batch, rows);
  tally.saw(g, l.policy_arrays, rows.size(), 0, watcher);
  descend(l, g, o.step, o.critic, report.learning_rate, o.critic.joint() ? Of::both : Of::policy);
  fit_critic(l, o.step, o.critic, report.learning_rate, batch, R, report);

  tally.write(report, o.critic.joint());
  compare_with_before(l, J.estimator, batch, report);
  return report;
}

std::unique_ptr<Algorithm> algorithm(const A2cOptions& options) { return algorithm_of(options); }

}  // namespace lowvar
