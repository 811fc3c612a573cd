#include "core/arena.h"

#include <algorithm>

namespace lowvar {

Arena::Line* Arena::lines(std::size_t n) {
  while (at_.chunk < chunks_.size() && at_.used + n > chunks_[at_.chunk].size) at_ = {at_.chunk + 1, 0};
  if (at_.chunk == chunks_.size()) {
    const std::size_t size = std::max<std::size_t>(n, (std::size_t{1} << 20) / sizeof(Line));
    chunks_.push_back({std::unique_ptr<Line[]>(new Line[size]), size});
  }
  Line* out = chunks_[at_.chunk].data.get() + at_.used;
  at_.used += n;
  return out;
}

}  // namespace lowvar
