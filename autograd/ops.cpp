// Compiles the list of ops.h, for float and double.
#include <algorithm>

#include "autograd/primitive.h"

namespace lowvar {
namespace detail {

template <class M, class T>
Var<T> record_map(Var<T> x, const int* index, Shape y_shape) {
  Record<T>& record = *x.record();
  const int i = x.index();
  T* y;
  Node<T>& node = append<T>(record, &LinearMap<M, T>::op, {&i, 1}, y_shape, &y);
  node.index = index;
  std::fill_n(y, y_shape.size(), T(0));
  M::apply(at(record, i).shape, at(record, i).value, index, y_shape, y);
  return last(record);
}

template <class T>
const int* keep(Record<T>& record, std::span<const int> index) {
  int* kept = record.arena.template allocate<int>(index.size());
  std::copy(index.begin(), index.end(), kept);
  return kept;
}

void check_index(const char* op, std::span<const int> index, int rows, int limit, const char* what, At at) {
  expect(static_cast<int>(index.size()) == rows, op, ": needs one index a row, ", rows, ", got ",
         index.size(), at);
  for (std::size_t r = 0; r < index.size(); ++r)
    expect(index[r] >= 0 && index[r] < limit, op, ": index ", index[r], " at ", r, " is not one of the ",
           limit, " ", what, at);
}

template <Product P, class T>
Var<T> record_matmul(Var<T> a, Var<T> b, At where) {
  using M = Matmul<P, T>;
  const Operand<T> operands[] = {{a, where}, {b, where}};
  Record<T>& record = common_record<T>(M::name, operands);
  const std::array<int, 2> x{a.index(), b.index()};
  const Shape sa = at(record, x[0]).shape, sb = at(record, x[1]).shape;
  expect(product_fits(P, sa, sb), M::name, ": shapes ", sa, " and ", sb, " do not fit", where);
  T* y;
  append<T>(record, &M::op, x, product_shape(P, sa, sb), &y);
  multiply(P, sa, at(record, x[0]).value, sb, at(record, x[1]).value, T(0), y);
  return last(record);
}

}  // namespace detail

template <class T>
Var<T> matmul(Var<T> a, Var<T> b, At where) {
  return detail::record_matmul<detail::Product::nn>(a, b, where);
}
template <class T>
Var<T> matmul_tn(Var<T> a, Var<T> b, At where) {
  return detail::record_matmul<detail::Product::tn>(a, b, where);
}
template <class T>
Var<T> matmul_nt(Var<T> a, Var<T> b, At where) {
  return detail::record_matmul<detail::Product::nt>(a, b, where);
}

template <class T>
Var<T> linear(Var<T> x, Var<T> W, Var<T> b, At where) {
  using namespace detail;
  const Operand<T> operands[] = {{x, where}, {W, where}, {b, where}};
  Record<T>& record = common_record<T>("linear", operands);
  const std::array<int, 3> nodes{x.index(), W.index(), b.index()};
  const Shape xs = x.shape(), ws = W.shape(), bs = b.shape();
  expect(xs.cols == ws.rows && bs == Shape{1, ws.cols}, "linear: x ", xs, ", W ", ws, ", b ", bs,
         " do not fit: W must be x's columns by outputs and b one row of outputs", where);
  T* y;
  append<T>(record, &Linear<T>::op, nodes, {xs.rows, ws.cols}, &y);
  const T* bias = at(record, nodes[2]).value;
  for (int r = 0; r < xs.rows; ++r) std::copy_n(bias, ws.cols, y + Shape{r, ws.cols}.size());
  multiply(Product::nn, xs, at(record, nodes[0]).value, ws, at(record, nodes[1]).value, T(1), y);
  return last(record);
}

template <class T>
Var<T> sum_to(Var<T> x, Shape shape, At where) {
  const Shape from = x.shape();
  expect((shape.rows == 1 || shape.rows == from.rows) && (shape.cols == 1 || shape.cols == from.cols),
         "sum_to: cannot sum ", from, " to ", shape, where);
  return detail::record_map<detail::SumTo>(x, nullptr, shape);
}

template <class T>
Var<T> broadcast_to(Var<T> x, Shape shape, At where) {
  const Shape from = x.shape();
  expect((from.rows == 1 || shape.rows == from.rows) && (from.cols == 1 || shape.cols == from.cols),
         "broadcast_to: cannot repeat ", from, " to ", shape, where);
  return detail::record_map<detail::BroadcastTo>(x, nullptr, shape);
}

template <class T>
Var<T> pick(Var<T> x, std::span<const int> index, At where) {
  detail::check_index("pick", index, x.rows(), x.cols(), "columns", where);
  return detail::record_map<detail::Pick>(x, detail::keep(*x.record(), index), {x.rows(), 1});
}

template <class T>
Var<T> place(Var<T> x, std::span<const int> index, int cols, At where) {
  expect(x.cols() == 1, "place: needs one column, got ", x.shape(), where);
  detail::check_index("place", index, x.rows(), cols, "columns", where);
  return detail::record_map<detail::Place>(x, detail::keep(*x.record(), index), {x.rows(), cols});
}

template <class T>
Var<T> gather(Var<T> table, std::span<const int> index, At where) {
  detail::check_index("gather", index, static_cast<int>(index.size()), table.rows(), "rows", where);
  Record<T>& record = *table.record();
  const Var<T> y = detail::record_map<detail::Gather>(table, detail::keep(record, index),
                                                      {static_cast<int>(index.size()), table.cols()});
  record.nodes.back().per_row = true;  // the index is data
  return y;
}

template <class T>
Var<T> scatter_add(Var<T> x, std::span<const int> index, int rows, At where) {
  detail::check_index("scatter_add", index, x.rows(), rows, "rows", where);
  return detail::record_map<detail::ScatterAdd>(x, detail::keep(*x.record(), index), {rows, x.cols()});
}

namespace detail {

template <class T, class... D>
std::vector<OpEntry<T>> entries(List<D...>) {
  return {entry<D, T>()...};
}

constexpr int picked[] = {2, 0, 3};
constexpr int gathered[] = {1, 1, 0, 2, 1};

template <class T>
std::vector<OpEntry<T>> matrix_entries() {
  using X = std::span<const Operand<T>>;
  const Domain d;
  return {
      {"matmul",
       false,
       {d, d},
       {},
       {{{3, 4}, {4, 2}}, {{1, 4}, {4, 1}}},
       [](X x) { return matmul(x[0].var, x[1].var); }},
      {"matmul_tn",
       false,
       {d, d},
       {},
       {{{4, 3}, {4, 2}}, {{1, 3}, {1, 2}}},
       [](X x) { return matmul_tn(x[0].var, x[1].var); }},
      {"matmul_nt",
       false,
       {d, d},
       {},
       {{{3, 4}, {2, 4}}, {{1, 4}, {1, 4}}},
       [](X x) { return matmul_nt(x[0].var, x[1].var); }},
      {"linear",
       false,
       {d, d, d},
       {},
       {{{3, 4}, {4, 2}, {1, 2}}, {{1, 1}, {1, 1}, {1, 1}}},
       [](X x) { return linear(x[0].var, x[1].var, x[2].var); }},
      {"sum_to",
       false,
       {d},
       {},
       {{{3, 4}}, {{3, 1}}, {{1, 1}}},
       [](X x) {
         return sum_to(x[0].var, {1, x[0].var.cols()});
       }},
      {"sum_to",
       false,
       {d},
       {},
       {{{3, 4}}, {{1, 4}}},
       [](X x) {
         return sum_to(x[0].var, {x[0].var.rows(), 1});
       }},
      {"sum_to",
       false,
       {d},
       {},
       {{{3, 4}}},
       [](X x) {
         return sum_to(x[0].var, {1, 1});
       }},
      {"broadcast_to",
       false,
       {d},
       {},
       {{{3, 1}}, {{1, 4}}, {{1, 1}}, {{3, 4}}},
       [](X x) {
         return broadcast_to(x[0].var, {3, 4});
       }},
      {"pick", false, {d}, {}, {{{3, 4}}}, [](X x) { return pick(x[0].var, picked); }},
      {"place", false, {d}, {}, {{{3, 1}}}, [](X x) { return place(x[0].var, picked, 4); }},
      {"gather", false, {d}, {}, {{{3, 2}}}, [](X x) { return gather(x[0].var, gathered); }},
      {"scatter_add", false, {d}, {}, {{{5, 2}}}, [](X x) { return scatter_add(x[0].var, gathered, 3); }},
  };
}

}  // namespace detail

template <class T>
std::vector<OpEntry<T>> all_ops() {
  auto out = detail::entries<T>(ElementwiseOps{});
  for (auto& e : detail::matrix_entries<T>()) out.push_back(std::move(e));
  return out;
}

#define LOWVAR_INSTANTIATE(T)                                   \
  template std::vector<OpEntry<T>> all_ops();                   \
  template Var<T> matmul(Var<T>, Var<T>, At);                   \
  template Var<T> matmul_tn(Var<T>, Var<T>, At);                \
  template Var<T> matmul_nt(Var<T>, Var<T>, At);                \
  template Var<T> linear(Var<T>, Var<T>, Var<T>, At);           \
  template Var<T> sum_to(Var<T>, Shape, At);                    \
  template Var<T> broadcast_to(Var<T>, Shape, At);              \
  template Var<T> pick(Var<T>, std::span<const int>, At);       \
  template Var<T> place(Var<T>, std::span<const int>, int, At); \
  template Var<T> gather(Var<T>, std::span<const int>, At);     \
  template Var<T> scatter_add(Var<T>, std::span<const int>, int, At);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE

}  // namespace lowvar
