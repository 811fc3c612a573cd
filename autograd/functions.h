// Composites: plain functions of operations, which need no rule of their own. X_rows gives a number for each
// row, [n x 1]; X_columns one for each column, [1 x C]; X alone one for all; probabilities are per row.
// A composite of more than one call has a CalledFrom, with which errors inside name the line of its caller.
#pragma once

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <numbers>
#include <numeric>
#include <vector>

#include "autograd/matrices.h"
#include "autograd/op.h"
#include "autograd/ops.h"
#include "core/array.h"

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
  const CalledFrom here(at);
  return sum(x) * (T(1) / static_cast<T>(x.shape().size()));
}
template <class T>
Var<T> mean_rows(Var<T> x, At at = At::current()) {
  const CalledFrom here(at);
  return sum_rows(x) * (T(1) / static_cast<T>(x.cols()));
}
template <class T>
Var<T> mean_columns(Var<T> x, At at = At::current()) {
  const CalledFrom here(at);
  return sum_columns(x) * (T(1) / static_cast<T>(x.rows()));
}

namespace detail {

/// Whether a comes before b in descending order: a NaN is larger than any number.
template <class T>
bool larger(T a, T b) {
  return a > b || (a != a && b == b);
}

/// An array that belongs to no samples, whatever its rows.
template <class T>
Var<T> constant(Record<T>& record, const Array<T>& x) {
  const Var<T> out = operand_var<T>(record, x);
  record.nodes[static_cast<std::size_t>(out.index())].data_rows = Node<T>::no_data;
  return out;
}

/// The square root, with a derivative of 0 at 0.
template <class T>
Var<T> sqrt_or_zero(Var<T> x) {
  const Var<T> zero = equal(x, 0);
  return where(zero, 0, sqrt(where(zero, 1, x)));
}

/// What a sum of squared deviations of n numbers is multiplied by: 1/n, or 1/(n-1) if `unbiased`.
template <class T>
T per_degree(const char* what, std::size_t n, bool unbiased, At at) {
  expect(n > (unbiased ? 1 : 0), what, ": needs at least ", unbiased ? 2 : 1, " numbers",
         unbiased ? " (unbiased: divided by one less)" : "", ", got ", n, at);
  return T(1) / static_cast<T>(unbiased ? n - 1 : n);
}

}  // namespace detail

/// The variance, of the n numbers around their mean: their squared deviations over n - 1, or over n if not
/// `unbiased`, as PyTorch.
template <class T>
Var<T> var_rows(Var<T> x, bool unbiased = true, At at = At::current()) {
  const T share = detail::per_degree<T>("var_rows", static_cast<std::size_t>(x.cols()), unbiased, at);
  const CalledFrom here(at);
  return sum_rows(square(x - mean_rows(x))) * share;
}
template <class T>
Var<T> var_columns(Var<T> x, bool unbiased = true, At at = At::current()) {
  const T share = detail::per_degree<T>("var_columns", static_cast<std::size_t>(x.rows()), unbiased, at);
  const CalledFrom here(at);
  return sum_columns(square(x - mean_columns(x))) * share;
}
template <class T>
Var<T> var(Var<T> x, bool unbiased = true, At at = At::current()) {
  const T share = detail::per_degree<T>("var", x.shape().size(), unbiased, at);
  const CalledFrom here(at);
  return sum(square(x - mean(x))) * share;
}

