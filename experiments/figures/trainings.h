// Trainings of a figure, side by side, which one that was stopped goes on with.
#pragma once

#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "algorithms/measure/keeper.h"
#include "algorithms/train/training.h"
#include "experiments/algorithms.h"

namespace lowvar {

/// A training: what is trained, where, for how long. The world must outlive it.
struct Trainee {
  const World* world;
  std::shared_ptr<const Algorithm> algorithm;
  long steps;
  std::uint64_t seed;
  bool ratios = false;  // whether its course says them
};

/// What became of one.
struct Course {
  std::vector<Episode> episodes = {};
  std::vector<double> kl = {};         // of each update: mean KL(before || after)
  std::vector<double> max_ratio = {};  // and the largest pi(a|s) after over before of its batch
  std::string fault = {};              // what a NumericalFault said that ended it early
  std::vector<std::byte> run = {};     // Run::store at its end; empty: not begun

  template <class F>
  void visit(F&& f) {
    f("episodes", episodes), f("kl", kl), f("max_ratio", max_ratio), f("fault", fault), f("run", run);
  }

  /// Mean return of the last 100 episodes that had ended after `step` steps, or of all if there are fewer;
  /// NaN before the first.
  double mean_return(long step) const;
  /// That at the end.
  double final_return() const { return mean_return(std::numeric_limits<long>::max()); }
};

/// An algorithm of a page's recipe with the settings of a file of experiments/configs, if one is named, and
/// `options` over them.
std::shared_ptr<Algorithm> configured(const std::string& algorithm, const World& world,
                                      const std::string& config,
                                      const std::vector<std::pair<std::string, std::string>>& options = {});

/// Trains all of them. The keeper is told each time a twentieth of every training is done.
std::vector<Course> train_all(const std::string& title, const std::vector<Trainee>& all, Keeper keeper);

/// What a training has learnt.
Learned learned(const Trainee& of, const Course& course);

/// The mean return of the policy that a training begins with, over 100 episodes of stream "untrained".
double untrained_return(const Trainee& of);

}  // namespace lowvar
