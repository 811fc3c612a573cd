// How a definition becomes an Op: three families, each with its rule in one form that serves both lives.
//   elementwise  a scalar rule, run by one row loop on numbers or recorded on Vars (ops.h);
//   rows         the same, where the value is computed a row at a time (ops.h);
//   linear map   the cotangent is the adjoint map applied to g, its adjoint is the map (maps.h).
// A matrix product's cotangents are products again (ops.cpp).
// Included by ops.cpp, and by whoever defines an operation of their own elsewhere.
#pragma once

#include <algorithm>
#include <tuple>
#include <utility>

#include "autograd/op.h"
#include "autograd/ops.h"

namespace lowvar {
namespace detail {

// ---- Recording ----

template <class T>
std::string operand_shapes(const Record<T>& record, std::span<const int> nodes) {
  std::string out;
  for (const int i : nodes) out += (out.empty() ? "" : ", ") + text(record[i].shape);
  return out;
}

/// Appends the node of `op` on these operands, and returns the room for its value. References to nodes end
/// here.
template <class T>
T* append(Record<T>& record, const Op<T>* op, std::span<const int> operands, Shape shape) {
  Node<T> node;
  node.op = op;
  node.shape = shape;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const Node<T>& x = record[operands[i]];
    node.operand[i] = operands[i];
    node.needs_gradient |= x.needs_gradient;
    node.per_row |= x.per_row;
  }
  T* value = record.arena.template allocate<T>(shape.size());
  node.value = value;
  record.nodes.push_back(node);
  return value;
}

// ---- Elementwise ----

template <class D>
constexpr int arity = static_cast<int>(std::size(D::domain));

template <class D>
constexpr bool piecewise_constant = requires {
  D::piecewise_constant;
};

/// f of the indices 0 to N - 1, as constants.
template <int N, class F>
decltype(auto) with_indices(F&& f) {
  return [&]<int... k>(std::integer_sequence<int, k...>)->decltype(auto) {
    return f(std::integral_constant<int, k>()...);
  }
  (std::make_integer_sequence<int, N>());
}

/// Whether there is a rule for operand i.
template <class D, int i>
constexpr bool has_rule = std::apply(
    [](auto... x) {
      if (i == 0 && requires { D::rule(x...); }) return true;
      if (i == 0 && requires { D::rule_a(x...); }) return true;
      if (i == 1 && requires { D::rule_b(x...); }) return true;
      return i == 2 && requires { D::rule_c(x...); };
    },
    std::array<double, arity<D> + 2>());

/// The derivative rule for operand i, on numbers or on Vars.
template <class D, int i, class G, class Y, class... X>
auto rule(const G& g, const Y& y, const X&... x) {
  if constexpr (i == 0 && requires { D::rule(g, y, x...); }) {
    return D::rule(g, y, x...);
  } else if constexpr (i == 0 && requires { D::rule_a(g, y, x...); }) {
    return D::rule_a(g, y, x...);
  } else if constexpr (i == 1 && requires { D::rule_b(g, y, x...); }) {
    return D::rule_b(g, y, x...);
  } else if constexpr (i == 2 && requires { D::rule_c(g, y, x...); }) {
    return D::rule_c(g, y, x...);
  } else {
    throw Error(join(D::name, ": no derivative with respect to operand ", i));
    return G{};
  }
}

/// Operand pointers for a walk over an elementwise result in contiguous segments of whole rows, or, where
/// nothing but numbers is broadcast, of any stretch. A broadcast operand is spread into a buffer as long as a
/// segment, so the inner loop sees plain arrays; narrow rows are taken many at a time.
template <class T, int N>
class Walk {
 public:
  static constexpr int stretch = 1024;

