// Faults planted in the data of each figure of the gallery: its claims must notice every one.
#include <gtest/gtest.h>

#include "small_run.h"

namespace lowvar {
namespace {

/// What is planted in a figure's data.
struct Plan {
  std::string id;
  std::string key;                   // the column that names what is compared
  std::vector<std::string> names;    // exchanged two by two, and wrong one by one
  std::vector<std::string> swaps;    // columns that are exchanged two by two
  std::vector<std::string> signs;    // columns that get the wrong sign
  std::vector<std::string> doubles;  // columns that are doubled
};

const Plan plans[] = {
    {"baseline-parabola",
     "rung",
     {"b = 0", "b = E R", "b = b*", "one for each parameter"},
     {"trace_cov", "bias"},
     {"trace_cov", "trace_cov_exact", "parabola"},
     {"trace_cov", "trace_cov_exact", "parabola"}},
    {"gae-frontier",
     "rung",
     {"gae:0", "gae:0.5", "gae:0.9", "gae:0.95", "gae:1"},
     {"bias", "variance"},
     {"variance", "variance_exact"},
     {"variance", "variance_exact"}},
    {"gae-frontier", "critic", {"V", "V/2"}, {}, {"bias_sq_exact"}, {"variance_exact"}},
    {"gae-frontier", "critic", {"V/2"}, {}, {"bias_exact"}, {"bias_exact", "bias_sq_exact"}},
    {"gae-frontier",
     "part",
     {"curve", "best", "sampled"},
     {},
     {"variance_exact", "bias_sq_exact"},
     {"variance_exact", "bias_sq_exact"}},
    {"ladder-not-a-theorem",
     "rung",
     {"reinforce", "reinforce-mean", "reinforce-optimal", "reinforce-per-parameter", "togo", "togo-time",
      "togo-value", "togo-optimal-state", "togo-optimal", "gae:0.95", "gae:0.5", "td"},
     {"above", "rung"},
     {"value"},
     {"value"}},
    {"ppo-clip", "A", {"1", "-1"}, {"L", "slope"}, {"L", "slope"}, {"L", "slope"}},
    {"score-pathwise-measure",
     "family",
     {"quadratic", "exp", "cos"},
     {"score", "score_mean", "score_optimal", "pathwise", "measure_valued"},
     {"gradient", "score", "score_mean", "score_optimal", "pathwise", "measure_valued", "crossing"},
     {"gradient", "score", "score_mean", "score_optimal", "pathwise", "measure_valued", "crossing"}},
    {"action-dimension",
     "estimator",
     {"none", "state", "factorised mean", "factorised optimal", "pathwise"},
     {"variance", "nsr"},
     {"variance_exact", "nsr", "variance", "gradient_norm_sq"},
     {"variance_exact", "nsr", "variance"}},
    {"rloo",
     "method",
     {"rloo", "group mean", "grpo"},
     {"variance", "bias"},
     {"variance_exact", "variance", "weight"},
     {"variance_exact", "variance", "weight"}},
    {"rloo", "method", {"group mean", "grpo"}, {}, {"bias"}, {"bias"}},
    {"noise-to-signal",
     "name",
     {"large, large", "large, small", "small, small", "small, large"},
     {"var_K", "var_l"},
     {"var_K", "var_l", "norm_K", "norm_l", "nsr"},
     {"var_K", "var_l", "norm_K", "norm_l", "nsr"}},
    {"noise-to-signal", "part", {"table", "ratio", "map"}, {}, {"nsr"}, {"nsr"}},
    {"noise-to-signal",
     "name",
     {"reinforce", "reinforce-optimal", "togo", "togo-value", "td"},
     {},
     {"var_K"},
     {"var_K"}},
    {"missing-baseline",
     "estimator",
     {"reinforce", "reinforce-optimal", "togo", "togo-value"},
     {"var_K_exact", "var_l_exact"},
     {"var_K", "var_K_exact", "var_l_exact", "nsr_l"},
     {"var_K", "var_K_exact", "var_l_exact", "nsr_l"}},
    {"missing-baseline", "part", {"table", "curve"}, {}, {"var_K_exact", "nsr_l"}, {"var_K_exact", "nsr_l"}},
    {"cosine-against-batch",
     "quantity",
     {"cosine_truth", "cosine", "trace_cov", "snr"},
     {"value", "se"},
     {"value", "predicted"},
     {"value", "predicted"}},
    {"llm-ladder",
     "estimator",
     {"reinforce", "rloo:G", "mean:G+const", "grpo:G+seq-mean", "grpo:G+token-mean", "opo:G", "opo-loo:G",
      "whiten:G+token-mean", "gpg:G", "maxrl:G", "remax", "best-second:G"},
     {"signal", "trace_cov", "bias", "cosine", "scale", "nsr"},
     {"signal", "trace_cov", "trace_cov_definition", "cosine", "scale", "nsr"},
     {"signal", "trace_cov", "trace_cov_sampled", "cosine", "scale", "nsr"}},
    {"llm-ladder",
     "estimator",
     {"mean:G", "mean:G+const", "grpo:G+seq-mean", "opo:G"},
     {},
     {"bias"},
     {"bias"}},
    {"llm-ladder",
     "estimator",
     {"grpo:G+seq-mean", "grpo:G+token-mean", "grpo:G+const"},
     {"length", "right", "wrong"},
     {"length", "right", "wrong"},
     {"length", "right", "wrong"}},
    {"llm-ladder", "policy", {"tied", "prefix"}, {}, {"trace_cov"}, {"trace_cov"}},
    {"update-is-a-gradient",
     "update",
     {"rloo:4", "grpo:4+seq-mean", "grpo:4+token-mean", "whiten:4+token-mean", "kl:k1-reward", "kl:k3-loss",
      "kl:k3-togo"},
     {"work", "asymmetry", "norm", "work_abs"},
     {"norm", "work_abs"},
     {"norm", "work_abs"}},
    {"update-is-a-gradient",
     "update",
     {"grpo:4+seq-mean", "mean:4+seq-mean", "grpo:4+token-mean+dynamic", "kl:k2-loss", "kl:k3-togo"},
     {},
     {"asymmetry", "work", "work_by_curl"},
     {"asymmetry", "work", "work_by_curl"}},
    {"llm-ladder-off-policy",
     "estimator",
     {"rloo:4+is-none", "rloo:4+is-token", "rloo:4+is-cumulative", "rloo:4+is-sequence:2", "rloo:4+mask:2",
      "grpo:4+token-mean+clip:0.2:0.28", "grpo:4+token-mean+cispo:1.28", "grpo:4+seq-mean+gspo", "topr:4"},
     {"signal", "trace_cov", "bias", "cosine", "scale", "nsr", "relative_bias"},
     {"signal", "trace_cov", "trace_cov_groups", "bias", "cosine", "scale", "nsr", "relative_bias"},
     {"signal", "trace_cov", "trace_cov_sampled", "bias", "cosine", "scale", "nsr", "relative_bias"}},
    {"llm-ladder-off-policy",
     "part",
     {"world", "constant"},
     {"KL", "chi2"},
     {"J", "nsr", "KL", "chi2"},
     {"J", "nsr", "gradient"}},
    {"llm-ladder-off-policy", "kappa", {"1", "2"}, {}, {"KL"}, {"KL"}},
    {"token-baselines",
     "baseline",
     {"none", "J", "length", "constant", "otb", "norm", "position", "V", "greensmith", "td"},
     {"trace_cov", "share", "bias"},
     {"trace_cov", "trace_cov_estimator", "share", "b"},
     {"trace_cov", "trace_cov_estimator", "share", "b"}},
    {"token-baselines", "policy", {"tied", "prefix"}, {}, {"b"}, {"b"}},
    {"noise-and-progress",
     "estimator",
     {"reinforce", "reinforce-optimal", "rloo:4", "grpo:4+seq-mean", "maxrl:4", "opo:4", "remax", "exact"},
     {"best_gain", "gain_1", "nsr"},
     {"best_gain", "best_eta", "gain_1", "gain_small"},
     {"best_gain", "best_eta", "gain_1", "gain_small"}},
    {"noise-and-progress",
     "estimator",
     {"reinforce", "rloo:4", "remax"},
     {},
     {"curvature", "nsr", "signal"},
     {"curvature", "nsr", "signal"}},
    {"cosine-against-batch", "world", {"CartPole-v1", "FrozenLake-v1"}, {}, {"value"}, {"value"}},
    {"kl-zoo",
     "variant",
     {"k1-reward", "k1-togo", "k1-togo-value", "k1-token", "k3-loss", "k3-loss-sequence", "k3-togo",
      "full-vocabulary", "rao-blackwell", "k1-loss"},
     {"bias_norm", "relative_bias", "cosine", "trace_cov", "trace_cov_sampled"},
     {"cosine", "trace_cov", "trace_cov_sampled"},
     {"cosine", "trace_cov", "trace_cov_sampled"}},
    {"kl-zoo",
     "variant",
     {"k1-loss", "k3-loss", "k3-togo", "k1", "k2", "k3"},
     {},
     {"bias_norm", "relative_bias", "mean"},
     {"bias_norm", "relative_bias", "mean", "variance"}},
    {"kl-zoo", "world", {"bandit", "seq-31"}, {}, {"trace_cov", "KL"}, {"trace_cov", "KL", "norm"}},
    {"kl-fixed-points",
     "variant",
     {"optimum", "partial", "k3", "no penalty", "k3 in reward"},
     {"J", "KL", "value", "J_other", "KL_other"},
     {"J", "KL", "value"},
     {"J", "KL"}},
    {"kl-fixed-points",
     "L",
     {"2", "4", "8"},
     {"share", "KL_ratio"},
     {"share", "KL_ratio"},
     {"share", "KL_ratio"}},
    {"hidden-objectives",
     "method",
     {"RLOO", "group mean", "GRPO", "MaxRL", "GPG", "PKPO-4", "best minus second", "dynamic mean",
      "dynamic GRPO"},
     {"w", "H", "pw", "share", "share_bias"},
     {"w", "H"},
     {"w", "H"}},
    {"hidden-objectives",
     "G",
     {"4", "8", "16", "64"},
     {},
     {"w", "share", "share_bias"},
     {"w", "share", "share_bias"}},
    {"hidden-objectives", "method", {"GRPO", "MaxRL", "BNPO"}, {}, {"w", "H"}, {"w", "over_half", "H"}},
    {"random-rewards",
     "clip",
     {"none", "both", "low only", "high only", "0.2 and 0.28"},
     {"H1", "H2", "top1", "top2", "second", "of_clip"},
     {"H1", "H2", "top1", "top2", "second", "of_clip"},
     {"H1", "H2", "top1", "top2", "second", "of_clip", "outside"}},
    {"random-rewards", "eta", {"0.25", "0.5", "1", "2"}, {}, {"H2", "top2"}, {"H2", "top2"}},
    {"staleness",
     "weight",
     {"none", "token", "geometric", "cumulative", "truncated", "masked"},
     {"bias", "nsr"},
     {"bias", "nsr"},
     {"bias", "nsr"}},
    {"staleness",
     "weight",
     {"sequence", "none"},
     {"bias_limit", "nsr_limit"},
     {"nsr", "nsr_limit"},
     {"nsr", "nsr_limit"}},
    {"staleness", "part", {"limit at", "error"}, {}, {"bias_limit", "nsr_limit", "mse"}, {"bias_limit"}},
    {"staleness", "part", {"counted", "crossing"}, {}, {"kappa"}, {"kappa"}},
    {"staleness", "baseline", {"yes", "no"}, {}, {"bias"}, {"bias"}},
    {"baseline-hurts",
     "estimator",
     {"none", "best", "mean", "rloo:8", "rloo:64", "advantage"},
     {},
     {"variance"},
     {"variance"}},
    {"baseline-hurts",
     "estimator",
     {"none", "best", "mean", "advantage"},
     {"variance", "cost"},
     {"cost"},
     {"cost"}},
    {"baseline-hurts",
     "part",
     {"world", "needed"},
     {"right_sq", "wrong_sq"},
     {"ratio", "ratio_needed"},
     {"ratio", "ratio_needed", "b"}},
    {"baseline-hurts",
     "world",
     {"SEQ-31", "SEQ-31 by prefix", "10 arms, 1 right", "10 arms, 2 right"},
     {},
     {"variance", "to_none"},
     {"variance"}},
    {"pass-at-k",
     "form",
     {"basic", "loo", "loo1"},
     {"trace_cov", "nsr", "scale"},
     {"trace_cov", "nsr", "scale", "scale_true"},
     {"trace_cov", "nsr", "scale", "scale_true"}},
    {"pass-at-k", "k", {"1", "2", "4", "8"}, {}, {"trace_cov_visited"}, {"trace_cov_visited"}},
    {"group-size",
     "method",
     {"none", "rloo", "grpo without length", "maxrl", "gpg"},
     {"n_trace_cov", "n_nsr"},
     {"n_trace_cov", "n_nsr", "cosine"},
     {"n_trace_cov", "n_nsr", "cosine"}},
    {"group-size", "part", {"prompt", "best"}, {"right_sq", "wrong_sq"}, {"gradient_sq"}, {"gradient_sq"}},
    {"group-size", "method", {"grpo", "rloo"}, {}, {"n_nsr"}, {"n_nsr"}},
    {"training-on-sequences",
     "method",
     {"rloo:8", "grpo:8+seq-mean"},
     {"J", "flow", "bias", "cosine"},
     {"J", "flow", "cosine"},
     {"J", "flow", "cosine"}},
    {"rounding", "format", {"BF16", "FP16"}, {"KL", "TV"}, {"KL", "TV"}, {"KL", "TV"}},
    {"rounding",
     "vocabulary",
     {"8", "64", "1024"},
     {"KL_ratio", "TV_ratio"},
     {"KL_ratio", "TV_ratio"},
     {"KL_ratio", "TV_ratio"}},
    {"rounding", "L", {"256", "1024", "4096"}, {}, {"bias"}, {"bias"}},
    {"vineppo",
     "method",
     {"none", "value", "advantage", "rloo:4", "rloo:16", "vine"},
     {"variance", "tokens"},
     {"cost"},
     {"cost"}},
    {"vineppo", "method", {"vine", "least"}, {}, {"variance", "tokens", "K"}, {"variance", "tokens", "K"}},
    {"short-corridor",
     "estimator",
     {"reinforce", "reinforce, b = J", "reinforce, b*", "to go", "to go, constant", "to go, V(s)"},
     {"variance", "J"},
     {"variance", "J", "mean"},
     {"variance", "J", "mean"}},
    {"short-corridor", "curve", {"2^-12", "2^-13", "2^-14", "baseline"}, {}, {"value"}, {"value"}},
    {"short-corridor",
     "world",
     {"corridor", "no state reversed", "a logit for each state"},
     {},
     {"variance"},
     {"variance"}},
};

class PlantedFaults : public testing::TestWithParam<Plan> {};

TEST_P(PlantedFaults, AreNoticed) {
  const Plan& plan = GetParam();
  const SmallRun run(plan.id, plan.key);
  const Rows& good = run.good;
  const auto holds = [&](const Rows& rows) { return run.holds(rows); };
  int planted = 0;
  const auto expect_noticed = [&](const Rows& bad, const std::string& what) {
    if (bad == good) return;
    ++planted;
    EXPECT_FALSE(holds(bad)) << what;
  };

  const auto& names = plan.names;
  for (std::size_t i = 0; i < names.size(); ++i)
    for (std::size_t j = i + 1; j < names.size(); ++j) {
      Rows bad = good;
      for (auto& row : bad) {
        std::string& x = row.at(plan.key);
        x = x == names[i] ? names[j] : x == names[j] ? names[i] : x;
      }
      expect_noticed(bad, names[i] + " and " + names[j] + " exchanged");
    }
  for (std::size_t i = 0; i < plan.swaps.size(); ++i)
    for (std::size_t j = i + 1; j < plan.swaps.size(); ++j) {
      Rows bad = good;
      for (auto& row : bad) std::swap(row.at(plan.swaps[i]), row.at(plan.swaps[j]));
      expect_noticed(bad, plan.swaps[i] + " and " + plan.swaps[j] + " exchanged");
    }
  for (const double factor : {-1.0, 2.0})
    for (const auto& column : factor < 0 ? plan.signs : plan.doubles)
      for (const auto& name : names) {
        Rows bad = good;
        for (auto& row : bad) {
          std::string& x = row.at(column);
          if (row.at(plan.key) == name && !x.empty() && std::stod(x) != 0) x = number(factor * std::stod(x));
        }
        expect_noticed(bad, column + " of " + name + (factor < 0 ? " with the wrong sign" : " doubled"));
      }
  EXPECT_GE(planted, 3);
}

INSTANTIATE_TEST_SUITE_P(Figures, PlantedFaults, testing::ValuesIn(plans), [](const auto& each) {
  std::string name = each.param.id + "_" + each.param.key + std::to_string(each.index);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace lowvar
