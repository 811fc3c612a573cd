#include "algorithms/train/trpo.h"

#include <cmath>

#include "algorithms/data/returns.h"
#include "algorithms/train/on_policy.h"

namespace lowvar {

TrpoOptions trpo_recipe(const World& world) {
  TrpoOptions o{natural_recipe(world)};
  o.objective.surrogate = SurrogateKind::ratio;
  return o;
}

namespace {

constexpr int halvings = 15;  // of the step before an update is given up

/// L(theta) = mean of rho psi (eq. 14), which the line search must improve.
template <class T>
double surrogate_value(const Learner<T>& l, const Trajectories& batch, std::span<const double> psi) {
  const auto log_pi = log_pi_of(l.policy, l.theta(), batch);
  double sum = 0;
  for (std::size_t r = 0; r < psi.size(); ++r) sum += std::exp(log_pi[r] - batch.log_mu[r]) * psi[r];
  return sum / static_cast<double>(psi.size());
}

/// Halves the step until the mean KL is within delta and the surrogate has grown (appendix C); the mean KL of
/// the step that was taken, 0 where none was.
template <class T>
double line_search(Learner<T>& l, const Trajectories& batch, std::span<const double> psi,
                   const NaturalStep& step, double delta) {
  const Arrays<T> start = l.parameters;
  const PolicyOutputs old = policy_outputs(l.policy, l.theta(), batch.inputs());
  const double before = surrogate_value(l, batch, psi);
  double beta = step.beta;
  for (int i = 0; i < halvings; ++i, beta /= 2) {
    move_policy(l, start, step.x, beta);
    const double divergence = mean_kl(l.policy, old, l.theta(), batch.inputs());
    if (divergence <= delta && surrogate_value(l, batch, psi) > before) return divergence;
  }
  l.parameters = start;
  return 0;
}

}  // namespace

/// Section 6: estimate the objective on samples, find the direction by conjugate gradients, search along it.
template <class T>
UpdateReport update(Training<T>& run, const TrpoOptions& o, const Watcher& watcher) {
  Learner<T>& l = run.learner;
  const double left = annealed(run, o.step), delta = o.kl_step * left;
  UpdateReport report{.learning_rate = o.step.learning_rate * left};

  const Objective L = objective_of(o.objective);
  Trajectories batch = collect(run, o.batch, L.estimator, watcher);
  value(l, o.batch, batch);
  std::vector<double> A = weigh(L.estimator, batch, o.batch.gamma, batch.log_mu);
  const std::vector<double> target = lambda_returns(batch, o.batch.gamma, o.critic.critic_lambda);
  if (l.critic) report.explained_variance = explained_variance(target, batch.value);
  const PolicyTerm actor{L, l.policy, A};
  show(watcher, l, batch, actor, o.batch.gamma);

  Tally tally;
  const auto rows = minibatches(l, batch.rows(), 0, 1).front();
  const auto g = gradient<T>(&actor, nullptr, l.parameters, l.policy_arrays, batch, rows);
  tally.saw(g, l.policy_arrays, rows.size(), 0, watcher);
  const NaturalStep step = natural_step(l, o, batch, ascent(g, l.policy_arrays), delta);
  if (L.standardised) standardise(A);  // as the gradient did
  report.kl = step.beta > 0 ? line_search(l, batch, A, step, delta) : 0;
  fit_critic(l, o.step, o.critic, report.learning_rate, batch, target, report);

  tally.write(report, false);
  return report;
}

std::unique_ptr<Algorithm> algorithm(const TrpoOptions& options) { return algorithm_of(options); }

}  // namespace lowvar
