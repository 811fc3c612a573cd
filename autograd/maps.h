// The page you edit to add a linear map of an array's entries. A map M is
//   - a struct with its name, its adjoint (the map M' with <M x, g> = <x, M' g>), what it does, and
//     examples to test it on;
//   - a function for people to call;
//   - its name in the list at the bottom, which compiles it and puts it under the gradient tests.
// The cotangent of M x is M' applied to g, and the adjoint of M' is M: there is no other rule.
#pragma once

#include <algorithm>
#include <vector>

#include "autograd/tape.h"
#include "core/sums.h"
#include "core/vmath.h"

namespace lowvar {

template <class... Definitions>
struct List {};

/// Shapes to test a map on.
struct MapShapes {
  Shape x, y;
};

/// A map M also has
///     apply(x_shape, x, index, factor, y_shape, y)   y += M x; with an Arena behind y where it needs room
///     examples                                       shapes to test it on
///     example(x, y_shape)                            the call that leads from one to the other
/// and, where what stands here is not true of it, others of these; `sums_rows` as in Op. One that lets rows
/// meet inside groups of them has
///     regroup(x_shape, y_shape, index, of_y, of_x)   as Op::regroup
struct Map {
  /// Row r of M x depends on row r of x alone.
  static bool own_rows(Shape /*x*/, Shape /*y*/) { return false; }
  /// M x is defined row by row from the whole of x.
  static bool shared(Shape /*x*/) { return false; }
  /// The index has `index_cols` entries for each row of M x, in the order of rows.
  static constexpr bool index_by_row = false;
  static int index_cols(Shape /*x*/, Shape /*y*/) { return 1; }
  /// The index is data: row r of M x belongs to sample r.
  static constexpr bool per_row = false;
};

/// Records M x; compiled in ops.cpp for the list below, and `used` keeps it there for all others. The index
/// lives in the tape's arena (see `keep`).
template <class M, class T>
[[gnu::used]] Var<T> record_map(Var<T> x, const int* index, Shape y_shape, At at, T factor = 0);

namespace detail {

/// Whether an array of shape `from` repeats to `to`: each side is that of `to` or 1.
constexpr bool broadcasts(Shape from, Shape to) {
  return (from.rows == 1 || from.rows == to.rows) && (from.cols == 1 || from.cols == to.cols);
}

/// A copy that lives as long as the tape.
const int* keep(Arena& arena, std::span<const int> index);
/// 1 for each row of x that begins a group, else 0; throws unless `offset` rises from 0 to the rows.
const int* group_begins(Arena& arena, const char* op, Shape x, std::span<const int> offset, At at);
/// Throws unless `offset` rises from 0 to the rows of x.
void check_offset(const char* op, Shape x, std::span<const int> offset, At at);
/// Throws unless there are `rows` indices, each in [0, limit).
void check_index(const char* op, std::span<const int> index, int rows, int limit, const char* what, At at);

/// Op::regroup of rows that meet where `begins` is not 1 between them: of_x = of_y, if groups begin there.
inline bool regroup_at(const int* begins, int rows, std::span<const int> of_y, std::span<int> of_x) {
  std::copy(of_y.begin(), of_y.end(), of_x.begin());
  return std::ranges::all_of(of_y, [&](int r) { return r == rows || begins[r] == 1; });
}

// Of examples.
inline constexpr int picked[] = {2, 0, 3}, gathered[] = {1, 1, 0, 2, 1}, groups[] = {0, 2, 2, 3};
inline constexpr int picked_pairs[] = {2, 0, 3, 3, 0, 1}, groups_and_picks[] = {0, 2, 3, 1, 0, 2, 2};

}  // namespace detail

struct BroadcastTo;
struct Place;
struct ScatterAdd;
struct Pad;
struct DiscountedSumForward;
struct ScatterAddColumns;
struct ReverseCumulativeSum;
struct Spread;
struct SegmentPlace;

struct SumTo : Map {
  static constexpr const char* name = "sum_to";
  using adjoint = BroadcastTo;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int*, T, Shape y_shape, T* y, Arena& arena) {
    if (y_shape == Shape{1, 1}) {
      y[0] += sum(x, x_shape.size());
    } else if (y_shape == x_shape) {
      for (std::size_t j = 0; j < y_shape.size(); ++j) y[j] += x[j];
    } else if (y_shape.rows == 1) {
      lowvar::sum_columns(x, x_shape.rows, x_shape.cols, y, true, arena);
    } else {
      for (int r = 0; r < x_shape.rows; ++r) y[r] += sum(x + Shape{r, x_shape.cols}.size(), x_shape.cols);
    }
  }
  static bool own_rows(Shape x, Shape y) { return x.rows == y.rows; }
  static constexpr bool sums_rows = true;
  static constexpr MapShapes examples[] = {{{3, 4}, {1, 4}}, {{3, 1}, {1, 1}}, {{1, 1}, {1, 1}},
                                           {{3, 4}, {3, 1}}, {{1, 4}, {1, 1}}, {{3, 4}, {1, 1}}};
  static auto example(auto x, Shape y) { return sum_to(x, y); }
};
/// Sums x over rows, columns or both, to the given shape: each side is that of x or 1.
template <class T>
Var<T> sum_to(Var<T> x, Shape shape, At at = At::current()) {
  const Shape from = x.shape();
  expect(detail::broadcasts(shape, from), "sum_to: cannot sum ", from, " to ", shape, at);
  return record_map<SumTo>(x, nullptr, shape, at);
}

