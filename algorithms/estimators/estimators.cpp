// The zoo: each estimator of the conventions is a few lines of composition.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "algorithms/data/returns.h"
#include "algorithms/estimators/divergences.h"
#include "algorithms/estimators/groups.h"

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
    std::fill(psi.begin(), psi.end(), f(discounted_return(batch.rewards(i), c.gamma, batch.after(i))));
  });
}

Array<double> togo(const Trajectories& batch, const Constants& c) {
  return by_trajectory(batch, [&](int i, std::span<double> psi) {
    returns_to_go(batch.rewards(i), c.gamma, psi, batch.after(i));
  });
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
          .weights = [](const Trajectories& b, const Constants& c) {
            return of_return(b, c, [&](double R) { return R - c.J; });
          }};
}

Estimator reinforce_optimal() {
  return {.equation = "g = (R - b*) sum_t z_t,  b* = E[R S'S] / E[S'S],  S = sum_t z_t",
          .source = "Weaver & Tao 2001, theorem 1; Greensmith, Bartlett & Baxter 2004, section 4",
          .weights = [](const Trajectories& b, const Constants& c) {
            return of_return(b, c, [&](double R) { return R - c.b_star; });
          }};
}

Estimator reinforce_per_parameter() {
  return {.equation = "g_i = (R - b_i) S_i,  b_i = E[S_i^2 R] / E[S_i^2]",
          .source = "Peters & Schaal 2008, eq. 15",
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
              returns_to_go(b.rewards(i), c.gamma, psi, b.after(i));
              standardise(psi);
            });
          }};
}

Estimator reward_to_go_time() {
  return {.equation = "g = sum_t gamma^t z_t (G_t - E[G_t | running at t])",
          .source = "Peters & Schaal 2008, section 3.2; \"No VF\" in Schulman et al. 2016, figure 2",
          .weights = [](const Trajectories& b, const Constants& c) {
            Array<double> psi = togo(b, c);
            for (int i = 0; i < b.size(); ++i)
              for (int t = 0; t < b.length(i); ++t)
                psi(b.begin(i) + t, 0) -= c.mean_return_to_go[static_cast<std::size_t>(t)];
            return psi;
          }};
}

