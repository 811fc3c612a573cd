// Optimisers against numbers worked out by hand, to forty digits.
#include <gtest/gtest.h>

#include "nn/optim.h"

namespace lowvar {
namespace {

template <class T>
std::vector<Array<T>> number(double x) {
  return {full<T>(1, 1, static_cast<T>(x))};
}

TEST(Optim, SgdDescends) {
  std::vector<Array<double>> theta{full<double>(2, 3, 1.0), full<double>(1, 1, -2.0)};
  sgd_step(theta, {full<double>(2, 3, 4.0), full<double>(1, 1, -8.0)}, 0.125);
  EXPECT_EQ(theta[0], full<double>(2, 3, 0.5));
  EXPECT_EQ(theta[1](0, 0), -1);
  sgd_step(theta, {zeros<double>(2, 3), full<double>(1, 1, 1.0)}, 0.5);
  EXPECT_EQ(theta[0], full<double>(2, 3, 0.5));
  EXPECT_EQ(theta[1](0, 0), -1.5);
}

template <class T>
class Adam : public testing::Test {
 protected:
  static constexpr double tolerance = sizeof(T) == 8 ? 1e-13 : 1e-6;  // 1 - 0.999 costs three digits
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(Adam, Scalars);

TYPED_TEST(Adam, ThreeStepsOfTheUsualOptions) {
  using T = TypeParam;
  auto theta = number<T>(1);
  AdamState<T> state;
  const AdamOptions options{.learning_rate = 0.1};
  const double g[] = {0.5, -1, 2};
  const double m[] = {0.05, -0.055, 0.1505}, v[] = {0.00025, 0.00124975, 0.00524850025};
  const double expected[] = {0.90000000199999996, 0.93661035424056028, 0.89464479271810477};
  for (int t = 0; t < 3; ++t) {
    adam_step(theta, number<T>(g[t]), state, options);
    EXPECT_EQ(state.t, t + 1);
    EXPECT_NEAR(state.m[0](0, 0), m[t], this->tolerance);
    EXPECT_NEAR(state.v[0](0, 0), v[t], this->tolerance);
    EXPECT_NEAR(theta[0](0, 0), expected[t], this->tolerance);
  }
}

TYPED_TEST(Adam, ThreeStepsWhereEpsilonCounts) {
  using T = TypeParam;
  auto theta = number<T>(-2);
  AdamState<T> state;
  const AdamOptions options{.learning_rate = 0.01, .beta1 = 0.5, .beta2 = 0.75, .epsilon = 0.5};
  const double g[] = {2, 2, -4}, expected[] = {-2.008, -2.016, -2.0119546226479871};
  for (int t = 0; t < 3; ++t) {
    adam_step(theta, number<T>(g[t]), state, options);
    EXPECT_NEAR(theta[0](0, 0), expected[t], 2 * this->tolerance);
  }
}

TYPED_TEST(Adam, EachEntryIsOnItsOwn) {
  using T = TypeParam;
  std::vector<Array<T>> theta{full<T>(1, 2, T(1)), full<T>(2, 1, T(1))};
  AdamState<T> state;
  const AdamOptions options{.learning_rate = 0.1};
  std::vector<Array<T>> g{zeros<T>(1, 2), zeros<T>(2, 1)};
  g[0](0, 1) = 3;
  g[1](1, 0) = T(-1e-3);
  adam_step(theta, g, state, options);
  EXPECT_EQ(theta[0](0, 0), 1);
  EXPECT_EQ(theta[1](0, 0), 1);
  EXPECT_NEAR(theta[0](0, 1), 0.9, 1e-6);  // a first step is the learning rate long, whatever the gradient
  EXPECT_NEAR(theta[1](1, 0), 1.1, 1e-5);
}

TYPED_TEST(Adam, MinimisesAQuadratic) {
  using T = TypeParam;
  auto theta = number<T>(5);
  AdamState<T> state;
  for (int t = 0; t < 3000; ++t)
    adam_step(theta, number<T>(2 * (static_cast<double>(theta[0](0, 0)) - 1)), state,
              {.learning_rate = 0.01});
  EXPECT_NEAR(theta[0](0, 0), 1, 1e-3);
}

}  // namespace
}  // namespace lowvar
