// Memory that is given out piece by piece and taken back all at once.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace lowvar {

/// Bump allocator over chunks that survive `rewind`: a step that repeats allocates nothing new.
class Arena {
 public:
  struct Mark {
    std::size_t chunk = 0, used = 0;
  };

  /// Uninitialised room for n values, aligned to 64 bytes.
  template <class T>
  T* allocate(std::size_t n) {
    return static_cast<T*>(bytes(n * sizeof(T)));
  }
  Mark mark() const { return at_; }
  void rewind(Mark mark) { at_ = mark; }

 private:
  void* bytes(std::size_t n);

  struct Free {
    void operator()(std::byte* p) const;
  };
  struct Chunk {
    std::unique_ptr<std::byte[], Free> data;
    std::size_t size;
  };
  std::vector<Chunk> chunks_;
  Mark at_;
};

}  // namespace lowvar
