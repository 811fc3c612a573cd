// The operations on matrices, each with its value and its rule; and the lists of ops.h and maps.h, compiled
// for float and double.
#include <algorithm>
#include <cmath>

#include "autograd/op_list.h"
#include "autograd/primitive.h"
#include "core/array.h"
#include "core/blas.h"

namespace lowvar {
namespace detail {

// ---- Of maps.h ----

const int* keep(Arena& arena, std::span<const int> index) {
  int* kept = arena.allocate<int>(index.size());
  std::copy(index.begin(), index.end(), kept);
  return kept;
}

const int* group_begins(Arena& arena, const char* op, Shape x, std::span<const int> offset, At at) {
  expect(!offset.empty() && offset.front() == 0 && offset.back() == x.rows &&
             std::is_sorted(offset.begin(), offset.end()),
         op, ": offset must rise from 0 to the ", x.rows, " rows of ", x, at);
  int* begins = arena.allocate<int>(static_cast<std::size_t>(x.rows));
  std::fill_n(begins, x.rows, 0);
  for (const int r : offset)
    if (r < x.rows) begins[r] = 1;
  return begins;
}

void check_index(const char* op, std::span<const int> index, int rows, int limit, const char* what, At at) {
  expect(static_cast<int>(index.size()) == rows, op, ": needs one index a row, ", rows, ", got ",
         index.size(), at);
  for (std::size_t r = 0; r < index.size(); ++r)
    expect(index[r] >= 0 && index[r] < limit, op, ": index ", index[r], " at ", r, " is not one of the ",
           limit, " ", what, at);
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

/// out [m x n] (+)= a b'. Of a wide b, 64 numbers at a time are kept in registers; a narrow one is only fast
/// where its width is known.
template <class T>
void outer(const T* __restrict a, int m, const T* __restrict b, int n, T* __restrict out, bool accumulate) {
  const auto columns = [&](int from, const auto width, const auto stride) {
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < width; ++j) {
        T& to = out[i * stride + from + j];
        to = accumulate ? std::fma(a[i], b[from + j], to) : a[i] * b[from + j];
      }
  };
  const auto all = [&](const auto width) { columns(0, width, width); };
  switch (n) {
    case 1:
      return all(std::integral_constant<int, 1>());
    case 2:
      return all(std::integral_constant<int, 2>());
    case 3:
      return all(std::integral_constant<int, 3>());
    case 4:
      return all(std::integral_constant<int, 4>());
  }
  constexpr std::integral_constant<int, 64> block;
  int done = 0;
  for (; done + block <= n; done += block) columns(done, block, n);
  if (done < n) columns(done, n - done, n);
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
      const T *a = r.g_first ? g : other_value, *b = r.g_first ? other_value : g;
      const int m = r.g_first ? cols : other.shape.cols, n = r.g_first ? other.shape.cols : cols;
      outer(a, m, b, n, out, accumulate);
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

  static bool apart(const Frame<T>& f, int i) { return P != Product::tn && f.x[i]->per_row == (i == 0); }

  static constexpr Op<T> op{name, pullback, pullback_graph, apart, P == Product::tn ? -1 : 1};
};

/// x W + b; the bias is prefilled and the product accumulates onto it.
template <class T>
struct Linear {
  static void pullback(const Frame<T>& f, int i, int begin, int end, const T* g, T* out, bool accumulate) {
    if (i < 2) return Matmul<Product::nn, T>::pullback(f, i, begin, end, g, out, accumulate);
    const int cols = f.y->shape.cols, rows = end - begin;
    if (rows == 0 && !accumulate) std::fill_n(out, cols, T(0));
    if (rows > 0 && !accumulate) std::copy_n(g, cols, out);
    for (int r = accumulate ? 0 : 1; r < rows; ++r)
      for (int j = 0; j < cols; ++j)
        out[j] += g[static_cast<std::size_t>(r) * static_cast<std::size_t>(cols) + j];
  }
  static Var<T> pullback_graph(Var<T> y, const std::array<Var<T>, 3>& x, int i, Var<T> g) {
    if (i < 2) return Matmul<Product::nn, T>::pullback_graph(y, x, i, g);
    return sum_to(g, x[2].shape());
  }
  static bool apart(const Frame<T>& f, int i) { return f.x[i]->per_row == (i == 0); }
  static Var<T> along(const std::array<Var<T>, 3>& x, const Var<T>& dW, const Var<T>& db) {
    return linear(x[0], dW, db);
  }

