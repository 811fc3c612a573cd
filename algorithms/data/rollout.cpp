#include "algorithms/data/rollout.h"

#include <algorithm>
#include <cmath>

namespace lowvar {
namespace {

/// Throws NumericalFault where one of the numbers that a policy acts by is none.
void expect_finite(std::span<const double> x, const char* what) {
  if (!std::all_of(x.begin(), x.end(), [](double each) { return std::isfinite(each); }))
    throw NumericalFault(join("the policy gives ", what, " that is not finite"));
}

/// The lowest of equals.
int likeliest(std::span<const double> p) {
  return static_cast<int>(std::max_element(p.begin(), p.end()) - p.begin());
}

}  // namespace

template <class T>
ActingPolicy::ActingPolicy(const Policy& policy, std::span<const Array<T>> theta, std::span<const int> state,
                           const Array<T>* observation) {
  Tape<T> tape;
  const auto pi =
      policy(tape.constants(borrow(theta)), state, observation ? tape.data(borrow(*observation)) : Var<T>());
  const auto numbers = [&](Var<T> x) {
    p_ = zeros<double>(x.rows(), x.cols());
    std::copy(x.values().begin(), x.values().end(), p_.data());
  };
  if (const auto* softmax = std::get_if<Categorical<T>>(&pi)) {
    numbers(exp(softmax->log_p));
  } else if (const auto* choices = std::get_if<MultiCategorical<T>>(&pi)) {
    numbers(exp(choices->log_p));
    levels_ = choices->levels;
  } else {
    numbers(std::get<DiagGaussian<T>>(pi).mean);
    log_std_.assign(theta.back().begin(), theta.back().end());
  }
  expect_finite(values(p_), log_std_.empty() ? "a probability" : "a mean action");
}

template ActingPolicy::ActingPolicy(const Policy&, std::span<const Array<float>>, std::span<const int>,
                                    const Array<float>*);
template ActingPolicy::ActingPolicy(const Policy&, std::span<const Array<double>>, std::span<const int>,
                                    const Array<double>*);

/// Component j of `action` = choose(its probabilities).
template <class F>
void ActingPolicy::for_components(int r, std::span<double> action, F&& choose) const {
  expect(levels_.size() == action.size(), "a policy of ", levels_.size(),
         "-vectors cannot act where actions are ", action.size(), "-vectors");
  std::span<const double> p = row(p_, r);
  for (std::size_t j = 0; j < action.size(); ++j) {
    const auto levels = static_cast<std::size_t>(levels_[j]);
    action[j] = choose(p.first(levels));
    p = p.subspan(levels);
  }
}

double ActingPolicy::act(int r, Rng& rng, int& action) const {
  expect(log_std_.empty() && levels_.empty(),
         "this policy acts by vectors, and this world's actions are choices");
  action = rng.categorical(row(p_, r));
  return std::log(p_(r, action));
}

double ActingPolicy::act(int r, Rng& rng, std::span<double> action) const {
  if (!levels_.empty()) {
    double log_mu = 0;
    for_components(r, action, [&](std::span<const double> p) {
      const int choice = rng.categorical(p);
      log_mu += std::log(p[static_cast<std::size_t>(choice)]);
      return choice;
    });
    return log_mu;
  }
  expect(log_std_.size() == action.size(), "a policy of ", log_std_.size(),
         "-vectors cannot act where actions are ", action.size(), "-vectors");
  sample_gaussian(row(p_, r), log_std_, rng, action);
  expect_finite(action, "an action");
  return log_density(row(p_, r), log_std_, action);
}

void ActingPolicy::act_greedily(int r, int& action) const { action = likeliest(row(p_, r)); }

void ActingPolicy::act_greedily(int r, std::span<double> action) const {
  if (!levels_.empty()) return for_components(r, action, likeliest);
  const auto mean = row(p_, r);
  std::copy(mean.begin(), mean.end(), action.begin());
}

Trajectories rollout(const Mdp& mdp, const Array<double>& pi, Draw draw) {
  Array<double> log_pi = pi;
  for (double& p : values(log_pi)) p = std::log(p);
  Trajectories out;
  for (int i = 0; i < draw.count; ++i) {
    Rng start = draw.start(i), rng = draw.steps(i);
    int s = start.categorical(mdp.start);
    int t = 0;
    for (; t < mdp.T && !mdp.terminal[static_cast<std::size_t>(s)]; ++t) {
      rng.seek(static_cast<std::uint32_t>(t) + 1);  // step 0 is the start state
      const int a = rng.categorical(row(pi, s));
      const auto outcomes = mdp.outcomes(s, a);
      std::size_t k = 0;
      for (double u = rng.uniform() - outcomes[0].probability; u >= 0 && k + 1 < outcomes.size();)
        u -= outcomes[++k].probability;
      out.state.push_back(s);
      out.action.push_back(a);
      out.reward.push_back(outcomes[k].reward);
      out.log_mu.push_back(log_pi(s, a));
      s = outcomes[k].next;
    }
    out.offset.push_back(out.offset.back() + t);
    out.final_state.push_back(s);
    out.terminated.push_back(mdp.terminal[static_cast<std::size_t>(s)]);
    out.truncated.push_back(!out.terminated.back());
  }
  return out;
}

namespace {

/// Observations are numbers of X.
template <class X>
Trajectories rollout_of(States& states, const Policy& policy, const std::vector<Array<double>>& theta, int T,
                        Draw draw, const std::function<void(int i)>& watch) {
  struct Episode {
    Rng rng;
    std::vector<X> observation = {};
    std::vector<int> action = {};
    std::vector<double> vector = {}, reward = {}, log_mu = {};
    char terminated = 0;
  };
  const int p = states.spaces().observation, m = states.spaces().m;
  const bool tabular = of_states(policy.model);
  std::vector<Episode> episodes;
  std::vector<int> running;
  for (int i = 0; i < draw.count; ++i) {
    Rng start = draw.start(i);
    states.reset(i, start);
    if (watch) watch(i);
    episodes.push_back({.rng = draw.steps(i), .terminated = states.terminal(i)});
    if (!episodes.back().terminated) running.push_back(i);
  }
  std::vector<X> seen(static_cast<std::size_t>(p));
  std::vector<double> vector(static_cast<std::size_t>(m));
  for (int t = 0; t < T && !running.empty(); ++t) {
    Array<double> observation = zeros<double>(static_cast<int>(running.size()), p);
    for (std::size_t k = 0; k < running.size(); ++k) {
      states.observe(running[k], running[k] + 1, seen.data());
      std::copy(seen.begin(), seen.end(), row(observation, static_cast<int>(k)).begin());
      auto& all = episodes[static_cast<std::size_t>(running[k])].observation;
      all.insert(all.end(), seen.begin(), seen.end());
    }
    std::vector<int> state;
    if (tabular) state.assign(observation.begin(), observation.end());
    const ActingPolicy acting(policy, std::span(theta), state, tabular ? nullptr : &observation);
    std::vector<int> still;
    for (std::size_t k = 0; k < running.size(); ++k) {
      const int i = running[k], r = static_cast<int>(k);
      Episode& e = episodes[static_cast<std::size_t>(i)];
      e.rng.seek(static_cast<std::uint32_t>(t) + 1);  // step 0 is the reset
      int choice = 0;
      e.log_mu.push_back(m ? acting.act(r, e.rng, vector) : acting.act(r, e.rng, choice));
      states.act(i, i + 1, {&choice, vector.data()}, {.each = &e.rng}, &e.reward.emplace_back(),
                 &e.terminated);
      if (m)
        e.vector.insert(e.vector.end(), vector.begin(), vector.end());
      else
        e.action.push_back(choice);
      if (watch) watch(i);
      if (!e.terminated) still.push_back(i);
    }
    running = std::move(still);
  }

  Trajectories out;
  std::vector<X> observations;
  std::vector<double> vectors;
  const auto append = [](auto& all, const auto& more) { all.insert(all.end(), more.begin(), more.end()); };
  for (const Episode& e : episodes) {
    out.offset.push_back(out.offset.back() + static_cast<int>(e.reward.size()));
    append(observations, e.observation);
    append(out.action, e.action);
    append(vectors, e.vector);
    append(out.reward, e.reward);
    append(out.log_mu, e.log_mu);
    out.terminated.push_back(e.terminated);
    out.truncated.push_back(!e.terminated);
  }
  Array<X> last = zeros<X>(draw.count, p);
  states.observe(0, draw.count, last.data());
  if (tabular) {
    out.state.assign(observations.begin(), observations.end());
    out.final_state.assign(last.begin(), last.end());
  } else {
    out.observation = from_values<X>(out.rows(), p, observations);
    out.final_observation = last;
  }
  if (m) out.action_vector = from_values<double>(out.rows(), m, vectors);
  return out;
}

}  // namespace

Trajectories rollout(States& states, const Policy& policy, const std::vector<Array<double>>& theta, int T,
                     Draw draw, const std::function<void(int i)>& watch) {
  expect(states.size() == draw.count, "needs a state for each of ", draw.count, " trajectories, got ",
         states.size());
  switch (states.spaces().observed) {
    case Spaces::Number::float32:
      return rollout_of<float>(states, policy, theta, T, draw, watch);
    case Spaces::Number::float64:
      return rollout_of<double>(states, policy, theta, T, draw, watch);
    default:
      return rollout_of<std::uint8_t>(states, policy, theta, T, draw, watch);
  }
}

}  // namespace lowvar
