// The operations on matrices, each with its value and its rule, for float and double.
#include "autograd/matrices.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/op_list.h"
#include "autograd/primitive.h"
#include "core/array.h"
#include "core/blas.h"

namespace lowvar {
namespace detail {

// ---- Products ----

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

/// The shape of one of `batches` groups of rows.
constexpr Shape group_of(Shape x, int batches) { return {x.rows / batches, x.cols}; }

/// out [m x n] (+)= a b'. Of a wide b, 64 numbers at a time are kept in registers; a narrow one is only fast
/// where its width is known.
template <class T>
void outer(const T* __restrict a, int m, const T* __restrict b, int n, T* __restrict out, bool accumulate) {
  const auto columns = [&](int from, const auto width, const auto stride) {
    for (int i = 0; i < m; ++i) {
      T* __restrict to = out + static_cast<std::size_t>(i) * stride + from;
      for (int j = 0; j < width; ++j)
        to[j] = accumulate ? std::fma(a[i], b[from + j], to[j]) : a[i] * b[from + j];
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

  static Var<T> pullback_graph(Var<T>, std::span<const Var<T>> x, int i, Var<T> g) {
    const ProductRule r = product_rule(P, i);
    const Var<T>& other = x[static_cast<std::size_t>(1 - i)];
    const Var<T>&a = r.g_first ? g : other, &b = r.g_first ? other : g;
    return r.product == Product::nn   ? matmul(a, b)
           : r.product == Product::tn ? matmul_tn(a, b)
                                      : matmul_nt(a, b);
  }

  static bool apart(const Frame<T>&, int i, bool of_samples) {
    return P != Product::tn && of_samples == (i == 0);
  }

  static constexpr Op<T> op{.name = name,
                            .pullback = pullback,
                            .pullback_graph = pullback_graph,
                            .apart = apart,
                            .outer = P == Product::tn ? -1 : 1};
};

/// Of `batches` groups of rows, a number that the index holds.
template <Product P, class T>
struct BatchedMatmul {
  static constexpr const char* name = P == Product::nn   ? "batched_matmul"
                                      : P == Product::tn ? "batched_matmul_tn"
                                                         : "batched_matmul_nt";

  static void pullback(const Frame<T>& f, int i, int begin, int end, const T* g, T* out, bool accumulate) {
    const ProductRule r = product_rule(P, i);
    const int batches = *f.y->index;
    const Shape y = group_of(f.y->shape, batches), other = group_of(f.x[1 - i]->shape, batches);
    const T* other_value = f.x[1 - i]->value;
    const Shape x = group_of(f.x[i]->shape, batches);
    const bool by_rows = P != Product::tn;  // rows of the result are those of A
    for (int batch = 0; batch < batches; ++batch) {
      const int from = std::max(begin, batch * y.rows), to = std::min(end, (batch + 1) * y.rows);
      const Shape g_shape{std::max(0, to - from), y.cols};
      const T* g_at = g + (g_shape.rows > 0 ? Shape{from - begin, y.cols}.size() : 0);
      const bool part = by_rows && i == 1;  // these rows of A are what B meets
      const Shape other_shape{part ? g_shape.rows : other.rows, other.cols};
      const T* other_at =
          other_value +
          (part && g_shape.rows > 0 ? Shape{from, other.cols} : Shape{batch * other.rows, other.cols}).size();
      const bool own = by_rows && i == 0;
      if (own && g_shape.rows == 0) continue;
      T* to_at = out + (own ? Shape{from - begin, x.cols} : Shape{batch * x.rows, x.cols}).size();
      if (r.g_first)
        multiply(r.product, g_shape, g_at, other_shape, other_at, T(accumulate), to_at);
      else
        multiply(r.product, other_shape, other_at, g_shape, g_at, T(accumulate), to_at);
    }
  }

  static Var<T> pullback_graph(Var<T> y, std::span<const Var<T>> x, int i, Var<T> g) {
    const ProductRule r = product_rule(P, i);
    const int batches = *y.node().index;
    const Var<T>& other = x[static_cast<std::size_t>(1 - i)];
    const Var<T>&a = r.g_first ? g : other, &b = r.g_first ? other : g;
    return r.product == Product::nn   ? batched_matmul(a, b, batches)
           : r.product == Product::tn ? batched_matmul_tn(a, b, batches)
                                      : batched_matmul_nt(a, b, batches);
  }

  static bool apart(const Frame<T>&, int i, bool of_samples) {
    return P != Product::tn && of_samples == (i == 0);
  }

  static bool regroup(const Frame<T>& f, int i, std::span<const int> of_y, std::span<int> of_x) {
    const int batches = *f.y->index, y = f.y->shape.rows / batches, x = f.x[i]->shape.rows / batches;
    for (std::size_t g = 0; g < of_y.size(); ++g) {
      if (P != Product::tn && i == 0) {
        of_x[g] = of_y[g];
      } else {
        if (y == 0 || of_y[g] % y != 0) return false;
        of_x[g] = of_y[g] / y * x;
      }
    }
    return true;
  }

  static constexpr Op<T> op{.name = name,
                            .pullback = pullback,
                            .pullback_graph = pullback_graph,
                            .apart = apart,
                            .regroup = regroup};
};

/// x W + b; the bias is prefilled and the product accumulates onto it.
template <class T>
struct Linear {
  static void pullback(const Frame<T>& f, int i, int begin, int end, const T* g, T* out, bool accumulate) {
    if (i < 2) return Matmul<Product::nn, T>::pullback(f, i, begin, end, g, out, accumulate);
    lowvar::sum_columns(g, end - begin, f.y->shape.cols, out, accumulate, *f.arena);
  }
  static Var<T> pullback_graph(Var<T> y, std::span<const Var<T>> x, int i, Var<T> g) {
    if (i < 2) return Matmul<Product::nn, T>::pullback_graph(y, x, i, g);
    return sum_to(g, x[2].shape());
  }
  static bool apart(const Frame<T>&, int i, bool of_samples) { return of_samples == (i == 0); }
  static Var<T> along(std::span<const Var<T>> x, const Var<T>& dW, const Var<T>& db) {
    return linear(x[0], dW, db);
  }

  static constexpr Op<T> op{.name = "linear",
                            .pullback = pullback,
                            .pullback_graph = pullback_graph,
                            .apart = apart,
                            .outer = 1,
                            .along = along};
};

// ---- Linear systems ----

/// X of A X = B or A' X = B, written to x, which may be B's own.
template <class T>
void solve_into(System system, bool transpose, int n, const T* a, int columns, const T* b, T* x,
                Arena& arena) {
  if (x != b) std::copy_n(b, Shape{n, columns}.size(), x);
  if (system != System::general)
    return solve_triangular(system == System::lower, transpose, n, columns, a, x);
  const auto mark = arena.mark();
  T* copy = arena.allocate<T>(Shape{n, n}.size());
  std::copy_n(a, Shape{n, n}.size(), copy);
  lowvar::solve(n, columns, copy, x, transpose);
  arena.rewind(mark);
}

/// The same, recorded.
template <class T>
Var<T> solve_graph(System system, bool transpose, Var<T> A, Var<T> B) {
  if (system == System::general) return transpose ? solve_transposed(A, B) : solve(A, B);
  const Triangle of = system == System::lower ? Triangle::lower : Triangle::upper;
  return transpose ? triangular_solve_transposed(A, B, of) : triangular_solve(A, B, of);
}

/// The cotangents of A X = B: dB solves A' dB = G, and dA = -dB X', or the triangle of it that is A's. Of
/// A' X = B: A dB = G and dA = -X dB'.
template <System S, bool transposed, class T>
struct Solve {
  static constexpr const char* name = S == System::general ? transposed ? "solve_transposed" : "solve"
                                      : transposed         ? "triangular_solve_transposed"
                                                           : "triangular_solve";

  static void pullback(const Frame<T>& f, int i, int, int, const T* g, T* out, bool accumulate) {
    const Shape b = f.y->shape, a = f.x[0]->shape;
    const auto mark = f.arena->mark();
    T* dB = f.arena->template allocate<T>(b.size());
    solve_into(S, !transposed, b.rows, f.x[0]->value, b.cols, g, dB, *f.arena);
    if (i == 1) {
      for (std::size_t j = 0; j < b.size(); ++j) out[j] = accumulate ? out[j] + dB[j] : dB[j];
    } else {
      for (std::size_t j = 0; j < b.size(); ++j) dB[j] = -dB[j];
      const T *left = transposed ? f.y->value : dB, *right = transposed ? dB : f.y->value;
      if constexpr (S == System::general) {
        multiply(Product::nt, b, left, b, right, T(accumulate), out);
      } else {
        T* full = f.arena->template allocate<T>(a.size());
        multiply(Product::nt, b, left, b, right, T(0), full);
        if (!accumulate) std::fill_n(out, a.size(), T(0));
        const int main = 0;
        std::conditional_t<S == System::lower, Tril, Triu>::apply(a, full, &main, T(0), a, out);
      }
    }
    f.arena->rewind(mark);
  }
  static Var<T> pullback_graph(Var<T> y, std::span<const Var<T>> x, int i, Var<T> g) {
    const Var<T> dB = solve_graph(S, !transposed, x[0], g);
    if (i == 1) return dB;
    const Var<T> dA = transposed ? -matmul_nt(y, dB) : -matmul_nt(dB, y);
    return S == System::general ? dA : S == System::lower ? tril(dA) : triu(dA);
  }

  static constexpr Op<T> op{.name = name, .pullback = pullback, .pullback_graph = pullback_graph};
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
    solve_into(System::general, true, n, f.x[0]->value, n, inverse, inverse, *f.arena);
    for (std::size_t j = 0; j < Shape{n, n}.size(); ++j)
      out[j] = accumulate ? out[j] + g[0] * inverse[j] : g[0] * inverse[j];
    f.arena->rewind(mark);
  }
  static Var<T> pullback_graph(Var<T>, std::span<const Var<T>> x, int, Var<T> g) {
    Array<T> identity = zeros<T>(x[0].rows(), x[0].rows());
    for (int i = 0; i < x[0].rows(); ++i) identity(i, i) = 1;
    return g * solve_transposed(x[0], identity);
  }

  static constexpr Op<T> op{.name = "log_det", .pullback = pullback, .pullback_graph = pullback_graph};
};

// ---- Factorisations ----

template <class T>
Var<T> matrix(Record<T>& record, const Array<T>& x) {
  return {&record, node_of_matrix(record, Operand<T>(x))};
}

/// out (+)= the symmetric part of S [n x n].
template <class T>
void add_symmetric_part(int n, const T* S, T* out, bool accumulate) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      const std::size_t ij = Shape{i, n}.size() + j, ji = Shape{j, n}.size() + i;
      const T half = T(0.5) * (S[ij] + S[ji]);
      out[ij] = accumulate ? out[ij] + half : half;
    }
}
template <class T>
Var<T> symmetric_part(Var<T> S) {
  return (S + transpose(S)) * T(0.5);
}

template <class T>
void transpose_into(int n, const T* x, T* out) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) out[Shape{j, n}.size() + i] = x[Shape{i, n}.size() + j];
}

