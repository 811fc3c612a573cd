// Products of matrices and linear systems: a closed family, defined, value and rule together, in
// matrices.cpp. At least one operand is a Var; an Array beside it is copied and carries no gradient, and is
// data, a row a sample, only as the first operand of matmul, matmul_nt and linear.
#pragma once

#include <algorithm>
#include <concepts>
#include <type_traits>

#include "autograd/maps.h"
#include "autograd/tape.h"

namespace lowvar {
namespace detail {

/// `type` is T of the first Var<T> among X; there is none without a Var.
template <class... X>
struct FirstVar {};
template <class T, class... Rest>
struct FirstVar<Var<T>, Rest...> : std::type_identity<T> {};
template <class X, class... Rest>
struct FirstVar<X, Rest...> : FirstVar<Rest...> {};

template <class... X>
using ScalarOf = typename FirstVar<X...>::type;

enum class Product { nn, tn, nt };  // A B, A' B, A B'

template <Product P, class T>
Var<T> record_matmul(const Operand<T>& a, const Operand<T>& b);
/// The same of each of `batches` groups of rows.
template <Product P, class T>
Var<T> record_batched(const Operand<T>& a, const Operand<T>& b, int batches);
template <class T>
Var<T> record_linear(const Operand<T>& x, const Operand<T>& W, const Operand<T>& b);
enum class System { general, lower, upper };  // all of A, or one of its triangles

template <System S, bool transposed, class T>
Var<T> record_solve(const Operand<T>& A, const Operand<T>& B);
/// Eigenvalues in the first row, below them the vectors in columns, [n+1 x n].
template <class T>
Var<T> record_eigh(Var<T> A, At at);

}  // namespace detail

/// A B, A' B and A B'.
template <class A, class B, class T = detail::ScalarOf<A, B>>
requires OperandOf<A, T> && OperandOf<B, T> Var<T> matmul(const A& a, const B& b, At at = At::current()) {
  return detail::record_matmul<detail::Product::nn>(Operand<T>(a, at), Operand<T>(b, at));
}
template <class A, class B, class T = detail::ScalarOf<A, B>>
requires OperandOf<A, T> && OperandOf<B, T> Var<T> matmul_tn(const A& a, const B& b, At at = At::current()) {
  return detail::record_matmul<detail::Product::tn>(Operand<T>(a, at), Operand<T>(b, at));
}
template <class A, class B, class T = detail::ScalarOf<A, B>>
requires OperandOf<A, T> && OperandOf<B, T> Var<T> matmul_nt(const A& a, const B& b, At at = At::current()) {
  return detail::record_matmul<detail::Product::nt>(Operand<T>(a, at), Operand<T>(b, at));
}

/// x W + b for x [n x p], W [p x q], b [1 x q].
template <class X, class M, class B, class T = detail::ScalarOf<X, M, B>>
requires OperandOf<X, T> && OperandOf<M, T> && OperandOf<B, T> Var<T> linear(const X& x, const M& W,
                                                                             const B& b,
                                                                             At at = At::current()) {
  return detail::record_linear(Operand<T>(x, at), Operand<T>(W, at), Operand<T>(b, at));
}

/// Products of each of `batches` groups of rows by itself, groups one below another: of a [B n x k] and b [B
/// k x m], a_i b_i is [B n x m]; with b [B m x k], a_i b_i' is [B n x m]; with a [B k x n], a_i' b_i is [B n
/// x m].
template <class A, class M, class T = detail::ScalarOf<A, M>>
requires OperandOf<A, T> && OperandOf<M, T> Var<T> batched_matmul(const A& a, const M& b, int batches,
                                                                  At at = At::current()) {
  return detail::record_batched<detail::Product::nn>(Operand<T>(a, at), Operand<T>(b, at), batches);
}
template <class A, class M, class T = detail::ScalarOf<A, M>>
requires OperandOf<A, T> && OperandOf<M, T> Var<T> batched_matmul_nt(const A& a, const M& b, int batches,
                                                                     At at = At::current()) {
  return detail::record_batched<detail::Product::nt>(Operand<T>(a, at), Operand<T>(b, at), batches);
}
template <class A, class M, class T = detail::ScalarOf<A, M>>
requires OperandOf<A, T> && OperandOf<M, T> Var<T> batched_matmul_tn(const A& a, const M& b, int batches,
                                                                     At at = At::current()) {
  return detail::record_batched<detail::Product::tn>(Operand<T>(a, at), Operand<T>(b, at), batches);
}

// ---- Linear systems ----

/// X with A X = B, and with A' X = B, for A [n x n] and B [n x k]. Throws where A is singular.
template <class M, class R, class T = detail::ScalarOf<M, R>>
requires OperandOf<M, T> && OperandOf<R, T> Var<T> solve(const M& A, const R& B, At at = At::current()) {
  return detail::record_solve<detail::System::general, false>(Operand<T>(A, at), Operand<T>(B, at));
}
template <class M, class R, class T = detail::ScalarOf<M, R>>
requires OperandOf<M, T> && OperandOf<R, T> Var<T> solve_transposed(const M& A, const R& B,
                                                                    At at = At::current()) {
  return detail::record_solve<detail::System::general, true>(Operand<T>(A, at), Operand<T>(B, at));
}

enum class Triangle { lower, upper };

/// The same of the matrix that is one triangle of A, by substitution; the other triangle is not read. Throws
/// where an entry of the diagonal is 0.
template <class M, class R, class T = detail::ScalarOf<M, R>>
requires OperandOf<M, T> && OperandOf<R, T> Var<T> triangular_solve(const M& A, const R& B,
                                                                    Triangle of = Triangle::lower,
                                                                    At at = At::current()) {
  const Operand<T> a(A, at), b(B, at);
  return of == Triangle::lower ? detail::record_solve<detail::System::lower, false>(a, b)
                               : detail::record_solve<detail::System::upper, false>(a, b);
}
template <class M, class R, class T = detail::ScalarOf<M, R>>
requires OperandOf<M, T> && OperandOf<R, T> Var<T> triangular_solve_transposed(const M& A, const R& B,
                                                                               Triangle of = Triangle::lower,
                                                                               At at = At::current()) {
  const Operand<T> a(A, at), b(B, at);
  return of == Triangle::lower ? detail::record_solve<detail::System::lower, true>(a, b)
                               : detail::record_solve<detail::System::upper, true>(a, b);
}

/// log |det A|, 1x1. Throws where A is singular.
template <class T>
Var<T> log_det(Var<T> A, At at = At::current());

// ---- Factorisations ----
//
// Those of a symmetric A [n x n] read its lower triangle, and their gradient is symmetric: the derivative
// along a symmetric dA is <gradient, dA>. Where A holds a NaN or infinity, all of the result is NaN.

/// The lower L [n x n] with A = L L' of a positive definite A. Throws where a pivot is not positive. With
/// Phi(X) the lower triangle of X, its diagonal halved, the gradient is the symmetric part of
/// L'^-1 Phi(L' G) L^-1 (Murray 2016, eq. 10).
template <class T>
Var<T> cholesky(Var<T> A, At at = At::current());

template <class T>
struct Eigh {
  Var<T> values;   // [1 x n], ascending
  Var<T> vectors;  // [n x n], in columns, orthonormal; the first of the largest entries of each is positive
};

/// A = V diag(l) V'. The gradient is that of Giles 2008, sec. 3.1: V (diag(g_l) + F o (V' G_V)) V',
/// symmetrised, where F_ij = 1 / (l_j - l_i). Of equal eigenvalues (within n epsilon of the largest) the
/// vectors have no derivative: a cotangent of theirs throws. That of the values alone is right, and to first
/// order only.
template <class T>
Eigh<T> eigh(Var<T> A, At at = At::current()) {
  const Var<T> both = detail::record_eigh(A, at);
  const int n = both.cols();
  return {block(both, 0, 0, {1, n}, at), block(both, 1, 0, {n, n}, at)};
}

// ---- Triangles: linear maps, as those of maps.h ----

struct Tril : Map {  // index: the number of the last diagonal that is kept
  static constexpr const char* name = "tril";
  using adjoint = Tril;
  template <class T>
  static void apply(Shape shape, const T* x, const int* diagonal, T, Shape, T* y) {
    for (int i = 0; i < shape.rows; ++i, x += shape.cols, y += shape.cols)
      for (int j = 0; j < std::min(shape.cols, i + diagonal[0] + 1); ++j) y[j] += x[j];
  }
  static constexpr MapShapes examples[] = {{{3, 4}, {3, 4}}, {{4, 2}, {4, 2}}};
  static auto example(auto x, Shape y) { return tril(x, y.cols - y.rows); }
};
struct Triu : Map {  // index: the number of the first diagonal that is kept
  static constexpr const char* name = "triu";
  using adjoint = Triu;
  template <class T>
  static void apply(Shape shape, const T* x, const int* diagonal, T, Shape, T* y) {
    for (int i = 0; i < shape.rows; ++i, x += shape.cols, y += shape.cols)
      for (int j = std::max(0, i + diagonal[0]); j < shape.cols; ++j) y[j] += x[j];
  }
  static constexpr MapShapes examples[] = {{{3, 4}, {3, 4}}, {{4, 2}, {4, 2}}};
  static auto example(auto x, Shape y) { return triu(x, y.cols - y.rows); }
};
/// x with zeros above, and below, a diagonal: the main one, or that many places to the right of it.
template <class T>
Var<T> tril(Var<T> x, int diagonal = 0, At at = At::current()) {
  return record_map<Tril>(x, detail::keep(x.record()->arena, {&diagonal, 1}), x.shape(), at);
}
template <class T>
Var<T> triu(Var<T> x, int diagonal = 0, At at = At::current()) {
  return record_map<Triu>(x, detail::keep(x.record()->arena, {&diagonal, 1}), x.shape(), at);
}

using Triangles = List<Tril, Triu>;

}  // namespace lowvar