  Walk(Shape y, const std::array<Shape, N>& shapes, const std::array<const T*, N>& x, Arena& arena)
      : cols_(y.cols), x_(x), total_(y.size()) {
    bool flat = true;
    for (int i = 0; i < N; ++i) {
      const bool down = shapes[i].rows == 1 && y.rows > 1, across = shapes[i].cols == 1 && y.cols > 1;
      form_[i] = (down && (across || y.cols == 1)) || (across && y.rows == 1) ? number
                 : down                                                       ? shared_row
                 : across                                                     ? column
                                                                              : own;
      flat = flat && form_[i] != shared_row && form_[i] != column;
    }
    rows_ = flat ? 0 : std::clamp(stretch / std::max(1, cols_), 1, std::max(1, y.rows));
    length_ = flat ? static_cast<int>(std::min<std::size_t>(total_, stretch)) : rows_ * cols_;
    for (int i = 0; i < N; ++i) {
      if (form_[i] == own || (form_[i] == shared_row && rows_ == 1)) continue;
      buffer_[i] = arena.allocate<T>(static_cast<std::size_t>(length_));
      if (form_[i] == number) std::fill_n(buffer_[i], length_, x_[i][0]);
      if (form_[i] == shared_row)
        for (int r = 0; r < rows_; ++r) std::copy_n(x_[i], cols_, buffer_[i] + r * cols_);
    }
  }

  int segments() const {
    return length_ == 0 ? 0
                        : static_cast<int>((total_ + static_cast<std::size_t>(length_) - 1) /
                                           static_cast<std::size_t>(length_));
  }
  /// Where segment s begins, and how long it is.
  std::size_t start(int s) const { return static_cast<std::size_t>(s) * static_cast<std::size_t>(length_); }
  int size(int s) const {
    return static_cast<int>(std::min<std::size_t>(static_cast<std::size_t>(length_), total_ - start(s)));
  }
  /// The longest segment.
  int length() const { return length_; }

  /// Operand i along segment s.
  const T* operator()(int i, int s) const {
    if (form_[i] == own) return x_[i] + start(s);
    if (form_[i] == column) {
      const T* from = x_[i] + static_cast<std::size_t>(s) * static_cast<std::size_t>(rows_);
      const int rows = size(s) / cols_;
      for (int r = 0; r < rows; ++r)
        for (int j = 0; j < cols_; ++j) buffer_[i][r * cols_ + j] = from[r];
    }
    return buffer_[i] ? buffer_[i] : x_[i];
  }

 private:
  enum Form { own, shared_row, column, number };
  int cols_;
  int rows_;  // of a segment; 0 where segments are stretches
  std::array<const T*, N> x_;
  std::array<Form, N> form_{};
  std::array<T*, N> buffer_{};
  std::size_t total_;
  int length_;
};

/// out[j] (+)= f(x[j]...) for the entries j of segment s, out being where the segment begins.
template <class T, int N>
void map_segment(const Walk<T, N>& walk, int s, T* out, bool accumulate, auto&& f) {
  const int n = walk.size(s);
  const auto loop = [&](const auto*... x) {
    if (accumulate)
      for (int j = 0; j < n; ++j) out[j] += static_cast<T>(f(x[j]...));
    else
      for (int j = 0; j < n; ++j) out[j] = static_cast<T>(f(x[j]...));
  };
  with_indices<N>([&](auto... k) { loop(walk(k, s)...); });
}

template <class D, class T>
struct Elementwise {
  static constexpr int N = arity<D>;

  static void forward(Shape y_shape, const std::array<Shape, N>& shapes, const std::array<const T*, N>& x,
                      T* y, Arena& arena) {
    const auto mark = arena.mark();
    const Walk<T, N> walk(y_shape, shapes, x, arena);
    for (int s = 0; s < walk.segments(); ++s)
      map_segment(walk, s, y + walk.start(s), false, [](auto... x_j) { return D::value(x_j...); });
    arena.rewind(mark);
  }

