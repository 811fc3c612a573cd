// What operations are made of, and what records them: for whoever defines one (primitive.h, matrices.cpp) and
// for the passes that run them.
#pragma once

#include <array>

#include "autograd/tape.h"

namespace lowvar {

/// What an operation sees: the result and the operands it is computed from.
template <class T>
struct Frame {
  const Node<T>* y;
  std::span<const Node<T>* const> x;
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
  Var<T> (*pullback_graph)(Var<T> y, std::span<const Var<T>> x, int i, Var<T> g);
  /// Writes the result of what can be evaluated late, some rows at a time (chain.h). Null for what is written
  /// while it is recorded.
  void (*forward)(const Frame<T>&, T* y) = nullptr;
  /// Whether row r of the result depends on row r of operand 0 alone; null where it always does.
  bool (*by_rows)(Shape x, Shape y) = nullptr;
  /// Whether samples stay apart in operand i: row r of the result depends on row r of it alone, if it is `of
  /// samples`; or else on all of it, and pullback may be asked for some rows. Null where they never do.
  bool (*apart)(const Frame<T>&, int i, bool of_samples) = nullptr;
  /// The operand whose cotangent due to one row is the outer product of that row of operand 0 and of g.
  int outer = -1;
  /// Of what lets rows meet inside groups of them: the rows of operand i at which groups of samples begin,
  /// to `of_x` [G+1], from those of the result, `of_y`; false if rows of two groups meet. Null elsewhere.
  bool (*regroup)(const Frame<T>&, int i, std::span<const int> of_y, std::span<int> of_x) = nullptr;
  /// The derivative along v, recorded, of a result that is linear in operands 1 and 2; else null. With it a
  /// Hessian product needs no gradient of theirs.
  Var<T> (*along)(std::span<const Var<T>> x, const Var<T>& v1, const Var<T>& v2) = nullptr;
  /// The values that the pullback of each operand reads: a sum of Reads.
  std::array<unsigned, 3> reads{reads_all, reads_all, reads_all};
  /// Whether each entry of the result is 0 or 1.
  bool zero_or_one = false;
  /// Entries that the index has for each row of the result; null where it has none of rows.
  int (*index_cols)(Shape x, Shape y) = nullptr;
  /// One row is the sum of all: the cotangent of some rows of the operand needs those rows of it alone.
  bool sums_rows = false;
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

/// The numbers of node i, evaluated if they are not yet: what an operation that is being recorded reads of
/// its operands. Takes room from the record's arena: ask before marking it.
template <class T>
const T* value_of(Record<T>& record, int i);

/// The last node of the record, its value written: what a recorded operation returns. Here the trap looks.
template <class T>
Var<T> finish(Record<T>& record, At at);

}  // namespace lowvar
