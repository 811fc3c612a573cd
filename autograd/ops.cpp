// The operations on rows and matrices, each with its value and its rule; and the list of ops.h, compiled for
// float and double.
#include <algorithm>
#include <cmath>

#include "autograd/primitive.h"
#include "core/array.h"
#include "core/blas.h"

namespace lowvar {
namespace detail {

// ---- Rows ----

/// The largest number of a row, or 0 where that is infinite or NaN: subtracting it would make a NaN.
template <class T>
T shift_of(const T* x, int n) {
  T most = x[0];
  for (int j = 1; j < n; ++j) most = x[j] > most ? x[j] : most;
  return std::isfinite(most) ? most : T(0);
}

struct LogSoftmax {
  static constexpr const char* name = "log_softmax";
  static int y_cols(int cols) { return cols; }
  template <class T>
  static void value(const T* x, int rows, int cols, T* y, T* e) {
    const int n = rows * cols;
    for (int r = 0; r < rows; ++r) {
      const T shift = shift_of(x + r * cols, cols);
      for (int j = r * cols; j < (r + 1) * cols; ++j) y[j] = x[j] - shift;
    }
    for (int j = 0; j < n; ++j) e[j] = exp(y[j]);
    for (int r = 0; r < rows; ++r) e[r] = sum(e + r * cols, cols);
    for (int r = 0; r < rows; ++r) e[r] = log(e[r]);
    for (int r = 0; r < rows; ++r)
      for (int j = r * cols; j < (r + 1) * cols; ++j) y[j] -= e[r];
  }
  static auto rule(auto g, auto y, auto, auto s) { return g - exp(y) * s; }
};

struct LogSumExp {
  static constexpr const char* name = "logsumexp";
  static int y_cols(int) { return 1; }
  template <class T>
  static void value(const T* x, int rows, int cols, T* y, T* e) {
    for (int r = 0; r < rows; ++r) {
      y[r] = shift_of(x + r * cols, cols);
      for (int j = r * cols; j < (r + 1) * cols; ++j) e[j] = x[j] - y[r];
    }
    for (int j = 0; j < rows * cols; ++j) e[j] = exp(e[j]);
    for (int r = 0; r < rows; ++r) e[r] = sum(e + r * cols, cols);
    for (int r = 0; r < rows; ++r) y[r] += log(e[r]);
  }
  static auto rule(auto g, auto y, auto x, auto) { return g * exp(x - y); }
};

template <class D, class T>
Var<T> record_rowwise(Var<T> x, At where) {
  const Shape from = x.shape();
  expect(from.cols > 0, D::name, ": needs at least one column, got ", from, where);
  Record<T>& record = *x.record();
  const int i = x.index(), y_cols = D::y_cols(from.cols);
  T* y;
  append<T>(record, &Rowwise<D, T>::op, {&i, 1}, {from.rows, y_cols}, &y);
  const T* in = at(record, i).value;
  const auto mark = record.arena.mark();
  const int rows = std::clamp(1024 / from.cols, 1, std::max(1, from.rows));  // at a time: they stay in cache
  T* scratch = record.arena.template allocate<T>(Shape{rows, from.cols}.size());
  for (int r = 0; r < from.rows; r += rows)
    D::value(in + Shape{r, from.cols}.size(), std::min(rows, from.rows - r), from.cols,
             y + Shape{r, y_cols}.size(), scratch);
  record.arena.rewind(mark);
  return finish(record, where);
}

// ---- Matrices ----

enum class Product { nn, tn, nt };  // A B, A' B, A B'

/// The cotangent of an operand of a product as another product, of the cotangent g and the other operand.
struct ProductRule {
  Product product;
  bool g_first;
};

/// dA and dB for C = AB: G B', A' G.  C = A'B: B G', A G.  C = AB': G B, G' A.
constexpr ProductRule product_rule(Product product, int i) {
  switch (product) {
    case Product::nn:
      return i == 0 ? ProductRule{Product::nt, true} : ProductRule{Product::tn, false};
    case Product::tn:
      return i == 0 ? ProductRule{Product::nt, false} : ProductRule{Product::nn, false};
    default:
      return i == 0 ? ProductRule{Product::nn, true} : ProductRule{Product::tn, true};
  }
}

constexpr Shape product_shape(Product product, Shape a, Shape b) {
  return {product == Product::tn ? a.cols : a.rows, product == Product::nt ? b.rows : b.cols};
}
constexpr bool product_fits(Product product, Shape a, Shape b) {
  return (product == Product::tn ? a.rows : a.cols) == (product == Product::nt ? b.cols : b.rows);
}

/// C (+)= the product.
template <class T>
void multiply(Product product, Shape a_shape, const T* a, Shape b_shape, const T* b, T beta, T* c) {
  const Shape out = product_shape(product, a_shape, b_shape);
  gemm(product == Product::tn, product == Product::nt, out.rows, out.cols,
       product == Product::tn ? a_shape.rows : a_shape.cols, a, b, beta, c);
}

template <class T>
Var<T> product(Product product, Var<T> a, Var<T> b, At at) {
  return product == Product::nn   ? matmul(a, b, at)
         : product == Product::tn ? matmul_tn(a, b, at)
                                  : matmul_nt(a, b, at);
}

/// out [m x n] (+)= a b'.
template <class T>
void outer(const T* __restrict a, int m, const T* __restrict b, int n, T* __restrict out, bool accumulate) {
  const auto rows_of = [&](const auto width) {
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < width; ++j) {
        T& to = out[i * width + j];
        to = accumulate ? std::fma(a[i], b[j], to) : a[i] * b[j];
      }
  };
  switch (n) {  // narrow ones are only fast where the width is known
    case 1: return rows_of(std::integral_constant<int, 1>());
    case 2: return rows_of(std::integral_constant<int, 2>());
    case 3: return rows_of(std::integral_constant<int, 3>());
    case 4: return rows_of(std::integral_constant<int, 4>());
    default: return rows_of(n);
  }
}

template <Product P, class T>
struct Matmul {
  static constexpr const char* name = P == Product::nn   ? "matmul"
                                      : P == Product::tn ? "matmul_tn"
                                                         : "matmul_nt";

