// How a definition becomes an Op: three families, each with its rule in one form that serves both lives.
//   elementwise  a scalar rule, run by one row loop on numbers or recorded on Vars (ops.h);
//   rows         the same, where the value is computed a row at a time (ops.h);
//   linear map   the cotangent is the adjoint map applied to g, its adjoint is the map (maps.h).
// A matrix product's cotangents are products again (matrices.cpp).
// Included by ops.cpp, and by whoever defines an operation of their own elsewhere.
#pragma once

#include <algorithm>
#include <tuple>
#include <utility>

#include "autograd/chain.h"
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

/// Appends the node of `op` on these operands, its value not written. References to nodes end here.
template <class T>
Node<T>& append_node(Record<T>& record, const Op<T>* op, std::span<const int> operands, Shape shape) {
  Node<T> node;
  node.op = op;
  node.shape = shape;
  node.first_operand = static_cast<int>(record.operand.size());
  node.operands = static_cast<int>(operands.size());
  for (const int i : operands) {
    const Node<T>& x = record[i];
    record.operand.push_back(i);
    node.needs_gradient |= x.needs_gradient;
    node.add_data_rows(x.data_rows);
  }
  record.nodes.push_back(node);
  return record.nodes.back();
}

/// The same, and returns the room for its value.
template <class T>
T* append(Record<T>& record, const Op<T>* op, std::span<const int> operands, Shape shape) {
  for (const int i : operands) value_of(record, i);
  T* value = record.arena.template allocate<T>(shape.size());
  append_node(record, op, operands, shape).value = value;
  return value;
}

/// The node of an operand that is of no samples; of an Array, whatever its rows.
template <class T>
int node_of_matrix(Record<T>& record, const Operand<T>& x) {
  const int i = node_of(record, x);
  if (!x.is_var) record[i].data_rows = Node<T>::no_data;
  return i;
}

// ---- Elementwise ----

template <class D>
constexpr int arity = static_cast<int>(std::size(D::domain));

