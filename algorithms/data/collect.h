// Collecting for training: environments that run on from one batch to the next.
#pragma once

#include "algorithms/data/world.h"

namespace lowvar {

/// n environments under a changing policy. Their resets and noise are of stream "train", their actions of
/// stream "train-actions", each with `suffix` behind it: pure functions of (seed, environment, step).
class Collector {
 public:
  Collector(const World& world, int n, std::uint64_t seed, const std::string& suffix = "");

  /// The next `steps` steps of each environment, environment by environment, cut where episodes end.
  /// `policy` acts at theta; T is float or double.
  template <class T>
  Trajectories operator()(const Policy& policy, std::span<const Array<T>> theta, int steps);

  /// Episodes that ended in the last batch, in order of time: undiscounted return and the number of steps
  /// taken in all by then.
  struct Episode {
    double total;
    int length;
    long at;
  };
  const std::vector<Episode>& episodes() const { return episodes_; }
  /// Taken by all environments together.
  long steps() const { return steps_; }

 private:
  bool tabular_;
  int m_;
  std::unique_ptr<Stepper> environments_;
  std::vector<Rng> rng_;
  std::vector<double> total_;
  std::vector<int> length_;
  std::vector<Episode> episodes_;
  long steps_ = 0;
};

/// State numbers that a tabular world's observations [n x 1] are.
std::vector<int> state_numbers(const Array<float>& observation);

}  // namespace lowvar
