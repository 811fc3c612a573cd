#include "algorithms/exact/enumeration.h"

#include <algorithm>
#include <cmath>

#include "algorithms/estimators/names.h"
#include "algorithms/exact/definitions.h"
#include "core/blas.h"

namespace lowvar {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

struct Step {
  int state;
  int action;
  std::size_t outcome;  // which of mdp.outcomes(state, action)
  double before;        // probability of the trajectory up to the state
};
using Trajectory = std::vector<Step>;

/// Moves a step to its next possible (action, outcome); false if that was the last.
bool advance(const Mdp& mdp, const Array<double>& behaviour, Step& step) {
  if (step.action >= 0 && ++step.outcome < mdp.outcomes(step.state, step.action).size()) return true;
  step.outcome = 0;
  do
    if (++step.action == mdp.A) return false;
  while (behaviour(step.state, step.action) == 0);
  return true;
}

/// visit(trajectory, probability) for every trajectory of the behaviour policy.
template <class F>
void for_each_trajectory(const Mdp& mdp, const Array<double>& behaviour, F&& visit) {
  Trajectory path;
  for (int s = 0; s < mdp.S; ++s) {
    if (mdp.start[at(s)] == 0) continue;
    if (mdp.terminal[at(s)]) {
      visit(path, mdp.start[at(s)]);
      continue;
    }
    path.push_back({s, -1, 0, mdp.start[at(s)]});
    while (!path.empty()) {
      Step& last = path.back();
      if (!advance(mdp, behaviour, last)) {
        path.pop_back();
        continue;
      }
      const Outcome& o = mdp.outcomes(last.state, last.action)[last.outcome];
      const double probability = last.before * behaviour(last.state, last.action) * o.probability;
      if (static_cast<int>(path.size()) == mdp.T || mdp.terminal[at(o.next)])
        visit(path, probability);
      else
        path.push_back({o.next, -1, 0, probability});
    }
  }
}

/// sum_{i >= first} base^(i - first) x_i, over at most `terms` terms.
double discounted_sum(const std::vector<double>& x, std::size_t first, double base, double terms) {
  double total = 0, power = 1;
  for (std::size_t i = first; i < x.size() && static_cast<double>(i - first) < terms; ++i, power *= base)
    total += power * x[i];
  return total;
}

/// One trajectory's numbers.
struct Sample {
  std::vector<double> r;      // [length]
  std::vector<double> delta;  // [length], TD errors of the given values
  std::vector<double> S;      // [S*A], sum of the scores
  double R = 0;
};

struct Constants {
  double b = 0, b_star = 0;
  std::vector<double> b_i, mean_return_to_go;
  Array<double> optimal;  // [T x S], E[|z|^2 G | t, s] / E[|z|^2 | t, s]
  std::vector<double>
      linear;  // [S+3], the least-squares fit of G on 1_s, tau, tau^2, tau^3 with tau = t / 100
};

/// x minus its mean, counted from the least of them: exactly 0 where all are equal.
std::vector<double> centred(std::vector<double> x) {
  const double least = x.empty() ? 0 : *std::min_element(x.begin(), x.end());
  double mean = 0;
  for (const double each : x) mean += (each - least) / static_cast<double>(x.size());
  for (double& each : x) each = (each - least) - mean;
  return x;
}

/// x minus its mean, over its standard deviation (n - 1) plus 1e-8.
std::vector<double> standardised(const std::vector<double>& x) {
  std::vector<double> out = centred(x);
  double square = 0;
  for (const double each : out) square += each * each;
  const double deviation = x.size() < 2 ? 0 : std::sqrt(square / (static_cast<double>(x.size()) - 1));
  for (double& each : out) each /= deviation + 1e-8;
  return out;
}

struct Problem {
  EstimatorName name;
  const Mdp& mdp;
  const Array<double>& pi;
  const Array<double>& behaviour;
  const Array<double>& values;
  const Array<double>& Q;
  const Aliases* aliases = nullptr;
  Constants constants{};

  std::size_t parameters() const { return at(aliases ? aliases->rows : mdp.S) * at(mdp.A); }

