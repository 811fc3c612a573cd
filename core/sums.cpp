#include "core/sums.h"

#include <algorithm>
#include <bit>
#include <type_traits>

namespace lowvar {
namespace detail {
namespace {

/// The square of each of x, as if it stood there.
template <class T>
struct Squares {
  const T* x;
  T operator[](int i) const { return x[i] * x[i]; }
  Squares operator+(std::size_t n) const { return {x + n}; }
};

/// Adds the sum of n numbers x, at most a block, to `sums`. Four times as many lanes as they have, so
/// that one addition need not wait for another.
template <class T>
void add_block(BlockSums<T>& sums, auto x, std::size_t n) {
  constexpr int many = 4 * lanes;
  const int size = static_cast<int>(n);
  T lane[many] = {};
  int i = 0;
  for (; i + many <= size; i += many)
    for (int j = 0; j < many; ++j) lane[j] += x[i + j];
  for (; i + lanes <= size; i += lanes)
    for (int j = 0; j < lanes; ++j) lane[j] += x[i + j];
  for (int j = 0; i + j < size; ++j) lane[j] += x[i + j];
  T* to = sums.next();
  for (int j = 0; j < lanes; ++j)
    to[j] = (lane[j] + lane[lanes + j]) + (lane[2 * lanes + j] + lane[3 * lanes + j]);
  sums.add();
}

/// The sum of n > 0 numbers x, blocks of them pairwise.
template <class T>
T sum_blocks_of(auto x, std::size_t n) {
  BlockSums<T> sums;
  for (std::size_t done = 0; done < n; done += long_block)
    add_block(sums, x + done, std::min(long_block, n - done));
  return sums.finish();
}

}  // namespace

template <class T>
T sum_blocks(const T* x, std::size_t n) {
  return sum_blocks_of<T>(x, n);
}

}  // namespace detail

using namespace detail;

template <class T>
void NumberSum<T>::add(const T* x, std::size_t n) {
  if (held_ > 0) {
    const std::size_t head = std::min(n, long_block - held_);
    std::copy_n(x, head, waiting_ + held_);
    held_ += head, x += head, n -= head;
    if (held_ < long_block || n == 0) return;
    add_block(blocks_, waiting_, long_block);
    held_ = 0;
  }
  for (; n > long_block; x += long_block, n -= long_block) add_block(blocks_, x, long_block);
  std::copy_n(x, n, waiting_);
  held_ = n;
}

template <class T>
T NumberSum<T>::finish() {
  if (blocks_.empty()) return sum(waiting_, held_);
  add_block(blocks_, waiting_, held_);
  return blocks_.finish();
}

template <class T>
T sum_of_squares(const T* x, std::size_t n) {
  return n == 0 ? T(0) : sum_blocks_of<T>(Squares<T>{x}, n);
}

// ---- Of rows ----

namespace {

/// to [width] (+)= the sum of the `width` numbers at x of some rows, `stride` apart, in order.
template <std::size_t width, class T>
[[gnu::noinline]] void add_narrow(const T* x, std::size_t rows, std::size_t stride, T* to, bool accumulate) {
  T total[width];  // in registers
  std::copy_n(accumulate ? to : x, width, total);
  for (std::size_t r = !accumulate; r < rows; ++r)
    for (std::size_t j = 0; j < width; ++j) total[j] += x[r * stride + j];
  std::copy_n(total, width, to);
}

/// to [cols] (+)= the sum of x [rows x cols], rows > 0, in order.
template <class T>
void add_rows(const T* x, std::size_t rows, std::size_t cols, T* to, bool accumulate) {
  if (rows >= 8 && cols * sizeof(T) <= 256) {
    std::size_t j = 0;
    const auto rest = [&](auto width) {
      if (cols & width) add_narrow<width>(x + j, rows, cols, to + j, accumulate), j += width;
    };
    if constexpr (sizeof(T) == 4) rest(std::integral_constant<std::size_t, 64>());
    rest(std::integral_constant<std::size_t, 32>());
    rest(std::integral_constant<std::size_t, 16>());
    rest(std::integral_constant<std::size_t, 8>());
    rest(std::integral_constant<std::size_t, 4>());
    rest(std::integral_constant<std::size_t, 2>());
    rest(std::integral_constant<std::size_t, 1>());
    return;
  }
  if (!accumulate) std::copy_n(x, cols, to);
  for (std::size_t r = !accumulate; r < rows; ++r)
    for (std::size_t j = 0; j < cols; ++j) to[j] += x[r * cols + j];
}

}  // namespace

template <class T>
void PairwiseSum<T>::merge() {
  --depth_;
  T* __restrict to = room_[depth_ - 1];
  const T* from = room_[depth_];
  for (std::size_t j = 0; j < size_; ++j) to[j] += from[j];
}

template <class T>
void PairwiseSum<T>::finish(T* out, bool accumulate) {
  while (depth_ > 1) merge();
  if (depth_ == 0 && !accumulate) std::fill_n(out, size_, T(0));
  if (depth_ == 0) return;
  for (std::size_t j = 0; j < size_; ++j) out[j] = accumulate ? out[j] + room_[0][j] : room_[0][j];
}

template <class T>
void ColumnSums<T>::add(const T* x, std::size_t rows) {
  while (rows > 0) {
    const std::size_t n = std::min(rows, longest_run - in_run_);
    add_rows(x, n, cols_, runs_.next(), in_run_ > 0);
    in_run_ = (in_run_ + n) % longest_run;
    if (in_run_ == 0) runs_.add();
    x += n * cols_;
    rows -= n;
  }
}

template <class T>
void ColumnSums<T>::finish(T* out, bool accumulate) {
  if (in_run_ > 0) runs_.add();
  runs_.finish(out, accumulate);
}

template <class T>
void sum_columns(const T* x, std::size_t rows, std::size_t cols, T* out, bool accumulate, Arena& arena) {
  if (rows > 0 && rows <= longest_run) return add_rows(x, rows, cols, out, accumulate);
  const auto mark = arena.mark();
  ColumnSums<T> sums(arena, cols);
  sums.add(x, rows);
  sums.finish(out, accumulate);
  arena.rewind(mark);
}

// ---- By index ----

namespace {

/// The sums of runs that were added to rows of y [targets x cols]. Level k holds the sum of 2^k runs of a row
/// where bit k of the number of its runs that have ended is set; y holds the run that is being added.
template <class T>
class Runs {
 public:
  Runs(std::size_t targets, std::size_t cols, T* y, Arena& arena)
      : cols_(cols), targets_(targets), y_(y), arena_(arena) {}

