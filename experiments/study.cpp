#include "experiments/study.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/exact/tabular.h"

namespace lowvar {
namespace {

using Json = nlohmann::ordered_json;

bool any_needs(const Subject& subject, bool Estimator::*what) {
  return std::any_of(subject.estimators.begin(), subject.estimators.end(),
                     [&](const Estimator& e) { return e.*what; });
}

/// Trajectories for what a study has to learn before it measures.
int pilot(const VarianceStudy& study) {
  return static_cast<int>(std::min<long>(study.trajectories, 1'000'000));
}

/// None where nobody looks at one that costs a table of all steps and states.
FittedCritic critic_of(const Subject& subject, int pilot, std::uint64_t seed) {
  if (subject.world.sequences && !any_needs(subject, &Estimator::needs_critic)) return {};
  return make_critic(subject.world, subject.behaviour, subject.value, pilot, seed,
                     any_needs(subject, &Estimator::needs_action_values));
}

Constants constants_of(const VarianceStudy& study) {
  const Subject& subject = study.subject;
  if (any_needs(subject, &Estimator::needs_constants))
    return make_constants(subject.world, subject.policy, pilot(study), study.seed);
  Constants constants;
  constants.gamma = subject.world.gamma;
  constants.dynamics = subject.world.dynamics;
  constants.differences = subject.world.differences;
  return constants;
}

OracleAnswer ask(const Subject& subject, const Estimator& estimator, const FittedCritic& critic) {
  return ask_oracle(subject.world, subject.policy.policy, subject.policy.theta, subject.behaviour.theta,
                    estimator, critic, subject.batch);
}

Lineup lineup_of(const Subject& subject, const FittedCritic& critic) {
  Lineup lineup;
  for (const Estimator& e : subject.estimators) lineup.add(e, subject.policy.theta, ask(subject, e, critic));
  return lineup;
}

// ---- the parts of a result ----

/// What a quantity of an estimator is of.
std::string unit_of(std::string_view quantity, const Estimator& estimator, int unit, int cosine_batch) {
  if (quantity == "cosine") return fmt::format("batch of {} trajectories", cosine_batch);
  const bool counted = quantity == "env_steps" || quantity == "policy_rows" || quantity == "value_rows";
  if (counted || unit == 1) return "trajectory";
  return fmt::format("{} of {} trajectories", estimator.unit ? "group" : "batch", unit);
}

/// Where each of these parameters begins when all lie in one row, and where the last ends.
std::vector<std::size_t> begins(const Parameters& theta) {
  std::vector<std::size_t> out = {0};
  for (const auto& x : theta) out.push_back(out.back() + x.size());
  return out;
}

std::vector<std::vector<Moments>> blocks_of(const Measured& measured, std::size_t rung) {
  std::vector<std::vector<Moments>> out;
  for (const auto& block : measured.blocks) out.push_back({block[rung]});
  return out;
}

}  // namespace

std::vector<ParameterRow> parameter_rows(const Measured& measured, std::size_t rung, const Truth& truth) {
  const auto estimates = jackknife(blocks_of(measured, rung), [](const std::vector<Moments>& m) {
    std::vector<double> out;  // mean and variance of each
    for (std::size_t i = 0; i < m[0].mean.size(); ++i)
      out.push_back(m[0].mean[i]), out.push_back(m[0].variance(i));
    return out;
  });
  std::vector<ParameterRow> rows;
  for (std::size_t i = 0; 2 * i < estimates.size(); ++i) {
    rows.push_back({estimates[2 * i], estimates[2 * i + 1], {}, {}});
    if (truth.variance.empty()) continue;
    rows.back().exact_mean = truth.mean[i];
    rows.back().exact_variance = truth.variance[i];
  }
  return rows;
}

std::vector<LayerRow> layer_rows(const Measured& measured, std::size_t rung, const Truth& truth,
                                 const PolicyChoice& choice) {
  const std::vector<std::size_t> begin = begins(choice.theta);
  const auto estimates = jackknife(blocks_of(measured, rung), [&](const std::vector<Moments>& m) {
    std::vector<double> out;  // trace and signal to noise of each
    for (std::size_t l = 0; l + 1 < begin.size(); ++l) {
      double trace = 0, signal = 0;
      for (std::size_t i = begin[l]; i < begin[l + 1]; ++i)
        trace += m[0].variance(i), signal += m[0].mean[i] * m[0].mean[i];
      out.push_back(trace);
      out.push_back((signal - trace / m[0].n) / trace);
    }
    return out;
  });
  const auto names = choice.policy.names();
  std::vector<LayerRow> rows;
  for (std::size_t l = 0; l < names.size(); ++l) {
    rows.push_back({names[l], begin[l + 1] - begin[l], estimates[2 * l], {}, estimates[2 * l + 1].value});
    if (truth.variance.empty()) continue;
    double exact = 0;
    for (std::size_t i = begin[l]; i < begin[l + 1]; ++i) exact += truth.variance[i];
    rows.back().exact = exact;
  }
  return rows;
}

// ---- what is asked ----

Json as_json(const VarianceStudy& study) {
  const Subject& subject = study.subject;
  Json out{{"env", subject.env},
           {"gamma", subject.world.gamma},
           {"horizon", subject.world.T},
           {"policy", subject.policy_name},
           {"behaviour", subject.behaviour_name},
           {"value", subject.value}};
  for (const auto& e : subject.estimators) out["estimators"].push_back(e.name);
  if (std::any_of(subject.estimators.begin(), subject.estimators.end(),
                  [](const Estimator& e) { return e.unit == 0; }))
    out["batch"] = subject.batch;
  out["trajectories"] = study.trajectories;
  out["seed"] = study.seed;
  out["relative_to"] = subject.estimators[static_cast<std::size_t>(study.relative_to)].name;
  out["cosine_batch"] = study.cosine_batch;
  if (study.until_rse) out["until_rse"] = *study.until_rse;
  return out;
}

void check(const VarianceStudy& study) {
  const Subject& subject = study.subject;
  const MeasureOptions units{.batch = subject.batch};
  for (const auto& e : subject.estimators)
    expect(study.trajectories % units.unit(e) == 0 && study.trajectories >= 2 * units.unit(e), "estimator '",
           e.name, "' is of ", units.unit(e),
           " trajectories at a time: --trajectories must be a multiple of that, at least twice, got ",
           study.trajectories);
  if (subject.value != "learned") critic_of(subject, 0, 0);
}

// ---- from one to the other ----

VarianceResult study_variance(const VarianceStudy& study, const StudyWatcher& watcher) {
  const Subject& subject = study.subject;
  FittedCritic critic;
  if (subject.value != "learned" || any_needs(subject, &Estimator::needs_critic))
    critic = critic_of(subject, pilot(study), study.seed);
  const Constants constants = constants_of(study);
  const Lineup lineup = lineup_of(subject, critic);
  MeasureOptions options{.trajectories = study.trajectories,
                         .seed = study.seed,
                         .cosine_batch = study.cosine_batch,
                         .batch = subject.batch,
                         .relative_to = study.relative_to,
                         .until_rse = study.until_rse,
                         .each = watcher.each,
                         .keeper = watcher.keeper};
  if (watcher.progress) options.progress = watcher.progress;
  const Measured measured = measure(subject.world, subject.policy.policy, subject.behaviour.theta,
                                    lineup.rungs, critic.critic, constants, options);

  VarianceResult result{utf8(subject.env), measured.trajectories, false, {}};
  for (std::size_t e = 0; e < lineup.rungs.size(); ++e) {
    const Estimator& estimator = subject.estimators[e];
    EstimatorResult& of = result.estimators.emplace_back();
    of.name = estimator.name;
    for (auto& q : quantities(measured, lineup.rungs, lineup.truth, static_cast<int>(e), study.relative_to)) {
      std::string unit = unit_of(q.name, estimator, measured.unit[e], options.cosine_batch_of(estimator));
      of.moments.push_back({std::move(q), std::move(unit)});
    }
    of.layers = layer_rows(measured, e, lineup.truth[e], subject.policy);
    of.parameters = parameter_rows(measured, e, lineup.truth[e]);
  }
  return result;
}

ExactResult study_exact(const Subject& subject) {
  const World& world = subject.world;
  expect(world.known(), "exact needs a world whose model is known, and ", world.id,
         " has none; measure it with variance");
  expect(subject.value != "learned",
         "exact takes a critic that is given (exact, scaled:C, zero, file:F), not a learned one");
  const FittedCritic critic = critic_of(subject, 0, 0);
  ExactResult result;
  result.J = exact_return(world, subject.policy.policy, subject.policy.theta);
  for (const auto& e : subject.estimators) {
    OracleAnswer answer = ask(subject, e, critic);
    const Truth& truth = answer.truth;
    ExactResult::Row& row = result.estimators.emplace_back();
    row.estimator = e.name;
    row.reason = std::move(answer.reason);
    if (!truth.variance.empty()) {
      double square = 0;
      for (std::size_t i = 0; i < truth.mean.size(); ++i)
        square += std::pow(truth.mean[i] - truth.gradient[i], 2);
      row.bias_norm = std::sqrt(square);
      row.trace_cov = std::accumulate(truth.variance.begin(), truth.variance.end(), 0.0);
    }
    if (!e.of_divergence) result.gradient = truth.gradient;
    row.mean = std::move(answer.truth.mean);
    row.gradient = std::move(answer.truth.gradient);
  }
  return result;
}

SolveResult study_solve(const SolveStudy& study) {
  expect(study.world.mdp != nullptr, "solve needs a world whose model is known, and ", study.world.id,
         " has none");
  const Mdp& mdp = *study.world.mdp;
  const auto plan = [&] {
    if (study.method == SolveMethod::learned_model)
      return plan_on_learned_model(mdp, study.episodes, study.seed, study.finite_horizon);
    if (study.finite_horizon) return backward_induction(mdp);
    if (study.method == SolveMethod::policy_iteration) return modified_policy_iteration(mdp, study.sweeps);
    return study.method == SolveMethod::linear ? policy_iteration(mdp) : value_iteration(mdp);
  };
  SolveResult result{0, plan()};
  for (std::size_t s = 0; s < result.plan.values.size(); ++s)
    result.value_start += mdp.start[s] * result.plan.values[s];
  return result;
}

// ---- files and tables ----

Csv moments_csv(const VarianceResult& result) {
  std::vector<std::string> columns = {"env", "estimator", "quantity", "value", "se", "exact", "unit", "n"};
  if (result.of_run) columns.emplace_back("objective");
  Csv csv(columns);
  for (const auto& e : result.estimators)
    for (const auto& [q, unit, objective] : e.moments) {
      Csv::Row row = {
          {"env", result.env},  {"estimator", e.name}, {"quantity", q.name}, {"value", q.sampled.value},
          {"se", q.sampled.se}, {"exact", q.exact},    {"unit", unit},       {"n", result.n}};
      if (result.of_run) row.push_back({"objective", objective});
      csv.add(row);
    }
  return csv;
}

Csv layers_csv(const VarianceResult& result) {
  Csv csv({"env", "estimator", "layer", "parameters", "trace_cov", "se", "exact", "snr", "n"});
  for (const auto& e : result.estimators)
    for (const LayerRow& row : e.layers)
      csv.add({{"env", result.env},
               {"estimator", e.name},
               {"layer", row.layer},
               {"parameters", row.parameters},
               {"trace_cov", row.trace_cov.value},
               {"se", row.trace_cov.se},
               {"exact", row.exact},
               {"snr", row.snr},
               {"n", result.n}});
  return csv;
}

Csv parameters_csv(const VarianceResult& result) {
  Csv csv({"env", "estimator", "parameter", "mean", "mean_se", "exact_mean", "variance", "variance_se",
           "exact_variance"});
  for (const auto& e : result.estimators)
    for (std::size_t i = 0; i < e.parameters.size(); ++i) {
      const ParameterRow& row = e.parameters[i];
      csv.add({{"env", result.env},
               {"estimator", e.name},
               {"parameter", i},
               {"mean", row.mean.value},
               {"mean_se", row.mean.se},
               {"exact_mean", row.exact_mean},
               {"variance", row.variance.value},
               {"variance_se", row.variance.se},
               {"exact_variance", row.exact_variance}});
    }
  return csv;
}

std::string as_text(const VarianceResult& result) {
  std::string out =
      fmt::format("{:<26} {:<26} {:>14} {:>10} {:>14}\n", "estimator", "quantity", "value", "se", "exact");
  for (const auto& e : result.estimators)
    for (const auto& [q, unit, objective] : e.moments)
      out += fmt::format("{:<26} {:<26} {:>14.6g} {:>10.2g} {:>14}\n", e.name, q.name, q.sampled.value,
                         q.sampled.se, q.exact ? fmt::format("{:.6g}", *q.exact) : "-");
  return out;
}

std::string warnings(const VarianceResult& result) {
  std::string out;
  for (const auto& e : result.estimators)
    for (const auto& [q, unit, objective] : e.moments)
      if (q.name == "largest_share" && q.sampled.value > 0.05)
        out += fmt::format(
            "warning: {}: one {} is {:.0f} % of the sum of squares; the tail is heavy and standard errors "
            "are "
            "too small\n",
            e.name, result.of_run ? "batch" : "trajectory", 100 * q.sampled.value);
  return out;
}

// ---- line-ups ----

void Lineup::add(Estimator estimator, const Parameters& theta, OracleAnswer known) {
  rungs.push_back({std::move(estimator), &theta});
  truth.push_back(std::move(known.truth));
  reason.push_back(std::move(known.reason));
}

int Lineup::at(std::string_view estimator) const {
  const auto found = std::find_if(rungs.begin(), rungs.end(),
                                  [&](const Rung& rung) { return rung.estimator.name == estimator; });
  expect(found != rungs.end(), "the estimator '", estimator, "' is not measured here");
  return static_cast<int>(found - rungs.begin());
}

std::vector<Quantity> Lineup::quantities(const Measured& measured, int rung,
                                         std::string_view relative_to) const {
  return lowvar::quantities(measured, rungs, truth, rung, at(relative_to));
}

const Quantity& named(std::span<const Quantity> quantities, std::string_view name) {
  const auto found =
      std::find_if(quantities.begin(), quantities.end(), [&](const Quantity& q) { return q.name == name; });
  expect(found != quantities.end(), "there is no quantity '", name, "' of this estimator");
  return *found;
}

}  // namespace lowvar