  /// g += weight * grad log pi(a|s).
  void add_score(std::vector<double>& g, const Step& step, double weight) const {
    const std::size_t row = at(aliases ? aliases->of[at(step.state)] : step.state);
    for (int b = 0; b < mdp.A; ++b)
      g[row * at(mdp.A) + at(b)] += weight * ((step.action == b ? 1.0 : 0.0) - pi(step.state, b));
  }

  Sample sample(const Trajectory& path) const {
    Sample out;
    out.S.resize(parameters());
    for (int t = 0; t < static_cast<int>(path.size()); ++t) {
      const Step& step = path[at(t)];
      const Outcome& o = mdp.outcomes(step.state, step.action)[step.outcome];
      out.r.push_back(o.reward);
      out.delta.push_back(o.reward + mdp.gamma * values(t + 1, o.next) - values(t, step.state));
      add_score(out.S, step, 1);
    }
    out.R = discounted_sum(out.r, 0, mdp.gamma, mdp.T);
    return out;
  }

  double ratio(const Step& step) const {
    return pi(step.state, step.action) / behaviour(step.state, step.action);
  }

  /// g += discount * sum_a pi(a|s) grad log pi(a|s) Q(t S + s, a).
  void add_all_actions(std::vector<double>& g, std::size_t t, int s, double discount) const {
    for (int a = 0; a < mdp.A; ++a)
      add_score(g, {s, a, 0, 0}, discount * pi(s, a) * Q(static_cast<int>(t) * mdp.S + s, a));
  }

  /// The weight of z_t: the advantage of a causal estimator.
  double advantage(const Trajectory& path, const Sample& x, std::size_t t) const {
    const double all = mdp.T;
    switch (name.id()) {
      case FamilyId::togo:
        return discounted_sum(x.r, t, mdp.gamma, all);
      case FamilyId::togo_time:
        return discounted_sum(x.r, t, mdp.gamma, all) - constants.mean_return_to_go[t];
      case FamilyId::togo_value:
        return discounted_sum(x.r, t, mdp.gamma, all) - values(t, path[t].state);
      case FamilyId::td:
        return x.delta[t];
      case FamilyId::nstep:
        return discounted_sum(x.delta, t, mdp.gamma, name.arguments[0]);
      case FamilyId::gae:
        return discounted_sum(x.delta, t, mdp.gamma * name.arguments[0], all);
      case FamilyId::togo_normalised: {
        std::vector<double> G;
        for (std::size_t k = 0; k < path.size(); ++k) G.push_back(discounted_sum(x.r, k, mdp.gamma, all));
        return standardised(G)[t];
      }
      case FamilyId::togo_linear: {
        const double tau = static_cast<double>(t) / 100;
        const std::vector<double>& w = constants.linear;
        return discounted_sum(x.r, t, mdp.gamma, all) - w[at(path[t].state)] -
               tau * (w[at(mdp.S)] + tau * (w[at(mdp.S) + 1] + tau * w[at(mdp.S) + 2]));
      }
      case FamilyId::togo_optimal:
        return discounted_sum(x.r, t, mdp.gamma, all) - constants.optimal(t, path[t].state);
      case FamilyId::q_value:
        return Q(static_cast<int>(t) * mdp.S + path[t].state, path[t].action);
      case FamilyId::vtrace: {
        // v_{t+1} - V(s_{t+1}), the bootstrap standing inside the last delta
        double ahead = 0, product = 1;
        for (std::size_t k = t + 1; k < path.size(); ++k) {
          ahead += std::pow(mdp.gamma, static_cast<double>(k - t - 1)) * product *
                   std::min(name.arguments[0], ratio(path[k])) * x.delta[k];
          product *= std::min(name.arguments[1], ratio(path[k]));
        }
        return std::min(name.arguments[0], ratio(path[t])) * (x.delta[t] + mdp.gamma * ahead);
      }
      case FamilyId::ppo_clip:
        return discounted_sum(x.delta, t, mdp.gamma * 0.95, all);
      default:
        undefined();
    }
  }

