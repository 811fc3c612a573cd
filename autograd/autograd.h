// Read this first. Losses are functions of Vars; these functions differentiate them.
//
//   auto loss = [](Var<double> w) { return mean(softplus(w)); };
//   Array<double> g  = grad(loss, w);              // the gradient at w
//   Array<double> Hv = hvp(loss, w, v);            // its derivative along v
//   auto report      = gradcheck(loss, w);         // both against finite differences (gradcheck.h)
//
// A loss of several arrays takes and returns vectors: [](const std::vector<Var<T>>& p) { ... }. Data follow
// what is differentiated, and reach the loss as further Vars, whose rows are samples:
//
//   auto loss = [](Var<double> w, Var<double> x, Var<double> y) { return mse(matmul(x, w), y); };
//   Array<double> g = grad(loss, w, x, y);         // hvp(loss, w, v, x, y), gradcheck(loss, w, x, y), ...
//
// Below this: Tape and Var (tape.h), gradients of single samples (grouped.h), the operations (ops.h, maps.h,
// matrices.h, images.h), composites (functions.h), memory for time (rematerialise.h).
#pragma once

#include <algorithm>
#include <utility>

#include "autograd/functions.h"
#include "autograd/grouped.h"
#include "autograd/images.h"
#include "autograd/matrices.h"
#include "autograd/ops.h"
#include "autograd/rematerialise.h"
#include "autograd/tape.h"
#include "core/array.h"
#include "core/parallel.h"

namespace lowvar {

template <class T>
struct ValueAndGrad {
  T value;
  std::vector<Array<T>> grad;  // one for each parameter array
};

/// f(x, data...) and df/dx for a loss f of a vector<Var>, and a Var for each array of data, to a 1x1 Var.
template <class F, class T, std::same_as<Array<T>>... D>
ValueAndGrad<T> value_and_grad(F&& f, const std::vector<Array<T>>& x, const D&... data) {
  Tape<T> tape;
  const auto parameters = tape.parameters(trust(x));
  const Var<T> y = f(parameters, tape.data(trust(data))...);
  return {y.item(), grad(y, parameters)};
}

template <class F, class T, std::same_as<Array<T>>... D>
std::vector<Array<T>> grad(F&& f, const std::vector<Array<T>>& x, const D&... data) {
  return value_and_grad(f, x, data...).grad;
}

namespace detail {

template <class T>
ValueAndGrad<T> zero_value_and_grad(const std::vector<Array<T>>& x) {
  ValueAndGrad<T> out{};
  for (const auto& each : x) out.grad.push_back(zeros_like(each));
  return out;
}

/// A sum over numbered shards, added pairwise: shards 2i and 2i + 1, then such pairs, and so on. Which of
/// them add up before they come here changes no bit.
template <class T>
class SumOfShards {
 public:
  /// The sum over shards [first, first + size), size a power of two that divides first.
  struct Part {
    int first = 0, size = 1;
    ValueAndGrad<T> sum;

    template <class F>
    void visit(F&& f) {
      f("first", first), f("size", size), f("value", sum.value), f("grad", sum.grad);
    }
  };

  /// Adds what follows the last; `part` becomes one that may be written over.
  void add(int first, int size, ValueAndGrad<T>& part) {
    if (depth_ == parts_.size()) parts_.push_back({0, 1, part});
    parts_[depth_].first = first, parts_[depth_].size = size;
    std::swap(parts_[depth_++].sum, part);
    while (depth_ > 1 && merges()) merge();
  }
  /// What cannot be added up before others come.
  std::vector<Part> parts() && {
    parts_.resize(depth_);
    return std::move(parts_);
  }
  /// Of all; there must be some.
  ValueAndGrad<T> total() && {
    while (depth_ > 1) merge();
    return std::move(parts_.front().sum);
  }

 private:
  bool merges() const {
    const Part &left = parts_[depth_ - 2], &right = parts_[depth_ - 1];
    return left.size == right.size && left.first % (2 * left.size) == 0;
  }
  void merge() {
    --depth_;
    const auto& from = parts_[depth_].sum;
    auto& to = parts_[depth_ - 1].sum;
    parts_[depth_ - 1].size *= 2;
    to.value += from.value;
    for (std::size_t k = 0; k < to.grad.size(); ++k)
      for (std::size_t j = 0; j < to.grad[k].size(); ++j) to.grad[k].data()[j] += from.grad[k].data()[j];
  }