template <class T>
struct Cholesky {
  static void pullback(const Frame<T>& f, int, int, int, const T* g, T* out, bool accumulate) {
    const Shape s = f.y->shape;
    const int n = s.rows;
    const T* L = f.y->value;
    const auto mark = f.arena->mark();
    T *P = f.arena->template allocate<T>(s.size()), *S = f.arena->template allocate<T>(s.size());
    multiply(Product::tn, s, L, s, g, T(0), P);
    for (int i = 0; i < n; ++i) {
      T* row = P + Shape{i, n}.size();
      row[i] *= T(0.5);
      std::fill(row + i + 1, row + n, T(0));
    }
    solve_triangular(true, true, n, n, L, P);
    transpose_into(n, P, S);
    solve_triangular(true, true, n, n, L, S);
    add_symmetric_part(n, S, out, accumulate);
    f.arena->rewind(mark);
  }
  static Var<T> pullback_graph(Var<T> y, std::span<const Var<T>>, int, Var<T> g) {
    const Var<T> P = matmul_tn(y, g), Phi = (tril(P) + tril(P, -1)) * T(0.5);
    return symmetric_part(triangular_solve_transposed(y, transpose(triangular_solve_transposed(y, Phi))));
  }

  static constexpr Op<T> op{.name = "cholesky", .pullback = pullback, .pullback_graph = pullback_graph};
};

