// Small dense linear algebra of the oracles of linear systems.
#pragma once

#include "core/array.h"
#include "core/blas.h"

namespace lowvar::dense {

using Matrix = Array<double>;

/// op(A) op(B), op transposes where asked.
inline Matrix product(const Matrix& A, const Matrix& B, bool transpose_A = false, bool transpose_B = false) {
  const Shape a = shape(A), b = shape(B);
  const int rows = transpose_A ? a.cols : a.rows, cols = transpose_B ? b.rows : b.cols;
  Matrix C = zeros<double>(rows, cols);
  gemm(transpose_A, transpose_B, rows, cols, transpose_A ? a.rows : a.cols, A.data(), B.data(), 0, C.data());
  return C;
}

/// X'N Y.
inline Matrix sandwich(const Matrix& X, const Matrix& N, const Matrix& Y) {
  return product(X, product(N, Y), true);
}

inline Matrix add(const Matrix& A, const Matrix& B, double factor = 1) {
  Matrix C = A;
  for (std::size_t i = 0; i < C.size(); ++i) C.data()[i] += factor * B.data()[i];
  return C;
}

inline Matrix times(double factor, Matrix A) {
  for (double& x : values(A)) x *= factor;
  return A;
}

inline Matrix symmetric_part(const Matrix& A) {
  Matrix S = A;
  for (int i = 0; i < shape(A).rows; ++i)
    for (int j = 0; j < shape(A).rows; ++j) S(i, j) = 0.5 * (A(i, j) + A(j, i));
  return S;
}

inline double trace(const Matrix& A) {
  double sum = 0;
  for (int i = 0; i < shape(A).rows; ++i) sum += A(i, i);
  return sum;
}

inline double dot(const double* x, const double* y, std::size_t n) {
  double lane[4] = {};
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (std::size_t j = 0; j < 4; ++j) lane[j] += x[i + j] * y[i + j];
  for (std::size_t j = 0; i + j < n; ++j) lane[j] += x[i + j] * y[i + j];
  return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

/// sum_ij A_ij B_ij, which is tr(A B) for symmetric matrices.
inline double inner(const Matrix& A, const Matrix& B) { return dot(A.data(), B.data(), A.size()); }

}  // namespace lowvar::dense
