// VinePPO (Kazemnejad et al. 2024) at equal tokens: advantages V(after) - V(before) whose values are means of
// K fresh rollouts from every prefix. Variance of one answer's gradient times the tokens that it takes,
// beside groups, baselines and exact values, on SEQ-31 and on chains of steps. Exact, and sampled with real
// rollouts.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/exact/group_classes.h"
#include "algorithms/exact/tabular.h"
#include "core/random.h"
#include "experiments/figures/figures.h"
#include "experiments/figures/sequence_figures.h"
#include "experiments/parts.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

constexpr int rollouts[] = {1, 2, 3, 4, 6, 9, 16}, lengths[] = {2, 4, 8, 16, 64, 256};
constexpr double returns[] = {0.1, 0.3, 0.7};
constexpr std::uint64_t seed = 0;
constexpr int batches = 40;

/// An estimate with K rollouts from each prefix: variance exact + guessed / K, tokens answer + K rest.
struct Vine {
  double exact = 0;    // tr Cov with exact values
  double guessed = 0;  // E sum_t V_t (1 - V_t) |z_{t-1} - z_t|^2, z_{-1} = 0
  double answer = 0;   // E length
  double rest = 0;     // E sum_t of the tokens still to come

  double variance(int K) const { return exact + guessed / K; }
  double tokens(int K) const { return answer + K * rest; }
};

/// By all answers: the value of a prefix is in the advantage before it and in the one behind it.
Vine by_answers(const World& world, const PolicyChoice& pi, double exact) {
  const Mdp& mdp = *world.mdp;
  const Array<double> p = state_probabilities(world, pi.policy, pi.theta), V = state_values(mdp, p);
  std::vector<double> rest(static_cast<std::size_t>(mdp.S), 0);
  for (int s = mdp.S - 2; s >= 0; --s) {  // prefixes are ordered by length
    double& to_come = rest[static_cast<std::size_t>(s)];
    to_come = 1;
    for (int a = 0; a < mdp.A; ++a)
      to_come += p(s, a) * rest[static_cast<std::size_t>(mdp.outcomes(s, a).front().next)];
  }
  const Answers answers = visit_answers(world, pi.policy, pi.theta);
  const Array<double> z = row_scores(answers, pi.policy, pi.theta);
  Vine out{.exact = exact};
  for (int i = 0; i < answers.size(); ++i) {
    const double P = answers.probability[static_cast<std::size_t>(i)];
    out.answer += P * answers.batch.length(i);
    for (int row_of = answers.batch.begin(i); row_of < answers.batch.end(i); ++row_of) {
      const int s = answers.batch.state[static_cast<std::size_t>(row_of)],
                t = row_of - answers.batch.begin(i);
      double square = 0;
      for (std::size_t j = 0; j < z.shape(1); ++j)
        square += std::pow((t > 0 ? z(row_of - 1, j) : 0) - z(row_of, j), 2);
      out.guessed += P * V(t, s) * (1 - V(t, s)) * square;
      out.rest += P * rest[static_cast<std::size_t>(s)];
    }
  }
  return out;
}

/// Of a chain of L steps, each right with J^(1/L) and with two logits of its own, in closed form.
Vine of_chain(int L, double J) {
  const double p = std::pow(J, 1.0 / L), q = -std::expm1(std::log(J) / L);
  Vine out;
  for (int t = 0; t < L; ++t) {
    const double reached = std::pow(p, t), value = std::pow(p, L - t), after = std::pow(p, L - t - 1);
    out.exact += reached * 2 * p * q * (q * std::pow(after * q, 2) + p * value * value);
    out.guessed += reached * value * (1 - value) * (2 * p * q + (t > 0 ? 2 * q * q : 0));
    out.answer += reached;
    out.rest += reached * -std::expm1(std::log(p) * (L - t)) / q;
  }
  out.exact -= 2 * L * J * J * q * q;
  return out;
}

double total_variance(const World& world, const PolicyChoice& pi, const std::string& estimator) {
  const FittedCritic critic = make_critic(world, pi, "exact", 0, 0);
  const OracleAnswer answer =
      ask_oracle(world, pi.policy, pi.theta, pi.theta, make_estimator(estimator), critic, 1);
  expect(!answer.truth.variance.empty(), estimator, ": ", answer.reason);
  return std::accumulate(answer.truth.variance.begin(), answer.truth.variance.end(), 0.0);
}

/// tr Cov and tokens of `n` estimates a batch, with real rollouts.
struct Sampled {
  Estimate trace_cov, tokens;
};
Sampled sample(const World& world, const PolicyChoice& pi, int K, int n) {
  const Mdp& mdp = *world.mdp;
  const Array<double> p = state_probabilities(world, pi.policy, pi.theta);
  const Aliases& rows = *world.sequences->own();
  const auto A = static_cast<std::size_t>(mdp.A), d = static_cast<std::size_t>(rows.rows) * A;
  std::vector<double> variances, tokens;
  for (int batch = 0; batch < batches; ++batch) {
    Rng rng(seed, fmt::format("vineppo {} {}", world.id, K), static_cast<std::uint32_t>(batch));
    long written = 0;
    // From a state on, the reward of what is written.
    const auto write = [&](int s, const auto& at) {
      for (double reward = 0;;) {
        if (mdp.terminal[static_cast<std::size_t>(s)]) return reward;
        const int a = rng.categorical(row(p, s));
        at(s, a);
        ++written;
        const Outcome& o = mdp.outcomes(s, a).front();
        reward += o.reward, s = o.next;
      }
    };
    std::vector<double> sum(d), g(d);
    double square = 0;
    for (int i = 0; i < n; ++i) {
      std::vector<std::pair<int, int>> path;
      const double reward = write(0, [&](int s, int a) { path.push_back({s, a}); });
      std::vector<double> value;
      for (const auto& [s, a] : path) {
        double paid = 0;
        for (int k = 0; k < K; ++k) paid += write(s, [](int, int) {});
        value.push_back(paid / K);
      }
      value.push_back(reward);
      std::fill(g.begin(), g.end(), 0.0);
      for (std::size_t t = 0; t < path.size(); ++t) {
        const auto [s, action] = path[t];
        const std::size_t first = static_cast<std::size_t>(rows.of[static_cast<std::size_t>(s)]) * A;
        for (std::size_t a = 0; a < A; ++a)
          g[first + a] += (value[t + 1] - value[t]) * ((static_cast<int>(a) == action) - p(s, a));
      }
      for (std::size_t j = 0; j < d; ++j) sum[j] += g[j], square += g[j] * g[j];
    }
    variances.push_back((square - dot(sum, sum) / n) / (n - 1));
    tokens.push_back(static_cast<double>(written) / n);
  }
  return {mean_of(variances), mean_of(tokens)};
}

}  // namespace