  static constexpr Op<T> op{"linear", pullback, pullback_graph, apart, 1, along};
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

  static constexpr Op<T> op{name, pullback, pullback_graph};
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
    return g * solve_transposed(x[0], operand_var<T>(*x[0].record(), identity));
  }

  static constexpr Op<T> op{"log_det", pullback, pullback_graph};
};

template <Product P, class T>
Var<T> record_matmul(Var<T> a, Var<T> b, At where) {
  using M = Matmul<P, T>;
  const Operand<T> operands[] = {{a, where}, {b, where}};
  Record<T>& record = common_record<T>(M::name, operands);
  const std::array<int, 2> x{a.index(), b.index()};
  const Shape sa = record[x[0]].shape, sb = record[x[1]].shape;
  expect(product_fits(P, sa, sb), M::name, ": shapes ", sa, " and ", sb, " do not fit", where);
  T* y = append<T>(record, &M::op, x, product_shape(P, sa, sb));
  multiply(P, sa, record[x[0]].value, sb, record[x[1]].value, T(0), y);
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
  T* y = append<T>(record, &S::op, x, b);
  speak_of(S::name, where, [&] {
    solve_into(transposed, a.rows, record[x[0]].value, b.cols, record[x[1]].value, y, record.arena);
  });
  return finish(record, where);
}

}  // namespace detail

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
  T* y = append<T>(record, &Linear<T>::op, nodes, {xs.rows, ws.cols});
  const T* bias = record[nodes[2]].value;
  for (int r = 0; r < xs.rows; ++r) std::copy_n(bias, ws.cols, y + Shape{r, ws.cols}.size());
  multiply(Product::nn, xs, record[nodes[0]].value, ws, record[nodes[1]].value, T(1), y);
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
  T* y = append<T>(record, &LogDet<T>::op, {&i, 1}, {1, 1});
  const auto mark = record.arena.mark();
  T* copy = record.arena.template allocate<T>(s.size());
  std::copy_n(record[i].value, s.size(), copy);
  speak_of("log_det", where, [&] { *y = lowvar::log_det(s.rows, copy); });
  record.arena.rewind(mark);
  return finish(record, where);
}

template <class T>
Var<T> stop_gradient(Var<T> x) {
  Node<T> node = x.node();
  node.op = nullptr;
  node.operand = {-1, -1, -1};
  node.needs_gradient = false;
  x.record()->nodes.push_back(node);
  return {x.record(), static_cast<int>(x.record()->nodes.size()) - 1};
}

namespace detail {

/// A + 6 I, which is far from singular for entries of A in [-2, 2].
template <class T>
Var<T> regular(Var<T> A) {
  Array<T> diagonal = zeros<T>(A.rows(), A.rows());
  for (int i = 0; i < A.rows(); ++i) diagonal(i, i) = 6;
  return A + diagonal;
}

template <class T>
std::vector<OpEntry<T>> matrix_entries() {
  using X = std::span<const Operand<T>>;
  return {
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
  };
}

}  // namespace detail

template <class T>
std::vector<OpEntry<T>> all_ops() {
  auto out = detail::elementwise_entries<T>(ElementwiseOps{});
  for (auto& part :
       {detail::row_entries<T>(RowOps{}), detail::map_entries<T>(LinearMaps{}), detail::matrix_entries<T>()})
    out.insert(out.end(), part.begin(), part.end());
  return out;
}

#define LOWVAR_INSTANTIATE(T)                           \
  template std::vector<OpEntry<T>> all_ops();           \
  template Var<T> matmul(Var<T>, Var<T>, At);           \
  template Var<T> matmul_tn(Var<T>, Var<T>, At);        \
  template Var<T> matmul_nt(Var<T>, Var<T>, At);        \
  template Var<T> linear(Var<T>, Var<T>, Var<T>, At);   \
  template Var<T> solve(Var<T>, Var<T>, At);            \
  template Var<T> solve_transposed(Var<T>, Var<T>, At); \
  template Var<T> log_det(Var<T>, At);                  \
  template Var<T> stop_gradient(Var<T>);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE

}  // namespace lowvar
