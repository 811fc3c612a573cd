// The zoo: each estimator of the conventions is a few lines of composition.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <optional>

#include "algorithms/data/returns.h"
#include "algorithms/estimators/estimator.h"

namespace lowvar {
namespace {

/// [rows x 1] filled trajectory by trajectory: f(i, span of its rows).
template <class F>
Array<double> by_trajectory(const Trajectories& batch, F&& f) {
  Array<double> out = zeros<double>(batch.rows(), 1);
  for (int i = 0; i < batch.size(); ++i)
    f(i, std::span<double>(out.data() + batch.begin(i), static_cast<std::size_t>(batch.length(i))));
  return out;
}

/// Whole-trajectory weights: f(R) on every step.
template <class F>
Array<double> of_return(const Trajectories& batch, const Constants& c, F&& f) {
  return by_trajectory(batch, [&](int i, std::span<double> psi) {
    std::fill(psi.begin(), psi.end(), f(discounted_return(batch.rewards(i), c.gamma)));
  });
}

Array<double> togo(const Trajectories& batch, const Constants& c) {
  return by_trajectory(batch,
                       [&](int i, std::span<double> psi) { returns_to_go(batch.rewards(i), c.gamma, psi); });
}

std::span<const double> steps_of(const std::vector<double>& rows, const Trajectories& batch, int i) {
  return {rows.data() + batch.begin(i), static_cast<std::size_t>(batch.length(i))};
}

/// f(deltas in place) for each trajectory.
template <class F>
Array<double> of_td_errors(const Trajectories& batch, const Constants& c, F&& f) {
  return by_trajectory(batch, [&](int i, std::span<double> psi) {
    td_errors(batch.rewards(i), steps_of(batch.value, batch, i), steps_of(batch.next_value, batch, i),
              c.gamma, psi);
    f(psi);
  });
}

void expect_action_values(const Trajectories& batch, std::string_view name) {
  expect(shape(batch.action_values).rows == batch.rows(), name, " needs a critic of Q(s, a) for each of the ",
         batch.rows(), " steps, got ", shape(batch.action_values).rows);
}

Estimator reinforce() {
  return {.equation = "g = R sum_t z_t",
          .source = "Williams 1992, eq. 11",
          .weights = [](const Trajectories& b, const Constants& c) {
            return of_return(b, c, [](double R) { return R; });
          }};
}

Estimator reinforce_mean() {
  return {.equation = "g = (R - J) sum_t z_t",
          .source = "Williams 1992, eq. 4, with the reinforcement baseline b = E R",
          .needs_constants = true,
          .weights = [](const Trajectories& b, const Constants& c) {
            return of_return(b, c, [&](double R) { return R - c.J; });
          }};
}

Estimator reinforce_optimal() {
  return {.equation = "g = (R - b*) sum_t z_t,  b* = E[R S'S] / E[S'S],  S = sum_t z_t",
          .source = "Weaver & Tao 2001, theorem 1; Greensmith, Bartlett & Baxter 2004, section 4",
          .needs_constants = true,
          .weights = [](const Trajectories& b, const Constants& c) {
            return of_return(b, c, [&](double R) { return R - c.b_star; });
          }};
}

Estimator reinforce_per_parameter() {
  return {.equation = "g_i = (R - b_i) S_i,  b_i = E[S_i^2 R] / E[S_i^2]",
          .source = "Peters & Schaal 2008, eq. 15",
          .needs_constants = true,
          .weightings = 2,
          .weights =
              [](const Trajectories& b, const Constants& c) {
                const Array<double> R = of_return(b, c, [](double each) { return each; });
                Array<double> psi = full<double>(b.rows(), 2, 1.0);
                for (int r = 0; r < b.rows(); ++r) psi(r, 0) = R(r, 0);
                return psi;
              },
          .combine =
              [](std::span<const double> gradients, const Constants& c, std::span<double> g) {
                const auto RS = gradients.first(g.size()), S = gradients.last(g.size());
                for (std::size_t i = 0; i < g.size(); ++i) g[i] = RS[i] - c.b_i[i] * S[i];
              }};
}

Estimator reward_to_go() {
  return {.equation = "g = sum_t gamma^t z_t G_t,  G_t = sum_{k>=t} gamma^(k-t) r_k",
          .source = "Sutton et al. 2000, theorem 1; Baxter & Bartlett 2001 (GPOMDP)",
          .weights = togo};
}

Estimator reward_to_go_normalised() {
  return {.equation = "g = sum_t gamma^t z_t (G_t - mean_k G_k) / sd_k G_k,  over the steps of the episode",
          .source = "Yoon 2018 (REINFORCE with normalised returns)",
          .bias = "mean and deviation are those of the episode's own returns",
          .weights = [](const Trajectories& b, const Constants& c) {
            return by_trajectory(b, [&](int i, std::span<double> psi) {
              returns_to_go(b.rewards(i), c.gamma, psi);
              standardise(psi);
            });
          }};
}

Estimator reward_to_go_time() {
  return {.equation = "g = sum_t gamma^t z_t (G_t - E[G_t | running at t])",
          .source = "Peters & Schaal 2008, section 3.2; \"No VF\" in Schulman et al. 2016, figure 2",
          .needs_constants = true,
          .weights = [](const Trajectories& b, const Constants& c) {
            Array<double> psi = togo(b, c);
            for (int i = 0; i < b.size(); ++i)
              for (int t = 0; t < b.length(i); ++t)
                psi(b.begin(i) + t, 0) -= c.mean_return_to_go[static_cast<std::size_t>(t)];
            return psi;
          }};
}

Estimator reward_to_go_linear() {
  return {.equation = "g = sum_t gamma^t z_t (G_t - w'phi_t),  w the least-squares fit of G_t on phi_t",
          .source = "Duan et al. 2016 (linear feature baseline); phi_t at linear_features",
          .needs_constants = true,
          .weights = [](const Trajectories& b, const Constants& c) {
            expect(!c.linear.empty(),
                   "togo-linear has a weight for each state, and is fitted where there are at most 1000");
            const int states = b.state.empty() ? 0 : static_cast<int>(c.linear.size()) - 3;
            Array<double> psi = togo(b, c);
            for (int i = 0; i < b.size(); ++i)
              for (int t = 0; t < b.length(i); ++t) {
                const auto phi = linear_features(b, b.begin(i) + t, t, states);
                psi(b.begin(i) + t, 0) -= std::inner_product(phi.begin(), phi.end(), c.linear.begin(), 0.0);
              }
            return psi;
          }};
}

Estimator reward_to_go_optimal() {
  return {.equation = "g = sum_t gamma^t z_t (G_t - b_t(s_t)),  b_t(s) = E[|z_t|^2 Q_t | s] / E[|z_t|^2 | s]",
          .source = "Greensmith, Bartlett & Baxter 2004, section 4",
          .needs_constants = true,
          .needs_states = true,
          .weights = [](const Trajectories& b, const Constants& c) {
            Array<double> psi = togo(b, c);
            for (int i = 0; i < b.size(); ++i)
              for (int t = 0; t < b.length(i); ++t)
                psi(b.begin(i) + t, 0) -= c.per_state(t, b.state[static_cast<std::size_t>(b.begin(i) + t)]);
            return psi;
          }};
}

/// f(returns of a group of N, in place) for each group of consecutive trajectories; its result on every step.
template <class F>
Array<double> of_group_returns(const Trajectories& batch, const Constants& c, int N, F&& f) {
  expect(batch.size() % N == 0, "groups of ", N, " trajectories need a multiple of ", N, ", got ",
         batch.size());
  std::vector<double> R;
  for (int i = 0; i < batch.size(); ++i) R.push_back(discounted_return(batch.rewards(i), c.gamma));
  for (int i = 0; i < batch.size(); i += N)
    f(std::span(R).subspan(static_cast<std::size_t>(i), static_cast<std::size_t>(N)));
  return by_trajectory(batch, [&](int i, std::span<double> psi) {
    std::fill(psi.begin(), psi.end(), R[static_cast<std::size_t>(i)]);
  });
}

Estimator leave_one_out(int N) {
  return {
      .equation = "g = 1/N sum_i (R_i - 1/(N-1) sum_{j!=i} R_j) sum_t z_{i,t},  N trajectories of one start",
      .source = "Kool et al. 2019; Ahmadian et al. 2024",
      .unit = N,
      .weights = [N](const Trajectories& b, const Constants& c) {
        return of_group_returns(b, c, N, [N](std::span<double> R) {
          const double mean = std::accumulate(R.begin(), R.end(), 0.0) / N;
          for (double& each : R) each = (each - mean) * N / (N - 1);
        });
      }};
}

Estimator group_relative(int N) {
  return {
      .equation = "g = 1/N sum_i (R_i - mean_j R_j) / sd_j R_j sum_t z_{i,t},  N trajectories of one start",
      .source = "Shao et al. 2024, section 4.1.2 (outcome supervision)",
      .bias = "mean and deviation are those of the group itself",
      .unit = N,
      .weights = [N](const Trajectories& b, const Constants& c) {
        return of_group_returns(b, c, N, standardise);
      }};
}

Estimator reward_to_go_value() {
  return {.equation = "g = sum_t gamma^t z_t (G_t - V_t(s_t))",
          .source = "Sutton & Barto 2018, eq. 13.11; Schulman et al. 2016, eq. 1 (5)",
          .needs_critic = true,
          .weights = [](const Trajectories& b, const Constants& c) {
            Array<double> psi = togo(b, c);
            for (int r = 0; r < b.rows(); ++r) psi(r, 0) -= b.value[static_cast<std::size_t>(r)];
            return psi;
          }};
}

Estimator td() {
  return {.equation = "g = sum_t gamma^t z_t delta_t,  delta_t = r_t + gamma V_{t+1}(s_{t+1}) - V_t(s_t)",
          .source =
              "Schulman et al. 2016, eq. 1 (6); the one-step actor-critic of Sutton & Barto 2018, eq. 13.14",
          .needs_critic = true,
          .weights = [](const Trajectories& b, const Constants& c) {
            return of_td_errors(b, c, [](std::span<double>) {});
          }};
}

Estimator n_step(int K) {
  return {.equation = "g = sum_t gamma^t z_t sum_{i<K} gamma^i delta_{t+i}",
          .source = "Mnih et al. 2016, section 4 (A3C's advantage); Schulman et al. 2016, eq. 14",
          .needs_critic = true,
          .weights = [K](const Trajectories& b, const Constants& c) {
            return of_td_errors(b, c, [&](std::span<double> delta) { nstep(delta, c.gamma, K); });
          }};
}

Estimator generalised_advantage(double lambda) {
  return {.equation = "g = sum_t gamma^t z_t sum_i (gamma lambda)^i delta_{t+i}",
          .source = "Schulman et al. 2016, eqs. 16 and 19",
          .needs_critic = true,
          .weights = [lambda](const Trajectories& b, const Constants& c) {
            return of_td_errors(b, c, [&](std::span<double> delta) { gae(delta, c.gamma, lambda); });
          }};
}

Estimator action_value() {
  return {.equation = "g = sum_t gamma^t z_t Q_t(s_t, a_t)",
          .source = "Sutton et al. 2000, theorem 1; Schulman et al. 2016, eq. 1 (4)",
          .needs_critic = true,
          .needs_action_values = true,
          .weights = [](const Trajectories& b, const Constants&) {
            expect_action_values(b, "q-value");
            Array<double> psi = zeros<double>(b.rows(), 1);
            for (int r = 0; r < b.rows(); ++r)
              psi(r, 0) = b.action_values(r, b.action[static_cast<std::size_t>(r)]);
            return psi;
          }};
}

Estimator all_action() {
  return {.equation = "g = sum_t gamma^t sum_a pi(a|s_t) grad log pi(a|s_t) Q_t(s_t, a)",
          .source = "Sutton et al. 2000, theorem 1; Ciosek & Whiteson 2020 (expected policy gradients)",
          .needs_critic = true,
          .needs_action_values = true,
          .all_actions = true,
          .weights = [](const Trajectories& b, const Constants&) {
            expect_action_values(b, "all-action");
            return b.action_values;
          }};
}

/// R of each trajectory, [N x 1], as a function of theta: first state and noise (a - mean) / sigma stay as
/// they were, actions and states move.
Var<double> pathwise_return(Tape<double>& tape, const Policy& policy, const std::vector<Var<double>>& theta,
                            const Trajectories& b, const Constants& c) {
  expect(c.dynamics != nullptr, "pathwise needs dynamics that can be differentiated");
  const Lqg& world = *c.dynamics;
  expect(!is_stochastic(world), "pathwise needs dynamics without noise of their own");
  const int N = b.size(), T = N ? b.length(0) : 0;
  const auto at_step = [&](const Array<double>& rows, int t) {
    Array<double> out = zeros<double>(N, shape(rows).cols);
    for (int i = 0; i < N; ++i)
      std::copy_n(row(rows, b.begin(i) + t).begin(), shape(rows).cols, row(out, i).begin());
    return out;
  };
  const auto A = tape.constant(world.A), B = tape.constant(world.B), Q_s = tape.constant(world.Q_s),
             Q_a = tape.constant(world.Q_a);
  const auto quadratic = [](Var<double> x, Var<double> Q) { return sum_rows(matmul(x, Q) * x); };
  const std::vector<int> first(b.offset.begin(), b.offset.end() - 1);
  Var<double> s = gather(tape.data(b.observation), first), total;
  double discount = 1;
  for (int t = 0; t < T; ++t, discount *= c.gamma) {
    const auto pi = std::get<DiagGaussian<double>>(policy(theta, {}, s));
    const Var<double> sigma = exp(pi.log_std);
    const Array<double> noise = ((at_step(b.action_vector, t) - pi.mean) / sigma).value();
    const Var<double> a = pi.mean + sigma * noise;
    s = matmul_nt(s, A) + matmul_nt(a, B);
    const Var<double> r = discount * -(quadratic(s, Q_s) + quadratic(a, Q_a));
    total = t ? total + r : r;
  }
  return total;
}

Estimator path_derivative() {
  return {.equation = "g = dR/dtheta along s_{t+1} = f(s_t, a_t) + w_t, a_t = mean(s_t) + sigma eps_t",
          .source = "Heess et al. 2015 (SVG(inf)); Mohamed et al. 2020, section 5",
          .needs_dynamics = true,
          .objective = pathwise_return};
}

Estimator v_trace(double rho_bar, double c_bar) {
  return {.equation =
              "g = sum_t gamma^t z_t min(RHO, rho_t) (r_t + gamma v_{t+1} - V_t(s_t)),  v_t V-trace's "
              "target,  rho = pi/mu",
          .source = "Espeholt et al. 2018, eq. 1 and section 4.2",
          .bias = std::min(rho_bar, c_bar) < 1 ? "ratios are truncated below 1" : "",
          .needs_critic = true,
          .off_policy = true,
          .weights = [=](const Trajectories& b, const Constants& c, std::span<const double> log_pi) {
            expect(log_pi.size() == b.log_mu.size(), "V-trace needs log pi of each of the ", b.log_mu.size(),
                   " steps, got ", log_pi.size());
            std::vector<double> rho;
            for (std::size_t r = 0; r < b.log_mu.size(); ++r)
              rho.push_back(std::exp(log_pi[r] - b.log_mu[r]));
            Array<double> psi = of_td_errors(b, c, [](std::span<double>) {});
            for (int i = 0; i < b.size(); ++i)
              vtrace({psi.data() + b.begin(i), static_cast<std::size_t>(b.length(i))}, steps_of(rho, b, i),
                     c.gamma, rho_bar, c_bar);
            return psi;
          }};
}

/// The discount stays outside the clip, which compares rho A with a clipped rho A of the same sign.
Estimator clipped_surrogate(double epsilon) {
  Estimator e = generalised_advantage(0.95);
  e.where = std::source_location::current();
  e.equation =
      "g = grad sum_t gamma^t min(rho_t A_t, clip(rho_t, 1-eps, 1+eps) A_t),  rho = pi/mu,  A = gae:0.95";
  e.source = "Schulman et al. 2017, eq. 7";
  e.off_policy = true;
  e.surrogate = ppo_clip(epsilon);
  return e;
}

/// The number after the colon, all of it; nullopt where there is none or it is something else.
template <class N>
std::optional<N> number(std::string_view text) {
  N value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

void add_bias(Estimator& e, const char* why) {
  if (!e.bias.empty()) e.bias += "; ";
  e.bias += why;
}

/// Advantages of the whole batch, minus their mean, over their standard deviation; gamma^t stays outside.
Estimator with_whitening(Estimator e) {
  e.equation += "   (advantages whitened: minus their mean over the batch, over their standard deviation)";
  e.source += "; Huang et al. 2022, detail 7";
  add_bias(e, "mean and deviation are those of the batch itself");
  e.unit = 0;
  e.weights = [of = e.weights](const Trajectories& b, const Constants& c, std::span<const double> log_pi) {
    Array<double> psi = of(b, c, log_pi);
    standardise(values(psi));
    return psi;
  };
  return e;
}

/// gamma^t in front of every score.
Estimator with_discount(Estimator e) {
  e.weights = [of = e.weights](const Trajectories& b, const Constants& c, std::span<const double> log_pi) {
    Array<double> psi = of(b, c, log_pi);
    for (int i = 0; i < b.size(); ++i) {
      double factor = 1;
      for (int r = b.begin(i); r < b.end(i); ++r, factor *= c.gamma)
        for (double& each : row(psi, r)) each *= factor;
    }
    return psi;
  };
  return e;
}

struct Family {
  EstimatorFamily shown;
  MakeEstimator make;

  /// Its name, without the parameters.
  std::string_view name() const { return std::string_view(shown.pattern).substr(0, shown.pattern.find(':')); }
};

/// A family without an argument.
Family plain(const char* name, Estimator (*make)()) {
  return {{name, name}, [make](std::string_view typed, std::string_view argument) {
            expect(argument.empty(), "estimator '", typed, "' takes no argument after a colon");
            return make();
          }};
}

/// A family of groups of N trajectories.
Family of_groups(const std::string& name, Estimator (*make)(int N)) {
  return {{name + ":N", name + ":4"}, [make](std::string_view typed, std::string_view argument) {
            const auto N = number<int>(argument);
            expect(N && *N >= 2 && *N <= 1'000'000, "estimator '", typed,
                   "': N must be a whole number of at least 2, as in rloo:4");
            return make(*N);
          }};
}

std::vector<Family>& families() {
  static std::vector<Family> all = {
      plain("reinforce", reinforce),
      plain("reinforce-mean", reinforce_mean),
      plain("reinforce-optimal", reinforce_optimal),
      plain("reinforce-per-parameter", reinforce_per_parameter),
      plain("togo", reward_to_go),
      plain("togo-normalised", reward_to_go_normalised),
      plain("togo-time", reward_to_go_time),
      plain("togo-linear", reward_to_go_linear),
      plain("togo-optimal", reward_to_go_optimal),
      plain("togo-value", reward_to_go_value),
      of_groups("rloo", leave_one_out),
      of_groups("grpo", group_relative),
      plain("all-action", all_action),
      plain("pathwise", path_derivative),
      plain("q-value", action_value),
      plain("td", td),
      {{"nstep:K", "nstep:5"},
       [](std::string_view typed, std::string_view argument) {
         const auto K = number<int>(argument);
         expect(K && *K >= 1, "estimator '", typed,
                "': K must be a whole number of at least 1, as in nstep:5");
         return n_step(*K);
       }},
      {{"gae:L", "gae:0.95"},
       [](std::string_view typed, std::string_view argument) {
         const auto lambda = number<double>(argument);
         expect(lambda && *lambda >= 0 && *lambda <= 1, "estimator '", typed,
                "': lambda must be a number from 0 to 1, as in gae:0.95");
         return generalised_advantage(*lambda);
       }},
      {{"vtrace:RHO:C", "vtrace:1:1"},
       [](std::string_view typed, std::string_view argument) {
         const std::size_t colon = argument.find(':');
         const auto rho_bar = number<double>(argument.substr(0, colon));
         const auto c_bar = number<double>(colon == std::string_view::npos ? std::string_view()
                                                                           : argument.substr(colon + 1));
         expect(rho_bar && c_bar && *rho_bar > 0 && *c_bar >= 0, "estimator '", typed,
                "': RHO must be a positive number and C one from 0 on, as in vtrace:1:1");
         return v_trace(*rho_bar, *c_bar);
       }},
      {{"ppo-clip:EPS", "ppo-clip:0.2"},
       [](std::string_view typed, std::string_view argument) {
         const auto epsilon = number<double>(argument);
         expect(epsilon && *epsilon > 0 && *epsilon < 1, "estimator '", typed,
                "': the clipping range must be a number between 0 and 1, as in ppo-clip:0.2");
         return clipped_surrogate(*epsilon);
       }},
  };
  return all;
}

}  // namespace

std::vector<EstimatorFamily> estimator_families() {
  std::vector<EstimatorFamily> out;
  for (const Family& f : families()) out.push_back(f.shown);
  return out;
}

void add_estimator(EstimatorFamily family, MakeEstimator make) {
  Family added{std::move(family), std::move(make)};
  for (const Family& each : families())
    expect(each.name() != added.name(), "there is an estimator '", added.name(), "' already");
  families().push_back(std::move(added));
}

Estimator make_estimator(std::string_view name) {
  std::string_view base = name;
  const auto suffix = [&](std::string_view text) {
    const bool there = base.ends_with(text);
    if (there) base.remove_suffix(text.size());
    return there;
  };
  bool undiscounted = suffix("+undiscounted");
  const bool whitened = suffix("+whitened");
  undiscounted = undiscounted || suffix("+undiscounted");
  const std::size_t colon = base.find(':');
  const std::string_view family = base.substr(0, colon);
  const std::string_view argument =
      colon == std::string_view::npos ? std::string_view() : base.substr(colon + 1);
  for (const Family& f : families()) {
    if (f.name() != family) continue;
    expect(f.shown.pattern.find(':') != std::string::npos || colon == std::string_view::npos, "estimator '",
           name, "' takes no argument after a colon");
    Estimator e = f.make(name, argument);
    e.name = name;
    const bool whole = family.starts_with("reinforce") || family == "rloo" || family == "grpo";
    const bool causal = !whole && family != "pathwise";
    expect(causal || !undiscounted, "estimator '", name, "': ", family,
           " carries no gamma^t that +undiscounted could drop");
    expect(!whitened || (causal && !e.all_actions), "estimator '", name, "': ", family,
           " has no advantages of single steps that +whitened could normalise");
    if (whitened) e = with_whitening(std::move(e));
    if (undiscounted) {
      e.equation += "   (without the leading gamma^t)";
      add_bias(e, "the leading gamma^t is dropped");
    } else if (causal) {
      e = with_discount(std::move(e));
    }
    return e;
  }
  std::string known;
  for (const Family& f : families()) known += (known.empty() ? "" : ", ") + f.shown.pattern;
  throw Error(join("unknown estimator '", name, "'; known: ", known,
                   "; those that weigh single steps also with +whitened and +undiscounted"));
}

namespace {

/// pi(a|s) of every choice a, [n x A].
Var<double> action_probabilities(const Distribution<double>& pi) {
  const auto* categorical = std::get_if<Categorical<double>>(&pi);
  expect(categorical != nullptr, "all-action sums over choices, and the actions of this policy are vectors");
  return exp(categorical->log_p);
}

/// The groups that rows are cut into, in trajectories.
std::vector<int> trajectories_of(const Trajectories& batch, std::span<const int> offset) {
  std::vector<int> out;
  for (const int row : offset)
    out.push_back(static_cast<int>(std::lower_bound(batch.offset.begin(), batch.offset.end(), row) -
                                   batch.offset.begin()));
  return out;
}

}  // namespace

std::vector<double> linear_features(const Trajectories& batch, int r, int t, int states) {
  const double tau = t / 100.0;
  std::vector<double> phi(static_cast<std::size_t>(states), 0);
  if (states > 0) {
    phi[static_cast<std::size_t>(batch.state[static_cast<std::size_t>(r)])] = 1;
    phi.insert(phi.end(), {tau, tau * tau, tau * tau * tau});
    return phi;
  }
  for (const double o : row(batch.observation, r)) phi.push_back(o);
  for (const double o : row(batch.observation, r)) phi.push_back(o * o);
  phi.insert(phi.end(), {tau, tau * tau, tau * tau * tau, 1});
  return phi;
}

std::vector<Array<double>> estimate(const std::vector<const Estimator*>& estimators, const Policy& policy,
                                    const std::vector<Array<double>>& theta, const Trajectories& batch,
                                    std::span<const int> offset, const Constants& constants) {
  const int n = batch.rows(), G = static_cast<int>(offset.size()) - 1;
  int columns = 0;
  for (const Estimator* e : estimators) columns += e->weightings;
  std::size_t d = 0;
  for (const auto& x : theta) d += x.size();

  Tape<double> tape;
  const auto parameters = tape.parameters(theta);
  const auto pi = policy(tape, parameters, batch.inputs());
  const auto log_pi = log_prob(pi, batch.actions(tape));
  const Array<double> log_pi_value = log_pi.value();
  const Array<double> log_mu = from_values<double>(n, 1, batch.log_mu);

  // A surrogate reaches theta through log pi alone, so its gradient is the score times its own slope there.
  Array<double> slope = zeros<double>(n, columns);
  int column = 0;
  for (const Estimator* e : estimators) {
    if (e->all_actions || e->objective) {  // does not go through log pi(a_t|s_t)
      column += e->weightings;
      continue;
    }
    const Array<double> psi = e->weights(batch, constants, values(log_pi_value));
    Array<double> at = zeros<double>(n, e->weightings);
    for (int r = 0; r < n; ++r)
      for (int k = 0; k < e->weightings; ++k) at(r, k) = log_pi_value(r, 0);
    const Array<double> part = grad([&](Var<double> l) { return sum(e->surrogate(l, log_mu, psi)); }, at);
    for (int r = 0; r < n; ++r)
      for (int k = 0; k < e->weightings; ++k) slope(r, column + k) = part(r, k);
    column += e->weightings;
  }
  Array<double> all = grouped_grad(log_pi, parameters, offset, slope);  // [G*columns x d]

  std::vector<Array<double>> out;
  column = 0;
  for (const Estimator* e : estimators) {
    if (e->all_actions || e->objective) {
      const bool steps = e->all_actions;
      const Var<double> each = steps ? sum_rows(action_probabilities(pi) * e->weights(batch, constants))
                                     : e->objective(tape, policy, parameters, batch, constants);
      out.push_back(grouped_grad(each, parameters, steps ? offset : trajectories_of(batch, offset),
                                 full<double>(each.rows(), 1, 1.0)));
      column += e->weightings;
      continue;
    }
    if (columns == 1 && !e->combine) {
      out.push_back(std::move(all));
      continue;
    }
    out.push_back(zeros<double>(G, static_cast<int>(d)));
    for (int i = 0; i < G; ++i) {
      const std::span<const double> gradients{row(all, i * columns + column).data(),
                                              d * static_cast<std::size_t>(e->weightings)};
      if (e->combine)
        e->combine(gradients, constants, row(out.back(), i));
      else
        std::copy(gradients.begin(), gradients.end(), row(out.back(), i).begin());
    }
    column += e->weightings;
  }
  return out;
}

}  // namespace lowvar
