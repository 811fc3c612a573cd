// What is written down of a training run while it goes on: lines of progress.csv and episodes.csv, and
// checkpoints, seed by seed.
#pragma once

#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "algorithms/measure/moments.h"
#include "algorithms/train/training.h"
#include "experiments/output.h"

namespace lowvar {

/// A number measured along a run, before the update `update`.
struct Measurement {
  long update = 0, step = 0;
  std::string estimator = {}, quantity = {};
  Estimate value = {};
  double mean_return = 0;  // of the last 100 training episodes

  template <class F>
  void visit(F&& f) {
    f("update", update), f("step", step), f("estimator", estimator), f("quantity", quantity);
    f("value", value.value), f("se", value.se), f("mean_return", mean_return);
  }
};

/// progress.csv and episodes.csv, without rows.
Csv progress_table();
Csv episode_table();

/// What one seed's training looks like from outside. A value; with the learner, all that its future needs.
class Diary {
 public:
  Diary() = default;
  /// Of a seed that is to take so many steps.
  Diary(std::uint64_t seed, long steps);

  void saw(const Episode& e);
  /// Whether there is a line of progress about it.
  bool saw(const UpdateReport& u);
  void measured(const std::vector<Measurement>& part) {
    variance_.insert(variance_.end(), part.begin(), part.end());
  }

  /// Mean return of the last 100 episodes, or of all if there are fewer; NaN before the first.
  double mean() const;
  /// Best mean of 100 consecutive episodes; NaN if there are fewer.
  double best() const { return best_; }
  /// Environment steps that were taken.
  long step() const { return step_; }
  const std::vector<Measurement>& variance() const { return variance_; }
  /// Lines of progress.csv and of episodes.csv.
  std::string_view progress() const { return progress_.lines(); }
  std::string_view episodes() const { return episodes_.lines(); }

  template <class F>
  void visit(F&& f) {
    f("seed", seed_), f("every", every_), f("next", next_), f("count", count_), f("step", step_),
        f("recent", recent_), f("sum", sum_), f("best", best_);
    f("variance", variance_), f("progress", progress_), f("episodes", episodes_);
  }

 private:
  std::uint64_t seed_ = 0;
  long every_ = 1, next_ = 0, count_ = 0, step_ = 0;
  std::vector<double> recent_;
  double sum_ = 0, best_ = std::numeric_limits<double>::quiet_NaN();
  std::vector<Measurement> variance_;
  Csv progress_ = progress_table(), episodes_ = episode_table();
};

/// How a seed's training ended.
struct Ending {
  double eval_return = 0;
  double steps_per_second = 0;
  std::string fault = {};  // what a NumericalFault said, where one ended it

  template <class F>
  void visit(F&& f) {
    f("eval_return", eval_return), f("steps_per_second", steps_per_second), f("fault", fault);
  }
};

/// A seed between two updates.
struct KeptSeed {
  std::vector<std::byte> learner;  // Run::store
  Diary diary;

  template <class F>
  void visit(F&& f) {
    f("learner", learner), f("diary", diary);
  }
};

/// The log of all seeds. The root writes it; where there are several processes and several seeds, each of the
/// others tells the root about its own.
///
/// Threads: any number at once, each with seeds of its own.
class TrainingLog {
 public:
  /// Where the directory goes on from an earlier process, with what that kept; `try_learner` throws Error
  /// where a learner is none of the plan's, and its checkpoint is not used then.
  TrainingLog(
      const std::vector<std::uint64_t>& seeds, long steps, OutputDirectory& directory,
      const std::function<void(std::uint64_t seed, const std::vector<std::byte>& learner)>& try_learner);

  /// Whether each process has seeds of its own; else each has them all.
  bool dealt() const { return dealt_; }
  /// Seed i of the list, as it was kept; or nothing.
  const std::optional<KeptSeed>& kept(int i) const { return kept_[at(i)]; }

  // About seed i, by who trains it. Throws Error where it cannot be written.
  /// New lines.
  void tell(int i, const Diary& diary);
  /// And a checkpoint: from here it can be gone on with.
  void keep(int i, const Diary& diary, const Run& run);
  /// And its end.
  void end(int i, const Diary& diary, const Run& run, const Ending& ending);
  /// The end of one that a NumericalFault stopped.
  void fail(int i, const Diary& diary, const std::string& fault);

  /// Waits for every seed, wherever it is trained. Throws NumericalFault for the first that one stopped. Then
  /// both files are whole, in the order of the seeds, and there is one checkpoint of each.
  void finish();
  // After that, on every process:
  const Ending& ending(int i) const { return *endings_[at(i)]; }
  const Diary& diary(int i) const { return kept_[at(i)]->diary; }
  /// On the root.
  const std::vector<std::byte>& learner(int i) const { return kept_[at(i)]->learner; }

 private:
  struct Told;

  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  std::string name(int i) const;
  Told news(int i, const Diary& diary);
  Told standing(int i, const Diary& diary, const Run& run);
  void send(const Told& told);
  void write_down(const Told& told);
  void read_letters();
  void share();

  std::vector<std::uint64_t> seeds_;
  OutputDirectory& directory_;
  bool dealt_;
  std::vector<std::optional<KeptSeed>> kept_;
  std::vector<std::optional<Ending>> endings_;
  std::vector<std::pair<std::size_t, std::size_t>>
      told_;  // how much of the lines of progress and of episodes

  std::mutex mutex_;
  bool failed_ = false;                             // to write: then nobody goes on
  std::optional<GrowingFile> progress_, episodes_;  // on the root
};

}  // namespace lowvar
