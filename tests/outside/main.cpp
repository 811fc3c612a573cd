// The `lowvar` command line with one more environment, estimator and importance weight (docs/extending.md).
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "algorithms/estimators/estimator.h"
#include "experiments/cli/cli.h"
#include "experiments/worlds.h"
#include "importance_weight.h"

using namespace lowvar;

// [an environment]
/// A walker on a line, pushed left or right by noise; +1 for each step within 2 of the middle.
struct Walk {
  struct State {
    double x, drift;
  };
  using Action = int;
  static constexpr int actions = 2, observation = 2;

  State reset(Rng& rng) const { return {rng.uniform(-1, 1), 0}; }
  Step<State> step(const State& s, int action, Rng& rng) const {
    const double drift = 0.9 * s.drift + 0.1 * rng.normal() + (action == 1 ? 0.1 : -0.1);
    const double x = s.x + drift;
    return {{x, drift}, std::abs(x) < 2 ? 1.0 : 0.0, std::abs(x) > 5};
  }
  void observe(const State& s, std::span<double> out) const {
    out[0] = float32(s.x);
    out[1] = float32(s.drift);
  }
};
// [an environment]

// [an estimator]
/// The sum of the next K rewards, discounted: less variance than the return to go, and a bias.
Estimator next_rewards(int K) {
  Estimator e;
  e.equation = "g = sum_t gamma^t z_t sum_{i<K} gamma^i r_{t+i}";
  e.source = "tests/outside";
  e.bias = "rewards after K steps are left out";
  e.weights = [K](const Trajectories& batch, const Constants& c) {
    Array<double> psi = zeros<double>(batch.rows(), 1);
    for (int i = 0; i < batch.size(); ++i)
      for (int r = batch.begin(i); r < batch.end(i); ++r) {
        double factor = 1;
        for (int k = r; k < std::min(r + K, batch.end(i)); ++k, factor *= c.gamma)
          psi(r, 0) += factor * batch.reward[static_cast<std::size_t>(k)];
      }
    return psi;
  };
  return e;
}
// [an estimator]

// [a command line]
int main(int argc, char** argv) {
  add_world<Walk>("walk", "a walker on a line who is to stay near the middle", 0.99, 100);
  add_estimator({"next:K", "next:5"}, [](std::string_view typed, std::string_view argument) {
    const int K = std::atoi(std::string(argument).c_str());
    expect(K >= 1, "estimator '", typed, "': K must be a whole number of at least 1, as in next:5");
    return next_rewards(K);
  });
  add_importance_weight(clip_above());
  return run_command_line(argc, argv);
}
// [a command line]