  static void pullback(const Frame<T>& f, int i, int begin, int end, const T* g, T* out, bool accumulate) {
    const ProductRule r = product_rule(P, i);
    const Node<T>& other = *f.x[1 - i];
    const int cols = f.y->shape.cols;
    // Rows of the result are rows of A in A B and A B'; a range of them needs that range of A.
    const bool by_rows = P != Product::tn && i == 1;
    const Shape g_shape{end - begin, cols};
    const Shape other_shape = by_rows ? Shape{end - begin, other.shape.cols} : other.shape;
    const T* other_value = by_rows ? other.value + Shape{begin, other.shape.cols}.size() : other.value;
    if (by_rows && end - begin == 1) {  // one sample: an outer product, a store for each entry
      if (r.g_first)
        outer(g, cols, other_value, other.shape.cols, out, accumulate);
      else
        outer(other_value, other.shape.cols, g, cols, out, accumulate);
      return;
    }
    if (r.g_first)
      multiply(r.product, g_shape, g, other_shape, other_value, T(accumulate), out);
    else
      multiply(r.product, other_shape, other_value, g_shape, g, T(accumulate), out);
  }

  static Var<T> pullback_graph(Var<T>, const std::array<Var<T>, 3>& x, int i, Var<T> g) {
    const ProductRule r = product_rule(P, i);
    const Var<T>& other = x[static_cast<std::size_t>(1 - i)];
    return r.g_first ? product(r.product, g, other, At::current())
                     : product(r.product, other, g, At::current());
  }

  static bool own_rows(const Frame<T>&, int i) { return P != Product::tn && i == 0; }
  static bool shared(const Frame<T>&, int i) { return P != Product::tn && i == 1; }

