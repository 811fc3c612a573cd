// Collecting for training: environments that run on from one batch to the next.
#pragma once

#include "algorithms/data/world.h"

namespace lowvar {

/// An episode that ended: its undiscounted return, its length, and the number of steps taken in all by then.
struct Episode {
  double total;
  int length;
  long at;

  template <class F>
  void visit(F&& f) {
    f("total", total), f("length", length), f("at", at);
  }
};

/// n environments under a changing policy. Their resets and noise are of stream "train", their actions of
/// stream "train-actions", each with `branch` behind it: pure functions of (seed, environment, step).
///
/// The policy looks at blocks of 16 environments at a time, or one where a step is dear, for its outputs
/// depend in their last bits on how many rows it sees. Blocks are stepped in parallel and dealt.
class Collector {
 public:
  Collector(const World& world, int n, std::uint64_t seed, const std::string& branch = "");

  /// The next `steps` steps of each environment, environment by environment, cut where episodes end.
  /// `policy` acts at theta; T is float or double. Observations are those of the world, and `bootstrap` is
  /// left empty: what follows a cut is for whoever knows values to say.
  template <class T>
  Trajectories operator()(const Policy& policy, std::span<const Array<T>> theta, int steps);

  /// Episodes that ended in the last batch, in order of time.
  const std::vector<Episode>& episodes() const { return episodes_; }

  /// All that the next batch depends on beside the constructor's arguments and the policy.
  struct State {
    std::vector<Bytes> places;  // of each block
    std::vector<double> total;  // [n], return of the episode so far
    std::vector<int> length;    // [n], its steps so far
    long steps = 0;             // taken by all environments together

    template <class F>
    void visit(F&& f) {
      f("places", places), f("total", total), f("length", length), f("steps", steps);
    }
  };
  State state() const;
  void restore(const State& state);

 private:
  /// Where the environments of a block are.
  struct Place {
    Bytes environments;
    std::vector<double> total;
    std::vector<int> length;

    template <class F>
    void visit(F&& f) {
      f("environments", environments), f("total", total), f("length", length);
    }
  };
  /// Environments that a policy looks at together.
  struct Block {
    std::unique_ptr<Stepper> environments;
    std::vector<Rng> actions;
    Place now;
    bool stepped_here = true;  // else `environments` are not at `now`
  };
  /// What comes of a block in a batch.
  struct Part {
    Trajectories batch;
    std::vector<Episode> episodes;
    Place after;

    template <class F>
    void visit(F&& f) {
      f("batch", batch), f("episodes", episodes), f("after", after);
    }
  };
  /// Observations are numbers of X.
  template <class T, class X>
  Trajectories collect(const Policy& policy, std::span<const Array<T>> theta, int steps);
  template <class T, class X>
  Part step(Block& block, const Policy& policy, std::span<const Array<T>> theta, int steps) const;

  bool tabular_;
  int m_, n_, T_;
  long steps_ = 0;
  std::vector<Block> blocks_;
  std::vector<Episode> episodes_;
};

}  // namespace lowvar
