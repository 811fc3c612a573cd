// The tape: what an operation records, and how gradients are read back. Values are matrices; rows are
// samples.
//
// A Tape is owned by the call that differentiates. A Var names one of its nodes and is checked at every use:
// a Var of an ended tape, or of another one, throws. The order of recording is the topological order, so a
// backward pass is one loop over what the result depends on: no recursion, no reference counts. Values live
// in an arena that is kept between tapes.
//
// A tape owns what it is given: arrays are copied. `borrow(x)` lets it read x where it stands.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <span>
#include <utility>
#include <vector>

#include "core/arena.h"
#include "core/shape.h"

namespace lowvar {

using At = std::source_location;

template <class T>
struct Op;
/// Values that a derivative rule reads: of operands, by number, and of the result.
enum Reads : unsigned { reads_none = 0, reads_a = 1, reads_b = 2, reads_c = 4, reads_y = 8, reads_all = 15 };

template <class T>
class Var;

/// A function whose inside is not recorded (rematerialise.h).
template <class T>
using Subgraph = std::function<Var<T>(const std::vector<Var<T>>&)>;

template <class T>
struct Node {
  const Op<T>* op = nullptr;            // null for a leaf
  int first_operand = 0, operands = 0;  // in Record::operand
  Shape shape;
  const T* value = nullptr;     // null until it is asked for, of what is evaluated late (chain.h)
  const int* index = nullptr;   // row or column numbers, of those linear maps that have any
  T factor = 0;                 // of discounted sums
  int subgraph = -1;            // in Record::subgraphs, of what is recorded again
  int data_rows = no_data;      // depends on data of so many rows: row r belongs to sample r; or one of these
  bool needs_gradient = false;  // depends on a parameter
  bool borrowed = false;        // the value is somebody's array
  bool asked = false;           // of what is evaluated late: it was needed once already

  static constexpr int no_data = -1, data_of_any_rows = -2;
  /// Depends on these, too.
  void add_data_rows(int rows) {
    if (data_rows == no_data)
      data_rows = rows;
    else if (rows != no_data && rows != data_rows)
      data_rows = data_of_any_rows;
  }
};

/// What a pass knows of a node; of an older pass's if `pass` is not the record's.
template <class T>
struct Visit {
  std::uint64_t pass = 0;
  T* adjoint = nullptr;         // null until something is added to it
  T* room = nullptr;            // where it is to stand; null for the arena
  const int* groups = nullptr;  // of a grouped pass: the rows at which groups begin, and the end
  bool reached = false;         // depends on one of the xs
};

template <class T>
struct Record {
  std::vector<Node<T>> nodes;
  std::vector<int> operand;                             // of all nodes, one after another
  std::vector<std::pair<int, std::uint64_t>> borrowed;  // leaves, and what their arrays hashed to
  std::vector<Subgraph<T>> subgraphs;
  std::vector<int> evaluated;  // of what was left for later, in the order in which it was asked for
  // Scratch of the passes, kept for the next.
  std::uint64_t pass = 0;
  std::vector<Visit<T>> visits;
  std::vector<int> order;  // the nodes of the pass, from the last down
  std::vector<int> roots, stack, place;
  Arena arena;
  std::uint32_t generation = 0;
  bool trap = false;

  const Node<T>& operator[](int i) const { return nodes[static_cast<std::size_t>(i)]; }
  Node<T>& operator[](int i) { return nodes[static_cast<std::size_t>(i)]; }
  /// The nodes that node i was computed from.
  std::span<const int> operands(int i) const {
    const Node<T>& y = (*this)[i];
    return {operand.data() + y.first_operand, static_cast<std::size_t>(y.operands)};
  }
};

template <class T>
struct Operand;

/// A node of a tape: what operations take and give. Two words and a check.
template <class T>
class Var {
 public:
  Var() = default;
  Var(Record<T>* record, int index) : record_(record), index_(index), generation_(record->generation) {}

  Shape shape() const { return node().shape; }
  int rows() const { return node().shape.rows; }
  int cols() const { return node().shape.cols; }
  /// The numbers, row-major, until the tape ends.
  std::span<const T> values() const;
  /// A copy that outlives the tape and carries no gradient.
  Array<T> value() const;
  /// The number of a 1x1.
  T item(At at = At::current()) const;

  /// The node on its tape; throws Error if the tape has ended.
  const Node<T>& node() const;
  Record<T>* record() const { return record_; }
  int index() const { return index_; }

