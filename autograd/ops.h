// The page you edit to add an operation on entries or rows; linear maps of entries have theirs, maps.h. An
// operation is
//   - a struct with its name, the domain its derivatives are tested on, its value on numbers and its rule;
//     `reads`, if it is there, says which values the rule of each operand looks at (op.h): of a long chain
//     the others need not be evaluated again;
//   - a function for people to call;
//   - its name in the list at the bottom, which compiles it and puts it under the gradient tests.
// A rule is written once, on scalars: g is the cotangent, y the result, x (or a, b, c) the operands. It runs
// on numbers in the backward pass and on Vars where the gradient is to be differentiated again. Broadcasting
// is not its business.
//
// At edges, as tests/test_ops.cpp checks:
//   - NaN in, NaN out: of values, wherever the entry is read. Comparisons are 0 at NaN, `where` reads the
//     branch it takes, and pow(x, 0) = pow(1, x) = 1, as in IEEE 754.
//   - Outside its domain an elementwise value is what IEEE says (log -1 is NaN, log 0 is -infinity), and its
//     derivative the limit of the rule (that of sqrt at 0 is infinite). Nothing elementwise throws, but
//     `where` at a mask that is neither 0 nor 1. solve and log_det (matrices.h) throw where the matrix is
//     singular, in the backward pass too.
//   - At a kink the derivative is the one stated beside the op; those of piecewise linear ops are of the
//     branch taken. Maxima of rows and columns take the first of equal entries.
//   - What is cut off contributes 0 at every order, whatever the slope there: a cotangent is selected, by
//     `where`, and never multiplied by a 0 that stands for "not taken", for 0 times infinity is NaN. So do
//     relu, elu, abs, minimum, maximum, clip, where, huber, pow at 0, and exp_times, through which entropy
//     and kl leave out what has no probability. A rule that has to be cut masks what goes into it, the
//     cotangent and the operand, for its recorded products are differentiated too.
#pragma once

#include <limits>

#include "autograd/maps.h"
#include "autograd/tape.h"
#include "core/vmath.h"

namespace lowvar {

/// Where an operand is sampled in the gradient tests, at a distance from kinks.
struct Domain {
  double low = -2, high = 2;
  bool binary = false;  // one of the two, nothing between
};

/// Records Definition applied to the operands; compiled in elementwise_*.cpp for the list below.
template <class Definition, class T>
Var<T> record_elementwise(std::span<const Operand<T>> operands);

template <class Definition, class T, class... Rest>
Var<T> record(const Operand<T>& first, const Rest&... rest) {
  const Operand<T> operands[] = {first, rest...};
  return record_elementwise<Definition, T>(operands);
}

// ---- One operand ----

struct Negate {
  static constexpr const char* name = "negate";
  static constexpr unsigned reads[] = {reads_none};
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return -x; }
  static auto rule(auto g, auto, auto) { return -g; }
};
template <class T>
Var<T> negate(const Operand<T>& x) {
  return record<Negate>(x);
}

struct Exp {
  static constexpr const char* name = "exp";
  static constexpr unsigned reads[] = {reads_y};
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return exp(x); }
  static auto rule(auto g, auto y, auto) { return g * y; }
};
template <class T>
Var<T> exp(Var<T> x, At at = At::current()) {
  return record<Exp>(Operand<T>(x, at));
}

struct Log {
  static constexpr const char* name = "log";
  static constexpr unsigned reads[] = {reads_a};
  static constexpr Domain domain[] = {{0.2, 3}};
  static auto value(auto x) { return log(x); }
  static auto rule(auto g, auto, auto x) { return g / x; }
};
template <class T>
Var<T> log(Var<T> x, At at = At::current()) {
  return record<Log>(Operand<T>(x, at));
}

struct Sqrt {
  static constexpr const char* name = "sqrt";
  static constexpr unsigned reads[] = {reads_y};
  static constexpr Domain domain[] = {{0.2, 3}};
  static auto value(auto x) { return sqrt(x); }
  static auto rule(auto g, auto y, auto) { return g / (2 * y); }
};
template <class T>
Var<T> sqrt(Var<T> x, At at = At::current()) {
  return record<Sqrt>(Operand<T>(x, at));
}

