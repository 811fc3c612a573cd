#include "algorithms/data/rollout.h"

#include <algorithm>
#include <numeric>

#include "algorithms/data/world.h"
#include "envs/tabular_environment.h"

namespace lowvar {

template <class T>
ActingPolicy::ActingPolicy(const Policy& policy, std::span<const Array<T>> theta, std::span<const int> state,
                           const Array<T>* observation) {
  Tape<T> tape;
  const auto pi = policy(tape.constants(theta), state, observation ? tape.data(*observation) : Var<T>());
  const auto numbers = [&](Var<T> x) {
    p_ = zeros<double>(x.rows(), x.cols());
    std::copy(x.values().begin(), x.values().end(), p_.data());
  };
  if (const auto* softmax = std::get_if<Categorical<T>>(&pi)) {
    numbers(exp(softmax->log_p));
  } else {
    numbers(std::get<DiagGaussian<T>>(pi).mean);
    log_std_.assign(theta.back().begin(), theta.back().end());
  }
}

template ActingPolicy::ActingPolicy(const Policy&, std::span<const Array<float>>, std::span<const int>,
                                    const Array<float>*);
template ActingPolicy::ActingPolicy(const Policy&, std::span<const Array<double>>, std::span<const int>,
                                    const Array<double>*);

double ActingPolicy::act(int r, Rng& rng, int& action) const {
  expect(log_std_.empty(), "a Gaussian policy acts by vectors, and this world's actions are choices");
  action = rng.categorical(row(p_, r));
  return std::log(p_(r, action));
}

double ActingPolicy::act(int r, Rng& rng, std::span<double> action) const {
  expect(log_std_.size() == action.size(), "a policy of ", log_std_.size(),
         "-vectors cannot act where actions are ", action.size(), "-vectors");
  sample_gaussian(row(p_, r), log_std_, rng, action);
  return log_density(row(p_, r), log_std_, action);
}

void ActingPolicy::act_greedily(int r, int& action) const {
  const auto p = row(p_, r);
  action = static_cast<int>(std::max_element(p.begin(), p.end()) - p.begin());
}

void ActingPolicy::act_greedily(int r, std::span<double> action) const {
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

World tabular_world(std::string id, Mdp mdp) {
  auto shared = std::make_shared<const Mdp>(std::move(mdp));
  // The table of probabilities is made anew for each draw: it costs less than one of its trajectories.
  return {.id = std::move(id),
          .gamma = shared->gamma,
          .T = shared->T,
          .A = shared->A,
          .sample =
              [shared](const Policy& policy, const Parameters& theta, int, Draw draw) {
                std::vector<int> states(static_cast<std::size_t>(shared->S));
                std::iota(states.begin(), states.end(), 0);
                return rollout(*shared, probabilities(policy, theta, {states}), draw);
              },
          .stepper = stepper_of(TabularEnvironment(shared)),
          .mdp = shared};
}

}  // namespace lowvar
