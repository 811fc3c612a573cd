// exp, log, tanh, sine, cosine and erf as branch-free polynomials that the compiler vectorises: an element
// gets the same bits in a vector lane, in a loop's tail and alone, because every fused multiply-add is
// written and no other is allowed (-ffp-contract=off). Errors stay below 3 ulp; NaN in, NaN out; results
// below the smallest normal number are zero.
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
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

[[gnu::always_inline]] inline ExpParts<double> exp_parts(double x, bool halve = false) {
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

[[gnu::always_inline]] inline ExpParts<float> exp_parts(float x, bool halve = false) {
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
[[gnu::always_inline]] inline T tanh(T x) {
  constexpr T saturated = sizeof(T) == 8 ? T(20) : T(9.1);
  T a = std::abs(x);
  a = a > saturated ? saturated : a;
  const auto [scale, p] = detail::exp_parts(T(-2) * a);
  const T e = std::fma(scale, p, scale - T(1));  // expm1(-2|x|)
  return std::copysign(-e / (e + T(2)), x);
}

namespace detail {

/// log(2^-shift x) of a positive, normal, finite x.
[[gnu::always_inline]] inline double log_of_normal(double x, double shift = 0) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const std::uint64_t shifted =
      bits - 0x3fe6a09e667f3bcdULL;  // so that the mantissa lies in [sqrt(1/2), sqrt(2))
  const auto exponent_bits = static_cast<std::uint64_t>(static_cast<std::int64_t>(shifted) >> 52);
  const double shifter = 0x1.8p52;
  double k = std::bit_cast<double>(std::bit_cast<std::uint64_t>(shifter) + exponent_bits) - shifter;
  k -= shift;
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
  return std::fma(k, 6.93147180369123816490e-01, -((half - low) - f));
}

}  // namespace detail

/// Natural logarithm; log(0) = -infinity, NaN below.
inline double log(double x) {
  const bool tiny = x < std::numeric_limits<double>::min();
  double y = detail::log_of_normal(tiny ? x * 0x1p54 : x, tiny ? 54.0 : 0.0);
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

/// x modulo m, exactly: in [0, m] for m > 0 and |x| < 2^50 m, as Python's and numpy's `%`.
inline double modulo(double x, double m) {
  const double r = std::fma(-std::trunc(x / m), m, x);
  return r < 0 ? r + m : r;
}

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

/// The same of x in [0, 1]. Without the special cases of log: g++ vectorises no loop in which they follow
/// exp.
template <std::floating_point T>
[[gnu::always_inline]] inline T log1p_of_unit(T x) {
  const T u = T(1) + x;
  return static_cast<T>(detail::log_of_normal(static_cast<double>(u))) + (x - (u - T(1))) / u;
}

namespace detail {

/// The polynomial with these coefficients, that of the highest power first.
template <std::size_t N>
double polynomial(const double (&c)[N], double x) {
  double y = c[0];
  for (std::size_t i = 1; i < N; ++i) y = std::fma(y, x, c[i]);
  return y;
}

/// e^(a^2) erfc(a) for a >= 0 (held at 28, above which erfc is 0): (1 + 2a) times it is a polynomial of
/// (a - 3.75) / (a + 3.75) (Shepherd & Laframboise 1981), here the Chebyshev interpolant.
inline double scaled_erfc(double a) {
  constexpr double c[] = {
      -2.4108215365422332e-09, -8.782125734803521e-10, 3.285083556233316e-08,  1.5996335215573707e-08,
      -2.5261465267715506e-07, -4.815839621672849e-08, 1.7481190468391965e-06, -9.801666755858578e-07,
      -1.1442990926805438e-05, 2.2387259638230133e-05, 5.1648913469599865e-05, -0.00029015496529570924,
      0.00029371366631088616,  0.001755626017152004,   -0.009746579553431873,  0.028362277400457724,
      -0.05869339859030941,    0.09230432116153116,    -0.10880393014171236,   0.08227673849011204,
      0.003585415485463779,    -0.1402405985855467,    1.2375126308378275};
  a = a > 28 ? 28 : a;
  return polynomial(c, (a - 3.75) / (a + 3.75)) / (1 + 2 * a);
}

/// erf(x) for |x| <= 1: x times a polynomial of x^2, the Chebyshev interpolant.
inline double erf_near_zero(double x) {
  constexpr double c[] = {-7.795898827002142e-10, 1.3720064546777686e-08, -1.6208483801871705e-07,
                          1.6447424703317362e-06, -1.492473690741966e-05, 0.00012055294904839707,
                          -0.0008548325975389692, 0.0052239776071164225,  -0.02686617064323777,
                          0.11283791670945006,    -0.37612638903183543,   1.1283791670955126};
  return x * polynomial(c, x * x);
}

/// e^-(x^2 / divisor), divisor a power of two: the rounding of x^2 is put right.
inline double exp_of_square(double x, double divisor) {
  const double s = x * x, low = std::fma(x, x, -s), e = exp(-s / divisor);
  return e == 0 ? e : std::fma(-e, low / divisor, e);
}

}  // namespace detail

/// 2 / sqrt(pi) times the integral of e^-t^2 from 0 to x.
inline double erf(double x) {
  const double a = std::abs(x);
  const double far = 1 - detail::scaled_erfc(a) * detail::exp_of_square(a, 1);
  return a < 1 ? detail::erf_near_zero(x) : std::copysign(far, x);
}
inline float erf(float x) { return static_cast<float>(erf(static_cast<double>(x))); }

/// The probability that a standard normal number is below x, within 6 ulp in either tail.
inline double normal_cdf(double x) {
  const double z = x * 0.70710678118654752, a = std::abs(z);
  const double tail = 0.5 * detail::scaled_erfc(a) * detail::exp_of_square(x, 2);
  const double far = x < 0 ? tail : 1 - tail;
  return a < 0.5 ? std::fma(0.5, detail::erf_near_zero(z), 0.5) : far;
}
inline float normal_cdf(float x) { return static_cast<float>(normal_cdf(static_cast<double>(x))); }

/// log |Gamma(x)|.
inline double lgamma(double x) {
  int sign;
  return ::lgamma_r(x, &sign);  // std::lgamma writes a global
}
inline float lgamma(float x) { return static_cast<float>(lgamma(static_cast<double>(x))); }

/// psi^(n)(x), the n-th derivative of digamma, for x >= 0 and n a whole number up to 60; NaN elsewhere. The
/// recurrence (Abramowitz & Stegun 1964, 6.4.6) leads to where the series 6.4.11 (6.3.18 for n = 0) holds.
inline double polygamma(double n, double x) {
  constexpr double bernoulli[] = {1. / 6,  -1. / 30,     1. / 42, -1. / 30,
                                  5. / 66, -691. / 2730, 7. / 6,  -3617. / 510};
  if (!(n >= 0 && n <= 60 && n == std::floor(n) && x >= 0)) return std::numeric_limits<double>::quiet_NaN();
  double total = 0;  // of (x + k)^-(n+1)
  for (; x < 12 + n; ++x) total += std::pow(x, -n - 1);
  const double r = 1 / x, power = std::pow(x, -n);
  total += (n == 0 ? -log(x) : power / n) + power * r / 2;
  double c = power * (n + 1) / 2 * r * r;  // (2j+n-1)! / ((2j)! n!) x^-(2j+n), j = 1
  double k = 2;
  for (const double b : bernoulli) {
    total += b * c;
    c *= (k + n + 1) * (k + n) / ((k + 2) * (k + 1)) * r * r;
    k += 2;
  }
  return (std::fmod(n, 2) == 1 ? 1 : -1) * std::tgamma(n + 1) * total;
}
inline float polygamma(float n, float x) {
  return static_cast<float>(polygamma(static_cast<double>(n), static_cast<double>(x)));
}

template <std::floating_point T>
T digamma(T x) {
  return polygamma(T(0), x);
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

/// 1 where a > b, a <= b and so on, else 0.
template <std::floating_point T>
T greater(T a, std::type_identity_t<T> b) {
  return a > b ? T(1) : T(0);
}
template <std::floating_point T>
T less_equal(T a, std::type_identity_t<T> b) {
  return a <= b ? T(1) : T(0);
}
template <std::floating_point T>
T less(T a, std::type_identity_t<T> b) {
  return a < b ? T(1) : T(0);
}
template <std::floating_point T>
T greater_equal(T a, std::type_identity_t<T> b) {
  return a >= b ? T(1) : T(0);
}
template <std::floating_point T>
T equal(T a, std::type_identity_t<T> b) {
  return a == b ? T(1) : T(0);
}

/// a where mask is 1, b where it is 0.
template <std::floating_point T>
T where(T mask, std::type_identity_t<T> a, std::type_identity_t<T> b) {
  return mask != 0 ? a : b;
}

/// e^l b; 0 where e^l is 0, whatever b is.
template <std::floating_point T>
T exp_times(T l, std::type_identity_t<T> b) {
  const T e = exp(l);
  return e == 0 ? T(0) : e * b;
}

}  // namespace lowvar