/// Whether two of n eigenvalues l, which ascend, are further apart than what rounding makes of equal ones.
template <class T>
bool differ(const T* l, int n, int i, int j) {
  const T largest = std::max(std::abs(l[0]), std::abs(l[n - 1]));
  return !(std::abs(l[i] - l[j]) <= static_cast<T>(n) * std::numeric_limits<T>::epsilon() * largest);
}

/// Throws where the cotangent of a vector whose eigenvalue another one equals is not 0.
template <class T>
void check_vectors(const T* l, const T* g_V, int n) {
  const auto asked = [&](int j) {
    for (int i = 0; i < n; ++i)
      if (g_V[Shape{i, n}.size() + j] != 0) return true;
    return false;
  };
  for (int j = 1; j < n; ++j)
    expect(differ(l, n, j - 1, j) || !(asked(j - 1) || asked(j)), "eigh: eigenvalues ", j - 1, " and ", j,
           " are both ", l[j], ", and the vectors of equal eigenvalues have no derivative");
}

template <class T>
struct EighRule {
  static void pullback(const Frame<T>& f, int, int, int, const T* g, T* out, bool accumulate) {
    const Shape s = f.x[0]->shape;
    const int n = s.rows;
    const T *l = f.y->value, *V = l + n, *g_V = g + n;
    check_vectors(l, g_V, n);
    const auto mark = f.arena->mark();
    T *S = f.arena->template allocate<T>(s.size()), *VS = f.arena->template allocate<T>(s.size());
    multiply(Product::tn, s, V, s, g_V, T(0), S);
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) {
        T& entry = S[Shape{i, n}.size() + j];
        entry = i == j ? g[i] : differ(l, n, i, j) ? entry / (l[j] - l[i]) : T(0);
      }
    multiply(Product::nn, s, V, s, S, T(0), VS);
    multiply(Product::nt, s, VS, s, V, T(0), S);
    add_symmetric_part(n, S, out, accumulate);
    f.arena->rewind(mark);
  }
  static Var<T> pullback_graph(Var<T> y, std::span<const Var<T>>, int, Var<T> g) {
    const int n = y.cols();
    const Shape row{1, n}, square{n, n};
    const Var<T> l = block(y, 0, 0, row), V = block(y, 1, 0, square);
    const Var<T> g_l = block(g, 0, 0, row), g_V = block(g, 1, 0, square);
    check_vectors(l.values().data(), g_V.values().data(), n);
    Array<T> identity = zeros<T>(n, n), apart = zeros<T>(n, n), together = zeros<T>(n, n);
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) {
        identity(i, j) = T(i == j);
        apart(i, j) = T(i != j && differ(l.values().data(), n, i, j));
        together(i, j) = 1 - apart(i, j);
      }
    Record<T>& record = *y.record();
    const Var<T> F = matrix(record, apart) / (l - transpose(l) + matrix(record, together));
    const Var<T> S = g_l * matrix(record, identity) + F * matmul_tn(V, g_V);
    return symmetric_part(matmul_nt(matmul(V, S), V));
  }

  static constexpr Op<T> op{.name = "eigh", .pullback = pullback, .pullback_graph = pullback_graph};
};

