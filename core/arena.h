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
    std::size_t chunk = 0, used = 0;  // in lines of 64 bytes
  };

  /// Uninitialised room for n values, aligned to 64 bytes.
  template <class T>
  T* allocate(std::size_t n) {
    return reinterpret_cast<T*>(lines((n * sizeof(T) + sizeof(Line) - 1) / sizeof(Line)));
  }
  Mark mark() const { return at_; }
  void rewind(Mark mark) { at_ = mark; }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  struct Chunk {
    std::unique_ptr<Line[]> data;
    std::size_t size;  // in lines
  };
  Line* lines(std::size_t n);

  std::vector<Chunk> chunks_;
  Mark at_;
};

}  // namespace lowvar
