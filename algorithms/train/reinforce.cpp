#include "algorithms/train/reinforce.h"

#include "algorithms/train/on_policy.h"

namespace lowvar {

/// Yoon 2018: one episode an update, 128 rectified units, gamma 0.9, whatever the world.
ReinforceOptions reinforce_recipe(const World&) {
  ReinforceOptions o;
  o.batch.episodes = 1;
  o.batch.max_episodes = 5000;
  o.batch.gamma = 0.9;
  o.networks.hidden = {128};
  o.networks.activation = Activation::relu;
  o.networks.initialisation = Initialisation::uniform;
  o.objective.estimator = "togo-normalised+undiscounted";
  o.objective.reduce = Reduce::trajectory;
  o.step.learning_rate = 3e-4;
  o.critic.critic = CriticKind::none;
  return o;
}

ReinforceOptions reinforce_baseline_recipe(const World& world) {
  ReinforceOptions o;
  o.batch.episodes = 8;
  o.batch.gamma = world.gamma;
  o.objective.estimator = "togo-value+undiscounted";
  o.objective.advantages = Advantages::standardised;
  o.step.learning_rate = 3e-3;
  o.step.max_gradient_norm = 0.5;
  o.critic.critic_lambda = 1;
  return o;
}

/// One step along the gradient of whole episodes (Sutton & Barto 2018, the boxes of sections 13.3 and 13.4,
/// with all steps of an episode, or of several, in one).
template <class T>
UpdateReport update(Training<T>& run, const ReinforceOptions& o, const Watcher& watcher) {
  Learner<T>& l = run.learner;
  UpdateReport report{.learning_rate = o.step.learning_rate * annealed(run, o.step)};

  // Episodes S_0, A_0, R_1, ..., S_T under pi(.|., theta).
  const Objective J = objective_of(o.objective);
  Trajectories batch = collect(run, o.batch, J.estimator, watcher);
  value(l, o.batch, batch);
  const std::vector<double> psi = weigh(J.estimator, batch, o.batch.gamma, batch.log_mu);
  const std::vector<double> G = lambda_returns(batch, o.batch.gamma, o.critic.critic_lambda);
  if (l.critic) report.explained_variance = explained_variance(G, batch.value);
  const PolicyTerm actor{J, l.policy, psi};
  const auto critic = critic_term(l, G);
  show(watcher, l, batch, actor, o.batch.gamma);

  // theta <- theta + alpha sum_t (G_t - v(S_t, w)) grad ln pi(A_t|S_t, theta), and w along its own gradient.
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

std::unique_ptr<Algorithm> algorithm(const ReinforceOptions& options) { return algorithm_of(options); }

}  // namespace lowvar