Estimator reward_to_go_linear() {
  return {
      .equation = "g = sum_t gamma^t z_t (G_t - w'phi_t),  w the least-squares fit of G_t on phi_t",
      .source = "Duan et al. 2016 (linear feature baseline); phi_t at linear_features",
      .weights = [](const Trajectories& b, const Constants& c) {
        expect(
            !c.linear.empty(),
            "togo-linear has a weight for each state or number seen, and is fitted where there are at most "
            "1000");
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
          .weights = [](const Trajectories& b, const Constants& c) {
            Array<double> psi = togo(b, c);
            for (int i = 0; i < b.size(); ++i)
              for (int t = 0; t < b.length(i); ++t)
                psi(b.begin(i) + t, 0) -= c.per_state(t, b.state[static_cast<std::size_t>(b.begin(i) + t)]);
            return psi;
          }};
}

Estimator self_critical() {
  return {.equation =
              "g = (R - R(greedy)) sum_t z_t,  R(greedy) that of the likeliest actions from the same start",
          .source = "Li et al. 2024 (ReMax, 2310.10505), eq. 4; Rennie et al. 2017",
          .weights = [](const Trajectories& b, const Constants& c) {
            return by_trajectory(b, [&](int i, std::span<double> psi) {
              if (psi.empty()) return;
              const double R = discounted_return(b.rewards(i), c.gamma, b.after(i));
              std::fill(psi.begin(), psi.end(), R - b.greedy[static_cast<std::size_t>(i)]);
            });
          }};
}

Estimator reward_to_go_value() {
  return {.equation = "g = sum_t gamma^t z_t (G_t - V_t(s_t))",
          .source = "Sutton & Barto 2018, eq. 13.11; Schulman et al. 2016, eq. 1 (5)",
          .any_critic = true,
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
          .weights = [](const Trajectories& b, const Constants& c) {
            return of_td_errors(b, c, [](std::span<double>) {});
          }};
}

Estimator n_step(int K) {
  return {.equation = "g = sum_t gamma^t z_t sum_{i<K} gamma^i delta_{t+i}",
          .source = "Mnih et al. 2016, section 4 (A3C's advantage); Schulman et al. 2016, eq. 14",
          .weights = [K](const Trajectories& b, const Constants& c) {
            return of_td_errors(b, c, [&](std::span<double> delta) { nstep(delta, c.gamma, K); });
          }};
}

Estimator generalised_advantage(double lambda) {
  return {.equation = "g = sum_t gamma^t z_t sum_i (gamma lambda)^i delta_{t+i}",
          .source = "Schulman et al. 2016, eqs. 16 and 19",
          .any_critic = lambda == 1,
          .weights = [lambda](const Trajectories& b, const Constants& c) {
            return of_td_errors(b, c, [&](std::span<double> delta) { gae(delta, c.gamma, lambda); });
          }};
}

Estimator action_value() {
  return {.equation = "g = sum_t gamma^t z_t Q_t(s_t, a_t)",
          .source = "Sutton et al. 2000, theorem 1; Schulman et al. 2016, eq. 1 (4)",
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
          .weights = [](const Trajectories& b, const Constants&) {
            expect_action_values(b, "all-action");
            return b.action_values;
          }};
}

/// Where the derivative along a path is cut.
struct Cuts {
  int every = 0;             // at s_t for each t that it divides; 0: nowhere
  bool of_policy = false;    // at the state that the policy looks at
  bool of_reward = false;    // at the state that the reward looks at
  bool differences = false;  // dynamics are differentiated by differences
};

/// Rows of trajectories side by side, step after step; those of one that has ended stay at what it led to.
class Steps {
 public:
  explicit Steps(const Trajectories& batch) : b_(batch) {}
  bool runs(int i, int t) const { return t < b_.length(i); }
  bool all_run(int t) const {
    for (int i = 0; i < b_.size(); ++i)
      if (!runs(i, t)) return false;
    return true;
  }
  /// 1 where a trajectory runs, else 0, [N x 1].
  Array<double> running(int t) const {
    Array<double> out = zeros<double>(b_.size(), 1);
    for (int i = 0; i < b_.size(); ++i) out(i, 0) = runs(i, t);
    return out;
  }
  /// s_t, [N x n].
  Array<double> state(int t) const { return at(t, b_.numbers, b_.final_numbers, shape(b_.numbers).cols); }
  /// What was seen of s_t, [N x p].
  Array<double> seen(int t) const {
    return at(t, b_.observation, b_.final_observation, b_.observation.cols());
  }
  /// (a_t - mean) / sigma, [N x m]; 0 where the episode is over.
  Array<double> noise(int t, Var<double> mean, Var<double> log_std) const {
    Array<double> out = mean.value();
    const auto sigma = log_std.values();
    for (int i = 0; i < b_.size(); ++i)
      for (std::size_t j = 0; j < sigma.size(); ++j)
        out(i, j) = runs(i, t) ? (b_.action_vector(b_.begin(i) + t, j) - out(i, j)) / std::exp(sigma[j]) : 0;
    return out;
  }

 private:
  template <class Rows>
  Array<double> at(int t, const Rows& rows, const Rows& last, int cols) const {
    Array<double> out = zeros<double>(b_.size(), cols);
    for (int i = 0; i < b_.size(); ++i) {
      const auto from = runs(i, t) ? row(rows, b_.begin(i) + t) : row(last, i);
      std::copy(from.begin(), from.end(), row(out, i).begin());
    }
    return out;
  }

  const Trajectories& b_;
};

std::vector<Var<double>> columns(Var<double> x) {
  std::vector<Var<double>> out;
  for (int j = 0; j < x.cols(); ++j) out.push_back(column_slice(x, j, j + 1));
  return out;
}

/// x with the values that were sampled: rounded, and with the noise that was drawn. Its derivative is x's.
Var<double> as_sampled(const std::vector<Var<double>>& x, Array<double> sampled) {
  const Var<double> of = concatenate_columns(x);
  const auto computed = of.values();
  for (std::size_t k = 0; k < computed.size(); ++k) sampled.data()[k] -= computed[k];
  return of + sampled;
}

/// Where a step leads, with the values that were sampled, and what it pays.
struct Moved {
  std::vector<Var<double>> state;
  Var<double> reward;
};
Moved move(const Dynamics& world, const std::vector<Var<double>>& s, const std::vector<Var<double>>& u,
           const Array<double>& sampled) {
  std::vector<Var<double>> next = world.next(s, u);
  Var<double> reward;
  if (!world.reward) reward = next.back(), next.pop_back();
  next = columns(as_sampled(next, sampled));
  if (world.reward) reward = world.reward(s, u, next);
  return {next, reward};
}

/// R of each trajectory, [N x 1], as a function of theta: start, (a - mean) / sigma and what the world added
/// to its states stay as they were, actions and states move. A step that no longer runs pays nothing.
Var<double> path_return(Tape<double>& tape, const Policy& policy, const std::vector<Var<double>>& theta,
                        const Trajectories& b, const Constants& c, const Cuts& cut) {
  const auto& dynamics = cut.differences ? c.differences : c.dynamics;
  expect(dynamics != nullptr, "pathwise needs dynamics that can be differentiated");
  const Dynamics& world = *dynamics;
  expect(shape(b.numbers).rows == b.rows() && shape(b.final_numbers) == Shape{b.size(), world.n},
         "pathwise needs the states of its trajectories, [", b.rows(), " x ", world.n, "], got ",
         shape(b.numbers));
  int T = 0;
  for (int i = 0; i < b.size(); ++i) T = std::max(T, b.length(i));
  const Steps steps(b);
  const auto still = [&](int t) { return columns(tape.data(steps.state(t))); };
  std::vector<Var<double>> s = still(0);
  Var<double> total = tape.data(zeros<double>(b.size(), 1));
  double discount = 1;
  for (int t = 0; t < T; ++t, discount *= c.gamma) {
    if (cut.every && t % cut.every == 0) s = still(t);
    const Var<double> seen =
        cut.of_policy ? tape.data(steps.seen(t)) : as_sampled(world.sight(s), steps.seen(t));
    const auto pi = std::get<DiagGaussian<double>>(policy(theta, {}, seen));
    const Var<double> a = pi.mean + exp(pi.log_std) * steps.noise(t, pi.mean, pi.log_std);
    std::vector<Var<double>> u = columns(a);
    for (std::size_t j = 0; j < world.low.size(); ++j) u[j] = clip(u[j], world.low[j], world.high[j]);
    const auto moved = move(world, s, u, steps.state(t + 1));
    const Var<double> r = cut.of_reward ? move(world, still(t), u, steps.state(t + 1)).reward : moved.reward;
    total = total + discount * (steps.all_run(t) ? r : where(steps.running(t), r, 0));
    s = moved.state;
  }
  return total;
}

/// One more reason why it is biased, whoever acted.
void add_bias(Estimator& e, const std::string& why) {
  const auto add = [&](std::string& bias) { bias += (bias.empty() ? "" : "; ") + why; };
  add(e.bias);
  if (e.off_policy) add(e.bias_off_policy);
}

Estimator path_derivative(const Cuts& cut) {
  Estimator e{
      .equation = "g = dR/dtheta along s_{t+1} = f(s_t, a_t) + w_t, a_t = mean(s_t) + sigma eps_t",
      .source = "Heess et al. 2015 (SVG(inf)); Mohamed et al. 2020, section 5",
      .bias_of_world = "jumps of the outcome, and that what is done decides where an episode ends",
      .objective = [cut](Tape<double>& tape, const Policy& policy, const auto& theta, const Trajectories& b,
                         const Constants& c) { return path_return(tape, policy, theta, b, c, cut); }};
  if (cut.differences) e.equation += ", f by central differences";
  if (cut.every) {
    e.equation += join(", stopped at every s_t whose t is a multiple of ", cut.every);
    e.source += "; Williams & Peng 1990 (truncated backpropagation)";
    add_bias(e, "what an action does beyond the next stop is left out");
  }
  if (cut.of_policy) {
    e.equation += ", a_t of sg[s_t]";
    add_bias(e, "that actions follow the states they were moved to is left out");
  }
  if (cut.of_reward) {
    e.equation += ", r_t of sg[s_t]";
    add_bias(e, "what an action does to later rewards is left out");
  }
  return e;
}

Estimator v_trace(double rho_bar, double c_bar) {
  return {.equation =
              "g = sum_t gamma^t z_t min(RHO, rho_t) (r_t + gamma v_{t+1} - V_t(s_t)),  v_t V-trace's "
              "target,  rho = pi/mu",
          .source = "Espeholt et al. 2018, eq. 1 and section 4.2",
          .bias = rho_bar < 1 ? "the ratio of a step is truncated below 1" : "",
          .bias_off_policy = "states come as the policy that acted visits them, and ratios are truncated",
          .any_critic = rho_bar >= 1 && c_bar >= 1,
          .weighs_ratios = true,
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
  e.bias_off_policy =
      "states and advantages are those of the policy that acted, and clipped ratios have no slope";
  e.clip = epsilon;
  e.surrogate = ppo_clip(epsilon);
  return e;
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
      double factor = std::pow(c.gamma, b.before(i));
      for (int r = b.begin(i); r < b.end(i); ++r, factor *= c.gamma)
        for (double& each : row(psi, r)) each *= factor;
    }
    return psi;
  };
  return e;
}