  friend Var operator+(const Operand<T>& a, const Operand<T>& b) { return add(a, b); }
  friend Var operator-(const Operand<T>& a, const Operand<T>& b) { return subtract(a, b); }
  friend Var operator*(const Operand<T>& a, const Operand<T>& b) { return multiply(a, b); }
  friend Var operator/(const Operand<T>& a, const Operand<T>& b) { return divide(a, b); }
  friend Var operator-(const Operand<T>& a) { return negate(a); }
  Var& operator+=(const Operand<T>& b) { return *this = add(Operand<T>(*this, b.at), b); }
  Var& operator-=(const Operand<T>& b) { return *this = subtract(Operand<T>(*this, b.at), b); }
  Var& operator*=(const Operand<T>& b) { return *this = multiply(Operand<T>(*this, b.at), b); }
  Var& operator/=(const Operand<T>& b) { return *this = divide(Operand<T>(*this, b.at), b); }
  // 1 where it is so, else 0; these carry no gradient.
  friend Var operator<(const Operand<T>& a, const Operand<T>& b) { return less(a, b); }
  friend Var operator<=(const Operand<T>& a, const Operand<T>& b) { return less_equal(a, b); }
  friend Var operator>(const Operand<T>& a, const Operand<T>& b) { return greater(a, b); }
  friend Var operator>=(const Operand<T>& a, const Operand<T>& b) { return greater_equal(a, b); }

 private:
  Record<T>* record_ = nullptr;
  int index_ = -1;
  std::uint32_t generation_ = 0;
};

template <class X>
constexpr bool is_var_v = false;
template <class T>
constexpr bool is_var_v<Var<T>> = true;

/// An Array, or what xtensor makes of arrays without evaluating it: a - b, exp(a), view(a, ...).
template <class E>
concept ArrayExpression = requires {
  typename E::expression_tag;
};

/// What an operation takes: a Var, or an Array, an expression of Arrays or a number, which are copied and
/// carry no gradient. In grouped gradients an Array of as many rows as there are samples counts as data, a
/// row a sample; one that happens to have as many is made a Var by Tape::constant. Remembers the line. Arrays
/// have the Var's type or hold integers, and two dimensions.
template <class T>
struct Operand {
  Var<T> var;
  const Array<T>* array = nullptr;
  std::shared_ptr<const Array<T>> evaluated;  // the array, where an expression was given
  T number = 0;
  bool is_var = false;
  At at;

  Operand(Var<T> x, At where = At::current()) : var(x), is_var(true), at(where) {}
  Operand(const Array<T>& x, At where = At::current()) : array(&x), at(where) {}
  template <ArrayExpression E>
  Operand(const E& x, At where = At::current()) : at(where) {
    using N = typename E::value_type;
    static_assert(std::same_as<N, T> || std::integral<N>,
                  "an Array of another type than the Var's: write Array<T>(x) with the T of the Var<T>");
    expect(x.dimension() == 2, "an operand has ", x.dimension(), " dimensions, not 2", where);
    evaluated = std::make_shared<const Array<T>>(x);
    array = evaluated.get();
  }
  template <class N>
  requires std::is_arithmetic_v<N> Operand(N x, At where = At::current())
      : number(static_cast<T>(x)), at(where) {}
  /// Does not compile. Implicit from one type to the other alone, so that an operator of both finds one
  /// match.
  template <std::floating_point U>
  explicit(sizeof(U) > sizeof(T)) Operand(Var<U>, At = At::current()) {
    static_assert(std::same_as<U, T>,
                  "Vars of two types, float and double: record both on tapes of one type");
  }
};

/// What may stand beside a Var<T>.
template <class X, class T>
concept OperandOf = std::constructible_from<Operand<T>, X>;
/// The same but a Var.
template <class X, class T>
concept ConstantOf = OperandOf<X, T> && !is_var_v<std::remove_cvref_t<X>>;

}  // namespace lowvar

// xtensor's operators and functions take anything beside one of its arrays; a Var they leave to those here.
namespace xt::detail {
template <class F, class... E>
struct xfunction_type;
template <class F, class... E>
requires(lowvar::is_var_v<std::remove_cvref_t<E>> || ...) struct xfunction_type<F, E...> {
};
}  // namespace xt::detail

