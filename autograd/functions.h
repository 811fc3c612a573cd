// Composites: plain functions of operations, which need no rule of their own. Sums and means are per row, per
// column or over all; probabilities are per row.
#pragma once

#include <algorithm>
#include <utility>

#include "autograd/ops.h"

namespace lowvar {

template <class T>
Var<T> sum(Var<T> x, At at = At::current()) {
  return sum_to(x, {1, 1}, at);
}
template <class T>
Var<T> sum_rows(Var<T> x, At at = At::current()) {  // [n x C] -> [n x 1]
  return sum_to(x, {x.rows(), 1}, at);
}
template <class T>
Var<T> mean(Var<T> x, At at = At::current()) {
  return sum(x, at) * (T(1) / static_cast<T>(x.shape().size()));
}

/// <a, b> over all entries.
template <class T>
Var<T> dot(Var<T> a, const std::type_identity_t<Operand<T>>& b, At at = At::current()) {
  return sum(multiply(Operand<T>(a, at), b), at);
}

/// x minus the maximum of its row, [n x C], and that maximum, [n x 1], which carries no gradient: in what
/// follows it cancels.
template <class T>
std::pair<Var<T>, Array<T>> shifted_rows(Var<T> x) {
  Array<T> shift = zeros<T>(x.rows(), 1);
  const T* row = x.values().data();
  for (int r = 0; r < x.rows(); ++r, row += x.cols()) shift(r, 0) = *std::max_element(row, row + x.cols());
  return {x - shift, shift};
}

/// log sum_j exp(x_j) of each row, [n x C] -> [n x 1].
template <class T>
Var<T> logsumexp(Var<T> x, At at = At::current()) {
  const auto [y, shift] = shifted_rows(x);
  return log(sum_rows(exp(y, at), at), at) + shift;
}

/// x - logsumexp(x), accurate for large x too.
template <class T>
Var<T> log_softmax(Var<T> x, At at = At::current()) {
  const Var<T> y = shifted_rows(x).first;
  return y - log(sum_rows(exp(y, at), at), at);
}
template <class T>
Var<T> softmax(Var<T> x, At at = At::current()) {
  return exp(log_softmax(x, at), at);
}

/// log(1 + e^x), without overflow.
template <class T>
Var<T> softplus(Var<T> x, At at = At::current()) {
  const Var<T> positive = relu(x, at);
  return positive + log(exp(-positive, at) + exp(x - positive, at), at);
}

/// Mean squared error against a target that carries no gradient.
template <class T>
Var<T> mse(Var<T> prediction, const Array<T>& target, At at = At::current()) {
  return mean(square(prediction - target, at), at);
}

}  // namespace lowvar