  static constexpr Op<T> op{name, pullback, pullback_graph, own_rows, shared, P == Product::tn ? -1 : 1};
};

/// x W + b; the bias is prefilled and the product accumulates onto it.
template <class T>
struct Linear {
  static void pullback(const Frame<T>& f, int i, int begin, int end, const T* g, T* out, bool accumulate) {
    if (i < 2) return Matmul<Product::nn, T>::pullback(f, i, begin, end, g, out, accumulate);
    const int cols = f.y->shape.cols;
    if (!accumulate) std::fill_n(out, cols, T(0));
    for (int r = 0; r < end - begin; ++r)
      for (int j = 0; j < cols; ++j)
        out[j] += g[static_cast<std::size_t>(r) * static_cast<std::size_t>(cols) + j];
  }
  static Var<T> pullback_graph(Var<T> y, const std::array<Var<T>, 3>& x, int i, Var<T> g) {
    if (i < 2) return Matmul<Product::nn, T>::pullback_graph(y, x, i, g);
    return sum_to(g, x[2].shape());
  }
  static bool own_rows(const Frame<T>&, int i) { return i == 0; }
  static bool shared(const Frame<T>&, int i) { return i > 0; }

  static constexpr Op<T> op{"linear", pullback, pullback_graph, own_rows, shared, 1};
};

// ---- Linear systems ----

/// X of A X = B or A' X = B, written to x, which may be B's own.
template <class T>
void solve_into(bool transpose, int n, const T* a, int columns, const T* b, T* x, Arena& arena) {
  const auto mark = arena.mark();
  T* copy = arena.allocate<T>(Shape{n, n}.size());
  std::copy_n(a, Shape{n, n}.size(), copy);
  if (x != b) std::copy_n(b, Shape{n, columns}.size(), x);
  lowvar::solve(n, columns, copy, x, transpose);
  arena.rewind(mark);
}

/// The cotangents of A X = B: dB solves A' dB = G, and dA = -dB X'. Of A' X = B: A dB = G and dA = -X dB'.
template <bool transposed, class T>
struct Solve {
  static constexpr const char* name = transposed ? "solve_transposed" : "solve";

  static void pullback(const Frame<T>& f, int i, int, int, const T* g, T* out, bool accumulate) {
    const Shape b = f.y->shape;
    const auto mark = f.arena->mark();
    T* dB = f.arena->template allocate<T>(b.size());
    solve_into(!transposed, b.rows, f.x[0]->value, b.cols, g, dB, *f.arena);
    if (i == 1) {
      for (std::size_t j = 0; j < b.size(); ++j) out[j] = accumulate ? out[j] + dB[j] : dB[j];
    } else {
      for (std::size_t j = 0; j < b.size(); ++j) dB[j] = -dB[j];
      multiply(Product::nt, b, transposed ? f.y->value : dB, b, transposed ? dB : f.y->value, T(accumulate),
               out);
    }
    f.arena->rewind(mark);
  }
  static Var<T> pullback_graph(Var<T> y, const std::array<Var<T>, 3>& x, int i, Var<T> g) {
    const Var<T> dB = transposed ? solve(x[0], g) : solve_transposed(x[0], g);
    if (i == 1) return dB;
    return transposed ? -matmul_nt(y, dB) : -matmul_nt(dB, y);
  }
  static bool own_rows(const Frame<T>&, int) { return false; }
  static bool shared(const Frame<T>&, int) { return false; }

  static constexpr Op<T> op{name, pullback, pullback_graph, own_rows, shared};
};

/// An identity matrix in the arena.
template <class T>
T* identity_in(Arena& arena, int n) {
  T* out = arena.allocate<T>(Shape{n, n}.size());
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) *(out + Shape{i, n}.size() + j) = T(i == j);
  return out;
}

/// The cotangent of A is g A'^-1.
template <class T>
struct LogDet {
  static void pullback(const Frame<T>& f, int, int, int, const T* g, T* out, bool accumulate) {
    const int n = f.x[0]->shape.rows;
    const auto mark = f.arena->mark();
    T* inverse = identity_in<T>(*f.arena, n);
    solve_into(true, n, f.x[0]->value, n, inverse, inverse, *f.arena);
    for (std::size_t j = 0; j < Shape{n, n}.size(); ++j)
      out[j] = accumulate ? out[j] + g[0] * inverse[j] : g[0] * inverse[j];
    f.arena->rewind(mark);
  }
  static Var<T> pullback_graph(Var<T>, const std::array<Var<T>, 3>& x, int, Var<T> g) {
    Array<T> identity = zeros_like(x[0].value());
    for (int i = 0; i < x[0].rows(); ++i) identity(i, i) = 1;
    return g * solve_transposed(x[0], Var<T>(x[0].record(), node_of(*x[0].record(), Operand<T>(identity))));
  }
  static bool own_rows(const Frame<T>&, int) { return false; }
  static bool shared(const Frame<T>&, int) { return false; }

