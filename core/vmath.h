// exp, log, tanh, sine and cosine as branch-free polynomials that the compiler vectorises: an element gets
// the same bits in a vector lane, in a loop's tail and alone, because every fused multiply-add is written and
// no other is allowed (-ffp-contract=off). Errors stay below 3 ulp; NaN in, NaN out; results below the smallest
// normal number are zero.
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace lowvar {
namespace detail {

/// The pieces of exp(x) = 2^k (1 + p): 2^k (or 2^(k-1), which is a number up to k = 1024) and p = expm1(r) of
/// the remainder |r| <= ln(2)/2.
template <class T>
struct ExpParts {
  T scale;
  T p;
};

inline ExpParts<double> exp_parts(double x, bool halve = false) {
  const double shifter = 0x1.8p52;  // adding it rounds to an integer, which then stands in the low bits
  const double t = std::fma(x, 0x1.71547652b82fep0, shifter);
  const double k = t - shifter;
  double r = std::fma(k, -0x1.62e42fefa39efp-1, x);
  r = std::fma(k, -0x1.abc9e3b39803fp-56, r);
  double q = 1.6059043836821613e-10;  // Taylor coefficients 1/13! ... 1/2!, enough for |r| <= 0.347
  q = std::fma(q, r, 2.08767569878681e-09);
  q = std::fma(q, r, 2.505210838544172e-08);
  q = std::fma(q, r, 2.755731922398589e-07);
  q = std::fma(q, r, 2.7557319223985893e-06);
  q = std::fma(q, r, 2.48015873015873e-05);
  q = std::fma(q, r, 1.984126984126984e-04);
  q = std::fma(q, r, 1.388888888888889e-03);
  q = std::fma(q, r, 8.333333333333333e-03);
  q = std::fma(q, r, 4.1666666666666664e-02);
  q = std::fma(q, r, 1.6666666666666666e-01);
  q = std::fma(q, r, 0.5);
  const double p = std::fma(q * r, r, r);
  const auto bits = std::bit_cast<std::uint64_t>(t) + (halve ? 1022 : 1023);
  return {std::bit_cast<double>(bits << 52), p};
}

inline ExpParts<float> exp_parts(float x, bool halve = false) {
  const float shifter = 0x1.8p23f;
  const float t = std::fma(x, 0x1.715476p0f, shifter);
  const float k = t - shifter;
  float r = std::fma(k, -0x1.62e43p-1f, x);
  r = std::fma(k, 0x1.05c61p-29f, r);
  float q = 1.9841270e-04f;
  q = std::fma(q, r, 1.3888889e-03f);
  q = std::fma(q, r, 8.3333333e-03f);
  q = std::fma(q, r, 4.1666668e-02f);
  q = std::fma(q, r, 1.6666667e-01f);
  q = std::fma(q, r, 0.5f);
  const float p = std::fma(q * r, r, r);
  const auto bits = std::bit_cast<std::uint32_t>(t) + (halve ? 126 : 127);
  return {std::bit_cast<float>(bits << 23), p};
}

}  // namespace detail

/// e^x. Always inlined: a loop that calls it is not vectorised.
template <std::floating_point T>
[[gnu::always_inline]] inline T exp(T x) {
  constexpr bool is_double = sizeof(T) == 8;
  constexpr T high = is_double ? T(709.782712893384) : T(88.7228317f);    // above: infinity
  constexpr T low = is_double ? T(-708.3964185322641) : T(-87.3365402f);  // below: zero
  const bool top = x > high - T(1);
  T clamped = x > high ? high : x;
  clamped = clamped < low ? low : clamped;
  const auto [scale, p] = detail::exp_parts(clamped, top);
  T y = std::fma(scale, p, scale) * (top ? T(2) : T(1));
  y = x > high ? std::numeric_limits<T>::infinity() : y;
  return x < low ? T(0) : y;
}

/// Hyperbolic tangent, through expm1 so that small x keep their relative accuracy.
template <std::floating_point T>
T tanh(T x) {
  constexpr T saturated = sizeof(T) == 8 ? T(20) : T(9.1);
  T a = std::abs(x);
  a = a > saturated ? saturated : a;
  const auto [scale, p] = detail::exp_parts(T(-2) * a);
  const T e = std::fma(scale, p, scale - T(1));  // expm1(-2|x|)
  return std::copysign(-e / (e + T(2)), x);
}

/// Natural logarithm; log(0) = -infinity, NaN below.
inline double log(double x) {
  const bool tiny = x < std::numeric_limits<double>::min();
  const double scaled = tiny ? x * 0x1p54 : x;
  const auto bits = std::bit_cast<std::uint64_t>(scaled);
  const std::uint64_t shifted =
      bits - 0x3fe6a09e667f3bcdULL;  // so that the mantissa lies in [sqrt(1/2), sqrt(2))
  const auto exponent_bits = static_cast<std::uint64_t>(static_cast<std::int64_t>(shifted) >> 52);
  const double shifter = 0x1.8p52;
  double k = std::bit_cast<double>(std::bit_cast<std::uint64_t>(shifter) + exponent_bits) - shifter;
  k -= tiny ? 54.0 : 0.0;
  const double m = std::bit_cast<double>(bits - (shifted & 0xfff0000000000000ULL));
  const double f = m - 1.0, s = f / (2.0 + f), z = s * s;
  double r = 1.479819860511658591e-01;  // the minimax series of atanh used by fdlibm
  r = std::fma(r, z, 1.531383769920937332e-01);
  r = std::fma(r, z, 1.818357216161805012e-01);
  r = std::fma(r, z, 2.222219843214978396e-01);
  r = std::fma(r, z, 2.857142874366239149e-01);
  r = std::fma(r, z, 3.999999999940941908e-01);
  r = std::fma(r, z, 6.666666666666735130e-01);
  r *= z;
  const double half = 0.5 * f * f;
  const double low = std::fma(s, half + r, k * 1.90821492927058770002e-10);
  double y = std::fma(k, 6.93147180369123816490e-01, -((half - low) - f));
  y = x == 0 ? -std::numeric_limits<double>::infinity() : y;
  y = x < 0 || x != x ? std::numeric_limits<double>::quiet_NaN() : y;
  return x == std::numeric_limits<double>::infinity() ? x : y;
}

inline float log(float x) { return static_cast<float>(log(static_cast<double>(x))); }

template <class T>
struct SinCos {
  T sin, cos;
};

/// Sine and cosine together, within 0.6 ulp up to 2^30. NaN beyond 2^50, where neighbouring numbers are a
/// quarter of a radian apart.
inline SinCos<double> sin_cos(double x) {
  const double shifter = 0x1.8p52;
  const double t = std::fma(x, 0x1.45f306dc9c883p-1, shifter);
  // x = n pi/2 + r + low, with pi/2 as the sum of three numbers; |r| <= pi/4, nearly
  const double n = t - shifter;
  const double r0 = std::fma(n, -0x1.921fb54442d18p+0, x);  // exact
  const double w = n * 0x1.1a62633145c07p-54;
  double r = r0 - w;
  const double low =
      std::fma(n, 0x1.f1976b7ed8fbcp-110, ((r0 - r) - w) - std::fma(n, 0x1.1a62633145c07p-54, -w));
  r = std::abs(x) <= 0x1p50 ? r : std::numeric_limits<double>::quiet_NaN();
  const double z = r * r, z_low = std::fma(r, r, -z);
  double p = 1.58969099521155010221e-10;  // the minimax polynomials of fdlibm on [-pi/4, pi/4]
  p = std::fma(p, z, -2.50507602534068634195e-08);
  p = std::fma(p, z, 2.75573137070700676789e-06);
  p = std::fma(p, z, -1.98412698298579493134e-04);
  p = std::fma(p, z, 8.33333333332248946124e-03);
  const double sixth = -1.66666666666666324348e-01;
  const double v = z * r, v_low = std::fma(r, z_low, std::fma(z, r, -v));
  const double u = v * sixth, u_low = std::fma(v_low, sixth, std::fma(v, sixth, -u));
  const double s = r + u;
  const double correction = ((r - s) + u) + std::fma(v * z, p, std::fma(-0.5 * z, low, low + u_low));
  const double sine = std::copysign(s + correction, r);
  double q = -1.13596475577881948265e-11;
  q = std::fma(q, z, 2.08757232129817482790e-09);
  q = std::fma(q, z, -2.75573143513906633035e-07);
  q = std::fma(q, z, 2.48015872894767294178e-05);
  q = std::fma(q, z, -1.38888888888741095749e-03);
  q = std::fma(q, z, 4.16666666666666019037e-02);
  const double c = std::fma(-0.5, z, 1.0);
  const double cosine =
      c + (std::fma(-0.5, z, 1.0 - c) + std::fma(z * z, q, std::fma(-r, low, -0.5 * z_low)));
  const auto quadrant = std::bit_cast<std::uint64_t>(t);
  const bool swap = (quadrant & 1) != 0;
  const auto flip = [](double y, std::uint64_t sign) {
    return std::bit_cast<double>(std::bit_cast<std::uint64_t>(y) ^ (sign & 2) << 62);
  };
  return {flip(swap ? cosine : sine, quadrant), flip(swap ? sine : cosine, quadrant + 1)};
}

template <std::floating_point T>
T sin(T x) {
  return static_cast<T>(sin_cos(static_cast<double>(x)).sin);
}
template <std::floating_point T>
T cos(T x) {
  return static_cast<T>(sin_cos(static_cast<double>(x)).cos);
}

/// The same of what has a sine and a cosine of its own.
template <class T>
SinCos<T> sin_cos(T x) {
  return {sin(x), cos(x)};
}

inline double sqrt(double x) { return std::sqrt(x); }
inline float sqrt(float x) { return std::sqrt(x); }

/// x held within [low, high]; NaN in, NaN out.
template <std::floating_point T>
T clip(T x, std::type_identity_t<T> low, std::type_identity_t<T> high) {
  return x < low ? low : (x > high ? high : x);
}

/// e^x - 1, accurate for small x.
template <std::floating_point T>
T expm1(T x) {
  constexpr T low = sizeof(T) == 8 ? T(-40) : T(-20);  // below: -1
  const T clamped = x < low ? low : x;
  const auto [scale, p] = detail::exp_parts(clamped > T(80) ? T(80) : clamped);
  return x > T(80) ? exp(x) : std::fma(scale, p, scale - T(1));
}

/// log(1 + x), accurate for small x: the rounding of 1 + x is put right to first order.
template <std::floating_point T>
T log1p(T x) {
  const T u = T(1) + x;
  const T lost = u == std::numeric_limits<T>::infinity() || u == 0 ? T(0) : (x - (u - T(1))) / u;
  return log(u) + lost;
}

template <std::floating_point T>
T atan(T x) {
  return std::atan(x);
}
template <std::floating_point T>
T abs(T x) {
  return std::abs(x);
}
template <std::floating_point T>
T pow(T a, std::type_identity_t<T> b) {
  return std::pow(a, b);
}

/// 1 where a > b, else 0; and 1 where a <= b, else 0.
template <std::floating_point T>
T greater(T a, std::type_identity_t<T> b) {
  return a > b ? T(1) : T(0);
}
template <std::floating_point T>
T less_equal(T a, std::type_identity_t<T> b) {
  return a <= b ? T(1) : T(0);
}

/// Sum of n numbers: in order below eight, else in eight interleaved lanes, which the compiler vectorises.
template <class T>
T sum(const T* x, int n) {
  if (n < 8) {
    T total = 0;
    for (int i = 0; i < n; ++i) total += x[i];
    return total;
  }
  T lane[8] = {};
  int i = 0;
  for (; i + 8 <= n; i += 8)
    for (int j = 0; j < 8; ++j) lane[j] += x[i + j];
  for (int j = 0; i + j < n; ++j) lane[j] += x[i + j];
  return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

}  // namespace lowvar
