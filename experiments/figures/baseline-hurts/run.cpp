// When a baseline hurts: the variance of RLOO, of constant baselines and of exact advantages against that of
// no baseline, for rewards 0 and 1. The ratio of the squared scores of right and wrong answers from which on
// a group's mean helps, and where worlds lie; and chains of L steps that are mostly right, where it hurts
// more and more. Closed forms, beside the estimators' own code on every answer.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/exact/bandit.h"
#include "algorithms/exact/group_classes.h"
#include "experiments/figures/figures.h"
#include "experiments/figures/sequence_figures.h"
#include "experiments/parts.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

constexpr int group_sizes[] = {2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64}, shown[] = {2, 4, 8, 16, 64};
constexpr int lengths[] = {2, 4, 8, 16, 32, 64, 128, 256};
constexpr double returns[] = {0.1, 0.3, 0.7};

/// A chain of L steps, each right with J^(1/L) and with two logits of its own; the first wrong one ends it. A
/// right step's score is (-q, q) and a wrong one's (p, -p).
struct Chain {
  int L;
  double J;
  double p() const { return std::pow(J, 1.0 / L); }
  double q() const { return -std::expm1(std::log(J) / L); }
  double length() const { return (1 - J) / q(); }
  RightAndWrong answers() const {
    const double right = 2 * q() * q(), wrong = 2 * p() * p();
    double squares = 0;  // of wrong answers, by the step at which they end
    for (int t = 0; t < L; ++t) squares += std::pow(p(), t) * q() * (t * right + wrong);
    return {J, 2 * L * J * J * q() * q(), L * right, squares / (1 - J)};
  }
  /// With advantages V(after) - V(before): p^(L - t - 1) q where right and -p^(L - t) where wrong.
  double exact_advantage_variance() const {
    double sum = 0;
    for (int t = 0; t < L; ++t) {
      const double to_go = std::pow(p(), L - t - 1), reached = std::pow(p(), t);
      sum += reached * (p() * 2 * q() * q() * std::pow(to_go * q(), 2) +
                        q() * 2 * p() * p() * std::pow(to_go * p(), 2));
    }
    return sum - answers().gradient_sq;
  }
};

struct Placed {
  std::string world;
  RightAndWrong answers;
};

RightAndWrong answers_of(const World& world, const PolicyChoice& pi) {
  const Answers all = visit_answers(world, pi.policy, pi.theta);
  return right_and_wrong(classes_of(all, "rloo:2", pi.policy, pi.theta).front().classes);
}

/// K arms of which m are right, under the uniform policy.
RightAndWrong arms(int K, int m) {
  const double p = static_cast<double>(m) / K, square = 1 - 1.0 / K;
  return {p, p * (1 - p) / K, square, square};
}

double total_variance(const World& world, const PolicyChoice& pi, const std::string& estimator) {
  const FittedCritic critic = make_critic(world, pi, "exact", 0, 0);
  const OracleAnswer answer =
      ask_oracle(world, pi.policy, pi.theta, pi.theta, make_estimator(estimator), critic, 1);
  expect(!answer.truth.variance.empty(), estimator, ": ", answer.reason);
  return std::accumulate(answer.truth.variance.begin(), answer.truth.variance.end(), 0.0);
}

}  // namespace

