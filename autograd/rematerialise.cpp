#include "autograd/rematerialise.h"

#include <algorithm>

#include "autograd/functions.h"
#include "autograd/primitive.h"
#include "core/array.h"

namespace lowvar {
namespace {

template <class T>
struct Rematerialise {
  // The pass runs the subgraph itself, for all operands at once.
  static void pullback(const Frame<T>&, int, int, int, const T*, T*, bool) {
    fail("rematerialise: gradients of groups do not go through what is recorded again");
  }
  static Var<T> pullback_graph(Var<T> y, std::span<const Var<T>> x, int i, Var<T> g) {
    std::vector<Var<T>> inside;  // apart from each other, should one depend on another outside
    for (const Var<T>& each : x) inside.push_back(broadcast_to(each, each.shape()));
    const auto& subgraphs = y.record()->subgraphs;
    const Subgraph<T> f = subgraphs[static_cast<std::size_t>(y.node().subgraph)];
    return grad_graph(dot(f(inside), g), inside[static_cast<std::size_t>(i)]);
  }
  static constexpr Op<T> op{.name = "rematerialise", .pullback = pullback, .pullback_graph = pullback_graph};
};

}  // namespace

template <class T>
Var<T> rematerialise(const std::type_identity_t<Subgraph<T>>& f, const std::vector<Var<T>>& xs, At at) {
  expect(!xs.empty(), "rematerialise: needs at least one Var", at);
  xs.front().node();  // or throws
  Record<T>& record = *xs.front().record();
  std::vector<int> operands;
  std::vector<Array<T>> values;
  for (const Var<T>& x : xs) {
    expect(x.record() == &record, "rematerialise: the xs are of different tapes", at);
    operands.push_back(x.index());
    values.push_back(x.value());
  }
  Tape<T> inside(record.trap ? Trap::on : Trap::off);
  const Var<T> y = f(inside.constants(borrow(values)));
  const auto result = y.values();
  T* to = detail::append<T>(record, &Rematerialise<T>::op, operands, y.shape());
  record.nodes.back().subgraph = static_cast<int>(record.subgraphs.size());
  record.subgraphs.push_back(f);
  std::ranges::copy(result, to);
  return finish(record, at);
}

template Var<float> rematerialise(const Subgraph<float>&, const std::vector<Var<float>>&, At);
template Var<double> rematerialise(const Subgraph<double>&, const std::vector<Var<double>>&, At);

}  // namespace lowvar