struct Square {
  static constexpr const char* name = "square";
  static constexpr unsigned reads[] = {reads_a};
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return x * x; }
  static auto rule(auto g, auto, auto x) { return 2 * g * x; }
};
template <class T>
Var<T> square(Var<T> x, At at = At::current()) {
  return record<Square>(Operand<T>(x, at));
}

/// a (1 - y^2), what tanh's derivative makes of a cotangent a where its value is y.
template <std::floating_point T>
T times_slope_of_tanh(T a, T y) {
  return a * (1 - y * y);
}
struct TimesSlopeOfTanh {
  static constexpr const char* name = "times_slope_of_tanh";
  static constexpr Domain domain[] = {{}, {}};
  static auto value(auto a, auto y) { return times_slope_of_tanh(a, y); }
  static auto rule_a(auto g, auto, auto, auto y) { return times_slope_of_tanh(g, y); }
  static auto rule_b(auto g, auto, auto a, auto y) { return -2 * (g * a) * y; }
};
template <class T>
Var<T> times_slope_of_tanh(Var<T> a, Var<T> y, At at = At::current()) {
  return record<TimesSlopeOfTanh>(Operand<T>(a, at), Operand<T>(y, at));
}

struct Tanh {
  static constexpr const char* name = "tanh";
  static constexpr unsigned reads[] = {reads_y};
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return tanh(x); }
  static auto rule(auto g, auto y, auto) { return times_slope_of_tanh(g, y); }
};
template <class T>
Var<T> tanh(Var<T> x, At at = At::current()) {
  return record<Tanh>(Operand<T>(x, at));
}

/// max(x, 0); the derivative at 0 is 0.
struct Relu {
  static constexpr const char* name = "relu";
  static constexpr unsigned reads[] = {reads_a};
  static constexpr Domain domain[] = {{0.1, 2}};
  static auto value(auto x) { return x < 0 ? decltype(x)(0) : x; }
  static auto rule(auto g, auto, auto x) { return where(greater(x, 0), g, 0); }
};
template <class T>
Var<T> relu(Var<T> x, At at = At::current()) {
  return record<Relu>(Operand<T>(x, at));
}

struct Log1p {
  static constexpr const char* name = "log1p";
  static constexpr unsigned reads[] = {reads_a};
  static constexpr Domain domain[] = {{-0.5, 2}};
  static auto value(auto x) { return log1p(x); }
  static auto rule(auto g, auto, auto x) { return g / (1 + x); }
};
template <class T>
Var<T> log1p(Var<T> x, At at = At::current()) {
  return record<Log1p>(Operand<T>(x, at));
}

struct Expm1 {
  static constexpr const char* name = "expm1";
  static constexpr unsigned reads[] = {reads_y};
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return expm1(x); }
  static auto rule(auto g, auto y, auto) { return g * (y + 1); }
};
template <class T>
Var<T> expm1(Var<T> x, At at = At::current()) {
  return record<Expm1>(Operand<T>(x, at));
}

/// 1 / (1 + e^-x).
struct Sigmoid {
  static constexpr const char* name = "sigmoid";
  static constexpr unsigned reads[] = {reads_y};
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return 1 / (1 + exp(-x)); }
  static auto rule(auto g, auto y, auto) { return g * y * (1 - y); }
};
template <class T>
Var<T> sigmoid(Var<T> x, At at = At::current()) {
  return record<Sigmoid>(Operand<T>(x, at));
}

struct Sin {
  static constexpr const char* name = "sin";
  static constexpr unsigned reads[] = {reads_a};
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return sin(x); }
  static auto rule(auto g, auto, auto x) { return g * cos(x); }
};
template <class T>
Var<T> sin(Var<T> x, At at = At::current()) {
  return record<Sin>(Operand<T>(x, at));
}

struct Cos {
  static constexpr const char* name = "cos";
  static constexpr unsigned reads[] = {reads_a};
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return cos(x); }
  static auto rule(auto g, auto, auto x) { return -g * sin(x); }
};
template <class T>
Var<T> cos(Var<T> x, At at = At::current()) {
  return record<Cos>(Operand<T>(x, at));
}