// ---- Recording ----

template <Product P, class T>
Var<T> record_matmul(const Operand<T>& a, const Operand<T>& b) {
  using M = Matmul<P, T>;
  const Operand<T> operands[] = {a, b};
  Record<T>& record = common_record<T>(M::name, operands);
  const std::array<int, 2> x{P == Product::tn ? node_of_matrix(record, a) : node_of(record, a),
                             node_of_matrix(record, b)};
  const Shape sa = record[x[0]].shape, sb = record[x[1]].shape;
  expect(product_fits(P, sa, sb), M::name, ": shapes ", sa, " and ", sb, " do not fit", a.at);
  T* y = append<T>(record, &M::op, x, product_shape(P, sa, sb));
  multiply(P, sa, value_of(record, x[0]), sb, value_of(record, x[1]), T(0), y);
  return finish(record, a.at);
}

template <Product P, class T>
Var<T> record_batched(const Operand<T>& a, const Operand<T>& b, int batches) {
  using M = BatchedMatmul<P, T>;
  const Operand<T> operands[] = {a, b};
  Record<T>& record = common_record<T>(M::name, operands);
  const std::array<int, 2> x{node_of(record, a), node_of(record, b)};
  const Shape sa = record[x[0]].shape, sb = record[x[1]].shape;
  expect(batches > 0 && sa.rows % batches == 0 && sb.rows % batches == 0, M::name, ": the rows of ", sa,
         " and ", sb, " do not make ", batches, " batches of as many each", a.at);
  const Shape each_a = group_of(sa, batches), each_b = group_of(sb, batches);
  expect(product_fits(P, each_a, each_b), M::name, ": shapes ", each_a, " and ", each_b, " of each of ",
         batches, " batches do not fit", a.at);
  const Shape each = product_shape(P, each_a, each_b);
  T* y = append<T>(record, &M::op, x, {batches * each.rows, each.cols});
  record.nodes.back().index = keep(record.arena, {&batches, 1});
  const T *a_at = value_of(record, x[0]), *b_at = value_of(record, x[1]);
  for (int batch = 0; batch < batches;
       ++batch, a_at += each_a.size(), b_at += each_b.size(), y += each.size())
    multiply(P, each_a, a_at, each_b, b_at, T(0), y);
  return finish(record, a.at);
}

