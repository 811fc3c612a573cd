// The matrix product, linear systems and the facts about the BLAS behind them. Everything above uses these
// pointers and shapes only.
#pragma once

#include <string>

namespace lowvar {

/// C (m x n) = op(A) op(B) + beta C, all row-major and contiguous; op transposes where asked.
/// A is m x k (k x m if transposed), B is k x n (n x k if transposed). Shapes are the caller's to check.
/// Always runs on the calling thread alone: OpenBLAS's bits depend on its number of threads.
void gemm(bool transpose_a, bool transpose_b, int m, int n, int k, const float* a, const float* b, float beta,
          float* c);
void gemm(bool transpose_a, bool transpose_b, int m, int n, int k, const double* a, const double* b,
          double beta, double* c);

/// Solves A X = B, or A' X = B, by elimination with partial pivoting (LAPACK's gesv) on the calling thread. A
/// is n x n, B is n x columns, both row-major and contiguous; A is destroyed, B becomes X. Throws Error where
/// a pivot is zero.
void solve(int n, int columns, float* a, float* b, bool transpose = false);
void solve(int n, int columns, double* a, double* b, bool transpose = false);

/// log |det A| of A [n x n] by the same elimination (getrf); A is destroyed. Throws Error where a pivot is
/// zero.
float log_det(int n, float* a);
double log_det(int n, double* a);

/// The kernels OpenBLAS chose for this CPU ("Haswell", "SkylakeX", ...).
std::string blas_core();

/// OpenBLAS's version and build options.
std::string blas_config();

}  // namespace lowvar