std::map<std::string, MakeEstimator, std::less<>>& makers() {
  static std::map<std::string, MakeEstimator, std::less<>> of_outside;
  return of_outside;
}

/// Where a name of the pathwise family says that the path is cut.
Cuts cuts_of(const EstimatorName& name) {
  Cuts cut{.every = name.arguments.empty() ? 0 : static_cast<int>(name.arguments[0]),
           .differences = name.family->needs.differences};
  if (const UsedSuffix* stop = name.suffix(SuffixKind::path))
    (stop->suffix->id == SuffixId::stop_policy ? cut.of_policy : cut.of_reward) = true;
  return cut;
}

/// What its family's definition says, without suffixes but for those of a path.
Estimator defined(const EstimatorName& name, std::string_view typed) {
  const std::vector<double>& x = name.arguments;
  switch (name.id()) {
    case FamilyId::reinforce:
      return reinforce();
    case FamilyId::reinforce_mean:
      return reinforce_mean();
    case FamilyId::reinforce_optimal:
      return reinforce_optimal();
    case FamilyId::reinforce_per_parameter:
      return reinforce_per_parameter();
    case FamilyId::togo:
      return reward_to_go();
    case FamilyId::togo_normalised:
      return reward_to_go_normalised();
    case FamilyId::togo_time:
      return reward_to_go_time();
    case FamilyId::togo_linear:
      return reward_to_go_linear();
    case FamilyId::togo_optimal:
      return reward_to_go_optimal();
    case FamilyId::togo_value:
      return reward_to_go_value();
    case FamilyId::mean:
    case FamilyId::rloo:
    case FamilyId::grpo:
    case FamilyId::opo:
    case FamilyId::opo_loo:
    case FamilyId::whiten:
    case FamilyId::maxrl:
    case FamilyId::gpg:
    case FamilyId::best_second:
    case FamilyId::pkpo:
    case FamilyId::topr:
      return of_group(relative_advantage(name.id()), x);
    case FamilyId::remax:
      return self_critical();
    case FamilyId::kl:
      return divergence(name.family->arguments[0].words[static_cast<std::size_t>(x[0])]);
    case FamilyId::all_action:
      return all_action();
    case FamilyId::pathwise:
    case FamilyId::pathwise_fd:
      return path_derivative(cuts_of(name));
    case FamilyId::q_value:
      return action_value();
    case FamilyId::td:
      return td();
    case FamilyId::nstep:
      return n_step(static_cast<int>(x[0]));
    case FamilyId::gae:
      return generalised_advantage(x[0]);
    case FamilyId::vtrace:
      return v_trace(x[0], x[1]);
    case FamilyId::ppo_clip:
      return clipped_surrogate(x[0]);
    case FamilyId::outside:
      break;
  }
  return makers().find(name.family->name())->second(typed, name.argument);
}

}  // namespace