struct BroadcastTo : Map {
  static constexpr const char* name = "broadcast_to";
  using adjoint = SumTo;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int*, T, Shape y_shape, T* y) {
    for (int r = 0; r < y_shape.rows; ++r) {
      const T* in = x + (x_shape.rows == 1 ? 0 : Shape{r, x_shape.cols}.size());
      T* out = y + Shape{r, y_shape.cols}.size();
      for (int j = 0; j < y_shape.cols; ++j) out[j] += in[x_shape.cols == 1 ? 0 : j];
    }
  }
  static bool own_rows(Shape x, Shape y) { return x.rows == y.rows; }
  static bool shared(Shape x) { return x.rows == 1; }
  static constexpr MapShapes examples[] = {
      {{3, 1}, {3, 4}}, {{1, 4}, {3, 4}}, {{1, 1}, {3, 4}}, {{3, 4}, {3, 4}}};
  static auto example(auto x, Shape y) { return broadcast_to(x, y); }
};
/// Repeats x along its sides of length 1, to the given shape.
template <class T>
Var<T> broadcast_to(Var<T> x, Shape shape, At at = At::current()) {
  const Shape from = x.shape();
  expect(detail::broadcasts(from, shape), "broadcast_to: cannot repeat ", from, " to ", shape, at);
  return record_map<BroadcastTo>(x, nullptr, shape, at);
}

struct Pick : Map {
  static constexpr const char* name = "pick";
  using adjoint = Place;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* index, T, Shape y_shape, T* y) {
    for (int r = 0; r < x_shape.rows; ++r, x += x_shape.cols)
      for (int j = 0; j < y_shape.cols; ++j) *y++ += x[*index++];
  }
  static bool own_rows(Shape, Shape) { return true; }
  static constexpr bool index_by_row = true;
  static int index_cols(Shape, Shape y) { return y.cols; }
  static constexpr MapShapes examples[] = {{{3, 4}, {3, 1}}, {{3, 4}, {3, 2}}};
  static auto example(auto x, Shape y) {
    return y.cols == 1 ? pick(x, detail::picked) : pick_columns(x, detail::picked_pairs);
  }
};
/// Column index[r] of each row r of x [n x C], as [n x 1].
template <class T>
Var<T> pick(Var<T> x, std::span<const int> index, At at = At::current()) {
  detail::check_index("pick", index, x.rows(), x.cols(), "columns", at);
  return record_map<Pick>(x, detail::keep(x.record()->arena, index), {x.rows(), 1}, at);
}
/// As many columns of each row of x [n x C], [n x k]: entry (r, j) is that of x in column index[r k + j] of
/// row r, for the n k entries of `index`.
template <class T>
Var<T> pick_columns(Var<T> x, std::span<const int> index, At at = At::current()) {
  const int k = x.rows() == 0 ? 0 : side(index.size()) / x.rows();
  detail::check_index("pick_columns", index, k * x.rows(), x.cols(), "columns", at);
  return record_map<Pick>(x, detail::keep(x.record()->arena, index), {x.rows(), k}, at);
}

