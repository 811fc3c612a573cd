// The ball and the wall: policies are Gaussian around a mean angle, and all that is random is one normal
// number, so that every answer is a quadrature.
#include <any>
#include <cmath>

#include "algorithms/exact/quadrature.h"
#include "experiments/models.h"

namespace lowvar {
namespace {

constexpr double kMean = 0.6, kSigma = 0.05;  // of the reference policy

struct Throw {
  double mean, sigma;
  BallAndWall world;

  Integrand objective() const { return ball_and_wall_objective(world, mean, sigma); }
};

Throw throw_of(const World& world, const Parameters& theta) {
  return {theta[0](0, 0), std::exp(theta[1](0, 0)), std::any_cast<const BallAndWall&>(world.model)};
}

/// The moments of (r - b) z of both parameters, the mean angle and log sigma.
struct Scores {
  ScoreFunctionMoments of[2];
  double J;
  double b_star;                // E[R S'S] / E[S'S]
  std::vector<double> b_i, S2;  // best for each; E S_i^2

  explicit Scores(const Throw& x)
      : of{score_function_moments(x.objective(), x.mean, x.sigma, GaussianParameter::mu),
           score_function_moments(x.objective(), x.mean, x.sigma, GaussianParameter::sigma)},
        J(of[0].F) {
    // The score of log sigma is sigma times that of sigma.
    of[1].gradient *= x.sigma;
    of[1].score_norm2 *= x.sigma * x.sigma;
    of[1].optimal_variance *= x.sigma * x.sigma;
    b_i = {of[0].b_star, of[1].b_star};
    S2 = {of[0].score_norm2, of[1].score_norm2};
    b_star = (b_i[0] * S2[0] + b_i[1] * S2[1]) / (S2[0] + S2[1]);
  }
  std::vector<double> gradient() const { return {of[0].gradient, of[1].gradient}; }
  std::vector<double> variance(double b) const { return {of[0].variance(b), of[1].variance(b)}; }
};

std::string unsuitable(const World& world, const Policy& policy, const Parameters& theta) {
  if (std::holds_alternative<Linear>(policy.model) && policy.head == Head::gaussian && policy.low.empty() &&
      theta.size() == 2 && shape(theta[0]) == Shape{1, 1})
    return "";
  return "the oracle of " + world.id +
         " knows angles that are Gaussian around a mean, and this policy is none";
}

PolicyChoice around(double mean, double sigma) {
  return {{Linear{1, 1}, Head::gaussian}, {full<double>(1, 1, mean), full<double>(1, 1, std::log(sigma))}};
}

/// `reference`; `angle:MEAN` or `angle:MEAN:SIGMA`; `init:SEED`: a mean between the bounds.
PolicyChoice policy(const World& world, const std::string& spec) {
  if (auto rng = init_stream(spec))
    return around(rng->uniform(world.action_low[0], world.action_high[0]), kSigma);
  if (spec == "reference") return around(kMean, kSigma);
  if (!spec.starts_with("angle:")) refuse_policy(world, spec);
  const std::string_view numbers = std::string_view(spec).substr(6);
  const std::size_t colon = numbers.find(':');
  const auto mean = real(numbers.substr(0, colon)),
             sigma = colon == std::string_view::npos ? kSigma : real(numbers.substr(colon + 1));
  expect(mean && sigma && *sigma > 0, "policy '", spec,
         "': what follows is a mean angle and, behind a colon, a positive deviation, as in angle:0.6:0.05");
  return around(*mean, *sigma);
}

FittedCritic critic(const World& world, const PolicyChoice& behaviour, double scale, bool of_actions) {
  expect(!of_actions, "a critic of Q(s, a) is for choices of action, and those of ", world.id,
         " are vectors");
  const double V = scale * Scores(throw_of(world, behaviour.theta)).J;
  const auto fill = [V](Trajectories& batch) {
    batch.value.assign(static_cast<std::size_t>(batch.rows()), V);
    batch.next_value.assign(batch.value.size(), 0);
  };
  return {fill, std::nullopt, {}, scale};
}

Constants constants(const World& world, const PolicyChoice& choice, int pilot, std::uint64_t seed) {
  const Scores scores(throw_of(world, choice.theta));
  Constants c;
  if (pilot > 0) c.linear = pilot_constants(world, choice.policy, choice.theta, pilot, seed).linear;
  c.gamma = world.gamma;
  c.J = scores.J;
  c.b_star = scores.b_star;
  c.b_i = scores.b_i;
  c.mean_return_to_go.assign(static_cast<std::size_t>(world.T), 0);
  c.mean_return_to_go.front() = scores.J;
  c.dynamics = world.dynamics;
  c.differences = world.differences;
  return c;
}

/// Of one step, where everything that looks at rewards looks at the same one.
void fill(const EstimatorName& name, const Throw& x, const Scores& scores, double V, OracleAnswer& out) {
  const auto of_baseline = [&](double b) {
    out.truth.mean = scores.gradient();
    out.truth.variance = scores.variance(b);
  };
  for (const UsedSuffix& used : name.suffixes)
    if (used.suffix->kind != SuffixKind::discount) {
      out.reason = join("with ", used.suffix->name(), " there is no quadrature of moments");
      return;
    }
  switch (name.id()) {
    case FamilyId::reinforce:
    case FamilyId::togo:
      return of_baseline(0);
    case FamilyId::reinforce_mean:
    case FamilyId::togo_time:
      return of_baseline(scores.J);
    case FamilyId::reinforce_optimal:
      return of_baseline(scores.b_star);
    case FamilyId::reinforce_per_parameter:
      out.truth.mean = scores.gradient();
      out.truth.variance = {scores.of[0].optimal_variance, scores.of[1].optimal_variance};
      return;
    case FamilyId::remax:
      return of_baseline(reward(x.world, x.mean));
    case FamilyId::togo_value:
    case FamilyId::td:
    case FamilyId::nstep:
    case FamilyId::gae:
    case FamilyId::ppo_clip:
      return of_baseline(V);
    case FamilyId::pathwise: {
      const auto mean = pathwise_moments(x.objective(), x.mean, x.sigma, GaussianParameter::mu),
                 sigma = pathwise_moments(x.objective(), x.mean, x.sigma, GaussianParameter::sigma);
      out.truth.mean = {mean.mean, x.sigma * sigma.mean};
      out.truth.variance = {mean.variance, x.sigma * x.sigma * sigma.variance};
      return;
    }
    default:
      out.reason = join("no quadrature knows the moments of ", name.family->name());
  }
}

OracleAnswer ask(const OracleQuestion& q) {
  OracleAnswer out;
  const Throw x = throw_of(q.world, q.theta);
  const Scores scores(x);
  out.truth.gradient = scores.gradient();
  if (&q.theta != &q.behaviour && q.theta != q.behaviour) {
    out.reason = "no quadrature knows the moments of data of another policy";
  } else if (q.estimator.needs_critic && !q.critic.multiple) {
    out.reason = "the values of a learned critic are not known";
  } else {
    fill(parse_estimator(q.estimator.name), x, scores, q.critic.multiple.value_or(0) * scores.J, out);
  }
  return out;
}

}  // namespace

const WorldModel ball_and_wall_model = {
    .describes = [](const World& world) { return std::any_cast<BallAndWall>(&world.model) != nullptr; },
    .policy = policy,
    .unsuitable = unsuitable,
    .critic = critic,
    .constants = constants,
    .exact_return = [](const World& world, const Policy&,
                       const Parameters& theta) { return Scores(throw_of(world, theta)).J; },
    .ask = ask,
};

}  // namespace lowvar