Reproduction run_vineppo(Effort effort, bool check, const std::filesystem::path& out) {
  const int visited = static_cast<int>(choose(effort, 16, 64, 64));  // the longest chain, answer by answer
  const int n = static_cast<int>(choose(effort, 500, 5000, 50'000));
  OutputDirectory directory(
      out,
      {{"figure", "vineppo"}, {"seed", seed}, {"batches", batches}, {"answers", n}, {"visited", visited}});
  Csv csv({"world", "method", "K", "L", "J", "variance", "tokens", "cost", "cost_visited", "variance_sampled",
           "variance_se", "tokens_sampled", "tokens_se"});
  std::string text;
  Parts parts(directory);

  const auto add = [&](const std::string& world, const std::string& method, int K, double variance,
                       double tokens, double cost_visited, const std::optional<Sampled>& sampled, int L = 0,
                       double J = 0) {
    csv.add({{"world", world},
             {"method", method},
             {"K", K ? std::to_string(K) : ""},
             {"L", L ? std::to_string(L) : ""},
             {"J", L ? fmt::format("{}", J) : ""},
             {"variance", variance},
             {"tokens", tokens},
             {"cost", variance * tokens},
             {"cost_visited", cost_visited},
             {"variance_sampled", sampled ? sampled->trace_cov.value : NAN},
             {"variance_se", sampled ? sampled->trace_cov.se : NAN},
             {"tokens_sampled", sampled ? sampled->tokens.value : NAN},
             {"tokens_se", sampled ? sampled->tokens.se : NAN}});
  };

  parts(csv, text, [&] {
    const World world = make_world("seq-31", {}, {});
    const PolicyChoice tied = make_policy(world, "reference");
    const Vine vine = by_answers(world, tied, total_variance(world, tied, "td"));
    const RightAndWrong a = right_and_wrong(
        classes_of(visit_answers(world, tied.policy, tied.theta), "rloo:2", tied.policy, tied.theta)
            .front()
            .classes);
    add("SEQ-31", "none", 0, total_variance(world, tied, "reinforce"), vine.answer,
        constant_baseline_variance(a, 0) * vine.answer, {});
    add("SEQ-31", "value", 0, total_variance(world, tied, "togo-value"), vine.answer, NAN, {});
    add("SEQ-31", "advantage", 0, vine.exact, vine.answer, NAN, {});
    for (const int G : {4, 16})
      add("SEQ-31", fmt::format("rloo:{}", G), 0, leave_one_out_variance(a, G), vine.answer,
          G == 4 ? 4 * total_variance(world, tied, "rloo:4") * vine.answer : NAN, {});
    for (const int K : rollouts)
      add("SEQ-31", "vine", K, vine.variance(K), vine.tokens(K), NAN,
          K == 1 || K == 3 || K == 9 ? std::optional(sample(world, tied, K, n)) : std::nullopt);
    // Variance times tokens is least where exact rest K^2 = guessed answer.
    const double best = std::sqrt(vine.guessed * vine.answer / (vine.exact * vine.rest));
    csv.add_some({{"world", "SEQ-31"}, {"method", "least"}, {"K", best}});
    text += fmt::format("SEQ-31: the product is least at {:.3f} rollouts\n", best);
  });

  for (const double J : returns)
    for (const int L : lengths)
      parts(csv, text, [&] {
        const std::string name = fmt::format("STEPS {} {}", L, J);
        const Vine vine = of_chain(L, J);
        std::optional<Vine> other;
        std::optional<Sampled> sampled;
        if (L <= visited) {
          const World world = make_world(fmt::format("steps:{}:{}", L, J), {}, {});
          const PolicyChoice pi = make_policy(world, "reference");
          other = by_answers(world, pi, total_variance(world, pi, "td"));
          if (J == 0.3 && L == 4) sampled = sample(world, pi, 3, n);
        }
        add(name, "advantage", 0, vine.exact, vine.answer, other ? other->exact * other->answer : NAN, {}, L,
            J);
        for (const int K : rollouts)
          add(name, "vine", K, vine.variance(K), vine.tokens(K),
              other ? other->variance(K) * other->tokens(K) : NAN, K == 3 ? sampled : std::nullopt, L, J);
        const double q = -std::expm1(std::log(J) / L);
        const RightAndWrong a{J, 2 * L * J * J * q * q, 2 * L * q * q, 0};
        add(name, "none", 0, constant_baseline_variance(a, 0), vine.answer, NAN, {}, L, J);
      });
  return publish("vineppo", directory, csv, check, std::move(text));
}

}  // namespace lowvar
