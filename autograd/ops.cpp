// The lists of ops.h and maps.h, compiled for float and double; that of elementwise operations has files of
// its own, elementwise_float.cpp and elementwise_double.cpp.
#include <algorithm>

#include "autograd/backward.h"
#include "autograd/matrices.h"
#include "autograd/op_list.h"
#include "autograd/primitive.h"

namespace lowvar {
namespace detail {

// ---- Of maps.h ----

const int* keep(Arena& arena, std::span<const int> index) {
  int* kept = arena.allocate<int>(index.size());
  std::copy(index.begin(), index.end(), kept);
  return kept;
}

void check_offset(const char* op, Shape x, std::span<const int> offset, At at) {
  expect(!offset.empty() && offset.front() == 0 && offset.back() == x.rows &&
             std::is_sorted(offset.begin(), offset.end()),
         op, ": offset must rise from 0 to the ", x.rows, " rows of ", x, at);
}

const int* group_begins(Arena& arena, const char* op, Shape x, std::span<const int> offset, At at) {
  check_offset(op, x, offset, at);
  int* begins = arena.allocate<int>(static_cast<std::size_t>(x.rows));
  std::fill_n(begins, x.rows, 0);
  for (const int r : offset)
    if (r < x.rows) begins[r] = 1;
  return begins;
}

void check_index(const char* op, std::span<const int> index, int rows, int limit, const char* what, At at) {
  expect(index.size() == static_cast<std::size_t>(rows), op, ": needs one index a row, ", rows, ", got ",
         index.size(), at);
  for (std::size_t r = 0; r < index.size(); ++r)
    expect(index[r] >= 0 && index[r] < limit, op, ": index ", index[r], " at ", r, " is not one of the ",
           limit, " ", what, at);
}

}  // namespace detail

template <class T>
Var<T> stop_gradient(Var<T> x) {
  Node<T> node = x.node();
  Record<T>& record = *x.record();
  node.value = value_of(record, x.index());
  node.op = nullptr;
  node.operands = 0;
  node.needs_gradient = false;
  if (node.borrowed)
    record.borrowed.push_back({static_cast<int>(record.nodes.size()), detail::lent_hash(record, x.index())});
  record.nodes.push_back(node);
  return {&record, static_cast<int>(record.nodes.size()) - 1};
}

extern template std::vector<OpEntry<float>> detail::elementwise_entries(ElementwiseOps);
extern template std::vector<OpEntry<double>> detail::elementwise_entries(ElementwiseOps);

template <class T>
std::vector<OpEntry<T>> all_ops() {
  auto out = detail::elementwise_entries<T>(ElementwiseOps{});
  for (auto& part : {detail::row_entries<T>(RowOps{}), detail::map_entries<T>(LinearMaps{}),
                     detail::matrix_entries<T>(), detail::image_entries<T>()})
    out.insert(out.end(), part.begin(), part.end());
  return out;
}

#define LOWVAR_INSTANTIATE(T)                 \
  template std::vector<OpEntry<T>> all_ops(); \
  template Var<T> stop_gradient(Var<T>);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE

}  // namespace lowvar