  template <int i>
  static void pullback_of(const Frame<T>& f, int begin, int end, const T* g, T* out, bool accumulate) {
    const auto mark = f.arena->mark();
    const Shape y{end - begin, f.y->shape.cols};
    std::array<Shape, N + 2> shapes{y, y};  // of g, the result and the operands, these rows of them
    std::array<const T*, N + 2> values{g, f.y->value + Shape{begin, y.cols}.size()};
    for (int k = 0; k < N; ++k) {
      const bool own = f.x[k]->shape.rows == f.y->shape.rows;
      shapes[k + 2] = {own ? y.rows : 1, f.x[k]->shape.cols};
      values[k + 2] = f.x[k]->value + (own ? Shape{begin, f.x[k]->shape.cols}.size() : 0);
    }
    const Walk<T, N + 2> walk(y, shapes, values, *f.arena);
    const Shape x = shapes[i + 2];
    T* part = x == y ? nullptr : f.arena->template allocate<T>(static_cast<std::size_t>(walk.length()));
    if (part && !accumulate) std::fill_n(out, x.size(), T(0));
    for (int s = 0; s < walk.segments(); ++s) {
      const std::size_t at = walk.start(s);
      map_segment(walk, s, part ? part : out + at, !part && accumulate,
                  [](auto... gyx) { return rule<D, i>(gyx...); });
      if (part == nullptr) continue;
      // The segment is whole rows, unless a number was repeated.
      const Shape whole = x == Shape{1, 1} ? Shape{1, walk.size(s)} : Shape{walk.size(s) / y.cols, y.cols};
      const bool column = x.cols == 1 && x.rows > 1;
      SumTo::apply(whole, part, nullptr, T(0), column ? Shape{whole.rows, 1} : x,
                   column ? out + at / static_cast<std::size_t>(y.cols) : out);
    }
    f.arena->rewind(mark);
  }

  static void pullback(const Frame<T>& f, int i, int begin, int end, const T* g, T* out, bool accumulate) {
    with_indices<N>(
        [&](auto... k) { ((i == k ? pullback_of<k>(f, begin, end, g, out, accumulate) : void()), ...); });
  }

  static Var<T> pullback_graph(Var<T> y, const std::array<Var<T>, 3>& x, int i, Var<T> g) {
    Var<T> full;
    with_indices<N>([&](auto... k) {
      const auto of = [&](auto which) { full = rule<D, which>(g, y, x[k]...); };
      ((i == k ? of(k) : void()), ...);
    });
    const Shape shape = x[static_cast<std::size_t>(i)].shape();
    return full.shape() == shape ? full : sum_to(full, shape);
  }

  static bool apart(const Frame<T>& f, int i) {
    return f.x[i]->shape.rows == (f.x[i]->per_row ? f.y->shape.rows : 1);
  }

  static constexpr Op<T> op{D::name, pullback, pullback_graph, apart};
};

// ---- Rows ----

template <class D, class T>
struct Rowwise {
  static void pullback(const Frame<T>& f, int, int begin, int end, const T* g, T* out, bool accumulate) {
    const int n = end - begin, y_cols = f.y->shape.cols, cols = f.x[0]->shape.cols;
    const auto mark = f.arena->mark();
    T* s = f.arena->template allocate<T>(static_cast<std::size_t>(n));
    for (int r = 0; r < n; ++r) s[r] = sum(g + Shape{r, y_cols}.size(), y_cols);
    const Shape like_y{n, y_cols}, like_x{n, cols};
    const T *y = f.y->value + Shape{begin, y_cols}.size(), *x = f.x[0]->value + Shape{begin, cols}.size();
    const Walk<T, 4> walk(like_x, {like_y, like_y, like_x, {n, 1}}, {g, y, x, s}, *f.arena);
    for (int i = 0; i < walk.segments(); ++i)
      map_segment(walk, i, out + walk.start(i), accumulate, [](auto... gyxs) { return D::rule(gyxs...); });
    f.arena->rewind(mark);
  }
  static Var<T> pullback_graph(Var<T> y, const std::array<Var<T>, 3>& x, int, Var<T> g) {
    return D::rule(g, y, x[0], sum_to(g, {g.rows(), 1}));
  }
  static bool apart(const Frame<T>& f, int) { return f.x[0]->per_row; }