template <class T>
Var<T> record_linear(const Operand<T>& x, const Operand<T>& W, const Operand<T>& b) {
  const Operand<T> operands[] = {x, W, b};
  Record<T>& record = common_record<T>("linear", operands);
  const std::array<int, 3> nodes{node_of(record, x), node_of_matrix(record, W), node_of_matrix(record, b)};
  const Shape xs = record[nodes[0]].shape, ws = record[nodes[1]].shape, bs = record[nodes[2]].shape;
  expect(xs.cols == ws.rows && bs == Shape{1, ws.cols}, "linear: x ", xs, ", W ", ws, ", b ", bs,
         " do not fit: W must be x's columns by outputs and b one row of outputs", x.at);
  T* y = append<T>(record, &Linear<T>::op, nodes, {xs.rows, ws.cols});
  const T* bias = value_of(record, nodes[2]);
  for (int r = 0; r < xs.rows; ++r) std::copy_n(bias, ws.cols, y + Shape{r, ws.cols}.size());
  multiply(Product::nn, xs, value_of(record, nodes[0]), ws, value_of(record, nodes[1]), T(1), y);
  return finish(record, x.at);
}

/// Runs f; an Error of LAPACK's is given the name and the place of the op.
void speak_of(const char* op, At where, auto&& f) {
  try {
    f();
  } catch (const Error& e) {
    throw Error(join(op, ": ", e.what(), where));
  }
}

