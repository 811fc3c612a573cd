// What operations are made of, and what records them: for whoever defines one (primitive.h, ops.cpp) and for
// the passes that run them.
#pragma once

#include "autograd/tape.h"

namespace lowvar {

/// What a derivative rule sees: the result and the operands it was computed from.
template <class T>
struct Frame {
  const Node<T>* y;
  std::array<const Node<T>*, 3> x;
  Arena* arena;
};

template <class T>
struct Op {
  const char* name;
  /// Writes the cotangent of operand i due to rows [begin, end) of the result to `out`, or adds it. g points
  /// at row `begin`. out points at row `begin` too where the operand has a row for each row of the result,
  /// and at its first row elsewhere.
  void (*pullback)(const Frame<T>&, int i, int begin, int end, const T* g, T* out, bool accumulate);
  /// The cotangent of operand i, of its shape, recorded.
  Var<T> (*pullback_graph)(Var<T> y, const std::array<Var<T>, 3>& x, int i, Var<T> g);
  /// Whether samples stay apart in operand i: row r of the result depends on row r of it alone, if it is per
  /// row; or else on all of it, and pullback may be asked for some rows. Null where they never do.
  bool (*apart)(const Frame<T>&, int i) = nullptr;
  /// The operand whose cotangent due to one row is the outer product of that row of operand 0 and of g.
  int outer = -1;
  /// The derivative along v, recorded, of a result that is linear in operands 1 and 2; else null. With it a
  /// Hessian product needs no gradient of theirs.
  Var<T> (*along)(const std::array<Var<T>, 3>& x, const Var<T>& v1, const Var<T>& v2) = nullptr;
};

/// The tape of the first Var among the operands; throws unless there is one and all are of that tape.
template <class T>
Record<T>& common_record(const char* op, std::span<const Operand<T>> operands);

/// The node of an operand; numbers and arrays become constants of the record.
template <class T>
int node_of(Record<T>& record, const Operand<T>& operand);

/// The same as a Var.
template <class T>
Var<T> operand_var(Record<T>& record, const Operand<T>& operand) {
  return {&record, node_of(record, operand)};
}

/// The last node of the record, its value written: what a recorded operation returns. Here the trap looks.
template <class T>
Var<T> finish(Record<T>& record, At at);

}  // namespace lowvar
