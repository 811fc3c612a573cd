// The matrix product against three loops, and its bits against the number of threads.
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/blas.h"
#include "core/error.h"
#include "core/random.h"

namespace lowvar {
namespace {

template <class T>
std::vector<T> random_numbers(int n, std::string_view name) {
  Rng rng(0, name, static_cast<std::uint32_t>(n));
  std::vector<T> out(static_cast<std::size_t>(n));
  for (T& each : out) each = static_cast<T>(rng.normal());
  return out;
}

template <class T>
class Gemm : public testing::Test {
 protected:
  static constexpr double epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());

  /// op(A) op(B) + beta C, and the sum of the magnitudes of its terms, which bounds the error.
  static void expect_right(bool ta, bool tb, int m, int n, int k, T beta) {
    const auto a = random_numbers<T>(m * k, "a"), b = random_numbers<T>(k * n, "b"),
               c = random_numbers<T>(m * n, "c");
    auto result = c;
    if (beta == 0)
      std::fill(result.begin(), result.end(), std::numeric_limits<T>::quiet_NaN());  // must not be read
    gemm(ta, tb, m, n, k, a.data(), b.data(), beta, result.data());
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < n; ++j) {
        const auto at = static_cast<std::size_t>(i * n + j);
        double exact = static_cast<double>(beta) * static_cast<double>(c[at]), size = std::abs(exact);
        for (int l = 0; l < k; ++l) {
          const double term = static_cast<double>(a[static_cast<std::size_t>(ta ? l * m + i : i * k + l)]) *
                              static_cast<double>(b[static_cast<std::size_t>(tb ? j * k + l : l * n + j)]);
          exact += term, size += std::abs(term);
        }
        ASSERT_NEAR(static_cast<double>(result[at]), exact, (k + 2) * epsilon * size)
            << (ta ? "A'" : "A") << (tb ? "B' " : "B ") << m << "x" << n << "x" << k << " beta " << beta;
      }
  }
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(Gemm, Scalars);

TYPED_TEST(Gemm, MatchesThreeLoops) {
  const int sizes[] = {0, 1, 2, 3, 5, 8, 17, 64};
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      for (const int m : sizes)
        for (const int n : sizes)
          for (const int k : sizes)
            for (const double beta : {0.0, 1.0, -0.5})
              this->expect_right(ta, tb, m, n, k, static_cast<TypeParam>(beta));
}

TYPED_TEST(Gemm, MatchesThreeLoopsAtOddSizes) {
  for (const bool ta : {false, true})
    for (const bool tb : {false, true}) {
      this->expect_right(ta, tb, 257, 63, 129, 0);
      this->expect_right(ta, tb, 1, 255, 301, 1);
      this->expect_right(ta, tb, 255, 1, 301, 1);
      this->expect_right(ta, tb, 3, 301, 1, 0);
    }
}

TYPED_TEST(Gemm, LongSumsMatchThreeLoops) {
  for (const bool ta : {false, true})
    for (const bool tb : {false, true}) {
      for (const double beta : {0.0, 1.0, -0.5})
        this->expect_right(ta, tb, 3, 2, 2305, static_cast<TypeParam>(beta));
      this->expect_right(ta, tb, 33, 32, 16401, 1);
    }
}

TYPED_TEST(Gemm, ErrorDoesNotGrowWithTheLengthOfSums) {
  using T = TypeParam;
  const int k = 1'000'000;
  const std::vector<T> a(2 * k, T(0.1)), b(2 * k, T(1.1));
  std::vector<T> c(4);
  gemm(true, false, 2, 2, k, a.data(), b.data(), T(0), c.data());
  const long double exact = static_cast<long double>(T(0.1)) * static_cast<long double>(T(1.1)) * k;
  for (const T each : c)
    EXPECT_LT(std::abs(static_cast<double>(static_cast<long double>(each) / exact - 1)), 20 * this->epsilon);
}

TYPED_TEST(Gemm, NothingToSumScalesC) {
  using T = TypeParam;
  std::vector<T> c{1, 2, 3, 4, 5, 6};
  const T none = 0;
  gemm(false, false, 2, 3, 0, &none, &none, T(1), c.data());
  EXPECT_EQ(c, (std::vector<T>{1, 2, 3, 4, 5, 6}));
  gemm(true, true, 2, 3, 0, &none, &none, T(0), c.data());
  EXPECT_EQ(c, std::vector<T>(6));
}

TYPED_TEST(Gemm, GivesTheSameBitsForAnyNumberOfThreads) {
  using T = TypeParam;
  const int before = omp_get_max_threads();
  const int sizes[][3] = {{2048, 64, 64},  {64, 64, 2048},  {4, 64, 2048},
                          {256, 256, 256}, {257, 129, 515}, {1024, 1, 512}};
  for (const auto& size : sizes)
    for (const bool transpose : {false, true}) {
      const int m = size[0], n = size[1], k = size[2];  // OpenMP does not capture bindings
      const auto a = random_numbers<T>(m * k, "a"), b = random_numbers<T>(k * n, "b");
      std::vector<std::vector<T>> results;
      for (int threads = 1; threads <= 4; ++threads) {
        omp_set_num_threads(threads);
        auto& outside = results.emplace_back(static_cast<std::size_t>(m * n));
        gemm(transpose, transpose, m, n, k, a.data(), b.data(), T(0), outside.data());
        EXPECT_EQ(omp_get_max_threads(), threads);
        // On a thread of a team, even a team of one.
        auto& inside = results.emplace_back(static_cast<std::size_t>(m * n));
#pragma omp parallel for
        for (int i = 0; i < 1; ++i)
          gemm(transpose, transpose, m, n, k, a.data(), b.data(), T(0), inside.data());
      }
      for (const auto& each : results)
        EXPECT_EQ(std::memcmp(each.data(), results.front().data(), each.size() * sizeof(T)), 0)
            << m << "x" << n << "x" << k << " " << transpose;
    }
  omp_set_num_threads(before);
}

TEST(Solve, InvertsTheProduct) {
  for (const int n : {0, 1, 2, 5, 33, 100})
    for (const int columns : {0, 1, 3}) {
      const auto a = random_numbers<double>(n * n, "a"), x = random_numbers<double>(n * columns, "x");
      std::vector<double> b(x.size());
      gemm(false, false, n, columns, n, a.data(), x.data(), 0.0, b.data());
      auto destroyed = a;
      solve(n, columns, destroyed.data(), b.data());
      for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(b[i], x[i], 1e-10) << n << "x" << columns;
    }
}

TEST(Solve, PivotsAndRefusesSingularSystems) {
  std::vector<double> swap{0, 1, 2, 0}, b{3, 4};
  solve(2, 1, swap.data(), b.data());
  EXPECT_EQ(b, (std::vector<double>{2, 3}));
  std::vector<double> singular{1, 2, 2, 4}, c{1, 1};
  EXPECT_THROW(solve(2, 1, singular.data(), c.data()), Error);
}

TEST(Blas, NamesItself) {
  EXPECT_FALSE(blas_core().empty());
  EXPECT_NE(blas_config().find("OpenBLAS"), std::string::npos);
  EXPECT_NO_THROW(expect_openblas());
  EXPECT_EQ(blas_flavour() == "openmp", blas_config().find("USE_OPENMP") != std::string::npos)
      << blas_config();
}

}  // namespace
}  // namespace lowvar
