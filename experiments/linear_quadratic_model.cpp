// Linear-quadratic worlds: policies are linear and Gaussian, values quadratic.
#include <cmath>

#include "algorithms/exact/lqr.h"
#include "experiments/models.h"

namespace lowvar {
namespace {

/// Its parameters in the order of the oracle's, K and log_std.
LinearGaussianPolicy linear_gaussian(const Parameters& theta) {
  return {theta.front(), {theta.back().begin(), theta.back().end()}};
}

std::string unsuitable(const World& world, const Policy& policy, const Parameters& theta) {
  const Shape K{world.lqg->m(), world.lqg->n()};
  if (std::holds_alternative<Linear>(policy.model) && policy.head == Head::gaussian && theta.size() == 2 &&
      shape(theta[0]) == K)
    return "";
  return join("the oracle of ", world.id,
              " knows linear-Gaussian policies, a ~ N(K s, diag(sigma^2)) with K ", text(K),
              ", and this policy is none");
}

PolicyChoice policy(const World& world, const std::string& spec) {
  const Policy pi{Linear{world.observation, world.m}, Head::gaussian};
  if (auto rng = init_stream(spec)) {
    Array<double> K = zeros<double>(world.m, world.observation);
    for (double& each : values(K)) each = rng->normal();
    return {pi, {K, zeros<double>(1, world.m)}};
  }
  if (spec != "reference") refuse_policy(world, spec);
  Array<double> K = riccati_optimum(*world.lqg).K;
  for (double& each : values(K)) each *= 0.5;
  return {pi, {K, full<double>(1, world.m, std::log(0.5))}};
}

FittedCritic critic(const World& world, const PolicyChoice& behaviour, double scale, bool of_actions) {
  expect(!of_actions, "a critic of Q(s, a) is for choices of action, and those of ", world.id,
         " are vectors");
  const QuadraticValues V = scaled(state_values(*world.lqg, linear_gaussian(behaviour.theta)), scale);
  const auto fill = [V](Trajectories& batch) {
    batch.value.assign(static_cast<std::size_t>(batch.rows()), 0);
    batch.next_value = batch.value;  // 0 at the horizon
    for (int i = 0; i < batch.size(); ++i)
      for (int r = batch.begin(i); r < batch.end(i); ++r) {
        const double v = value(V, r - batch.begin(i), row(batch.observation, r));
        batch.value[static_cast<std::size_t>(r)] = v;
        if (r > batch.begin(i)) batch.next_value[static_cast<std::size_t>(r) - 1] = v;
      }
  };
  return {fill, std::nullopt, {}, scale};
}

Constants constants(const World& world, const PolicyChoice& choice, int pilot, std::uint64_t seed) {
  BaselineConstants exact = baseline_constants(*world.lqg, linear_gaussian(choice.theta));
  Constants c;
  if (pilot > 0) c.linear = pilot_constants(world, choice.policy, choice.theta, pilot, seed).linear;
  c.gamma = world.gamma;
  c.J = exact.J;
  c.b_star = exact.b_star;
  c.b_i = std::move(exact.b_i);
  c.mean_return_to_go = std::move(exact.mean_return_to_go);
  c.dynamics = world.dynamics;
  c.differences = world.differences;
  return c;
}

OracleAnswer ask(const OracleQuestion& q) {
  OracleAnswer out;
  const Lqg& lqg = *q.world.lqg;
  const LinearGaussianPolicy pi = linear_gaussian(q.theta);
  out.truth.gradient = policy_gradient(lqg, pi);
  if (&q.theta != &q.behaviour && q.theta != q.behaviour) {
    out.reason = "off-policy values are enumerated, which " + q.world.id + " does not allow";
  } else if (q.estimator.needs_critic && !q.critic.multiple) {
    out.reason = "the values of a learned critic are not quadratic";
  } else {
    try {
      auto moments = exact_moments(q.estimator.name, lqg, pi,
                                   scaled(state_values(lqg, pi), q.critic.multiple.value_or(0)));
      out.truth.mean = std::move(moments.mean);
      out.truth.variance = std::move(moments.variance);
    } catch (const Error& e) {
      out.reason = e.what();
    }
  }
  return out;
}

}  // namespace

const WorldModel linear_quadratic_model = {
    .describes = [](const World& world) { return world.lqg != nullptr; },
    .policy = policy,
    .unsuitable = unsuitable,
    .critic = critic,
    .constants = constants,
    .exact_return =
        [](const World& world, const Policy&, const Parameters& theta) {
          return baseline_constants(*world.lqg, linear_gaussian(theta)).J;
        },
    .ask = ask,
};

}  // namespace lowvar
