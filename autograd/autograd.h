// Read this first. Losses are functions of Vars; these functions differentiate them.
//
//   auto loss = [](Var<double> w) { return mean(softplus(w)); };
//   Array<double> g  = grad(loss, w);              // the gradient at w
//   Array<double> Hv = hvp(loss, w, v);            // its derivative along v
//   auto report      = gradcheck(loss, w);         // both against finite differences (gradcheck.h)
//
// A loss of several arrays takes and returns vectors: [](const std::vector<Var<T>>& p) { ... }.
// Below this: Tape and Var (tape.h), the operations (ops.h), composites (functions.h).
#pragma once

#include <algorithm>
#include <utility>

#include "autograd/functions.h"
#include "autograd/ops.h"
#include "autograd/tape.h"
#include "core/parallel.h"

namespace lowvar {

template <class T>
struct ValueAndGrad {
  T value;
  std::vector<Array<T>> grad;  // one for each parameter array
};

/// f(x) and df/dx for a loss f: vector<Var> -> 1x1 Var.
template <class F, class T>
ValueAndGrad<T> value_and_grad(F&& f, const std::vector<Array<T>>& x) {
  Tape<T> tape;
  const auto parameters = tape.parameters(x);
  const Var<T> y = f(parameters);
  return {y.item(), grad(y, parameters)};
}

template <class F, class T>
std::vector<Array<T>> grad(F&& f, const std::vector<Array<T>>& x) {
  return value_and_grad(f, x).grad;
}

/// f(x) and df/dx for a loss that is a sum over samples, evaluated in shards of `shard` rows: f(tape, x,
/// begin, end) is the sum over rows [begin, end) of the `rows`. Each shard's whole graph runs on one thread
/// and stays in its cache; the parts are added in the order of the shards, so the number of threads changes
/// no bit, and the size of a shard does.
template <class F, class T>
ValueAndGrad<T> sharded_value_and_grad(F&& f, const std::vector<Array<T>>& x, int rows, int shard = 256) {
  ValueAndGrad<T> total{};
  const auto part_of = [&](int i) {
    Tape<T> tape;
    const auto parameters = tape.parameters(x);
    const Var<T> y = f(tape, parameters, i * shard, std::min(rows, (i + 1) * shard));
    return ValueAndGrad<T>{y.item(), grad(y, parameters)};
  };
  ordered_reduce((rows + shard - 1) / shard, part_of, [&](int i, ValueAndGrad<T> part) {
    if (i == 0) {
      total = std::move(part);
      return;
    }
    total.value += part.value;
    for (std::size_t k = 0; k < x.size(); ++k) {
      T* sum = total.grad[k].data();
      const T* add = part.grad[k].data();
      for (std::size_t j = 0; j < x[k].size(); ++j) sum[j] += add[j];
    }
  });
  if (rows == 0)
    for (const auto& each : x) total.grad.push_back(zeros_like(each));
  return total;
}

/// The Hessian of f at x times v.
template <class F, class T>
std::vector<Array<T>> hvp(F&& f, const std::vector<Array<T>>& x, const std::vector<Array<T>>& v) {
  expect(v.size() == x.size(), "hvp: v needs an array for each of the ", x.size(), " of x, got ", v.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    expect(shape(v[i]) == shape(x[i]), "hvp: v's array ", i, " is ", shape(v[i]), " where x's is ",
           shape(x[i]));
  Tape<T> tape;
  const auto parameters = tape.parameters(x);
  const auto g = grad_graph(f(parameters), parameters);
  Var<T> directional = dot(g[0], v[0]);
  for (std::size_t i = 1; i < g.size(); ++i) directional = directional + dot(g[i], v[i]);
  // A gradient that does not depend on x at all, that of an affine loss, has no path back to it.
  if (!directional.node().needs_gradient) {
    std::vector<Array<T>> out;
    for (const auto& each : x) out.push_back(zeros_like(each));
    return out;
  }
  return grad(directional, parameters);
}

// One array, one Var: the same functions for the commonest case.

template <class F, class T>
requires std::invocable<F, Var<T>> Array<T> grad(F&& f, const Array<T>& x) {
  return grad([&](const std::vector<Var<T>>& p) { return f(p.front()); }, std::vector<Array<T>>{x}).front();
}

template <class F, class T>
requires std::invocable<F, Var<T>> Array<T> hvp(F&& f, const Array<T>& x, const Array<T>& v) {
  return hvp([&](const std::vector<Var<T>>& p) { return f(p.front()); }, std::vector<Array<T>>{x},
             std::vector<Array<T>>{v})
      .front();
}

}  // namespace lowvar
