// The vector functions: their errors against long double, their edge cases, and one value, one result: in a
// lane, in a tail and alone.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "autograd/autograd.h"
#include "core/random.h"
#include "core/vmath.h"

namespace lowvar {
namespace {

/// The distance of y from the exact value in units in the last place of the latter, for normal results.
template <class T>
double ulps(T y, long double exact) {
  const int exponent = std::max(std::ilogb(exact), std::numeric_limits<T>::min_exponent - 1);
  const long double ulp = std::ldexp(1.0L, exponent - std::numeric_limits<T>::digits + 1);
  return static_cast<double>(std::abs(static_cast<long double>(y) - exact) / ulp);
}

template <class T>
auto bits_of(T x) {
  return std::bit_cast<std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>(x);
}

/// A number of any sign and exponent, including subnormal ones, and no other kind.
template <class T>
T any_number(Rng& rng) {
  for (;;) {
    const std::uint64_t bits = std::uint64_t{rng.bits()} << 32 | rng.bits();
    T x;
    if constexpr (sizeof(T) == 4)
      x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    else
      x = std::bit_cast<double>(bits);
    if (std::isfinite(x)) return x;
  }
}

template <class T>
struct Function {
  const char* name;
  T (*f)(T);
  long double (*exact)(long double);
  void (*loop)(const T*, T*, int);
  Var<T> (*op)(Var<T>);
};

template <class T>
std::vector<Function<T>> functions() {
  return {{"exp", [](T x) { return lowvar::exp(x); }, [](long double x) { return std::exp(x); },
           [](const T* x, T* y, int n) {
             for (int i = 0; i < n; ++i) y[i] = lowvar::exp(x[i]);
           },
           [](Var<T> x) { return exp(x); }},
          {"log", [](T x) { return lowvar::log(x); }, [](long double x) { return std::log(x); },
           [](const T* x, T* y, int n) {
             for (int i = 0; i < n; ++i) y[i] = lowvar::log(x[i]);
           },
           [](Var<T> x) { return log(x); }},
          {"tanh", [](T x) { return lowvar::tanh(x); }, [](long double x) { return std::tanh(x); },
           [](const T* x, T* y, int n) {
             for (int i = 0; i < n; ++i) y[i] = lowvar::tanh(x[i]);
           },
           [](Var<T> x) { return tanh(x); }},
          {"erf", [](T x) { return lowvar::erf(x); }, [](long double x) { return std::erf(x); },
           [](const T* x, T* y, int n) {
             for (int i = 0; i < n; ++i) y[i] = lowvar::erf(x[i]);
           },
           [](Var<T> x) { return erf(x); }},
          {"normal_cdf", [](T x) { return lowvar::normal_cdf(x); },
           [](long double x) { return std::erfc(-x / std::sqrt(2.0L)) / 2; },
           [](const T* x, T* y, int n) {
             for (int i = 0; i < n; ++i) y[i] = lowvar::normal_cdf(x[i]);
           },
           [](Var<T> x) { return normal_cdf(x); }}};
}

template <class T>
class Vmath : public testing::Test {
 protected:
  static constexpr T inf = std::numeric_limits<T>::infinity();
  static constexpr T nan = std::numeric_limits<T>::quiet_NaN();
  static constexpr T smallest = std::numeric_limits<T>::denorm_min();
  static constexpr T normal = std::numeric_limits<T>::min();
  static constexpr T largest = std::numeric_limits<T>::max();
  static constexpr bool is_double = sizeof(T) == 8;

