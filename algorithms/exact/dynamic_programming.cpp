#include "algorithms/exact/dynamic_programming.h"

#include <algorithm>
#include <cmath>

#include "algorithms/exact/tabular.h"
#include "core/blas.h"
#include "core/random.h"

namespace lowvar {
namespace {

constexpr double kAccuracy = 1e-12, kTies = 1e-11;
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr long kMostSweeps = 10'000'000;
constexpr int kMostPolicies = 10'000;
constexpr int kMostEquations = 5000;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

double largest(const std::vector<double>& V) {
  double x = 0;
  for (double v : V) x = std::max(x, std::abs(v));
  return x;
}

double action_value(const Mdp& mdp, const std::vector<double>& V, int s, int a) {
  double Q = 0;
  for (const Outcome& o : mdp.outcomes(s, a)) Q += o.probability * (o.reward + mdp.gamma * V[at(o.next)]);
  if (!std::isfinite(Q)) throw NumericalFault("values of the MDP overflow double precision");
  return Q;
}

/// The best action, the lowest of equals, and its value.
struct Best {
  int action;
  double value;
};

Best best_action(const Mdp& mdp, const std::vector<double>& V, int s) {
  Best best{0, action_value(mdp, V, s, 0)};
  for (int a = 1; a < mdp.A; ++a)
    if (const double Q = action_value(mdp, V, s, a); Q > best.value) best = {a, Q};
  return best;
}

/// For each state an action that `allowed` allows and that may lead closer to the goal; following them leads
/// there with probability one. 0 in the goal, -1 where there is no such action.
template <class Allowed>
std::vector<int> ways_to(const Mdp& mdp, const std::vector<char>& goal, Allowed&& allowed) {
  std::vector<int> way(at(mdp.S), -1);
  for (int s = 0; s < mdp.S; ++s)
    if (goal[at(s)]) way[at(s)] = 0;
  for (bool found = true; found;) {
    found = false;
    for (int s = 0; s < mdp.S; ++s)
      for (int a = 0; a < mdp.A && way[at(s)] < 0; ++a) {
        const auto outcomes = mdp.outcomes(s, a);
        if (!allowed(s, a) || std::none_of(outcomes.begin(), outcomes.end(),
                                           [&](const Outcome& o) { return way[at(o.next)] >= 0; }))
          continue;
        way[at(s)] = a;
        found = true;
      }
  }
  return way;
}

/// Where planning begins: at gamma = 1 a policy that ends.
std::vector<int> first_policy(const Mdp& mdp) {
  if (mdp.gamma < 1) return std::vector<int>(at(mdp.S));
  std::vector<int> policy = ways_to(mdp, mdp.terminal, [](int, int) { return true; });
  const auto lost = std::find(policy.begin(), policy.end(), -1);
  expect(lost == policy.end(), "at gamma = 1 an infinite horizon needs a way to a terminal state from every ",
         "state, and state ", lost - policy.begin(), " has none");
  return policy;
}

/// V with its greedy policy.
Plan greedy_plan(const Mdp& mdp, std::vector<double> V, int iterations) {
  const double slack = kTies * largest(V);
  std::vector<double> least(at(mdp.S));
  for (int s = 0; s < mdp.S; ++s)
    if (!mdp.terminal[at(s)]) least[at(s)] = best_action(mdp, V, s).value - slack;
  const auto tied = [&](int s, int a) { return action_value(mdp, V, s, a) >= least[at(s)]; };
  std::vector<int> policy(at(mdp.S), -1);
  if (mdp.gamma == 1) policy = ways_to(mdp, mdp.terminal, tied);
  for (int s = 0; s < mdp.S; ++s)
    while (policy[at(s)] < 0 || !(mdp.terminal[at(s)] || tied(s, policy[at(s)]))) ++policy[at(s)];
  return {std::move(V), std::move(policy), iterations};
}

/// Values under repeated sweeps.
class Sweeps {
 public:
  explicit Sweeps(const Mdp& mdp) : mdp_(mdp), V_(at(mdp.S)), next_(V_) {}
  const std::vector<double>& values() const { return V_; }

  /// One sweep of a policy, or with the best actions, which become the policy; whether V rests.
  bool evaluate(const std::vector<int>& policy) {
    return sweep([&](int s) { return action_value(mdp_, V_, s, policy[at(s)]); });
  }
  bool improve(std::vector<int>& policy) {
    return sweep([&](int s) {
      const Best best = best_action(mdp_, V_, s);
      policy[at(s)] = best.action;
      return best.value;
    });
  }