  /// The factor of z_t in the clipped surrogate's gradient: rho A, or 0 where clipping cuts the gradient off.
  double clipped(const Step& step, double A) const {
    const double rho = ratio(step);
    const double bounded = std::clamp(rho, 1 - name.arguments[0], 1 + name.arguments[0]);
    return rho * A <= bounded * A ? rho * A : 0;
  }

  /// The factor of z_t but for its discount, A being the step's advantage.
  double factor(const Step& step, double A) const {
    return name.id() == FamilyId::ppo_clip ? clipped(step, A) : A;
  }

  /// What the likeliest actions of the policy that acts return from a state.
  double greedy_return(int s) const {
    double R = 0, discount = 1;
    for (int t = 0; t < mdp.T && !mdp.terminal[at(s)]; ++t, discount *= mdp.gamma) {
      int a = 0;
      for (int b = 1; b < mdp.A; ++b)
        if (behaviour(s, b) > behaviour(s, a)) a = b;
      const auto outcomes = mdp.outcomes(s, a);
      expect(outcomes.size() == 1, "what the likeliest actions return is random");
      R += discount * outcomes[0].reward;
      s = outcomes[0].next;
    }
    return R;
  }

  /// g += times sum_t w_t psi_t z_t, with w_t by the importance suffix.
  void add_weighed(std::vector<double>& g, const Trajectory& path, const std::vector<double>& psi,
                   double times) const {
    std::vector<double> r;
    for (const Step& step : path) r.push_back(ratio(step));
    for (const double sign : {1.0, -1.0, 0.0}) {
      const std::vector<double> w = importance_weights(name, r, sign);
      for (std::size_t t = 0; t < path.size(); ++t)
        if ((psi[t] > 0) - (psi[t] < 0) == sign) add_score(g, path[t], times * w[t] * psi[t]);
    }
  }

  [[noreturn]] void undefined() const {
    fail("estimator \"", name.family->pattern, "\" has no exact moments");
  }

