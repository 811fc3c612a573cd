// Composites: plain functions of operations, which need no rule of their own. Sums and means are per row, per
// column or over all; probabilities are per row.
#pragma once

#include <algorithm>
#include <numbers>

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

/// log sum_j exp(x_j) of each row, [n x C] -> [n x 1]; shifted by the row's maximum, which cancels in the
/// derivative.
template <class T>
Var<T> logsumexp(Var<T> x, At at = At::current()) {
  Array<T> shift = zeros<T>(x.rows(), 1);
  const auto values = x.values();
  const auto C = static_cast<std::size_t>(x.cols());
  for (std::size_t r = 0; r < static_cast<std::size_t>(x.rows()); ++r)
    shift(r, 0) = *std::max_element(values.begin() + static_cast<std::ptrdiff_t>(r * C),
                                    values.begin() + static_cast<std::ptrdiff_t>((r + 1) * C));
  return log(sum_rows(exp(x - shift, at), at), at) + shift;
}

template <class T>
Var<T> log_softmax(Var<T> x, At at = At::current()) {
  return x - logsumexp(x, at);
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