template <class D>
constexpr bool piecewise_constant = requires {
  D::piecewise_constant;
};
/// D::reads, for each operand; all there is where D does not say.
template <class D>
constexpr std::array<unsigned, 3> reads_of() {
  std::array<unsigned, 3> out{reads_all, reads_all, reads_all};
  if constexpr (requires { D::reads; }) std::copy(std::begin(D::reads), std::end(D::reads), out.begin());
  return out;
}
template <class D>
constexpr bool is_zero_or_one = requires {
  D::zero_or_one;
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

/// out[j] (+)= f(x[j]...) for n entries. A function of its own into which all is inlined, for a loop with a
/// call in it is not vectorised.
template <class T>
[[gnu::flatten, gnu::noinline]] void map_numbers(std::size_t n, T* out, bool accumulate, auto&& f,
                                                 const auto*... x) {
  if (accumulate)
    for (std::size_t j = 0; j < n; ++j) out[j] += static_cast<T>(f(x[j]...));
  else
    for (std::size_t j = 0; j < n; ++j) out[j] = static_cast<T>(f(x[j]...));
}

/// The same for the entries of segment s, out being where the segment begins.
template <class T, int N>
void map_segment(const Walk<T, N>& walk, int s, T* out, bool accumulate, auto&& f) {
  const auto n = static_cast<std::size_t>(walk.size(s));
  with_indices<N>([&](auto... k) { map_numbers(n, out, accumulate, f, walk(k, s)...); });
}

/// The same for all entries of y, on N operands that repeat to its shape.
template <class T, std::size_t N>
void map_all(Shape y, const std::array<Shape, N>& shapes, const std::array<const T*, N>& x, Arena& arena,
             T* out, bool accumulate, auto&& f) {
  if (std::ranges::all_of(shapes, [&](Shape s) { return s == y; })) {
    with_indices<N>([&](auto... k) { map_numbers(y.size(), out, accumulate, f, x[k]...); });
    return;
  }
  const auto mark = arena.mark();
  const Walk<T, N> walk(y, shapes, x, arena);
  for (int s = 0; s < walk.segments(); ++s) map_segment(walk, s, out + walk.start(s), accumulate, f);
  arena.rewind(mark);
}

template <class D, class T>
struct Elementwise {
  static constexpr int N = arity<D>;

  static void forward(const Frame<T>& f, T* y) {
    std::array<Shape, N> shapes;
    std::array<const T*, N> x;
    for (int k = 0; k < N; ++k) shapes[k] = f.x[k]->shape, x[k] = f.x[k]->value;
    map_all(f.y->shape, shapes, x, *f.arena, y, false, [](auto... x_j) { return D::value(x_j...); });
  }

  template <int i>
  static void pullback_of(const Frame<T>& f, int begin, int end, const T* g, T* out, bool accumulate) {
    const Shape y{end - begin, f.y->shape.cols};
    std::array<Shape, N + 2> shapes{y, y};  // of g, the result and the operands, these rows of them
    std::array<const T*, N + 2> values{g, f.y->value + Shape{begin, y.cols}.size()};
    for (int k = 0; k < N; ++k) {
      const bool own = f.x[k]->shape.rows == f.y->shape.rows;
      shapes[k + 2] = {own ? y.rows : 1, f.x[k]->shape.cols};
      values[k + 2] = f.x[k]->value + (own ? Shape{begin, f.x[k]->shape.cols}.size() : 0);
    }
    const Shape x = shapes[i + 2];
    const auto rule_of = [](auto... gyx) { return rule<D, i>(gyx...); };
    if (x == y) return map_all(y, shapes, values, *f.arena, out, accumulate, rule_of);

    // x was repeated: its cotangent is a sum over y's.
    const auto mark = f.arena->mark();
    const Walk<T, N + 2> walk(y, shapes, values, *f.arena);
    const bool number = x == Shape{1, 1}, column = x.cols == 1 && x.rows > 1;
    T* part = f.arena->template allocate<T>(static_cast<std::size_t>(walk.length()));
    if (column && !accumulate) std::fill_n(out, x.size(), T(0));
    PairwiseSum<T> numbers(*f.arena, 1);
    ColumnSums<T> rows(*f.arena, x.cols);
    for (int s = 0; s < walk.segments(); ++s) {
      map_segment(walk, s, part, false, rule_of);
      if (number) {
        *numbers.next() = sum(part, walk.size(s));
        numbers.add();
        continue;
      }
      const int whole = walk.size(s) / y.cols;  // rows
      if (column)
        SumTo::apply({whole, y.cols}, part, nullptr, T(0), {whole, 1},
                     out + walk.start(s) / static_cast<std::size_t>(y.cols), *f.arena);
      else
        rows.add(part, whole);
    }
    if (number)
      numbers.finish(out, accumulate);
    else if (!column)
      rows.finish(out, accumulate);
    f.arena->rewind(mark);
  }

  static void pullback(const Frame<T>& f, int i, int begin, int end, const T* g, T* out, bool accumulate) {
    with_indices<N>(
        [&](auto... k) { ((i == k ? pullback_of<k>(f, begin, end, g, out, accumulate) : void()), ...); });
  }

  static Var<T> pullback_graph(Var<T> y, std::span<const Var<T>> x, int i, Var<T> g) {
    Var<T> full;
    with_indices<N>([&](auto... k) {
      const auto of = [&](auto which) { full = rule<D, which>(g, y, x[k]...); };
      ((i == k ? of(k) : void()), ...);
    });
    const Shape shape = x[static_cast<std::size_t>(i)].shape();
    return full.shape() == shape ? full : sum_to(full, shape);
  }

  static bool apart(const Frame<T>& f, int i, bool of_samples) {
    return f.x[i]->shape.rows == (of_samples ? f.y->shape.rows : 1);
  }

  static constexpr Op<T> op{.name = D::name,
                            .pullback = pullback,
                            .pullback_graph = pullback_graph,
                            .forward = forward,
                            .apart = apart,
                            .reads = reads_of<D>(),
                            .zero_or_one = is_zero_or_one<D>};
};

/// Throws unless each entry is 0 or 1.
template <class T>
void check_mask(const char* op, const T* mask, Shape shape, At at) {
  const std::size_t size = shape.size();
  std::size_t wrong = 0;  // counted, since a loop that stops is not vectorised
  for (std::size_t i = 0; i < size; ++i) wrong += !((mask[i] == 0) | (mask[i] == 1));
  if (wrong == 0) return;
  const auto first = static_cast<std::size_t>(
      std::find_if(mask, mask + size, [](T m) { return !(m == 0 || m == 1); }) - mask);
  const auto cols = static_cast<std::size_t>(shape.cols);
  throw Error(join(op, ": the mask is ", mask[first], " at row ", first / cols, ", column ", first % cols,
                   " of ", shape, ", where it must be 0 or 1; greater(mask, 0) is 1 where it is positive",
                   at));
}

// ---- Rows ----

template <class D, class T>
struct Rowwise {
  static void forward(const Frame<T>& f, T* y) {
    const Shape x = f.x[0]->shape;
    const auto mark = f.arena->mark();
    const int rows = std::clamp(1024 / x.cols, 1, std::max(1, x.rows));  // at a time: they stay in cache
    T* scratch = f.arena->template allocate<T>(Shape{rows, x.cols}.size());
    for (int r = 0; r < x.rows; r += rows)
      D::value(f.x[0]->value + Shape{r, x.cols}.size(), std::min(rows, x.rows - r), x.cols,
               y + Shape{r, f.y->shape.cols}.size(), scratch);
    f.arena->rewind(mark);
  }
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
  static Var<T> pullback_graph(Var<T> y, std::span<const Var<T>> x, int, Var<T> g) {
    return D::rule(g, y, x[0], sum_to(g, {g.rows(), 1}));
  }
  static bool apart(const Frame<T>&, int, bool of_samples) { return of_samples; }

  static constexpr Op<T> op{.name = D::name,
                            .pullback = pullback,
                            .pullback_graph = pullback_graph,
                            .forward = forward,
                            .apart = apart};
};

// ---- Linear maps ----

template <class M>
constexpr bool sums_rows = requires {
  M::sums_rows;
};

/// y += M x.
template <class M, class T>
void apply_map(Shape x_shape, const T* x, const int* index, T factor, Shape y_shape, T* y, Arena& arena) {
  if constexpr (requires { M::apply(x_shape, x, index, factor, y_shape, y, arena); })
    M::apply(x_shape, x, index, factor, y_shape, y, arena);
  else
    M::apply(x_shape, x, index, factor, y_shape, y);
}

template <class M, class T>
struct LinearMap {
  static void forward(const Frame<T>& f, T* y) {
    std::fill_n(y, f.y->shape.size(), T(0));
    apply_map<M>(f.x[0]->shape, f.x[0]->value, f.y->index, f.y->factor, f.y->shape, y, *f.arena);
  }
  static void pullback(const Frame<T>& f, int, int begin, int end, const T* g, T* out, bool accumulate) {
    const Shape x = f.x[0]->shape, y = f.y->shape;
    const bool own = M::own_rows(x, y);
    const int* index = f.y->index + (M::index_by_row ? Shape{begin, M::index_cols(x, y)}.size() : 0);
    const Shape to = own ? Shape{end - begin, x.cols} : x;
    if (!accumulate) std::fill_n(out, to.size(), T(0));
    apply_map<typename M::adjoint>({end - begin, y.cols}, g, index, f.y->factor, to, out, *f.arena);
  }
  static Var<T> pullback_graph(Var<T> y, std::span<const Var<T>> x, int, Var<T> g) {
    return record_map<typename M::adjoint>(g, y.node().index, x[0].shape(), At::current(), y.node().factor);
  }
  static bool apart(const Frame<T>& f, int, bool of_samples) {
    const Shape x = f.x[0]->shape;
    return of_samples ? M::own_rows(x, f.y->shape) : M::shared(x);
  }
  static constexpr auto regroup() {
    if constexpr (requires { M::regroup; })
      return [](const Frame<T>& f, int, std::span<const int> of_y, std::span<int> of_x) {
        return M::regroup(f.x[0]->shape, f.y->shape, f.y->index, of_y, of_x);
      };
    else
      return nullptr;
  }

  static constexpr Op<T> op{.name = M::name,
                            .pullback = pullback,
                            .pullback_graph = pullback_graph,
                            .forward = forward,
                            .by_rows = M::own_rows,
                            .apart = apart,
                            .regroup = regroup(),
                            .reads = {},
                            .index_cols = M::index_by_row ? M::index_cols : nullptr,
                            .sums_rows = sums_rows<M>};
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
  Shape y_shape{1, 1};
  for (int i = 0; i < N; ++i) nodes[i] = node_of(record, operands[i]);
  for (const int i : nodes) {
    const Shape x = record[i].shape;
    if (x.rows != 1) y_shape.rows = x.rows;
    if (x.cols != 1) y_shape.cols = x.cols;
  }
  for (const int i : nodes)
    if (!broadcasts(record[i].shape, y_shape))
      throw Error(join(D::name, ": shapes ", operand_shapes<T>(record, nodes), " do not broadcast", where));
  if constexpr (requires { D::takes_mask; }) {
    const Op<T>* op = record[nodes[0]].op;
    if (op == nullptr || !op->zero_or_one)
      check_mask(D::name, value_of(record, nodes[0]), record[nodes[0]].shape, where);
  }
  Node<T>& node = append_node<T>(record, &Elementwise<D, T>::op, nodes, y_shape);
  if (piecewise_constant<D>) node.needs_gradient = false;
  return finish_late(record, where);
}

template <class D, class T>
Var<T> record_rowwise(Var<T> x, At where) {
  using namespace detail;
  const Shape from = x.shape();
  expect(from.cols > 0, D::name, ": needs at least one column, got ", from, where);
  Record<T>& record = *x.record();
  const int i = x.index();
  append_node<T>(record, &Rowwise<D, T>::op, {&i, 1}, {from.rows, D::y_cols(from.cols)});
  return finish_late(record, where);
}

template <class M, class T>
Var<T> record_map(Var<T> x, const int* index, Shape y_shape, At where, T factor) {
  using namespace detail;
  Record<T>& record = *x.record();
  const int i = x.index();
  Node<T>& node = append_node<T>(record, &LinearMap<M, T>::op, {&i, 1}, y_shape);
  node.index = index;
  node.factor = factor;
  if (M::per_row) node.add_data_rows(y_shape.rows);
  return finish_late(record, where);
}

}  // namespace lowvar
