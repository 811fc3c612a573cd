// Composites: plain functions of operations, which need no rule of their own. X_rows gives a number for each
// row, [n x 1]; X_columns one for each column, [1 x C]; X alone one for all; probabilities are per row.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "autograd/ops.h"

namespace lowvar {

// ---- Sums, means, maxima ----

template <class T>
Var<T> sum(Var<T> x, At at = At::current()) {
  return sum_to(x, {1, 1}, at);
}
template <class T>
Var<T> sum_rows(Var<T> x, At at = At::current()) {
  return sum_to(x, {x.rows(), 1}, at);
}
template <class T>
Var<T> sum_columns(Var<T> x, At at = At::current()) {
  return sum_to(x, {1, x.cols()}, at);
}

template <class T>
Var<T> mean(Var<T> x, At at = At::current()) {
  return sum(x, at) * (T(1) / static_cast<T>(x.shape().size()));
}
template <class T>
Var<T> mean_rows(Var<T> x, At at = At::current()) {
  return sum_rows(x, at) * (T(1) / static_cast<T>(x.cols()));
}
template <class T>
Var<T> mean_columns(Var<T> x, At at = At::current()) {
  return sum_columns(x, at) * (T(1) / static_cast<T>(x.rows()));
}

/// The largest entry; the derivative goes to the first of equal ones. A NaN is larger than any number.
template <class T>
Var<T> max_rows(Var<T> x, At at = At::current()) {
  expect(x.cols() > 0, "max_rows: needs at least one column, got ", x.shape(), at);
  std::vector<int> first;
  const T* row = x.values().data();
  for (int r = 0; r < x.rows(); ++r, row += x.cols()) {
    int best = 0;
    for (int j = 1; j < x.cols(); ++j)
      if (row[j] > row[best] || (row[j] != row[j] && row[best] == row[best])) best = j;
    first.push_back(best);
  }
  return pick(x, first, at);
}
template <class T>
Var<T> max_columns(Var<T> x, At at = At::current()) {
  return transpose(max_rows(transpose(x, at), at), at);
}
template <class T>
Var<T> max(Var<T> x, At at = At::current()) {
  return max_columns(max_rows(x, at), at);
}

/// log sum e^x of each column, and of all; of each row it is the operation logsumexp.
template <class T>
Var<T> logsumexp_columns(Var<T> x, At at = At::current()) {
  return transpose(logsumexp(transpose(x, at), at), at);
}
template <class T>
Var<T> logsumexp_all(Var<T> x, At at = At::current()) {
  return logsumexp_columns(logsumexp(x, at), at);
}

/// <a, b> over all entries.
template <class T>
Var<T> dot(Var<T> a, const std::type_identity_t<Operand<T>>& b, At at = At::current()) {
  return sum(multiply(Operand<T>(a, at), b), at);
}
/// The Euclidean norm of all entries; its derivative at 0 is NaN.
template <class T>
Var<T> norm(Var<T> x, At at = At::current()) {
  return sqrt(sum(square(x, at), at), at);
}

// ---- Parts ----

/// Rows, and columns, [begin, end).
template <class T>
Var<T> row_slice(Var<T> x, int begin, int end, At at = At::current()) {
  return block(x, begin, 0, {end - begin, x.cols()}, at);
}
template <class T>
Var<T> column_slice(Var<T> x, int begin, int end, At at = At::current()) {
  return block(x, 0, begin, {x.rows(), end - begin}, at);
}

/// One below another, [n_1 + n_2 + ... x C], and one beside another, [n x C_1 + C_2 + ...].
template <class T>
Var<T> concatenate_rows(const std::vector<Var<T>>& parts, At at = At::current()) {
  expect(!parts.empty(), "concatenate_rows: needs at least one part", at);
  Shape whole{0, parts.front().cols()};
  for (const auto& x : parts) {
    expect(x.cols() == whole.cols, "concatenate_rows: ", x.shape(), " beside ", parts.front().shape(), at);
    whole.rows += x.rows();
  }
  Var<T> out = pad(parts.front(), 0, 0, whole, at);
  for (std::size_t i = 1, row = 0; i < parts.size(); ++i) {
    row += static_cast<std::size_t>(parts[i - 1].rows());
    out = out + pad(parts[i], static_cast<int>(row), 0, whole, at);
  }
  return out;
}
template <class T>
Var<T> concatenate_columns(const std::vector<Var<T>>& parts, At at = At::current()) {
  expect(!parts.empty(), "concatenate_columns: needs at least one part", at);
  Shape whole{parts.front().rows(), 0};
  for (const auto& x : parts) {
    expect(x.rows() == whole.rows, "concatenate_columns: ", x.shape(), " beside ", parts.front().shape(), at);
    whole.cols += x.cols();
  }
  Var<T> out = pad(parts.front(), 0, 0, whole, at);
  for (std::size_t i = 1, col = 0; i < parts.size(); ++i) {
    col += static_cast<std::size_t>(parts[i - 1].cols());
    out = out + pad(parts[i], 0, static_cast<int>(col), whole, at);
  }
  return out;
}

// ---- Probabilities, a row a sample ----

template <class T>
Var<T> softmax(Var<T> x, At at = At::current()) {
  return exp(log_softmax(x, at), at);
}
/// -sum_j p_j log p_j of each row of log-probabilities, [n x 1].
template <class T>
Var<T> entropy(Var<T> log_p, At at = At::current()) {
  return -sum_rows(exp(log_p, at) * log_p, at);
}
/// KL(p || q) = sum_j p_j (log p_j - log q_j) of each row of log-probabilities, [n x 1].
template <class T>
Var<T> kl(Var<T> log_p, Var<T> log_q, At at = At::current()) {
  return sum_rows(exp(log_p, at) * (log_p - log_q), at);
}
/// The mean over rows of -log softmax(logits)_label.
template <class T>
Var<T> cross_entropy(Var<T> logits, std::span<const int> label, At at = At::current()) {
  return -mean(pick(log_softmax(logits, at), label, at), at);
}
/// log N(x; mean, exp(log_std)^2) of each entry.
template <class T>
Var<T> gaussian_log_density(const std::type_identity_t<Operand<T>>& x, Var<T> mean, Var<T> log_std,
                            At at = At::current()) {
  const Var<T> z = subtract(x, Operand<T>(mean, at)) * exp(-log_std, at);
  return square(z, at) * T(-0.5) - log_std - T(0.5) * std::log(T(2) * std::numbers::pi_v<T>);
}

// ---- Errors ----

/// Mean squared error against a target that carries no gradient.
template <class T>
Var<T> mse(Var<T> prediction, const Array<T>& target, At at = At::current()) {
  return mean(square(subtract(Operand<T>(prediction, at), Operand<T>(target, at)), at), at);
}
/// x^2 / 2 up to |x| = delta, |x| delta - delta^2 / 2 beyond, of each entry (Huber 1964).
template <class T>
Var<T> huber(Var<T> x, std::type_identity_t<T> delta, At at = At::current()) {
  const Var<T> held = clip(x, -delta, delta, at);
  return held * (x - held * T(0.5));
}

}  // namespace lowvar
