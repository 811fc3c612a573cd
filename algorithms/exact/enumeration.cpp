#include "algorithms/exact/enumeration.h"

#include <algorithm>
#include <cmath>

#include "algorithms/exact/tabular.h"

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
};

struct Problem {
  OracleName name;
  const Mdp& mdp;
  const Array<double>& pi;
  const Array<double>& behaviour;
  const Array<double>& values;
  Constants constants{};

  /// g += weight * grad log pi(a|s).
  void add_score(std::vector<double>& g, const Step& step, double weight) const {
    for (int b = 0; b < mdp.A; ++b)
      g[at(step.state) * at(mdp.A) + at(b)] += weight * ((step.action == b ? 1.0 : 0.0) - pi(step.state, b));
  }

  Sample sample(const Trajectory& path) const {
    Sample out;
    out.S.resize(at(mdp.S) * at(mdp.A));
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

  /// The weight of z_t: the advantage of a causal estimator.
  double advantage(const Trajectory& path, const Sample& x, std::size_t t) const {
    const double all = mdp.T;
    switch (name.rule) {
      case OracleRule::togo:
        return discounted_sum(x.r, t, mdp.gamma, all);
      case OracleRule::togo_time:
        return discounted_sum(x.r, t, mdp.gamma, all) - constants.mean_return_to_go[t];
      case OracleRule::togo_value:
        return discounted_sum(x.r, t, mdp.gamma, all) - values(t, path[t].state);
      case OracleRule::td:
        return x.delta[t];
      case OracleRule::nstep:
        return discounted_sum(x.delta, t, mdp.gamma, name.parameter);
      case OracleRule::gae:
        return discounted_sum(x.delta, t, mdp.gamma * name.parameter, all);
      default:
        return discounted_sum(x.delta, t, mdp.gamma * 0.95, all);
    }
  }

  /// The factor of z_t in the clipped surrogate's gradient: rho A, or 0 where clipping cuts the gradient off.
  double clipped(const Step& step, double A) const {
    const double rho = pi(step.state, step.action) / behaviour(step.state, step.action);
    const double bounded = std::clamp(rho, 1 - name.parameter, 1 + name.parameter);
    return rho * A <= bounded * A ? rho * A : 0;
  }

  std::vector<double> estimate(const Trajectory& path) const {
    const Sample x = sample(path);
    std::vector<double> g(x.S.size());
    const auto whole = [&](auto&& b) {
      for (std::size_t i = 0; i < g.size(); ++i) g[i] = (x.R - b(i)) * x.S[i];
      return g;
    };
    switch (name.rule) {
      case OracleRule::reinforce:
        return whole([](std::size_t) { return 0.0; });
      case OracleRule::reinforce_mean:
        return whole([&](std::size_t) { return constants.b; });
      case OracleRule::reinforce_optimal:
        return whole([&](std::size_t) { return constants.b_star; });
      case OracleRule::reinforce_per_parameter:
        return whole([&](std::size_t i) { return constants.b_i[i]; });
      default:
        break;
    }
    double discount = 1;
    for (std::size_t t = 0; t < path.size(); ++t) {
      const double A = advantage(path, x, t);
      add_score(g, path[t], discount * (name.rule == OracleRule::ppo_clip ? clipped(path[t], A) : A));
      if (!name.undiscounted) discount *= mdp.gamma;
    }
    return g;
  }
};

Constants enumerated_constants(const Problem& problem) {
  const Mdp& mdp = problem.mdp;
  const std::vector<double> zero(at(mdp.S) * at(mdp.A));
  std::vector<double> S2 = zero, S2R = zero, running(at(mdp.T)), to_go(at(mdp.T));
  double J = 0;
  for_each_trajectory(mdp, problem.behaviour, [&](const Trajectory& path, double p) {
    const Sample x = problem.sample(path);
    J += p * x.R;
    for (std::size_t i = 0; i < S2.size(); ++i) {
      S2[i] += p * x.S[i] * x.S[i];
      S2R[i] += p * x.S[i] * x.S[i] * x.R;
    }
    for (std::size_t t = 0; t < path.size(); ++t) {
      running[t] += p;
      to_go[t] += p * discounted_sum(x.r, t, mdp.gamma, mdp.T);
    }
  });
  Constants out{J, 0, zero, std::vector<double>(at(mdp.T))};
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
                      const Array<double>& behaviour, const Array<double>& values, long limit) {
  Problem problem{oracle_name(estimator), mdp, pi, behaviour, values};
  check_policy(mdp, pi);
  check_values(mdp, values);
  const long trajectories = count_trajectories(mdp, behaviour, limit);
  expect(trajectories <= limit, "the MDP has more than ", limit, " trajectories, too many to enumerate");
  if (problem.name.rule != OracleRule::ppo_clip) expect_equal(mdp, pi, behaviour, estimator);
  problem.constants = enumerated_constants(problem);

  const std::size_t n = at(mdp.S) * at(mdp.A);
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

}  // namespace lowvar
