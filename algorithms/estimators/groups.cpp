#include "algorithms/estimators/groups.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <numeric>

#include "algorithms/data/returns.h"

namespace lowvar {
namespace {

using Numbers = std::span<const double>;

double sum_of(Numbers x) { return std::accumulate(x.begin(), x.end(), 0.0); }

void mean_advantage(const Group& g, Numbers, std::span<double> A) {
  std::copy(g.R.begin(), g.R.end(), A.begin());
  centre(A);
}

void leave_one_out(const Group& g, Numbers, std::span<double> A) {
  mean_advantage(g, {}, A);
  const auto G = static_cast<double>(A.size());
  for (double& each : A) each *= G / (G - 1);
}

void over_deviation(const Group& g, Numbers, std::span<double> A) {
  mean_advantage(g, {}, A);
  double square = 0;
  for (const double each : A) square += each * each;
  if (square == 0) return;
  const double deviation = std::sqrt(square / static_cast<double>(A.size() - 1));
  for (double& each : A) each /= deviation;
}

/// Less the mean of R by length, counted from the first of them: 0 where all are equal.
void length_weighted(const Group& g, Numbers, std::span<double> A) {
  double tokens = 0, mean = 0;
  for (std::size_t i = 0; i < A.size(); ++i) tokens += g.length[i];
  for (std::size_t i = 0; i < A.size(); ++i) mean += g.length[i] * (g.R[i] - g.R[0]) / tokens;
  for (std::size_t i = 0; i < A.size(); ++i) A[i] = (g.R[i] - g.R[0]) - mean;
}

void length_weighted_leave_one_out(const Group& g, Numbers, std::span<double> A) {
  for (std::size_t i = 0; i < A.size(); ++i) {
    double mean = 0, total = 0;
    for (std::size_t j = 0; j < A.size(); ++j)
      if (j != i) mean += g.length[j] * (g.R[j] - g.R[i]), total += g.length[j];
    A[i] = total > 0 ? -mean / total : 0;
  }
}

void whitened_by_token(const Group& g, Numbers, std::span<double> A) {
  length_weighted(g, {}, A);
  double square = 0, tokens = 0;
  for (std::size_t i = 0; i < A.size(); ++i) square += g.length[i] * A[i] * A[i], tokens += g.length[i];
  const double deviation = std::sqrt((tokens > 1 ? square / (tokens - 1) : 0) + 1e-8);
  for (double& each : A) each /= deviation;
}

void over_mean(const Group& g, Numbers, std::span<double> A) {
  const double mean = sum_of(g.R) / static_cast<double>(A.size());
  for (std::size_t i = 0; i < A.size(); ++i) A[i] = mean == 0 ? 0 : g.R[i] / mean;
}

void over_share_of_nonzero(const Group& g, Numbers, std::span<double> A) {
  mean_advantage(g, {}, A);
  const auto nonzero = std::count_if(g.R.begin(), g.R.end(), [](double r) { return r != 0; });
  for (double& each : A) each *= nonzero ? static_cast<double>(A.size()) / static_cast<double>(nonzero) : 0;
}

void best_minus_second(const Group& g, Numbers, std::span<double> A) {
  const auto best = static_cast<std::size_t>(std::max_element(g.R.begin(), g.R.end()) - g.R.begin());
  double second = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < A.size(); ++i)
    if (i != best) second = std::max(second, g.R[i]);
  std::fill(A.begin(), A.end(), 0);
  A[best] = static_cast<double>(A.size()) * (g.R[best] - second);
}

/// rho(n, c, k) = 1 - C(n-c, k) / C(n, k): the share of sets of k among n of which c are right that have a
/// right one.
double pass_at(int n, int c, int k) {
  double none = 1;
  for (int j = 0; j < k; ++j) none *= std::max(0.0, static_cast<double>(n - c - j) / (n - j));
  return 1 - none;
}

void pass_at_k(const Group& g, Numbers arguments, std::span<double> A) {
  const int n = static_cast<int>(A.size()), k = static_cast<int>(arguments[1]);
  const int form = static_cast<int>(arguments[2]);  // basic, loo, loo1
  const auto right = [&](std::size_t i) { return g.R[i] > 0; };
  int c = 0;
  for (std::size_t i = 0; i < A.size(); ++i) c += right(i);
  for (std::size_t i = 0; i < A.size(); ++i) {
    const int others = c - right(i);
    A[i] = right(i) ? 1 : pass_at(n - 1, others, k - 1);
    if (form == 1) A[i] -= pass_at(n - 1, others, k);
    if (form == 2) A[i] -= pass_at(n - 1, others, k - 1);
    A[i] *= k;  // k/n a sample, in a mean over n
  }
}

void signed_reward(const Group& g, Numbers, std::span<double> A) {
  for (std::size_t i = 0; i < A.size(); ++i) A[i] = 2 * g.R[i] - 1;
}

const std::vector<RelativeAdvantage>& advantages() {
  using enum FamilyId;
  static const std::vector<RelativeAdvantage> all = {
      {mean, "R_i - mean_j R_j", "Liu et al. 2025 (Dr. GRPO, 2503.20783), section 3.2",
       "the group's mean counts its own answer, which shrinks the gradient by 1 - 1/G", mean_advantage},
      {rloo, "R_i - 1/(G-1) sum_{j!=i} R_j", "Kool et al. 2019; Ahmadian et al. 2024 (2402.14740)", "",
       leave_one_out},
      {grpo, "(R_i - mean_j R_j) / sd_j R_j,  0 where all are equal",
       "Shao et al. 2024 (2402.03300), section 4.1.2 (outcome supervision)",
       "mean and deviation are those of the group itself", over_deviation},
      {opo, "R_i - sum_j l_j R_j / sum_j l_j", "Hao et al. 2025 (OPO, 2505.23585), as in verl",
       "the baseline counts its own answer, by its length", length_weighted},
      {opo_loo, "R_i - sum_{j!=i} l_j R_j / sum_{j!=i} l_j",
       "Hao et al. 2025 (2505.23585), without the answer itself", "", length_weighted_leave_one_out},
      {whiten, "(R_i - m) / sqrt(v + 1e-8),  m and v over the tokens of the group",
       "Hu et al. 2025 (REINFORCE++, 2501.03262), as in verl, for one prompt",
       "mean and deviation are those of the group's own tokens", whitened_by_token},
      {maxrl, "R_i / mean_j R_j,  0 where none is right", "MaxRL (2602.02710)",
       "it climbs another objective, the likelihood of some right answer among G", over_mean},
      {gpg, "(R_i - mean_j R_j) G / #{j: R_j != 0}", "Chu et al. 2025 (GPG, 2504.02546), as in verl",
       "it climbs another objective, the likelihood of some right answer among G - 1", over_share_of_nonzero},
      {best_second, "G (R_i - second best) for the best, else 0",
       "Chow et al. 2025 (2503.19595), as in verl, no deviation",
       "it climbs another objective, the best of G", best_minus_second},
      {pkpo,
       "K rho(G-1, c_{-i}, K-1) where wrong, K where right; loo: - K rho(G-1, c_{-i}, K), loo1: - K rho(G-1, "
       "c_{-i}, K-1);  rho(n, c, k) = 1 - C(n-c, k)/C(n, k)",
       "Walder & Karkhanis 2025 (PKPO, 2505.15201)", "it climbs pass@K", pass_at_k},
      {topr, "2 R_i - 1, times min(rho_i, 1) where negative", "Le Roux et al. 2025 (TOPR, 2503.14286)",
       "rewards are 2 r - 1, whose gradient is twice that of r", signed_reward},
  };
  return all;
}

const std::vector<Aggregation>& aggregations() {
  using enum SuffixId;
  static const std::vector<Aggregation> all = {
      {outside, "1/G sum_i A_i sum_t z_it", "Williams 1992",
       [](const Group& g, int) { return 1.0 / static_cast<double>(g.R.size()); }},
      {seq_mean, "1/G sum_i A_i / l_i sum_t z_it", "Shao et al. 2024, eq. 3",
       [](const Group& g, int i) {
         return 1.0 / (static_cast<double>(g.R.size()) * std::max(1, g.length[static_cast<std::size_t>(i)]));
       }},
      {token_mean, "sum_i A_i sum_t z_it / sum_i l_i", "Yu et al. 2025 (DAPO, 2503.14476), eq. 8",
       [](const Group& g, int) {
         return 1.0 / std::max(1, std::accumulate(g.length.begin(), g.length.end(), 0));
       }},
      {constant, "1/(G longest) sum_i A_i sum_t z_it", "Liu et al. 2025 (Dr. GRPO, 2503.20783), section 3.2",
       [](const Group& g, int) { return 1.0 / (static_cast<double>(g.R.size()) * g.longest); }},
  };
  return all;
}

// Importance weights of a trajectory: r_t = exp(log_rho_t), rho = prod_t r_t.

double geometric(Numbers log_rho) {
  return std::exp(sum_of(log_rho) / static_cast<double>(std::max<std::size_t>(1, log_rho.size())));
}

/// 0 where a step up goes beyond 1 + hi already, or one down beyond 1 - lo.
double clipped(double ratio, double psi, double lo, double hi) {
  return (psi > 0 && ratio > 1 + hi) || (psi < 0 && ratio < 1 - lo) ? 0 : ratio;
}

template <class F>
void each_token(Numbers log_rho, Numbers psi, std::span<double> w, F&& f) {
  for (std::size_t t = 0; t < w.size(); ++t) w[t] = f(std::exp(log_rho[t]), psi[t]);
}

std::deque<ImportanceWeight>& weights() {
  static std::deque<ImportanceWeight> all = {
      {"+is-none", "+is-none", "1", "data of another policy taken as one's own",
       "data of another policy are taken as one's own",
       [](Numbers, Numbers, Numbers, std::span<double> w) { std::fill(w.begin(), w.end(), 1); }},
      {"+is-token", "+is-token", "r_t", "Schulman et al. 2017, eq. 6, without a clip",
       "what comes before and after a token is weighed as the policy that acted does",
       [](Numbers log_rho, Numbers psi, Numbers, std::span<double> w) {
         each_token(log_rho, psi, w, [](double r, double) { return r; });
       }},
      {"+is-sequence[:C]", "+is-sequence", "rho, or min(rho, C)",
       "Precup, Sutton & Singh 2000; truncated: Ionides 2008", "",
       [](Numbers log_rho, Numbers, Numbers x, std::span<double> w) {
         const double rho = std::exp(sum_of(log_rho));
         std::fill(w.begin(), w.end(), x.empty() ? rho : std::min(rho, x[0]));
       }},
      {"+is-cumulative", "+is-cumulative", "prod_{k<=t} r_k",
       "Precup, Sutton & Singh 2000 (per decision); CTPO (2605.07331)",
       "what follows a token is weighed as the policy that acted does",
       [](Numbers log_rho, Numbers, Numbers, std::span<double> w) {
         double so_far = 0;
         for (std::size_t t = 0; t < w.size(); ++t) w[t] = std::exp(so_far += log_rho[t]);
       }},
      {"+is-geometric", "+is-geometric", "rho^(1/l)", "Zheng et al. 2025 (GSPO, 2507.18071), without a clip",
       "the l-th root of the answer's ratio stands for the ratio",
       [](Numbers log_rho, Numbers, Numbers, std::span<double> w) {
         std::fill(w.begin(), w.end(), geometric(log_rho));
       }},
      {"+mask:C", "+mask:2", "rho where it is at most C, else 0", "TRL's sequence mask",
       "answers with a ratio above C are left out",
       [](Numbers log_rho, Numbers, Numbers x, std::span<double> w) {
         const double rho = std::exp(sum_of(log_rho));
         std::fill(w.begin(), w.end(), rho > x[0] ? 0 : rho);
       }},
      {"+clip:LO:HI", "+clip:0.2:0.28", "r_t, but 0 where A > 0 and r_t > 1 + HI, or A < 0 and r_t < 1 - LO",
       "Schulman et al. 2017, eq. 7; with two bounds Yu et al. 2025 (DAPO), eq. 8",
       "a token is weighed by its own ratio, and clipped ones have no slope",
       [](Numbers log_rho, Numbers psi, Numbers x, std::span<double> w) {
         each_token(log_rho, psi, w, [&](double r, double A) { return clipped(r, A, x[0], x[1]); });
       }},
      {"+cispo:HI", "+cispo:1.28", "min(r_t, HI)", "MiniMax 2025 (CISPO, 2506.13585), eq. 4",
       "a token is weighed by its own ratio, truncated",
       [](Numbers log_rho, Numbers psi, Numbers x, std::span<double> w) {
         each_token(log_rho, psi, w, [&](double r, double) { return std::min(r, x[0]); });
       }},
      {"+gspo[:LO:HI]", "+gspo:0.0003:0.0004",
       "s = rho^(1/l), but 0 where A > 0 and s > 1 + HI, or A < 0 and s < 1 - LO",
       "Zheng et al. 2025 (GSPO, 2507.18071), eq. 5",
       "the l-th root of the answer's ratio stands for the ratio, and clipped ones have no slope",
       [](Numbers log_rho, Numbers psi, Numbers x, std::span<double> w) {
         const double s = geometric(log_rho);
         for (std::size_t t = 0; t < w.size(); ++t) w[t] = x.empty() ? s : clipped(s, psi[t], x[0], x[1]);
       }},
  };
  return all;
}

/// Weights of TOPR: 1 for what is to become likelier, min(rho, 1) for the rest.
const ImportanceWeight& tapered() {
  static const ImportanceWeight of_topr = {"",
                                           "",
                                           "1 where A > 0, else min(rho, 1)",
                                           "Le Roux et al. 2025 (TOPR, 2503.14286)",
                                           "right answers are weighed as the policy that acted does",
                                           [](Numbers log_rho, Numbers psi, Numbers, std::span<double> w) {
                                             const double rho = std::exp(sum_of(log_rho));
                                             for (std::size_t t = 0; t < w.size(); ++t)
                                               w[t] = psi[t] > 0 ? 1 : std::min(rho, 1.0);
                                           }};
  return of_topr;
}

/// f(first trajectory, group) for each group of G in the batch.
template <class F>
void for_each_group(const Trajectories& batch, const Constants& c, int G, F&& f) {
  expect(batch.size() % G == 0, "groups of ", G, " trajectories need a multiple of ", G, ", got ",
         batch.size());
  std::vector<double> R;
  std::vector<int> length;
  for (int first = 0; first < batch.size(); first += G) {
    R.clear(), length.clear();
    for (int i = first; i < first + G; ++i) {
      R.push_back(discounted_return(batch.rewards(i), c.gamma, batch.after(i)));
      length.push_back(batch.length(i));
    }
    f(first, Group{R, length, batch.longest});
  }
}

}  // namespace

