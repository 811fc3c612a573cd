// The page you edit to add an operation. An elementwise one is
//   - a struct with its name, the domain its derivatives are tested on, its value on numbers and its rule;
//   - a function for people to call;
//   - its name in the list at the bottom, which compiles it and puts it under the gradient tests at orders 1
//   and 2.
// A rule is written once, on scalars: g is the cotangent, y the result, x (or a, b, c) the operands. It runs
// on numbers in the backward pass and on Vars where the gradient is to be differentiated again. Broadcasting
// is not its business. Operations on whole rows and matrices are declared below and defined, value and rule
// together, in ops.cpp.
//
// At edges, as tests/test_ops.cpp checks:
//   - NaN in, NaN out: of values, wherever the entry is read. Comparisons are 0 at NaN, `where` reads the
//     branch it takes, and pow(x, 0) = pow(1, x) = 1, as in IEEE 754.
//   - Outside its domain an elementwise value is what IEEE says (log -1 is NaN, log 0 is -infinity), and its
//     derivative the limit of the rule (that of sqrt at 0 is infinite; of pow at 0 it may be NaN). Nothing
//     elementwise throws. solve and log_det throw where the matrix is singular, in the backward pass too.
//   - At a kink the derivative is the one stated beside the op; those of piecewise linear ops are of the
//   branch
//     taken. Maxima of rows and columns take the first of equal entries.
#pragma once

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

/// 1 - x^2, the slope of tanh in terms of its value.
struct OneMinusSquare {
  static constexpr const char* name = "one_minus_square";
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return 1 - x * x; }
  static auto rule(auto g, auto, auto x) { return -2 * g * x; }
};
template <class T>
Var<T> one_minus_square(Var<T> x, At at = At::current()) {
  return record<OneMinusSquare>(Operand<T>(x, at));
}
template <std::floating_point T>
T one_minus_square(T x) {
  return OneMinusSquare::value(x);
}

struct Tanh {
  static constexpr const char* name = "tanh";
  static constexpr Domain domain[] = {{}};
  static auto value(auto x) { return tanh(x); }
  static auto rule(auto g, auto y, auto) { return g * one_minus_square(y); }
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

// ---- Rows: each row of the result depends on the same row of x ----

/// x - log sum_j e^x_j of each row, [n x C], accurate for large x too.
template <class T>
Var<T> log_softmax(Var<T> x, At at = At::current());
/// log sum_j e^x_j of each row, [n x C] -> [n x 1].
template <class T>
Var<T> logsumexp(Var<T> x, At at = At::current());

// ---- Matrices ----

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

// ---- Linear maps of the entries of x ----

/// Sums x over rows, columns or both, to the given shape: each side is that of x or 1.
template <class T>
Var<T> sum_to(Var<T> x, Shape shape, At at = At::current());
/// Repeats x along its sides of length 1, to the given shape.
template <class T>
Var<T> broadcast_to(Var<T> x, Shape shape, At at = At::current());

/// Column index[r] of each row r of x [n x C], as [n x 1].
template <class T>
Var<T> pick(Var<T> x, std::span<const int> index, At at = At::current());
/// The adjoint of pick: zeros [n x cols] with x [n x 1] in column index[r] of row r.
template <class T>
Var<T> place(Var<T> x, std::span<const int> index, int cols, At at = At::current());

/// Rows index[r] of table [S x C], as [n x C].
template <class T>
Var<T> gather(Var<T> table, std::span<const int> index, At at = At::current());
/// The adjoint of gather: zeros [rows x C], to row index[r] of which row r of x [n x C] is added.
template <class T>
Var<T> scatter_add(Var<T> x, std::span<const int> index, int rows, At at = At::current());

template <class T>
Var<T> transpose(Var<T> x, At at = At::current());

/// The block of x of this shape whose first entry is (row, col).
template <class T>
Var<T> block(Var<T> x, int row, int col, Shape shape, At at = At::current());
/// The adjoint of block: zeros of this shape with x at (row, col).
template <class T>
Var<T> pad(Var<T> x, int row, int col, Shape shape, At at = At::current());

/// Sums of what follows in each group of rows: y_r = x_r + factor y_(r+1), [n x C]; `offset` [G+1] cuts the
/// rows into G groups, as for grouped_grad.
template <class T>
Var<T> discounted_sum(Var<T> x, std::type_identity_t<T> factor, std::span<const int> offset,
                      At at = At::current());
/// The adjoint of discounted_sum: y_r = x_r + factor y_(r-1).
template <class T>
Var<T> discounted_sum_forward(Var<T> x, std::type_identity_t<T> factor, std::span<const int> offset,
                              At at = At::current());

// ---- The list ----

template <class... Definitions>
struct List {};

using ElementwiseOps = List<Negate, Exp, Log, Sqrt, Square, OneMinusSquare, Tanh, Relu, Log1p, Expm1, Sigmoid,
                            Softplus, Sin, Cos, Atan, Abs, Elu, Add, Subtract, Multiply, Divide, Pow, Minimum,
                            Maximum, Greater, LessEqual, Less, GreaterEqual, Equal, Clip, Where>;

/// An operation as the tests see it: how to call it, and on what.
template <class T>
struct OpEntry {
  const char* name;
  bool piecewise_constant;
  std::vector<Domain> domain;              // of each operand
  std::vector<int> without_rule;           // operands that no derivative is defined for
  std::vector<std::vector<Shape>> shapes;  // of the operands: every broadcast pattern, every edge
  Var<T> (*apply)(std::span<const Operand<T>>);
};

/// Every operation there is: the elementwise list and those of ops.cpp.
template <class T>
std::vector<OpEntry<T>> all_ops();

}  // namespace lowvar
