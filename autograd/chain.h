// Values that are evaluated late. A large result of an operation on rows is only noted when it is recorded;
// who asks for it evaluates the chain of such results behind it, block by block of rows: all but its end
// stays in the cache and is never stored. The backward pass goes through chains in the same blocks, and
// evaluates them again. Who asks a second time has it stored. A result of one row is written at once, and so
// is everything where the trap is to look.
#pragma once

#include "autograd/op.h"

namespace lowvar::detail {

/// The last node of the record, written or left for later: what an operation with Op::forward returns.
template <class T>
Var<T> finish_late(Record<T>& record, At at);

/// Pulls back the longest chain that begins at record.order[k], and returns where what is left begins, k if
/// there is none; what stood among the chain comes after it.
template <class T>
std::size_t pull_back_chain(Record<T>& record, std::size_t k);

/// The arena is as it was when this ends, and what was evaluated meanwhile is forgotten.
template <class T>
class Scratch {
 public:
  explicit Scratch(Record<T>& record)
      : record_(record), mark_(record.arena.mark()), evaluated_(record.evaluated.size()) {}
  ~Scratch() {
    for (std::size_t k = evaluated_; k < record_.evaluated.size(); ++k)
      if (const int i = record_.evaluated[k]; static_cast<std::size_t>(i) < record_.nodes.size())
        record_[i].value = nullptr;
    record_.evaluated.resize(evaluated_);
    record_.arena.rewind(mark_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

 private:
  Record<T>& record_;
  Arena::Mark mark_;
  std::size_t evaluated_;
};

}  // namespace lowvar::detail