  std::vector<Part> parts_;  // the first `depth_` of them
  std::size_t depth_ = 0;
};

/// The sum of what part(begin, end, out) writes for shards of `shard` rows, added pairwise in their order.
/// They are dealt where the rows are enough for that.
template <class T, class Part>
ValueAndGrad<T> sum_over_shards(const std::vector<Array<T>>& x, int rows, int shard, Part&& part) {
  expect(rows >= 0 && shard > 0, "shards: ", rows, " rows in shards of ", shard);
  auto total = zero_value_and_grad(x);
  if (rows > 0 && rows <= shard) {
    part(0, rows, total);
    return total;
  }
  const int shards = rows / shard + (rows % shard > 0), threads = omp_get_max_threads();
  if (shards == 0) return total;
  const auto sum_of = [&](int from, int to) {
    SumOfShards<T> sum;
    const int window = std::min(to - from, threads > 1 ? 4 * threads : 1);  // results alive at a time
    std::vector<ValueAndGrad<T>> results(static_cast<std::size_t>(window), total);
    for (int first = from; first < to; first += window) {
      const int count = std::min(window, to - first);
      parallel_for(count, [&](int i) {
        const int begin = (first + i) * shard;
        part(begin, begin + std::min(shard, rows - begin), results[static_cast<std::size_t>(i)]);
      });
      for (int i = 0; i < count; ++i) sum.add(first + i, 1, results[static_cast<std::size_t>(i)]);
    }
    return sum;
  };
  if (!deals(rows)) return sum_of(0, shards).total();
  const auto [from, to] = own_part(shards);
  const auto all = all_gather([&, from = from, to = to] { return stored(sum_of(from, to).parts()); });
  SumOfShards<T> sum;
  for (const Bytes& bytes : all) {
    std::vector<typename SumOfShards<T>::Part> parts;
    restore_from(bytes, parts);
    for (auto& each : parts) sum.add(each.first, each.size, each.sum);
  }
  return std::move(sum).total();
}

/// <a, b> over arrays.
template <class T, class B>
Var<T> dot(const std::vector<Var<T>>& a, const std::vector<B>& b) {
  Var<T> out = lowvar::dot(a[0], b[0]);
  for (std::size_t i = 1; i < a.size(); ++i) out = out + lowvar::dot(a[i], b[i]);
  return out;
}

template <class T>
void check_direction(const char* what, const std::vector<Array<T>>& x, const std::vector<Array<T>>& v) {
  expect(v.size() == x.size(), what, ": v needs an array for each of the ", x.size(), " of x, got ",
         v.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    expect(shape(v[i]) == shape(x[i]), what, ": v's array ", i, " is ", shape(v[i]), " where x's is ",
           shape(x[i]));
}

}  // namespace detail

/// f(x) and df/dx for a loss that is a sum over samples, evaluated in shards of `shard` rows: f(tape, x,
/// begin, end) is the sum over rows [begin, end) of the `rows`. Each shard's whole graph runs on one thread
/// and stays in its cache; the parts are added in the order of the shards, so the number of threads changes
/// no bit, and the size of a shard does.
template <class F, class T>
ValueAndGrad<T> sharded_value_and_grad(F&& f, const std::vector<Array<T>>& x, int rows, int shard = 256) {
  return detail::sum_over_shards(x, rows, shard, [&](int begin, int end, ValueAndGrad<T>& out) {
    Tape<T> tape;
    const auto parameters = tape.parameters(trust(x));
    const Var<T> y = f(tape, parameters, begin, end);
    out.value = y.item();
    grad_into(out.grad, y, parameters);
  });
}

/// grouped_grad_into for rows that are too many for one cache: y = f(tape, x, begin, end) holds rows
/// [begin, end). Shards are whole groups of together at least `shard` rows, each on one thread.
template <class F, class T>
void sharded_grouped_grad_into(std::span<T> out, F&& f, const std::vector<Array<T>>& x,
                               std::span<const int> offset, const Array<T>& weights, int shard = 256) {
  expect(!offset.empty() && offset.front() == 0 && std::is_sorted(offset.begin(), offset.end()),
         "sharded_grouped_grad: offset must rise from 0");
  expect(shape(weights).rows == offset.back(), "sharded_grouped_grad: weights must have ", offset.back(),
         " rows, got ", shape(weights).rows);
  std::size_t row = 0;  // numbers of a group
  for (const auto& each : x) row += each.size() * weights.shape(1);
  const std::size_t groups = offset.size() - 1;
  expect(out.size() == groups * row, "sharded_grouped_grad: the result is ", groups * row, " numbers, not ",
         out.size());
  std::vector<std::size_t> cut{0};  // the group that each shard begins with, and the end
  for (std::size_t g = 1; g <= groups; ++g)
    if (g == groups || offset[g] - offset[cut.back()] >= shard) cut.push_back(g);
  parallel_for(static_cast<int>(cut.size()) - 1, [&](int i) {
    const std::size_t from = cut[static_cast<std::size_t>(i)], to = cut[static_cast<std::size_t>(i) + 1];
    Tape<T> tape;
    const auto parameters = tape.parameters(trust(x));
    const Var<T> y = f(tape, parameters, offset[from], offset[to]);
    grouped_grad_into(out.subspan(from * row, (to - from) * row), y, parameters,
                      offset.subspan(from, to - from + 1), weights);
  });
}

/// The Hessian of f at x times v.
template <class F, class T, std::same_as<Array<T>>... D>
std::vector<Array<T>> hvp(F&& f, const std::vector<Array<T>>& x, const std::vector<Array<T>>& v,
                          const D&... data) {
  Tape<T> tape;
  const auto parameters = tape.parameters(trust(x));
  auto out = detail::zero_value_and_grad(x).grad;
  hvp_into(out, f(parameters, tape.data(trust(data))...), parameters, v);
  return out;
}

/// The same of a sum over samples, in shards as for sharded_value_and_grad.
template <class F, class T>
std::vector<Array<T>> sharded_hvp(F&& f, const std::vector<Array<T>>& x, const std::vector<Array<T>>& v,
                                  int rows, int shard = 256) {
  const auto part = [&](int begin, int end, ValueAndGrad<T>& out) {
    Tape<T> tape;
    const auto parameters = tape.parameters(trust(x));
    hvp_into(out.grad, f(tape, parameters, begin, end), parameters, v);
  };
  return detail::sum_over_shards(x, rows, shard, part).grad;
}

/// J' H J v, where J is the Jacobian of the outputs z = f(x, data...) and H the Hessian of the 1x1 loss(z):
/// the Gauss-Newton approximation of the Hessian of loss(f(x)), positive where the loss is convex in z. J v
/// is the derivative of J'u with respect to u, and J' a plain backward pass.
template <class F, class L, class T, std::same_as<Array<T>>... D>
std::vector<Array<T>> gauss_newton_product(F&& f, L&& loss, const std::vector<Array<T>>& x,
                                           const std::vector<Array<T>>& v, const D&... data) {
  detail::check_direction("gauss_newton_product", x, v);
  Tape<T> tape;
  const auto parameters = tape.parameters(trust(x));
  const Var<T> z = f(parameters, tape.data(trust(data))...);
  if (!z.node().needs_gradient) return detail::zero_value_and_grad(x).grad;
  const Array<T> at = z.value();
  const Var<T> u = tape.parameter(zeros_like(at));
  const Array<T> Jv = grad(detail::dot(grad_graph(dot(z, u), parameters), v), u);
  const Array<T> HJv = hvp([&](const std::vector<Var<T>>& p) { return loss(p.front()); },
                           std::vector<Array<T>>{at}, std::vector<Array<T>>{Jv})
                           .front();
  return grad(dot(z, HJv), parameters);
}

/// The Fisher information of categorical distributions, averaged over rows, times v: mean over r of sum_a
/// p_ra (d log p_ra) (d log p_ra)' v for log p = log_p(x) [n x C]. It is the Hessian of the mean KL(p || p')
/// in p' at p' = p.
template <class F, class T, std::same_as<Array<T>>... D>
std::vector<Array<T>> fisher_vector_product(F&& log_p, const std::vector<Array<T>>& x,
                                            const std::vector<Array<T>>& v, const D&... data) {
  const auto metric = [](Var<T> z) {  // sum p z^2 / 2 has the Hessian diag(p)
    return sum(exp(stop_gradient(z)) * square(z)) * (T(0.5) / static_cast<T>(z.rows()));
  };
  return gauss_newton_product(log_p, metric, x, v, data...);
}

/// J v and f(x), for the Jacobian J of the outputs f(x) in x: the derivative of J'u with respect to u, along
/// v.
template <class T>
struct ValueAndTangent {
  Array<T> value, tangent;
};
template <class F, class T, std::same_as<Array<T>>... D>
ValueAndTangent<T> jvp(F&& f, const std::vector<Array<T>>& x, const std::vector<Array<T>>& v,
                       const D&... data) {
  detail::check_direction("jvp", x, v);
  Tape<T> tape;
  const auto parameters = tape.parameters(trust(x));
  const Var<T> z = f(parameters, tape.data(trust(data))...);
  Array<T> value = z.value();
  if (!z.node().needs_gradient) return {value, zeros_like(value)};
  const Var<T> u = tape.parameter(zeros_like(value));
  const Var<T> along = detail::dot(grad_graph(dot(z, u), parameters), v);
  return {std::move(value), grad(along, u)};
}

/// The Jacobian of the outputs f(x) [n x C] in all of x, [n C x d]: a backward pass for each output.
template <class F, class T, std::same_as<Array<T>>... D>
Array<T> jacobian(F&& f, const std::vector<Array<T>>& x, const D&... data) {
  Tape<T> tape;
  const auto parameters = tape.parameters(trust(x));
  const Var<T> z = f(parameters, tape.data(trust(data))...);
  std::vector<Array<T>> g = detail::zero_value_and_grad(x).grad;
  std::size_t d = 0;
  for (const auto& each : x) d += each.size();
  Array<T> out = Array<T>::from_shape({z.shape().size(), d});
  T* to = out.data();
  for (int r = 0; r < z.rows(); ++r)
    for (int c = 0; c < z.cols(); ++c) {
      if (z.node().needs_gradient) grad_into(g, block(z, r, c, {1, 1}), parameters);
      for (const auto& each : g) to = std::copy_n(each.data(), each.size(), to);
    }
  return out;
}

/// The Hessian of the 1x1 f(x) in all of x, [d x d]: a Hessian product for each entry of x.
template <class F, class T, std::same_as<Array<T>>... D>
Array<T> hessian(F&& f, const std::vector<Array<T>>& x, const D&... data) {
  Tape<T> tape;
  const auto parameters = tape.parameters(trust(x));
  const Var<T> y = f(parameters, tape.data(trust(data))...);
  auto Hv = detail::zero_value_and_grad(x).grad, v = Hv;
  std::size_t d = 0;
  for (const auto& each : x) d += each.size();
  Array<T> out = zeros<T>(static_cast<int>(d), static_cast<int>(d));
  T* to = out.data();
  for (auto& each : v)
    for (T& entry : values(each)) {
      entry = 1;
      if (y.node().needs_gradient) hvp_into(Hv, y, parameters, v);
      entry = 0;
      for (const auto& part : Hv) to = std::copy_n(part.data(), part.size(), to);
    }
  return out;
}

// One array, one Var: the same functions for the commonest case.

namespace detail {

/// f of a Var, and of data, as a function of a vector.
template <class T>
auto of_one(auto& f) {
  return [&f](const std::vector<Var<T>>& p, const auto&... data) { return f(p.front(), data...); };
}

}  // namespace detail

template <class F, class T, std::same_as<Array<T>>... D>
Array<T> grad(F&& f, const Array<T>& x, const D&... data) {
  return grad(detail::of_one<T>(f), std::vector<Array<T>>{x}, data...).front();
}

template <class F, class T, std::same_as<Array<T>>... D>
Array<T> hvp(F&& f, const Array<T>& x, const Array<T>& v, const D&... data) {
  return hvp(detail::of_one<T>(f), std::vector<Array<T>>{x}, std::vector<Array<T>>{v}, data...).front();
}

template <class F, class T, std::same_as<Array<T>>... D>
ValueAndTangent<T> jvp(F&& f, const Array<T>& x, const Array<T>& v, const D&... data) {
  return jvp(detail::of_one<T>(f), std::vector<Array<T>>{x}, std::vector<Array<T>>{v}, data...);
}

template <class F, class T, std::same_as<Array<T>>... D>
Array<T> jacobian(F&& f, const Array<T>& x, const D&... data) {
  return jacobian(detail::of_one<T>(f), std::vector<Array<T>>{x}, data...);
}

template <class F, class T, std::same_as<Array<T>>... D>
Array<T> hessian(F&& f, const Array<T>& x, const D&... data) {
  return hessian(detail::of_one<T>(f), std::vector<Array<T>>{x}, data...);
}

}  // namespace lowvar