template <System S, bool transposed, class T>
Var<T> record_solve(const Operand<T>& A, const Operand<T>& B) {
  using Rule = Solve<S, transposed, T>;
  const Operand<T> operands[] = {A, B};
  Record<T>& record = common_record<T>(Rule::name, operands);
  const std::array<int, 2> x{node_of_matrix(record, A), node_of_matrix(record, B)};
  const Shape a = record[x[0]].shape, b = record[x[1]].shape;
  expect(a.rows == a.cols && a.rows == b.rows, Rule::name, ": A ", a,
         " must be square with as many rows as B ", b, A.at);
  T* y = append<T>(record, &Rule::op, x, b);
  speak_of(Rule::name, A.at, [&] {
    solve_into(S, transposed, a.rows, value_of(record, x[0]), b.cols, value_of(record, x[1]), y,
               record.arena);
  });
  return finish(record, A.at);
}

/// Appends a node for a factorisation of A; f(A's numbers, y) writes it where A has neither NaN nor infinity.
template <class T>
Var<T> record_factors(const Op<T>* op, Var<T> A, Shape y_shape, At where, auto&& f) {
  const Shape s = A.shape();
  Record<T>& record = *A.record();
  const int i = A.index();
  T* y = append<T>(record, op, {&i, 1}, y_shape);
  const T* a = value_of(record, i);
  bool finite = true;
  for (int r = 0; r < s.rows; ++r)
    finite = finite && std::all_of(a + Shape{r, s.cols}.size(), a + Shape{r, s.cols}.size() + r + 1,
                                   [](T v) { return std::isfinite(v); });
  if (finite)
    speak_of(op->name, where, [&] { f(a, y); });
  else
    std::fill_n(y, y_shape.size(), std::numeric_limits<T>::quiet_NaN());
  return finish(record, where);
}

template <class T>
Var<T> record_eigh(Var<T> A, At where) {
  const Shape s = A.shape();
  expect(s.rows == s.cols && s.rows > 0, "eigh: needs a square matrix of at least one row, got ", s, where);
  const int n = s.rows;
  return record_factors(&EighRule<T>::op, A, {n + 1, n}, where, [&](const T* a, T* l) {
    T* V = l + n;
    std::copy_n(a, s.size(), V);
    lowvar::eigh(n, V, l);
    for (int j = 0; j < n; ++j) {
      T most = 0;
      for (int i = 0; i < n; ++i)
        if (const T v = V[Shape{i, n}.size() + j]; std::abs(v) > std::abs(most)) most = v;
      if (most < 0)
        for (int i = 0; i < n; ++i) V[Shape{i, n}.size() + j] *= -1;
    }
  });
}

}  // namespace detail

template <class T>
Var<T> cholesky(Var<T> A, At where) {
  const Shape s = A.shape();
  expect(s.rows == s.cols, "cholesky: needs a square matrix, got ", s, where);
  return detail::record_factors(&detail::Cholesky<T>::op, A, s, where, [&](const T* a, T* y) {
    std::copy_n(a, s.size(), y);
    lowvar::cholesky(s.rows, y);
  });
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
  std::copy_n(value_of(record, i), s.size(), copy);
  speak_of("log_det", where, [&] { *y = lowvar::log_det(s.rows, copy); });
  record.arena.rewind(mark);
  return finish(record, where);
}

