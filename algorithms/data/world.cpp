#include "algorithms/data/world.h"

#include <cmath>
#include <map>
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

World telling_states(World world) {
  const int n = world.numbers;
  if (!world.stochastic && world.levels.empty())
    world.differences = std::make_shared<const Dynamics>(dynamics_by_differences(world, world.states));
  world.sample = [states = world.states, n](const Policy& policy, const Parameters& theta, int T, Draw draw) {
    const auto moving = states(draw.count);
    std::vector<std::vector<double>> path(static_cast<std::size_t>(draw.count));  // s_0, s_1, ... of each
    Trajectories out = rollout(*moving, policy, theta, T, draw, [&](int i) {
      const std::vector<double> s = moving->numbers(i);
      path[static_cast<std::size_t>(i)].insert(path[static_cast<std::size_t>(i)].end(), s.begin(), s.end());
    });
    out.numbers = zeros<double>(out.rows(), n);
    out.final_numbers = zeros<double>(out.size(), n);
    for (int i = 0; i < out.size(); ++i) {
      const auto& own = path[static_cast<std::size_t>(i)];
      std::copy(own.begin(), own.end() - n, out.numbers.begin() + out.begin(i) * n);
      std::copy(own.end() - n, own.end(), row(out.final_numbers, i).begin());
    }
    return out;
  };
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

World sequence_world(std::string id, SequenceWorld of) {
  World world = tabular_world(std::move(id), std::move(of.mdp));
  world.sequences = std::make_shared<const Sequences>(std::move(of.sequences));
  // A network is asked about the states that are visited, not about all.
  const auto of_table = world.sample;
  world.sample = [of_table, states = world.states](const Policy& policy, const Parameters& theta, int T,
                                                   Draw draw) {
    if (std::holds_alternative<Table>(policy.model)) return of_table(policy, theta, T, draw);
    return rollout(*states(draw.count), policy, theta, T, draw);
  };
  return world;
}

Policy token_policy(const World& world, const std::shared_ptr<const Aliases>& rows) {
  return Policy{Table{world.mdp->S, world.mdp->A, rows}};
}

Policy reading_policy(const World& world, Reader::Cell cell, int width, double output_gain) {
  const Sequences& s = *world.sequences;
  return Policy{Reader{.cell = cell,
                       .tokens = s.tokens,
                       .longest = s.longest,
                       .width = width,
                       .outputs = s.tokens,
                       .written = {world.sequences, &s.prefix},
                       .output_gain = output_gain}};
}

namespace {

/// What the likeliest actions return from a state. Throws Error where an action has several outcomes.
double greedy_return(const World& world, const Policy& policy, const Parameters& theta, double gamma, int s) {
  const Mdp& mdp = *world.mdp;
  double R = 0, discount = 1;
  for (int t = 0; t < mdp.T && !mdp.terminal[static_cast<std::size_t>(s)]; ++t, discount *= gamma) {
    const int state[] = {s};
    int a = 0;
    ActingPolicy(policy, theta, state, nullptr).act_greedily(0, a);
    const auto outcomes = mdp.outcomes(s, a);
    expect(outcomes.size() == 1, "in ", world.id,
           " what follows an action is random, and so is what the likeliest actions return");
    R += discount * outcomes[0].reward;
    s = outcomes[0].next;
  }
  return R;
}

/// The same from a state of these numbers, where actions are vectors and nothing is drawn.
double greedy_return(const World& world, const Policy& policy, const Parameters& theta, double gamma,
                     std::span<const double> start) {
  const auto states = world.states(1);
  states->set_numbers(0, start);
  Rng unused(0, "unused");
  std::vector<double> action(static_cast<std::size_t>(world.m));
  double R = 0, discount = 1;
  char terminated = states->terminal(0);
  for (int t = 0; t < world.T && !terminated; ++t, discount *= gamma) {
    const Array<double> observation = observations(*states);
    ActingPolicy(policy, theta, {}, &observation).act_greedily(0, action);
    double reward = 0;
    states->act(0, 1, {nullptr, action.data()}, {.each = &unused}, &reward, &terminated);
    R += discount * reward;
  }
  return R;
}

}  // namespace

void annotate(const World& world, const Policy& policy, const Parameters& theta, double gamma, Wanted wanted,
              Trajectories& batch) {
  batch.longest = world.T;
  if (wanted.greedy && world.differences) {
    batch.greedy.clear();
    for (int i = 0; i < batch.size(); ++i)
      batch.greedy.push_back(batch.length(i) == 0 ? 0
                                                  : greedy_return(world, policy, theta, gamma,
                                                                  row(batch.numbers, batch.begin(i))));
  } else if (wanted.greedy) {
    expect(world.mdp != nullptr, "what the likeliest actions return is known in tabular worlds, and ",
           world.id, " is none");
    std::map<int, double> from;
    batch.greedy.clear();
    for (int i = 0; i < batch.size(); ++i) {
      double R = 0;
      if (batch.length(i) > 0) {
        const int start = batch.state[static_cast<std::size_t>(batch.begin(i))];
        const auto found = from.find(start);
        R = found != from.end() ? found->second
                                : from[start] = greedy_return(world, policy, theta, gamma, start);
      }
      batch.greedy.push_back(R);
    }
  }
  if (wanted.reference) {
    expect(world.sequences && world.sequences->reference.size() > 0, world.id,
           " says no policy that a divergence could be taken to");
    const Policy reference = token_policy(world, world.sequences->own());
    batch.log_reference = probabilities(reference, {world.sequences->reference}, {batch.state});
    for (double& p : values(batch.log_reference)) p = std::log(p);
  }
}

}  // namespace lowvar
