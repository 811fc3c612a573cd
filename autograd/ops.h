// The page you edit to add an operation on entries or rows; linear maps of entries have theirs, maps.h. An
// operation is
//   - a struct with its name, the domain its derivatives are tested on, its value on numbers and its rule;
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
//     derivative the limit of the rule (that of sqrt at 0 is infinite; of pow at 0 it may be NaN). Nothing
//     elementwise throws. solve and log_det throw where the matrix is singular, in the backward pass too.
//   - At a kink the derivative is the one stated beside the op; those of piecewise linear ops are of the
//     branch taken. Maxima of rows and columns take the first of equal entries.
#pragma once

#include "autograd/maps.h"
#include "autograd/tape.h"
#include "core/vmath.h"

namespace lowvar {

/// Where an operand is sampled in the gradient tests, at a distance from kinks.
struct Domain {
  double low = -2, high = 2;
  bool binary = false;  // one of the two, nothing between
};

// Functions of two operands take the second as a template: xtensor has functions of the same names that would
// otherwise fit an Array better.

/// Records Definition applied to the operands; compiled in ops.cpp for the list below.
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
  static constexpr Domain domain[] = {{0.2, 3}};
  static auto value(auto x) { return sqrt(x); }
  static auto rule(auto g, auto y, auto) { return 0.5 * g / y; }
};
template <class T>
Var<T> sqrt(Var<T> x, At at = At::current()) {
  return record<Sqrt>(Operand<T>(x, at));
}

struct Square {
  static constexpr const char* name = "square";
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
  static constexpr Domain domain[] = {{0.1, 2}};
  static auto value(auto x) { return x < 0 ? decltype(x)(0) : x; }
  static auto rule(auto g, auto, auto x) { return g * greater(x, 0); }
};
template <class T>
Var<T> relu(Var<T> x, At at = At::current()) {
  return record<Relu>(Operand<T>(x, at));
}

struct Log1p {
  static constexpr const char* name = "log1p";
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
  static auto rule(auto g, auto, auto x) { return g / (1 + x * x); }
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
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return (x > 0 ? x : decltype(x)(0)) + log1p(exp(-abs(x))); }
  static auto rule(auto g, auto, auto x) { return g * sigmoid(x); }
};
template <class T>
Var<T> softplus(Var<T> x, At at = At::current()) {
  return record<Softplus>(Operand<T>(x, at));
}

/// |x|; the derivative at 0 is 0.
struct Abs {
  static constexpr const char* name = "abs";
  static constexpr Domain domain[] = {{0.1, 2}};
  static auto value(auto x) { return abs(x); }
  static auto rule(auto g, auto, auto x) { return g * (greater(x, 0) - greater(-x, 0)); }
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
  static auto rule(auto g, auto y, auto x) { return g * (1 + less_equal(x, 0) * y); }
};
template <class T>
Var<T> elu(Var<T> x, At at = At::current()) {
  return record<Elu>(Operand<T>(x, at));
}

// ---- Two operands ----

struct Add {
  static constexpr const char* name = "add";
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
  static constexpr Domain domain[] = {{}, {0.5, 2}};
  static auto value(auto a, auto b) { return a / b; }
  static auto rule_a(auto g, auto, auto, auto b) { return g / b; }
  static auto rule_b(auto g, auto y, auto, auto b) { return -g * y / b; }
};
template <class T>
Var<T> divide(const Operand<T>& a, const Operand<T>& b) {
  return record<Divide>(a, b);
}

// xtensor's operators take anything beside one of its arrays; these are closer, so that Var * Array is a Var.
#define LOWVAR_ARRAY_OPERATOR(symbol, name)                                  \
  template <class T, class A>                                                \
  requires std::same_as<std::remove_cvref_t<A>, Array<T>> Var<T>             \
  operator symbol(Var<T> a, A&& b) {                                         \
    return name(Operand<T>(a), Operand<T>(static_cast<const Array<T>&>(b))); \
  }                                                                          \
  template <class A, class T>                                                \
  requires std::same_as<std::remove_cvref_t<A>, Array<T>> Var<T>             \
  operator symbol(A&& a, Var<T> b) {                                         \
    return name(Operand<T>(static_cast<const Array<T>&>(a)), Operand<T>(b)); \
  }