namespace detail {

/// A + 6 I, which is far from singular for entries of A in [-2, 2].
template <class T>
Var<T> regular(Var<T> A) {
  Array<T> diagonal = zeros<T>(A.rows(), A.rows());
  for (int i = 0; i < A.rows(); ++i) diagonal(i, i) = 6;
  return A + diagonal;
}

/// A symmetric matrix whose eigenvalues differ for entries of A in [-2, 2].
template <class T>
Var<T> distinct(Var<T> A) {
  Array<T> diagonal = zeros<T>(A.rows(), A.rows());
  for (int i = 0; i < A.rows(); ++i) diagonal(i, i) = T(3.1) * static_cast<T>(i);
  return (A + transpose(A)) * T(0.25) + diagonal;
}

template <class T>
std::vector<OpEntry<T>> matrix_entries() {
  using X = std::span<const Operand<T>>;
  std::vector<OpEntry<T>> out = {
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
      listed<T>("batched_matmul", {{{6, 4}, {8, 2}}, {{2, 4}, {8, 1}}},
                [](X x) { return batched_matmul(x[0].var, x[1].var, 2); }),
      listed<T>("batched_matmul_tn", {{{8, 3}, {8, 2}}, {{2, 3}, {2, 2}}},
                [](X x) { return batched_matmul_tn(x[0].var, x[1].var, 2); }),
      listed<T>("batched_matmul_nt", {{{6, 4}, {4, 4}}, {{2, 4}, {2, 4}}},
                [](X x) { return batched_matmul_nt(x[0].var, x[1].var, 2); }),
      listed<T>("triangular_solve", {{{3, 3}, {3, 2}}, {{1, 1}, {1, 1}}},
                [](X x) { return triangular_solve(regular(x[0].var), x[1].var); }),
      listed<T>("triangular_solve_transposed", {{{3, 3}, {3, 2}}, {{1, 1}, {1, 1}}},
                [](X x) { return triangular_solve_transposed(regular(x[0].var), x[1].var); }),
      listed<T>("triangular_solve upper", {{{3, 3}, {3, 2}}},
                [](X x) { return triangular_solve(regular(x[0].var), x[1].var, Triangle::upper); }),
      listed<T>(
          "triangular_solve_transposed upper", {{{3, 3}, {3, 2}}},
          [](X x) { return triangular_solve_transposed(regular(x[0].var), x[1].var, Triangle::upper); }),
      listed<T>("cholesky", {{{3, 3}}, {{1, 1}}, {{2, 4}}},
                [](X x) { return cholesky(regular(matmul_nt(x[0].var, x[0].var))); }),
      listed<T>("eigh", {{{3, 3}}, {{1, 1}}},
                [](X x) { return record_eigh(distinct(x[0].var), At::current()); }),
  };
  for (auto& each : map_entries<T>(Triangles{})) out.push_back(each);
  return out;
}

}  // namespace detail

#define LOWVAR_INSTANTIATE_PRODUCT(T, P)                                                           \
  template Var<T> detail::record_matmul<detail::Product::P>(const Operand<T>&, const Operand<T>&); \
  template Var<T> detail::record_batched<detail::Product::P>(const Operand<T>&, const Operand<T>&, int);
#define LOWVAR_INSTANTIATE_SOLVE(T, S)                                                                  \
  template Var<T> detail::record_solve<detail::System::S, false>(const Operand<T>&, const Operand<T>&); \
  template Var<T> detail::record_solve<detail::System::S, true>(const Operand<T>&, const Operand<T>&);
#define LOWVAR_INSTANTIATE(T)                                                                     \
  template std::vector<OpEntry<T>> detail::matrix_entries();                                      \
  LOWVAR_INSTANTIATE_PRODUCT(T, nn)                                                               \
  LOWVAR_INSTANTIATE_PRODUCT(T, tn)                                                               \
  LOWVAR_INSTANTIATE_PRODUCT(T, nt)                                                               \
  LOWVAR_INSTANTIATE_SOLVE(T, general)                                                            \
  LOWVAR_INSTANTIATE_SOLVE(T, lower)                                                              \
  LOWVAR_INSTANTIATE_SOLVE(T, upper)                                                              \
  template Var<T> detail::record_linear(const Operand<T>&, const Operand<T>&, const Operand<T>&); \
  template Var<T> detail::record_eigh(Var<T>, At);                                                \
  template Var<T> cholesky(Var<T>, At);                                                           \
  template Var<T> log_det(Var<T>, At);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE
#undef LOWVAR_INSTANTIATE_SOLVE
#undef LOWVAR_INSTANTIATE_PRODUCT

}  // namespace lowvar