const RelativeAdvantage& relative_advantage(FamilyId id) {
  return *std::find_if(advantages().begin(), advantages().end(),
                       [&](const RelativeAdvantage& a) { return a.id == id; });
}

const Aggregation& aggregation(const UsedSuffix* suffix) {
  if (!suffix) return aggregations().front();
  return *std::find_if(aggregations().begin(), aggregations().end(),
                       [&](const Aggregation& a) { return a.id == suffix->suffix->id; });
}

const ImportanceWeight& importance_weight(const UsedSuffix& suffix) {
  return *std::find_if(weights().begin(), weights().end(),
                       [&](const ImportanceWeight& w) { return w.pattern == suffix.suffix->pattern; });
}

void add_importance_weight(const ImportanceWeight& weight) {
  add_suffix({.pattern = weight.pattern,
              .example = weight.example,
              .kind = SuffixKind::importance,
              .of = {EstimatorKind::whole, EstimatorKind::causal},
              .refusal = "weighs no scores of what was done",
              .arguments = weight.arguments,
              .rule = weight.rule});
  weights().push_back(weight);
}

Estimator weighed_score(std::string_view estimator, double sign) {
  const EstimatorName name = parse_estimator(estimator);
  const auto constant = [](double x) {
    return [x](const Trajectories& b, const Constants&) { return full<double>(b.rows(), 1, x); };
  };
  Estimator e;
  e.weights = constant(sign);
  if (name.id() == FamilyId::topr) e = with_importance(std::move(e), tapered(), {});
  if (const UsedSuffix* weight = name.suffix(SuffixKind::importance))
    e = with_importance(std::move(e), importance_weight(*weight), weight->arguments);
  e.weights = [of = e.weights, sign](const Trajectories& b, const Constants& c,
                                     std::span<const double> log_pi) {
    Array<double> psi = of(b, c, log_pi);
    for (double& each : values(psi)) each *= sign;
    return psi;
  };
  return e;
}

