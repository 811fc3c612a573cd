// Every operation as the tests see it: how to call it, and on what.
#pragma once

#include "autograd/primitive.h"

namespace lowvar {

template <class T>
struct OpEntry {
  const char* name;
  bool piecewise_constant;
  std::vector<Domain> domain;              // of each operand
  std::vector<int> without_rule;           // operands that no derivative is defined for
  std::vector<std::vector<Shape>> shapes;  // of the operands: every broadcast pattern, every edge
  Var<T> (*apply)(std::span<const Operand<T>>);
};

/// Every operation there is: of the lists in ops.h and maps.h, of matrices.h and images.h.
template <class T>
std::vector<OpEntry<T>> all_ops();

namespace detail {

template <class T>
std::vector<OpEntry<T>> matrix_entries();
template <class T>
std::vector<OpEntry<T>> image_entries();

/// Every way operands can broadcast to 3x4, and the edges: one row, one column, one number.
inline std::vector<std::vector<Shape>> broadcast_patterns(int arity) {
  const Shape full{3, 4}, one_row{1, 4}, column{3, 1}, number{1, 1};
  if (arity == 1) return {{full}, {one_row}, {column}, {number}};
  std::vector<std::vector<Shape>> out;
  for (const Shape a : {full, one_row, column, number})
    for (const Shape b : {full, one_row, column, number}) {
      if (arity == 2) out.push_back({a, b});
      if (arity == 3)
        for (const Shape c : {full, one_row, column, number}) out.push_back({a, b, c});
    }
  return out;
}

template <class D, class T>
OpEntry<T> entry() {
  OpEntry<T> out{D::name, piecewise_constant<D>,        {std::begin(D::domain), std::end(D::domain)},
                 {},      broadcast_patterns(arity<D>), record_elementwise<D, T>};
  with_indices<arity<D>>(
      [&](auto... i) { ((has_rule<D, i> ? void() : out.without_rule.push_back(i)), ...); });
  return out;
}

template <class T, class... D>
std::vector<OpEntry<T>> elementwise_entries(List<D...>) {
  return {entry<D, T>()...};
}

/// An operation with a rule for each operand, which tests draw from [-2, 2].
template <class T>
OpEntry<T> listed(const char* name, std::vector<std::vector<Shape>> shapes,
                  Var<T> (*apply)(std::span<const Operand<T>>)) {
  const std::size_t operands = shapes.front().size();
  return {name, false, std::vector<Domain>(operands), {}, std::move(shapes), apply};
}

template <class T, class... D>
std::vector<OpEntry<T>> row_entries(List<D...>) {
  return {listed<T>(D::name, {{{3, 4}}, {{1, 4}}, {{3, 1}}},
                    [](std::span<const Operand<T>> x) { return record_rowwise<D>(x[0].var, x[0].at); })...};
}

/// Map M on its example k.
template <class M, int k, class T>
Var<T> run_example(std::span<const Operand<T>> x) {
  return M::example(x[0].var, M::examples[k].y);
}

template <class T, class... M>
std::vector<OpEntry<T>> map_entries(List<M...>) {
  std::vector<OpEntry<T>> out;
  const auto add = [&](auto map, auto... k) {
    using Definition = decltype(map);
    (out.push_back(listed<T>(Definition::name, {{Definition::examples[k].x}}, run_example<Definition, k, T>)),
     ...);
  };
  (with_indices<std::size(M::examples)>([&](auto... k) { add(M(), k...); }), ...);
  return out;
}

}  // namespace detail
}  // namespace lowvar
