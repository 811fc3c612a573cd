// Networks that read what has been written so far and say what comes next: a recurrent cell, or one layer of
// attention to the past. They are models of states that stand for sequences of tokens.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nn/layers.h"

namespace lowvar {

/// State s stands for the tokens (*written)[s], behind a start mark that all begin with.
///
/// gru: x_t = E[token_t]; h_t = gru(x_t, h_{t-1}); the output is h W + b of the last h.
/// Parameters: E [tokens + 1 x width], the last row being the start mark's; W, b, U, c of Gru{width, width};
/// W [width x outputs], b [1 x outputs].
///
/// attention: x_t = E[token_t] + P[t]; q, k, v = x Q + q0, beside each other; y = x_l + (sum_t softmax_t(q_l
/// k_t / sqrt(width)) v_t) U + c, l being the last; the output is y W + b (Vaswani et al. 2017, eq. 1, with
/// one head and one layer). Parameters: E, P [longest x width], Q [width x 3 width], q0 [1 x 3 width], U
/// [width x width], c [1 x width]; W, b.
struct Reader {
  enum class Cell { gru, attention };
  Cell cell = Cell::gru;
  int tokens = 0, longest = 0, width = 0, outputs = 0;
  std::shared_ptr<const std::vector<std::vector<int>>> written = nullptr;
  double output_gain = 1;  // of W at the start

  int states() const { return side(written->size()); }
  std::vector<std::string> names() const;
  std::vector<Shape> shapes() const;
};

/// Normal E and P, orthogonal weights, zero biases.
std::vector<Array<double>> initialise(const Reader& reader, Rng& rng);

namespace detail {

/// For step t of each row: its token, where it has one, else the start mark; and whether it is there.
template <class T>
struct ReadingStep {
  std::vector<int> token;
  Array<T> there;  // [n x width], of ones and zeros
  Array<T> last;   // the same: whether the step is the row's last
};

template <class T>
std::vector<ReadingStep<T>> reading_steps(const Reader& reader, std::span<const int> state) {
  const int n = side(state.size());
  std::size_t longest = 0;
  for (const int s : state)
    longest = std::max(longest, (*reader.written)[static_cast<std::size_t>(s)].size());
  std::vector<ReadingStep<T>> out;
  for (std::size_t t = 0; t <= longest; ++t) {
    ReadingStep<T> step{{}, zeros<T>(n, reader.width), zeros<T>(n, reader.width)};
    for (int r = 0; r < n; ++r) {
      const auto& written = (*reader.written)[static_cast<std::size_t>(state[static_cast<std::size_t>(r)])];
      step.token.push_back(t > 0 && t <= written.size() ? written[t - 1] : reader.tokens);
      if (t <= written.size()) std::fill_n(row(step.there, r).begin(), reader.width, T(1));
      if (t == written.size()) std::fill_n(row(step.last, r).begin(), reader.width, T(1));
    }
    out.push_back(std::move(step));
  }
  return out;
}

}  // namespace detail

/// Outputs [n x outputs] of states [n].
template <class T>
Var<T> forward(const Reader& reader, const std::vector<Var<T>>& theta, std::span<const int> state,
               At at = At::current()) {
  const CalledFrom here(at);
  const auto steps = detail::reading_steps<T>(reader, state);
  const int n = side(state.size()), w = reader.width;
  if (reader.cell == Reader::Cell::gru) {
    const Gru gru{w, w};
    const std::vector<Var<T>> of_cell(theta.begin() + 1, theta.begin() + 5);
    Var<T> h;
    for (std::size_t t = 0; t < steps.size(); ++t) {
      const Var<T> x = gather(theta[0], steps[t].token);
      if (t == 0) {
        h = forward(gru, of_cell, x, detail::zeros_beside(x, n, w, at));
        continue;
      }
      h = where(steps[t].there, forward(gru, of_cell, x, h), h);
    }
    return linear(h, theta[5], theta[6]);
  }

  std::vector<Var<T>> scores, v, k;
  Var<T> q, x_last;
  for (std::size_t t = 0; t < steps.size(); ++t) {
    const int step = static_cast<int>(t);
    const Var<T> x = gather(theta[0], steps[t].token) + row_slice(theta[1], step, step + 1);
    const Var<T> qkv = linear(x, theta[2], theta[3]);
    const auto part = [&](int i) { return column_slice(qkv, i * w, (i + 1) * w); };
    q = t ? where(steps[t].last, part(0), q) : part(0);
    x_last = t ? where(steps[t].last, x, x_last) : x;
    k.push_back(part(1)), v.push_back(part(2));
  }
  for (std::size_t t = 0; t < steps.size(); ++t) {
    Array<T> there = zeros<T>(n, 1);
    for (int r = 0; r < n; ++r) there(r, 0) = steps[t].there(r, 0);
    scores.push_back(where(there, sum_rows(q * k[t]) * (1 / std::sqrt(static_cast<double>(w))),
                           -std::numeric_limits<T>::infinity()));
  }
  const Var<T> share = softmax(concatenate_columns(scores));
  Var<T> seen;
  for (std::size_t t = 0; t < steps.size(); ++t) {
    const int step = static_cast<int>(t);
    const Var<T> part = column_slice(share, step, step + 1) * v[t];
    seen = t ? seen + part : part;
  }
  return linear(x_last + linear(seen, theta[4], theta[5]), theta[6], theta[7]);
}

}  // namespace lowvar
