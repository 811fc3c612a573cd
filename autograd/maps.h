// The page you edit to add a linear map of an array's entries. A map M is
//   - a struct with its name, its adjoint (the map M' with <M x, g> = <x, M' g>), what it does, and
//     examples to test it on;
//   - a function for people to call;
//   - its name in the list at the bottom, which compiles it and puts it under the gradient tests.
// The cotangent of M x is M' applied to g, and the adjoint of M' is M: there is no other rule.
#pragma once

#include <algorithm>

#include "autograd/tape.h"
#include "core/vmath.h"

namespace lowvar {

template <class... Definitions>
struct List {};

/// Shapes to test a map on.
struct MapShapes {
  Shape x, y;
};

/// A map M also has
///     apply(x_shape, x, index, factor, y_shape, y)   y += M x
///     examples                                       shapes to test it on
///     example(x, y_shape)                            the call that leads from one to the other
/// and, where what stands here is not true of it, others of these.
struct Map {
  /// Row r of M x depends on row r of x alone.
  static bool own_rows(Shape /*x*/, Shape /*y*/) { return false; }
  /// M x is defined row by row from the whole of x.
  static bool shared(Shape /*x*/) { return false; }
  /// Row r of M x has the entry r of the index.
  static constexpr bool index_by_row = false;
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
/// Throws unless there are `rows` indices, each in [0, limit).
void check_index(const char* op, std::span<const int> index, int rows, int limit, const char* what, At at);

// Of examples.
inline constexpr int picked[] = {2, 0, 3}, gathered[] = {1, 1, 0, 2, 1}, groups[] = {0, 2, 2, 3};

}  // namespace detail

struct BroadcastTo;
struct Place;
struct ScatterAdd;
struct Pad;
struct DiscountedSumForward;

struct SumTo : Map {
  static constexpr const char* name = "sum_to";
  using adjoint = BroadcastTo;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int*, T, Shape y_shape, T* y) {
    if (y_shape == Shape{1, 1}) {
      y[0] += sum(x, static_cast<int>(x_shape.size()));
      return;
    }
    for (int r = 0; r < x_shape.rows; ++r) {
      const T* in = x + Shape{r, x_shape.cols}.size();
      T* out = y + (y_shape.rows == 1 ? 0 : Shape{r, y_shape.cols}.size());
      if (y_shape.cols == 1) {
        out[0] += sum(in, x_shape.cols);
      } else {
        for (int j = 0; j < x_shape.cols; ++j) out[j] += in[j];
      }
    }
  }
  static bool own_rows(Shape x, Shape y) { return x.rows == y.rows; }
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
  static void apply(Shape x_shape, const T* x, const int* index, T, Shape, T* y) {
    for (int r = 0; r < x_shape.rows; ++r)
      y[r] += x[Shape{r, x_shape.cols}.size() + static_cast<std::size_t>(index[r])];
  }
  static bool own_rows(Shape, Shape) { return true; }
  static constexpr bool index_by_row = true;
  static constexpr MapShapes examples[] = {{{3, 4}, {3, 1}}};
  static auto example(auto x, Shape) { return pick(x, detail::picked); }
};
/// Column index[r] of each row r of x [n x C], as [n x 1].
template <class T>
Var<T> pick(Var<T> x, std::span<const int> index, At at = At::current()) {
  detail::check_index("pick", index, x.rows(), x.cols(), "columns", at);
  return record_map<Pick>(x, detail::keep(x.record()->arena, index), {x.rows(), 1}, at);
}

struct Place : Map {
  static constexpr const char* name = "place";
  using adjoint = Pick;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* index, T, Shape y_shape, T* y) {
    for (int r = 0; r < x_shape.rows; ++r)
      y[Shape{r, y_shape.cols}.size() + static_cast<std::size_t>(index[r])] += x[r];
  }
  static bool own_rows(Shape, Shape) { return true; }
  static constexpr bool index_by_row = true;
  static constexpr MapShapes examples[] = {{{3, 1}, {3, 4}}};
  static auto example(auto x, Shape y) { return place(x, detail::picked, y.cols); }
};
/// The adjoint of pick: zeros [n x cols] with x [n x 1] in column index[r] of row r.
template <class T>
Var<T> place(Var<T> x, std::span<const int> index, int cols, At at = At::current()) {
  expect(x.cols() == 1, "place: needs one column, got ", x.shape(), at);
  detail::check_index("place", index, x.rows(), cols, "columns", at);
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
  const int n = static_cast<int>(index.size());
  detail::check_index("gather", index, n, table.rows(), "rows", at);
  return record_map<Gather>(table, detail::keep(table.record()->arena, index), {n, table.cols()}, at);
}

struct ScatterAdd : Map {
  static constexpr const char* name = "scatter_add";
  using adjoint = Gather;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* index, T, Shape, T* y) {
    for (int r = 0; r < x_shape.rows; ++r) {
      const T* in = x + Shape{r, x_shape.cols}.size();
      T* out = y + Shape{index[r], x_shape.cols}.size();
      for (int j = 0; j < x_shape.cols; ++j) out[j] += in[j];
    }
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
  expect(row >= 0 && col >= 0 && shape.rows >= 0 && shape.cols >= 0 && row + shape.rows <= from.rows &&
             col + shape.cols <= from.cols,
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
  expect(row >= 0 && col >= 0 && row + from.rows <= shape.rows && col + from.cols <= shape.cols,
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

// ---- The list ----

using LinearMaps = List<SumTo, BroadcastTo, Pick, Place, Gather, ScatterAdd, Transpose, Block, Pad,
                        DiscountedSum, DiscountedSumForward>;

}  // namespace lowvar
