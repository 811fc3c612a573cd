// Ten ways in which KL(pi || ref) is put into the training of language models: the gradient that each follows
// on average, and its variance, one answer a sample. On a bandit, whose answers have one token, and on SEQ-31
// with logits by the last token (tied) and by the whole prefix. Exact, by every answer, beside samples; the
// true gradient is by dynamic programming.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "experiments/answers.h"
#include "experiments/figures/figures.h"
#include "experiments/figures/sequence_figures.h"
#include "experiments/parts.h"
#include "experiments/study.h"

namespace lowvar {
namespace {

constexpr std::uint64_t seed = 0;

/// k1 in the loss: the derivative of log pi/ref, which is the score, whatever the reference.
constexpr const char* k1_loss = "k1-loss";
constexpr const char* variants[] = {
    "k1-reward", "k1-togo",          "k1-togo-value", "k1-token",        "k2-loss",       "v32",
    "k3-loss",   "k3-loss-sequence", "k3-togo",       "full-vocabulary", "rao-blackwell", k1_loss};

Estimator variant_of(const std::string& name) {
  if (name != k1_loss) return make_estimator("kl:" + name);
  Estimator e{.name = k1_loss, .equation = "g = sum_t z_t"};
  e.of_divergence = true;
  e.weights = [](const Trajectories& batch, const Constants&) { return full<double>(batch.rows(), 1, 1.0); };
  return e;
}

/// One choice among five tokens, a policy and a reference.
World bandit() {
  SequenceWorld of;
  of.mdp = make_mdp(2, 5, 1, 1, {1, 0}, {0, 1}, [](int, int) { return std::vector<Outcome>{{1, 1, 0}}; });
  Sequences& s = of.sequences;
  s.tokens = 5, s.longest = 1, s.prefix = {{}};
  s.tied = s.by_prefix = std::make_shared<const Aliases>(Aliases{1, {0, 0}});
  s.policy = {{.6, .1, -.4, 1, -.8}};
  s.reference = {{0, .5, .2, -.3, .1}};
  return sequence_world("bandit", std::move(of));
}

struct Case {
  World world;
  const char* policy;
  PolicyChoice choice;
};

/// The gradients of one world and policy.
void add_gradients(const Case& c, long trajectories, Csv& csv, std::string& text) {
  const auto& [world, policy, choice] = c;
  Lineup lineup;
  for (const char* name : variants) {
    const Estimator e = variant_of(name);
    lineup.add(e, choice.theta,
               ask_oracle(world, choice.policy, choice.theta, choice.theta, e, std::nullopt));
  }
  MeasureOptions options;
  options.trajectories = trajectories, options.seed = seed;
  const Measured measured = measure(world, choice.policy, choice.theta, lineup.rungs, nullptr,
                                    make_constants(world, choice, 0, seed), options);
  const double KL = divergence_from_reference(world, choice.policy, choice.theta).KL;
  const auto spread = [&](std::size_t k) {
    const auto& v = lineup.truth[k].variance;
    return std::accumulate(v.begin(), v.end(), 0.0);
  };
  const double to_go = spread(static_cast<std::size_t>(lineup.at("kl:k1-togo")));
  for (std::size_t k = 0; k < std::size(variants); ++k) {
    const Truth& truth = lineup.truth[k];
    const double norm = std::sqrt(dot(truth.gradient, truth.gradient)),
                 of_mean = std::sqrt(dot(truth.mean, truth.mean)), trace_cov = spread(k);
    const double bias = bias_norm({truth.mean, {}}, truth.gradient);
    const std::string variant = variants[k];
    const Estimate sampled =
        named(lineup.quantities(measured, static_cast<int>(k), lineup.rungs[0].estimator.name), "trace_cov")
            .sampled;
    const bool noisy = trace_cov > 1e-12;
    csv.add_some({{"part", "gradient"},
                  {"world", world.id},
                  {"policy", policy},
                  {"variant", variant},
                  {"KL", KL},
                  {"norm", norm},
                  {"bias_norm", bias},
                  {"relative_bias", bias / norm},
                  {"cosine", of_mean > 1e-12 ? dot(truth.mean, truth.gradient) / (norm * of_mean) : NAN},
                  {"trace_cov", trace_cov},
                  {"over_to_go", trace_cov / to_go},
                  {"trace_cov_sampled", noisy ? sampled.value : NAN},
                  {"trace_cov_se", noisy ? sampled.se : NAN}});
    text += fmt::format("{:<7} {:<8} {:<17} bias {:8.5f}  tr Cov {:.6f}, sampled {:.6f} +- {:.6f}\n",
                        world.id, policy, variant, bias, trace_cov, sampled.value, sampled.se);
  }
}

/// How far the weights of v32 and of k2-loss on one score are apart, at most, over all tokens of all answers.
double apart(const Case& c) {
  const Answers answers = visit_answers(c.world, c.choice.policy, c.choice.theta, {.reference = true});
  const std::vector<double> log_pi = row_log_pi(answers, c.choice.policy, c.choice.theta);
  const Array<double> v32 = make_estimator("kl:v32").weights(answers.batch, {}, log_pi),
                      k2 = make_estimator("kl:k2-loss").weights(answers.batch, {}, log_pi);
  double most = 0;
  for (std::size_t i = 0; i < v32.size(); ++i) most = std::max(most, std::abs(v32.data()[i] - k2.data()[i]));
  return most;
}

/// Schulman's three estimates of the divergence itself, of one answer.
void add_values(const Case& c, Csv& csv) {
  const Answers answers = visit_answers(c.world, c.choice.policy, c.choice.theta, {.reference = true});
  constexpr double (*of[])(double) = {[](double delta) { return delta; },
                                      [](double delta) { return delta * delta / 2; },
                                      [](double delta) { return std::expm1(-delta) + delta; }};
  for (int k = 0; k < 3; ++k) {
    double mean = 0, second = 0;
    for (int i = 0; i < answers.size(); ++i) {
      double delta = 0;
      for (int r = answers.batch.begin(i); r < answers.batch.end(i); ++r) {
        const auto at = static_cast<std::size_t>(r);
        delta += answers.batch.log_mu[at] - answers.batch.log_reference(r, answers.batch.action[at]);
      }
      const double p = answers.probability[static_cast<std::size_t>(i)], x = of[k](delta);
      mean += p * x, second += p * x * x;
    }
    csv.add_some({{"part", "value"},
                  {"world", c.world.id},
                  {"policy", c.policy},
                  {"variant", fmt::format("k{}", k + 1)},
                  {"mean", mean},
                  {"variance", second - mean * mean}});
  }
}

}  // namespace

Reproduction run_kl_zoo(Effort effort, bool check, const std::filesystem::path& out) {
  const long trajectories = choose(effort, 20'000, 200'000, 4'000'000);
  OutputDirectory directory(out, {{"figure", "kl-zoo"}, {"seed", seed}, {"trajectories", trajectories}});
  std::string text;
  Csv csv({"part", "world", "policy", "variant", "KL", "norm", "bias_norm", "relative_bias", "cosine",
           "trace_cov", "over_to_go", "trace_cov_sampled", "trace_cov_se", "mean", "variance", "apart"});
  const World one = bandit(), many = make_world("seq-31", {}, {});
  const PolicyChoice tied = make_policy(many, "reference");
  const Case cases[] = {{one, "softmax", make_policy(one, "reference")},
                        {many, "tied", tied},
                        {many, "prefix", by_prefix(many, tied)}};
  Parts parts(directory);
  for (const Case& c : cases)
    parts(csv, text, [&] {
      add_gradients(c, trajectories, csv, text);
      add_values(c, csv);
      csv.add_some({{"part", "identity"},
                    {"world", c.world.id},
                    {"policy", c.policy},
                    {"variant", "v32 and k2-loss"},
                    {"apart", apart(c)}});
    });
  return publish("kl-zoo", directory, csv, check, std::move(text));
}

}  // namespace lowvar
