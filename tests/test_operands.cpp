// What may stand beside a Var, on either side: its value, its derivative and the line that errors name.
#include <gtest/gtest.h>

#include <tuple>
#include <xtensor/xmath.hpp>
#include <xtensor/xview.hpp>

#include "autograd/autograd.h"

namespace lowvar {
namespace {

template <class T>
class Operands : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(Operands, Scalars);

/// Every expected value is what xtensor makes of the numbers of the Vars.
TYPED_TEST(Operands, ExpressionsOfArraysOnEitherSide) {
  using T = TypeParam;
  const Array<T> x = {{1, -2}, {3, 0.5}}, A = {{2, 4}, {-1, 0.25}}, B = {{1, 1}, {2, -2}};
  Tape<T> tape;
  const Var<T> v = tape.parameter(x);
  const auto lazy = A - B;
  const std::vector<std::pair<Var<T>, Array<T>>> cases = {
      {(A - B) * v, (A - B) * x},
      {v * (A - B), x * (A - B)},
      {v * lazy, x * lazy},
      {A * B * v, A * B * x},
      {v * A * B, x * A * B},
      {v + lazy, x + lazy},
      {lazy - v, lazy - x},
      {v / (B + B), x / (B + B)},
      {-A * v, -A * x},
      {T(2) * A * v, T(2) * A * x},
      {exp(A) * v, exp(A) * x},
      {xt::view(A, xt::range(0, 1), xt::all()) * v, xt::view(A, xt::range(0, 1), xt::all()) * x},
      {(A > B) * v, Array<T>{{1, -2}, {0, 0.5}}},
      {xt::cast<int>(B) * v, B * x},
      {minimum(v, A - B), xt::minimum(x, A - B)},
      {minimum(A - B, v), xt::minimum(A - B, x)},
      {maximum(0, v), xt::maximum(T(0), x)},
      {maximum(A, v), xt::maximum(A, x)},
      {pow(2, v), xt::pow(T(2), x)},
      {pow(B * B, v), xt::pow(B * B, x)},
      {pow(v, B + B), xt::pow(x, B + B)},
      {xlogy(A - A, v), zeros_like(x)},
      {logaddexp(A, A + v * 0), A + std::log(T(2))},
      {exp_times(B - B, v), x},
      {huber(v, B * 0 + 1), Array<T>{{0.5, 1.5}, {2.5, 0.125}}},
      {clip(v, B - A, A), xt::minimum(xt::maximum(x, B - A), A)},
      {where(A > B, v, 0), Array<T>{{1, -2}, {0, 0.5}}},
      {where(A > B, A + B, v), Array<T>{{3, 5}, {3, -1.75}}},
      {where(less(v, 1), A - B, v), Array<T>{{1, 3}, {3, 2.25}}},
      {gaussian_log_density(A - B, v, v * 0), -square(A - B - x) * T(0.5) - T(0.918938533204672742)},
      {v < A, Array<T>{{1, 1}, {0, 0}}},
      {A < v, Array<T>{{0, 0}, {1, 1}}},
      {v > 0, Array<T>{{1, 0}, {1, 1}}},
      {1 >= v, Array<T>{{1, 1}, {0, 1}}},
      {v <= A - B, Array<T>{{1, 1}, {0, 1}}},
      {v >= v, Array<T>{{1, 1}, {1, 1}}},
      {less(0, v), Array<T>{{1, 0}, {1, 1}}},
      {greater(A, v), Array<T>{{1, 1}, {0, 0}}},
      {less_equal(1, v), Array<T>{{1, 0}, {1, 0}}},
      {greater_equal(A - B, v), Array<T>{{1, 1}, {0, 1}}},
      {equal(3, v), Array<T>{{0, 0}, {1, 0}}},
      {concatenate_rows({v, v}), Array<T>{{1, -2}, {3, 0.5}, {1, -2}, {3, 0.5}}},
      {concatenate_columns({v, v}), Array<T>{{1, -2, 1, -2}, {3, 0.5, 3, 0.5}}},
  };
  int k = 0;
  for (const auto& [got, want] : cases) {
    ASSERT_EQ(got.shape(), shape(want)) << "case " << k;
    for (std::size_t i = 0; i < want.size(); ++i)
      EXPECT_NEAR(got.values()[i], want.data()[i],
                  4 * std::numeric_limits<T>::epsilon() * std::abs(want.data()[i]))
          << "case " << k << ", entry " << i;
    ++k;
  }
  const Array<T> off = square(x - A + B);
  EXPECT_NEAR(mse(v, A - B).item(), xt::mean(off)(), 1e-6);
  EXPECT_EQ(dot(v, A - B).item(), xt::sum(x * (A - B))());
}

TEST(Operands, CarryGradientsPastExpressions) {
  const Array<double> x = {{1, -2}, {3, 0.5}}, A = {{2, 4}, {-1, 0.25}}, B = {{1, 1}, {2, -2}};
  const auto slope = [&](auto f) { return grad([&](Var<double> v) { return sum(f(v)); }, x); };
  EXPECT_EQ(slope([&](auto v) { return (A - B) * v; }), A - B);
  EXPECT_EQ(slope([&](auto v) { return -A * v; }), -A);
  EXPECT_EQ(slope([&](auto v) { return maximum(0, v); }), (Array<double>{{1, 0}, {1, 1}}));
  EXPECT_EQ(slope([&](auto v) { return where(A > B, v, 0); }), (Array<double>{{1, 1}, {0, 1}}));
  EXPECT_EQ(slope([&](auto v) { return v > 0; }), zeros_like(x));
  EXPECT_EQ(slope([&](auto v) {
              Var<double> y = v;
              y += v * v;
              y -= A;
              y *= 3;
              y /= 2;
              return y;
            }),
            Array<double>(1.5 * (1 + 2 * x)));
  EXPECT_EQ(slope([&](auto v) {
              const Var<double> same = v;
              v *= v;  // v is another node: `same` is what it was
              return same;
            }),
            xt::ones_like(x));
}

TEST(Operands, ExpressionsOfOtherThanTwoDimensionsAreRefused) {
  const Array<double> x = {{1, -2}, {3, 0.5}};
  Tape<double> tape;
  const Var<double> v = tape.parameter(x);
  const int line = __LINE__ + 2;
  try {
    v* xt::view(x, 0);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.what(), join("an operand has 1 dimensions, not 2 (", __FILE__, ":", line, ")"));
  }
  EXPECT_THROW(v + xt::sum(x, {0}), Error);
  EXPECT_THROW(minimum(xt::sum(x), v), Error);
}

/// Operators cannot be given a line: it comes with the operands.
TEST(Operands, ErrorsNameTheLineOfTheOperator) {
  const Array<double> x = {{1, -2}, {3, 0.5}}, three = {{1, 2, 3}};
  Tape<double> tape;
  const Var<double> v = tape.parameter(x);
  Var<double> w = v;
  const auto expect_line = [](int line, auto f) {
    try {
      f();
      ADD_FAILURE() << "accepted";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(join(__FILE__, ":", line)), std::string::npos) << e.what();
    }
  };
  expect_line(__LINE__, [&] { v* three; });
  expect_line(__LINE__, [&] { three - v; });
  expect_line(__LINE__, [&] { (three + three) / v; });
  expect_line(__LINE__, [&] { w += three; });
  expect_line(__LINE__, [&] { std::ignore = v > three; });
  expect_line(__LINE__, [&] { minimum(three, v); });
  expect_line(__LINE__, [&] { pow(v, three); });
  expect_line(__LINE__, [&] { where(three, v, 0); });
  expect_line(__LINE__, [&] { mse(v, three * 2); });
}

}  // namespace
}  // namespace lowvar