  static constexpr Op<T> op{"log_det", pullback, pullback_graph, own_rows, shared};
};

// ---- Linear maps ----

struct BroadcastTo;
struct Place;
struct ScatterAdd;
struct Pad;
struct DiscountedSumForward;

struct SumTo {
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
  static bool shared(Shape) { return false; }
  static constexpr bool index_by_row = false;
};

struct BroadcastTo {
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
  static constexpr bool index_by_row = false;
};

struct Pick {
  static constexpr const char* name = "pick";
  using adjoint = Place;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* index, T, Shape, T* y) {
    for (int r = 0; r < x_shape.rows; ++r)
      y[r] += x[Shape{r, x_shape.cols}.size() + static_cast<std::size_t>(index[r])];
  }
  static bool own_rows(Shape, Shape) { return true; }
  static bool shared(Shape) { return false; }
  static constexpr bool index_by_row = true;
};

struct Place {
  static constexpr const char* name = "place";
  using adjoint = Pick;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int* index, T, Shape y_shape, T* y) {
    for (int r = 0; r < x_shape.rows; ++r)
      y[Shape{r, y_shape.cols}.size() + static_cast<std::size_t>(index[r])] += x[r];
  }
  static bool own_rows(Shape, Shape) { return true; }
  static bool shared(Shape) { return false; }
  static constexpr bool index_by_row = true;
};

struct Gather {
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
  static bool own_rows(Shape, Shape) { return false; }
  static bool shared(Shape) { return true; }
  static constexpr bool index_by_row = true;
};

struct ScatterAdd {
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
  static bool own_rows(Shape, Shape) { return false; }
  static bool shared(Shape) { return false; }
  static constexpr bool index_by_row = true;
};

struct Transpose {
  static constexpr const char* name = "transpose";
  using adjoint = Transpose;
  template <class T>
  static void apply(Shape x_shape, const T* x, const int*, T, Shape, T* y) {
    for (int r = 0; r < x_shape.rows; ++r)
      for (int j = 0; j < x_shape.cols; ++j) y[Shape{j, x_shape.rows}.size() + r] += *x++;
  }
  static bool own_rows(Shape, Shape) { return false; }
  static bool shared(Shape) { return false; }
  static constexpr bool index_by_row = false;
};

struct Block {  // index: the row and column of the first entry
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
  static bool shared(Shape) { return false; }
  static constexpr bool index_by_row = false;
};

struct Pad {
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
  static bool shared(Shape) { return false; }
  static constexpr bool index_by_row = false;
};

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

struct DiscountedSum {  // index: 1 where a group begins
  static constexpr const char* name = "discounted_sum";
  using adjoint = DiscountedSumForward;
  template <class T>
  static void apply(Shape shape, const T* x, const int* begins, T factor, Shape, T* y) {
    discounted_sum_rows<true>(shape, x, begins, factor, y);
  }
  static bool own_rows(Shape, Shape) { return false; }
  static bool shared(Shape) { return false; }
  static constexpr bool index_by_row = true;
};

struct DiscountedSumForward {
  static constexpr const char* name = "discounted_sum_forward";
  using adjoint = DiscountedSum;
  template <class T>
  static void apply(Shape shape, const T* x, const int* begins, T factor, Shape, T* y) {
    discounted_sum_rows<false>(shape, x, begins, factor, y);
  }
  static bool own_rows(Shape, Shape) { return false; }
  static bool shared(Shape) { return false; }
  static constexpr bool index_by_row = true;
};

template <class M, class T>
Var<T> record_map(Var<T> x, const int* index, Shape y_shape, At where, T factor) {
  Record<T>& record = *x.record();
  const int i = x.index();
  T* y;
  Node<T>& node = append<T>(record, &LinearMap<M, T>::op, {&i, 1}, y_shape, &y);
  node.index = index;
  node.factor = factor;
  std::fill_n(y, y_shape.size(), T(0));
  M::apply(at(record, i).shape, at(record, i).value, index, factor, y_shape, y);
  return finish(record, where);
}

