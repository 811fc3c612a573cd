// Rounding to BF16 and FP16 against every number that these formats have, and against the compiler's own.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>

#include "core/random.h"
#include "core/short_floats.h"

namespace lowvar {
namespace {

/// The number with these bits: a sign, an exponent, and as many bits of a fraction.
double of_bits(std::uint32_t bits, const FloatFormat& format) {
  const int fraction_bits = format.digits - 1;
  const auto fraction = bits & ((1U << fraction_bits) - 1);
  const auto exponent = static_cast<int>(bits >> fraction_bits);
  const double lead = exponent == 0 ? 0 : std::ldexp(1.0, fraction_bits);
  return std::ldexp(lead + fraction, std::max(exponent, 1) - 1 + format.least - fraction_bits);
}

class ShortFloats : public testing::TestWithParam<FloatFormat> {};

/// Every number of the format, and what lies half way and a little off half way to the next.
TEST_P(ShortFloats, EveryNumberAndWhatLiesBetween) {
  const FloatFormat& format = GetParam();
  const auto numbers = static_cast<std::uint32_t>(format.greatest - format.least + 2) << (format.digits - 1);
  for (std::uint32_t bits = 0; bits + 1 < numbers; ++bits) {
    const double x = of_bits(bits, format), next = of_bits(bits + 1, format), middle = (x + next) / 2;
    ASSERT_EQ(rounded(x, format), x) << bits;
    ASSERT_EQ(rounded(-x, format), -x) << bits;
    ASSERT_EQ(rounded(middle, format), bits % 2 ? next : x) << bits;
    ASSERT_EQ(rounded(std::nextafter(middle, 0), format), x) << bits;
    ASSERT_EQ(rounded(std::nextafter(middle, next), format), next) << bits;
    ASSERT_EQ(rounded(-std::nextafter(middle, next), format), -next) << bits;
  }
}

TEST_P(ShortFloats, BeyondTheGreatest) {
  const FloatFormat& format = GetParam();
  const auto numbers = static_cast<std::uint32_t>(format.greatest - format.least + 2) << (format.digits - 1);
  const double greatest = of_bits(numbers - 1, format), power = std::ldexp(1.0, format.greatest + 1);
  const double edge = (greatest + power) / 2;
  EXPECT_EQ(rounded(std::nextafter(edge, 0), format), greatest);
  EXPECT_EQ(rounded(edge, format), INFINITY);
  EXPECT_EQ(rounded(-edge, format), -INFINITY);
  EXPECT_EQ(rounded(1e300, format), INFINITY);
  EXPECT_EQ(rounded(-INFINITY, format), -INFINITY);
  EXPECT_TRUE(std::isnan(rounded(NAN, format)));
  EXPECT_TRUE(std::signbit(rounded(-0.0, format)));
  EXPECT_TRUE(std::signbit(rounded(-1e-300, format)));
}

INSTANTIATE_TEST_SUITE_P(Formats, ShortFloats, testing::Values(bfloat16, binary16));

/// BF16 is a float32 without its last 16 bits: rounded on the bits, to nearest and ties to even.
TEST(ShortFloats, BFloat16OnTheBits) {
  Rng rng(0, "short floats");
  for (int i = 0; i < 1'000'000; ++i) {
    const std::uint32_t bits = rng.bits();
    const auto x = std::bit_cast<float>(bits);
    if (!std::isfinite(x)) continue;
    const auto expected = std::bit_cast<float>((bits + 0x7FFFU + ((bits >> 16) & 1U)) & 0xFFFF0000U);
    ASSERT_EQ(rounded(x, bfloat16), expected) << bits;
  }
}

#ifdef __FLT16_MANT_DIG__
TEST(ShortFloats, Binary16AsTheCompilerHasIt) {
  Rng rng(1, "short floats");
  for (int i = 0; i < 1'000'000; ++i) {
    const auto x = std::bit_cast<float>(rng.bits());
    if (!std::isfinite(x)) continue;
    ASSERT_EQ(rounded(x, binary16), static_cast<double>(static_cast<_Float16>(x))) << x;
  }
}
#endif

}  // namespace
}  // namespace lowvar