struct Place : Map {
  static constexpr const char* name = "place";
  using adjoint = Pick;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* index, T, Shape y_shape, T* y) {
    for (int r = 0; r < x_shape.rows; ++r, y += y_shape.cols)
      for (int j = 0; j < x_shape.cols; ++j) y[*index++] += *x++;
  }
  static bool own_rows(Shape, Shape) { return true; }
  static constexpr bool index_by_row = true;
  static int index_cols(Shape x, Shape) { return x.cols; }
  static constexpr MapShapes examples[] = {{{3, 1}, {3, 4}}, {{3, 2}, {3, 4}}};
  static auto example(auto x, Shape y) {
    return x.cols() == 1 ? place(x, detail::picked, y.cols) : place_columns(x, detail::picked_pairs, y.cols);
  }
};
/// The adjoint of pick: zeros [n x cols] with x [n x 1] in column index[r] of row r.
template <class T>
Var<T> place(Var<T> x, std::span<const int> index, int cols, At at = At::current()) {
  expect(x.cols() == 1, "place: needs one column, got ", x.shape(), at);
  detail::check_index("place", index, x.rows(), cols, "columns", at);
  return record_map<Place>(x, detail::keep(x.record()->arena, index), {x.rows(), cols}, at);
}
/// The adjoint of pick_columns: zeros [n x cols], to column index[r k + j] of row r of which entry (r, j) of
/// x [n x k] is added.
template <class T>
Var<T> place_columns(Var<T> x, std::span<const int> index, int cols, At at = At::current()) {
  detail::check_index("place_columns", index, side(x.shape().size()), cols, "columns", at);
  return record_map<Place>(x, detail::keep(x.record()->arena, index), {x.rows(), cols}, at);
}

struct Gather : Map {
  static constexpr const char* name = "gather";
  using adjoint = ScatterAdd;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* index, T, Shape y_shape, T* y) {
    for (int r = 0; r < y_shape.rows; ++r) {
      const T* in = x + Shape{index[r], x_shape.cols}.size();
      T* out = y + Shape{r, x_shape.cols}.size();
      for (int j = 0; j < x_shape.cols; ++j) out[j] += in[j];
    }
  }
  static bool shared(Shape) { return true; }
  static constexpr bool index_by_row = true, per_row = true;
  static constexpr MapShapes examples[] = {{{3, 2}, {5, 2}}};
  static auto example(auto x, Shape) { return gather(x, detail::gathered); }
};
/// Rows index[r] of table [S x C], as [n x C].
template <class T>
Var<T> gather(Var<T> table, std::span<const int> index, At at = At::current()) {
  const int n = side(index.size());
  detail::check_index("gather", index, n, table.rows(), "rows", at);
  return record_map<Gather>(table, detail::keep(table.record()->arena, index), {n, table.cols()}, at);
}

struct ScatterAdd : Map {
  static constexpr const char* name = "scatter_add";
  using adjoint = Gather;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* index, T, Shape y_shape, T* y, Arena& arena) {
    lowvar::scatter_add(x, x_shape.rows, x_shape.cols, index, y, y_shape.rows, arena);
  }
  static constexpr bool index_by_row = true;
  static constexpr MapShapes examples[] = {{{5, 2}, {3, 2}}};
  static auto example(auto x, Shape y) { return scatter_add(x, detail::gathered, y.rows); }
};
/// The adjoint of gather: zeros [rows x C], to row index[r] of which row r of x [n x C] is added.
template <class T>
Var<T> scatter_add(Var<T> x, std::span<const int> index, int rows, At at = At::current()) {
  detail::check_index("scatter_add", index, x.rows(), rows, "rows", at);
  return record_map<ScatterAdd>(x, detail::keep(x.record()->arena, index), {rows, x.cols()}, at);
}