  std::vector<double> estimate(const Trajectory& path) const {
    const Sample x = sample(path);
    std::vector<double> g(x.S.size());
    const double whole = aggregation_factor(name, {static_cast<int>(path.size())}, 0, mdp.T);
    const auto constant = [&](double b) {
      add_weighed(g, path, std::vector<double>(path.size(), x.R - b), whole);
      return g;
    };
    switch (name.id()) {
      case FamilyId::reinforce:
        return constant(0);
      case FamilyId::reinforce_mean:
        return constant(constants.b);
      case FamilyId::reinforce_optimal:
        return constant(constants.b_star);
      case FamilyId::remax:
        return constant(path.empty() ? 0 : greedy_return(path[0].state));
      case FamilyId::reinforce_per_parameter:
        for (std::size_t i = 0; i < g.size(); ++i) g[i] = (x.R - constants.b_i[i]) * x.S[i];
        return g;
      default:
        break;
    }
    std::vector<double> psi(path.size());
    double discount = 1;
    for (std::size_t t = 0; t < path.size(); ++t) {
      if (name.id() == FamilyId::all_action)
        add_all_actions(g, t, path[t].state, discount);
      else
        psi[t] = discount * factor(path[t], advantage(path, x, t));
      if (!name.undiscounted()) discount *= mdp.gamma;
    }
    if (name.id() != FamilyId::all_action) add_weighed(g, path, psi, whole);
    return g;
  }
};

Constants enumerated_constants(const Problem& problem) {
  const Mdp& mdp = problem.mdp;
  const std::vector<double> zero(problem.parameters());
  std::vector<double> S2 = zero, S2R = zero, running(at(mdp.T)), to_go(at(mdp.T));
  double J = 0;
  const int features = mdp.S + 3;
  const bool fit = problem.name.id() == FamilyId::togo_linear;
  Array<double> z2 = zeros<double>(mdp.T, mdp.S), z2G = z2,
                XX = zeros<double>(fit ? features : 0, fit ? features : 0),
                XG = zeros<double>(fit ? features : 0, 1);
  for_each_trajectory(mdp, problem.behaviour, [&](const Trajectory& path, double p) {
    const Sample x = problem.sample(path);
    J += p * x.R;
    for (int t = 0; t < static_cast<int>(path.size()); ++t) {
      const int s = path[at(t)].state;
      const double G = discounted_sum(x.r, at(t), mdp.gamma, mdp.T);
      double norm = 0;
      for (int b = 0; b < mdp.A; ++b)
        norm += std::pow((path[at(t)].action == b ? 1.0 : 0.0) - problem.pi(s, b), 2);
      z2(t, s) += p * norm;
      z2G(t, s) += p * norm * G;
      if (!fit) continue;
      std::vector<double> phi(at(features));
      phi[at(s)] = 1;
      for (int k = 0; k < 3; ++k) phi[at(mdp.S + k)] = std::pow(t / 100.0, k + 1);
      for (int j = 0; j < features; ++j) {
        XG(j, 0) += p * phi[at(j)] * G;
        for (int k = 0; k < features; ++k) XX(j, k) += p * phi[at(j)] * phi[at(k)];
      }
    }
    for (std::size_t i = 0; i < S2.size(); ++i) {
      S2[i] += p * x.S[i] * x.S[i];
      S2R[i] += p * x.S[i] * x.S[i] * x.R;
    }
    for (std::size_t t = 0; t < path.size(); ++t) {
      running[t] += p;
      to_go[t] += p * discounted_sum(x.r, t, mdp.gamma, mdp.T);
    }
  });
  Constants out{J, 0, zero, std::vector<double>(at(mdp.T)), z2, {}};
  for (std::size_t k = 0; k < z2.size(); ++k)
    out.optimal.data()[k] = z2.data()[k] > 0 ? z2G.data()[k] / z2.data()[k] : 0;
  if (fit) {
    double ridge = 1e-300;
    for (int j = 0; j < features; ++j) ridge += 1e-10 * XX(j, j) / features;
    for (int j = 0; j < features; ++j) XX(j, j) += ridge;
    solve(features, 1, XX.data(), XG.data());
    out.linear.assign(XG.begin(), XG.end());
  }
  double sum_S2 = 0, sum_S2R = 0;
  for (std::size_t i = 0; i < S2.size(); ++i) {
    sum_S2 += S2[i];
    sum_S2R += S2R[i];
    if (S2[i] > 0) out.b_i[i] = S2R[i] / S2[i];
  }
  if (sum_S2 > 0) out.b_star = sum_S2R / sum_S2;
  for (std::size_t t = 0; t < running.size(); ++t)
    if (running[t] > 0) out.mean_return_to_go[t] = to_go[t] / running[t];
  return out;
}

void expect_equal(const Mdp& mdp, const Array<double>& pi, const Array<double>& behaviour,
                  std::string_view name) {
  for (int s = 0; s < mdp.S; ++s)
    for (int a = 0; a < mdp.A; ++a)
      expect(mdp.terminal[at(s)] || pi(s, a) == behaviour(s, a), "estimator \"", name,
             "\" is on-policy, but policy and behaviour differ at state ", s, ", action ", a);
}

void check_action_values(const Problem& problem) {
  if (!problem.name.family->needs.action_values) return;
  expect(shape(problem.Q) == Shape{problem.mdp.T * problem.mdp.S, problem.mdp.A},
         "the action values must be [horizon*states x actions] = ",
         text(Shape{problem.mdp.T * problem.mdp.S, problem.mdp.A}), ", got ", text(shape(problem.Q)));
}

/// A possible trajectory, and what its steps would weigh alone.
struct Weighed {
  double probability;
  Trajectory path;
  double R;
  std::vector<double> S;  // sum of the scores
  std::vector<double> A;  // [length], advantages
};

/// The mean estimate of trajectories that are weighed together.
std::vector<double> unit_estimate(const Problem& problem, const std::vector<const Weighed*>& unit) {
  const auto n = static_cast<double>(unit.size());
  std::vector<double> g(unit.front()->S.size());
  if (problem.name.whitened()) {
    std::vector<double> all;
    for (const Weighed* w : unit) all.insert(all.end(), w->A.begin(), w->A.end());
    all = standardised(all);
    std::size_t k = 0;
    for (const Weighed* w : unit)
      for (std::size_t t = 0; t < w->path.size(); ++t)
        problem.add_score(
            g, w->path[t],
            problem.factor(w->path[t], all[k++]) / n *
                (problem.name.undiscounted() ? 1 : std::pow(problem.mdp.gamma, static_cast<double>(t))));
    return g;
  }
  std::vector<double> R;
  std::vector<int> length;
  for (const Weighed* w : unit) R.push_back(w->R), length.push_back(static_cast<int>(w->path.size()));
  const std::vector<double> A = group_advantages(problem.name, R, length);
  for (std::size_t i = 0; i < unit.size(); ++i)
    problem.add_weighed(g, unit[i]->path, std::vector<double>(unit[i]->path.size(), A[i]),
                        aggregation_factor(problem.name, length, i, problem.mdp.T));
  return g;
}

}  // namespace

