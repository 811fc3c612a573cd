#include "algorithms/estimators/divergences.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>
#include <vector>

#include "algorithms/estimators/gradient.h"

namespace lowvar {
namespace {

/// k3 = e^-delta - 1 + delta (Schulman 2020).
double k3(double delta) { return std::expm1(-delta) + delta; }

/// log pi(a_t|s_t) - log ref(a_t|s_t) of each row.
std::vector<double> log_ratios(const Trajectories& b, std::span<const double> log_pi) {
  expect(log_pi.size() == b.action.size(), "a divergence needs log pi of each of the ", b.action.size(),
         " steps, got ", log_pi.size());
  std::vector<double> delta(log_pi.begin(), log_pi.end());
  for (std::size_t r = 0; r < delta.size(); ++r) delta[r] -= b.log_reference(r, b.action[r]);
  return delta;
}

/// Weights of the scores of a trajectory from its delta [l], in place; `states` are those of its steps.
using OfTrajectory =
    std::function<void(std::span<double> delta, std::span<const int> states, const Constants& c)>;

Estimator weighing(std::string equation, std::string source, std::string bias, OfTrajectory weigh) {
  Estimator e{.equation = std::move(equation), .source = std::move(source), .bias = std::move(bias)};
  e.weighs_ratios = true;
  e.weights = [weigh = std::move(weigh)](const Trajectories& b, const Constants& c,
                                         std::span<const double> log_pi) {
    std::vector<double> delta = log_ratios(b, log_pi);
    for (int i = 0; i < b.size(); ++i) {
      const auto begin = static_cast<std::size_t>(b.begin(i)), n = static_cast<std::size_t>(b.length(i));
      weigh(std::span(delta).subspan(begin, n), std::span(b.state).subspan(begin, n), c);
    }
    return from_values<double>(b.rows(), 1, delta);
  };
  return e;
}

void each(std::span<double> x, double (*f)(double)) {
  for (double& delta : x) delta = f(delta);
}

void sum_to_go(std::span<double> x) {
  for (std::size_t t = x.size(); t-- > 1;) x[t - 1] += x[t];
}

void sum_of_all(std::span<double> x) {
  double total = 0;
  for (const double delta : x) total += delta;
  std::fill(x.begin(), x.end(), total);
}

/// sum_a pi(a|s_t) z(a|s_t) log pi/ref of each row, as the gradient of a function, [rows x 1]; what
/// multiplies the probabilities is held fixed.
Var<double> local_divergence(const Distribution<double>& pi, const Trajectories& b) {
  const Var<double> log_p = std::get<Categorical<double>>(pi).log_p;
  Array<double> delta = log_p.value();
  for (int r = 0; r < b.rows(); ++r)
    for (int a = 0; a < shape(delta).cols; ++a) delta(r, a) -= b.log_reference(r, a);
  return sum_rows(exp(log_p) * delta);
}

/// The gradient of each step's own divergence, and the score of each action times the divergences that
/// follow, if asked.
Estimator of_local(std::string equation, std::string source, std::string bias, bool future) {
  Estimator e{.equation = std::move(equation), .source = std::move(source), .bias = std::move(bias)};
  e.objective = [future](Tape<double>& tape, const Policy& policy, const std::vector<Var<double>>& theta,
                         const Trajectories& b, const Constants&) {
    const BatchRows<double> rows(b);
    const auto pi = rows.distribution(tape, policy, theta, 0, b.rows());
    Var<double> each = local_divergence(pi, b);
    if (future) {
      Array<double> ahead = each.value();
      for (int i = 0; i < b.size(); ++i) {
        double after = 0;
        for (int r = b.end(i); r-- > b.begin(i);) after += std::exchange(ahead(r, 0), after);
      }
      each = each + log_prob(pi, rows.actions(tape, 0, b.rows())) * ahead;
    }
    return each;
  };
  return e;
}

}  // namespace

Estimator less_divergence(Estimator e, const Estimator& kl, double beta) {
  e.needs_reference = e.weighs_ratios = true;
  e.weights = [of = e.weights, kl = kl.weights, beta](const Trajectories& b, const Constants& c,
                                                      std::span<const double> log_pi) {
    Array<double> psi = of(b, c, log_pi);
    const Array<double> penalty = kl(b, c, log_pi);
    for (std::size_t k = 0; k < psi.size(); ++k) psi.data()[k] -= beta * penalty.data()[k];
    return psi;
  };
  return e;
}

Estimator divergence(std::string_view variant) {
  const std::string partial = "what a token does to later divergences is left out";
  const auto made = [&]() -> Estimator {
    if (variant == "k1-reward")
      return weighing("g = D sum_t z_t,  D = sum_t d_t,  d_t = log pi/ref of the token",
                      "Liu et al. 2025 (2510.01555): k1 in the reward, which is k2 of the answer in the loss",
                      "", [](auto x, auto, const auto&) { sum_of_all(x); });
    if (variant == "k1-togo")
      return weighing("g = sum_t z_t sum_{k>=t} d_k", "Ziegler et al. 2019 (KL in the reward), causal", "",
                      [](auto x, auto, const auto&) { sum_to_go(x); });
    if (variant == "k1-togo-value")
      return weighing("g = sum_t z_t (sum_{k>=t} d_k - E[sum_{k>=t} d_k | s_t])",
                      "k1-togo with its exact value", "", [](auto x, auto states, const Constants& c) {
                        sum_to_go(x);
                        for (std::size_t t = 0; t < x.size(); ++t)
                          x[t] -= c.kl_to_go[static_cast<std::size_t>(states[t])];
                      });
    if (variant == "k1-token")
      return weighing("g = sum_t z_t d_t", "k1 of the same token as its reward", partial,
                      [](auto, auto, const auto&) {});
    if (variant == "k2-loss")
      return weighing("g = grad sum_t d_t^2 / 2 = sum_t z_t d_t", "Schulman 2020 (k2), differentiated",
                      partial, [](auto, auto, const auto&) {});
    if (variant == "k3-loss")
      return weighing("g = grad sum_t (e^-d_t - 1 + d_t) = sum_t z_t (1 - e^-d_t)",
                      "Shao et al. 2024 (2402.03300), eq. 4: GRPO's loss",
                      "it is the gradient of the other divergence, token by token; " + partial,
                      [](auto x, auto, const auto&) { each(x, [](double d) { return -std::expm1(-d); }); });
    if (variant == "k3-loss-sequence")
      return weighing("g = grad (e^-D - 1 + D) = (1 - e^-D) sum_t z_t,  D = sum_t d_t",
                      "Schulman 2020 (k3) of the whole answer, differentiated",
                      "it is the gradient of the other divergence, KL(ref || pi)",
                      [](auto x, auto, const auto&) {
                        sum_of_all(x);
                        each(x, [](double D) { return -std::expm1(-D); });
                      });
    if (variant == "k3-togo")
      return weighing(
          "g = sum_t z_t sum_{k>=t} (e^-d_k - 1 + d_k)", "k3 of the tokens as a reward",
          "a value's noise is taken for a reward: E of k3 is the divergence, its score-weighted mean is not "
          "the gradient",
          [](auto x, auto, const auto&) {
            each(x, k3);
            sum_to_go(x);
          });
    if (variant == "v32")
      return weighing(
          "g = grad sum_t r_t (e^-d_t - 1 + d_t) at r_t = 1 = sum_t z_t (k3(d_t) + 1 - e^-d_t)",
          "DeepSeek-V3.2 (2512.02556): k3 times the differentiable ratio", partial,
          [](auto x, auto, const auto&) { each(x, [](double d) { return k3(d) - std::expm1(-d); }); });
    if (variant == "full-vocabulary")
      return of_local("g = sum_t sum_a pi(a|s_t) z(a|s_t) log pi/ref(a|s_t)",
                      "each step's divergence over all tokens, differentiated", partial, false);
    return of_local("g = sum_t (sum_a pi z log pi/ref + z_t sum_{k>t} KL(s_k))",
                    "Amini et al. 2025 (2504.10637): Rao-Blackwellised", "", true);
  };
  Estimator e = made();
  e.of_divergence = true;
  e.needs_constants = variant == "k1-togo-value";
  return e;
}

}  // namespace lowvar