struct Transpose : Map {
  static constexpr const char* name = "transpose";
  using adjoint = Transpose;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int*, T, Shape, T* y) {
    for (int r = 0; r < x_shape.rows; ++r)
      for (int j = 0; j < x_shape.cols; ++j) y[Shape{j, x_shape.rows}.size() + r] += *x++;
  }
  static constexpr MapShapes examples[] = {{{3, 4}, {4, 3}}, {{1, 4}, {4, 1}}};
  static auto example(auto x, Shape) { return transpose(x); }
};
template <class T>
Var<T> transpose(Var<T> x, At at = At::current()) {
  return record_map<Transpose>(x, nullptr, {x.cols(), x.rows()}, at);
}

struct Block : Map {  // index: the row and column of the first entry
  static constexpr const char* name = "block";
  using adjoint = Pad;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* first, T, Shape y_shape, T* y) {
    for (int r = 0; r < y_shape.rows; ++r) {
      const T* in = x + Shape{first[0] + r, x_shape.cols}.size() + first[1];
      T* out = y + Shape{r, y_shape.cols}.size();
      for (int j = 0; j < y_shape.cols; ++j) out[j] += in[j];
    }
  }
  static bool own_rows(Shape x, Shape y) { return x.rows == y.rows; }
  static constexpr MapShapes examples[] = {{{3, 4}, {2, 3}}};
  static auto example(auto x, Shape y) { return block(x, 1, 1, y); }
};
/// The block of x of this shape whose first entry is (row, col).
template <class T>
Var<T> block(Var<T> x, int row, int col, Shape shape, At at = At::current()) {
  const Shape from = x.shape();
  expect(row >= 0 && col >= 0 && shape.rows >= 0 && shape.cols >= 0 && row <= from.rows - shape.rows &&
             col <= from.cols - shape.cols,
         "block: no ", shape, " at row ", row, ", column ", col, " of ", from, at);
  return record_map<Block>(x, detail::keep(x.record()->arena, std::array{row, col}), shape, at);
}

struct Pad : Map {
  static constexpr const char* name = "pad";
  using adjoint = Block;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* first, T, Shape y_shape, T* y) {
    for (int r = 0; r < x_shape.rows; ++r) {
      const T* in = x + Shape{r, x_shape.cols}.size();
      T* out = y + Shape{first[0] + r, y_shape.cols}.size() + first[1];
      for (int j = 0; j < x_shape.cols; ++j) out[j] += in[j];
    }
  }
  static bool own_rows(Shape x, Shape y) { return x.rows == y.rows; }
  static constexpr MapShapes examples[] = {{{2, 3}, {3, 4}}};
  static auto example(auto x, Shape y) { return pad(x, 1, 1, y); }
};
/// The adjoint of block: zeros of this shape with x at (row, col).
template <class T>
Var<T> pad(Var<T> x, int row, int col, Shape shape, At at = At::current()) {
  const Shape from = x.shape();
  expect(row >= 0 && col >= 0 && row <= shape.rows - from.rows && col <= shape.cols - from.cols,
         "pad: ", from, " does not fit at row ", row, ", column ", col, " of ", shape, at);
  return record_map<Pad>(x, detail::keep(x.record()->arena, std::array{row, col}), shape, at);
}

/// y += x + factor times the sum in the row before (the next one, backwards), within groups; begins[r] is 1
/// where row r begins a group.
template <bool backwards, class T>
void discounted_sum_rows(Shape shape, const T* x, const int* begins, T factor, T* y) {
  for (int c = 0; c < shape.cols; ++c) {
    T carry = 0;
    for (int k = 0; k < shape.rows; ++k) {
      const int r = backwards ? shape.rows - 1 - k : k;
      const std::size_t at = Shape{r, shape.cols}.size() + static_cast<std::size_t>(c);
      if (!backwards && begins[r]) carry = 0;
      carry = x[at] + factor * carry;
      y[at] += carry;
      if (backwards && begins[r]) carry = 0;
    }
  }
}

