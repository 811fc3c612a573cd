// The only file that sees xtensor-blas. <cblas.h> must stay out: both declare enum CBLAS_ORDER.
#include "core/blas.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <vector>
#include <xtensor-blas/xblas.hpp>
#include <xtensor-blas/xlapack.hpp>

#include "core/error.h"

extern "C" {
char* openblas_get_corename(void);
char* openblas_get_config(void);
}

namespace lowvar {
namespace {

std::size_t at(int i, int j, int cols) {
  return static_cast<std::size_t>(i) * static_cast<std::size_t>(cols) + static_cast<std::size_t>(j);
}

/// OpenBLAS asks OpenMP how many threads it may use; while this lives the answer is one.
class SerialBlas {
 public:
  SerialBlas() : before_(omp_get_max_threads()) {
    if (before_ != 1) omp_set_num_threads(1);
  }
  ~SerialBlas() {
    if (before_ != 1) omp_set_num_threads(before_);
  }
  SerialBlas(const SerialBlas&) = delete;
  SerialBlas& operator=(const SerialBlas&) = delete;

 private:
  int before_;
};

/// Whether the chosen kernels take longer to multiply C by a beta of zero than std::fill takes to clear it:
/// five microseconds against one for 256 x 64 floats. The AVX-512 ones do not.
bool clears_slowly() {
  static const bool answer = [] {
    const std::string core = blas_core();
    return core == "Haswell" || core == "Zen";
  }();
  return answer;
}

template <class T>
void serial_gemm(bool transpose_a, bool transpose_b, int m, int n, int k, const T* a, const T* b, T beta,
                 T* c) {
  if (m == 0 || n == 0) return;
  const SerialBlas serial;
  const auto op = [](bool transpose) {
    return transpose ? cxxblas::Transpose::Trans : cxxblas::Transpose::NoTrans;
  };
  if (beta == 0 && clears_slowly()) {
    std::fill_n(c, at(m, 0, n), T(0));
    beta = 1;
  }
  const int lda = std::max(1, transpose_a ? m : k), ldb = std::max(1, transpose_b ? k : n);
  cxxblas::gemm<xt::blas_index_t>(cxxblas::StorageOrder::RowMajor, op(transpose_a), op(transpose_b), m, n, k,
                                  T(1), a, lda, b, ldb, beta, c, n);
}

void check_pivots(int info, int n) {
  expect(info == 0, "a linear system of ", n, " equations is singular: pivot ", info, " is zero");
}

template <class T>
void serial_solve(int n, int columns, T* a, T* b, bool transpose) {
  if (n == 0 || columns == 0) return;
  const SerialBlas serial;
  if (!transpose)  // LAPACK's matrices are column-major
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < i; ++j) std::swap(a[at(i, j, n)], a[at(j, i, n)]);
  std::vector<T> x(at(n, 0, columns));
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < columns; ++j) x[at(j, i, n)] = b[at(i, j, columns)];
  std::vector<xt::blas_index_t> pivots(static_cast<std::size_t>(n));
  check_pivots(cxxlapack::gesv<xt::blas_index_t>(n, columns, a, n, pivots.data(), x.data(), n), n);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < columns; ++j) b[at(i, j, columns)] = x[at(j, i, n)];
}

template <class T>
T serial_log_det(int n, T* a) {
  if (n == 0) return 0;
  const SerialBlas serial;
  std::vector<xt::blas_index_t> pivots(static_cast<std::size_t>(n));
  check_pivots(cxxlapack::getrf<xt::blas_index_t>(n, n, a, n, pivots.data()), n);
  T out = 0;
  for (int i = 0; i < n; ++i) out += std::log(std::abs(a[at(i, i, n)]));
  return out;
}

}  // namespace

void gemm(bool transpose_a, bool transpose_b, int m, int n, int k, const float* a, const float* b, float beta,
          float* c) {
  serial_gemm(transpose_a, transpose_b, m, n, k, a, b, beta, c);
}
void gemm(bool transpose_a, bool transpose_b, int m, int n, int k, const double* a, const double* b,
          double beta, double* c) {
  serial_gemm(transpose_a, transpose_b, m, n, k, a, b, beta, c);
}

void solve(int n, int columns, float* a, float* b, bool transpose) {
  serial_solve(n, columns, a, b, transpose);
}
void solve(int n, int columns, double* a, double* b, bool transpose) {
  serial_solve(n, columns, a, b, transpose);
}

float log_det(int n, float* a) { return serial_log_det(n, a); }
double log_det(int n, double* a) { return serial_log_det(n, a); }

std::string blas_core() { return openblas_get_corename(); }
std::string blas_config() { return openblas_get_config(); }

}  // namespace lowvar
