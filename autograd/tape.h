// The tape: what an operation records, and how gradients are read back. Values are matrices; rows are
// samples.
//
// A Tape is owned by the call that differentiates. A Var names one of its nodes and is checked at every use:
// a Var of an ended tape, or of another one, throws. The order of recording is the topological order, so a
// backward pass is one loop: no sorting, no recursion, no reference counts. Values live in an arena that is
// kept between tapes.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <memory>
#include <source_location>
#include <span>
#include <vector>

#include "core/arena.h"
#include "core/shape.h"

namespace lowvar {

using At = std::source_location;

template <class T>
struct Op;

template <class T>
struct Node {
  const Op<T>* op = nullptr;  // null for a leaf
  std::array<int, 3> operand{-1, -1, -1};
  Shape shape;
  const T* value = nullptr;
  const int* index = nullptr;   // row or column numbers, of those linear maps that have any
  T factor = 0;                 // of discounted sums
  bool needs_gradient = false;  // depends on a parameter
  bool per_row = false;         // depends on data: row r belongs to sample r
};

template <class T>
struct Record {
  std::vector<Node<T>> nodes;
  std::vector<T*> adjoint, room;  // scratch of the backward passes, kept for the next
  std::vector<char> reached;
  Arena arena;
  std::uint32_t generation = 0;
  bool trap = false;

  const Node<T>& operator[](int i) const { return nodes[static_cast<std::size_t>(i)]; }
};

template <class T>
struct Operand;

template <class T>
class Var;
template <class T>
Var<T> negate(const Operand<T>& x);
template <class T>
Var<T> add(const Operand<T>& a, const Operand<T>& b);
template <class T>
Var<T> subtract(const Operand<T>& a, const Operand<T>& b);
template <class T>
Var<T> multiply(const Operand<T>& a, const Operand<T>& b);
template <class T>
Var<T> divide(const Operand<T>& a, const Operand<T>& b);

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
  std::span<const T> values() const { return {node().value, node().shape.size()}; }
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

 private:
  Record<T>* record_ = nullptr;
  int index_ = -1;
  std::uint32_t generation_ = 0;
};

/// What an operation takes: a Var, or an Array or number, which are copied and carry no gradient. An Array of
/// more than one row counts as data, a row a sample; one that does not belong to the samples is made a Var by
/// Tape::constant. Remembers the line.
template <class T>
struct Operand {
  Var<T> var;
  const Array<T>* array = nullptr;
  T number = 0;
  bool is_var = false;
  At at;

  Operand(Var<T> x, At where = At::current()) : var(x), is_var(true), at(where) {}
  Operand(const Array<T>& x, At where = At::current()) : array(&x), at(where) {}
  template <class N>
  requires std::is_arithmetic_v<N> Operand(N x, At where = At::current())
      : number(static_cast<T>(x)), at(where) {}
};

/// A Var, an Array or a number: what may stand beside a Var<T>.
template <class X, class T>
concept OperandOf = std::constructible_from<Operand<T>, X>;

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

  /// A leaf that gradients are taken for. Borrows the array: it must outlive the tape.
  Var<T> parameter(const Array<T>& x, At at = At::current()) { return leaf(x, true, false, at); }
  std::vector<Var<T>> parameters(std::span<const Array<T>> xs, At at = At::current()) {
    return leaves(xs, true, at);
  }
  /// A leaf whose row r belongs to sample r, which grouped gradients keep apart. Borrows the array.
  Var<T> data(const Array<T>& x, At at = At::current()) { return leaf(x, false, true, at); }
  /// The same of a temporary, which is copied onto the tape.
  Var<T> data(Array<T>&& x, At at = At::current());
  /// Rows [begin, end) of x as data.
  Var<T> data(const Array<T>& x, int begin, int end, At at = At::current());
  /// A leaf that is neither. Borrows the array.
  Var<T> constant(const Array<T>& x, At at = At::current()) { return leaf(x, false, false, at); }
  std::vector<Var<T>> constants(std::span<const Array<T>> xs, At at = At::current()) {
    return leaves(xs, false, at);
  }

  // What is borrowed must not be a temporary.
  Var<T> parameter(Array<T>&&, At = At::current()) = delete;
  std::vector<Var<T>> parameters(std::vector<Array<T>>&&, At = At::current()) = delete;
  Var<T> data(Array<T>&&, int, int, At = At::current()) = delete;
  Var<T> constant(Array<T>&&, At = At::current()) = delete;
  std::vector<Var<T>> constants(std::vector<Array<T>>&&, At = At::current()) = delete;

 private:
  Var<T> leaf(const Array<T>& x, bool parameter, bool per_row, At at) {
    return leaf(x.data(), lowvar::shape(x), parameter, per_row, at);
  }
  Var<T> leaf(const T* x, Shape shape, bool parameter, bool per_row, At at);
  std::vector<Var<T>> leaves(std::span<const Array<T>> xs, bool parameter, At at);
  std::unique_ptr<Record<T>> record_;
};

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