struct DiscountedSum : Map {  // index: 1 where a group begins
  static constexpr const char* name = "discounted_sum";
  using adjoint = DiscountedSumForward;
  template <class T>
  static void apply(Shape shape, const T* x, const int* begins, T factor, Shape, T* y) {
    discounted_sum_rows<true>(shape, x, begins, factor, y);
  }
  static bool regroup(Shape x, Shape, const int* begins, std::span<const int> of_y, std::span<int> of_x) {
    return detail::regroup_at(begins, x.rows, of_y, of_x);
  }
  static constexpr bool index_by_row = true;
  static constexpr MapShapes examples[] = {{{3, 4}, {3, 4}}, {{3, 1}, {3, 1}}};
  static auto example(auto x, Shape) { return discounted_sum(x, 0.75, detail::groups); }
};
/// Sums of what follows in each group of rows: y_r = x_r + factor y_(r+1), [n x C]; `offset` [G+1] cuts the
/// rows into G groups, as for grouped_grad.
template <class T>
Var<T> discounted_sum(Var<T> x, std::type_identity_t<T> factor, std::span<const int> offset,
                      At at = At::current()) {
  const int* begins = detail::group_begins(x.record()->arena, "discounted_sum", x.shape(), offset, at);
  return record_map<DiscountedSum>(x, begins, x.shape(), at, factor);
}

struct DiscountedSumForward : Map {
  static constexpr const char* name = "discounted_sum_forward";
  using adjoint = DiscountedSum;
  template <class T>
  static void apply(Shape shape, const T* x, const int* begins, T factor, Shape, T* y) {
    discounted_sum_rows<false>(shape, x, begins, factor, y);
  }
  static bool regroup(Shape x, Shape, const int* begins, std::span<const int> of_y, std::span<int> of_x) {
    return detail::regroup_at(begins, x.rows, of_y, of_x);
  }
  static constexpr bool index_by_row = true;
  static constexpr MapShapes examples[] = {{{3, 4}, {3, 4}}, {{3, 1}, {3, 1}}};
  static auto example(auto x, Shape) { return discounted_sum_forward(x, 0.75, detail::groups); }
};
/// The adjoint of discounted_sum: y_r = x_r + factor y_(r-1).
template <class T>
Var<T> discounted_sum_forward(Var<T> x, std::type_identity_t<T> factor, std::span<const int> offset,
                              At at = At::current()) {
  const int* begins =
      detail::group_begins(x.record()->arena, "discounted_sum_forward", x.shape(), offset, at);
  return record_map<DiscountedSumForward>(x, begins, x.shape(), at, factor);
}

struct Reshape : Map {
  static constexpr const char* name = "reshape";
  using adjoint = Reshape;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int*, T, Shape, T* y) {
    const std::size_t size = x_shape.size();
    for (std::size_t i = 0; i < size; ++i) y[i] += x[i];
  }
  static bool own_rows(Shape x, Shape y) { return x.rows == y.rows; }
  static bool regroup(Shape x, Shape y, const int*, std::span<const int> of_y, std::span<int> of_x) {
    bool whole = true;
    for (std::size_t g = 0; g < of_y.size(); ++g) {
      if (of_y[g] == y.rows) {  // also where rows are empty
        of_x[g] = x.rows;
        continue;
      }
      const std::size_t entry = Shape{of_y[g], y.cols}.size(), cols = static_cast<std::size_t>(x.cols);
      whole = whole && cols > 0 && entry % cols == 0;
      of_x[g] = cols > 0 ? static_cast<int>(entry / cols) : 0;
    }
    return whole;
  }
  static constexpr MapShapes examples[] = {
      {{3, 4}, {6, 2}}, {{3, 4}, {2, 6}}, {{3, 4}, {1, 12}}, {{4, 1}, {2, 2}}};
  static auto example(auto x, Shape y) { return reshape(x, y); }
};
/// The same numbers, row after row, in another shape of as many entries. A row of k equal parts becomes k
/// rows [n x kC] -> [nk x C], and back.
template <class T>
Var<T> reshape(Var<T> x, Shape shape, At at = At::current()) {
  const Shape from = x.shape();
  expect(shape.rows >= 0 && shape.cols >= 0 && from.size() == shape.size(), "reshape: ", from, " has ",
         from.size(), " entries, not those of ", shape, at);
  return record_map<Reshape>(x, nullptr, shape, at);
}

