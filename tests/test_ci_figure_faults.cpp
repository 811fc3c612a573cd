// Faults planted in the data of each figure of the gallery: its claims must notice every one.
#include <gtest/gtest.h>

#include "command.h"
#include "experiments/figures/figures.h"

namespace lowvar {
namespace {

using Rows = std::vector<std::map<std::string, std::string>>;

void write_rows(const Rows& rows, const std::filesystem::path& path) {
  std::vector<std::string> columns;
  for (const auto& [column, field] : rows.front()) columns.push_back(column);
  Csv csv(columns);
  for (const auto& row : rows) csv.add({row.begin(), row.end()});
  write_file(path, csv.text());
}

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
    {"cosine-against-batch", "world", {"CartPole-v1", "FrozenLake-v1"}, {}, {"value"}, {"value"}},
};

class PlantedFaults : public testing::TestWithParam<Plan> {};

TEST_P(PlantedFaults, AreNoticed) {
  const Plan& plan = GetParam();
  const auto dir = scratch("faults_" + plan.id + plan.key);
  const auto run = lowvar("reproduce " + plan.id + " --smoke --out " + dir.string());
  ASSERT_EQ(run.status, 0) << run.err;
  const auto path = dir / (plan.id + ".csv");
  const Rows good = parse_csv(contents(path));
  const auto holds = [&](const Rows& rows) {
    write_rows(rows, path);
    const auto judged = check_claims(plan.id, path);
    return std::all_of(judged.begin(), judged.end(), [](const Judgement& each) { return each.holds; });
  };
  ASSERT_TRUE(holds(good));
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
