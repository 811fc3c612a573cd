// Numbers rounded to short floating point formats.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

namespace lowvar {

/// A binary format: digits of the significand with its leading one, and the least exponent of a normal number
/// and the greatest, 2^exponent being the value of the leading digit.
struct FloatFormat {
  int digits, least, greatest;
};
constexpr FloatFormat bfloat16{8, -126, 127}, binary16{11, -14, 15};

/// x in that format, to the nearest, ties to the even one, gradually to zero, and to infinity from half a
/// unit beyond the greatest number on (IEEE 754-2019, 4.3.1), where the thread rounds to nearest. NaN stays
/// NaN.
inline double rounded(double x, const FloatFormat& format) {
  if (!std::isfinite(x) || x == 0) return x;
  const int exponent = std::max(std::ilogb(x), format.least);
  const double unit = std::ldexp(1.0, exponent - format.digits + 1), y = std::nearbyint(x / unit) * unit;
  return std::abs(y) >= std::ldexp(1.0, format.greatest + 1)
             ? std::copysign(std::numeric_limits<double>::infinity(), x)
             : y;
}

}  // namespace lowvar
