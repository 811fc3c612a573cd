#include "algorithms/data/groups.h"

#include <string>
#include <utility>
#include <vector>

#include "algorithms/data/returns.h"

namespace lowvar {
namespace {

constexpr int tries_to_measure = 10'000, tries_to_train = 100;

bool all_equal(const Trajectories& batch, int first, int G, double gamma) {
  const double R = discounted_return(batch.rewards(first), gamma, batch.after(first));
  for (int i = first + 1; i < first + G; ++i)
    if (discounted_return(batch.rewards(i), gamma, batch.after(i)) != R) return false;
  return true;
}

template <class X>
void append_rows(std::vector<X>& to, const std::vector<X>& from, int begin, int end) {
  if (!from.empty()) to.insert(to.end(), from.begin() + begin, from.begin() + end);
}

}  // namespace

void append(Trajectories& to, const Trajectories& from, int first, int count) {
  const int begin = from.begin(first), end = from.end(first + count - 1);
  append_rows(to.state, from.state, begin, end);
  append_rows(to.action, from.action, begin, end);
  append_rows(to.reward, from.reward, begin, end);
  append_rows(to.log_mu, from.log_mu, begin, end);
  append_rows(to.value, from.value, begin, end);
  append_rows(to.next_value, from.next_value, begin, end);
  append_rows(to.final_state, from.final_state, first, first + count);
  append_rows(to.terminated, from.terminated, first, first + count);
  append_rows(to.truncated, from.truncated, first, first + count);
  append_rows(to.greedy, from.greedy, first, first + count);
  for (int i = first; i < first + count; ++i) to.offset.push_back(to.offset.back() + from.length(i));
  to.longest = from.longest;
}

Trajectories sample_unequal(const World& world, const Policy& policy, const Parameters& theta, int T,
                            double gamma, Draw draw, StillEqual still) {
  expect(world.mdp != nullptr, "groups of equal returns are drawn again in tabular worlds, and ", world.id,
         " is none");
  const Trajectories batch = world.sample(policy, theta, T, draw);
  Trajectories out;
  for (int first = 0; first < batch.size(); first += draw.group) {
    if (!all_equal(batch, first, draw.group, gamma)) {
      append(out, batch, first, draw.group);
      continue;
    }
    for (int k = 1;; ++k) {
      expect(still == StillEqual::keep || k <= tries_to_measure, "in ", world.id, " the returns of ",
             draw.group, " trajectories were equal ", tries_to_measure,
             " times: +dynamic leaves nothing to learn from");
      const std::string stream = std::string(draw.stream) + "/again-" + std::to_string(k);
      const Trajectories again =
          world.sample(policy, theta, T, {draw.seed, stream, draw.first + first, draw.group, draw.group});
      const bool enough = still == StillEqual::keep && k == tries_to_train;
      if (!enough && all_equal(again, 0, draw.group, gamma)) continue;
      append(out, again, 0, draw.group);
      break;
    }
  }
  return out;
}

}  // namespace lowvar