namespace detail {

/// y_j += x_index[j]. A stretch of one column, or of columns one after another, is added as such.
template <class T>
void add_gathered(int n, const T* __restrict x, const int* __restrict index, T* __restrict y) {
  for (int j = 0, end; j < n; j = end) {
    end = j + 1;
    const int i = index[j], step = end < n ? index[end] - i : 2;
    if (step == 0 || step == 1)
      while (end < n && index[end] == i + step * (end - j)) ++end;
    if (step == 0)
      for (int k = j; k < end; ++k) y[k] += x[i];
    else
      for (int k = j; k < end; ++k) y[k] += x[i + (k - j)];
  }
}

/// y_index[j] += x_j, of equal columns in a row their sum.
template <class T>
void add_scattered(int n, const T* __restrict x, const int* __restrict index, T* __restrict y) {
  for (int j = 0, end; j < n; j = end) {
    end = j + 1;
    const int i = index[j], step = end < n ? index[end] - i : 2;
    if (step == 0 || step == 1)
      while (end < n && index[end] == i + step * (end - j)) ++end;
    if (step == 0)
      y[i] += sum(x + j, static_cast<std::size_t>(end - j));
    else
      for (int k = j; k < end; ++k) y[i + (k - j)] += x[k];
  }
}

}  // namespace detail

struct GatherColumns : Map {
  static constexpr const char* name = "gather_columns";
  using adjoint = ScatterAddColumns;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* index, T, Shape y_shape, T* y) {
    for (int r = 0; r < y_shape.rows; ++r, x += x_shape.cols, y += y_shape.cols)
      detail::add_gathered(y_shape.cols, x, index, y);
  }
  static bool own_rows(Shape, Shape) { return true; }
  static constexpr MapShapes examples[] = {{{2, 3}, {2, 5}}};
  static auto example(auto x, Shape) { return gather_columns(x, detail::gathered); }
};
/// Columns index[j] of x [n x C], as [n x k].
template <class T>
Var<T> gather_columns(Var<T> x, std::span<const int> index, At at = At::current()) {
  const int k = side(index.size());
  detail::check_index("gather_columns", index, k, x.cols(), "columns", at);
  return record_map<GatherColumns>(x, detail::keep(x.record()->arena, index), {x.rows(), k}, at);
}

struct ScatterAddColumns : Map {
  static constexpr const char* name = "scatter_add_columns";
  using adjoint = GatherColumns;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* index, T, Shape y_shape, T* y) {
    for (int r = 0; r < x_shape.rows; ++r, x += x_shape.cols, y += y_shape.cols)
      detail::add_scattered(x_shape.cols, x, index, y);
  }
  static bool own_rows(Shape, Shape) { return true; }
  static constexpr MapShapes examples[] = {{{2, 5}, {2, 3}}};
  static auto example(auto x, Shape y) { return scatter_add_columns(x, detail::gathered, y.cols); }
};
/// The adjoint of gather_columns: zeros [n x cols], to column index[j] of which column j of x is added.
template <class T>
Var<T> scatter_add_columns(Var<T> x, std::span<const int> index, int cols, At at = At::current()) {
  expect(index.size() == static_cast<std::size_t>(x.cols()),
         "scatter_add_columns: needs one index a column, ", x.cols(), ", got ", index.size(), at);
  detail::check_index("scatter_add_columns", index, x.cols(), cols, "columns", at);
  return record_map<ScatterAddColumns>(x, detail::keep(x.record()->arena, index), {x.rows(), cols}, at);
}

/// y += the sums of each row of x up to each column (from it on, backwards), carried in double.
template <bool backwards, class T>
void cumulative_sum_rows(Shape shape, const T* x, T* y) {
  for (int r = 0; r < shape.rows; ++r, x += shape.cols, y += shape.cols) {
    double carry = 0;
    for (int k = 0; k < shape.cols; ++k) {
      const int j = backwards ? shape.cols - 1 - k : k;
      carry += x[j];
      y[j] += static_cast<T>(carry);
    }
  }
}

