// Baselines out of a group of N samples: leave-one-out (RLOO, Kool et al. 2019), the group's mean (Dr. GRPO,
// Liu et al. 2025) and the group's mean and standard deviation (GRPO, Shao et al. 2024). Variance and bias of
// the group's gradient against N on a bandit of four arms; and how much each weights the gradient of a
// question answered rightly with probability p. Exact, by the sum over all groups, beside closed forms and
// samples.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "algorithms/exact/bandit.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"

namespace lowvar {
namespace {

constexpr double rewards[] = {1, 0.2, -0.5, 2}, logits[] = {0.3, -0.2, 0.5, -1};
constexpr int sizes[] = {2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64}, weighted[] = {2, 3, 4, 8, 16, 64};
constexpr std::uint64_t seed = 0;
constexpr int batches = 40;

struct Method {
  const char* name;
  GroupAdvantage advantage;
};
const Method methods[] = {{"rloo", leave_one_out_advantage()},
                          {"group mean", group_mean_advantage()},
                          {"grpo", group_normalised_advantage(0)}};

/// The total variance, and its standard error, from `batches` batches of n groups.
Estimate sample(const Bandit& bandit, const std::vector<double>& p, int N, int n,
                const GroupAdvantage& advantage) {
  const auto k = p.size(), size = static_cast<std::size_t>(N);
  std::vector<double> variances;
  for (int batch = 0; batch < batches; ++batch) {
    Rng rng(seed, fmt::format("rloo {}", N), static_cast<std::uint32_t>(batch));
    std::vector<double> r(size), A(size), sum(k), g(k);
    std::vector<int> arm(size);
    double norm_sq = 0;
    for (int group = 0; group < n; ++group) {
      for (std::size_t i = 0; i < size; ++i) arm[i] = rng.categorical(p), r[i] = pull(bandit, arm[i], rng);
      advantage(r, A);
      std::fill(g.begin(), g.end(), 0.0);
      for (std::size_t i = 0; i < size; ++i)
        for (std::size_t a = 0; a < k; ++a) g[a] += A[i] * ((static_cast<int>(a) == arm[i]) - p[a]) / N;
      for (std::size_t a = 0; a < k; ++a) sum[a] += g[a], norm_sq += g[a] * g[a];
    }
    for (const double x : sum) norm_sq -= x * x / n;
    variances.push_back(norm_sq / (n - 1));
  }
  return mean_of(variances);
}

/// E[sqrt(q (1 - q))] / (p (1 - p)) with q the share of right answers: GRPO's expected update is that times
/// the gradient.
double grpo_weight(double p, int N) {
  double sum = 0, choose_k = 1;
  for (int k = 0; k <= N; choose_k *= static_cast<double>(N - k) / (k + 1), ++k)
    sum += choose_k * std::pow(p, k) * std::pow(1 - p, N - k) * std::sqrt(k * (N - k)) / N;
  return sum / (p * (1 - p));
}

}  // namespace

Reproduction run_rloo(Effort effort, bool check, const std::filesystem::path& out) {
  const auto groups = static_cast<int>(choose(effort, 100, 2000, 20'000));  // a batch
  OutputDirectory directory(out,
                            {{"figure", "rloo"}, {"seed", seed}, {"batches", batches}, {"groups", groups}});
  std::string text;
  Csv csv({"part", "method", "N", "p", "variance", "variance_se", "variance_exact", "variance_formula",
           "bias", "weight", "weight_formula"});

  const Bandit bandit = fixed_bandit(rewards);
  const std::vector<double> pi = softmax(logits), gradient = bandit_moments(bandit, pi).gradient;
  Parts parts(directory);
  for (const int N : sizes)
    for (const auto& [name, advantage] : methods)
      parts(csv, text, [&, name = name, advantage = advantage] {
        const ExactMoments exact = group_moments(bandit, pi, N, advantage);
        const auto [value, se] = sample(bandit, pi, N, groups, advantage);
        const std::string method = name;
        const double formula = method == "rloo"         ? trace(rloo_moments(bandit, pi, N))
                               : method == "group mean" ? trace(group_mean_moments(bandit, pi, N))
                                                        : NAN;
        csv.add_some({{"part", "bandit"},
                      {"method", name},
                      {"N", N},
                      {"variance", value},
                      {"variance_se", se},
                      {"variance_exact", trace(exact)},
                      {"variance_formula", formula},
                      {"bias", bias_norm(exact, gradient)}});
        if (N == 4)
          text += fmt::format("N = 4  {:<10} variance {:.5f} +- {:.5f}, exact {:.5f}\n", name, value, se,
                              trace(exact));
      });

  // Two answers, one right: the gradient is p (1 - p) (-1, 1).
  for (int i = 1; i < 200; ++i) {
    const double p = i / 200.0;
    const Bandit question = fixed_bandit(std::vector<double>{0, 1});
    const auto add = [&](const char* name, const std::string& N, double weight, double formula) {
      csv.add_some({{"part", "weight"},
                    {"method", name},
                    {"N", N},
                    {"p", fmt::format("{}", p)},
                    {"weight", weight},
                    {"weight_formula", formula}});
    };
    for (const int N : weighted)
      for (const auto& [name, advantage] : methods) {
        const std::string method = name;
        add(name, std::to_string(N),
            group_moments(question, std::vector<double>{1 - p, p}, N, advantage).mean[1] / (p * (1 - p)),
            method == "rloo"   ? 1
            : method == "grpo" ? grpo_weight(p, N)
                               : 1 - 1.0 / N);
      }
    add("grpo", "infinite", 1 / std::sqrt(p * (1 - p)), NAN);
  }
  return publish("rloo", directory, csv, check, std::move(text));
}

}  // namespace lowvar