 private:
  template <class F>
  bool sweep(F&& value_of) {
    double change = 0;
    for (int s = 0; s < mdp_.S; ++s) {
      if (mdp_.terminal[at(s)]) continue;
      next_[at(s)] = value_of(s);
      change = std::max(change, std::abs(next_[at(s)] - V_[at(s)]));
    }
    std::swap(V_, next_);
    expect(++count_ < kMostSweeps, "the values still change by ", change, " after ", kMostSweeps,
           " sweeps at gamma = ", mdp_.gamma,
           "; policy iteration by linear solve, a smaller gamma or a finite horizon gives an answer");
    // The distance left to the fixed point is at most gamma / (1 - gamma) times the change.
    const double scale = largest(V_);
    return mdp_.gamma * change <= (1 - mdp_.gamma) * kAccuracy * scale || change <= 4 * kEpsilon * scale;
  }

  const Mdp& mdp_;
  std::vector<double> V_, next_;
  long count_ = 0;
};

Array<double> table_of(const Mdp& mdp, const std::vector<int>& policy) {
  Array<double> pi = zeros<double>(mdp.S, mdp.A);
  for (int s = 0; s < mdp.S; ++s) pi(s, policy[at(s)]) = 1;
  return pi;
}

/// States from which the policy pi is never paid again; terminal ones are among them.
std::vector<char> unpaid(const Mdp& mdp, const Array<double>& pi) {
  std::vector<char> in(at(mdp.S), 1);
  for (bool changed = true; changed;) {
    changed = false;
    for (int s = 0; s < mdp.S; ++s)
      for (int a = 0; a < mdp.A && in[at(s)]; ++a)
        for (const Outcome& o : mdp.outcomes(s, a))
          if (pi(s, a) > 0 && (o.reward != 0 || !in[at(o.next)])) in[at(s)] = 0, changed = true;
  }
  return in;
}

/// Plans on `model`; the values are what the plan is worth in `mdp`.
Plan backward_induction(const Mdp& mdp, const Mdp& model) {
  std::vector<double> V(at(mdp.S)), planned = V, V_next = V, planned_next = V;
  Plan plan{{}, std::vector<int>(at(mdp.S)), mdp.T};
  for (int t = mdp.T - 1; t >= 0; --t) {
    std::swap(V, V_next);
    std::swap(planned, planned_next);
    const double scale = largest(planned_next);
    for (int s = 0; s < mdp.S; ++s) {
      if (mdp.terminal[at(s)]) continue;
      int a = 0;
      if (!model.terminal[at(s)]) {
        const Best best = best_action(model, planned_next, s);
        const double slack = kTies * std::max(scale, std::abs(best.value));
        while (action_value(model, planned_next, s, a) < best.value - slack) ++a;
        planned[at(s)] = best.value;
      }
      plan.policy[at(s)] = a;
      V[at(s)] = action_value(mdp, V_next, s, a);
    }
  }
  plan.values = std::move(V);
  return plan;
}

}  // namespace

Plan value_iteration(const Mdp& mdp) { return modified_policy_iteration(mdp, 1); }

Plan modified_policy_iteration(const Mdp& mdp, long sweeps) {
  check_mdp(mdp);
  expect(sweeps >= 1, "a policy is evaluated by at least 1 sweep, got ", sweeps);
  Sweeps V(mdp);
  std::vector<int> policy = first_policy(mdp);
  if (mdp.gamma == 1)
    while (!V.evaluate(policy)) continue;
  int iterations = 1;
  for (; !V.improve(policy); ++iterations)
    for (long k = 1; k < sweeps && !V.evaluate(policy);) ++k;
  return greedy_plan(mdp, V.values(), iterations);
}

Plan policy_iteration(const Mdp& mdp) {
  check_mdp(mdp);
  std::vector<int> policy = first_policy(mdp);
  for (int i = 1;; ++i) {
    const std::vector<double> V = stationary_values(mdp, table_of(mdp, policy));
    const double slack = kAccuracy * largest(V);
    bool changed = false;
    for (int s = 0; s < mdp.S; ++s) {
      if (mdp.terminal[at(s)]) continue;
      const Best best = best_action(mdp, V, s);
      // Only for a gain: at gamma = 1 an exchange of equals may lead into a policy without end.
      if (best.value <= action_value(mdp, V, s, policy[at(s)]) + slack) continue;
      policy[at(s)] = best.action;
      changed = true;
    }
    if (!changed) return greedy_plan(mdp, V, i);
    expect(i < kMostPolicies, "policy iteration still finds better policies after ", kMostPolicies);
  }
}

std::vector<double> stationary_values(const Mdp& mdp, const Array<double>& pi) {
  check_mdp(mdp);
  check_policy(mdp, pi);
  const std::vector<char> known = mdp.gamma < 1 ? mdp.terminal : unpaid(mdp, pi);
  if (mdp.gamma == 1) {
    const auto way = ways_to(mdp, known, [&](int s, int a) { return pi(s, a) > 0; });
    const auto lost = std::find(way.begin(), way.end(), -1);
    expect(lost == way.end(), "at gamma = 1 the policy has no value on an infinite horizon: from state ",
           lost - way.begin(), " it never ends");
  }
  std::vector<int> equation(at(mdp.S), -1);
  int n = 0;
  for (int s = 0; s < mdp.S; ++s)
    if (!known[at(s)]) equation[at(s)] = n++;
  expect(n <= kMostEquations, "a linear solve over ", n, " states is too large, at most ", kMostEquations,
         "; value iteration needs none");
  Array<double> M = zeros<double>(n, n), x = zeros<double>(n, 1);
  for (int s = 0; s < mdp.S; ++s) {
    const int i = equation[at(s)];
    if (i < 0) continue;
    M(i, i) += 1;
    for (int a = 0; a < mdp.A; ++a)
      for (const Outcome& o : mdp.outcomes(s, a)) {
        const double w = pi(s, a) * o.probability;
        x(i, 0) += w * o.reward;
        if (equation[at(o.next)] >= 0) M(i, equation[at(o.next)]) -= mdp.gamma * w;
      }
  }
  solve(n, 1, M.data(), x.data());
  std::vector<double> V(at(mdp.S));
  for (int s = 0; s < mdp.S; ++s) {
    if (equation[at(s)] >= 0) V[at(s)] = x(equation[at(s)], 0);
    if (!std::isfinite(V[at(s)])) throw NumericalFault("values of the MDP overflow double precision");
  }
  return V;
}

Plan backward_induction(const Mdp& mdp) {
  check_mdp(mdp);
  return backward_induction(mdp, mdp);
}

Mdp learn_model(const Mdp& mdp, long episodes, std::uint64_t seed) {
  check_mdp(mdp);
  expect(episodes >= 1 && episodes <= 100'000'000, "a model is learned from 1 to 100000000 episodes, got ",
         episodes);
  std::vector<long> count(mdp.outcome_list.size());
  std::vector<char> seen(at(mdp.S));
  double lowest = 0;
  for (long i = 0; i < episodes; ++i) {
    Rng rng(seed, "learn-model", static_cast<std::uint32_t>(i));
    int s = rng.categorical(mdp.start);
    seen[at(s)] = 1;
    for (int t = 0; t < mdp.T && !mdp.terminal[at(s)]; ++t) {
      rng.seek(static_cast<std::uint32_t>(t) + 1);  // step 0 is the start state
      const int a = static_cast<int>(rng.uniform() * mdp.A);
      const auto outcomes = mdp.outcomes(s, a);
      std::size_t k = 0;
      for (double u = rng.uniform() - outcomes[0].probability; u >= 0 && k + 1 < outcomes.size();)
        u -= outcomes[++k].probability;
      ++count[static_cast<std::size_t>(&outcomes[k] - mdp.outcome_list.data())];
      lowest = std::min(lowest, outcomes[k].reward);
      s = outcomes[k].next;
      seen[at(s)] = 1;
    }
  }
  std::vector<char> terminal = mdp.terminal;
  for (std::size_t s = 0; s < seen.size(); ++s)
    if (!seen[s]) terminal[s] = 1;
  return make_mdp(mdp.S, mdp.A, mdp.gamma, mdp.T, mdp.start, terminal, [&](int s, int a) {
    std::vector<Outcome> learned;
    long visits = 0;
    for (const Outcome& o : mdp.outcomes(s, a)) {
      const long n = count[static_cast<std::size_t>(&o - mdp.outcome_list.data())];
      visits += n;
      learned.push_back({o.next, static_cast<double>(n), o.reward});
    }
    if (visits == 0) return std::vector<Outcome>{{s, 1, lowest}};
    for (Outcome& o : learned) o.probability /= static_cast<double>(visits);
    return learned;
  });
}

Plan plan_on_learned_model(const Mdp& mdp, long episodes, std::uint64_t seed, bool finite_horizon) {
  const Mdp model = learn_model(mdp, episodes, seed);
  if (finite_horizon) return backward_induction(mdp, model);
  Plan plan;
  try {
    plan = policy_iteration(model);
  } catch (const Error& e) {
    throw Error(join("the model learned from ", episodes, " episodes: ", e.what()));
  }
  plan.values = stationary_values(mdp, table_of(mdp, plan.policy));
  return plan;
}

}  // namespace lowvar
