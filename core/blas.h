// The matrix product, linear systems, factorisations and the facts about the BLAS behind them. Everything
// above uses these pointers and shapes only.
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

/// The lower L with L L' = A of a symmetric positive definite A [n x n], whose lower triangle is read
/// (potrf); written to A, with zeros above the diagonal. Throws Error where a pivot is not positive.
void cholesky(int n, float* a);
void cholesky(int n, double* a);

/// Solves A X = B, or A' X = B, for a triangular A [n x n], lower or upper, the other triangle of which is
/// not read (trsm); B [n x columns] becomes X. Throws Error where an entry of the diagonal is zero.
void solve_triangular(bool lower, bool transpose, int n, int columns, const float* a, float* b);
void solve_triangular(bool lower, bool transpose, int n, int columns, const double* a, double* b);

/// The eigenvalues of a symmetric A [n x n], whose lower triangle is read, in ascending order to w [n]
/// (syev); A becomes orthonormal eigenvectors, in columns. Throws Error where the iteration does not
/// converge.
void eigh(int n, float* a, float* w);
void eigh(int n, double* a, double* w);

/// The kernels OpenBLAS chose for this CPU ("Haswell", "SkylakeX", ...).
std::string blas_core();

/// The kernels to ask for by OPENBLAS_CORETYPE, before the program starts, where OpenBLAS is older than this
/// CPU, does not know it and so chose those of a CPU of 2004 to 2008, several times slower; else empty.
std::string faster_blas_core();

/// OpenBLAS's version and build options.
std::string blas_config();

/// How OpenBLAS was built to share work among threads ("openmp", "pthreads" or "serial"). The bits and the
/// speed of what is here are the same for all three, for none of them gets to share any.
std::string blas_flavour();

/// Throws Error where the BLAS or the LAPACK that was loaded is not OpenBLAS's: it would give other bits.
void expect_openblas();

}  // namespace lowvar
