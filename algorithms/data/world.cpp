#include "algorithms/data/world.h"

#include <numeric>

#include "envs/tabular_environment.h"

namespace lowvar {

std::unique_ptr<Stepper> World::stepper(int n, int limit, std::uint64_t seed, std::string_view stream,
                                        int first) const {
  return std::make_unique<Stepper>(states(n), limit, seed, stream, first);
}

World world_of(std::string id, const Spaces& spaces, MakeStates states, double gamma, int T) {
  World world{spaces};
  world.id = std::move(id);
  world.gamma = gamma;
  world.T = T;
  world.sample = [states](const Policy& policy, const Parameters& theta, int horizon, Draw draw) {
    return rollout(*states(draw.count), policy, theta, horizon, draw);
  };
  world.states = std::move(states);
  return world;
}

World tabular_world(std::string id, Mdp mdp) {
  const auto shared = std::make_shared<const Mdp>(std::move(mdp));
  const TabularEnvironment env(shared);
  World world = world_of(std::move(id), spaces_of(env), states_of(env), shared->gamma, shared->T);
  world.observation = 0;
  world.mdp = shared;
  // The table of probabilities is made anew for each draw: it costs less than one of its trajectories, and
  // makes them many times faster than looking at each state again.
  world.sample = [shared](const Policy& policy, const Parameters& theta, int, Draw draw) {
    std::vector<int> all(static_cast<std::size_t>(shared->S));
    std::iota(all.begin(), all.end(), 0);
    return rollout(*shared, probabilities(policy, theta, {all}), draw);
  };
  return world;
}

}  // namespace lowvar