struct CumulativeSum : Map {
  static constexpr const char* name = "cumulative_sum";
  using adjoint = ReverseCumulativeSum;
  template <class T>
  static void apply(Shape shape, const T* x, const int*, T, Shape, T* y) {
    cumulative_sum_rows<false>(shape, x, y);
  }
  static bool own_rows(Shape, Shape) { return true; }
  static constexpr MapShapes examples[] = {{{3, 4}, {3, 4}}, {{3, 1}, {3, 1}}};
  static auto example(auto x, Shape) { return cumulative_sum(x); }
};
/// Sums within each row, from its first column to each. Down the rows of groups: discounted_sum_forward with
/// factor 1.
template <class T>
Var<T> cumulative_sum(Var<T> x, At at = At::current()) {
  return record_map<CumulativeSum>(x, nullptr, x.shape(), at);
}

struct ReverseCumulativeSum : Map {
  static constexpr const char* name = "reverse_cumulative_sum";
  using adjoint = CumulativeSum;
  template <class T>
  static void apply(Shape shape, const T* x, const int*, T, Shape, T* y) {
    cumulative_sum_rows<true>(shape, x, y);
  }
  static bool own_rows(Shape, Shape) { return true; }
  static constexpr MapShapes examples[] = {{{3, 4}, {3, 4}}, {{3, 1}, {3, 1}}};
  static auto example(auto x, Shape) { return reverse_cumulative_sum(x); }
};
/// The adjoint of cumulative_sum: sums from each column to the last.
template <class T>
Var<T> reverse_cumulative_sum(Var<T> x, At at = At::current()) {
  return record_map<ReverseCumulativeSum>(x, nullptr, x.shape(), at);
}

// Segments: `offset` [G+1] cuts n rows into G of them, which may be empty; the result has a row for each.

namespace detail {

/// Op::regroup of a result with a row for each segment of the operand: groups begin where their first does.
inline bool regroup_segments(const int* offset, std::span<const int> of_y, std::span<int> of_x) {
  for (std::size_t g = 0; g < of_y.size(); ++g) of_x[g] = offset[of_y[g]];
  return true;
}
/// Of an operand with a row for each segment of the result: groups may begin where one of `segments` does.
inline bool regroup_spread(const int* offset, int segments, std::span<const int> of_y, std::span<int> of_x) {
  bool whole = true;
  for (std::size_t g = 0; g < of_y.size(); ++g) {
    const int* begin = std::lower_bound(offset, offset + segments, of_y[g]);
    whole = whole && *begin == of_y[g];
    of_x[g] = static_cast<int>(begin - offset);
  }
  of_x.front() = 0;
  of_x.back() = segments;
  return whole;
}

}  // namespace detail

struct SegmentSum : Map {  // index: offset
  static constexpr const char* name = "segment_sum";
  using adjoint = Spread;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* offset, T, Shape y_shape, T* y, Arena& arena) {
    for (int g = 0; g < y_shape.rows; ++g, y += y_shape.cols)
      lowvar::sum_columns(x + Shape{offset[g], x_shape.cols}.size(), offset[g + 1] - offset[g], x_shape.cols,
                          y, true, arena);
  }
  static bool regroup(Shape, Shape, const int* offset, std::span<const int> of_y, std::span<int> of_x) {
    return detail::regroup_segments(offset, of_y, of_x);
  }
  static constexpr MapShapes examples[] = {{{3, 4}, {3, 4}}, {{3, 1}, {3, 1}}};
  static auto example(auto x, Shape) { return segment_sum(x, detail::groups); }
};
/// The sum of each segment of the rows of x [n x C], as [G x C]; 0 of an empty one.
template <class T>
Var<T> segment_sum(Var<T> x, std::span<const int> offset, At at = At::current()) {
  detail::check_offset("segment_sum", x.shape(), offset, at);
  const Shape y{side(offset.size()) - 1, x.cols()};
  return record_map<SegmentSum>(x, detail::keep(x.record()->arena, offset), y, at);
}