long count_trajectories(const Mdp& mdp, const Array<double>& behaviour, long limit) {
  check_policy(mdp, behaviour);
  expect(limit >= 0 && limit <= 1'000'000'000'000'000,
         "the limit on trajectories must lie in [0, 1e15], got ", limit);
  std::vector<long> now(at(mdp.S), 1), next(at(mdp.S), 1);
  const auto add = [&](long x, long y) { return std::min(limit + 1, x + y); };
  for (int t = mdp.T - 1; t >= 0; --t) {
    std::swap(now, next);
    for (int s = 0; s < mdp.S; ++s) {
      if (mdp.terminal[at(s)]) continue;
      now[at(s)] = 0;
      for (int a = 0; a < mdp.A; ++a)
        if (behaviour(s, a) > 0)
          for (const Outcome& o : mdp.outcomes(s, a)) now[at(s)] = add(now[at(s)], next[at(o.next)]);
    }
  }
  long total = 0;
  for (int s = 0; s < mdp.S; ++s)
    if (mdp.start[at(s)] > 0) total = add(total, now[at(s)]);
  return total;
}

Enumeration enumerate(std::string_view estimator, const Mdp& mdp, const Array<double>& pi,
                      const Array<double>& behaviour, const Array<double>& values, long limit,
                      const Array<double>& Q, const Aliases* aliases) {
  Problem problem{parse_estimator(estimator), mdp, pi, behaviour, values, Q, aliases};
  expect(problem.name.unit() == 1, "estimator \"", estimator,
         "\" weighs several trajectories together; enumerate_units has its moments");
  check_action_values(problem);
  check_policy(mdp, pi);
  check_values(mdp, values);
  const long trajectories = count_trajectories(mdp, behaviour, limit);
  expect(trajectories <= limit, "the MDP has more than ", limit, " trajectories, too many to enumerate");
  if (!problem.name.off_policy()) expect_equal(mdp, pi, behaviour, estimator);
  problem.constants = enumerated_constants(problem);

  const std::size_t n = problem.parameters();
  std::vector<double> mean(n), variance(n);
  for_each_trajectory(mdp, behaviour, [&](const Trajectory& path, double p) {
    const std::vector<double> g = problem.estimate(path);
    for (std::size_t i = 0; i < n; ++i) mean[i] += p * g[i];
  });
  const bool full = n <= 64;
  Array<double> covariance =
      full ? zeros<double>(static_cast<int>(n), static_cast<int>(n)) : zeros<double>(0, 0);
  for_each_trajectory(mdp, behaviour, [&](const Trajectory& path, double p) {
    std::vector<double> g = problem.estimate(path);
    for (std::size_t i = 0; i < n; ++i) {
      g[i] -= mean[i];
      variance[i] += p * g[i] * g[i];
    }
    if (full)
      for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < n; ++j) covariance(i, j) += p * g[i] * g[j];
  });
  for (double x : variance)
    if (!std::isfinite(x)) throw NumericalFault("enumerated moments of the MDP overflow double precision");
  return {mean, variance, covariance, trajectories, problem.constants.b};
}