struct Atan {
  static constexpr const char* name = "atan";
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return atan(x); }
  static auto rule(auto g, auto, auto x) {
    const auto infinite = equal(abs(x), std::numeric_limits<float>::infinity());
    const auto h = where(infinite, 0, x);
    return where(infinite, 0, g) / (1 + h * h);
  }
};
template <class T>
Var<T> atan(Var<T> x, At at = At::current()) {
  return record<Atan>(Operand<T>(x, at));
}

template <std::floating_point T>
T sigmoid(T x) {
  return Sigmoid::value(x);
}

/// log(1 + e^x), without overflow.
struct Softplus {
  static constexpr const char* name = "softplus";
  static constexpr unsigned reads[] = {reads_a};
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return (x > 0 ? x : decltype(x)(0)) + log1p_of_unit(exp(-abs(x))); }
  static auto rule(auto g, auto, auto x) { return g * sigmoid(x); }
};
template <class T>
Var<T> softplus(Var<T> x, At at = At::current()) {
  return record<Softplus>(Operand<T>(x, at));
}

/// log(1 / (1 + e^-x)), without overflow.
struct LogSigmoid {
  static constexpr const char* name = "log_sigmoid";
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return (x > 0 ? decltype(x)(0) : x) - log1p(exp(-abs(x))); }
  static auto rule(auto g, auto, auto x) { return g * sigmoid(-x); }
};
template <class T>
Var<T> log_sigmoid(Var<T> x, At at = At::current()) {
  return record<LogSigmoid>(Operand<T>(x, at));
}

/// x / (1 + e^-x) (Hendrycks & Gimpel 2016; Ramachandran et al. 2017: swish).
struct Silu {
  static constexpr const char* name = "silu";
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) {
    const auto s = sigmoid(x);
    return s == 0 ? s : x * s;
  }
  static auto rule(auto g, auto y, auto x) {
    const auto s = sigmoid(x);
    return g * (s + where(equal(s, 1), 0, y) * (1 - s));
  }
};
template <class T>
Var<T> silu(Var<T> x, At at = At::current()) {
  return record<Silu>(Operand<T>(x, at));
}

/// 2 / sqrt(pi) times the integral of e^-t^2 from 0 to x.
struct Erf {
  static constexpr const char* name = "erf";
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return erf(x); }
  static auto rule(auto g, auto, auto x) {
    const auto h = clip(x, -40, 40);  // e^-h^2 is 0 there, and infinities stay out of its derivatives
    return 1.1283791670955126 * (g * exp(-h * h));
  }
};
template <class T>
Var<T> erf(Var<T> x, At at = At::current()) {
  return record<Erf>(Operand<T>(x, at));
}

/// Phi(x), the probability that a standard normal number is below x, accurate in both tails.
struct NormalCdf {
  static constexpr const char* name = "normal_cdf";
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return normal_cdf(x); }
  static auto rule(auto g, auto, auto x) {
    const auto h = clip(x, -40, 40);
    return 0.3989422804014327 * (g * exp(-h * h / 2));
  }
};
template <class T>
Var<T> normal_cdf(Var<T> x, At at = At::current()) {
  return record<NormalCdf>(Operand<T>(x, at));
}

/// x Phi(x) (Hendrycks & Gimpel 2016), exactly, not by the approximation with tanh.
struct Gelu {
  static constexpr const char* name = "gelu";
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) {
    const auto p = normal_cdf(x);
    return p == 0 ? p : x * p;
  }
  static auto rule(auto g, auto, auto x) {
    const auto h = clip(x, -40, 40);
    return g * (normal_cdf(x) + 0.3989422804014327 * (h * exp(-h * h / 2)));
  }
};
template <class T>
Var<T> gelu(Var<T> x, At at = At::current()) {
  return record<Gelu>(Operand<T>(x, at));
}

/// log |Gamma(x)|; differentiable for x > 0, NaN below.
struct Lgamma {
  static constexpr const char* name = "lgamma";
  static constexpr Domain domain[] = {{0.5, 3}};
  static auto value(auto x) { return lgamma(x); }
  static auto rule(auto g, auto, auto x) { return g * digamma(x); }
};
template <class T>
Var<T> lgamma(Var<T> x, At at = At::current()) {
  return record<Lgamma>(Operand<T>(x, at));
}