struct Spread : Map {  // index: offset
  static constexpr const char* name = "spread";
  using adjoint = SegmentSum;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* offset, T, Shape, T* y) {
    for (int g = 0; g < x_shape.rows; ++g, x += x_shape.cols)
      for (int r = offset[g]; r < offset[g + 1]; ++r)
        for (int j = 0; j < x_shape.cols; ++j) *y++ += x[j];
  }
  static bool regroup(Shape x, Shape, const int* offset, std::span<const int> of_y, std::span<int> of_x) {
    return detail::regroup_spread(offset, x.rows, of_y, of_x);
  }
  static constexpr MapShapes examples[] = {{{3, 4}, {3, 4}}, {{3, 1}, {3, 1}}};
  static auto example(auto x, Shape) { return spread(x, detail::groups); }
};
/// The adjoint of segment_sum: row g of x [G x C] in each row of segment g, as [n x C].
template <class T>
Var<T> spread(Var<T> x, std::span<const int> offset, At at = At::current()) {
  expect(offset.size() == static_cast<std::size_t>(x.rows()) + 1, "spread: needs ", x.rows() + 1,
         " offsets for the rows of ", x.shape(), ", got ", offset.size(), at);
  const Shape y{offset.back(), x.cols()};
  detail::check_offset("spread", y, offset, at);
  return record_map<Spread>(x, detail::keep(x.record()->arena, offset), y, at);
}

struct SegmentPick : Map {  // index: offset [G+1], then the row of each entry of the result [G x C]
  static constexpr const char* name = "segment_pick";
  using adjoint = SegmentPlace;
  template <class T>
  static void apply(Shape, const T* x, const int* index, T, Shape y_shape, T* y) {
    index += y_shape.rows + 1;
    for (int g = 0; g < y_shape.rows; ++g)
      for (int j = 0; j < y_shape.cols; ++j) *y++ += x[Shape{*index++, y_shape.cols}.size() + j];
  }
  static bool regroup(Shape, Shape, const int* offset, std::span<const int> of_y, std::span<int> of_x) {
    return detail::regroup_segments(offset, of_y, of_x);
  }
  static constexpr MapShapes examples[] = {{{3, 2}, {2, 2}}};
  static auto example(auto x, Shape y) {
    return record_map<SegmentPick>(x, detail::groups_and_picks, y, At::current());
  }
};

struct SegmentPlace : Map {
  static constexpr const char* name = "segment_place";
  using adjoint = SegmentPick;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* index, T, Shape, T* y) {
    index += x_shape.rows + 1;
    for (int g = 0; g < x_shape.rows; ++g)
      for (int j = 0; j < x_shape.cols; ++j) y[Shape{*index++, x_shape.cols}.size() + j] += *x++;
  }
  static bool regroup(Shape x, Shape, const int* offset, std::span<const int> of_y, std::span<int> of_x) {
    return detail::regroup_spread(offset, x.rows, of_y, of_x);
  }
  static constexpr MapShapes examples[] = {{{2, 2}, {3, 2}}};
  static auto example(auto x, Shape y) {
    return record_map<SegmentPlace>(x, detail::groups_and_picks, y, At::current());
  }
};

/// The largest entry of each column of each segment of the rows of x [n x C], as [G x C]; the derivative goes
/// to the first of equal ones, and a NaN is larger than any number. Throws where a segment is empty.
template <class T>
Var<T> segment_max(Var<T> x, std::span<const int> offset, At at = At::current()) {
  detail::check_offset("segment_max", x.shape(), offset, at);
  const int groups = side(offset.size()) - 1, cols = x.cols();
  std::vector<int> index(offset.begin(), offset.end());
  const T* value = x.values().data();
  for (int g = 0; g < groups; ++g) {
    expect(offset[g] < offset[g + 1], "segment_max: segment ", g, " of ", groups, " is empty", at);
    for (int j = 0; j < cols; ++j) {
      int best = offset[g];
      T most = value[Shape{best, cols}.size() + j];
      for (int r = best + 1; r < offset[g + 1]; ++r) {
        const T each = value[Shape{r, cols}.size() + j];
        if (each > most || (each != each && most == most)) best = r, most = each;
      }
      index.push_back(best);
    }
  }
  return record_map<SegmentPick>(x, detail::keep(x.record()->arena, index), {groups, cols}, at);
}

// ---- The list ----

using LinearMaps = List<SumTo, BroadcastTo, Pick, Place, Gather, ScatterAdd, Transpose, Block, Pad,
                        DiscountedSum, DiscountedSumForward, Reshape, GatherColumns, ScatterAddColumns,
                        CumulativeSum, ReverseCumulativeSum, SegmentSum, Spread, SegmentPick, SegmentPlace>;

}  // namespace lowvar