  /// The largest error over n draws, in ulp.
  static double worst(T (*f)(T), long double (*exact)(long double), const std::function<T(Rng&)>& draw,
                      int n = 500'000) {
    Rng rng(1, "vmath");
    double most = 0;
    for (int i = 0; i < n; ++i) {
      const T x = draw(rng);
      most = std::max(most, ulps(f(x), exact(static_cast<long double>(x))));
    }
    return most;
  }
};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(Vmath, Scalars);

TYPED_TEST(Vmath, ErrorsStayBelowThreeUlp) {
  using T = TypeParam;
  const auto table = functions<T>();
  const auto uniform = [](double low, double high) {
    return [=](Rng& rng) { return static_cast<T>(rng.uniform(low, high)); };
  };
  const auto small = [](Rng& rng) {  // every exponent from 2^-100 to 2^3
    return static_cast<T>((rng.bits() % 2 ? 1 : -1) * std::exp2(rng.uniform(-100, 3)));
  };
  const auto positive = [](Rng& rng) {
    T x;
    do x = std::abs(any_number<T>(rng));
    while (x == 0);
    return x;
  };
  const double low = this->is_double ? -708.39 : -87.33, high = this->is_double ? 709.78 : 88.72;
  const auto& [exp_name, exp_f, exp_exact, exp_loop, exp_op] = table[0];
  EXPECT_LT(this->worst(exp_f, exp_exact, uniform(low, high)), 3);
  EXPECT_LT(this->worst(exp_f, exp_exact, uniform(-1, 1)), 3);
  EXPECT_LT(this->worst(exp_f, exp_exact, uniform(high - 2, high)), 3);
  EXPECT_LT(this->worst(exp_f, exp_exact, small), 3);
  const auto& [log_name, log_f, log_exact, log_loop, log_op] = table[1];
  EXPECT_LT(this->worst(log_f, log_exact, positive), 3);
  EXPECT_LT(this->worst(log_f, log_exact, uniform(0.5, 2)), 3);
  EXPECT_LT(this->worst(log_f, log_exact, uniform(0.99, 1.01)), 3);
  EXPECT_LT(this->worst(log_f, log_exact, uniform(0, 100)), 3);
  const auto& [tanh_name, tanh_f, tanh_exact, tanh_loop, tanh_op] = table[2];
  EXPECT_LT(this->worst(tanh_f, tanh_exact, uniform(-25, 25)), 3);
  EXPECT_LT(this->worst(tanh_f, tanh_exact, uniform(-1, 1)), 3);
  EXPECT_LT(this->worst(tanh_f, tanh_exact, small), 3);
  const auto& [erf_name, erf_f, erf_exact, erf_loop, erf_op] = table[3];
  EXPECT_LT(this->worst(erf_f, erf_exact, uniform(-7, 7)), 3);
  EXPECT_LT(this->worst(erf_f, erf_exact, small), 3);
  const auto& [cdf_name, cdf_f, cdf_exact, cdf_loop, cdf_op] = table[4];
  EXPECT_LT(this->worst(cdf_f, cdf_exact, uniform(-1, 9)), 6);
  EXPECT_LT(this->worst(cdf_f, cdf_exact, uniform(this->is_double ? -37.5 : -13, 0)), 6);
}

/// One value gives the same bits alone, anywhere in an array of any length, and in the engine's kernels.
TYPED_TEST(Vmath, LaneAndTailAgree) {
  using T = TypeParam;
  constexpr int most = 17;
  for (const auto& [name, f, exact, loop, op] : functions<T>())
    for (std::uint32_t trial = 0; trial < 40; ++trial) {
      Rng rng(2, name, trial);
      std::vector<T> x(2 * most);
      for (T& each : x)
        each = trial % 4 == 0 ? any_number<T>(rng)
                              : static_cast<T>(rng.uniform(trial % 4 == 1 ? -100.0 : 0.0, 3));
      std::vector<T> alone;
      for (const T each : x) {
        T one = 0;
        loop(&each, &one, 1);
        alone.push_back(one);
        const volatile T hidden = each;
        ASSERT_EQ(bits_of(f(hidden)), bits_of(one)) << name << " of " << each;
      }
      for (int offset = 0; offset < most; ++offset)
        for (int length = 1; length <= most; ++length) {
          std::vector<T> y(static_cast<std::size_t>(length));
          loop(x.data() + offset, y.data(), length);
          Tape<T> tape;
          const Array<T> copy =
              from_values<T>(1, length, {x.data() + offset, static_cast<std::size_t>(length)});
          const Var<T> engine = op(tape.data(copy));
          for (int i = 0; i < length; ++i) {
            const auto expected = bits_of(alone[static_cast<std::size_t>(offset + i)]);
            ASSERT_EQ(bits_of(y[static_cast<std::size_t>(i)]), expected)
                << name << " of " << x[static_cast<std::size_t>(offset + i)] << " at " << i << " of "
                << length;
            ASSERT_EQ(bits_of(engine.values()[static_cast<std::size_t>(i)]), expected)
                << name << " on a tape";
          }
        }
    }
}

TYPED_TEST(Vmath, EdgesOfErfAndNormalCdf) {
  using T = TypeParam;
  EXPECT_TRUE(std::isnan(lowvar::erf(this->nan)));
  EXPECT_TRUE(std::isnan(lowvar::normal_cdf(this->nan)));
  for (const T x : {this->inf, this->largest}) {
    EXPECT_EQ(lowvar::erf(x), 1);
    EXPECT_EQ(lowvar::erf(-x), -1);
    EXPECT_EQ(lowvar::normal_cdf(x), 1);
    EXPECT_EQ(lowvar::normal_cdf(-x), 0);
  }
  EXPECT_EQ(bits_of(lowvar::erf(T(-0.0))), bits_of(T(-0.0)));
  EXPECT_EQ(lowvar::normal_cdf(T(0)), T(0.5));
}

/// At numbers where they are known (Abramowitz & Stegun 1964, 6.3 and 6.4).
TYPED_TEST(Vmath, PolygammaAtKnownNumbers) {
  using T = TypeParam;
  const double euler = 0.57721566490153286061, pi = 3.14159265358979323846, zeta3 = 1.20205690315959428540;
  const auto near = [](T y, double exact) {
    EXPECT_NEAR(y, exact, 8 * std::numeric_limits<T>::epsilon() * std::max(1.0, std::abs(exact)));
  };
  near(digamma(T(1)), -euler);
  near(digamma(T(0.5)), -euler - 2 * std::log(2.0));
  near(digamma(T(2.5)), -euler - 2 * std::log(2.0) + 2 + 2 / 3.0);
  near(digamma(T(1 << 20)), std::log(1048576.0) - 0.5 / 1048576 - 1 / (12 * std::pow(2, 40)));
  near(polygamma(T(1), T(1)), pi * pi / 6);
  near(polygamma(T(1), T(0.5)), pi * pi / 2);
  near(polygamma(T(2), T(1)), -2 * zeta3);
  near(polygamma(T(3), T(0.5)), std::pow(pi, 4));
  near(polygamma(T(3), T(100)) * T(1e6), 2.030199990001333);
  EXPECT_EQ(digamma(T(0)), -this->inf);
  EXPECT_EQ(polygamma(T(1), T(0)), this->inf);
  EXPECT_EQ(digamma(this->inf), this->inf);
  EXPECT_EQ(polygamma(T(2), this->inf), 0);
  for (const auto& [n, x] :
       std::vector<std::pair<T, T>>{{0, -1}, {-1, 1}, {0.5, 1}, {61, 1}, {0, this->nan}, {this->nan, 1}})
    EXPECT_TRUE(std::isnan(polygamma(n, x))) << n << " " << x;
  EXPECT_EQ(lowvar::lgamma(T(5)), std::log(T(24)));
}

TYPED_TEST(Vmath, EdgesOfExp) {
  using T = TypeParam;
  const auto f = [](T x) { return lowvar::exp(x); };
  EXPECT_TRUE(std::isnan(f(this->nan)));
  EXPECT_EQ(f(this->inf), this->inf);
  EXPECT_EQ(f(-this->inf), 0);
  EXPECT_EQ(f(0), 1);
  EXPECT_EQ(f(T(-0.0)), 1);
  EXPECT_EQ(f(this->smallest), 1);
  EXPECT_EQ(f(-this->normal), 1);
  EXPECT_EQ(f(this->largest), this->inf);
  EXPECT_EQ(f(-this->largest), 0);
  const T last = this->is_double ? T(709.782712893384) : T(88.7228317);
  EXPECT_TRUE(std::isfinite(f(last)));
  EXPECT_GT(f(last), this->largest * T(0.999));
  EXPECT_EQ(f(last * T(1.0001)), this->inf);
  const T first = this->is_double ? T(-708.3964185322641) : T(-87.3365402);
  EXPECT_GE(f(first), this->normal * T(0.999));
  EXPECT_EQ(f(first * T(1.0001)), 0);
}

TYPED_TEST(Vmath, EdgesOfLog) {
  using T = TypeParam;
  const auto f = [](T x) { return lowvar::log(x); };
  EXPECT_TRUE(std::isnan(f(this->nan)));
  EXPECT_TRUE(std::isnan(f(-1)));
  EXPECT_TRUE(std::isnan(f(-this->smallest)));
  EXPECT_TRUE(std::isnan(f(-this->inf)));
  EXPECT_EQ(f(this->inf), this->inf);
  EXPECT_EQ(f(0), -this->inf);
  EXPECT_EQ(f(T(-0.0)), -this->inf);
  EXPECT_EQ(f(1), 0);
  for (const T x : {this->smallest, 3 * this->smallest, this->normal / 2, this->normal, this->largest})
    EXPECT_LT(ulps(f(x), std::log(static_cast<long double>(x))), 3) << x;
}

TYPED_TEST(Vmath, EdgesOfTanh) {
  using T = TypeParam;
  const auto f = [](T x) { return lowvar::tanh(x); };
  EXPECT_TRUE(std::isnan(f(this->nan)));
  EXPECT_EQ(f(this->inf), 1);
  EXPECT_EQ(f(-this->inf), -1);
  EXPECT_EQ(f(this->largest), 1);
  EXPECT_EQ(f(-100), -1);
  EXPECT_EQ(bits_of(f(T(0.0))), bits_of(T(0.0)));
  EXPECT_EQ(bits_of(f(T(-0.0))), bits_of(T(-0.0)));
  EXPECT_EQ(f(this->smallest), this->smallest);
  EXPECT_EQ(f(-3 * this->smallest), -3 * this->smallest);
  EXPECT_EQ(f(this->normal), this->normal);
  Rng rng(3, "odd");
  for (int i = 0; i < 10000; ++i) {
    const T x = static_cast<T>(rng.uniform(0, 12));
    EXPECT_EQ(f(-x), -f(x));
    EXPECT_LE(f(x), 1);
  }
}

TYPED_TEST(Vmath, ClipHoldsWithinBounds) {
  using T = TypeParam;
  EXPECT_EQ(lowvar::clip(T(3), -1, 2), 2);
  EXPECT_EQ(lowvar::clip(T(-3), -1, 2), -1);
  EXPECT_EQ(lowvar::clip(T(1.5), -1, 2), T(1.5));
  EXPECT_EQ(lowvar::clip(this->inf, -1, 2), 2);
  EXPECT_TRUE(std::isnan(lowvar::clip(this->nan, -1, 2)));
}

TYPED_TEST(Vmath, SmallArgumentsKeepTheirRelativeAccuracy) {
  using T = TypeParam;
  Rng rng(5, "small");
  for (int i = 0; i < 20'000; ++i) {
    const T x = static_cast<T>((rng.uniform() < 0.5 ? -1 : 1) * std::exp(rng.uniform(-30, i % 2 ? -0.1 : 3)));
    EXPECT_LE(ulps(lowvar::expm1(x), std::expm1(static_cast<long double>(x))), 3) << x;
    if (x > T(-0.9)) {
      EXPECT_LE(ulps(lowvar::log1p(x), std::log1p(static_cast<long double>(x))), 3) << x;
    }
    EXPECT_LE(ulps(lowvar::sin(x), std::sin(static_cast<long double>(x))), 3) << x;
    EXPECT_NEAR(static_cast<double>(lowvar::cos(x)), std::cos(static_cast<double>(x)),
                2 * std::numeric_limits<T>::epsilon());
  }
  EXPECT_EQ(lowvar::expm1(this->inf), this->inf);
  EXPECT_EQ(lowvar::expm1(-this->inf), T(-1));
  EXPECT_EQ(lowvar::log1p(this->inf), this->inf);
  EXPECT_EQ(lowvar::log1p(T(-1)), -this->inf);
  for (const T y : {lowvar::expm1(this->nan), lowvar::log1p(this->nan), lowvar::sin(this->nan),
                    lowvar::cos(this->nan), lowvar::log1p(T(-2))})
    EXPECT_TRUE(std::isnan(y));
}

TYPED_TEST(Vmath, ComparisonsAreNumbers) {
  using T = TypeParam;
  EXPECT_EQ(greater(T(2), T(1)), 1);
  EXPECT_EQ(greater(T(1), T(1)), 0);
  EXPECT_EQ(less_equal(T(1), T(1)), 1);
  EXPECT_EQ(less_equal(T(2), T(1)), 0);
  EXPECT_EQ(greater(this->nan, T(1)), 0);
  EXPECT_EQ(less_equal(this->nan, T(1)), 0);
  EXPECT_EQ(lowvar::sqrt(T(9)), 3);
  EXPECT_TRUE(std::isnan(lowvar::sqrt(T(-1))));
}

// ---- Sine and cosine, in double ----

TEST(SinCos, ErrorsStayBelowSixTenthsOfAnUlp) {
  Rng rng(5, "sin_cos");
  double sine = 0, cosine = 0;
  const auto meet = [&](double x) {
    const auto [s, c] = sin_cos(x);
    sine = std::max(sine, ulps(s, std::sin(static_cast<long double>(x))));
    cosine = std::max(cosine, ulps(c, std::cos(static_cast<long double>(x))));
  };
  for (int i = 0; i < 300'000; ++i) {
    meet(rng.uniform(-4, 4));
    meet(rng.uniform(-0x1p30, 0x1p30));
    meet((rng.bits() % 2 ? 1 : -1) * std::exp2(rng.uniform(-60, 30)));
    meet(rng.bits() % 1000 * 1.5707963267948966);  // as near to a zero as a double comes
  }
  EXPECT_LE(sine, 0.6);
  EXPECT_LE(cosine, 0.6);
}

TEST(SinCos, LaneAndTailAgree) {
  constexpr int most = 17;
  Rng rng(6, "sin_cos");
  std::vector<double> x(2 * most);
  for (double& each : x) each = rng.uniform(-30, 30);
  for (int offset = 0; offset < most; ++offset)
    for (int length = 1; length <= most; ++length) {
      double s[most], c[most];
      for (int i = 0; i < length; ++i) {
        const auto y = sin_cos(x[static_cast<std::size_t>(offset + i)]);
        s[i] = y.sin, c[i] = y.cos;
      }
      for (int i = 0; i < length; ++i) {
        const volatile double hidden = x[static_cast<std::size_t>(offset + i)];
        const auto alone = sin_cos(static_cast<double>(hidden));
        ASSERT_EQ(bits_of(s[i]), bits_of(alone.sin)) << i << " of " << length;
        ASSERT_EQ(bits_of(c[i]), bits_of(alone.cos)) << i << " of " << length;
      }
    }
}

TEST(SinCos, Edges) {
  const double inf = std::numeric_limits<double>::infinity();
  EXPECT_EQ(sin_cos(0.0).cos, 1);
  EXPECT_EQ(bits_of(sin_cos(0.0).sin), bits_of(0.0));
  EXPECT_EQ(bits_of(sin_cos(-0.0).sin), bits_of(-0.0));
  EXPECT_EQ(sin_cos(-1e-300).sin, -1e-300);
  EXPECT_EQ(sin_cos(std::numeric_limits<double>::denorm_min()).sin,
            std::numeric_limits<double>::denorm_min());
  for (const double x : {inf, -inf, std::numeric_limits<double>::quiet_NaN(), 0x1p51}) {
    EXPECT_TRUE(std::isnan(sin_cos(x).sin)) << x;
    EXPECT_TRUE(std::isnan(sin_cos(x).cos)) << x;
  }
}

}  // namespace
}  // namespace lowvar