/// |x|; the derivative at 0 is 0.
struct Abs {
  static constexpr const char* name = "abs";
  static constexpr unsigned reads[] = {reads_a};
  static constexpr Domain domain[] = {{0.1, 2}};
  static auto value(auto x) { return abs(x); }
  static auto rule(auto g, auto, auto x) { return where(greater(x, 0), g, where(less(x, 0), -g, 0)); }
};
template <class T>
Var<T> abs(Var<T> x, At at = At::current()) {
  return record<Abs>(Operand<T>(x, at));
}

/// x above 0, e^x - 1 below; the derivative at 0 is 1.
struct Elu {
  static constexpr const char* name = "elu";
  static constexpr Domain domain[] = {{0.1, 2}};
  static auto value(auto x) { return x > 0 ? x : expm1(x); }
  static auto rule(auto g, auto y, auto x) { return g * (1 + where(greater(x, 0), 0, y)); }
};
template <class T>
Var<T> elu(Var<T> x, At at = At::current()) {
  return record<Elu>(Operand<T>(x, at));
}

/// The largest whole number that is not above x. Piecewise constant: carries no gradient.
struct Floor {
  static constexpr const char* name = "floor";
  static constexpr bool piecewise_constant = true;
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return std::floor(x); }
};
template <class T>
Var<T> floor(Var<T> x, At at = At::current()) {
  return record<Floor>(Operand<T>(x, at));
}

// ---- Two operands ----

struct Add {
  static constexpr const char* name = "add";
  static constexpr unsigned reads[] = {reads_none, reads_none};
  static constexpr Domain domain[] = {{}, {}};
  static auto value(auto a, auto b) { return a + b; }
  static auto rule_a(auto g, auto, auto, auto) { return g; }
  static auto rule_b(auto g, auto, auto, auto) { return g; }
};
template <class T>
Var<T> add(const Operand<T>& a, const Operand<T>& b) {
  return record<Add>(a, b);
}

struct Subtract {
  static constexpr const char* name = "subtract";
  static constexpr unsigned reads[] = {reads_none, reads_none};
  static constexpr Domain domain[] = {{}, {}};
  static auto value(auto a, auto b) { return a - b; }
  static auto rule_a(auto g, auto, auto, auto) { return g; }
  static auto rule_b(auto g, auto, auto, auto) { return -g; }
};
template <class T>
Var<T> subtract(const Operand<T>& a, const Operand<T>& b) {
  return record<Subtract>(a, b);
}

struct Multiply {
  static constexpr const char* name = "multiply";
  static constexpr unsigned reads[] = {reads_b, reads_a};
  static constexpr Domain domain[] = {{}, {}};
  static auto value(auto a, auto b) { return a * b; }
  static auto rule_a(auto g, auto, auto, auto b) { return g * b; }
  static auto rule_b(auto g, auto, auto a, auto) { return g * a; }
};
template <class T>
Var<T> multiply(const Operand<T>& a, const Operand<T>& b) {
  return record<Multiply>(a, b);
}

struct Divide {
  static constexpr const char* name = "divide";
  static constexpr unsigned reads[] = {reads_b, reads_b | reads_y};
  static constexpr Domain domain[] = {{}, {0.5, 2}};
  static auto value(auto a, auto b) { return a / b; }
  static auto rule_a(auto g, auto, auto, auto b) { return g / b; }
  static auto rule_b(auto g, auto y, auto, auto b) { return -g * y / b; }
};
template <class T>
Var<T> divide(const Operand<T>& a, const Operand<T>& b) {
  return record<Divide>(a, b);
}

