// The gradient of a policy written out by hand, with every buffer allocated beforehand: what the engine is
// held against. The same matrix product and tanh, the same shards.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "core/array.h"
#include "core/blas.h"
#include "core/vmath.h"

namespace lowvar {

/// d/dtheta of the mean over rows of -psi log pi(a|s), pi the softmax of a tanh network with layers W0, b0,
/// W1, b1, ...
class HandWritten {
 public:
  static constexpr int shard = 256;  // rows whose activations stay in cache

  explicit HandWritten(const std::vector<Array<float>>& theta) : theta_(theta) {
    for (const auto& x : theta) gradient_.push_back(zeros_like(x));
    for (int l = 0; l < layers(); ++l) {
      h_.push_back(zeros<float>(shard, W(l).cols));
      dh_.push_back(zeros<float>(shard, W(l).cols));
    }
  }

  const std::vector<Array<float>>& operator()(const Array<float>& x, std::span<const int> action,
                                              std::span<const float> psi) {
    const int n = shape(x).rows;
    for (auto& g : gradient_) std::fill(g.begin(), g.end(), 0.0f);
    for (int begin = 0; begin < n; begin += shard) {
      const int rows = std::min(shard, n - begin);
      const auto first = static_cast<std::size_t>(begin);
      forward(row(x, begin).data(), rows);
      loss(action.subspan(first), psi.subspan(first), 1.0f / static_cast<float>(n), rows);
      backward(row(x, begin).data(), rows);
    }
    return gradient_;
  }

 private:
  int layers() const { return static_cast<int>(theta_.size()) / 2; }
  Shape W(int l) const { return shape(theta_[static_cast<std::size_t>(2 * l)]); }
  const float* input(int l, const float* x) const {
    return l == 0 ? x : h_[static_cast<std::size_t>(l) - 1].data();
  }

  /// h = tanh(input W + b), without tanh in the last layer.
  void forward(const float* x, int rows) {
    for (int l = 0; l < layers(); ++l) {
      const auto i = static_cast<std::size_t>(l);
      const float* b = theta_[2 * i + 1].data();
      float* h = h_[i].data();
      const auto size = Shape{rows, W(l).cols}.size();
      for (int r = 0; r < rows; ++r) std::copy_n(b, W(l).cols, h + Shape{r, W(l).cols}.size());
      gemm(false, false, rows, W(l).cols, W(l).rows, input(l, x), theta_[2 * i].data(), 1.0f, h);
      if (l + 1 < layers())
        for (std::size_t k = 0; k < size; ++k) h[k] = tanh(h[k]);
    }
  }

  /// The derivative with respect to the logits: psi (softmax - one-hot of the action) / n.
  void loss(std::span<const int> action, std::span<const float> psi, float one_over_n, int rows) {
    const int C = W(layers() - 1).cols;
    const float* logits = h_.back().data();
    float* d = dh_.back().data();
    for (int r = 0; r < rows; ++r, logits += C, d += C) {
      const float shift = *std::max_element(logits, logits + C);
      float total = 0;
      for (int j = 0; j < C; ++j) d[j] = exp(logits[j] - shift), total += d[j];
      const float scale = psi[static_cast<std::size_t>(r)] * one_over_n;
      for (int j = 0; j < C; ++j) d[j] *= scale / total;
      d[action[static_cast<std::size_t>(r)]] -= scale;
    }
  }

  void backward(const float* x, int rows) {
    for (int l = layers() - 1; l >= 0; --l) {
      const auto i = static_cast<std::size_t>(l);
      const int p = W(l).rows, q = W(l).cols;
      const float* d = dh_[i].data();
      gemm(true, false, p, q, rows, input(l, x), d, 1.0f, gradient_[2 * i].data());
      float* db = gradient_[2 * i + 1].data();
      for (int r = 0; r < rows; ++r)
        for (int j = 0; j < q; ++j) db[j] += d[Shape{r, q}.size() + static_cast<std::size_t>(j)];
      if (l == 0) return;
      float* below = dh_[i - 1].data();
      const float* h = h_[i - 1].data();
      gemm(false, true, rows, p, q, d, theta_[2 * i].data(), 0.0f, below);
      for (std::size_t k = 0; k < Shape{rows, p}.size(); ++k) below[k] *= 1 - h[k] * h[k];
    }
  }

  const std::vector<Array<float>>& theta_;
  std::vector<Array<float>> gradient_;
  std::vector<Array<float>> h_,
      dh_;  // outputs of each layer, and the derivatives with respect to what goes into tanh
};

}  // namespace lowvar