Estimator of_group(const RelativeAdvantage& advantage, std::span<const double> arguments) {
  Estimator e{.equation = "g = 1/G sum_i A_i sum_t z_it,  A_i = " + advantage.equation,
              .source = advantage.source,
              .bias = advantage.bias};
  e.weights = [advantage, x = std::vector<double>(arguments.begin(), arguments.end())](const Trajectories& b,
                                                                                       const Constants& c) {
    Array<double> psi = zeros<double>(b.rows(), 1);
    std::vector<double> A(static_cast<std::size_t>(x[0]));
    for_each_group(b, c, static_cast<int>(x[0]), [&](int first, const Group& group) {
      advantage.A(group, x, A);
      for (std::size_t i = 0; i < A.size(); ++i)
        for (int r = b.begin(first + static_cast<int>(i)); r < b.end(first + static_cast<int>(i)); ++r)
          psi(r, 0) = A[i];
    });
    return psi;
  };
  if (advantage.id == FamilyId::topr) e = with_importance(std::move(e), tapered(), {});
  return e;
}

Estimator with_aggregation(Estimator e, const Aggregation& how) {
  e.equation += "   (added up as " + how.equation + ")";
  e.source += "; " + how.source;
  e.bias += std::string(e.bias.empty() ? "" : "; ") + "steps are weighed by lengths";
  e.weights = [of = e.weights, how, G = std::max(1, e.unit)](const Trajectories& b, const Constants& c,
                                                             std::span<const double> log_pi) {
    Array<double> psi = of(b, c, log_pi);
    for_each_group(b, c, G, [&](int first, const Group& group) {
      for (int i = 0; i < G; ++i)
        for (int r = b.begin(first + i); r < b.end(first + i); ++r)
          for (double& each : row(psi, r)) each *= G * how.c(group, i);  // the unit's mean divides by G
    });
    return psi;
  };
  return e;
}