LOWVAR_ARRAY_OPERATOR(+, add)
LOWVAR_ARRAY_OPERATOR(-, subtract)
LOWVAR_ARRAY_OPERATOR(*, multiply)
LOWVAR_ARRAY_OPERATOR(/, divide)
#undef LOWVAR_ARRAY_OPERATOR

/// a to the power b, for a > 0.
struct Pow {
  static constexpr const char* name = "pow";
  static constexpr Domain domain[] = {{0.5, 2}, {}};
  static auto value(auto a, auto b) { return pow(a, b); }
  static auto rule_a(auto g, auto, auto a, auto b) { return g * b * pow(a, b - 1); }
  static auto rule_b(auto g, auto y, auto a, auto) { return g * y * log(a); }
};
template <class T, OperandOf<T> B>
Var<T> pow(Var<T> a, B&& b, At at = At::current()) {
  return record<Pow>(Operand<T>(a, at), Operand<T>(b, at));
}

/// The smaller; where both are equal the derivative goes to a.
struct Minimum {
  static constexpr const char* name = "minimum";
  static constexpr Domain domain[] = {{-2, -0.1}, {0.1, 2}};
  static auto value(auto a, auto b) { return a <= b || a != a ? a : b; }
  static auto rule_a(auto g, auto, auto a, auto b) { return g * less_equal(a, b); }
  static auto rule_b(auto g, auto, auto a, auto b) { return g * greater(a, b); }
};
template <class T, OperandOf<T> B>
Var<T> minimum(Var<T> a, B&& b, At at = At::current()) {
  return record<Minimum>(Operand<T>(a, at), Operand<T>(b, at));
}

/// The larger; where both are equal the derivative goes to a.
struct Maximum {
  static constexpr const char* name = "maximum";
  static constexpr Domain domain[] = {{-2, -0.1}, {0.1, 2}};
  static auto value(auto a, auto b) { return a >= b || a != a ? a : b; }
  static auto rule_a(auto g, auto, auto a, auto b) { return g * (1 - greater(b, a)); }
  static auto rule_b(auto g, auto, auto a, auto b) { return g * greater(b, a); }
};
template <class T, OperandOf<T> B>
Var<T> maximum(Var<T> a, B&& b, At at = At::current()) {
  return record<Maximum>(Operand<T>(a, at), Operand<T>(b, at));
}

/// 1 where a > b, else 0. Piecewise constant: carries no gradient.
struct Greater {
  static constexpr const char* name = "greater";
  static constexpr bool piecewise_constant = true;
  static constexpr Domain domain[] = {{}, {}};
  static auto value(auto a, auto b) { return greater(a, b); }
};
template <class T, OperandOf<T> B>
Var<T> greater(Var<T> a, B&& b, At at = At::current()) {
  return record<Greater>(Operand<T>(a, at), Operand<T>(b, at));
}

/// 1 where a <= b, else 0. Piecewise constant: carries no gradient.
struct LessEqual {
  static constexpr const char* name = "less_equal";
  static constexpr bool piecewise_constant = true;
  static constexpr Domain domain[] = {{}, {}};
  static auto value(auto a, auto b) { return less_equal(a, b); }
};
template <class T, OperandOf<T> B>
Var<T> less_equal(Var<T> a, B&& b, At at = At::current()) {
  return record<LessEqual>(Operand<T>(a, at), Operand<T>(b, at));
}

/// 1 where a < b, else 0. Piecewise constant: carries no gradient.
struct Less {
  static constexpr const char* name = "less";
  static constexpr bool piecewise_constant = true;
  static constexpr Domain domain[] = {{}, {}};
  static auto value(auto a, auto b) { return decltype(a)(a < b); }
};
template <class T, OperandOf<T> B>
Var<T> less(Var<T> a, B&& b, At at = At::current()) {
  return record<Less>(Operand<T>(a, at), Operand<T>(b, at));
}

/// 1 where a >= b, else 0. Piecewise constant: carries no gradient.
struct GreaterEqual {
  static constexpr const char* name = "greater_equal";
  static constexpr bool piecewise_constant = true;
  static constexpr Domain domain[] = {{}, {}};
  static auto value(auto a, auto b) { return decltype(a)(a >= b); }
};
template <class T, OperandOf<T> B>
Var<T> greater_equal(Var<T> a, B&& b, At at = At::current()) {
  return record<GreaterEqual>(Operand<T>(a, at), Operand<T>(b, at));
}

