// Sums of hundreds of millions of numbers, and of more than an int counts.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>

#include "autograd/autograd.h"

namespace lowvar {
namespace {

TEST(LongSums, StayWithinAMillionth) {
  {
    const auto ones = full<float>(200'000'000, 1, 1.f);
    Tape<float> tape;
    EXPECT_EQ(sum(tape.constant(ones)).item(), 2e8f);
  }
  const int n = 10'000'000;
  const double tenth = 0.1f;
  const auto a = full<float>(n, 1, 0.1f), b = full<float>(n / 2, 2, 0.1f);
  const auto zero = zeros<float>(1, 2), W = zeros<float>(2, 2);
  const std::vector<int> index(n / 2, 0);
  Tape<float> tape;
  const auto x = tape.constant(b), bias = tape.parameter(zero), weights = tape.parameter(W);
  EXPECT_NEAR(mean(tape.constant(a)).item() / tenth, 1, 1e-6);
  EXPECT_NEAR(sum_columns(x).values()[0] / (n / 2 * tenth), 1, 1e-6);
  EXPECT_NEAR(scatter_add(x, index, 1).values()[0] / (n / 2 * tenth), 1, 1e-6);
  const auto g = grad(sum(linear(x, weights, bias) * x), {weights, bias});
  EXPECT_NEAR(g[0](1, 0) / (n / 2 * tenth * tenth), 1, 1e-6);
  EXPECT_NEAR(g[1](0, 0) / (n / 2 * tenth), 1, 1e-6);
}

TEST(LongSums, OfDoublesStayWithinTenToTheMinusFourteen) {
  const int n = 10'000'000;
  const auto a = full<double>(n, 1, 0.1), b = full<double>(n / 2, 2, 0.1);
  Tape<double> tape;
  EXPECT_NEAR(static_cast<double>(sum(tape.constant(a)).item() / (n * 0.1L)), 1, 1e-14);
  EXPECT_NEAR(static_cast<double>(sum_columns(tape.constant(b)).values()[0] / (n / 2 * 0.1L)), 1, 1e-14);
}

// Pages that are only read take no memory.
TEST(LongSums, CountMoreNumbersThanAnInt) {
  const Shape s{46341, 46341};
  const std::unique_ptr<float, decltype(&std::free)> zeros(
      static_cast<float*>(std::calloc(s.size(), sizeof(float))), &std::free);
  ASSERT_NE(zeros, nullptr);
  zeros.get()[s.size() - 1] = 1;
  zeros.get()[s.size() / 2] = 2;
  Arena arena;
  float y = 0;
  SumTo::apply<float>(s, zeros.get(), nullptr, 0, {1, 1}, &y, arena);
  EXPECT_EQ(y, 3);
}

}  // namespace
}  // namespace lowvar