/// a to the power b: for a > 0, and for a <= 0 where b is a whole number. At a = 0 the derivatives are those
/// of the polynomial where b is a whole number, and that with respect to b is 0 for b >= 0.
struct Pow {
  static constexpr const char* name = "pow";
  static constexpr Domain domain[] = {{0.5, 2}, {}};
  static auto value(auto a, auto b) { return pow(a, b); }
  static auto rule_a(auto g, auto, auto a, auto b) {
    // b a^(b-1) is 0 at b = 0, where a^-1 may be infinite: below 1e-37 it is, in float.
    const auto flat = where(equal(b, 0), less(abs(a), 1e-37f), 0);
    return where(flat, 0, g) * b * pow(where(flat, 1, a), b - 1);
  }
  static auto rule_b(auto g, auto y, auto a, auto b) {
    const auto flat = where(equal(a, 0), greater_equal(b, 0), 0);
    return where(flat, 0, g) * y * log(where(flat, 1, a));
  }
};
template <class T>
Var<T> pow(const Operand<T>& a, const Operand<T>& b) {
  return record<Pow>(a, b);
}

/// e^l b; 0, as are its derivatives, where e^l is 0, whatever b is: a term of an expectation whose weights
/// are given by their logarithms.
struct ExpTimes {
  static constexpr const char* name = "exp_times";
  static constexpr Domain domain[] = {{}, {}};
  static auto value(auto l, auto b) { return exp_times(l, b); }
  static auto rule_a(auto g, auto y, auto l, auto) { return where(equal(exp(l), 0), 0, g) * y; }
  static auto rule_b(auto g, auto, auto l, auto) { return exp_times(l, g); }
};
template <class T>
Var<T> exp_times(const Operand<T>& a, const Operand<T>& b) {
  return record<ExpTimes>(a, b);
}

/// x^2 / 2 up to |x| = delta, |x| delta - delta^2 / 2 beyond (Huber 1964); delta carries no gradient.
struct Huber {
  static constexpr const char* name = "huber";
  static constexpr unsigned reads[] = {reads_a | reads_b};
  static constexpr Domain domain[] = {{}, {2.5, 3}};
  static auto value(auto x, auto delta) {
    const auto a = abs(x);
    return a <= delta ? x * x / 2 : delta * (a - delta / 2);
  }
  static auto rule_a(auto g, auto, auto x, auto delta) { return g * clip(x, -delta, delta); }
};
template <class T>
Var<T> huber(const Operand<T>& a, const Operand<T>& b) {
  return record<Huber>(a, b);
}

/// a log b; 0 where a is 0, whatever b is, and so are the derivatives where b <= 0 too.
struct Xlogy {
  static constexpr const char* name = "xlogy";
  static constexpr Domain domain[] = {{}, {0.5, 3}};
  static auto value(auto a, auto b) { return a == 0 && b == b ? decltype(a)(0) : a * log(b); }
  static auto rule_a(auto g, auto, auto a, auto b) {
    const auto none = where(equal(a, 0), less_equal(b, 0), 0);
    return where(none, 0, g) * log(where(none, 1, b));
  }
  static auto rule_b(auto g, auto, auto a, auto b) {
    const auto none = where(equal(a, 0), less_equal(b, 0), 0);
    return where(none, 0, g) * a / where(none, 1, b);
  }
};
template <class T>
Var<T> xlogy(const Operand<T>& a, const Operand<T>& b) {
  return record<Xlogy>(a, b);
}

/// The n-th derivative of digamma at x > 0, n a whole number up to 60, which carries no gradient.
struct Polygamma {
  static constexpr const char* name = "polygamma";
  static constexpr Domain domain[] = {{0, 1, true}, {0.5, 3}};
  static auto value(auto n, auto x) { return polygamma(n, x); }
  static auto rule_b(auto g, auto, auto n, auto x) { return g * polygamma(n + 1, x); }
};
template <class T>
Var<T> polygamma(const Operand<T>& n, const Operand<T>& x) {
  return record<Polygamma>(n, x);
}
/// The derivative of log Gamma at x > 0.
template <class T>
Var<T> digamma(Var<T> x, At at = At::current()) {
  return polygamma(0, x, at);
}