  /// A run of row i has ended; the next begins with zeros.
  [[gnu::noinline]] void end(std::size_t i) {
    if (ended_ == nullptr) {
      ended_ = arena_.allocate<unsigned>(targets_);
      std::fill_n(ended_, targets_, 0);
    }
    const int k = std::countr_zero(++ended_[i]);
    for (; levels_ <= k; ++levels_) level_[levels_] = arena_.allocate<T>(targets_ * cols_);
    for (int l = 0; l < k; ++l) add(i, l);
    std::copy_n(y_ + i * cols_, cols_, level_[k] + i * cols_);
    std::fill_n(y_ + i * cols_, cols_, T(0));
  }
  /// All of them are added to y.
  void finish() {
    for (std::size_t i = 0; ended_ && i < targets_; ++i)
      for (unsigned bits = ended_[i]; bits != 0; bits &= bits - 1) add(i, std::countr_zero(bits));
  }

 private:
  void add(std::size_t i, int l) {
    for (std::size_t j = i * cols_; j < (i + 1) * cols_; ++j) y_[j] += level_[l][j];
  }

  std::size_t cols_, targets_;
  T* y_;
  Arena& arena_;
  unsigned* ended_ = nullptr;  // runs of each row, where one has ended
  int levels_ = 0;
  T* level_[32];
};

/// scatter_add; `cols` may be a constant.
template <class T>
void scatter_add_rows(const T* __restrict x, std::size_t rows, const auto cols, const int* __restrict index,
                      T* __restrict y, std::size_t targets, Arena& arena) {
  const auto mark = arena.mark();
  Runs<T> runs(targets, cols, y, arena);
  const bool long_enough = rows > longest_run;                                  // for a run to end
  int* __restrict left = long_enough ? arena.allocate<int>(targets) : nullptr;  // of the run of each row of y
  if (long_enough) std::fill_n(left, targets, longest_run);
  for (std::size_t r = 0; r < rows; ++r) {
    const auto i = static_cast<std::size_t>(index[r]);
    if (long_enough && left[i]-- == 0) [[unlikely]] {
      runs.end(i);
      left[i] = longest_run - 1;
    }
    T* __restrict to = y + i * cols;
    const T* __restrict from = x + r * cols;
    for (std::size_t j = 0; j < cols; ++j) to[j] += from[j];
  }
  runs.finish();
  arena.rewind(mark);
}

}  // namespace

template <class T>
void scatter_add(const T* x, std::size_t rows, std::size_t cols, const int* index, T* y, std::size_t targets,
                 Arena& arena) {
  const auto all = [&](auto width) { scatter_add_rows(x, rows, width, index, y, targets, arena); };
  switch (cols) {  // narrow rows are only fast where their width is known
    case 1:
      return all(std::integral_constant<std::size_t, 1>());
    case 2:
      return all(std::integral_constant<std::size_t, 2>());
    case 3:
      return all(std::integral_constant<std::size_t, 3>());
    case 4:
      return all(std::integral_constant<std::size_t, 4>());
  }
  all(cols);
}

#define LOWVAR_INSTANTIATE(T)                                                      \
  template T detail::sum_blocks(const T*, std::size_t);                            \
  template T sum_of_squares(const T*, std::size_t);                                \
  template class NumberSum<T>;                                                     \
  template class PairwiseSum<T>;                                                   \
  template class ColumnSums<T>;                                                    \
  template void sum_columns(const T*, std::size_t, std::size_t, T*, bool, Arena&); \
  template void scatter_add(const T*, std::size_t, std::size_t, const int*, T*, std::size_t, Arena&);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE

}  // namespace lowvar
