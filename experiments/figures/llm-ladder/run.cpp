// The ladder of those who train language models: twenty estimators of groups of answers, from REINFORCE to
// GRPO and DAPO, on a world of 31 answers. Direction and noise of each, exactly: by its own code on every
// group of answers, by the oracle's definitions and by classes of answers; and from samples. Below, what
// three ways of adding up tokens do to the length of answers.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "algorithms/exact/enumeration.h"
#include "experiments/figures/figures.h"
#include "experiments/figures/sequence_figures.h"
#include "experiments/parts.h"
#include "experiments/study.h"

namespace lowvar {
namespace {

constexpr std::uint64_t seed = 0;
constexpr int sampled_G = 4;

struct Line {
  const char* name;  // `:G` stands for the group's size
  const char* label;
};
constexpr Line ladder[] = {
    {"reinforce", "REINFORCE"},
    {"reinforce-mean", "constant b = J"},
    {"reinforce-optimal", "constant b*"},
    {"remax", "ReMax"},
    {"rloo:G", "RLOO"},
    {"mean:G", "group mean"},
    {"mean:G+const", "Dr. GRPO"},
    {"mean:G+dynamic", "group mean, dynamic"},
    {"grpo:G", "GRPO without 1/length"},
    {"opo:G", "OPO"},
    {"opo-loo:G", "OPO, leave one out"},
    {"maxrl:G", "MaxRL"},
    {"gpg:G", "GPG"},
    {"best-second:G", "best minus second"},
    {"grpo:G+seq-mean", "GRPO"},
    {"mean:G+seq-mean", "GRPO without sd"},
    {"grpo:G+token-mean", "token mean"},
    {"mean:G+token-mean", "token mean without sd"},
    {"grpo:G+token-mean+dynamic", "DAPO, dynamic"},
    {"whiten:G+token-mean", "REINFORCE++"},
};
constexpr const char* aggregated[] = {"grpo:G+seq-mean", "grpo:G+token-mean", "grpo:G+const",
                                      "mean:G+seq-mean", "mean:G+token-mean", "mean:G+const"};

std::string of_size(std::string name, int G) {
  if (const auto at = name.find(":G"); at != std::string::npos) name.replace(at, 2, fmt::format(":{}", G));
  return name;
}

/// E g and E g^2 by the oracle's own definitions.
FirstTwo by_definition(const World& world, const PolicyChoice& pi, const Estimator& e) {
  const Array<double> p = state_probabilities(world, pi.policy, pi.theta),
                      none = zeros<double>(world.T + 1, world.mdp->S);
  const auto& rows = std::get<Table>(pi.policy.model).aliases;
  FirstTwo out;
  std::vector<double> variance;
  if (e.unit == 1) {
    Enumeration m = enumerate(e.name, *world.mdp, p, p, none, 1000, {}, rows.get());
    out.mean = m.mean, variance = m.variance;
  } else {
    ExactMoments m = enumerate_units(e.name, *world.mdp, p, p, none, e.unit, 1e6, {}, rows.get());
    out.mean = m.mean, variance = m.variance;
  }
  for (std::size_t j = 0; j < variance.size(); ++j)
    out.second.push_back(variance[j] + out.mean[j] * out.mean[j]);
  return out;
}

/// Expected lengths, and what a step along F changes them by: all answers, right ones and wrong ones.
struct Lengths {
  double all = 0, right = 0, wrong = 0, p = 0;
};
Lengths lengths(const Answers& answers) {
  Lengths out;
  for (int i = 0; i < answers.size(); ++i) {
    const auto k = static_cast<std::size_t>(i);
    const double p = answers.probability[k], l = answers.batch.length(i);
    out.all += p * l, out.p += p * answers.R[k];
    (answers.R[k] > 0 ? out.right : out.wrong) += p * l;
  }
  out.right /= out.p, out.wrong /= 1 - out.p;
  return out;
}
/// Along the unit vector of F, by the scores of answers: d P(y) = P(y) S(y) F/|F|.
Lengths length_changes(const World& world, const PolicyChoice& pi, std::span<const double> F) {
  const Answers answers = visit_answers(world, pi.policy, pi.theta);
  const Array<double> z = row_scores(answers, pi.policy, pi.theta);
  const Lengths now = lengths(answers);
  Lengths out;
  const double norm = std::sqrt(dot(F, F));
  for (int i = 0; i < answers.size(); ++i) {
    const auto k = static_cast<std::size_t>(i);
    const double l = answers.batch.length(i);
    double change = 0;
    for (int r = answers.batch.begin(i); r < answers.batch.end(i); ++r)
      change += answers.probability[k] * dot(row(z, r), F) / norm;
    out.all += change * l, out.p += change * answers.R[k];
    if (answers.R[k] > 0)
      out.right += change * (l - now.right) / now.p;
    else
      out.wrong += change * (l - now.wrong) / (1 - now.p);
  }
  return out;
}
/// The same by differences of steps to either side.
Lengths length_differences(const World& world, const PolicyChoice& pi, std::span<const double> F) {
  constexpr double h = 1e-4;
  const double norm = std::sqrt(dot(F, F));
  const auto after = [&](double step) {
    Parameters theta = pi.theta;
    for (std::size_t j = 0; j < F.size(); ++j) theta[0].data()[j] += step * F[j] / norm;
    return lengths(visit_answers(world, pi.policy, theta));
  };
  const Lengths up = after(h), down = after(-h);
  const auto slope = [&](double Lengths::*of) { return (up.*of - down.*of) / (2 * h); };
  return {slope(&Lengths::all), slope(&Lengths::right), slope(&Lengths::wrong), slope(&Lengths::p)};
}

}  // namespace

Reproduction run_llm_ladder(Effort effort, bool check, const std::filesystem::path& out) {
  const long trajectories = choose(effort, 8000, 400'000, 4'000'000);
  OutputDirectory directory(out, {{"figure", "llm-ladder"}, {"seed", seed}, {"trajectories", trajectories}});
  std::string text;
  Csv csv({"part",
           "policy",
           "G",
           "estimator",
           "label",
           "signal",
           "trace_cov",
           "trace_cov_definition",
           "trace_cov_classes",
           "trace_cov_sampled",
           "trace_cov_se",
           "bias",
           "cosine",
           "scale",
           "nsr",
           "length",
           "length_numeric",
           "right",
           "right_numeric",
           "wrong",
           "wrong_numeric",
           "success"});
  const World world = make_world("seq-31", {}, {});
  const PolicyChoice tied = make_policy(world, "kappa:0");
  Parts parts(directory);
  for (const bool own_rows : {false, true})
    for (const int G : {2, 4})
      parts(csv, text, [&] {
        const PolicyChoice pi = own_rows ? by_prefix(world, tied) : tied;
        const bool sampled = !own_rows && G == sampled_G;
        Lineup lineup;
        for (const Line& line : ladder) {
          const Estimator e = make_estimator(of_size(line.name, G));
          lineup.add(e, pi.theta, ask_oracle(world, pi.policy, pi.theta, pi.theta, e, std::nullopt));
        }
        Measured measured;
        if (sampled) {
          Progress progress("llm-ladder");
          measured = measure(world, pi.policy, pi.theta, lineup.rungs, {}, make_constants(world, pi, 0, seed),
                             {.trajectories = trajectories,
                              .seed = seed,
                              .progress = std::ref(progress),
                              .keeper = parts.keeper()});
        }
        const Answers answers = visit_answers(world, pi.policy, pi.theta);
        for (std::size_t i = 0; i < std::size(ladder); ++i) {
          const Estimator& e = lineup.rungs[i].estimator;
          const Truth& truth = lineup.truth[i];
          const double units = e.unit == 1 ? G : 1;  // whose mean is the group's estimate
          const Against a =
              against(truth.mean, std::accumulate(truth.variance.begin(), truth.variance.end(), 0.0) / units,
                      truth.gradient);
          double by_classes = NAN;
          if (e.unit > 1)
            by_classes =
                trace_of(class_moments(classes_of(answers, e.name, pi.policy, pi.theta), e.name, world.T));
          Estimate trace{NAN, NAN};
          if (sampled) {
            const auto of = lineup.quantities(measured, static_cast<int>(i), "reinforce");
            trace = named(of, "trace_cov").sampled;
          }
          csv.add_some({{"part", "moments"},
                        {"policy", own_rows ? "prefix" : "tied"},
                        {"G", G},
                        {"estimator", ladder[i].name},
                        {"label", ladder[i].label},
                        {"signal", a.signal},
                        {"trace_cov", a.trace_cov},
                        {"trace_cov_definition", trace_of(by_definition(world, pi, e)) / units},
                        {"trace_cov_classes", by_classes},
                        {"trace_cov_sampled", trace.value / units},
                        {"trace_cov_se", trace.se / units},
                        {"bias", a.bias},
                        {"cosine", a.cosine},
                        {"scale", a.scale},
                        {"nsr", a.nsr}});
          if (sampled)
            text +=
                fmt::format("{:<24} cosine {:.6f}  scale {:.4f}  variance {:.6f}  noise to signal {:.4f}\n",
                            ladder[i].label, a.cosine, a.scale, a.trace_cov, a.nsr);
        }
        const Lengths now = lengths(answers);
        csv.add_some({{"part", "lengths"},
                      {"policy", own_rows ? "prefix" : "tied"},
                      {"G", G},
                      {"estimator", "none"},
                      {"length", now.all},
                      {"right", now.right},
                      {"wrong", now.wrong},
                      {"success", now.p}});
        for (const std::string name : aggregated) {
          const FirstTwo m = class_moments(classes_of(answers, of_size(name, G), pi.policy, pi.theta),
                                           of_size(name, G), world.T);
          const Lengths change = length_changes(world, pi, m.mean),
                        numeric = length_differences(world, pi, m.mean);
          csv.add_some({{"part", "lengths"},
                        {"policy", own_rows ? "prefix" : "tied"},
                        {"G", G},
                        {"estimator", name},
                        {"length", change.all},
                        {"length_numeric", numeric.all},
                        {"right", change.right},
                        {"right_numeric", numeric.right},
                        {"wrong", change.wrong},
                        {"wrong_numeric", numeric.wrong},
                        {"success", change.p}});
          if (sampled)
            text += fmt::format(
                "a unit step of {:<18} length {:+.4f}, of right {:+.4f}, of wrong {:+.4f}, J {:+.4f}\n", name,
                change.all, change.right, change.wrong, change.p);
        }
      });
  return publish("llm-ladder", directory, csv, check, std::move(text));
}

}  // namespace lowvar