template <class T>
const int* keep(Record<T>& record, std::span<const int> index) {
  int* kept = record.arena.template allocate<int>(index.size());
  std::copy(index.begin(), index.end(), kept);
  return kept;
}

/// 1 for each row that begins a group, 0 for the others, in the arena.
template <class T>
const int* group_begins(const char* op, const Var<T>& x, std::span<const int> offset, At at) {
  expect(!offset.empty() && offset.front() == 0 && offset.back() == x.rows() &&
             std::is_sorted(offset.begin(), offset.end()),
         op, ": offset must rise from 0 to the ", x.rows(), " rows of ", x.shape(), at);
  int* begins = x.record()->arena.template allocate<int>(static_cast<std::size_t>(x.rows()));
  std::fill_n(begins, x.rows(), 0);
  for (const int r : offset)
    if (r < x.rows()) begins[r] = 1;
  return begins;
}

void check_index(const char* op, std::span<const int> index, int rows, int limit, const char* what, At at) {
  expect(static_cast<int>(index.size()) == rows, op, ": needs one index a row, ", rows, ", got ",
         index.size(), at);
  for (std::size_t r = 0; r < index.size(); ++r)
    expect(index[r] >= 0 && index[r] < limit, op, ": index ", index[r], " at ", r, " is not one of the ",
           limit, " ", what, at);
}

template <Product P, class T>
Var<T> record_matmul(Var<T> a, Var<T> b, At where) {
  using M = Matmul<P, T>;
  const Operand<T> operands[] = {{a, where}, {b, where}};
  Record<T>& record = common_record<T>(M::name, operands);
  const std::array<int, 2> x{a.index(), b.index()};
  const Shape sa = at(record, x[0]).shape, sb = at(record, x[1]).shape;
  expect(product_fits(P, sa, sb), M::name, ": shapes ", sa, " and ", sb, " do not fit", where);
  T* y;
  append<T>(record, &M::op, x, product_shape(P, sa, sb), &y);
  multiply(P, sa, at(record, x[0]).value, sb, at(record, x[1]).value, T(0), y);
  return finish(record, where);
}

/// Runs f; an Error of LAPACK's is given the name and the place of the op.
void speak_of(const char* op, At where, auto&& f) {
  try {
    f();
  } catch (const Error& e) {
    throw Error(join(op, ": ", e.what(), where));
  }
}

template <bool transposed, class T>
Var<T> record_solve(Var<T> A, Var<T> B, At where) {
  using S = Solve<transposed, T>;
  const Operand<T> operands[] = {{A, where}, {B, where}};
  Record<T>& record = common_record<T>(S::name, operands);
  const std::array<int, 2> x{A.index(), B.index()};
  const Shape a = A.shape(), b = B.shape();
  expect(a.rows == a.cols && a.rows == b.rows, S::name, ": A ", a, " must be square with as many rows as B ",
         b, where);
  T* y;
  append<T>(record, &S::op, x, b, &y);
  speak_of(S::name, where, [&] {
    solve_into(transposed, a.rows, at(record, x[0]).value, b.cols, at(record, x[1]).value, y, record.arena);
  });
  return finish(record, where);
}

}  // namespace detail

template <class T>
Var<T> log_softmax(Var<T> x, At where) {
  return detail::record_rowwise<detail::LogSoftmax>(x, where);
}
template <class T>
Var<T> logsumexp(Var<T> x, At where) {
  return detail::record_rowwise<detail::LogSumExp>(x, where);
}

template <class T>
Var<T> matmul(Var<T> a, Var<T> b, At where) {
  return detail::record_matmul<detail::Product::nn>(a, b, where);
}
template <class T>
Var<T> matmul_tn(Var<T> a, Var<T> b, At where) {
  return detail::record_matmul<detail::Product::tn>(a, b, where);
}
template <class T>
Var<T> matmul_nt(Var<T> a, Var<T> b, At where) {
  return detail::record_matmul<detail::Product::nt>(a, b, where);
}