/// The smaller; where both are equal the derivative goes to a.
struct Minimum {
  static constexpr const char* name = "minimum";
  static constexpr unsigned reads[] = {reads_a | reads_b, reads_a | reads_b};
  static constexpr Domain domain[] = {{-2, -0.1}, {0.1, 2}};
  static auto value(auto a, auto b) { return a <= b || a != a ? a : b; }
  static auto rule_a(auto g, auto, auto a, auto b) { return where(less_equal(a, b), g, 0); }
  static auto rule_b(auto g, auto, auto a, auto b) { return where(greater(a, b), g, 0); }
};
template <class T>
Var<T> minimum(const Operand<T>& a, const Operand<T>& b) {
  return record<Minimum>(a, b);
}

/// The larger; where both are equal the derivative goes to a.
struct Maximum {
  static constexpr const char* name = "maximum";
  static constexpr unsigned reads[] = {reads_a | reads_b, reads_a | reads_b};
  static constexpr Domain domain[] = {{-2, -0.1}, {0.1, 2}};
  static auto value(auto a, auto b) { return a >= b || a != a ? a : b; }
  static auto rule_a(auto g, auto, auto a, auto b) { return where(greater(b, a), 0, g); }
  static auto rule_b(auto g, auto, auto a, auto b) { return where(greater(b, a), g, 0); }
};
template <class T>
Var<T> maximum(const Operand<T>& a, const Operand<T>& b) {
  return record<Maximum>(a, b);
}

/// log(e^a + e^b), without overflow; the derivatives are 1/2 where both are -infinity.
struct Logaddexp {
  static constexpr const char* name = "logaddexp";
  static constexpr Domain domain[] = {{}, {}};
  static auto value(auto a, auto b) {
    return Maximum::value(a, b) + log1p(exp(a == b ? decltype(a)(0) : -abs(a - b)));
  }
  static auto rule_a(auto g, auto y, auto a, auto b) { return g * sigmoid(difference(y, a, b)); }
  static auto rule_b(auto g, auto y, auto a, auto b) { return g * sigmoid(difference(y, b, a)); }

 private:
  static auto difference(auto y, auto a, auto b) {
    const auto none = equal(y, -std::numeric_limits<float>::infinity());
    return where(none, 0, a) - where(none, 0, b);
  }
};
template <class T>
Var<T> logaddexp(const Operand<T>& a, const Operand<T>& b) {
  return record<Logaddexp>(a, b);
}

/// What comparisons have in common.
struct Comparison {
  static constexpr bool piecewise_constant = true;
  static constexpr bool zero_or_one = true;
  static constexpr Domain domain[] = {{}, {}};
};

/// 1 where a > b, else 0. Piecewise constant: carries no gradient.
struct Greater : Comparison {
  static constexpr const char* name = "greater";
  static auto value(auto a, auto b) { return greater(a, b); }
};
template <class T>
Var<T> greater(const Operand<T>& a, const Operand<T>& b) {
  return record<Greater>(a, b);
}

/// 1 where a <= b, else 0. Piecewise constant: carries no gradient.
struct LessEqual : Comparison {
  static constexpr const char* name = "less_equal";
  static auto value(auto a, auto b) { return less_equal(a, b); }
};
template <class T>
Var<T> less_equal(const Operand<T>& a, const Operand<T>& b) {
  return record<LessEqual>(a, b);
}

/// 1 where a < b, else 0. Piecewise constant: carries no gradient.
struct Less : Comparison {
  static constexpr const char* name = "less";
  static auto value(auto a, auto b) { return less(a, b); }
};
template <class T>
Var<T> less(const Operand<T>& a, const Operand<T>& b) {
  return record<Less>(a, b);
}

/// 1 where a >= b, else 0. Piecewise constant: carries no gradient.
struct GreaterEqual : Comparison {
  static constexpr const char* name = "greater_equal";
  static auto value(auto a, auto b) { return greater_equal(a, b); }
};
template <class T>
Var<T> greater_equal(const Operand<T>& a, const Operand<T>& b) {
  return record<GreaterEqual>(a, b);
}

/// 1 where a = b, else 0. Piecewise constant: carries no gradient.
struct Equal : Comparison {
  static constexpr const char* name = "equal";
  static constexpr Domain domain[] = {{0, 1, true}, {0, 1, true}};
  static auto value(auto a, auto b) { return equal(a, b); }
};
template <class T>
Var<T> equal(const Operand<T>& a, const Operand<T>& b) {
  return record<Equal>(a, b);
}

