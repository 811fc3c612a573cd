// Layers beyond the perceptron: normalisation, recurrent cells, attention. Descriptions, and parameters as
// plain arrays, as in mlp.h; weights are the transposes of PyTorch's, gates in its order.
//
// Sequences of equal length L stand one below another: rows [b L, (b + 1) L) of [B L x p] are sequence b.
// Groups of grouped_grad may then be sequences, [0, L, 2 L, ...].
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "autograd/autograd.h"
#include "core/random.h"

namespace lowvar {

// ---- Normalisation ----

/// (x - mean) / sqrt(variance + epsilon) * gain + bias, of each row of x [n x C], the variance over C; gain
/// and bias [1 x C] (Ba et al. 2016, eq. 4).
template <class T>
Var<T> layer_norm(Var<T> x, Var<T> gain, Var<T> bias, double epsilon = 1e-5, At at = At::current()) {
  const CalledFrom here(at);
  const Var<T> centred = x - mean_rows(x);
  return centred / sqrt(mean_rows(square(centred)) + epsilon) * gain + bias;
}

/// x / sqrt(mean of x^2 + epsilon) * gain, of each row of x [n x C]; gain [1 x C] (Zhang & Sennrich 2019,
/// eq. 4).
template <class T>
Var<T> rms_norm(Var<T> x, Var<T> gain, double epsilon = 1e-5, At at = At::current()) {
  const CalledFrom here(at);
  return x / sqrt(mean_rows(square(x)) + epsilon) * gain;
}

// ---- Recurrent cells ----

/// Gated recurrent unit (Cho et al. 2014; as PyTorch's GRUCell). Of x [n x p] and a state h [n x H],
///   r, z = sigmoid(x W + b + h U + c),  n = tanh(x W + b + r (h U + c)),  h' = (1 - z) n + z h,
/// each with columns of its own of the parameters W [p x 3H], b [1 x 3H], U [H x 3H], c [1 x 3H], in the
/// order r, z, n.
struct Gru {
  int inputs, hidden;
};

/// Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000; as
/// PyTorch's LSTMCell). Of x [n x p], a state h [n x H] and a memory c [n x H],
///   i, f, o = sigmoid(x W + b + h U + d),  g = tanh(x W + b + h U + d),  c' = f c + i g,  h' = o tanh(c'),
/// each with columns of its own of the parameters W [p x 4H], b [1 x 4H], U [H x 4H], d [1 x 4H], in the
/// order i, f, g, o.
struct Lstm {
  int inputs, hidden;
};
template <class T>
struct LstmState {
  Var<T> h, c;
};

/// Orthogonal weights, gate by gate, and zero biases; or all uniform between -1/sqrt(H) and that, PyTorch's
/// default.
std::vector<Array<double>> initialise(const Gru& gru, Rng& rng);
std::vector<Array<double>> initialise(const Lstm& lstm, Rng& rng);
std::vector<Array<double>> initialise_uniform(const Gru& gru, Rng& rng);
std::vector<Array<double>> initialise_uniform(const Lstm& lstm, Rng& rng);

namespace detail {

/// x W + b or h U + c, the parameters of which are four arrays.
template <class T>
Var<T> affine(const char* cell, const std::vector<Var<T>>& theta, std::size_t first, Var<T> x, At at) {
  expect(theta.size() == 4, cell, ": needs 4 parameter arrays, got ", theta.size(), at);
  return linear(x, theta[first], theta[first + 1]);
}

/// step(rows t of all sequences, [B x p]) for each t, which gives [B x H]; the results as rows [B L x H].
template <class T>
Var<T> over_time(const char* cell, Var<T> x, int sequences, At at, auto&& step) {
  expect(sequences > 0 && x.rows() > 0 && x.rows() % sequences == 0, cell, ": the rows of x ", x.shape(),
         " are not those of ", sequences, " sequences of equal length", at);
  const int length = x.rows() / sequences, p = x.cols();
  const Var<T> beside = reshape(x, {sequences, side(Shape{length, p}.size())});
  std::vector<Var<T>> states;
  for (int t = 0; t < length; ++t) states.push_back(step(column_slice(beside, t * p, (t + 1) * p)));
  return reshape(concatenate_columns(states), {x.rows(), states.front().cols()});
}

/// Zeros [sequences x H], of samples, on x's tape.
template <class T>
Var<T> zeros_beside(Var<T> x, int sequences, int H, At at) {
  expect(sequences > 0, "unroll: needs at least one sequence, got ", sequences, at);
  return operand_var<T>(*x.record(), zeros<T>(sequences, H));
}

}  // namespace detail

/// The next state h' [n x H].
template <class T>
Var<T> forward(const Gru& gru, const std::vector<Var<T>>& theta, Var<T> x, Var<T> h, At at = At::current()) {
  const CalledFrom here(at);
  const int H = gru.hidden;
  const Var<T> of_x = detail::affine("gru", theta, 0, x, at), of_h = detail::affine("gru", theta, 2, h, at);
  const auto gate = [H](Var<T> all, int k) { return column_slice(all, k * H, (k + 1) * H); };
  const Var<T> r = sigmoid(gate(of_x, 0) + gate(of_h, 0)), z = sigmoid(gate(of_x, 1) + gate(of_h, 1)),
               n = tanh(gate(of_x, 2) + r * gate(of_h, 2));
  return n + z * (h - n);
}

/// The next state and memory.
template <class T>
LstmState<T> forward(const Lstm& lstm, const std::vector<Var<T>>& theta, Var<T> x, LstmState<T> state,
                     At at = At::current()) {
  const CalledFrom here(at);
  const int H = lstm.hidden;
  const Var<T> all = detail::affine("lstm", theta, 0, x, at) + detail::affine("lstm", theta, 2, state.h, at);
  const auto gate = [&](int k) { return column_slice(all, k * H, (k + 1) * H); };
  const Var<T> i = sigmoid(gate(0)), f = sigmoid(gate(1)), g = tanh(gate(2)), o = sigmoid(gate(3)),
               c = f * state.c + i * g;
  return {o * tanh(c), c};
}

/// The states h after each row of x [B L x p], [B L x H]: of B sequences that begin with a state [B x H]
/// each, or, of so many `sequences`, with zeros.
template <class T>
Var<T> unroll(const Gru& gru, const std::vector<Var<T>>& theta, Var<T> x, Var<T> h, At at = At::current()) {
  const CalledFrom here(at);
  return detail::over_time("gru", x, h.rows(), at,
                           [&](Var<T> now) { return h = forward(gru, theta, now, h); });
}
template <class T>
Var<T> unroll(const Gru& gru, const std::vector<Var<T>>& theta, Var<T> x, int sequences,
              At at = At::current()) {
  const CalledFrom here(at);
  return unroll(gru, theta, x, detail::zeros_beside(x, sequences, gru.hidden, at));
}
template <class T>
Var<T> unroll(const Lstm& lstm, const std::vector<Var<T>>& theta, Var<T> x, LstmState<T> state,
              At at = At::current()) {
  const CalledFrom here(at);
  return detail::over_time("lstm", x, state.h.rows(), at, [&](Var<T> now) {
    state = forward(lstm, theta, now, state);
    return state.h;
  });
}
template <class T>
Var<T> unroll(const Lstm& lstm, const std::vector<Var<T>>& theta, Var<T> x, int sequences,
              At at = At::current()) {
  const CalledFrom here(at);
  const Var<T> zero = detail::zeros_beside(x, sequences, lstm.hidden, at);
  return unroll(lstm, theta, x, LstmState<T>{zero, zero});
}

// ---- Attention ----

enum class Attend { to_all, to_past };

/// softmax(q k' / sqrt(d)) v within each of B sequences (Vaswani et al. 2017, eq. 1), for q [B L x d],
/// k [B M x d], v [B M x e]: [B L x e]. Of the past, row l sees rows m <= l alone.
template <class T>
Var<T> attention(Var<T> q, Var<T> k, Var<T> v, int sequences, Attend to = Attend::to_all,
                 At at = At::current()) {
  const CalledFrom here(at);
  Var<T> scores = batched_matmul_nt(q, k, sequences) * (1 / std::sqrt(static_cast<double>(q.cols())));
  if (to == Attend::to_past) {
    const int n = scores.rows(), L = n / sequences;
    Array<T> seen = zeros<T>(n, scores.cols());
    for (int r = 0; r < n; ++r) std::fill_n(row(seen, r).begin(), std::min(r % L + 1, scores.cols()), T(1));
    scores = where(seen, scores, -std::numeric_limits<T>::infinity());
  }
  return batched_matmul(softmax(scores), v, sequences);
}

/// Attention with h heads on d numbers (Vaswani et al. 2017, sec. 3.2.2; as PyTorch's MultiheadAttention on x
/// alone): queries, keys and values are x W + b, head i having the i-th of h equal parts of each; what the
/// heads give, one beside another, goes through U and c. Parameters W [d x 3d], b [1 x 3d], of q, k, v one
/// beside another, U [d x d], c [1 x d].
struct MultiHeadAttention {
  int width, heads;
  Attend to = Attend::to_all;
};

/// Orthogonal weights, block by block, and zero biases; or all uniform between -1/sqrt(d) and that.
std::vector<Array<double>> initialise(const MultiHeadAttention& layer, Rng& rng);
std::vector<Array<double>> initialise_uniform(const MultiHeadAttention& layer, Rng& rng);

/// [B L x d] for B sequences x [B L x d].
template <class T>
Var<T> forward(const MultiHeadAttention& layer, const std::vector<Var<T>>& theta, Var<T> x, int sequences,
               At at = At::current()) {
  const CalledFrom here(at);
  const int d = layer.width, h = layer.heads;
  expect(h > 0 && d % h == 0, "attention: ", h, " heads do not share ", d, " numbers equally", at);
  const Var<T> qkv = detail::affine("attention", theta, 0, x, at);
  std::vector<Var<T>> heads;
  for (int i = 0; i < h; ++i) {
    const auto part = [&](int k) {
      return column_slice(qkv, k * d + i * (d / h), k * d + (i + 1) * (d / h));
    };
    heads.push_back(attention(part(0), part(1), part(2), sequences, layer.to));
  }
  return detail::affine("attention", theta, 2, concatenate_columns(heads), at);
}

}  // namespace lowvar
