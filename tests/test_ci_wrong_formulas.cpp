// Numbers as wrong formulas have them, computed and put in the place of the right ones in the data of
// figures: their claims must notice every one.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numbers>
#include <numeric>

#include "algorithms/exact/bandit.h"
#include "algorithms/exact/counting.h"
#include "algorithms/exact/group_classes.h"
#include "algorithms/exact/noisy_circle.h"
#include "algorithms/exact/quadrature.h"
#include "algorithms/exact/shared_logit.h"
#include "algorithms/exact/soft.h"
#include "algorithms/exact/two_minibatches.h"
#include "core/short_floats.h"
#include "experiments/answers.h"
#include "experiments/figures/sequence_figures.h"
#include "experiments/models.h"
#include "experiments/worlds.h"
#include "small_run.h"

namespace lowvar {
namespace {

using Row = std::map<std::string, std::string>;
using Where = Row;

bool matches(const Row& row, const Where& where) {
  return std::all_of(where.begin(), where.end(),
                     [&](const auto& each) { return row.at(each.first) == each.second; });
}

// ---- groups of answers ----

const World& seq_31_world() {
  static const World world = make_world("seq-31", {}, {});
  return world;
}

/// Moments of a group's estimate where the classes of answers have been tampered with.
FirstTwo moments_with(const std::string& estimator, const Parameters& theta,
                      const std::function<void(AnswerClass&)>& tamper) {
  const World& world = seq_31_world();
  const PolicyChoice pi = make_policy(world, "reference");
  auto prompts = classes_of(visit_answers(world, pi.policy, theta), estimator, pi.policy, theta);
  for (auto& prompt : prompts)
    for (auto& c : prompt.classes) tamper(c);
  return class_moments(prompts, estimator, world.T);
}
void count_the_start(AnswerClass& c) { ++c.length; }

/// The work round the circle of update-is-a-gradient.
double work_with(const std::string& estimator, const std::function<void(AnswerClass&)>& tamper) {
  double work = 0;
  for (int k = 0; k < 64; ++k) {
    const double angle = 2 * std::numbers::pi * k / 64, c = std::cos(angle), s = std::sin(angle);
    Parameters theta = make_policy(seq_31_world(), "reference").theta;
    theta[0](0, 1) += c, theta[0](2, 0) += s;
    const auto F = moments_with(estimator, theta, tamper).mean;
    work += (c * F[6] - s * F[1]) * 2 * std::numbers::pi / 64;
  }
  return work;
}

/// J(theta + eta grad J) - J.
double gain_along_the_gradient(double eta) {
  const World& world = seq_31_world();
  const PolicyChoice pi = make_policy(world, "reference");
  const auto gradient = moments_with("rloo:2", pi.theta, [](AnswerClass&) {}).mean;
  Parameters after = pi.theta;
  for (std::size_t j = 0; j < gradient.size(); ++j) after[0].data()[j] += eta * gradient[j];
  return exact_return(world, pi.policy, after) - exact_return(world, pi.policy, pi.theta);
}

Where moments_of(const std::string& estimator) {
  return {{"part", "moments"}, {"policy", "tied"}, {"G", "4"}, {"estimator", estimator}};
}
Where aged_of(const std::string& estimator) {
  return {{"part", "moments"}, {"policy", "tied"}, {"kappa", "2"}, {"estimator", estimator}};
}
/// The variance of a group's estimate at `pi` from answers of `mu`.
double variance_between(
    const std::string& estimator, const std::string& pi, const std::string& mu,
    const std::function<void(AnswerClass&)>& tamper = [](AnswerClass&) {}) {
  const World& world = seq_31_world();
  const PolicyChoice at = make_policy(world, pi), from = make_policy(world, mu);
  auto prompts = classes_of(visit_answers(world, from.policy, from.theta), estimator, at.policy, at.theta);
  for (auto& prompt : prompts)
    for (auto& c : prompt.classes) tamper(c);
  return trace_of(class_moments(prompts, estimator, world.T));
}
Where update_of(const std::string& update) {
  return {{"part", "updates"}, {"policy", "tied"}, {"update", update}};
}

/// A number as a wrong formula has it, in the place of the right one.
struct Mistake {
  std::string what, id;
  Where where;  // the row
  std::string column;
  std::function<double()> wrong;
};

const Mistake mistakes[] = {
    {"zeroth order without its baseline",
     "suh-heaviside",
     {{"part", "table"}, {"theta", "0.2"}},
     "zeroth_variance",
     [] {
       return score_function_moments(heaviside_objective(), 0.2, 0.2, GaussianParameter::mu).variance(0);
     }},
    {"a rule that does not know the jumps",
     "suh-ball-and-wall",
     {{"part", "table"}, {"theta", "0.6"}},
     "gradient",
     [] {
       Integrand ball = ball_and_wall_objective({}, 0.6, 0.05);
       ball.breaks.clear();
       return score_function_moments(ball, 0.6, 0.05, GaussianParameter::mu).gradient;
     }},
    {"a baseline that is not at the angle itself",
     "suh-ball-and-wall",
     {{"part", "table"}, {"theta", "0.8"}},
     "zeroth_variance",
     [] {
       const auto m =
           score_function_moments(ball_and_wall_objective({}, 0.8, 0.05), 0.8, 0.05, GaussianParameter::mu);
       return m.variance(m.F);
     }},
    {"a grid that is too coarse",
     "chaos",
     {{"part", "step"}, {"K", "2"}, {"H", "4"}},
     "pathwise",
     [] { return circle_moments({.K = 2}, 4, 16).back().pathwise_variance; }},
    {"another baseline than the best",
     "chaos",
     {{"part", "step"}, {"K", "6"}, {"H", "10"}},
     "score_optimal",
     [] {
       const CircleMoments m = circle_moments({.K = 6}, 10).back();
       return m.score_variance(m.J);
     }},
    {"a standard deviation that divides by G", "llm-ladder", moments_of("grpo:G+seq-mean"), "trace_cov",
     [] { return 4.0 / 3 * variance_between("grpo:4+seq-mean", "kappa:0", "kappa:0"); }},
    {"lengths that count the start", "llm-ladder", moments_of("grpo:G+seq-mean"), "trace_cov",
     [] { return variance_between("grpo:4+seq-mean", "kappa:0", "kappa:0", count_the_start); }},
    {"a mean of the group that counts the start", "llm-ladder", moments_of("opo:G"), "trace_cov",
     [] { return variance_between("opo:4", "kappa:0", "kappa:0", count_the_start); }},
    {"one token's mean for another's", "llm-ladder", moments_of("grpo:G+token-mean"), "trace_cov",
     [] { return variance_between("grpo:4+seq-mean", "kappa:0", "kappa:0"); }},
    {"a clip on the wrong side", "llm-ladder-off-policy", aged_of("grpo:4+token-mean+clip:0.2:0.28"),
     "trace_cov",
     [] {
       return variance_between("grpo:4+token-mean+clip:0.2:0.28", "kappa:2", "kappa:0", [](AnswerClass& c) {
         c.mean_up.swap(c.mean_down), c.square_up.swap(c.square_down);
       });
     }},
    {"ratios upside down", "llm-ladder-off-policy", aged_of("rloo:4+is-sequence"), "trace_cov",
     [] { return variance_between("rloo:4+is-sequence", "kappa:0", "kappa:2"); }},
    {"a mask for a truncation", "llm-ladder-off-policy", aged_of("rloo:4+is-sequence:2"), "trace_cov",
     [] { return variance_between("rloo:4+mask:2", "kappa:2", "kappa:0"); }},
    {"the step's own ratio for all that came before", "llm-ladder-off-policy",
     aged_of("rloo:4+is-cumulative"), "trace_cov",
     [] { return variance_between("rloo:4+is-token", "kappa:2", "kappa:0"); }},
    {"a best number for each position with the future's scores alone",
     "token-baselines",
     {{"part", "variance"}, {"policy", "tied"}, {"baseline", "position"}},
     "trace_cov",
     [] {
       const World& world = seq_31_world();
       const PolicyChoice pi = make_policy(world, "reference");
       const Answers answers = visit_answers(world, pi.policy, pi.theta);
       const Array<double> z = row_scores(answers, pi.policy, pi.theta);
       std::vector<double> above(4), below(4);
       for (int i = 0; i < answers.size(); ++i)
         for (int r = answers.batch.begin(i); r < answers.batch.end(i); ++r) {
           const auto t = static_cast<std::size_t>(r - answers.batch.begin(i));
           const double p = answers.probability[static_cast<std::size_t>(i)];
           for (int k = r; k < answers.batch.end(i); ++k)  // the past is left out
             above[t] += p * answers.R[static_cast<std::size_t>(i)] * dot(row(z, r), row(z, k));
           below[t] += p * dot(row(z, r), row(z, r));
         }
       Array<double> b = zeros<double>(world.T + 1, world.mdp->S);
       for (int t = 0; t < world.T; ++t)
         for (double& each : row(b, t))
           each = above[static_cast<std::size_t>(t)] / below[static_cast<std::size_t>(t)];
       const auto variance =
           ask_oracle(world, pi.policy, pi.theta, pi.theta, make_estimator("togo-value"), b).truth.variance;
       return std::accumulate(variance.begin(), variance.end(), 0.0);
     }},
    {"a step along the mean in place of the mean over steps",
     "noise-and-progress",
     {{"part", "summary"}, {"estimator", "rloo:4"}},
     "gain_1",
     [] { return gain_along_the_gradient(1); }},
    {"lengths that count the start", "update-is-a-gradient", update_of("grpo:4+seq-mean"), "work",
     [] { return work_with("grpo:4+seq-mean", count_the_start); }},
    {"a constant for the length", "update-is-a-gradient", update_of("grpo:4+seq-mean"), "work",
     [] { return work_with("grpo:4+const", [](AnswerClass&) {}); }},
    {"a length for a constant", "update-is-a-gradient", update_of("mean:4"), "work",
     [] { return work_with("mean:4+seq-mean", [](AnswerClass&) {}); }},
};

class Mistakes : public testing::TestWithParam<Mistake> {};

TEST_P(Mistakes, AreNoticed) {
  const Mistake& mistake = GetParam();
  static std::map<std::string, SmallRun> runs;
  const SmallRun& run = runs.try_emplace(mistake.id, mistake.id, "mistakes").first->second;
  run.expect_noticed(mistake.what, [&](Row& row) {
    if (!matches(row, mistake.where)) return false;
    row.at(mistake.column) = number(mistake.wrong());
    return true;
  });
}

INSTANTIATE_TEST_SUITE_P(Figures, Mistakes, testing::ValuesIn(mistakes), [](const auto& each) {
  std::string name = each.param.id + std::to_string(each.index);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

// ---- divergences and objectives ----

/// Puts a number into the rows whose fields are these. There must be one at least.
void put(Rows& rows, const std::map<std::string, std::string>& where, const std::string& column, double x) {
  int found = 0;
  for (auto& row : rows) {
    const bool chosen = std::all_of(where.begin(), where.end(),
                                    [&](const auto& each) { return row.at(each.first) == each.second; });
    if (chosen) row.at(column) = number(x), ++found;
  }
  EXPECT_GT(found, 0) << column;
}

double norm(const std::vector<double>& x) {
  return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0));
}

/// The same policy of SEQ-31, but the divergence of the reference from it.
void other_divergence(Rows& rows) {
  SequenceWorld exchanged = seq_31();
  std::swap(exchanged.sequences.policy, exchanged.sequences.reference);
  const World world = sequence_world("exchanged", std::move(exchanged));
  const PolicyChoice choice = make_policy(world, "reference");
  const Divergence d = divergence_from_reference(world, choice.policy, choice.theta);
  const std::map<std::string, std::string> tied = {{"part", "gradient"}, {"policy", "tied"}};
  put(rows, tied, "KL", d.KL);
  put(rows, tied, "norm", norm(d.gradient));
}

/// A to-go sum that leaves out the token itself.
void without_the_token(Rows& rows) {
  const World world = make_world("seq-31", {}, {});
  const PolicyChoice choice = make_policy(world, "reference");
  const Estimator to_go = make_estimator("kl:k1-togo"), own = make_estimator("kl:k1-token");
  Estimator wrong = to_go;
  wrong.weights = [=](const Trajectories& batch, const Constants& c, std::span<const double> log_pi) {
    Array<double> out = to_go.weights(batch, c, log_pi);
    const Array<double> less = own.weights(batch, c, log_pi);
    for (std::size_t k = 0; k < out.size(); ++k) out.data()[k] -= less.data()[k];
    return out;
  };
  const Truth truth = ask_oracle(world, choice.policy, choice.theta, choice.theta, wrong, std::nullopt).truth;
  put(rows, {{"part", "gradient"}, {"policy", "tied"}, {"variant", "k1-togo"}}, "trace_cov",
      std::accumulate(truth.variance.begin(), truth.variance.end(), 0.0));
}

/// The reference of SEQ-31.
Array<double> reference_of(const World& world) {
  return state_probabilities(world, token_policy(world, world.sequences->tied), {world.sequences->reference});
}

/// A rest that does charge for the divergence still to come.
void with_later_divergence(Rows& rows) {
  const World world = make_world("seq-31", {}, {});
  const Array<double> ref = reference_of(world);
  const Regularised r = regularised(*world.mdp, soft_optimum(*world.mdp, ref, 0.2), ref, 0.2);
  const std::map<std::string, std::string> where = {
      {"part", "rest"}, {"beta", "0.2"}, {"variant", "partial"}};
  put(rows, where, "KL", r.KL);
  put(rows, where, "value", r.value);
}

/// KL(ref || pi) of the places where the updates rest.
void reference_first(Rows& rows) {
  const World world = make_world("seq-31", {}, {});
  const Array<double> ref = reference_of(world);
  put(rows, {{"part", "rest"}, {"beta", "0.5"}, {"variant", "optimum"}}, "KL",
      regularised(*world.mdp, ref, soft_optimum(*world.mdp, ref, 0.5), 0.5).KL);
}

/// GRPO with the standard deviation over G in place of G - 1.
void other_deviation(Rows& rows) {
  const Bandit question = fixed_bandit(std::vector<double>{0, 1});
  const double p = 0.01;
  put(rows, {{"part", "weight"}, {"method", "GRPO"}, {"G", "8"}, {"p", "0.01"}}, "w",
      group_moments(question, std::vector<double>{1 - p, p}, 8, group_normalised_advantage(0)).mean[1] /
          (p * (1 - p)));
}

/// The share of right answers in all groups, in place of those that dynamic sampling keeps.
void without_condition(Rows& rows) {
  put(rows, {{"part", "advantage"}, {"G", "8"}, {"p", "0.1"}}, "share", 0.1);
}

constexpr double arms[] = {0.6, 0.2, 0.1, 0.06, 0.04};

/// The standard deviation of a group over G in place of G - 1.
void other_deviation_of_coins(Rows& rows) {
  const auto groups = coin_groups(arms, 4, group_normalised_advantage(0));
  put(rows, {{"part", "change"}, {"eta", "0.5"}, {"clip", "none"}}, "H1",
      two_minibatches(arms, groups, 0.5, {}).H1);
}

/// A clip at 1/(1 + epsilon), symmetric in the logarithm of the ratio.
void logarithmic_clip(Rows& rows) {
  const auto groups = coin_groups(arms, 4, group_normalised_advantage(1));
  put(rows, {{"part", "change"}, {"eta", "1"}, {"clip", "both"}}, "H2",
      two_minibatches(arms, groups, 1, {1 - 1 / 1.2, 0.2}).H2);
}

/// A clip that drops answers with a positive advantage below it and with a negative one above it.
void clip_on_the_wrong_side(Rows& rows) {
  auto groups = coin_groups(arms, 4, group_normalised_advantage(1));
  for (CoinGroup& each : groups) std::swap(each.up, each.down);
  put(rows, {{"part", "change"}, {"eta", "0.5"}, {"clip", "low only"}}, "H2",
      two_minibatches(arms, groups, 0.5, {.low = 0.2}).H2);
}

/// Mean KL(mu || pi) of 8 logits N(0, 4) that `change` changes.
double mean_divergence(const std::function<double(double)>& change) {
  Rng rng(0, "wrong rounding");
  double sum = 0;
  constexpr int n = 4000;
  std::vector<double> logits(8), changed(8);
  for (int i = 0; i < n; ++i) {
    for (std::size_t a = 0; a < 8; ++a) logits[a] = 2 * rng.normal(), changed[a] = change(logits[a]);
    const std::vector<double> pi = softmax(logits), mu = softmax(changed);
    for (std::size_t a = 0; a < 8; ++a) sum += mu[a] * std::log(mu[a] / pi[a]);
  }
  return sum / n;
}

/// Digits cut off, towards zero.
void truncation(Rows& rows) {
  put(rows, {{"part", "format"}, {"vocabulary", "8"}, {"format", "BF16"}}, "KL",
      mean_divergence([](double x) {
        const double unit = std::ldexp(1.0, std::ilogb(x) - 7);
        return std::trunc(x / unit) * unit;
      }));
}

/// FP16 without the digit that its bits do not show.
void without_leading_digit(Rows& rows) {
  const double short_one = mean_divergence([](double x) {
    return rounded(x, {10, -14, 15});
  }),
               bf16 = mean_divergence([](double x) { return rounded(x, bfloat16); });
  put(rows, {{"part", "ratio"}, {"vocabulary", "8"}}, "KL_ratio", bf16 / short_one);
}

/// Expects that the claims notice what `plant` does to the data.
void expect_noticed(const std::string& id, const std::string& what, void (*plant)(Rows&)) {
  const SmallRun run(id, "formulas");
  Rows bad = run.good;
  plant(bad);
  EXPECT_FALSE(run.holds(bad)) << what;
}

TEST(WrongFormulas, OfRoundingAreNoticed) {
  expect_noticed("rounding", "truncation", truncation);
  expect_noticed("rounding", "without leading digit", without_leading_digit);
}

TEST(WrongFormulas, OfRandomRewardsAreNoticed) {
  expect_noticed("random-rewards", "other deviation", other_deviation_of_coins);
  expect_noticed("random-rewards", "logarithmic clip", logarithmic_clip);
  expect_noticed("random-rewards", "clip on the wrong side", clip_on_the_wrong_side);
}

TEST(WrongFormulas, OfHiddenObjectivesAreNoticed) {
  expect_noticed("hidden-objectives", "other deviation", other_deviation);
  expect_noticed("hidden-objectives", "without condition", without_condition);
}

TEST(WrongFormulas, OfKlFixedPointsAreNoticed) {
  expect_noticed("kl-fixed-points", "with later divergence", with_later_divergence);
  expect_noticed("kl-fixed-points", "reference first", reference_first);
}

TEST(WrongFormulas, OfKlZooAreNoticed) {
  expect_noticed("kl-zoo", "other divergence", other_divergence);
  expect_noticed("kl-zoo", "without the token", without_the_token);
}

// ---- staleness, baselines, groups and the rest ----

/// The number of a row, as a figure writes it.
double of(const std::map<std::string, std::string>& row, const std::string& column) {
  return std::stod(row.at(column));
}

TEST(WrongFormulas, OfStalenessAreNoticed) {
  const SmallRun run("staleness", "formulas");
  const auto counted = [](const auto& row, const char* weight) {
    return row.at("part") == "counted" && row.at("weight") == weight && row.at("baseline") == "yes";
  };
  const auto answers = [](const auto& row) {
    const int L = std::stoi(row.at("L"));
    const double pi = 0.5 + of(row, "delta");
    return BinaryAnswers{L, static_cast<int>(std::ceil(L * pi + std::sqrt(L) / 4 - 1e-9)), pi, 0.5};
  };
  const auto put = [](auto& row, const BinaryAnswers& a, const CountedMoments& m) {
    row["bias"] = number(m.mean / a.gradient() - 1);
    row["nsr"] = number(m.variance / (a.gradient() * a.gradient()));
  };
  run.expect_noticed("the divergence from the policy that is improved", [&](auto& row) {
    if (!counted(row, "none")) return false;
    BinaryAnswers a = answers(row);
    std::swap(a.pi, a.mu);
    row["kappa"] = number(a.divergence());
    return true;
  });
  run.expect_noticed("a mask on the other side", [&](auto& row) {
    if (!counted(row, "masked")) return false;
    const BinaryAnswers a = answers(row);
    const double b = a.right(a.mu);
    const CountedMoments all = counted_moments(a, "reinforce+is-sequence", b),
                         kept = counted_moments(a, "reinforce+mask:3", b);
    const double mean = all.mean - kept.mean,
                 second = all.variance + all.mean * all.mean - kept.variance - kept.mean * kept.mean;
    put(row, a, {mean, second - mean * mean});
    return true;
  });
  run.expect_noticed("a geometric mean without its root", [&](auto& row) {
    if (!counted(row, "geometric")) return false;
    const BinaryAnswers a = answers(row);
    put(row, a, counted_moments(a, "reinforce+is-sequence", a.right(a.mu)));
    return true;
  });
  run.expect_noticed("the baseline of the policy that is improved", [&](auto& row) {
    if (!counted(row, "none")) return false;
    const BinaryAnswers a = answers(row);
    put(row, a, counted_moments(a, "reinforce+is-none", a.right(a.pi)));
    return true;
  });
}

TEST(WrongFormulas, OfBaselinesAreNoticed) {
  const SmallRun run("baseline-hurts", "formulas");
  std::map<std::string, RightAndWrong> worlds;
  for (const auto& row : run.good) {
    if (row.at("part") != "world") continue;
    const double p = of(row, "p"), right_sq = of(row, "right_sq");
    worlds[row.at("world")] = {p, p * right_sq - of(row, "variance"), right_sq, of(row, "wrong_sq")};
  }
  const auto plant = [&](const std::string& what, const char* estimator, auto variance) {
    run.expect_noticed(what, [&](auto& row) {
      if (row.at("part") != "steps" || row.at("estimator") != estimator) return false;
      row["variance"] = number(variance(worlds.at(row.at("world"))));
      return true;
    });
  };
  plant("the group's own answer in its mean", "rloo:8", [](const RightAndWrong& a) {
    const GroupMoments m = group_moments("mean:8", classes_of(a), 1);
    return 8 * (m.second[0] - m.mean[0] * m.mean[0]);
  });
  plant("a group of one more", "rloo:64",
        [](const RightAndWrong& a) { return leave_one_out_variance(a, 65); });
  plant("the share of wrong answers as the baseline", "mean",
        [](const RightAndWrong& a) { return constant_baseline_variance(a, 1 - a.p); });
  plant("the baseline of least error, not least variance", "best",
        [](const RightAndWrong& a) { return constant_baseline_variance(a, a.p); });
  plant("the second moment for the variance", "none",
        [](const RightAndWrong& a) { return a.p * a.right_sq; });
  run.expect_noticed("a group that leaves none out", [&](auto& row) {
    if (row.at("part") != "needed") return false;
    row["ratio_needed"] = number(ratio_from_which_groups_help(of(row, "p"), std::stoi(row.at("G")) + 1));
    return true;
  });
}

/// E g over grad p and tr Cov of g = sum_i weight_i S_i of n answers, the weights of right and of wrong ones
/// by how many of the n are right.
struct OfCounts {
  double scale, trace_cov;
};
OfCounts by_counts(const RightAndWrong& a, int n,
                   const std::function<double(int right, bool is_right)>& weight) {
  double along = 0, second = 0;
  for (int c = 0; c <= n; ++c) {
    const double P = std::exp(std::lgamma(n + 1.0) - std::lgamma(c + 1.0) - std::lgamma(n - c + 1.0)) *
                     std::pow(a.p, c) * std::pow(1 - a.p, n - c);
    const double up = c > 0 ? weight(c, true) : 0, down = c < n ? weight(c, false) : 0;
    const double f = c * up / a.p - (n - c) * down / (1 - a.p);
    along += P * f;
    second += P * (f * f * a.gradient_sq + c * up * up * (a.right_sq - a.gradient_sq / (a.p * a.p)) +
                   (n - c) * down * down * (a.wrong_sq - a.gradient_sq / ((1 - a.p) * (1 - a.p))));
  }
  return {along, second - along * along * a.gradient_sq};
}

/// 1 - C(n - c, k) / C(n, k).
double pass_rate(int n, int c, int k) {
  double none = 1;
  for (int i = 0; i < k; ++i) none *= std::max(0.0, 1 - static_cast<double>(c) / (n - i));
  return 1 - none;
}

TEST(WrongFormulas, OfPassAtKAreNoticed) {
  const SmallRun run("pass-at-k", "formulas");
  const World world = make_world("seq-31", {}, {});
  const PolicyChoice pi = make_policy(world, "reference");
  const RightAndWrong a = right_and_wrong(
      classes_of(visit_answers(world, pi.policy, pi.theta), "rloo:2", pi.policy, pi.theta).front().classes);
  const auto put = [&](auto& row, int wrong_by, bool scaled) {
    if (row.at("form") != "basic") return false;
    const int n = std::stoi(row.at("n")), k = std::stoi(row.at("k"));
    const OfCounts x = by_counts(a, n, [&](int c, bool right) {
      return (scaled ? static_cast<double>(k) / n : 1.0 / n) *
             (right ? 1 : pass_rate(n - 1, c, std::min(n - 1, k - 1 + wrong_by)));
    });
    row["scale"] = number(x.scale);
    row["trace_cov"] = row["trace_cov_visited"] = number(x.trace_cov);
    row["nsr"] = number(x.trace_cov / (x.scale * x.scale * a.gradient_sq));
    return true;
  };
  Rows same = run.good;
  for (auto& row : same) put(row, 0, true);
  EXPECT_TRUE(run.holds(same));
  run.expect_noticed("k in place of k - 1 where wrong", [&](auto& row) { return put(row, 1, true); });
  run.expect_noticed("no factor k", [&](auto& row) { return put(row, 0, false); });
}

TEST(WrongFormulas, OfGroupSizeAreNoticed) {
  const SmallRun run("group-size", "formulas");
  double between = 0;
  for (const auto& row : run.good)
    if (row.at("part") == "best") between = of(row, "between");
  run.expect_noticed("prompts that are all alike", [&](auto& row) {
    if (row.at("part") != "curve" || row.at("method") != "rloo") return false;
    row["n_trace_cov"] = row["other_route"] = number(of(row, "n_trace_cov") - of(row, "G") * between);
    return true;
  });
  run.expect_noticed("a best size without the root", [&](auto& row) {
    if (row.at("part") != "best") return false;
    row["G"] = number(1 + std::pow(of(row, "G") - 1, 2));
    return true;
  });
  run.expect_noticed("the variance of one group for that of n answers", [&](auto& row) {
    if (row.at("part") != "curve") return false;
    row["n_trace_cov"] = number(of(row, "n_trace_cov") / of(row, "G"));
    return true;
  });
}

TEST(WrongFormulas, OfVinePpoAreNoticed) {
  const SmallRun run("vineppo", "formulas");
  const auto chain = [](const auto& row) { return row.at("world").starts_with("STEPS"); };
  run.expect_noticed("rollouts that cost nothing", [&](auto& row) {
    if (row.at("method") != "vine" || !chain(row)) return false;
    double answer = 0;
    for (const auto& other : run.good)
      if (other.at("world") == row.at("world") && other.at("method") == "none") answer = of(other, "tokens");
    row["cost"] = row["cost_visited"] = number(of(row, "variance") * answer);
    return true;
  });
  run.expect_noticed("the number of rollouts in place of one more in the tokens", [&](auto& row) {
    if (row.at("method") != "vine") return false;
    const double K = of(row, "K");
    row["cost"] = row["cost_visited"] = number(of(row, "variance") * of(row, "tokens") * K / (K + 1));
    return true;
  });
  run.expect_noticed("rollouts of which the deviation falls like 1 / K, not the variance", [&](auto& row) {
    if (row.at("method") != "vine" || row.at("world") != "SEQ-31") return false;
    double exact = 0;
    for (const auto& other : run.good)
      if (other.at("world") == "SEQ-31" && other.at("method") == "advantage") exact = of(other, "variance");
    row["variance"] = number(exact + (of(row, "variance") - exact) / of(row, "K"));
    return true;
  });
}

TEST(WrongFormulas, OfTheCorridorAreNoticed) {
  const SmallRun run("short-corridor", "formulas");
  const auto chain = [](const auto& row, bool reversed = true) {
    const double p = row.at("p") == "0.5858" ? 2 - std::sqrt(2) : of(row, "p");
    const auto steps = [&](int right, int left) {
      return std::vector<ScoredStep>{{p, 1 - p, -1, right}, {1 - p, -p, -1, left}};
    };
    return ScoredChain{steps(1, 0), reversed ? steps(0, 2) : steps(2, 0), steps(-1, 1)};
  };
  const auto plant = [&](const std::string& what, const char* estimator, auto variance) {
    run.expect_noticed(what, [&](auto& row) {
      if (row.at("part") != "table" || row.at("world") != "corridor" || row.at("estimator") != estimator)
        return false;
      row["variance"] = number(variance(row));
      return true;
    });
  };
  plant("a middle state that is like the others", "to go", [&](const auto& row) {
    return to_go_moments(chain(row, false), {0, 0, 0}).front().variance;
  });
  plant("the second moment for the variance", "reinforce",
        [&](const auto& row) { return return_and_score(chain(row)).front()[2][2]; });
  plant("the value after the step as its baseline", "to go, V(s)", [&](const auto& row) {
    const auto m = return_and_score(chain(row));
    return to_go_moments(chain(row), {m[1][1][0], m[2][1][0], 0}).front().variance;
  });
  plant("J in place of the best baseline", "reinforce, b*", [&](const auto& row) {
    const auto m = return_and_score(chain(row)).front();
    return whole_return_moments(m, m[1][0]).variance;
  });
}

TEST(WrongFormulas, OfTheMirageOnLqgAreNoticed) {
  const SmallRun run("tucker-lqg", "formulas");
  const auto plant = [&](const std::string& what, const std::string& term, const char* to, auto number_of) {
    run.expect_noticed(what, [&](auto& row) {
      if (row.at("part") != "curve" || row.at("term") != term) return false;
      row[to] = number(number_of(row));
      return true;
    });
  };
  const auto coded = [](const auto& row) { return std::exp(of(row, "log_coded")); };
  plant("noise of the state in place of the transition's", "tau", "value", coded);
  plant("half of the slope in the actions", "a, V(s)", "value", coded);
  plant("their rollouts without their mistake", "tau", "log_coded",
        [](const auto& row) { return of(row, "log"); });
  plant("their slope without their mistake", "a, V(s)", "log_coded",
        [](const auto& row) { return of(row, "log"); });
}

TEST(WrongFormulas, OfTheMirageAlongRunsAreNoticed) {
  const SmallRun run("tucker-decomposition", "formulas");
  const auto other = [&](const auto& row, const char* term) {
    for (const auto& each : run.good)
      if (each.at("part") == "check" && each.at("lambda") == row.at("lambda") && each.at("term") == term)
        return of(each, "value");
    return std::nan("");
  };
  const auto plant = [&](const std::string& what, const std::string& term, auto number_of) {
    run.expect_noticed(what, [&](auto& row) {
      if (row.at("part") != "check" || row.at("term") != term) return false;
      row["value"] = number(number_of(row));
      return true;
    });
  };
  plant("one continuation for both factors", "a_value",
        [&](const auto& row) { return of(row, "value") + other(row, "tau"); });
  plant("another action's return as the exact value, once", "a_exact",
        [&](const auto& row) { return of(row, "value") + other(row, "tau"); });
  plant("pairs of a state with itself", "gradient_sq",
        [&](const auto& row) { return of(row, "value") + other(row, "s"); });
  plant("the critic's sign", "a_none", [&](const auto& row) { return other(row, "a_value"); });
}

TEST(WrongFormulas, OfConcentrationAreNoticed) {
  const SmallRun run("ilyas-gradients", "formulas");
  const auto plant = [&](const std::string& what, const std::string& quantity, auto wrong) {
    run.expect_noticed(what, [&](auto& row) {
      if (row.at("quantity") != quantity) return false;
      row["predicted"] = number(wrong(of(row, "predicted"), of(row, "episodes")));
      return true;
    });
  };
  plant("deviations in place of variances", "cosine",
        [](double c, double) { return std::sqrt(std::abs(c)); });
  plant("a cosine to the truth without its root", "cosine_truth", [](double c, double) { return c * c; });
  plant("noise that falls like the deviation", "trace_cov",
        [](double x, double n) { return x * std::sqrt(n / 8); });
  plant("noise of a batch in place of an episode's", "snr", [](double x, double) { return 8 * x; });
}

}  // namespace
}  // namespace lowvar