Estimator with_dynamic_sampling(Estimator e) {
  e.equation += "   (groups of equal returns drawn again)";
  e.source += "; Yu et al. 2025 (DAPO, 2503.14476), section 3.2";
  e.bias += std::string(e.bias.empty() ? "" : "; ") + "groups of equal returns are left out";
  e.draws_again = true;
  return e;
}

Estimator with_importance(Estimator e, const ImportanceWeight& weight, std::span<const double> arguments) {
  e.equation += "   (each z_t times w_t = " + weight.equation + ",  r = pi/mu)";
  e.source += "; " + weight.source;
  e.off_policy = true;
  e.weighs_ratios = true;
  e.bias_off_policy = e.bias;
  if (weight.bias.empty() && e.needs_critic && !e.any_critic)
    e.bias_off_policy +=
        std::string(e.bias.empty() ? "" : "; ") + "its critic is that of the policy that acts";
  if (!weight.bias.empty()) e.bias_off_policy += (e.bias.empty() ? "" : "; ") + weight.bias;
  if (!weight.pattern.empty()) e.where = weight.where;
  e.weights = [of = e.weights, f = weight.w, x = std::vector<double>(arguments.begin(), arguments.end())](
                  const Trajectories& b, const Constants& c, std::span<const double> log_pi) {
    expect(log_pi.size() == b.log_mu.size(), "importance weights need log pi of each of the ",
           b.log_mu.size(), " steps, got ", log_pi.size());
    Array<double> psi = of(b, c, log_pi);
    std::vector<double> log_rho, w;
    for (int i = 0; i < b.size(); ++i) {
      const auto begin = static_cast<std::size_t>(b.begin(i)), n = static_cast<std::size_t>(b.length(i));
      log_rho.resize(n), w.resize(n);
      for (std::size_t t = 0; t < n; ++t) log_rho[t] = log_pi[begin + t] - b.log_mu[begin + t];
      f(log_rho, std::span(psi.data() + begin, n), x, w);
      for (std::size_t t = 0; t < n; ++t) psi.data()[begin + t] *= w[t];
    }
    return psi;
  };
  return e;
}

}  // namespace lowvar
