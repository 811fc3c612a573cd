// The only file that sees xtensor-blas. <cblas.h> must stay out: both declare enum CBLAS_ORDER.
#include "core/blas.h"

#include <dlfcn.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>
#include <xtensor-blas/xblas.hpp>
#include <xtensor-blas/xlapack.hpp>

#include "core/error.h"
#include "core/sums.h"

extern "C" {  // weak: another library of the same name lacks them, and gets a sentence
[[gnu::weak]] char* openblas_get_corename(void);
[[gnu::weak]] char* openblas_get_config(void);
[[gnu::weak]] int openblas_get_parallel(void);
[[gnu::weak]] void openblas_set_num_threads(int);
}

namespace lowvar {
namespace {

std::size_t at(int i, int j, int cols) {
  return static_cast<std::size_t>(i) * static_cast<std::size_t>(cols) + static_cast<std::size_t>(j);
}

/// What openblas_get_parallel says.
enum Flavour { serial, pthreads, openmp };

/// The pthread flavour is told once, before main, and leaves its own threads asleep from then on.
[[maybe_unused]] const bool told = [] {
  const bool own_threads = openblas_get_parallel && openblas_get_parallel() == Flavour::pthreads;
  if (own_threads) openblas_set_num_threads(1);
  return own_threads;
}();

/// The OpenMP flavour asks OpenMP at each call how many threads it may use; while this lives the answer is
/// one.
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

/// A BLAS adds the k products of an entry one to another, or sums of some hundreds of them. Where k is large,
/// blocks of so many are summed pairwise here; a large C is not written as often.
constexpr int block_of_k(std::size_t size_of_c) { return size_of_c <= 1024 ? 256 : 2048; }

template <class T>
void serial_gemm(bool transpose_a, bool transpose_b, int m, int n, int k, const T* a, const T* b, T beta,
                 T* c) {
  if (m == 0 || n == 0) return;
  const SerialBlas serial;
  const auto op = [](bool transpose) {
    return transpose ? cxxblas::Transpose::Trans : cxxblas::Transpose::NoTrans;
  };
  const int lda = std::max(1, transpose_a ? m : k), ldb = std::max(1, transpose_b ? k : n);
  const auto product = [&](int begin, int count, T scale, T* to) {  // of entries [begin, begin + count) of k
    if (scale == 0 && clears_slowly()) {
      std::fill_n(to, at(m, 0, n), T(0));
      scale = 1;
    }
    cxxblas::gemm<xt::blas_index_t>(cxxblas::StorageOrder::RowMajor, op(transpose_a), op(transpose_b), m, n,
                                    count, T(1), a + (transpose_a ? at(begin, 0, m) : at(0, begin, k)), lda,
                                    b + (transpose_b ? at(0, begin, k) : at(begin, 0, n)), ldb, scale, to, n);
  };
  const int block_k = block_of_k(at(m, 0, n));
  if (k <= 8 * block_k) return product(0, k, beta, c);
  Arena arena;
  PairwiseSum<T> blocks(arena, at(m, 0, n));
  for (int done = 0, count; done < k; done += count) {
    count = std::min(block_k, k - done);
    product(done, count, T(0), blocks.next());
    blocks.add();
  }
  if (beta != 0 && beta != 1)
    for (std::size_t j = 0; j < at(m, 0, n); ++j) c[j] *= beta;
  blocks.finish(c, beta != 0);
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

template <class T>
void serial_cholesky(int n, T* a) {
  if (n == 0) return;
  const SerialBlas serial;
  const int info = cxxlapack::potrf<xt::blas_index_t>('U', n, a, n);  // of LAPACK's, which is the transpose
  expect(info == 0, "a matrix of ", n, " rows is not positive definite: pivot ", info, " is not positive");
  for (int i = 0; i < n; ++i) std::fill_n(a + at(i, i + 1, n), n - 1 - i, T(0));
}

template <class T>
void serial_solve_triangular(bool lower, bool transpose, int n, int columns, const T* a, T* b) {
  if (n == 0 || columns == 0) return;
  const SerialBlas serial;
  for (int i = 0; i < n; ++i) check_pivots(a[at(i, i, n)] == 0 ? i + 1 : 0, n);
  cxxblas::trsm<xt::blas_index_t>(cxxblas::StorageOrder::RowMajor, cxxblas::Side::Left,
                                  lower ? cxxblas::StorageUpLo::Lower : cxxblas::StorageUpLo::Upper,
                                  transpose ? cxxblas::Transpose::Trans : cxxblas::Transpose::NoTrans,
                                  cxxblas::Diag::NonUnit, n, columns, T(1), a, n, b, columns);
}

template <class T>
void serial_eigh(int n, T* a, T* w) {
  if (n == 0) return;
  const SerialBlas serial;
  T size = 0;
  cxxlapack::syev<xt::blas_index_t>('V', 'U', n, a, n, w, &size, -1);  // asks how much room it wants
  std::vector<T> work(static_cast<std::size_t>(size));
  const int info = cxxlapack::syev<xt::blas_index_t>('V', 'U', n, a, n, w, work.data(),
                                                     static_cast<xt::blas_index_t>(work.size()));
  expect(info == 0, "the eigenvalues of a matrix of ", n, " rows did not converge");
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < i; ++j) std::swap(a[at(i, j, n)], a[at(j, i, n)]);
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

void cholesky(int n, float* a) { serial_cholesky(n, a); }
void cholesky(int n, double* a) { serial_cholesky(n, a); }

void solve_triangular(bool lower, bool transpose, int n, int columns, const float* a, float* b) {
  serial_solve_triangular(lower, transpose, n, columns, a, b);
}
void solve_triangular(bool lower, bool transpose, int n, int columns, const double* a, double* b) {
  serial_solve_triangular(lower, transpose, n, columns, a, b);
}

void eigh(int n, float* a, float* w) { serial_eigh(n, a, w); }
void eigh(int n, double* a, double* w) { serial_eigh(n, a, w); }

std::string blas_core() {
  expect_openblas();
  return openblas_get_corename();
}

std::string faster_blas_core() {
  const std::string_view core = openblas_get_corename ? openblas_get_corename() : "";
  if (core != "Prescott" && core != "Core2" && core != "Nehalem") return {};
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  return avx512 ? "SkylakeX" : "Haswell";
}

std::string blas_config() {
  expect_openblas();
  return openblas_get_config();
}

std::string blas_flavour() {
  expect_openblas();
  const int flavour = openblas_get_parallel();
  return flavour == Flavour::openmp ? "openmp" : flavour == Flavour::pthreads ? "pthreads" : "serial";
}

void expect_openblas() {
  [[maybe_unused]] static const bool fine = [] {  // for good: libraries that are loaded stay
    const auto library_of = [](const char* function) -> std::string {
      Dl_info found{};
      void* const at = ::dlsym(RTLD_DEFAULT, function);
      return at && ::dladdr(at, &found) && found.dli_fname ? found.dli_fname : "no library";
    };
    const std::string own = library_of("openblas_get_config");
    for (const char* function :
         {"openblas_get_corename", "openblas_get_parallel", "openblas_set_num_threads", "cblas_sgemm",
          "cblas_dgemm", "cblas_dtrsm", "dgesv_", "dpotrf_", "dsyev_"}) {
      const std::string library = library_of(function);
      expect(library == own && own != "no library", "lowvar computes with OpenBLAS, and ", function,
             " comes from ", library,
             "; install libopenblas0-openmp, and let neither LD_PRELOAD nor "
             "LD_LIBRARY_PATH name another BLAS");
    }
    return true;
  }();
}

}  // namespace lowvar