Reproduction run_baseline_hurts(Effort effort, bool check, const std::filesystem::path& out) {
  const int visited = static_cast<int>(choose(effort, 16, 64, 64));  // the longest chain, answer by answer
  OutputDirectory directory(out, {{"figure", "baseline-hurts"}, {"visited", visited}});
  Csv csv({"part", "world", "p", "G", "L", "J", "estimator", "ratio", "ratio_needed", "right_sq", "wrong_sq",
           "b", "variance", "variance_visited", "to_none", "difference", "tokens", "cost"});
  std::string text;
  Parts parts(directory);

  for (const int G : shown)
    for (int i = 1; i < 200; ++i) {
      const double p = i / 200.0;
      csv.add_some({{"part", "needed"},
                    {"G", G},
                    {"p", p},
                    {"world", fmt::format("{}", p)},
                    {"ratio_needed", ratio_from_which_groups_help(p, G)}});
    }

  const World seq_31 = make_world("seq-31", {}, {});
  const PolicyChoice tied = make_policy(seq_31, "reference");
  std::vector<Placed> worlds = {{"SEQ-31", answers_of(seq_31, tied)},
                                {"SEQ-31 by prefix", answers_of(seq_31, by_prefix(seq_31, tied))},
                                {"3 arms, 1 right", arms(3, 1)}};
  for (const int m : {1, 2, 3, 5}) worlds.push_back({fmt::format("10 arms, {} right", m), arms(10, m)});
  for (const double J : returns)
    for (const int L : lengths) worlds.push_back({fmt::format("STEPS {} {}", L, J), Chain{L, J}.answers()});
  for (const auto& [world, a] : worlds) {
    const double none = constant_baseline_variance(a, 0);
    csv.add_some({{"part", "world"},
                  {"world", world},
                  {"p", a.p},
                  {"ratio", a.right_sq / a.wrong_sq},
                  {"right_sq", a.right_sq},
                  {"wrong_sq", a.wrong_sq},
                  {"b", optimal_baseline(a)},
                  {"variance", none}});
    for (const int G : group_sizes) {
      // The other route: the estimator's advantages on every count of right answers.
      const GroupMoments m = group_moments(fmt::format("rloo:{}", G), classes_of(a), 1);
      const double rloo = leave_one_out_variance(a, G);
      csv.add_some({{"part", "group"},
                    {"world", world},
                    {"p", a.p},
                    {"G", G},
                    {"estimator", "rloo"},
                    {"variance", rloo},
                    {"variance_visited", G * (m.second[0] - m.mean[0] * m.mean[0])},
                    {"to_none", rloo / none},
                    {"difference", (rloo - none) / G}});
    }
    if (!world.starts_with("SEQ")) continue;
    int G = 2;
    while (leave_one_out_variance(a, G) >= none) ++G;
    csv.add_some({{"part", "helps from"}, {"world", world}, {"G", G}, {"variance", G}});
    text += fmt::format("{}: a group's mean has less variance than no baseline from G = {} on\n", world, G);
  }

  for (const double J : returns)
    for (const int L : lengths)
      parts(csv, text, [&] {
        const Chain chain{L, J};
        const RightAndWrong a = chain.answers();
        const double none = constant_baseline_variance(a, 0), b = optimal_baseline(a);
        const World world = make_world(fmt::format("steps:{}:{}", L, J), {}, {});
        const PolicyChoice pi = make_policy(world, "reference");
        const RightAndWrong seen = L <= visited ? answers_of(world, pi) : RightAndWrong{NAN, NAN, NAN, NAN};
        const auto add = [&](const char* name, double variance, const char* estimator,
                             double visited_variance) {
          csv.add_some({{"part", "steps"},
                        {"world", fmt::format("STEPS {} {}", L, J)},
                        {"L", L},
                        {"J", fmt::format("{}", J)},
                        {"estimator", name},
                        {"variance", variance},
                        {"variance_visited", L > visited  ? NAN
                                             : *estimator ? total_variance(world, pi, estimator)
                                                          : visited_variance},
                        {"to_none", variance / none},
                        {"b", b},
                        {"tokens", chain.length()},
                        {"cost", variance * chain.length()}});
        };
        add("none", none, "reinforce", 0);
        add("best", constant_baseline_variance(a, b), "reinforce-optimal", 0);
        add("mean", constant_baseline_variance(a, J), "reinforce-mean", 0);
        add("advantage", chain.exact_advantage_variance(), "td", 0);
        for (const int G : {8, 64}) {
          const double of_visited = L > visited ? NAN : leave_one_out_variance(seen, G);
          add(fmt::format("rloo:{}", G).c_str(), leave_one_out_variance(a, G), "", of_visited);
        }
        if (L == 64 && J == 0.3)
          text += fmt::format(
              "64 steps, J = {}: RLOO-8 has {:.1f} times the variance of no baseline, exact "
              "advantages {:.1f} times; b* = {:.4f}\n",
              J, leave_one_out_variance(a, 8) / none, chain.exact_advantage_variance() / none, b);
      });
  return publish("baseline-hurts", directory, csv, check, std::move(text));
}

}  // namespace lowvar