/// The root of the variance; its derivative is 0 where that is 0.
template <class T>
Var<T> stddev_rows(Var<T> x, bool unbiased = true, At at = At::current()) {
  const CalledFrom here(at);
  return detail::sqrt_or_zero(var_rows(x, unbiased));
}
template <class T>
Var<T> stddev_columns(Var<T> x, bool unbiased = true, At at = At::current()) {
  const CalledFrom here(at);
  return detail::sqrt_or_zero(var_columns(x, unbiased));
}
template <class T>
Var<T> stddev(Var<T> x, bool unbiased = true, At at = At::current()) {
  const CalledFrom here(at);
  return detail::sqrt_or_zero(var(x, unbiased));
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
      if (detail::larger(row[j], row[best])) best = j;
    first.push_back(best);
  }
  return pick(x, first, at);
}
template <class T>
Var<T> max_columns(Var<T> x, At at = At::current()) {
  const CalledFrom here(at);
  return transpose(max_rows(transpose(x)));
}
template <class T>
Var<T> max(Var<T> x, At at = At::current()) {
  const CalledFrom here(at);
  return max_columns(max_rows(x));
}
/// The smallest entry; the derivative goes to the first of equal ones. A NaN is smaller than any number.
template <class T>
Var<T> min_rows(Var<T> x, At at = At::current()) {
  const CalledFrom here(at);
  return -max_rows(-x);
}
template <class T>
Var<T> min_columns(Var<T> x, At at = At::current()) {
  const CalledFrom here(at);
  return -max_columns(-x);
}
template <class T>
Var<T> min(Var<T> x, At at = At::current()) {
  const CalledFrom here(at);
  return -max(-x);
}

/// Of two: does not compile.
template <class T, OperandOf<T> B>
Var<T> max(Var<T> a, B&&) {
  static_assert(!is_var_v<Var<T>>,
                "max(x) is the largest entry of x: use maximum(a, b) for the larger of two");
  return a;
}
template <class T, ConstantOf<T> A>
Var<T> max(A&& a, Var<T> b) {
  return max(b, a);
}
template <class T, OperandOf<T> B>
Var<T> min(Var<T> a, B&&) {
  static_assert(!is_var_v<Var<T>>,
                "min(x) is the smallest entry of x: use minimum(a, b) for the smaller of two");
  return a;
}
template <class T, ConstantOf<T> A>
Var<T> min(A&& a, Var<T> b) {
  return min(b, a);
}

/// Products within each row, from its first column to each; the derivatives at zeros are right.
template <class T>
Var<T> cumulative_product(Var<T> x, At at = At::current()) {
  const CalledFrom here(at);
  const int cols = x.cols();
  // Times the product of as many before, 1 where there are none.
  for (int by = 1; by < cols; by += std::min(by, cols - by)) {
    const Var<T> before = pad(block(x, 0, 0, {x.rows(), cols - by}), 0, by, x.shape());
    Array<T> ones = zeros<T>(1, cols);
    std::fill_n(ones.begin(), by, T(1));
    x = x * (before + detail::constant(*x.record(), ones));
  }
  return x;
}

/// Entries in order, and the columns where they stood.
template <class T>
struct Sorted {
  Var<T> values;           // [n x k]
  std::vector<int> index;  // [n x k], row-major
};
/// The k largest entries of each row, the largest first; of equal ones the first. A NaN is larger than any
/// number.
template <class T>
Sorted<T> top_k(Var<T> x, int k, At at = At::current()) {
  const int cols = x.cols();
  expect(k >= 0 && k <= cols, "top_k: k = ", k, " of the ", cols, " columns of ", x.shape(), at);
  if (x.rows() == 0) return {block(x, 0, 0, {0, k}, at), {}};
  std::vector<int> index, order(static_cast<std::size_t>(cols));
  const T* row = x.values().data();
  for (int r = 0; r < x.rows(); ++r, row += cols) {
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + k, order.end(), [row](int i, int j) {
      return detail::larger(row[i], row[j]) || (!detail::larger(row[j], row[i]) && i < j);
    });
    index.insert(index.end(), order.begin(), order.begin() + k);
  }
  return {pick_columns(x, index, at), index};
}
/// Each row in descending order; of ascending order, -sort_rows(-x).
template <class T>
Sorted<T> sort_rows(Var<T> x, At at = At::current()) {
  return top_k(x, x.cols(), at);
}

/// log sum e^x of each column, and of all; of each row it is the operation logsumexp.
template <class T>
Var<T> logsumexp_columns(Var<T> x, At at = At::current()) {
  const CalledFrom here(at);
  return transpose(logsumexp(transpose(x)));
}
template <class T>
Var<T> logsumexp_all(Var<T> x, At at = At::current()) {
  const CalledFrom here(at);
  return logsumexp_columns(logsumexp(x));
}

