// Gradients of groups of samples apart: of each one, of each trajectory, under several weightings at once.
#pragma once

#include "autograd/tape.h"

namespace lowvar {

/// Gradients of groups of samples. y is [n x 1], one number a sample; `offset` [G+1] cuts the rows into G
/// contiguous groups; `weights` is [n x K]. Row g*K + k of the result, [G*K x d], is
///     sum of weights(r, k) * dy(r)/dx  over the rows r of group g,
/// the xs flattened one after another (d numbers in all). All K weightings share one backward pass.
/// Parameters may meet the samples through linear, matmul (A B, A B'), gather and broadcasting; anything else
/// throws.
template <class T>
Array<T> grouped_grad(Var<T> y, const std::vector<Var<T>>& xs, std::span<const int> offset,
                      const Array<T>& weights, At at = At::current());

/// The same, written row after row to `out`. Here y may hold some of the rows that `weights` is for: offset
/// counts from the first of all rows, and y's begin at offset.front().
template <class T>
void grouped_grad_into(std::span<T> out, Var<T> y, const std::vector<Var<T>>& xs, std::span<const int> offset,
                       const Array<T>& weights, At at = At::current());

/// |dy(r)/dx|^2 over all xs together for each row of y [n x 1], as [n x 1], from one backward pass and
/// without the gradients: that of a weight is the product of the norms of two rows. Each x must be a
/// parameter that meets the rows once, for what it adds in two places has cross terms; else it throws, and
/// grouped_grad with groups of one row is the way.
template <class T>
Array<T> squared_row_norms(Var<T> y, const std::vector<Var<T>>& xs, At at = At::current());

}  // namespace lowvar