ExactMoments enumerate_units(std::string_view estimator, const Mdp& mdp, const Array<double>& pi,
                             const Array<double>& behaviour, const Array<double>& values, int unit,
                             double limit, const Array<double>& Q, const Aliases* aliases) {
  Problem problem{parse_estimator(estimator), mdp, pi, behaviour, values, Q, aliases};
  const bool group = problem.name.family->groups;
  expect(problem.name.unit() != 1, "estimator \"", estimator, "\" weighs each trajectory by itself");
  expect(unit >= 2 && (!group || unit == problem.name.unit()), "estimator \"", estimator, "\" cannot be of ",
         unit, " trajectories");
  check_policy(mdp, pi);
  check_values(mdp, values);
  check_action_values(problem);
  const auto most = static_cast<long>(std::min(limit, 1e6));
  const long trajectories = count_trajectories(mdp, behaviour, most);
  double multisets = 1;  // C(trajectories + unit - 1, unit)
  for (int k = 1; k <= unit; ++k) multisets *= static_cast<double>(trajectories + k - 1) / k;
  expect(trajectories <= most && multisets <= limit, "the MDP has too many sets of ", unit,
         " trajectories to enumerate, more than ", limit);
  if (!problem.name.off_policy()) expect_equal(mdp, pi, behaviour, estimator);
  problem.constants = enumerated_constants(problem);

  std::vector<Weighed> all;
  for_each_trajectory(mdp, behaviour, [&](const Trajectory& path, double p) {
    const Sample x = problem.sample(path);
    all.push_back({p, path, x.R, x.S, {}});
    for (std::size_t t = 0; problem.name.whitened() && t < path.size(); ++t)
      all.back().A.push_back(problem.advantage(path, x, t));
  });
  const std::size_t n = problem.parameters();
  std::vector<double> mean(n), second(n);
  double accepted = 0;  // probability of the units that are no draw to be repeated
  // Multisets of trajectories [first, last), which have this probability in all.
  const auto add = [&](std::size_t first, std::size_t last, double whole) {
    std::vector<const Weighed*> chosen;
    const auto choose = [&](const auto& self, std::size_t from, double weight) -> void {
      const int left = unit - static_cast<int>(chosen.size());
      if (left == 0) {
        const bool equal =
            std::all_of(chosen.begin(), chosen.end(), [&](const Weighed* w) { return w->R == chosen[0]->R; });
        if (problem.name.dynamic() && equal) return;
        accepted += weight;
        const std::vector<double> g = unit_estimate(problem, chosen);
        for (std::size_t i = 0; i < n; ++i) {
          mean[i] += weight * g[i];
          second[i] += weight * g[i] * g[i];
        }
        return;
      }
      if (from == last) return;
      const double p = all[from].probability / whole;
      double ways = 1;  // of placing k copies of this one among those left
      for (int k = 0; k <= left; ++k) {
        self(self, from + 1, weight * ways * std::pow(p, k));
        ways *= static_cast<double>(left - k) / (k + 1);
        chosen.push_back(&all[from]);
      }
      chosen.resize(chosen.size() - at(left) - 1);
    };
    choose(choose, first, whole);
  };
  for (std::size_t first = 0; first < all.size();) {
    std::size_t last = first;
    double whole = 0;
    // Trajectories come sorted by their first state; an episode that is over at the start has no step.
    const auto start = [&](std::size_t i) { return all[i].path.empty() ? -1 : all[i].path[0].state; };
    for (; last < all.size() && (!group || start(last) == start(first)); ++last)
      whole += all[last].probability;
    add(first, last, whole);
    first = last;
  }
  expect(accepted > 0, "no group of \"", estimator, "\" has returns that differ");
  for (std::size_t i = 0; i < n && problem.name.dynamic(); ++i) mean[i] /= accepted, second[i] /= accepted;
  ExactMoments out{mean, std::vector<double>(n)};
  for (std::size_t i = 0; i < n; ++i) out.variance[i] = std::max(0.0, second[i] - mean[i] * mean[i]);
  return out;
}

}  // namespace lowvar