// For people: a Var on either side, and beside it a Var, an Array or a number.
#define LOWVAR_OF_TWO_OPERANDS(name)                    \
  template <class T, OperandOf<T> B>                    \
  Var<T> name(Var<T> a, B&& b, At at = At::current()) { \
    return name(Operand<T>(a, at), Operand<T>(b, at));  \
  }                                                     \
  template <class T, ConstantOf<T> A>                   \
  Var<T> name(A&& a, Var<T> b, At at = At::current()) { \
    return name(Operand<T>(a, at), Operand<T>(b, at));  \
  }
LOWVAR_OF_TWO_OPERANDS(pow)
LOWVAR_OF_TWO_OPERANDS(exp_times)
LOWVAR_OF_TWO_OPERANDS(polygamma)
LOWVAR_OF_TWO_OPERANDS(huber)
LOWVAR_OF_TWO_OPERANDS(xlogy)
LOWVAR_OF_TWO_OPERANDS(logaddexp)
LOWVAR_OF_TWO_OPERANDS(minimum)
LOWVAR_OF_TWO_OPERANDS(maximum)
LOWVAR_OF_TWO_OPERANDS(greater)
LOWVAR_OF_TWO_OPERANDS(less_equal)
LOWVAR_OF_TWO_OPERANDS(less)
LOWVAR_OF_TWO_OPERANDS(greater_equal)
LOWVAR_OF_TWO_OPERANDS(equal)
#undef LOWVAR_OF_TWO_OPERANDS

// ---- Three operands ----

/// x held within [low, high] (high, should low lie above it); the derivative with respect to x is 1 on the
/// closed interval, and the bounds carry none.
struct Clip {
  static constexpr const char* name = "clip";
  static constexpr unsigned reads[] = {reads_a | reads_b | reads_c};
  static constexpr Domain domain[] = {{}, {-3, -2.5}, {2.5, 3}};
  /// Minimum::value(Maximum::value(x, low), high), as g++ vectorises it.
  static auto value(auto x, auto low, auto high) {
    const auto held = x < low ? low : (low == low ? x : low);
    return held > high ? high : (high == high ? held : high);
  }
  static auto rule_a(auto g, auto, auto x, auto low, auto high) {
    return where(less_equal(low, x), where(less_equal(x, high), g, 0), 0);
  }
};
template <class T, OperandOf<T> L, OperandOf<T> H>
Var<T> clip(Var<T> x, L&& low, H&& high, At at = At::current()) {
  return record<Clip>(Operand<T>(x, at), Operand<T>(low, at), Operand<T>(high, at));
}

/// a where mask is 1, b where it is 0. The mask, a comparison's result, carries no gradient; throws where it
/// is neither.
struct Where {
  static constexpr const char* name = "where";
  static constexpr unsigned reads[] = {reads_none, reads_a, reads_a};
  static constexpr bool takes_mask = true;  // as operand 0
  static constexpr Domain domain[] = {{0, 1, true}, {}, {}};
  static auto value(auto mask, auto a, auto b) { return where(mask, a, b); }
  static auto rule_b(auto g, auto, auto mask, auto, auto) { return where(mask, g, 0); }
  static auto rule_c(auto g, auto, auto mask, auto, auto) { return where(mask, 0, g); }
};
template <class T, OperandOf<T> A, OperandOf<T> B>
Var<T> where(Var<T> mask, A&& a, B&& b, At at = At::current()) {
  return record<Where>(Operand<T>(mask, at), Operand<T>(a, at), Operand<T>(b, at));
}
template <class T, ConstantOf<T> M, OperandOf<T> B>
Var<T> where(M&& mask, Var<T> a, B&& b, At at = At::current()) {
  return record<Where>(Operand<T>(mask, at), Operand<T>(a, at), Operand<T>(b, at));
}
template <class T, ConstantOf<T> M, ConstantOf<T> A>
Var<T> where(M&& mask, A&& a, Var<T> b, At at = At::current()) {
  return record<Where>(Operand<T>(mask, at), Operand<T>(a, at), Operand<T>(b, at));
}