namespace lowvar {

/// Whether a tape copies an array; or reads it where it stands, having hashed it or not.
enum class Lending { copied, hashed, trusted };

/// Arrays that a tape is to read where they stand.
template <class T>
struct Borrowed {
  const Array<T>& of;
  Lending lending = Lending::hashed;
};
template <class T>
struct BorrowedArrays {
  std::span<const Array<T>> of;
  Lending lending = Lending::hashed;
};

/// Spares a tape the copy of arrays: tape.parameters(borrow(theta)). They must outlive the tape, and their
/// numbers must stay as they are until the last gradient is taken: they are hashed when they are lent (in
/// parts beyond 256 KiB an array), and a pass that finds them changed throws.
template <class T>
Borrowed<T> borrow(const Array<T>& x) {
  return {x};
}
template <class T>
BorrowedArrays<T> borrow(const std::vector<Array<T>>& xs) {
  return {xs};
}
template <class T>
BorrowedArrays<T> borrow(std::span<const Array<T>> xs) {
  return {xs};
}
// A temporary ends before the tape.
template <class T>
void borrow(const Array<T>&&) = delete;
template <class T>
void borrow(const std::vector<Array<T>>&&) = delete;
/// The same without a hash, where nobody can write to it meanwhile: inside functions that take x to read it.
template <class T>
Borrowed<T> trust(const Array<T>& x) {
  return {x, Lending::trusted};
}
template <class T>
BorrowedArrays<T> trust(const std::vector<Array<T>>& xs) {
  return {xs, Lending::trusted};
}

/// Whether the first NaN or infinity on a tape throws NumericalFault naming the op that made it, in a value
/// or in a cotangent.
enum class Trap { off, on };

template <class T>
class Tape {
 public:
  explicit Tape(Trap trap = Trap::off);
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// A leaf that gradients are taken for.
  Var<T> parameter(const Array<T>& x, At at = At::current()) {
    return leaf(x, Leaf::parameter, Lending::copied, at);
  }
  Var<T> parameter(Borrowed<T> x, At at = At::current()) {
    return leaf(x.of, Leaf::parameter, x.lending, at);
  }
  std::vector<Var<T>> parameters(std::span<const Array<T>> xs, At at = At::current()) {
    return leaves(xs, Leaf::parameter, Lending::copied, at);
  }
  std::vector<Var<T>> parameters(BorrowedArrays<T> xs, At at = At::current()) {
    return leaves(xs.of, Leaf::parameter, xs.lending, at);
  }
  /// A leaf whose row r belongs to sample r, which grouped gradients keep apart.
  Var<T> data(const Array<T>& x, At at = At::current()) { return leaf(x, Leaf::data, Lending::copied, at); }
  Var<T> data(Borrowed<T> x, At at = At::current()) { return leaf(x.of, Leaf::data, x.lending, at); }
  /// Rows [begin, end) of x as data.
  Var<T> data(const Array<T>& x, int begin, int end, At at = At::current()) {
    return leaf(x, begin, end, Lending::copied, at);
  }
  Var<T> data(Borrowed<T> x, int begin, int end, At at = At::current()) {
    return leaf(x.of, begin, end, x.lending, at);
  }
  /// A leaf that is neither.
  Var<T> constant(const Array<T>& x, At at = At::current()) {
    return leaf(x, Leaf::constant, Lending::copied, at);
  }
  Var<T> constant(Borrowed<T> x, At at = At::current()) { return leaf(x.of, Leaf::constant, x.lending, at); }
  std::vector<Var<T>> constants(std::span<const Array<T>> xs, At at = At::current()) {
    return leaves(xs, Leaf::constant, Lending::copied, at);
  }
  std::vector<Var<T>> constants(BorrowedArrays<T> xs, At at = At::current()) {
    return leaves(xs.of, Leaf::constant, xs.lending, at);
  }

 private:
  enum class Leaf { parameter, data, constant };
  Var<T> leaf(const Array<T>& x, Leaf kind, Lending lending, At at) {
    return leaf(x.data(), lowvar::shape(x), kind, lending, at);
  }
  Var<T> leaf(const T* x, Shape shape, Leaf kind, Lending lending, At at);
  Var<T> leaf(const Array<T>& x, int begin, int end, Lending lending, At at);
  std::vector<Var<T>> leaves(std::span<const Array<T>> xs, Leaf kind, Lending lending, At at);
  std::unique_ptr<Record<T>> record_;
};

/// Gives the memory of ended tapes back to the system; the next ones begin from nothing.
void release_tape_memory();

// ---- Gradients ----

/// dy/dx of a 1x1 y for each x of xs (each of x's shape). Mutates nothing; zero where y does not depend on x.
template <class T>
std::vector<Array<T>> grad(Var<T> y, const std::vector<Var<T>>& xs, At at = At::current());
template <class T>
Array<T> grad(Var<T> y, Var<T> x, At at = At::current()) {
  return grad(y, std::vector<Var<T>>{x}, at).front();
}
/// The same, written to `out`, which has an array of the shape of each x, none of them that x's own: a step
/// at rest allocates nothing.
template <class T>
void grad_into(std::vector<Array<T>>& out, Var<T> y, const std::vector<Var<T>>& xs, At at = At::current());

/// As grad, recorded on the tape, to be differentiated again.
template <class T>
std::vector<Var<T>> grad_graph(Var<T> y, const std::vector<Var<T>>& xs, At at = At::current());
template <class T>
Var<T> grad_graph(Var<T> y, Var<T> x, At at = At::current()) {
  return grad_graph(y, std::vector<Var<T>>{x}, at).front();
}

/// The Hessian of a 1x1 y in the xs, each there once, times v, which has an array of the shape of each x;
/// written to `out`, as grad_into does. Leaves nothing on the tape.
template <class T>
void hvp_into(std::vector<Array<T>>& out, Var<T> y, const std::vector<Var<T>>& xs,
              const std::vector<Array<T>>& v, At at = At::current());

}  // namespace lowvar