template <class T>
Var<T> linear(Var<T> x, Var<T> W, Var<T> b, At where) {
  using namespace detail;
  const Operand<T> operands[] = {{x, where}, {W, where}, {b, where}};
  Record<T>& record = common_record<T>("linear", operands);
  const std::array<int, 3> nodes{x.index(), W.index(), b.index()};
  const Shape xs = x.shape(), ws = W.shape(), bs = b.shape();
  expect(xs.cols == ws.rows && bs == Shape{1, ws.cols}, "linear: x ", xs, ", W ", ws, ", b ", bs,
         " do not fit: W must be x's columns by outputs and b one row of outputs", where);
  T* y;
  append<T>(record, &Linear<T>::op, nodes, {xs.rows, ws.cols}, &y);
  const T* bias = at(record, nodes[2]).value;
  for (int r = 0; r < xs.rows; ++r) std::copy_n(bias, ws.cols, y + Shape{r, ws.cols}.size());
  multiply(Product::nn, xs, at(record, nodes[0]).value, ws, at(record, nodes[1]).value, T(1), y);
  return finish(record, where);
}

template <class T>
Var<T> solve(Var<T> A, Var<T> B, At where) {
  return detail::record_solve<false>(A, B, where);
}
template <class T>
Var<T> solve_transposed(Var<T> A, Var<T> B, At where) {
  return detail::record_solve<true>(A, B, where);
}

template <class T>
Var<T> log_det(Var<T> A, At where) {
  using namespace detail;
  const Shape s = A.shape();
  expect(s.rows == s.cols, "log_det: needs a square matrix, got ", s, where);
  Record<T>& record = *A.record();
  const int i = A.index();
  T* y;
  append<T>(record, &LogDet<T>::op, {&i, 1}, {1, 1}, &y);
  const auto mark = record.arena.mark();
  T* copy = record.arena.template allocate<T>(s.size());
  std::copy_n(at(record, i).value, s.size(), copy);
  speak_of("log_det", where, [&] { *y = lowvar::log_det(s.rows, copy); });
  record.arena.rewind(mark);
  return finish(record, where);
}

template <class T>
Var<T> sum_to(Var<T> x, Shape shape, At where) {
  const Shape from = x.shape();
  expect((shape.rows == 1 || shape.rows == from.rows) && (shape.cols == 1 || shape.cols == from.cols),
         "sum_to: cannot sum ", from, " to ", shape, where);
  return detail::record_map<detail::SumTo>(x, nullptr, shape, where);
}

template <class T>
Var<T> broadcast_to(Var<T> x, Shape shape, At where) {
  const Shape from = x.shape();
  expect((from.rows == 1 || shape.rows == from.rows) && (from.cols == 1 || shape.cols == from.cols),
         "broadcast_to: cannot repeat ", from, " to ", shape, where);
  return detail::record_map<detail::BroadcastTo>(x, nullptr, shape, where);
}

template <class T>
Var<T> pick(Var<T> x, std::span<const int> index, At where) {
  detail::check_index("pick", index, x.rows(), x.cols(), "columns", where);
  return detail::record_map<detail::Pick>(x, detail::keep(*x.record(), index), {x.rows(), 1}, where);
}

template <class T>
Var<T> place(Var<T> x, std::span<const int> index, int cols, At where) {
  expect(x.cols() == 1, "place: needs one column, got ", x.shape(), where);
  detail::check_index("place", index, x.rows(), cols, "columns", where);
  return detail::record_map<detail::Place>(x, detail::keep(*x.record(), index), {x.rows(), cols}, where);
}

template <class T>
Var<T> gather(Var<T> table, std::span<const int> index, At where) {
  detail::check_index("gather", index, static_cast<int>(index.size()), table.rows(), "rows", where);
  Record<T>& record = *table.record();
  const Var<T> y = detail::record_map<detail::Gather>(table, detail::keep(record, index),
                                                      {static_cast<int>(index.size()), table.cols()}, where);
  record.nodes.back().per_row = true;  // the index is data
  return y;
}

template <class T>
Var<T> scatter_add(Var<T> x, std::span<const int> index, int rows, At where) {
  detail::check_index("scatter_add", index, x.rows(), rows, "rows", where);
  return detail::record_map<detail::ScatterAdd>(x, detail::keep(*x.record(), index), {rows, x.cols()}, where);
}

template <class T>
Var<T> transpose(Var<T> x, At where) {
  return detail::record_map<detail::Transpose>(x, nullptr, {x.cols(), x.rows()}, where);
}

