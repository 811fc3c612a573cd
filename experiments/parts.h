// Studies and figures in parts, so that one that was stopped is gone on with.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "algorithms/measure/keeper.h"
#include "experiments/output.h"

namespace lowvar {

/// What a computation adds to its results part by part, the same parts in the same order each time. Where the
/// directory goes on from an earlier process, parts that this had finished are not computed again, and the
/// one that was being computed goes on from its last checkpoint, where it has a keeper.
class Parts {
 public:
  explicit Parts(OutputDirectory& directory);

  /// Calls `part`, which adds rows to the table and lines to the text, and keeps what it has added; or adds
  /// what was kept. Throws Interrupted where the process was asked to stop, when that is kept; a
  /// NumericalFault of `part` finishes the run.
  void operator()(Csv& csv, std::string& text, const std::function<void()>& part);

  /// For the next computation within a part, or of a study that is one part: keeps its state about every 30 s
  /// of work, and when the process is asked to stop; then throws Interrupted. `before` is called before each
  /// time.
  Keeper keeper(std::function<void()> before = nullptr);

 private:
  struct Added {
    std::string rows, text;
    template <class F>
    void visit(F&& f) {
      f("rows", rows), f("text", text);
    }
  };
  struct State {
    std::vector<Added> finished;
    long computation = -1;  // within the part after those, that `going_on` is of
    std::vector<std::byte> going_on;
    template <class F>
    void visit(F&& f) {
      f("finished", finished), f("computation", computation), f("going_on", going_on);
    }
  };

  void keep();

  OutputDirectory& directory_;
  long number_ = 0;  // of the last checkpoint
  State state_;
  std::size_t part_ = 0;  // that is next
  long computation_ = 0;  // within it
};

}  // namespace lowvar
