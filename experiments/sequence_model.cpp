// Sequence worlds: policies are tables of logits that prefixes may share, or networks that read what was
// written; everything is known by visiting every answer and every group of answers.
#include <cmath>

#include "algorithms/exact/counting.h"
#include "algorithms/exact/tabular.h"
#include "experiments/answers.h"
#include "experiments/tabular_model.h"

namespace lowvar {
namespace {

constexpr double most_groups = 2e7;

std::string unsuitable(const World& world, const Policy& policy, const Parameters& theta) {
  const auto* table = std::get_if<Table>(&policy.model);
  const auto* reader = std::get_if<Reader>(&policy.model);
  if (policy.head == Head::softmax && table && table->S == world.mdp->S && table->outputs == world.A &&
      theta.size() == 1 && shape(theta[0]) == Shape{table->rows(), world.A})
    return "";
  if (policy.head == Head::softmax && reader && reader->written && reader->outputs == world.A &&
      reader->states() == static_cast<int>(world.sequences->prefix.size()))
    return "";
  return join("the oracle of ", world.id, " knows policies over its ", world.A,
              " tokens and its prefixes, and this policy is none");
}

std::optional<PolicyChoice> network(const World& world, const std::string& spec) {
  const Sequences& s = *world.sequences;
  for (const auto cell : {Reader::Cell::gru, Reader::Cell::attention}) {
    const std::string name = cell == Reader::Cell::gru ? "gru:" : "attention:";
    if (!spec.starts_with(name)) continue;
    expect(s.enumerable(), "policy '", spec, "' reads prefixes, and ", world.id, " keeps none");
    const std::string rest = spec.substr(name.size());
    const std::size_t colon = rest.find(':');
    const auto seed = init_stream("init:" + rest.substr(0, colon));
    const auto width = colon == std::string::npos ? std::optional<double>(16) : real(rest.substr(colon + 1));
    expect(width && *width >= 1 && *width <= 1024 && *width == std::floor(*width), "policy '", spec,
           "': the width must be a whole number from 1 to 1024, as in ", name, "0:16");
    const Policy policy = reading_policy(world, cell, static_cast<int>(*width), 1);
    Rng rng = *seed;
    return PolicyChoice{policy, initialise(policy, rng)};
  }
  return std::nullopt;
}

PolicyChoice policy(const World& world, const std::string& spec) {
  const Sequences& s = *world.sequences;
  const auto own = [&](Array<double> logits) {
    return PolicyChoice{token_policy(world, s.own()), {std::move(logits)}};
  };
  if (spec == "reference") return own(s.policy);
  if (spec == "uniform") return own(zeros_like(s.policy));
  if (auto rng = init_stream(spec)) {
    Array<double> logits = zeros_like(s.policy);
    for (double& each : values(logits)) each = rng->normal();
    return own(std::move(logits));
  }
  if (spec.starts_with("kappa:")) {
    const auto kappa = real(spec.substr(6));
    expect(kappa && s.direction.size() > 0, "policy '", spec,
           "': kappa:K needs a number, and a world that says a direction, as seq-31 does");
    Array<double> logits = s.policy;
    for (std::size_t k = 0; k < logits.size(); ++k) logits.data()[k] += *kappa * s.direction.data()[k];
    return own(std::move(logits));
  }
  for (const auto& [name, rows] : {std::pair{"tied:", s.tied}, {"prefix:", s.by_prefix}}) {
    if (!spec.starts_with(name)) continue;
    expect(rows != nullptr, "policy '", spec, "': ", world.id, " has no rows of that kind");
    return {token_policy(world, rows),
            {read_logits(spec.substr(std::string(name).size()), rows->rows, world.A)}};
  }
  if (auto of_network = network(world, spec)) return *of_network;
  throw Error(
      join("unknown policy '", spec, "' of ", world.id,
           "; known: reference, uniform, tied:FILE, prefix:FILE, kappa:K, init:SEED, gru:SEED[:WIDTH], "
           "attention:SEED[:WIDTH], run:DIR"));
}

Constants constants(const World& world, const PolicyChoice& choice, int pilot, std::uint64_t seed) {
  const Array<double> pi = state_probabilities(world, choice.policy, choice.theta);
  Constants c;
  if (!world.sequences->enumerable()) {
    if (pilot > 0) c = pilot_constants(world, choice.policy, choice.theta, pilot, seed);
    c.gamma = world.gamma;
    c.J = expected_return(*world.mdp, pi);
    return c;
  }
  c = constants_of_states(*world.mdp, pi);
  if (world.sequences->reference.size() > 0)
    c.kl_to_go = divergence_from_reference(world, choice.policy, choice.theta).to_go;
  // E S_i^2 and E S_i^2 R, of parameters that states may share.
  const Answers answers = visit_answers(world, choice.policy, choice.theta);
  Estimator score;
  score.weights = [](const Trajectories& batch, const Constants&) {
    return full<double>(batch.rows(), 1, 1.0);
  };
  const std::vector<double> S2 = answer_moments(answers, score, choice.policy, choice.theta, c).second;
  Answers paid = answers;  // each as likely as it is paid
  for (std::size_t i = 0; i < paid.R.size(); ++i) paid.probability[i] *= paid.R[i];
  const std::vector<double> S2R = answer_moments(paid, score, choice.policy, choice.theta, c).second;
  double all = 0, all_paid = 0;
  c.b_i.resize(S2.size());
  for (std::size_t i = 0; i < S2.size(); ++i) {
    c.b_i[i] = S2[i] > 0 ? S2R[i] / S2[i] : 0;
    all += S2[i], all_paid += S2R[i];
  }
  c.b_star = all > 0 ? all_paid / all : 0;
  return c;
}

/// Moments of an estimator's unit.
FirstTwo moments(const OracleQuestion& q, const Estimator& estimator) {
  Answers answers = visit_answers(q.world, q.policy, q.behaviour, wanted_by(estimator));
  Constants known;
  known.gamma = q.world.gamma;
  if (estimator.needs_constants) known = constants(q.world, {q.policy, q.theta}, 0, 0);
  if (estimator.unit == 1) {
    if (estimator.needs_critic) q.critic.critic(answers.batch);
    return answer_moments(answers, estimator, q.policy, q.theta, known);
  }
  std::size_t d = 0;
  for (const auto& x : q.theta) d += x.size();
  const bool few = count_groups(answers, estimator.unit, most_groups) <= most_groups &&
                   static_cast<double>(answers.batch.rows()) * static_cast<double>(d) <= largest_scores;
  if (few) return every_group(answers, estimator, q.policy, q.theta, known);
  return class_moments(classes_of(answers, estimator.name, q.policy, q.theta), estimator.name, q.world.T);
}

/// Moments on answers of binary tokens, whose two logits have opposite scores, by sums over the number of
/// ones.
void count(const OracleQuestion& q, Truth& truth) {
  const auto one = [&](const Parameters& theta) {
    return state_probabilities(q.world, q.policy, theta)(0, 1);
  };
  const BinaryAnswers answers{q.world.T, q.world.mdp->S - 1, one(q.theta), one(q.behaviour)};
  const FamilyId id = parse_estimator(q.estimator.name).id();
  expect(id == FamilyId::reinforce || id == FamilyId::reinforce_mean, "'", q.estimator.name,
         "' is neither reinforce nor reinforce-mean with an importance weight");
  const double b = id == FamilyId::reinforce ? 0 : answers.right(answers.pi);
  const CountedMoments m = counted_moments(answers, q.estimator.name, b);
  truth.mean = {-m.mean, m.mean};
  truth.variance = {m.variance, m.variance};
}

OracleAnswer ask(const OracleQuestion& q) {
  OracleAnswer out;
  const World& world = q.world;
  out.truth.gradient = q.estimator.of_divergence
                           ? divergence_from_reference(world, q.policy, q.theta).gradient
                           : return_gradient(world, q.policy, q.theta);
  if (!world.sequences->enumerable()) {
    try {
      count(q, out.truth);
    } catch (const Error& e) {
      out.reason = join("the answers of ", world.id,
                        " cannot be visited, and counting ones has no answer: ", e.what());
    }
    return out;
  }
  if (q.estimator.unit == 0) {
    out.reason = "its unit is a batch of answers, which are too many to visit";
    return out;
  }
  try {
    const FirstTwo m = moments(q, q.estimator);
    out.truth.mean = m.mean;
    for (std::size_t j = 0; j < m.mean.size(); ++j)
      out.truth.variance.push_back(std::max(0.0, m.second[j] - m.mean[j] * m.mean[j]));
  } catch (const NumericalFault&) {
    throw;
  } catch (const Error& e) {
    out.reason = join("its groups cannot be visited: ", e.what());
  }
  return out;
}

}  // namespace

const WorldModel sequence_model = {
    .describes = [](const World& world) { return world.sequences != nullptr; },
    .policy = policy,
    .unsuitable = unsuitable,
    .critic = critic_of_states,
    .constants = constants,
    .exact_return = return_of_states,
    .ask = ask,
};

}  // namespace lowvar
