// Sequence worlds against exact values that were computed elsewhere (tests/data/reference_values2.json), by
// three routes: the estimators' own code on every group, the oracle's definitions on every group, and classes
// of answers.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/data/groups.h"
#include "algorithms/estimators/groups.h"
#include "algorithms/exact/counting.h"
#include "algorithms/exact/enumeration.h"
#include "algorithms/exact/soft.h"
#include "algorithms/exact/tabular.h"
#include "experiments/algorithms.h"
#include "experiments/answers.h"
#include "experiments/figures/sequence_figures.h"
#include "sampled_against_exact.h"

namespace lowvar {
namespace {

using Json = nlohmann::json;

const Json& reference() {
  static const Json all = Json::parse(std::ifstream(LOWVAR_TEST_DATA "/reference_values2.json"));
  return all;
}

/// W + kappa DW of seq-31, tied or by prefix.
PolicyChoice kappa(const World& world, double k, bool tied) {
  PolicyChoice out = make_policy(world, "kappa:" + std::to_string(k));
  if (!tied) out = by_prefix(world, out);
  return out;
}

/// A name of the file, ours, and how many units make the group that the file speaks of.
struct Entry {
  const char* theirs;
  std::string ours;
  int units = 1;
};

std::vector<Entry> on_policy(int G) {
  const std::string n = ":" + std::to_string(G);
  return {{"reinforce", "reinforce", G},
          {"rloo", "rloo" + n},
          {"dr_grpo", "mean" + n + "+const"},
          {"group_mean", "mean" + n},
          {"grpo", "grpo" + n + "+seq-mean"},
          {"grpo_std_only", "grpo" + n},
          {"grpo_length_only", "mean" + n + "+seq-mean"},
          {"token_mean(dapo/bnpo)", "grpo" + n + "+token-mean"},
          {"token_mean_no_std", "mean" + n + "+token-mean"},
          {"opo", "opo" + n},
          {"opo_leave_one_out", "opo-loo" + n},
          {"reinforce++(1 prompt)", "whiten" + n + "+token-mean"},
          {"gpg=maxrl+cv", "gpg" + n},
          {"maxrl", "maxrl" + n},
          {"remax", "remax", G},
          {"constant_J", "reinforce-mean", G},
          {"constant_bstar", "reinforce-optimal", G},
          {"dapo_dynamic_sampling", "grpo" + n + "+token-mean+dynamic"},
          {"group_mean_dynamic_sampling", "mean" + n + "+dynamic"}};
}

const std::vector<Entry> off_policy = {{"no_correction", "rloo:4+is-none"},
                                       {"seq_is", "rloo:4+is-sequence"},
                                       {"seq_tis_2", "rloo:4+is-sequence:2"},
                                       {"seq_mask_2", "rloo:4+mask:2"},
                                       {"tok_is", "rloo:4+is-token"},
                                       {"cumulative_is", "rloo:4+is-cumulative"},
                                       {"geo_is", "rloo:4+is-geometric"},
                                       {"seq_is_const_raw", "reinforce+is-sequence", 4},
                                       {"seq_is_const_J", "reinforce-mean+is-sequence", 4},
                                       {"grpo_clip_.2", "grpo:4+seq-mean+clip:0.2:0.2"},
                                       {"dr_grpo_clip_.2", "mean:4+const+clip:0.2:0.2"},
                                       {"dapo_.2_.28", "grpo:4+token-mean+clip:0.2:0.28"},
                                       {"dapo_.2_.28_dynamic", "grpo:4+token-mean+dynamic+clip:0.2:0.28"},
                                       {"cispo_max_1.28", "grpo:4+token-mean+cispo:1.28"},
                                       {"cispo_max_6", "grpo:4+token-mean+cispo:6"},
                                       {"tok_is_std_tokmean", "grpo:4+token-mean+is-token"},
                                       {"gspo_paper", "grpo:4+seq-mean+gspo:0.0003:0.0004"},
                                       {"gspo_wide", "grpo:4+seq-mean+gspo:0.2:0.28"},
                                       {"gspo_off", "grpo:4+seq-mean+gspo"},
                                       {"topr_pm1", "topr:4"}};

struct Numbers {
  double trace_cov, bias_norm, mean_norm_sq;
};

Numbers numbers(const Truth& truth, int units = 1) {
  Numbers out{std::accumulate(truth.variance.begin(), truth.variance.end(), 0.0) / units, 0, 0};
  for (std::size_t j = 0; j < truth.mean.size(); ++j) {
    out.bias_norm += std::pow(truth.mean[j] - truth.gradient[j], 2);
    out.mean_norm_sq += truth.mean[j] * truth.mean[j];
  }
  out.bias_norm = std::sqrt(out.bias_norm);
  return out;
}

void expect_relative(double x, double y, double tolerance, const std::string& what) {
  EXPECT_NEAR(x, y, tolerance * std::max(std::abs(y), 1e-3)) << what;
}

void expect_entry(const World& world, const PolicyChoice& pi, const PolicyChoice& mu, const Json& of,
                  const Entry& entry) {
  const OracleAnswer answer =
      ask_oracle(world, pi.policy, pi.theta, mu.theta, make_estimator(entry.ours), std::nullopt);
  ASSERT_FALSE(answer.truth.variance.empty()) << entry.ours << ": " << answer.reason;
  const Json& theirs = of.at(entry.theirs);
  const Numbers n = numbers(answer.truth, entry.units);
  expect_relative(n.trace_cov, theirs.at("trace_cov"), 1e-9, entry.ours + " trace_cov");
  expect_relative(n.mean_norm_sq, theirs.at("mean_norm_sq"), 1e-9, entry.ours + " mean_norm_sq");
  expect_relative(n.bias_norm, theirs.at("bias_norm"), 1e-9, entry.ours + " bias_norm");
  if (!theirs.contains("mean")) return;
  const auto& mean = theirs.at("mean");
  ASSERT_EQ(mean.size(), answer.truth.mean.size());
  for (std::size_t j = 0; j < mean.size(); ++j)
    expect_relative(answer.truth.mean[j], mean[j], 1e-9, entry.ours + " mean");
}

TEST(Sequences, OnPolicyAsComputedElsewhere) {
  const World world = make_world("seq-31", {}, {});
  for (const bool tied : {true, false})
    for (const int G : {2, 4}) {
      const Json& of =
          reference().at("seq31_on").at(std::string(tied ? "tied_G" : "prefix_G") + std::to_string(G));
      const PolicyChoice pi = kappa(world, 0, tied);
      for (const Entry& entry : on_policy(G)) expect_entry(world, pi, pi, of, entry);
    }
}

TEST(Sequences, OffPolicyAsComputedElsewhere) {
  const World world = make_world("seq-31", {}, {});
  for (const bool tied : {true, false})
    for (const int k : {1, 2}) {
      const Json& of =
          reference().at("seq31_off").at((tied ? "tied_kappa" : "prefix_kappa") + std::to_string(k) + "_G4");
      for (const Entry& entry : off_policy)
        expect_entry(world, kappa(world, k, tied), kappa(world, 0, tied), of, entry);
    }
}

/// The three routes to one name, each E g and E g^2.
TEST(Sequences, ThreeRoutesAgree) {
  const World world = make_world("seq-31", {}, {});
  const PolicyChoice pi = kappa(world, 2, true), mu = kappa(world, 0, true);
  std::vector<Entry> names = off_policy;
  for (const char* each :
       {"opo:3+token-mean+is-cumulative", "opo-loo:3+seq-mean+mask:3", "whiten:3+token-mean+cispo:2",
        "maxrl:3+dynamic+gspo:0.1:0.1", "gpg:3+const+is-none", "best-second:3+is-token",
        "pkpo:3:2:basic+is-token", "pkpo:3:2:loo+clip:0.1:0.3", "pkpo:3:3:loo1+is-sequence:1.5",
        "mean:3+dynamic+is-geometric", "togo+is-token", "reinforce-optimal+seq-mean+is-cumulative",
        "togo+is-cumulative", "remax+is-sequence"})
    names.push_back({"", each});
  const Array<double> p = state_probabilities(world, pi.policy, pi.theta),
                      q = state_probabilities(world, mu.policy, mu.theta);
  const Array<double> none = zeros<double>(world.T + 1, world.mdp->S);
  const Aliases* tied = world.sequences->tied.get();
  for (const Entry& entry : names) {
    const Estimator e = make_estimator(entry.ours);
    const Truth own = ask_oracle(world, pi.policy, pi.theta, mu.theta, e, std::nullopt).truth;
    ASSERT_FALSE(own.variance.empty()) << entry.ours;
    std::vector<double> mean, variance;
    if (e.unit == 1) {
      Enumeration m = enumerate(entry.ours, *world.mdp, p, q, none, 1000, {}, tied);
      mean = m.mean, variance = m.variance;
      if (e.needs_constants) continue;  // constants are those of the policy that acts there
    } else {
      ExactMoments m = enumerate_units(entry.ours, *world.mdp, p, q, none, e.unit, 1e6, {}, tied);
      mean = m.mean, variance = m.variance;
      const Answers answers = visit_answers(world, mu.policy, mu.theta);
      const FirstTwo c =
          class_moments(classes_of(answers, entry.ours, pi.policy, pi.theta), entry.ours, world.T);
      for (std::size_t j = 0; j < mean.size(); ++j) {
        EXPECT_NEAR(c.mean[j], own.mean[j], 1e-12) << entry.ours;
        EXPECT_NEAR(c.second[j] - c.mean[j] * c.mean[j], own.variance[j], 1e-12) << entry.ours;
      }
    }
    for (std::size_t j = 0; j < mean.size(); ++j) {
      EXPECT_NEAR(mean[j], own.mean[j], 1e-12) << entry.ours;
      EXPECT_NEAR(variance[j], own.variance[j], 1e-12) << entry.ours;
    }
  }
}

/// A critic's values reach every answer, its action values too.
TEST(Sequences, CriticsAreRead) {
  const World world = make_world("seq-31", {}, {});
  for (const bool tied : {true, false}) {
    const PolicyChoice pi = kappa(world, 0, tied);
    const Array<double> p = state_probabilities(world, pi.policy, pi.theta);
    const FittedCritic critic = make_critic(world, pi, "scaled:0.5", 0, 0, true);
    const Aliases* rows = (tied ? world.sequences->tied : world.sequences->by_prefix).get();
    for (const char* name : {"togo-value", "td", "gae:0.5", "nstep:2", "all-action"}) {
      const Truth own =
          ask_oracle(world, pi.policy, pi.theta, pi.theta, make_estimator(name), critic, 0).truth;
      ASSERT_FALSE(own.variance.empty()) << name;
      const Enumeration m = enumerate(name, *world.mdp, p, p, *critic.table, 1000, critic.action_table, rows);
      for (std::size_t j = 0; j < m.mean.size(); ++j) {
        EXPECT_NEAR(m.mean[j], own.mean[j], 1e-12) << name;
        EXPECT_NEAR(m.variance[j], own.variance[j], 1e-12) << name;
      }
      const Truth by_table =
          ask_oracle(world, pi.policy, pi.theta, pi.theta, make_estimator(name), critic.table).truth;
      if (!make_estimator(name).needs_action_values) {
        EXPECT_EQ(by_table.variance, own.variance) << name;
      }
    }
  }
}

TEST(Sequences, DivergencesAsComputedElsewhere) {
  const World world = make_world("seq-31", {}, {});
  const std::vector<std::pair<std::string, std::string>> names = {
      {"k1_reward_whole (=k2 sequence loss)", "kl:k1-reward"},
      {"k1_reward_to_go", "kl:k1-togo"},
      {"k1_reward_to_go_minus_V", "kl:k1-togo-value"},
      {"k1_same_token (=k2 token loss = V3.2)", "kl:k1-token"},
      {"k1_same_token (=k2 token loss = V3.2)", "kl:k2-loss"},
      {"v3.2_token (ratio x k3)", "kl:v32"},
      {"k3_token_loss", "kl:k3-loss"},
      {"k3_sequence_loss", "kl:k3-loss-sequence"},
      {"k3_in_reward_to_go", "kl:k3-togo"},
      {"full_vocab_local (partial)", "kl:full-vocabulary"},
      {"rao_blackwell (local + score x future local)", "kl:rao-blackwell"}};
  for (const bool tied : {true, false}) {
    const Json& of = reference().at("kl").at(tied ? "seq31_tied" : "seq31_prefix");
    const PolicyChoice pi = kappa(world, 0, tied);
    const Divergence d = divergence_from_reference(world, pi.policy, pi.theta);
    expect_relative(d.KL, of.at("_truth").at("KL"), 1e-9, "KL");
    for (std::size_t j = 0; tied && j < d.gradient.size(); ++j)
      expect_relative(d.gradient[j], of.at("_truth").at("grad")[j], 1e-9, "grad KL");
    for (const auto& [theirs, ours] : names) {
      const Truth truth =
          ask_oracle(world, pi.policy, pi.theta, pi.theta, make_estimator(ours), std::nullopt).truth;
      ASSERT_FALSE(truth.variance.empty()) << ours;
      const Numbers n = numbers(truth);
      expect_relative(n.trace_cov, of.at(theirs).at("trace_cov"), 1e-9, ours + " trace_cov");
      expect_relative(n.bias_norm, of.at(theirs).at("bias_norm"), 1e-9, ours + " bias_norm");
    }
  }
}

TEST(Sequences, FixedPointsAsComputedElsewhere) {
  const World world = make_world("seq-31", {}, {});
  const Array<double> ref =
      state_probabilities(world, token_policy(world, world.sequences->tied), {world.sequences->reference});
  for (const char* beta : {"0.02", "0.05", "0.1", "0.2", "0.3", "0.5", "1.0", "2.0"}) {
    const Json& of = reference().at("kl_fixed_points").at(beta);
    const double b = std::stod(beta);
    for (const auto& [name, rest] : {std::pair{"soft", soft_optimum(*world.mdp, ref, b)},
                                     {"partial", partial_rest(*world.mdp, ref, b)},
                                     {"k3", k3_rest(*world.mdp, ref, b)}}) {
      const Json& theirs = of.at(name);
      const Regularised r = regularised(*world.mdp, rest, ref, b);
      const std::string what = std::string(name) + " at " + beta;
      expect_relative(r.J, theirs.at("J"), 1e-9, what);
      expect_relative(r.KL, theirs.at("KL"), 1e-9, what);
      expect_relative(r.value, theirs.at("value"), 1e-9, what);
    }
  }
}

TEST(Sequences, LongAnswersAsComputedElsewhere) {
  const std::vector<std::pair<std::string, std::string>> names = {{"none", "+is-none"},
                                                                  {"sequence", "+is-sequence"},
                                                                  {"sequence_trunc_2", "+is-sequence:2"},
                                                                  {"sequence_mask_2", "+mask:2"},
                                                                  {"token", "+is-token"},
                                                                  {"geometric", "+is-geometric"},
                                                                  {"cumulative", "+is-cumulative"}};
  int compared = 0;
  for (const Json& of : reference().at("long").at("values")) {
    const double delta = of.at("delta");
    const BinaryAnswers a{of.at("L"), of.at("m"), 0.5 + delta, 0.5};
    const double b = of.at("baseline").get<bool>() ? a.right(0.5) : 0, gradient = a.gradient();
    expect_relative(a.right(a.pi), of.at("J"), 1e-9, "J");
    expect_relative(gradient, of.at("grad"), 1e-9, "gradient");
    for (const auto& [theirs, ours] : names) {
      if (!of.contains(theirs)) continue;
      const CountedMoments m = counted_moments(a, "reinforce" + ours, b);
      const std::string what = join(ours, " at L = ", a.L, ", delta = ", delta);
      EXPECT_NEAR((m.mean - gradient) / gradient, of.at(theirs).at("rel_bias").get<double>(), 1e-9) << what;
      expect_relative(m.variance / (gradient * gradient), of.at(theirs).at("nsr"), 1e-9, what);
      ++compared;
    }
  }
  EXPECT_GT(compared, 200);
}

/// The world of long answers, small enough to be visited as a tree of prefixes with one row of logits for
/// all.
TEST(Sequences, LongAnswersAreCountedAsTheyAreVisited) {
  const int L = 7;
  const World world = make_world("long:7:0.1", {}, {});
  const int enough = world.mdp->S - 1;
  SequenceWorld tree = make_sequences(2, -1, L, {[&](const std::vector<int>& y) {
                                        return std::count(y.begin(), y.end(), 1) >= enough ? 1.0 : 0.0;
                                      }});
  tree.sequences.tied =
      std::make_shared<const Aliases>(Aliases{1, std::vector<int>(static_cast<std::size_t>(tree.mdp.S), 0)});
  tree.sequences.policy = world.sequences->policy;
  const World visited = sequence_world("visited", std::move(tree));
  for (const char* name :
       {"reinforce", "reinforce-mean+is-none", "reinforce+is-token", "reinforce-mean+is-sequence",
        "reinforce+is-sequence:1.5", "reinforce-mean+is-cumulative", "reinforce+is-geometric",
        "reinforce-mean+mask:1.2"}) {
    const Estimator e = make_estimator(name);
    const auto ask = [&](const World& w) {
      const PolicyChoice pi = make_policy(w, "reference"),
                         mu = make_policy(w, e.off_policy ? "uniform" : "reference");
      return ask_oracle(w, pi.policy, pi.theta, mu.theta, e, std::nullopt).truth;
    };
    const Truth counted = ask(world), all = ask(visited);
    ASSERT_EQ(counted.variance.size(), 2u) << name;
    for (std::size_t j = 0; j < 2; ++j) {
      EXPECT_NEAR(counted.gradient[j], all.gradient[j], 1e-12) << name;
      EXPECT_NEAR(counted.mean[j], all.mean[j], 1e-12) << name;
      EXPECT_NEAR(counted.variance[j], all.variance[j], 1e-12) << name;
    }
  }
}

TEST(Sequences, LimitsOfLongAnswers) {
  const auto limit = [](const Json& of, const char* name, bool baseline = true) {
    return limit_moments(of.at("kappa"), 0.5, std::string("reinforce") + name, baseline);
  };
  for (const Json& of : reference().at("long_limit").at("values")) {
    for (const char* name : {"+is-none", "+is-token", "+is-geometric"})
      EXPECT_NEAR(limit(of, name).mean - 1, of.at("bias_none_token_geometric").get<double>(), 1e-9);
    EXPECT_NEAR(limit(of, "+is-none", false).mean - 1, of.at("bias_none_without_baseline").get<double>(),
                1e-9);
    EXPECT_NEAR(limit(of, "+is-cumulative").mean - 1, of.at("bias_cumulative").get<double>(), 1e-9);
    EXPECT_NEAR(limit(of, "+is-sequence").mean, 1, 1e-12);
    expect_relative(limit(of, "+is-none").variance, of.at("nsr_none"), 1e-9, "none");
    expect_relative(limit(of, "+is-sequence").variance, of.at("nsr_sequence"), 1e-9, "sequence");
  }
  // Counted at a length where the lattice of counts is fine, the others too.
  const int L = 1 << 16;
  const double delta = 128.0 / L;  // L delta and sqrt(L) / 4 are whole
  const BinaryAnswers a{L, L / 2 + 128 + 64, 0.5 + delta, 0.5};
  for (const char* name : {"+is-none", "+is-token", "+is-geometric", "+is-sequence", "+is-sequence:2",
                           "+is-sequence:3", "+mask:1.1", "+mask:3"})
    for (const bool baseline : {true, false}) {
      const std::string estimator = std::string("reinforce") + name;
      const CountedMoments m = counted_moments(a, estimator, baseline ? a.right(a.mu) : 0),
                           l = limit_moments(a.divergence(), 0.5, estimator, baseline);
      EXPECT_NEAR(m.mean / a.gradient(), l.mean, 1e-2) << name;
      EXPECT_NEAR(m.variance / (a.gradient() * a.gradient()), l.variance, 3e-2 * l.variance) << name;
    }
}

TEST(Sequences, BinaryRewardsOfAnyGroupAsComputedElsewhere) {
  const Json& of = reference().at("binary_group");
  const double p = of.at("J"), square = of.at("grad_norm_sq");
  const RightAndWrong answers{p, square, of.at("q1"), of.at("q0")};
  const auto classes = classes_of(answers);
  int compared = 0;
  for (const int G : {2, 4, 8, 16}) {
    const std::string n = ":" + std::to_string(G);
    std::vector<std::pair<std::string, std::string>> names = {
        {"rloo", "rloo" + n},        {"group_mean", "mean" + n},
        {"maxrl", "maxrl" + n},      {"grpo_ddof1", "grpo" + n},
        {"maxrl_cv=gpg", "gpg" + n}, {"passk_best_minus_second", "best-second" + n}};
    for (const int k : {2, 4, 8})
      for (const auto& [theirs, ours] :
           {std::pair{"basic", "basic"}, {"loo", "loo"}, {"loo_minus_one", "loo1"}})
        names.emplace_back(join("pass@", k, ":", theirs), join("pkpo", n, ":", k, ":", ours));
    for (const auto& [theirs, ours] : names) {
      const Json& entry = of.at(std::to_string(G));
      if (!entry.contains(theirs) || entry.at(theirs).at("trace_cov").is_null()) continue;
      const GroupMoments m = group_moments(ours, classes, 1);
      expect_relative(m.mean[0] / std::sqrt(square), entry.at(theirs).at("scale"), 1e-9, ours);
      expect_relative(m.second[0] - m.mean[0] * m.mean[0], entry.at(theirs).at("trace_cov"), 1e-9, ours);
      ++compared;
    }
  }
  EXPECT_GT(compared, 30);
}

TEST(Sequences, RightAndWrongAnswers) {
  const World world = make_world("seq-31", {}, {});
  const PolicyChoice pi = kappa(world, 0, true);
  const auto prompts = classes_of(visit_answers(world, pi.policy, pi.theta), "rloo:2", pi.policy, pi.theta);
  const RightAndWrong a = right_and_wrong(prompts.front().classes);
  const Json& of = reference().at("binary_group");
  expect_relative(a.p, of.at("J"), 1e-9, "p");
  expect_relative(a.gradient_sq, of.at("grad_norm_sq"), 1e-9, "|grad J|^2");
  expect_relative(a.right_sq, of.at("q1"), 1e-9, "right");
  expect_relative(a.wrong_sq, of.at("q0"), 1e-9, "wrong");
  const double b = optimal_baseline(a);
  for (const double other : {b - 0.01, b + 0.01})
    EXPECT_LT(constant_baseline_variance(a, b), constant_baseline_variance(a, other));
  for (const int G : {2, 3, 8, 16}) {
    const GroupMoments m = group_moments(join("rloo:", G), classes_of(a), 1);
    EXPECT_NEAR(leave_one_out_variance(a, G), G * (m.second[0] - m.mean[0] * m.mean[0]), 1e-12) << G;
    // Without |grad J|^2 the ratio decides.
    for (const double p : {0.05, 0.3, 0.9}) {
      const double from = ratio_from_which_groups_help(p, G);
      const RightAndWrong less{p, 0, from - 1e-6, 1}, more{p, 0, from + 1e-6, 1};
      EXPECT_GT(leave_one_out_variance(less, G), constant_baseline_variance(less, 0));
      EXPECT_LT(leave_one_out_variance(more, G), constant_baseline_variance(more, 0));
    }
  }
  EXPECT_THROW(right_and_wrong({{0.5, 1, 1, {1}, {1}, {1}, {1}}}), Error);
}

TEST(Sequences, HiddenObjectivesAsComputedElsewhere) {
  const Json& of = reference().at("hidden_objective");
  int compared = 0;
  for (const int G : {4, 8, 16, 64}) {
    const std::string n = ":" + std::to_string(G);
    for (const auto& [theirs, ours] :
         std::vector<std::pair<std::string, std::string>>{{"rloo", "rloo" + n},
                                                          {"group_mean", "mean" + n},
                                                          {"grpo_ddof1", "grpo" + n},
                                                          {"maxrl", "maxrl" + n},
                                                          {"maxrl_cv=gpg", "gpg" + n},
                                                          {"passk_best_minus_second", "best-second" + n},
                                                          {"pkpo_2", "pkpo" + n + ":2"},
                                                          {"pkpo_2", "pkpo" + n + ":2:loo1"},
                                                          {"dynamic_group_mean", "mean" + n + "+dynamic"},
                                                          {"dynamic_grpo_ddof1", "grpo" + n + "+dynamic"}}) {
      const Json& entry = of.at(std::to_string(G));
      if (!entry.contains(theirs)) continue;
      for (std::size_t i = 0; i < of.at("p").size(); ++i) {
        const double w = group_moments(ours, classes_of(RightAndWrong{of.at("p")[i], 1, 1, 1}), 1).mean[0];
        expect_relative(w, entry.at(theirs)[i], 1e-9, ours);
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 200);
}

/// Networks over prefixes: the gradient of J by the engine against differences of J.
TEST(Sequences, GradientsOfReadersAreDifferencesOfTheValue) {
  const World world = make_world("seq-31", {}, {});
  for (const char* name : {"gru:3:4", "attention:3:4"}) {
    PolicyChoice pi = make_policy(world, name);
    const std::vector<double> gradient = return_gradient(world, pi.policy, pi.theta);
    std::size_t j = 0;
    for (auto& x : pi.theta)
      for (double& w : values(x)) {
        const double before = w, h = 1e-5;
        w = before + h;
        const double up = exact_return(world, pi.policy, pi.theta);
        w = before - h;
        const double down = exact_return(world, pi.policy, pi.theta);
        w = before;
        EXPECT_NEAR(gradient[j], (up - down) / (2 * h), 1e-8) << name << ", parameter " << j;
        ++j;
      }
    EXPECT_EQ(j, gradient.size());
  }
}

/// A divergence in the loss is taken from what is followed, one in the reward from what is paid.
TEST(Sequences, TrainingPaysForTheDivergenceAsTold) {
  const World world = make_world("seq-31", {}, {});
  const auto weighed = [&](const std::vector<std::pair<std::string, std::string>>& options) {
    auto algorithm = make_algorithm("reinforce", world);
    for (const auto& [key, value] : options) set_option(*algorithm, key, value, "");
    algorithm->check(world, 1000);
    std::pair<Trajectories, std::vector<double>> out;
    Watcher watcher;
    watcher.weighed = [&](const WeighedBatch& w) { out = {w.batch, {w.psi.begin(), w.psi.end()}}; };
    algorithm->start(world, 1000, 5)->update(watcher);
    return out;
  };
  const auto [plain, psi] = weighed({});
  const auto [in_loss, less] = weighed({{"loss_kl", "0.3"}, {"loss_kl_variant", "k3-loss"}});
  const auto [in_reward, other] = weighed({{"reward_kl", "0.3"}});
  ASSERT_EQ(plain.action, in_loss.action);
  ASSERT_EQ(plain.action, in_reward.action);
  for (std::size_t r = 0; r < psi.size(); ++r) {
    const double d = plain.log_mu[r] - in_loss.log_reference(r, static_cast<std::size_t>(plain.action[r]));
    EXPECT_NEAR(less[r], psi[r] - 0.3 * (1 - std::exp(-d)), 1e-6);  // float acts
    EXPECT_NEAR(in_reward.reward[r], plain.reward[r] - 0.3 * d, 1e-6);
  }
  EXPECT_NE(psi, other);
  EXPECT_THROW(weighed({{"loss_kl", "0.3"}, {"loss_kl_variant", "full-vocabulary"}}), Error);
}

/// Of a policy that is always right no group has returns that differ: what is measured refuses, what trains
/// goes on.
TEST(Sequences, GroupsThatStayAlikeAreRefusedOrKept) {
  const World world = make_world("steps:2:0.5", {}, {});
  const PolicyChoice pi = make_policy(world, "reference");
  Parameters right = pi.theta;
  for (int t = 0; t < 2; ++t) right[0](t, 1) = 800;
  const Draw draw{1, "test", 0, 8, 4};
  EXPECT_THROW(sample_unequal(world, pi.policy, right, world.T, 1, draw), Error);
  const Trajectories kept = sample_unequal(world, pi.policy, right, world.T, 1, draw, StillEqual::keep);
  ASSERT_EQ(kept.size(), 8);
  for (int i = 0; i < kept.size(); ++i) EXPECT_EQ(kept.rewards(i).back(), 1);
  const Trajectories drawn = sample_unequal(world, pi.policy, pi.theta, world.T, 1, {1, "test", 0, 400, 4});
  int first_draws = 0;
  const Trajectories plain = world.sample(pi.policy, pi.theta, world.T, {1, "test", 0, 400, 4});
  for (int i = 0; i < drawn.size(); i += 4) {
    double right_ones = 0;
    bool same = true;
    for (int k = i; k < i + 4; ++k) {
      right_ones += drawn.rewards(k).back();
      same = same && drawn.length(k) == plain.length(k) && drawn.rewards(k).back() == plain.rewards(k).back();
    }
    EXPECT_GT(right_ones, 0);
    EXPECT_LT(right_ones, 4);
    first_draws += same;
  }
  EXPECT_GT(first_draws, 70);  // 7 of 8 groups differ at once
  EXPECT_LT(first_draws, 100);
}

}  // namespace
}  // namespace lowvar
