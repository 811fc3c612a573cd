// The backward pass on numbers, which plain and grouped gradients share. Included by tape.cpp and grouped.cpp
// alone.
#pragma once

#include <algorithm>
#include <cmath>

#include "autograd/op.h"
#include "core/error.h"

namespace lowvar::detail {

/// Throws NumericalFault at the first NaN or infinity, with the parts of `what` before the number.
template <class T, class... What>
void check_finite(const T* x, Shape shape, At at, const What&... what) {
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (!std::isfinite(x[i]))
      throw NumericalFault(join(what..., " ", x[i], " at row ", i / static_cast<std::size_t>(shape.cols),
                                ", column ", i % static_cast<std::size_t>(shape.cols), " of ", shape, at));
}

template <class T>
void check_cotangent(const Frame<T>& f, int k, const T* g, At at) {
  check_finite(g, f.x[static_cast<std::size_t>(k)]->shape, at, f.y->op->name,
               ": backward, the cotangent of operand ", k, " is");
}

template <class T>
void check_targets(const char* what, const Var<T>& y, const std::vector<Var<T>>& xs, At at) {
  y.node();
  for (const auto& x : xs) {
    x.node();
    expect(x.record() == y.record(), what, ": y and x are of different tapes", at);
    expect(x.node().needs_gradient, what, ": x is neither a parameter nor computed from one", at);
  }
}

/// Throws where one of xs is there twice.
template <class T>
void check_distinct(const char* what, const std::vector<Var<T>>& xs, At at) {
  for (std::size_t k = 0; k < xs.size(); ++k)
    for (std::size_t j = 0; j < k; ++j)
      expect(xs[j].index() != xs[k].index(), what, ": x ", k, " is x ", j, " again", at);
}

/// Which of the nodes 0 to `last` depend on one of xs.
template <class T>
const std::vector<char>& reached_from(Record<T>& record, int last, const std::vector<Var<T>>& xs) {
  auto& reached = record.reached;
  reached.assign(static_cast<std::size_t>(last) + 1, 0);
  for (const auto& x : xs)
    if (x.index() <= last) reached[static_cast<std::size_t>(x.index())] = 1;
  for (std::size_t i = 0; i < reached.size(); ++i) {
    if (!record.nodes[i].needs_gradient) continue;
    for (const int k : record.nodes[i].operand)
      if (k >= 0) reached[i] |= reached[static_cast<std::size_t>(k)];
  }
  return reached;
}

/// Adjoints of the nodes 0 to `last`, none of them there yet. room(k) is where that of xs[k] is to stand.
template <class T>
void begin_pass(Record<T>& record, int last, const std::vector<Var<T>>& xs, auto&& room) {
  const std::size_t nodes = reached_from(record, last, xs).size();
  record.adjoint.assign(nodes, nullptr);
  record.room.assign(nodes, nullptr);
  for (std::size_t k = 0; k < xs.size(); ++k)
    if (const auto i = static_cast<std::size_t>(xs[k].index()); i < nodes) record.room[i] = room(k);
}

/// Where a cotangent goes, and whether to what is there already.
template <class T>
struct Slot {
  T* to;
  bool accumulate;
};

/// That of node i, whose adjoint is `size` numbers where it has no room of its own.
template <class T>
Slot<T> open(Record<T>& record, int i, std::size_t size) {
  T*& adjoint = record.adjoint[static_cast<std::size_t>(i)];
  if (adjoint) return {adjoint, true};
  T* room = record.room[static_cast<std::size_t>(i)];
  adjoint = room ? room : record.arena.template allocate<T>(size);
  return {adjoint, false};
}

/// Calls pull(frame, i, k, x, g) for each operand k, node x, that depends on one of the pass's xs, of each
/// node i that has an adjoint g; from node `last` down.
template <class T>
void sweep(Record<T>& record, int last, auto&& pull) {
  for (int i = last; i >= 0; --i) {
    const T* g = record.adjoint[static_cast<std::size_t>(i)];
    const Node<T>& y = record[i];
    if (g == nullptr || y.op == nullptr || !record.reached[static_cast<std::size_t>(i)]) continue;
    Frame<T> f{&y, {}, &record.arena};
    for (std::size_t k = 0; k < 3; ++k)
      if (y.operand[k] >= 0) f.x[k] = &record[y.operand[k]];
    for (std::size_t k = 0; k < 3; ++k)
      if (const int x = y.operand[k]; x >= 0 && record.reached[static_cast<std::size_t>(x)])
        pull(f, i, static_cast<int>(k), x, g);
  }
}

/// What was found for x, `copies` times `stride` apart, is copied to `to` unless it stands there; zeros where
/// nothing depends on x.
template <class T>
void deliver(const Record<T>& record, const Var<T>& x, int copies, std::size_t stride, T* to) {
  const auto i = static_cast<std::size_t>(x.index());
  const T* from = i < record.adjoint.size() ? record.adjoint[i] : nullptr;
  if (from == to) return;
  for (int j = 0; j < copies; ++j, to += stride)
    if (from)  // asked for twice
      std::copy_n(from + static_cast<std::size_t>(j) * stride, x.shape().size(), to);
    else
      std::fill_n(to, x.shape().size(), T(0));
}

}  // namespace lowvar::detail
