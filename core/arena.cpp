#include "core/arena.h"

#include <algorithm>
#include <new>

namespace lowvar {

void Arena::Free::operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{64}); }

void* Arena::bytes(std::size_t n) {
  n = (n + 63) / 64 * 64;
  while (at_.chunk < chunks_.size() && at_.used + n > chunks_[at_.chunk].size) at_ = {at_.chunk + 1, 0};
  if (at_.chunk == chunks_.size()) {
    const std::size_t size = std::max<std::size_t>(n, std::size_t{1} << 20);
    chunks_.push_back({std::unique_ptr<std::byte[], Free>(new (std::align_val_t{64}) std::byte[size]), size});
  }
  void* p = chunks_[at_.chunk].data.get() + at_.used;
  at_.used += n;
  return p;
}

}  // namespace lowvar