/// <a, b> over all entries.
template <class T>
Var<T> dot(Var<T> a, const std::type_identity_t<Operand<T>>& b, At at = At::current()) {
  const CalledFrom here(at);
  return sum(a * b);
}
/// The Euclidean norm of all entries; its derivative at 0 is 0.
template <class T>
Var<T> norm(Var<T> x, At at = At::current()) {
  const CalledFrom here(at);
  return detail::sqrt_or_zero(sum(square(x)));
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
  const CalledFrom here(at);
  expect(!parts.empty(), "concatenate_rows: needs at least one part", at);
  Shape whole{0, parts.front().cols()};
  for (const auto& x : parts) {
    expect(x.cols() == whole.cols, "concatenate_rows: ", x.shape(), " beside ", parts.front().shape(), at);
    whole.rows = side(static_cast<std::size_t>(whole.rows) + static_cast<std::size_t>(x.rows()));
  }
  Var<T> out = pad(parts.front(), 0, 0, whole);
  for (std::size_t i = 1, row = 0; i < parts.size(); ++i) {
    row += static_cast<std::size_t>(parts[i - 1].rows());
    out = out + pad(parts[i], static_cast<int>(row), 0, whole);
  }
  return out;
}
template <class T>
Var<T> concatenate_rows(std::initializer_list<Var<T>> parts, At at = At::current()) {
  return concatenate_rows(std::vector<Var<T>>(parts), at);
}
template <class T>
Var<T> concatenate_columns(const std::vector<Var<T>>& parts, At at = At::current()) {
  const CalledFrom here(at);
  expect(!parts.empty(), "concatenate_columns: needs at least one part", at);
  Shape whole{parts.front().rows(), 0};
  for (const auto& x : parts) {
    expect(x.rows() == whole.rows, "concatenate_columns: ", x.shape(), " beside ", parts.front().shape(), at);
    whole.cols = side(static_cast<std::size_t>(whole.cols) + static_cast<std::size_t>(x.cols()));
  }
  Var<T> out = pad(parts.front(), 0, 0, whole);
  for (std::size_t i = 1, col = 0; i < parts.size(); ++i) {
    col += static_cast<std::size_t>(parts[i - 1].cols());
    out = out + pad(parts[i], 0, static_cast<int>(col), whole);
  }
  return out;
}
template <class T>
Var<T> concatenate_columns(std::initializer_list<Var<T>> parts, At at = At::current()) {
  return concatenate_columns(std::vector<Var<T>>(parts), at);
}

// ---- Segments of rows, cut by `offset` [G+1] ----

/// The mean of each segment of the rows of x [n x C], as [G x C]. Throws where one is empty.
template <class T>
Var<T> segment_mean(Var<T> x, std::span<const int> offset, At at = At::current()) {
  const CalledFrom here(at);
  const Var<T> total = segment_sum(x, offset);
  Array<T> share = zeros<T>(total.rows(), 1);
  for (std::size_t g = 0; g + 1 < offset.size(); ++g) {
    expect(offset[g] < offset[g + 1], "segment_mean: segment ", g, " of ", total.rows(), " is empty", at);
    share(g, 0) = T(1) / static_cast<T>(offset[g + 1] - offset[g]);
  }
  return total * detail::constant(*x.record(), share);
}

/// x - log sum e^x over the rows of each segment, [n x C] -> [n x C].
template <class T>
Var<T> segment_log_softmax(Var<T> x, std::span<const int> offset, At at = At::current()) {
  const CalledFrom here(at);
  detail::check_offset("segment_log_softmax", x.shape(), offset, at);
  std::vector<int> filled(offset.begin(), offset.end());
  filled.erase(std::unique(filled.begin(), filled.end()), filled.end());
  const Var<T> most = stop_gradient(segment_max(x, filled));
  const Var<T> finite = less(abs(most), std::numeric_limits<T>::infinity());
  const Var<T> shifted = x - spread(where(finite, most, 0), filled);
  return shifted - spread(log(segment_sum(exp(shifted), filled)), filled);
}
/// e^x over its sum in each segment, as attention over sequences of several lengths.
template <class T>
Var<T> segment_softmax(Var<T> x, std::span<const int> offset, At at = At::current()) {
  const CalledFrom here(at);
  return exp(segment_log_softmax(x, offset));
}

