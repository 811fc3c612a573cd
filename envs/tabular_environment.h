// A finite MDP as an Environment: the state is its index, and so is the observation.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "envs/env.h"
#include "envs/tabular.h"

namespace lowvar {

struct TabularEnvironment {
  using State = int;
  using Action = int;
  static constexpr int observation = 1;

  std::shared_ptr<const Mdp> mdp;
  int actions, T;
  double gamma;
  bool stochastic;  // whether any (s, a) has several outcomes
  int start;        // the only state to start in; -1 where there are several
  std::array<double, 1> observation_low{0}, observation_high;

  explicit TabularEnvironment(std::shared_ptr<const Mdp> model)
      : mdp(std::move(model)),
        actions(mdp->A),
        T(mdp->T),
        gamma(mdp->gamma),
        stochastic(std::adjacent_find(mdp->offset.begin(), mdp->offset.end(),
                                      [](std::size_t a, std::size_t b) { return b > a + 1; }) !=
                   mdp->offset.end()),
        start(-1),
        observation_high{mdp->S - 1.0} {
    const auto certain = std::find(mdp->start.begin(), mdp->start.end(), 1.0);
    if (certain != mdp->start.end()) start = static_cast<int>(certain - mdp->start.begin());
  }
  explicit TabularEnvironment(Mdp model)
      : TabularEnvironment(std::make_shared<const Mdp>(std::move(model))) {}

  State reset(Rng& rng) const { return start >= 0 ? start : rng.categorical(mdp->start); }

  bool terminal(State s) const { return mdp->terminal[static_cast<std::size_t>(s)] != 0; }

  /// A terminal state is left by no action: it stays, at no reward.
  Step<State> step(State s, int action, Rng& rng) const {
    const auto outcomes = mdp->outcomes(s, action);
    if (outcomes.empty()) return {s, 0, true};
    std::size_t k = 0;  // how many of the probabilities before the last fit below a uniform number
    if (stochastic) {
      double u = rng.uniform();
      for (std::size_t i = 0; i + 1 < outcomes.size(); ++i) k += (u -= outcomes[i].probability) >= 0;
    }
    const Outcome& o = outcomes[k];
    return {o.next, o.reward, mdp->terminal[static_cast<std::size_t>(o.next)] != 0};
  }

  void observe(State s, std::span<double> out) const { out[0] = float32(s); }

  State load(std::span<const std::byte> bytes) const {
    State s{};
    expect(bytes.size() == sizeof s, "a state is ", sizeof s, " bytes, got ", bytes.size());
    std::memcpy(&s, bytes.data(), sizeof s);
    expect(s >= 0 && s < mdp->S, "a state is a number from 0 to ", mdp->S - 1, ", got ", s);
    return s;
  }
};

}  // namespace lowvar