template <class T>
Var<T> block(Var<T> x, int row, int col, Shape shape, At where) {
  const Shape from = x.shape();
  expect(row >= 0 && col >= 0 && shape.rows >= 0 && shape.cols >= 0 && row + shape.rows <= from.rows &&
             col + shape.cols <= from.cols,
         "block: no ", shape, " at row ", row, ", column ", col, " of ", from, where);
  return detail::record_map<detail::Block>(x, detail::keep(*x.record(), std::array{row, col}), shape, where);
}

template <class T>
Var<T> pad(Var<T> x, int row, int col, Shape shape, At where) {
  const Shape from = x.shape();
  expect(row >= 0 && col >= 0 && row + from.rows <= shape.rows && col + from.cols <= shape.cols,
         "pad: ", from, " does not fit at row ", row, ", column ", col, " of ", shape, where);
  return detail::record_map<detail::Pad>(x, detail::keep(*x.record(), std::array{row, col}), shape, where);
}

template <class T>
Var<T> discounted_sum(Var<T> x, std::type_identity_t<T> factor, std::span<const int> offset, At where) {
  const int* begins = detail::group_begins("discounted_sum", x, offset, where);
  return detail::record_map<detail::DiscountedSum>(x, begins, x.shape(), where, factor);
}

template <class T>
Var<T> discounted_sum_forward(Var<T> x, std::type_identity_t<T> factor, std::span<const int> offset,
                              At where) {
  const int* begins = detail::group_begins("discounted_sum_forward", x, offset, where);
  return detail::record_map<detail::DiscountedSumForward>(x, begins, x.shape(), where, factor);
}

namespace detail {

template <class T, class... D>
std::vector<OpEntry<T>> entries(List<D...>) {
  return {entry<D, T>()...};
}

constexpr int picked[] = {2, 0, 3};
constexpr int gathered[] = {1, 1, 0, 2, 1};
constexpr int groups[] = {0, 2, 2, 3};

/// Of operands in [-2, 2], with a rule for each.
template <class T>
OpEntry<T> listed(const char* name, std::vector<std::vector<Shape>> shapes,
                  Var<T> (*apply)(std::span<const Operand<T>>)) {
  const std::size_t operands = shapes.front().size();
  return {name, false, std::vector<Domain>(operands), {}, std::move(shapes), apply};
}

/// A + 6 I, which is far from singular for entries of A in [-2, 2].
template <class T>
Var<T> regular(Var<T> A) {
  Array<T> diagonal = zeros<T>(A.rows(), A.rows());
  for (int i = 0; i < A.rows(); ++i) diagonal(i, i) = 6;
  return A + diagonal;
}

template <class T>
std::vector<OpEntry<T>> other_entries() {
  using X = std::span<const Operand<T>>;
  return {
      listed<T>("log_softmax", {{{3, 4}}, {{1, 4}}, {{3, 1}}}, [](X x) { return log_softmax(x[0].var); }),
      listed<T>("logsumexp", {{{3, 4}}, {{1, 4}}, {{3, 1}}}, [](X x) { return logsumexp(x[0].var); }),
      listed<T>("matmul", {{{3, 4}, {4, 2}}, {{1, 4}, {4, 1}}},
                [](X x) { return matmul(x[0].var, x[1].var); }),
      listed<T>("matmul_tn", {{{4, 3}, {4, 2}}, {{1, 3}, {1, 2}}},
                [](X x) { return matmul_tn(x[0].var, x[1].var); }),
      listed<T>("matmul_nt", {{{3, 4}, {2, 4}}, {{1, 4}, {1, 4}}},
                [](X x) { return matmul_nt(x[0].var, x[1].var); }),
      listed<T>("linear", {{{3, 4}, {4, 2}, {1, 2}}, {{1, 1}, {1, 1}, {1, 1}}},
                [](X x) { return linear(x[0].var, x[1].var, x[2].var); }),
      listed<T>("solve", {{{3, 3}, {3, 2}}, {{1, 1}, {1, 1}}},
                [](X x) { return solve(regular(x[0].var), x[1].var); }),
      listed<T>("solve_transposed", {{{3, 3}, {3, 2}}, {{1, 1}, {1, 1}}},
                [](X x) { return solve_transposed(regular(x[0].var), x[1].var); }),
      listed<T>("log_det", {{{3, 3}}, {{1, 1}}}, [](X x) { return log_det(regular(x[0].var)); }),
      listed<T>("sum_to", {{{3, 4}}, {{3, 1}}, {{1, 1}}},
                [](X x) {
                  return sum_to(x[0].var, Shape{1, x[0].var.cols()});
                }),
      listed<T>("sum_to", {{{3, 4}}, {{1, 4}}},
                [](X x) {
                  return sum_to(x[0].var, Shape{x[0].var.rows(), 1});
                }),
      listed<T>("sum_to", {{{3, 4}}},
                [](X x) {
                  return sum_to(x[0].var, Shape{1, 1});
                }),
      listed<T>("broadcast_to", {{{3, 1}}, {{1, 4}}, {{1, 1}}, {{3, 4}}},
                [](X x) {
                  return broadcast_to(x[0].var, Shape{3, 4});
                }),
      listed<T>("pick", {{{3, 4}}}, [](X x) { return pick(x[0].var, picked); }),
      listed<T>("place", {{{3, 1}}}, [](X x) { return place(x[0].var, picked, 4); }),
      listed<T>("gather", {{{3, 2}}}, [](X x) { return gather(x[0].var, gathered); }),
      listed<T>("scatter_add", {{{5, 2}}}, [](X x) { return scatter_add(x[0].var, gathered, 3); }),
      listed<T>("transpose", {{{3, 4}}, {{1, 4}}}, [](X x) { return transpose(x[0].var); }),
      listed<T>("block", {{{3, 4}}},
                [](X x) {
                  return block(x[0].var, 1, 1, Shape{2, 3});
                }),
      listed<T>("pad", {{{2, 3}}},
                [](X x) {
                  return pad(x[0].var, 1, 1, Shape{3, 4});
                }),
      listed<T>("discounted_sum", {{{3, 4}}, {{3, 1}}},
                [](X x) { return discounted_sum(x[0].var, T(0.75), groups); }),
      listed<T>("discounted_sum_forward", {{{3, 4}}, {{3, 1}}},
                [](X x) { return discounted_sum_forward(x[0].var, T(0.75), groups); }),
  };
}

}  // namespace detail