  static constexpr Op<T> op{D::name, pullback, pullback_graph, apart};
};

// ---- Linear maps ----

template <class M, class T>
struct LinearMap {
  static void pullback(const Frame<T>& f, int, int begin, int end, const T* g, T* out, bool accumulate) {
    const Shape x = f.x[0]->shape, y = f.y->shape;
    const bool own = M::own_rows(x, y);
    const int* index = M::index_by_row ? f.y->index + begin : f.y->index;
    const Shape to = own ? Shape{end - begin, x.cols} : x;
    if (!accumulate) std::fill_n(out, to.size(), T(0));
    M::adjoint::apply(Shape{end - begin, y.cols}, g, index, f.y->factor, to, out);
  }
  static Var<T> pullback_graph(Var<T> y, const std::array<Var<T>, 3>& x, int, Var<T> g) {
    return record_map<typename M::adjoint>(g, y.node().index, x[0].shape(), At::current(), y.node().factor);
  }
  static bool apart(const Frame<T>& f, int) {
    const Shape x = f.x[0]->shape;
    return f.x[0]->per_row ? M::own_rows(x, f.y->shape) : M::shared(x);
  }

  static constexpr Op<T> op{M::name, pullback, pullback_graph, apart};
};

}  // namespace detail

template <class D, class T>
Var<T> record_elementwise(std::span<const Operand<T>> operands) {
  using namespace detail;
  constexpr int N = arity<D>;
  const At where = operands[0].at;
  expect(operands.size() == N, D::name, ": takes ", N, " operands, got ", operands.size());
  Record<T>& record = common_record<T>(D::name, operands);
  std::array<int, N> nodes;
  std::array<Shape, N> shapes;
  std::array<const T*, N> x;
  Shape y_shape{1, 1};
  for (int i = 0; i < N; ++i) nodes[i] = node_of(record, operands[i]);
  for (int i = 0; i < N; ++i) {
    shapes[i] = record[nodes[i]].shape;
    x[i] = record[nodes[i]].value;
    if (shapes[i].rows != 1) y_shape.rows = shapes[i].rows;
    if (shapes[i].cols != 1) y_shape.cols = shapes[i].cols;
  }
  for (const Shape& each : shapes)
    if (!broadcasts(each, y_shape))
      throw Error(join(D::name, ": shapes ", operand_shapes<T>(record, nodes), " do not broadcast", where));
  T* y = append<T>(record, &Elementwise<D, T>::op, nodes, y_shape);
  if (piecewise_constant<D>) record.nodes.back().needs_gradient = false;
  Elementwise<D, T>::forward(y_shape, shapes, x, y, record.arena);
  return finish(record, where);
}

template <class D, class T>
Var<T> record_rowwise(Var<T> x, At where) {
  using namespace detail;
  const Shape from = x.shape();
  expect(from.cols > 0, D::name, ": needs at least one column, got ", from, where);
  Record<T>& record = *x.record();
  const int i = x.index(), y_cols = D::y_cols(from.cols);
  T* y = append<T>(record, &Rowwise<D, T>::op, {&i, 1}, {from.rows, y_cols});
  const T* in = record[i].value;
  const auto mark = record.arena.mark();
  const int rows = std::clamp(1024 / from.cols, 1, std::max(1, from.rows));  // at a time: they stay in cache
  T* scratch = record.arena.template allocate<T>(Shape{rows, from.cols}.size());
  for (int r = 0; r < from.rows; r += rows)
    D::value(in + Shape{r, from.cols}.size(), std::min(rows, from.rows - r), from.cols,
             y + Shape{r, y_cols}.size(), scratch);
  record.arena.rewind(mark);
  return finish(record, where);
}

template <class M, class T>
Var<T> record_map(Var<T> x, const int* index, Shape y_shape, At where, T factor) {
  using namespace detail;
  Record<T>& record = *x.record();
  const int i = x.index();
  T* y = append<T>(record, &LinearMap<M, T>::op, {&i, 1}, y_shape);
  Node<T>& node = record.nodes.back();
  node.index = index;
  node.factor = factor;
  node.per_row |= M::per_row;
  std::fill_n(y, y_shape.size(), T(0));
  M::apply(record[i].shape, record[i].value, index, factor, y_shape, y);
  return finish(record, where);
}

}  // namespace lowvar
