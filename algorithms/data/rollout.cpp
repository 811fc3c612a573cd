#include "algorithms/data/rollout.h"

#include <numeric>

#include "algorithms/data/world.h"

namespace lowvar {

ActingPolicy::ActingPolicy(const Policy& policy, const std::vector<Array<double>>& theta,
                           const Inputs& inputs) {
  if (policy.head == Head::softmax) {
    p_ = probabilities(policy, theta, inputs);
    return;
  }
  Tape<double> tape;
  std::vector<Var<double>> constants;
  for (const auto& x : theta) constants.push_back(tape.constant(x));
  p_ = std::get<DiagGaussian<double>>(policy(tape, constants, inputs)).mean.value();
  log_std_.assign(theta.back().begin(), theta.back().end());
}

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

Trajectories rollout(const Mdp& mdp, const Array<double>& pi, Draw draw) {
  Array<double> log_pi = pi;
  for (double& p : values(log_pi)) p = std::log(p);
  Trajectories out;
  for (int i = 0; i < draw.count; ++i) {
    Rng rng(draw.seed, draw.stream, static_cast<std::uint32_t>(draw.first + i));
    int s = rng.categorical(mdp.start);
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
          .mdp = shared};
}

}  // namespace lowvar
