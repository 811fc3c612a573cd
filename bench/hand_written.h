// The gradient of a policy written out by hand, with every buffer allocated beforehand: what the engine is
// held against. The same matrix product and tanh, the same shards.
#pragma once

#include <omp.h>

#include "bench/problem.h"
#include "core/blas.h"
#include "core/vmath.h"

namespace lowvar {

/// d/dtheta of the mean over rows of -psi log pi(a|s). Each thread takes a contiguous part of the shards and
/// adds to a gradient of its own; the threads' gradients are added at the end.
class HandWritten {
 public:
  static constexpr int shard = 256;  // rows whose activations stay in cache

  HandWritten(const Problem& problem, int threads) : p_(problem) {
    for (int k = 0; k < threads; ++k) {
      Worker& w = workers_.emplace_back();
      for (const auto& each : p_.theta) w.gradient.push_back(zeros_like(each));
      for (int l = 0; l < layers(); ++l) {
        w.h.push_back(zeros<float>(shard, W(l).cols));
        w.dh.push_back(zeros<float>(shard, W(l).cols));
      }
    }
  }

  const FloatArrays& operator()() {
    for_each_shard([this](Worker& w, int begin, int rows) {
      if (w.fresh)
        for (auto& g : w.gradient) std::fill(g.begin(), g.end(), 0.0f);
      w.fresh = false;
      forward(w, begin, rows);
      loss(w, begin, rows);
      backward(w, begin, rows);
    });
    FloatArrays& total = workers_.front().gradient;
    for (std::size_t k = 1; k < workers_.size(); ++k)
      for (std::size_t i = 0; i < total.size(); ++i)
        for (std::size_t j = 0; j < total[i].size(); ++j)
          total[i].data()[j] += workers_[k].gradient[i].data()[j];
    return total;
  }

  /// The same matrix products and tanh on the same buffers, and nothing else: what the gradient cannot be
  /// faster than.
  void products_and_tanh() {
    for_each_shard([this](Worker& w, int begin, int rows) {
      for (int l = 0; l < layers(); ++l) {
        product(w, l, begin, rows);
        if (l + 1 < layers()) activate(w, l, rows);
      }
      for (int l = layers() - 1; l >= 0; --l) products_back(w, l, begin, rows);
    });
  }

 private:
  struct Worker {
    FloatArrays gradient;
    std::vector<Array<float>> h, dh;  // outputs of each layer; derivatives with respect to them before tanh
    bool fresh = true;
  };

  int layers() const { return static_cast<int>(p_.theta.size()) / 2; }
  Shape W(int l) const { return shape(p_.theta[static_cast<std::size_t>(2 * l)]); }
  const float* weights(int l) const { return p_.theta[static_cast<std::size_t>(2 * l)].data(); }
  float* h(Worker& w, int l) const { return w.h[static_cast<std::size_t>(l)].data(); }
  float* dh(Worker& w, int l) const { return w.dh[static_cast<std::size_t>(l)].data(); }
  const float* input(Worker& w, int l, int begin) const {
    return l == 0 ? row(p_.x, begin).data() : h(w, l - 1);
  }

  template <class F>
  void for_each_shard(F&& f) {
    const int n = p_.rows(), shards = (n + shard - 1) / shard, threads = static_cast<int>(workers_.size());
    for (Worker& w : workers_) w.fresh = true;
#pragma omp parallel for schedule(static, 1) num_threads(threads) if (threads > 1)
    for (int k = 0; k < threads; ++k)
      for (int i = shards * k / threads; i < shards * (k + 1) / threads; ++i)
        f(workers_[static_cast<std::size_t>(k)], i * shard, std::min(shard, n - i * shard));
  }

  /// h = tanh(input W + b), without tanh in the last layer.
  void forward(Worker& w, int begin, int rows) const {
    for (int l = 0; l < layers(); ++l) {
      const float* b = p_.theta[static_cast<std::size_t>(2 * l + 1)].data();
      for (int r = 0; r < rows; ++r) std::copy_n(b, W(l).cols, h(w, l) + Shape{r, W(l).cols}.size());
      product(w, l, begin, rows);
      if (l + 1 < layers()) activate(w, l, rows);
    }
  }
  void product(Worker& w, int l, int begin, int rows) const {
    gemm(false, false, rows, W(l).cols, W(l).rows, input(w, l, begin), weights(l), 1.0f, h(w, l));
  }
  [[gnu::noinline]] void activate(Worker& w, int l, int rows) const {
    float* x = h(w, l);
    const std::size_t size = Shape{rows, W(l).cols}.size();
    for (std::size_t k = 0; k < size; ++k) x[k] = tanh(x[k]);
  }

  /// The derivative with respect to the logits: psi (softmax - one-hot of the action) / n.
  void loss(Worker& w, int begin, int rows) const {
    const int C = W(layers() - 1).cols;
    const float* logits = h(w, layers() - 1);
    float* d = dh(w, layers() - 1);
    for (int r = 0; r < rows; ++r, logits += C, d += C) {
      const float shift = *std::max_element(logits, logits + C);
      float total = 0;
      for (int j = 0; j < C; ++j) d[j] = exp(logits[j] - shift), total += d[j];
      const float scale = p_.psi(begin + r, 0) / static_cast<float>(p_.rows());
      for (int j = 0; j < C; ++j) d[j] *= scale / total;
      d[p_.action[static_cast<std::size_t>(begin + r)]] -= scale;
    }
  }

  void backward(Worker& w, int begin, int rows) const {
    for (int l = layers() - 1; l >= 0; --l) {
      products_back(w, l, begin, rows);
      add_rows(dh(w, l), rows, W(l).cols, w.gradient[static_cast<std::size_t>(2 * l + 1)].data());
      if (l > 0) times_slope(dh(w, l - 1), h(w, l - 1), Shape{rows, W(l).rows}.size());
    }
  }
  // Loops of their own, for what g++ vectorises depends on where a loop is inlined.
  [[gnu::noinline]] static void add_rows(const float* d, int rows, int cols, float* db) {
    for (int r = 0; r < rows; ++r, d += cols)
      for (int j = 0; j < cols; ++j) db[j] += d[j];
  }
  [[gnu::noinline]] static void times_slope(float* below, const float* y, std::size_t size) {
    for (std::size_t k = 0; k < size; ++k) below[k] *= 1 - y[k] * y[k];
  }
  /// dW += input' dh, and the derivative with respect to the input.
  void products_back(Worker& w, int l, int begin, int rows) const {
    const int p = W(l).rows, q = W(l).cols;
    gemm(true, false, p, q, rows, input(w, l, begin), dh(w, l), 1.0f,
         w.gradient[static_cast<std::size_t>(2 * l)].data());
    if (l > 0) gemm(false, true, rows, p, q, dh(w, l), weights(l), 0.0f, dh(w, l - 1));
  }

  const Problem& p_;
  std::vector<Worker> workers_;
};

}  // namespace lowvar