// ---- Probabilities, a row a sample ----

template <class T>
Var<T> softmax(Var<T> x, At at = At::current()) {
  const CalledFrom here(at);
  return exp(log_softmax(x));
}
/// The same within each group of `group` columns one beside another, [n x k group]: of heads, or of atoms.
template <class T>
Var<T> log_softmax(Var<T> x, int group, At at = At::current()) {
  const Shape s = x.shape();
  expect(group > 0 && s.cols % group == 0, "log_softmax: the ", s.cols, " columns of ", s,
         " are not groups of ", group, at);
  if (group == s.cols) return log_softmax(x, at);
  const Var<T> apart = reshape(x, {s.rows * (s.cols / group), group}, at);
  return reshape(log_softmax(apart, at), s, at);
}
template <class T>
Var<T> softmax(Var<T> x, int group, At at = At::current()) {
  const CalledFrom here(at);
  return exp(log_softmax(x, group));
}
/// -sum_j p_j log p_j of each row of log-probabilities, [n x 1]. What has p = 0 is left out, 0 log 0 being 0.
template <class T>
Var<T> entropy(Var<T> log_p, At at = At::current()) {
  const CalledFrom here(at);
  return -sum_rows(exp_times(log_p, log_p));
}
/// KL(p || q) = sum_j p_j (log p_j - log q_j) of each row of log-probabilities, [n x 1]. What has p = 0 is
/// left out; infinite where q = 0 and p is not.
template <class T>
Var<T> kl(Var<T> log_p, Var<T> log_q, At at = At::current()) {
  const CalledFrom here(at);
  const Var<T> possible = log_p > -std::numeric_limits<T>::infinity();  // where both are infinite: 0, not NaN
  return sum_rows(exp_times(log_p, where(possible, log_p, 0) - where(possible, log_q, 0)));
}
/// The mean over rows of -log softmax(logits)_label.
template <class T>
Var<T> cross_entropy(Var<T> logits, std::span<const int> label, At at = At::current()) {
  const CalledFrom here(at);
  return -mean(pick(log_softmax(logits), label));
}
/// log N(x; mean, exp(log_std)^2) of each entry.
template <class T>
Var<T> gaussian_log_density(const std::type_identity_t<Operand<T>>& x, Var<T> mean, Var<T> log_std,
                            At at = At::current()) {
  const CalledFrom here(at);
  const Var<T> z = (x - mean) * exp(-log_std);
  return square(z) * T(-0.5) - log_std - T(0.5) * std::log(T(2) * std::numbers::pi_v<T>);
}

// ---- Errors ----

/// The mean squared difference; a target that is a Var carries gradient too, unless stop_gradient holds it.
template <class T>
Var<T> mse(Var<T> prediction, const std::type_identity_t<Operand<T>>& target, At at = At::current()) {
  const CalledFrom here(at);
  return mean(square(prediction - target));
}

/// x less whole multiples of m > 0, in [0, m]; the derivative is that of x.
template <class T>
Var<T> modulo(Var<T> x, std::type_identity_t<T> m, At at = At::current()) {
  const CalledFrom here(at);
  return x - floor(x * (1 / m)) * m;
}

// ---- Matrices ----

/// log det A = 2 sum_i log L_ii of a positive definite A, from L = cholesky(A), 1x1.
template <class T>
Var<T> cholesky_log_det(Var<T> L, At at = At::current()) {
  const CalledFrom here(at);
  std::vector<int> diagonal(static_cast<std::size_t>(L.rows()));
  std::iota(diagonal.begin(), diagonal.end(), 0);
  return sum(log(pick(L, diagonal))) * T(2);
}

}  // namespace lowvar
