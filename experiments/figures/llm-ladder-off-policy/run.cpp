// Answers of an older policy: importance weights, clips and masks on groups of four answers that were written
// by mu = softmax(W), for the gradient at pi = softmax(W + kappa DW). Bias, direction and noise of each
// against kappa, exactly: by classes of answers, and at two ages by each estimator's own code on every group,
// and from samples.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "experiments/figures/figures.h"
#include "experiments/figures/sequence_figures.h"
#include "experiments/parts.h"
#include "experiments/study.h"

namespace lowvar {
namespace {

constexpr std::uint64_t seed = 0;
constexpr int G = 4;
constexpr double oldest = 3, sampled_age = 2;

struct Line {
  const char* name;
  const char* label;
  const char* family;  // the panel it is in; empty: in the data alone
  double target = 1;   // of the gradient: what E g is when nothing is old and nothing rescaled
};
constexpr Line lines[] = {
    {"rloo:4+is-none", "no correction", "weights"},
    {"rloo:4+is-token", "token", "weights"},
    {"rloo:4+is-cumulative", "cumulative", "weights"},
    {"rloo:4+is-geometric", "geometric mean", "weights"},
    {"rloo:4+is-sequence", "whole answer", "weights"},
    {"rloo:4+is-sequence:2", "whole, truncated at 2", "weights"},
    {"rloo:4+mask:2", "whole, masked above 2", "weights"},
    {"reinforce-mean+is-sequence", "whole, constant b = J", "weights"},
    {"reinforce+is-sequence", "whole, no baseline", ""},
    {"grpo:4+seq-mean+clip:0.2:0.2", "GRPO, clip .2", "methods"},
    {"mean:4+const+clip:0.2:0.2", "Dr. GRPO, clip .2", "methods"},
    {"grpo:4+token-mean+clip:0.2:0.28", "DAPO, clip .2/.28", "methods"},
    {"grpo:4+token-mean+dynamic+clip:0.2:0.28", "DAPO, dynamic", "methods"},
    {"grpo:4+token-mean+cispo:1.28", "CISPO, cut at 1.28", "methods"},
    {"grpo:4+token-mean+cispo:6", "CISPO, cut at 6", ""},
    {"grpo:4+token-mean+is-token", "token mean, token ratios", ""},
    {"grpo:4+seq-mean+gspo:0.0003:0.0004", "GSPO, clip of the paper", "methods"},
    {"grpo:4+seq-mean+gspo:0.2:0.28", "GSPO, clip .2/.28", ""},
    {"grpo:4+seq-mean+gspo", "GSPO, no clip", "methods"},
    {"topr:4", "TOPR", "methods", 2},  // of rewards 2r - 1
};

struct Ages {
  PolicyChoice pi, mu;
};
Ages aged(const World& world, double kappa, bool own_rows) {
  Ages out{make_policy(world, fmt::format("kappa:{}", kappa)), make_policy(world, "kappa:0")};
  if (own_rows) out = {by_prefix(world, out.pi), by_prefix(world, out.mu)};
  return out;
}

/// E g and E g^2 of a group's estimate.
FirstTwo fast_moments(const World& world, const Ages& at, const std::string& name,
                      const Constants& constants) {
  const Estimator e = make_estimator(name);
  const Answers answers = visit_answers(world, at.mu.policy, at.mu.theta);
  if (e.unit > 1) return class_moments(classes_of(answers, name, at.pi.policy, at.pi.theta), name, world.T);
  FirstTwo m = answer_moments(answers, e, at.pi.policy, at.pi.theta, constants);
  for (std::size_t j = 0; j < m.mean.size(); ++j)  // of the mean of G
    m.second[j] = (m.second[j] - m.mean[j] * m.mean[j]) / G + m.mean[j] * m.mean[j];
  return m;
}

/// KL(mu || pi) of an answer, chi^2(pi || mu) and the largest ratio.
struct Distance {
  double KL = 0, chi2 = -1, largest = 0;
};
Distance distance(const World& world, const Ages& at) {
  const Answers answers = visit_answers(world, at.mu.policy, at.mu.theta);
  const std::vector<double> log_pi = row_log_pi(answers, at.pi.policy, at.pi.theta);
  Distance out;
  for (int i = 0; i < answers.size(); ++i) {
    double log_rho = 0;
    for (int r = answers.batch.begin(i); r < answers.batch.end(i); ++r)
      log_rho += log_pi[static_cast<std::size_t>(r)] - answers.batch.log_mu[static_cast<std::size_t>(r)];
    const double p = answers.probability[static_cast<std::size_t>(i)];
    out.KL -= p * log_rho;
    out.chi2 += p * std::exp(2 * log_rho);
    out.largest = std::max(out.largest, std::exp(log_rho));
  }
  return out;
}

/// The constant with the least variance under whole-answer weights: E[w^2 |S|^2 r] / E[w^2 |S|^2], from the
/// parabola through three constants.
double best_constant(const World& world, const Ages& at) {
  const auto variance = [&](double b) {
    return trace_of(fast_moments(world, at, "reinforce-mean+is-sequence", {.J = b}));
  };
  const double at0 = variance(0), at1 = variance(1), at2 = variance(2), bend = (at2 - 2 * at1 + at0) / 2;
  return (at0 - at1 + bend) / (2 * bend);
}

}  // namespace

Reproduction run_llm_ladder_off_policy(Effort effort, bool check, const std::filesystem::path& out) {
  const int ages = static_cast<int>(choose(effort, 6, 60, 240));  // beside 0, evenly up to the oldest
  const long trajectories = choose(effort, 8000, 200'000, 4'000'000);
  OutputDirectory directory(
      out,
      {{"figure", "llm-ladder-off-policy"}, {"seed", seed}, {"ages", ages}, {"trajectories", trajectories}});
  std::string text;
  Csv csv({"part",
           "policy",
           "kappa",
           "estimator",
           "label",
           "family",
           "signal",
           "trace_cov",
           "trace_cov_groups",
           "trace_cov_sampled",
           "trace_cov_se",
           "bias",
           "bias_if_unbiased",
           "relative_bias",
           "cosine",
           "scale",
           "nsr",
           "J",
           "gradient",
           "KL",
           "chi2",
           "largest"});
  const World world = make_world("seq-31", {}, {});
  Parts parts(directory);

  // The estimators at one age. `slow`: by every group, too.
  const auto add = [&](double kappa, bool own_rows, bool slow, const Lineup* lineup,
                       const Measured& measured) {
    const Ages at = aged(world, kappa, own_rows);
    const Constants constants = make_constants(world, at.pi, 0, seed);
    const auto put = [&](Csv::Row row) {
      row.insert(row.begin(),
                 {{"policy", own_rows ? "prefix" : "tied"}, {"kappa", fmt::format("{:g}", kappa)}});
      csv.add_some(row);
    };
    std::vector<double> gradient;
    for (const Line& line : lines) {
      const Estimator e = make_estimator(line.name);
      const OracleAnswer known = slow || gradient.empty() ? ask_oracle(world, at.pi.policy, at.pi.theta,
                                                                       at.mu.theta, e, std::nullopt)
                                                          : OracleAnswer();
      if (gradient.empty()) gradient = known.truth.gradient;
      const FirstTwo m = fast_moments(world, at, line.name, constants);
      const Against a = against(m.mean, trace_of(m), gradient);
      std::vector<double> target = gradient;
      for (double& each : target) each *= line.target;
      const double units = e.unit == 1 ? G : 1;
      Estimate trace{NAN, NAN};
      if (lineup)
        trace =
            named(lineup->quantities(measured, lineup->at(line.name), lines[0].name), "trace_cov").sampled;
      const bool unbiased = std::string_view(line.name).ends_with("+is-sequence");
      put({{"part", "moments"},
           {"estimator", line.name},
           {"label", line.label},
           {"family", line.family},
           {"signal", a.signal},
           {"trace_cov", a.trace_cov},
           {"trace_cov_groups",
            slow ? std::accumulate(known.truth.variance.begin(), known.truth.variance.end(), 0.0) / units
                 : NAN},
           {"trace_cov_sampled", trace.value / units},
           {"trace_cov_se", trace.se / units},
           {"bias", a.bias},
           {"bias_if_unbiased", unbiased ? 0 : NAN},
           {"relative_bias", against(m.mean, 0, target).bias / std::sqrt(dot(target, target))},
           {"cosine", a.cosine},
           {"scale", a.scale},
           {"nsr", a.nsr}});
      if (lineup)
        text += fmt::format("{:<26} bias {:.5f}  cosine {:.6f}  noise to signal {:.3f}\n", line.label, a.bias,
                            a.cosine, a.nsr);
    }
    const Distance far = distance(world, at);
    put({{"part", "world"},
         {"J", exact_return(world, at.pi.policy, at.pi.theta)},
         {"gradient", std::sqrt(dot(gradient, gradient))},
         {"KL", far.KL},
         {"chi2", far.chi2},
         {"largest", far.largest}});
    // Constants for whole-answer weights: mu's own J, and the best.
    for (const auto& [name, b] : {std::pair{"J of mu", exact_return(world, at.mu.policy, at.mu.theta)},
                                  {"best", best_constant(world, at)}}) {
      const FirstTwo m = fast_moments(world, at, "reinforce-mean+is-sequence", {.J = b});
      const Against a = against(m.mean, trace_of(m), gradient);
      put({{"part", "constant"},
           {"estimator", name},
           {"J", b},
           {"trace_cov", a.trace_cov},
           {"bias", a.bias},
           {"bias_if_unbiased", 0},
           {"nsr", a.nsr}});
    }
  };

  for (int k = 0; k <= ages; ++k) {
    const double kappa = oldest * k / ages;
    if (kappa != 1 && kappa != sampled_age) parts(csv, text, [&] { add(kappa, false, false, nullptr, {}); });
  }
  for (const bool own_rows : {false, true})
    for (const double kappa : {1.0, sampled_age})
      parts(csv, text, [&] {
        if (own_rows || kappa != sampled_age) return add(kappa, own_rows, true, nullptr, {});
        const Ages at = aged(world, kappa, own_rows);
        Lineup lineup;
        for (const Line& line : lines) lineup.add(make_estimator(line.name), at.pi.theta, {});
        Progress progress("llm-ladder-off-policy");
        const Measured measured =
            measure(world, at.pi.policy, at.mu.theta, lineup.rungs, {}, make_constants(world, at.pi, 0, seed),
                    {.trajectories = trajectories,
                     .seed = seed,
                     .progress = std::ref(progress),
                     .keeper = parts.keeper()});
        add(kappa, own_rows, true, &lineup, measured);
      });
  return publish("llm-ladder-off-policy", directory, csv, check, std::move(text));
}

}  // namespace lowvar
