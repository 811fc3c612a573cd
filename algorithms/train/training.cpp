#include "algorithms/train/training.h"

#include <numeric>

#include "core/parallel.h"

namespace lowvar {

void Run::expect_finite() const {
  if (finite()) return;
  const Learned now = learned();
  const auto refuse = [&](const char* whose, const std::vector<std::string>& names,
                          const Parameters& arrays) {
    for (std::size_t i = 0; i < arrays.size(); ++i)
      if (!all_finite(std::span(&arrays[i], 1)))
        throw NumericalFault(join(whose, " ", names[i], " holds a number that is not finite after ",
                                  updates(), " updates and ", steps(),
                                  " steps; a smaller learning rate may help"));
  };
  refuse("the policy's", now.policy.names(), now.theta);
  if (now.critic) refuse("the critic's", names(*now.critic), now.w);
  throw NumericalFault(
      join("a parameter is not finite after ", updates(), " updates and ", steps(), " steps"));
}

UpdateReport Run::advance(const Watcher& watcher) {
  const UpdateReport report = update(watcher);
  expect_finite();
  return report;
}

Learned Run::finish(const Watcher& watcher) {
  while (goes_on()) {
    if (watcher.wants && watcher.wants(updates())) watcher.snapshot(updates(), steps(), learned());
    watcher.saw(advance(watcher));
    if (watcher.stands) watcher.stands(*this);
  }
  return learned();
}

Learned train(const World& world, const Algorithm& algorithm, long steps, std::uint64_t seed,
              const Watcher& watcher) {
  return algorithm.start(world, steps, seed)->finish(watcher);
}

int next_episode(long done, int more) {
  constexpr int most = std::numeric_limits<int>::max();
  expect(done <= most - more, "a run draws at most ", most, " episodes one by one, and ", done, " are drawn");
  return static_cast<int>(done);
}

std::vector<Episode> whole_episodes(const Trajectories& batch, long steps) {
  std::vector<Episode> out;
  for (int i = 0; i < batch.size(); ++i) {
    const auto r = batch.rewards(i);
    out.push_back({std::accumulate(r.begin(), r.end(), 0.0), batch.length(i), steps += batch.length(i)});
  }
  return out;
}

namespace {

/// Returns of episodes [first, first + episodes), side by side until the last of them ends.
std::vector<double> side_by_side(const World& world, const Policy& policy, const Parameters& theta, int first,
                                 int episodes, std::uint64_t seed, const std::function<void()>& before_step) {
  const auto environments = world.stepper(episodes, world.T, seed, "evaluation", first);
  std::vector<double> total(static_cast<std::size_t>(episodes));
  std::vector<char> done(total.size());
  std::vector<int> choices(world.m ? 0 : total.size());
  Array<double> vectors = zeros<double>(world.m ? episodes : 0, world.m);
  for (int t = 0; t < world.T; ++t) {
    before_step();
    const Array<double> seen = environments->observation().as<double>();
    std::vector<int> state;
    if (world.mdp) state.assign(seen.begin(), seen.end());
    const ActingPolicy acting(policy, theta, state, world.mdp ? nullptr : &seen);
    for (int i = 0; i < episodes; ++i) {
      if (world.m)
        acting.act_greedily(i, row(vectors, i));
      else
        acting.act_greedily(i, choices[static_cast<std::size_t>(i)]);
    }
    environments->step(choices, vectors);
    bool running = false;
    for (std::size_t i = 0; i < total.size(); ++i) {
      if (!done[i]) total[i] += environments->reward()[i];
      done[i] = done[i] || environments->terminated()[i] || environments->truncated()[i];
      running = running || !done[i];
    }
    if (!running) break;
  }
  return total;
}

}  // namespace

std::vector<double> evaluate(const World& world, const Policy& policy, const Parameters& theta, int episodes,
                             std::uint64_t seed, const std::function<void()>& before_step) {
  if (!world.dear) return side_by_side(world, policy, theta, 0, episodes, seed, before_step);
  std::vector<double> out(static_cast<std::size_t>(episodes));  // one by one: none is stepped beyond its end
  parallel_for(episodes, [&](int i) {
    out[static_cast<std::size_t>(i)] = side_by_side(world, policy, theta, i, 1, seed, before_step).front();
  });
  return out;
}

}  // namespace lowvar
