// What the passes over a tape share: which nodes they visit, where cotangents go. Included by tape.cpp,
// chain.cpp and grouped.cpp alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>

#include "autograd/chain.h"
#include "autograd/op.h"
#include "core/error.h"

namespace lowvar::detail {

/// Throws NumericalFault at the first NaN or infinity, with the parts of `what` before the number. Minus
/// infinity passes where it is `masked`: the logit of what cannot be chosen.
template <class T, class... What>
void check_finite(const T* x, Shape shape, At at, bool masked, const What&... what) {
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (!std::isfinite(x[i]) && !(masked && x[i] < 0))
      throw NumericalFault(join(what..., " ", x[i], " at row ", i / static_cast<std::size_t>(shape.cols),
                                ", column ", i % static_cast<std::size_t>(shape.cols), " of ", shape, at));
}

template <class T>
void check_cotangent(const Frame<T>& f, int k, const T* g, At at) {
  check_finite(g, f.x[static_cast<std::size_t>(k)]->shape, at, false, f.y->op->name,
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

/// What the array that leaf i borrows hashed to when it was lent.
template <class T>
std::uint64_t lent_hash(const Record<T>& record, int i);
/// Throws unless it holds what it held then.
template <class T>
void check_unchanged(const Record<T>& record, int i);

/// That of node i in this pass; null where the pass does not come by.
template <class T>
Visit<T>* visit(Record<T>& record, int i) {
  Visit<T>& v = record.visits[static_cast<std::size_t>(i)];
  return v.pass == record.pass ? &v : nullptr;
}
template <class T>
bool reached(Record<T>& record, int i) {
  const Visit<T>* v = visit(record, i);
  return v && v->reached;
}

/// Begins a pass from the roots: record.order becomes the nodes that they depend on and that depend on one of
/// xs, from the last recorded down, none of which has an adjoint. room(k) is where that of xs[k] is to stand.
template <class T>
void begin_pass(Record<T>& record, std::span<const int> roots, const std::vector<Var<T>>& xs, auto&& room) {
  ++record.pass;
  record.visits.resize(record.nodes.size());
  auto &order = record.order, &stack = record.stack;
  order.clear();
  stack.assign(roots.begin(), roots.end());
  while (!stack.empty()) {
    const int i = stack.back();
    stack.pop_back();
    if (visit(record, i)) continue;
    record.visits[static_cast<std::size_t>(i)] = {.pass = record.pass};
    order.push_back(i);
    for (const int x : record.operands(i)) {
      if (record[x].borrowed && !visit(record, x)) check_unchanged(record, x);
      if (record[x].needs_gradient) stack.push_back(x);
    }
  }
  if (order.empty()) return;
  const auto [first, last] = std::ranges::minmax(order);
  if (static_cast<std::size_t>(last - first) < 16 * order.size()) {  // sorting takes longer than looking
    order.clear();
    for (int i = last; i >= first; --i)
      if (visit(record, i)) order.push_back(i);
  } else {
    std::ranges::sort(order, std::greater());
  }
  for (std::size_t k = 0; k < xs.size(); ++k)
    if (Visit<T>* v = visit(record, xs[k].index())) v->reached = true, v->room = room(k);
  for (std::size_t k = order.size(); k-- > 0;)
    if (record[order[k]].needs_gradient)
      for (const int x : record.operands(order[k])) visit(record, order[k])->reached |= reached(record, x);
  std::erase_if(order, [&](int i) { return !reached(record, i); });
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
  Visit<T>& v = *visit(record, i);
  if (v.adjoint) return {v.adjoint, true};
  v.adjoint = v.room ? v.room : record.arena.template allocate<T>(size);
  return {v.adjoint, false};
}

/// Node i and its operands, listed in the arena.
template <class T>
Frame<T> frame_of(Record<T>& record, int i) {
  const auto operands = record.operands(i);
  const auto x = record.arena.template allocate<const Node<T>*>(operands.size());
  for (std::size_t k = 0; k < operands.size(); ++k) x[k] = &record[operands[k]];
  return {&record[i], {x, operands.size()}, &record.arena};
}

/// Calls pull(frame, i, k, x, g) for each operand k, node x, that depends on one of the pass's xs, of node i,
/// if that has an adjoint g.
template <class T>
void pull_back_node(Record<T>& record, int i, auto&& pull) {
  const T* g = visit(record, i)->adjoint;
  if (g == nullptr || record[i].op == nullptr) return;
  const auto operands = record.operands(i);
  value_of(record, i);
  for (const int x : operands) value_of(record, x);
  const Frame<T> f = frame_of(record, i);
  for (std::size_t k = 0; k < operands.size(); ++k)
    if (reached(record, operands[k])) pull(f, i, static_cast<int>(k), operands[k], g);
}

/// The same for all nodes of the pass, from the last down.
template <class T>
void sweep(Record<T>& record, auto&& pull) {
  for (const int i : record.order) pull_back_node(record, i, pull);
}

/// What was found for x, `copies` times `stride` apart, is copied to `to` unless it stands there; zeros where
/// nothing depends on x.
template <class T>
void deliver(Record<T>& record, const Var<T>& x, int copies, std::size_t stride, T* to) {
  const Visit<T>* v = visit(record, x.index());
  const T* from = v ? v->adjoint : nullptr;
  if (from == to) return;
  for (int j = 0; j < copies; ++j, to += stride)
    if (from)  // asked for twice
      std::copy_n(from + static_cast<std::size_t>(j) * stride, x.shape().size(), to);
    else
      std::fill_n(to, x.shape().size(), T(0));
}

}  // namespace lowvar::detail