// ---- Rows: each row of the result depends on the same row of x alone ----
//
// A definition has
//   y_cols(cols)                           columns of the result
//   value(x, rows, cols, y, scratch)       each row of y from the row of x; scratch is as large as x
//   rule(g, y, x, s)                       the cotangent of an entry of x, as of an elementwise op, s being
//                                          the sum of g's row; g and y are repeated where they have one
//                                          column

/// Records Definition applied to the rows of x; compiled in ops.cpp for the list below, and `used` keeps it
/// there for all others.
template <class Definition, class T>
[[gnu::used]] Var<T> record_rowwise(Var<T> x, At at);

/// The largest number of a row, or 0 where that is infinite or NaN: subtracting it would make a NaN.
template <class T>
T shift_of(const T* x, int n) {
  T most = x[0];
  for (int j = 1; j < n; ++j) most = x[j] > most ? x[j] : most;
  return std::isfinite(most) ? most : T(0);
}

/// x - log sum_j e^x_j of each row, [n x C], accurate for large x too.
struct LogSoftmax {
  static constexpr const char* name = "log_softmax";
  static int y_cols(int cols) { return cols; }
  template <class T>
  static void value(const T* x, int rows, int cols, T* y, T* e) {
    const int n = rows * cols;
    for (int r = 0; r < rows; ++r) {
      const T shift = shift_of(x + r * cols, cols);
      for (int j = r * cols; j < (r + 1) * cols; ++j) y[j] = x[j] - shift;
    }
    for (int j = 0; j < n; ++j) e[j] = exp(y[j]);
    for (int r = 0; r < rows; ++r) e[r] = sum(e + r * cols, cols);
    for (int r = 0; r < rows; ++r) e[r] = log(e[r]);
    for (int r = 0; r < rows; ++r)
      for (int j = r * cols; j < (r + 1) * cols; ++j) y[j] -= e[r];
  }
  static auto rule(auto g, auto y, auto, auto s) { return g - exp(y) * s; }
};
template <class T>
Var<T> log_softmax(Var<T> x, At at = At::current()) {
  return record_rowwise<LogSoftmax>(x, at);
}

/// log sum_j e^x_j of each row, [n x C] -> [n x 1].
struct LogSumExp {
  static constexpr const char* name = "logsumexp";
  static int y_cols(int) { return 1; }
  template <class T>
  static void value(const T* x, int rows, int cols, T* y, T* e) {
    for (int r = 0; r < rows; ++r) {
      y[r] = shift_of(x + r * cols, cols);
      for (int j = r * cols; j < (r + 1) * cols; ++j) e[j] = x[j] - y[r];
    }
    for (int j = 0; j < rows * cols; ++j) e[j] = exp(e[j]);
    for (int r = 0; r < rows; ++r) e[r] = sum(e + r * cols, cols);
    for (int r = 0; r < rows; ++r) y[r] += log(e[r]);
  }
  static auto rule(auto g, auto y, auto x, auto) {
    const auto none = equal(y, -std::numeric_limits<float>::infinity());  // all of x is: its shares are 0
    return g * exp(x - where(none, 0, y));
  }
};
template <class T>
Var<T> logsumexp(Var<T> x, At at = At::current()) {
  return record_rowwise<LogSumExp>(x, at);
}

/// The value of x as a constant of its own tape: derivatives stop here.
template <class T>
Var<T> stop_gradient(Var<T> x);

// ---- The lists ----

using ElementwiseOps =
    List<Negate, Exp, Log, Sqrt, Square, Tanh, Relu, Log1p, Expm1, Sigmoid, Softplus, Sin, Cos, Atan, Abs,
         Elu, Floor, Add, Subtract, Multiply, Divide, TimesSlopeOfTanh, Pow, ExpTimes, Huber, LogSigmoid,
         Silu, Erf, NormalCdf, Gelu, Lgamma, Polygamma, Logaddexp, Xlogy, Minimum, Maximum, Greater,
         LessEqual, Less, GreaterEqual, Equal, Clip, Where>;

using RowOps = List<LogSoftmax, LogSumExp>;

}  // namespace lowvar
