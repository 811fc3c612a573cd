// Sums in an order that their lengths alone decide, with an error that hardly grows with them: at most 32
// numbers are added one to another, what comes of that pairwise (Higham 1993, "The accuracy of floating point
// summation", section 2). Of n numbers of one sign the relative error is below (26 + log2 n) u, with u =
// 2^-24 in float and 2^-53 in double; adding them one to another has n u.
#pragma once

#include <cstddef>

#include "core/arena.h"

namespace lowvar {

namespace detail {

inline constexpr int longest_run = 32, lanes = 8;
inline constexpr std::size_t long_block = 4 * lanes * longest_run;

template <class T>
T sum_lanes(const T* lane) {
  return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

/// Sums of blocks, each in lanes, pairwise in the order in which they come.
template <class T>
class BlockSums {
 public:
  bool empty() const { return depth_ == 0; }
  /// Room for the lanes of the next.
  T* next() { return sums_[depth_]; }
  /// They are written.
  void add() {
    ++depth_;
    for (std::size_t blocks = ++blocks_; blocks % 2 == 0; blocks /= 2) merge();
  }
  T finish() {
    while (depth_ > 1) merge();
    return sum_lanes(sums_[0]);
  }

 private:
  void merge() {
    --depth_;
    for (int j = 0; j < lanes; ++j) sums_[depth_ - 1][j] += sums_[depth_][j];
  }

  T sums_[64][lanes];  // of 2^k blocks each, k falling
  int depth_ = 0;
  std::size_t blocks_ = 0;
};

template <class T>
T sum_blocks(const T* x, std::size_t n);

}  // namespace detail

/// x[0] + ... + x[n-1]: in order below eight, in eight interleaved lanes up to 256, beyond in blocks.
template <class T>
T sum(const T* x, std::size_t n) {
  using namespace detail;
  if (n > lanes * longest_run) [[unlikely]]
    return sum_blocks(x, n);
  const int few = static_cast<int>(n);
  if (few < lanes) {
    T total = 0;
    for (int i = 0; i < few; ++i) total += x[i];
    return total;
  }
  T lane[lanes] = {};
  int i = 0;
  for (; i + lanes <= few; i += lanes)
    for (int j = 0; j < lanes; ++j) lane[j] += x[i + j];
  for (int j = 0; i + j < few; ++j) lane[j] += x[i + j];
  return sum_lanes(lane);
}

/// The same of numbers that come some at a time: sum(x, n), whatever the pieces.
template <class T>
class NumberSum {
 public:
  void add(const T* x, std::size_t n);
  T finish();

 private:
  detail::BlockSums<T> blocks_;
  T waiting_[detail::long_block];  // a block that is not full, or the last
  std::size_t held_ = 0;
};

/// The sum of their squares: in the same lanes and blocks.
template <class T>
T sum_of_squares(const T* x, std::size_t n);

/// The sum of each column of x [rows x cols], written to `out` [cols] or added: 32 rows in order, beginning
/// with what is added to; where there are more rows, such sums pairwise.
template <class T>
void sum_columns(const T* x, std::size_t rows, std::size_t cols, T* out, bool accumulate, Arena& arena);

/// The sum of parts of `size` numbers each, pairwise in the order in which they come:
///     while (...) { write(sum.next()); sum.add(); }
///     sum.finish(out, accumulate);
/// Its room, log2 of the parts times `size`, is of the arena, which must not be rewound below it before
/// finish().
template <class T>
class PairwiseSum {
 public:
  PairwiseSum(Arena& arena, std::size_t size) : arena_(arena), size_(size) {}

  /// Uninitialised room for the next part; the same until it is added.
  T* next() {
    if (depth_ == rooms_) room_[rooms_++] = arena_.allocate<T>(size_);
    return room_[depth_];
  }
  /// The part at next() is written.
  void add() {
    ++depth_;
    for (std::size_t parts = ++parts_; parts % 2 == 0; parts /= 2) merge();
  }
  /// Writes the sum, zeros if there was no part, to `out`, or adds it.
  void finish(T* out, bool accumulate);

 private:
  /// The last two sums become one.
  void merge();

  Arena& arena_;
  std::size_t size_, parts_ = 0;
  int depth_ = 0, rooms_ = 0;
  T* room_[64];  // sums of 2^k parts each, k falling; then room for the next
};

/// sum_columns of rows that come some at a time.
template <class T>
class ColumnSums {
 public:
  ColumnSums(Arena& arena, std::size_t cols) : runs_(arena, cols), cols_(cols) {}

  /// The next rows, [rows x cols].
  void add(const T* x, std::size_t rows);
  /// As PairwiseSum::finish.
  void finish(T* out, bool accumulate);

 private:
  PairwiseSum<T> runs_;
  std::size_t cols_, in_run_ = 0;
};

/// Adds row r of x [rows x cols] to row index[r] of y [targets x cols]. What is added to one row is added
/// 32 times in order, beginning with the number that is there; then pairwise.
template <class T>
void scatter_add(const T* x, std::size_t rows, std::size_t cols, const int* index, T* y, std::size_t targets,
                 Arena& arena);

}  // namespace lowvar
