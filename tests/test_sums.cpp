// Sums: their order, which is bits; their error, which must not grow with their length; and that every sum of
// the engine is one of them.
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "autograd/autograd.h"
#include "core/random.h"
#include "core/sums.h"

namespace lowvar {
namespace {

template <class T>
std::vector<T> uniform(std::size_t n, std::uint32_t index, double low = 0) {
  Rng rng(0, "sums", index);
  std::vector<T> x(n);
  for (T& each : x) each = static_cast<T>(rng.uniform(low, 1));
  return x;
}

template <class T>
double relative_error(T sum, long double exact) {
  return static_cast<double>(std::abs(static_cast<long double>(sum) - exact) / std::abs(exact));
}

/// What is allowed of sums of up to 2e8 numbers.
template <class T>
constexpr double allowed = sizeof(T) == 4 ? 1e-6 : 1e-14;

/// The same written from the definition: parts pairwise, as many left of the root as the largest power of two
/// below their number.
template <class T>
T pairwise(std::span<const T> parts) {
  if (parts.size() == 1) return parts[0];
  std::size_t left = 1;
  while (2 * left < parts.size()) left *= 2;
  return pairwise(parts.first(left)) + pairwise(parts.subspan(left));
}

/// 32 numbers in order, beginning with `first` if there is one; such runs pairwise.
template <class T>
T in_runs(const std::vector<T>& x, const T* first = nullptr) {
  std::vector<T> runs;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (i % 32 != 0)
      runs.back() += x[i];
    else
      runs.push_back(i == 0 && first ? *first + x[0] : x[i]);
  return runs.empty() ? (first ? *first : T(0)) : pairwise<T>(runs);
}

template <class T>
class Sums : public testing::Test {};
using Numbers = testing::Types<float, double>;
TYPED_TEST_SUITE(Sums, Numbers);

TYPED_TEST(Sums, ShortOnesAreRightAndTheirOrderStated) {
  using T = TypeParam;
  const auto x = uniform<T>(256, 0, -1);
  for (std::size_t n = 0; n <= x.size(); ++n) {
    long double exact = 0, size = 0;
    T in_order = 0, lane[8] = {};
    for (std::size_t i = 0; i < n; ++i) {
      exact += static_cast<long double>(x[i]), size += static_cast<long double>(std::abs(x[i]));
      in_order += x[i];
      lane[i % 8] += x[i];
    }
    const T total = sum(x.data(), n);
    EXPECT_NEAR(static_cast<double>(total), static_cast<double>(exact),
                17 * static_cast<double>(size) * static_cast<double>(std::numeric_limits<T>::epsilon()));
    EXPECT_EQ(total, n < 8 ? in_order
                           : ((lane[0] + lane[4]) + (lane[1] + lane[5])) +
                                 ((lane[2] + lane[6]) + (lane[3] + lane[7])));
  }
}

TYPED_TEST(Sums, ErrorDoesNotGrowWithTheLength) {
  using T = TypeParam;
  for (const std::size_t n : {257, 300, 511, 1023, 1024, 1025, 1056, 4095, 10'000, 65'536, 300'007}) {
    for (const bool constant : {false, true}) {
      const auto x = constant ? std::vector<T>(n, T(0.1)) : uniform<T>(n, 1);
      long double exact = 0, squares = 0;
      T in_order = 0;
      for (const T each : x) {
        exact += static_cast<long double>(each);
        squares += static_cast<long double>(each) * static_cast<long double>(each);
        in_order += each;
      }
      EXPECT_LT(relative_error(sum(x.data(), n), exact), allowed<T>) << n;
      EXPECT_LT(relative_error(sum_of_squares(x.data(), n), squares), allowed<T>) << n;
      if (constant && n > 100'000) {
        EXPECT_GT(relative_error(in_order, exact), allowed<T>);
      }
    }
  }
  EXPECT_EQ(sum_of_squares<T>(nullptr, 0), 0);
}

TYPED_TEST(Sums, EveryNumberCountsOnce) {
  using T = TypeParam;
  for (const std::size_t n : {7, 8, 255, 256, 257, 1023, 1024, 1025, 1033, 1055, 1057, 3000}) {
    std::vector<T> x(n);
    std::iota(x.begin(), x.end(), T(1));  // all partial sums are integers below 2^24
    EXPECT_EQ(sum(x.data(), n), static_cast<T>(n * (n + 1) / 2)) << n;
  }
}

TYPED_TEST(Sums, PartsAreAddedPairwiseInTheirOrder) {
  using T = TypeParam;
  Arena arena;
  for (std::size_t parts = 0; parts <= 70; ++parts)
    for (const bool accumulate : {false, true}) {
      const auto x = uniform<T>(3 * parts, 2, -1);
      PairwiseSum<T> total(arena, 3);
      for (std::size_t p = 0; p < parts; ++p) {
        T* to = total.next();
        EXPECT_EQ(to, total.next());
        std::copy_n(x.data() + 3 * p, 3, to);
        total.add();
      }
      T out[3] = {7, 8, 9};
      total.finish(out, accumulate);
      for (std::size_t j = 0; j < 3; ++j) {
        std::vector<T> column;
        for (std::size_t p = 0; p < parts; ++p) column.push_back(x[3 * p + j]);
        const T sum = parts == 0 ? T(0) : pairwise<T>(column);
        EXPECT_EQ(out[j], accumulate ? T(7 + static_cast<int>(j)) + sum : sum) << parts;
      }
      arena.rewind({});
    }
}

TYPED_TEST(Sums, OfColumnsInRunsHoweverTheRowsCome) {
  using T = TypeParam;
  Arena arena;
  for (const std::size_t cols : {1, 2, 3, 7, 8, 18, 31, 33, 64, 65, 100, 127})
    for (const std::size_t rows : {0, 1, 2, 7, 8, 9, 31, 32, 33, 64, 65, 100, 1000}) {
      const auto x = uniform<T>(rows * cols, 3, -1);
      for (const bool accumulate : {false, true}) {
        std::vector<T> out(cols, T(0.3)), apart = out;
        sum_columns(x.data(), rows, cols, out.data(), accumulate, arena);
        ColumnSums<T> sums(arena, cols);
        for (std::size_t r = 0, n = 1; r < rows; r += n, n = std::min(2 * n % 45 + 1, rows - r))
          sums.add(x.data() + r * cols, n);
        sums.finish(apart.data(), accumulate);
        for (std::size_t j = 0; j < cols; ++j) {
          std::vector<T> column;
          for (std::size_t r = 0; r < rows; ++r) column.push_back(x[r * cols + j]);
          const T first = T(0.3), whole = in_runs(column);
          EXPECT_EQ(apart[j], accumulate ? first + whole : whole) << rows << "x" << cols;
          if (rows <= 32)
            EXPECT_EQ(out[j], accumulate ? in_runs(column, &first) : whole) << rows << "x" << cols;
          else
            EXPECT_EQ(out[j], apart[j]) << rows << "x" << cols;
        }
      }
      arena.rewind({});
    }
}

TYPED_TEST(Sums, OfRowsByIndexInRuns) {
  using T = TypeParam;
  Arena arena;
  for (const std::size_t cols : {1, 2, 3, 4, 5, 20})
    for (const std::size_t targets : {1, 3, 50})
      for (const std::size_t rows : {0, 1, 31, 32, 33, 64, 65, 500, 3000}) {
        const auto x = uniform<T>(rows * cols, 4, -1), before = uniform<T>(targets * cols, 5, -1);
        Rng rng(1, "sums", static_cast<std::uint32_t>(rows));
        std::vector<int> index(rows);
        for (int& each : index)  // the first row of y takes most
          each = rng.uniform() < 0.5 ? 0 : static_cast<int>(rng.uniform() * static_cast<double>(targets));
        auto y = before;
        scatter_add(x.data(), rows, cols, index.data(), y.data(), targets, arena);
        for (std::size_t i = 0; i < targets; ++i)
          for (std::size_t j = 0; j < cols; ++j) {
            std::vector<T> added;
            for (std::size_t r = 0; r < rows; ++r)
              if (index[r] == static_cast<int>(i)) added.push_back(x[r * cols + j]);
            EXPECT_EQ(y[i * cols + j], in_runs(added, &before[i * cols + j])) << rows << " to " << targets;
          }
      }
}

/// Sums of many times 0.1, by every way in which the engine comes to a sum.
TYPED_TEST(Sums, OfTheEngineAreAccurate) {
  using T = TypeParam;
  const int n = 300'000;
  const long double tenth = static_cast<long double>(T(0.1)), whole = n * tenth;
  const auto column = full<T>(n, 1, T(0.1)), pair = full<T>(n, 2, T(0.1)), row = full<T>(1, n, T(0.1));
  const auto zero = zeros<T>(1, 1), two = zeros<T>(1, 2), W = zeros<T>(2, 2);
  const std::vector<int> index(static_cast<std::size_t>(n), 1);
  Tape<T> tape;
  const auto x = tape.constant(column), xx = tape.constant(pair), across = tape.constant(row);
  const auto a = tape.parameter(zero), b = tape.parameter(two), w = tape.parameter(W);
  const auto check = [&](const char* what, T value, long double expected) {
    EXPECT_LT(relative_error(value, expected), allowed<T>) << what;
  };
  check("sum", sum(x).item(), whole);
  check("sum of a row", sum_rows(across).item(), whole);
  check("mean", mean(xx).item(), tenth);
  check("columns", sum_columns(xx).values()[1], whole);
  check("mean of columns", mean_columns(xx).values()[0], tenth);
  check("a number over a column", grad(sum(a * x), a)(0, 0), whole);
  check("a number over a row", grad(sum(a * across), a)(0, 0), whole);
  check("a number over a matrix", grad(sum(a * xx), a)(0, 0), 2 * whole);
  check("a row over rows", grad(sum(b * xx), b)(0, 1), whole);
  check("a bias", grad(sum(linear(xx, w, b) * xx), b)(0, 1), whole);
  check("weights", grad(sum(linear(xx, w, b) * xx), w)(0, 1), tenth * whole);
  check("broadcast_to", grad(sum(broadcast_to(b, {n, 2}) * xx), b)(0, 1), whole);
  check("gather", grad(sum(gather(w, index) * xx), w)(1, 1), whole);
  check("scatter_add", scatter_add(xx, index, 2).values()[3], whole);
  check("the graph of a bias", grad_graph(sum(linear(xx, w, b) * xx), b).values()[1], whole);
  const std::vector<int> offset{0, n};
  const auto grouped = grouped_grad(sum_rows((tape.data(pair) + b) * xx), {b}, offset, full<T>(n, 1, T(1)));
  check("a group of rows", grouped(0, 1), whole);
  const auto far = zeros<T>(n, 1);
  const auto v = tape.parameter(far);
  check("a row's squared norm", squared_row_norms(matmul(tape.data(row), v), {v})(0, 0), tenth * whole);
}

TYPED_TEST(Sums, OverShardsAreAccurateAndTheSameForAnyThreads) {
  using T = TypeParam;
  const int rows = 50'001;
  const auto x = full<T>(rows, 1, T(0.1));
  const std::vector<Array<T>> theta{zeros<T>(1, 1)};
  const auto run = [&](int threads, int shard) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    const auto f = [&](Tape<T>& tape, const std::vector<Var<T>>& p, int begin, int end) {
      const auto part = tape.data(x, begin, end);
      return sum(part + p[0] * part);
    };
    const auto out = sharded_value_and_grad(f, theta, rows, shard);
    omp_set_num_threads(before);
    return std::pair{out.value, out.grad[0](0, 0)};
  };
  const long double whole = rows * static_cast<long double>(T(0.1));
  for (const int shard : {1, 3, 50'000, std::numeric_limits<int>::max()}) {
    const auto [value, slope] = run(1, shard);
    EXPECT_LT(relative_error(value, whole), allowed<T>) << shard;
    EXPECT_LT(relative_error(slope, whole), allowed<T>) << shard;
    EXPECT_EQ(run(3, shard), (std::pair{value, slope})) << shard;
  }
}

TEST(Sizes, WhatAnIntDoesNotHoldIsAnError) {
  EXPECT_EQ(side(2147483647), 2147483647);
  EXPECT_THROW(side(2147483648), Error);
  EXPECT_THROW(zeros<float>(-1, 2), Error);
  const auto nothing = Array<float>::from_shape({3'000'000'000, 0});
  EXPECT_THROW(shape(nothing), Error);
  const auto none = zeros<float>(2'000'000'000, 0), one = zeros<float>(1, 1);
  Tape<float> tape;
  const auto x = tape.constant(none), y = tape.constant(one);
  EXPECT_THROW(concatenate_rows(std::vector{x, x}), Error);
  EXPECT_THROW(block(y, std::numeric_limits<int>::max(), 0, Shape{1, 1}), Error);
  EXPECT_THROW(pad(y, 0, std::numeric_limits<int>::max(), Shape{2, 2}), Error);
}

}  // namespace
}  // namespace lowvar
