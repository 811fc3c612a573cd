#include "algorithms/train/ppo.h"

#include "algorithms/train/on_policy.h"

namespace lowvar {

/// Huang et al. 2022, details 1 to 13 and, for vectors, 14 to 22; rewards of tables are rare, and a bonus for
/// entropy there pays for what is not worth a visit.
PpoOptions ppo_recipe(const World& world) {
  PpoOptions o;
  o.networks = networks_of(world);
  o.batch.gamma = world.gamma;
  if (world.sequences) {  // Shao et al. 2024: GRPO
    o.batch.episodes = 64;
    o.objective.estimator = "grpo:8+seq-mean+clip:0.2:0.2";
    o.objective.reduce = Reduce::trajectory;
    o.step.learning_rate = 0.05;
    o.critic.critic = CriticKind::none;
    o.epochs = 2, o.minibatches = 1;
    return o;
  }
  o.objective.estimator = "ppo-clip:0.2+undiscounted";
  o.objective.advantages = Advantages::standardised;
  o.objective.entropy_coefficient = 0.01;
  o.step.learning_rate = 2.5e-4;
  o.step.anneal = true;
  o.step.adam_epsilon = 1e-5;
  o.step.max_gradient_norm = 0.5;
  if (world.m && world.levels.empty()) {
    o.batch.envs = 4, o.batch.rollout = 1024;
    o.epochs = 10, o.minibatches = 16;
    o.step.learning_rate = 1e-3;
    o.objective.entropy_coefficient = 0;
  }
  if (world.mdp) o.batch.rollout = 512, o.step.learning_rate = 0.03, o.objective.entropy_coefficient = 0;
  return o;
}

PpoOptions ppo_kl_recipe(const World& world) {
  PpoOptions o = ppo_recipe(world);
  o.objective.estimator = "gae:0.95+undiscounted";
  o.objective.surrogate = SurrogateKind::ratio;
  if (!world.mdp) o.batch.envs = 4, o.batch.rollout = 256, o.epochs = 10, o.step.learning_rate = 1e-3;
  o.kl_coefficient = 1;
  o.kl_target = 0.01;
  return o;
}

void check(const PpoOptions& o, const World& world) {
  check(static_cast<const OnPolicyOptions&>(o), world);
  at_least_one({{"epochs", o.epochs}, {"minibatches", o.minibatches}});
  at_most(1e8, {{"minibatches", o.minibatches}});
  not_negative({{"kl_coefficient", o.kl_coefficient}, {"kl_target", o.kl_target}, {"kl_stop", o.kl_stop}});
  expect(o.kl_target == 0 || o.kl_coefficient > 0, "kl_target adapts kl_coefficient, which must be positive");
}

/// One iteration of algorithm 1.
template <class T>
UpdateReport update(Training<T>& run, const PpoOptions& o, const Watcher& watcher) {
  Learner<T>& l = run.learner;
  UpdateReport report{.learning_rate = o.step.learning_rate * annealed(run, o.step)};

  // N actors run the old policy for T timesteps and compute advantages A_1 ... A_T.
  Objective L = objective_of(o.objective);  // L^CLIP, or rho A, + c_2 S - beta KL
  L.kl = l.kl_coefficient;
  Trajectories batch = collect(run, o.batch, L.estimator, watcher);
  value(l, o.batch, batch);
  std::vector<double> A = weigh(L.estimator, batch, o.batch.gamma, batch.log_mu);
  const std::vector<double> V_target = lambda_returns(batch, o.batch.gamma, o.critic.critic_lambda);
  if (l.critic) report.explained_variance = explained_variance(V_target, batch.value);
  PolicyOutputs old;
  if (L.kl != 0) old = policy_outputs(l.policy, l.theta(), batch.inputs());
  const auto actor = [&] { return PolicyTerm{L, l.policy, A, &old}; };
  const auto critic = critic_term(l, V_target);
  show(watcher, l, batch, actor(), o.batch.gamma);

  // Optimise L in theta, with K epochs of minibatches of size M <= N T.
  Tally tally;
  for (int epoch = 0; epoch < o.epochs; ++epoch) {
    for (const auto& rows : minibatches(l, batch.rows(), epoch, o.minibatches)) {
      if (L.estimator.weighs_ratios)
        A = weigh(L.estimator, batch, o.batch.gamma, log_pi_of(l.policy, l.theta(), batch));
      const PolicyTerm of_policy = actor();
      auto g = gradient(&of_policy, o.critic.joint() ? &*critic : nullptr, l.parameters, l.policy_arrays,
                        batch, rows);
      tally.saw(g, l.policy_arrays, rows.size(), epoch, watcher);
      descend(l, g, o.step, o.critic, report.learning_rate, o.critic.joint() ? Of::both : Of::policy);
    }
    if (o.kl_stop > 0 && sampled_kl(log_pi_of(l.policy, l.theta(), batch), batch.log_mu) > o.kl_stop) break;
  }
  fit_critic(l, o.step, o.critic, report.learning_rate, batch, V_target, report);

  tally.write(report, o.critic.joint());
  compare_with_before(l, L.estimator, batch, report);
  if (o.kl_target > 0) {  // section 4
    if (report.kl > 1.5 * o.kl_target) l.kl_coefficient *= 2;
    if (report.kl < o.kl_target / 1.5) l.kl_coefficient /= 2;
  }
  return report;
}

std::unique_ptr<Algorithm> algorithm(const PpoOptions& options) { return algorithm_of(options); }

}  // namespace lowvar