void add_estimator(const EstimatorFamily& family, MakeEstimator make) {
  add_family({family.pattern, family.example, family.kind});
  makers()[std::string(family.name())] = std::move(make);
}

Estimator make_estimator(std::string_view typed) {
  const EstimatorName name = parse_estimator(typed);
  const EstimatorFamily& family = *name.family;
  Estimator e = defined(name, typed);
  e.name = typed;
  if (family.id != FamilyId::outside) {
    e.needs_critic = family.needs.critic;
    e.needs_action_values = family.needs.action_values;
    e.needs_constants |= family.needs.constants;
    e.needs_states = family.needs.states;
    e.needs_dynamics = family.needs.dynamics;
    e.by_differences = family.needs.differences;
    e.needs_greedy = family.needs.greedy;
    e.needs_reference = family.needs.reference;
    e.off_policy = family.off_policy;
    e.all_actions = family.kind == EstimatorKind::all_action;
    e.unit = name.unit();
  }
  if (const EstimatorPreset* preset = preset_of(typed)) e.note = preset->note;
  if (const UsedSuffix* how = name.suffix(SuffixKind::aggregation))
    e = with_aggregation(std::move(e), aggregation(how));
  if (name.dynamic()) e = with_dynamic_sampling(std::move(e));
  if (const UsedSuffix* weight = name.suffix(SuffixKind::importance))
    e = with_importance(std::move(e), importance_weight(*weight), weight->arguments);
  expect(!name.whitened() || !e.all_actions, "estimator '", typed,
         "' weighs all actions of a step, which +whitened cannot normalise");
  if (name.whitened()) e = with_whitening(std::move(e));
  if (name.undiscounted()) {
    e.equation += "   (without the leading gamma^t)";
    add_bias(e, "the leading gamma^t is dropped");
  } else if (family.kind == EstimatorKind::causal || family.kind == EstimatorKind::all_action) {
    e = with_discount(std::move(e));
  }
  return e;
}

std::vector<double> linear_features(const Trajectories& batch, int r, int t, int states) {
  const double tau = t / 100.0;
  std::vector<double> phi(static_cast<std::size_t>(states), 0);
  if (states > 0) {
    phi[static_cast<std::size_t>(batch.state[static_cast<std::size_t>(r)])] = 1;
    phi.insert(phi.end(), {tau, tau * tau, tau * tau * tau});
    return phi;
  }
  const auto seen = row(batch.observation, r);
  for (const double o : seen) phi.push_back(o);
  for (const double o : seen) phi.push_back(o * o);
  phi.insert(phi.end(), {tau, tau * tau, tau * tau * tau, 1});
  return phi;
}

}  // namespace lowvar