template <class T>
std::vector<OpEntry<T>> all_ops() {
  auto out = detail::entries<T>(ElementwiseOps{});
  for (auto& e : detail::other_entries<T>()) out.push_back(std::move(e));
  return out;
}

#define LOWVAR_INSTANTIATE(T)                                          \
  template std::vector<OpEntry<T>> all_ops();                          \
  template Var<T> log_softmax(Var<T>, At);                             \
  template Var<T> logsumexp(Var<T>, At);                               \
  template Var<T> matmul(Var<T>, Var<T>, At);                          \
  template Var<T> matmul_tn(Var<T>, Var<T>, At);                       \
  template Var<T> matmul_nt(Var<T>, Var<T>, At);                       \
  template Var<T> linear(Var<T>, Var<T>, Var<T>, At);                  \
  template Var<T> solve(Var<T>, Var<T>, At);                           \
  template Var<T> solve_transposed(Var<T>, Var<T>, At);                \
  template Var<T> log_det(Var<T>, At);                                 \
  template Var<T> sum_to(Var<T>, Shape, At);                           \
  template Var<T> broadcast_to(Var<T>, Shape, At);                     \
  template Var<T> pick(Var<T>, std::span<const int>, At);              \
  template Var<T> place(Var<T>, std::span<const int>, int, At);        \
  template Var<T> gather(Var<T>, std::span<const int>, At);            \
  template Var<T> scatter_add(Var<T>, std::span<const int>, int, At);  \
  template Var<T> transpose(Var<T>, At);                               \
  template Var<T> block(Var<T>, int, int, Shape, At);                  \
  template Var<T> pad(Var<T>, int, int, Shape, At);                    \
  template Var<T> discounted_sum(Var<T>, T, std::span<const int>, At); \
  template Var<T> discounted_sum_forward(Var<T>, T, std::span<const int>, At);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE

}  // namespace lowvar