/// 1 where a = b, else 0. Piecewise constant: carries no gradient.
struct Equal {
  static constexpr const char* name = "equal";
  static constexpr bool piecewise_constant = true;
  static constexpr Domain domain[] = {{0, 1, true}, {0, 1, true}};
  static auto value(auto a, auto b) { return decltype(a)(a == b); }
};
template <class T, OperandOf<T> B>
Var<T> equal(Var<T> a, B&& b, At at = At::current()) {
  return record<Equal>(Operand<T>(a, at), Operand<T>(b, at));
}

// ---- Three operands ----

/// x held within [low, high] (high, should low lie above it); the derivative with respect to x is 1 on the
/// closed interval, and the bounds carry none.
struct Clip {
  static constexpr const char* name = "clip";
  static constexpr Domain domain[] = {{}, {-3, -2.5}, {2.5, 3}};
  static auto value(auto x, auto low, auto high) { return Minimum::value(Maximum::value(x, low), high); }
  static auto rule_a(auto g, auto, auto x, auto low, auto high) {
    return g * less_equal(low, x) * less_equal(x, high);
  }
};
template <class T, OperandOf<T> L, OperandOf<T> H>
Var<T> clip(Var<T> x, L&& low, H&& high, At at = At::current()) {
  return record<Clip>(Operand<T>(x, at), Operand<T>(low, at), Operand<T>(high, at));
}

/// a where mask is 1, b where it is 0. The mask, a comparison's result, carries no gradient.
struct Where {
  static constexpr const char* name = "where";
  static constexpr Domain domain[] = {{0, 1, true}, {}, {}};
  static auto value(auto mask, auto a, auto b) { return mask != 0 ? a : b; }
  static auto rule_b(auto g, auto, auto mask, auto, auto) { return g * mask; }
  static auto rule_c(auto g, auto, auto mask, auto, auto) { return g * (1 - mask); }
};
template <class T, OperandOf<T> A, OperandOf<T> B>
Var<T> where(Var<T> mask, A&& a, B&& b, At at = At::current()) {
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
  static auto rule(auto g, auto y, auto x, auto) { return g * exp(x - y); }
};
template <class T>
Var<T> logsumexp(Var<T> x, At at = At::current()) {
  return record_rowwise<LogSumExp>(x, at);
}

// ---- Matrices: a closed family, defined, value and rule together, in ops.cpp ----

/// A B, A' B and A B'.
template <class T>
Var<T> matmul(Var<T> a, Var<T> b, At at = At::current());
template <class T>
Var<T> matmul_tn(Var<T> a, Var<T> b, At at = At::current());
template <class T>
Var<T> matmul_nt(Var<T> a, Var<T> b, At at = At::current());

/// x W + b for x [n x p], W [p x q], b [1 x q].
template <class T>
Var<T> linear(Var<T> x, Var<T> W, Var<T> b, At at = At::current());

/// X with A X = B, and with A' X = B, for A [n x n] and B [n x k]. Throws where A is singular.
template <class T>
Var<T> solve(Var<T> A, Var<T> B, At at = At::current());
template <class T>
Var<T> solve_transposed(Var<T> A, Var<T> B, At at = At::current());
/// log |det A|, 1x1. Throws where A is singular.
template <class T>
Var<T> log_det(Var<T> A, At at = At::current());

/// The value of x as a constant of its own tape: derivatives stop here.
template <class T>
Var<T> stop_gradient(Var<T> x);

// ---- The lists ----

using ElementwiseOps = List<Negate, Exp, Log, Sqrt, Square, Tanh, Relu, Log1p, Expm1, Sigmoid, Softplus, Sin,
                            Cos, Atan, Abs, Elu, Add, Subtract, Multiply, Divide, TimesSlopeOfTanh, Pow,
                            Minimum, Maximum, Greater, LessEqual, Less, GreaterEqual, Equal, Clip, Where>;

using RowOps = List<LogSoftmax, LogSumExp>;

}  // namespace lowvar
