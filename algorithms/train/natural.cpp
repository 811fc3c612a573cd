#include "algorithms/train/natural.h"

#include <cmath>
#include <numeric>

namespace lowvar {

/// Schulman et al. 2015, table 1 and appendix D: 10 iterations, KL 0.01, damping 0.1. Batches are ours.
NaturalOptions natural_recipe(const World& world) {
  NaturalOptions o;
  o.networks = networks_of(world);
  o.batch.gamma = world.gamma;
  o.batch.rollout = 256;
  o.networks.precision = Precision::float64;
  o.objective.estimator = "gae:0.95+undiscounted";
  o.objective.advantages = Advantages::standardised;
  o.step.learning_rate = 1e-3;
  o.critic.critic_epochs = 10;
  if (world.lqg) o.batch.gamma = 0.95, o.step.anneal = true, o.networks.log_std = -0.5, o.kl_step = 0.02;
  return o;
}

void check(const NaturalOptions& o, const World& world) {
  check(static_cast<const OnPolicyOptions&>(o), world);
  at_least_one({{"cg_iterations", o.cg_iterations}});
  positive({{"kl_step", o.kl_step}});
  not_negative({{"cg_damping", o.cg_damping}});
  expect(!o.critic.joint(),
         "critic_epochs must be at least 1, for the critic does not share the policy's step");
}

std::vector<double> conjugate_gradient(
    const std::function<std::vector<double>(const std::vector<double>&)>& A_times,
    const std::vector<double>& b, int iterations) {
  std::vector<double> x(b.size(), 0), r = b, p = b;
  const auto dot = [](const std::vector<double>& u, const std::vector<double>& v) {
    return std::inner_product(u.begin(), u.end(), v.begin(), 0.0);
  };
  double rr = dot(r, r);
  const double enough = 1e-20 * rr;
  for (int i = 0; i < iterations && rr > enough; ++i) {
    const auto Ap = A_times(p);
    const double alpha = rr / dot(p, Ap);
    for (std::size_t k = 0; k < x.size(); ++k) x[k] += alpha * p[k], r[k] -= alpha * Ap[k];
    const double next = dot(r, r);
    for (std::size_t k = 0; k < x.size(); ++k) p[k] = r[k] + next / rr * p[k];
    rr = next;
  }
  return x;
}

template <class T>
NaturalStep natural_step(const Learner<T>& l, const NaturalOptions& o, const Trajectories& batch,
                         const std::vector<double>& g, double delta) {
  const auto F_times = [&](const std::vector<double>& v) {
    return fisher_times(l.policy, l.theta(), batch, v, o.cg_damping);
  };
  NaturalStep out{conjugate_gradient(F_times, g, o.cg_iterations)};
  const auto Fx = F_times(out.x);
  const double curvature = std::inner_product(out.x.begin(), out.x.end(), Fx.begin(), 0.0);
  if (curvature > 0) out.beta = std::sqrt(2 * delta / curvature);
  return out;
}

template <class T>
void move_policy(Learner<T>& l, const Arrays<T>& start, const std::vector<double>& x, double step) {
  std::size_t k = 0;
  for (std::size_t a = 0; a < l.policy_arrays; ++a)
    for (std::size_t j = 0; j < start[a].size(); ++j)
      l.parameters[a].data()[j] = static_cast<T>(static_cast<double>(start[a].data()[j]) + step * x[k++]);
}

#define LOWVAR_INSTANTIATE(T)                                                                      \
  template NaturalStep natural_step(const Learner<T>&, const NaturalOptions&, const Trajectories&, \
                                    const std::vector<double>&, double);                           \
  template void move_policy(Learner<T>&, const Arrays<T>&, const std::vector<double>&, double);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE

}  // namespace lowvar
