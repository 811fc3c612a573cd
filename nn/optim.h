// Optimisers as pure steps: (parameters, gradient, state) -> parameters and state. They descend; negate g to
// ascend.
#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "core/array.h"

namespace lowvar {

/// theta -= learning_rate * g.
template <class T>
void sgd_step(std::span<Array<T>> theta, std::span<const Array<T>> g, double learning_rate) {
  for (std::size_t i = 0; i < theta.size(); ++i)
    for (std::size_t j = 0; j < theta[i].size(); ++j)
      theta[i].data()[j] -= static_cast<T>(learning_rate) * g[i].data()[j];
}
template <class T>
void sgd_step(std::vector<Array<T>>& theta, const std::vector<Array<T>>& g, double learning_rate) {
  sgd_step(std::span(theta), std::span(g), learning_rate);
}

struct AdamOptions {
  double learning_rate = 3e-4;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
};

template <class T>
struct AdamState {
  long t = 0;
  std::vector<Array<T>> m, v;  // running means of g and g^2; empty before the first step

  template <class F>
  void visit(F&& f) {
    f("t", t), f("m", m), f("v", v);
  }
};

/// theta -= learning_rate g / (sqrt(v) + epsilon), v the running mean of g^2 with decay 0.99, from 0
/// (Tieleman & Hinton 2012). Uses `v` of the state.
template <class T>
void rmsprop_step(std::span<Array<T>> theta, std::span<const Array<T>> g, AdamState<T>& state,
                  double learning_rate, double epsilon) {
  ++state.t;
  if (state.v.empty())
    for (const auto& x : theta) state.v.push_back(zeros_like(x));
  for (std::size_t i = 0; i < theta.size(); ++i)
    for (std::size_t j = 0; j < theta[i].size(); ++j) {
      const T e = g[i].data()[j];
      T& v = state.v[i].data()[j];
      v = T(0.99) * v + T(0.01) * e * e;
      theta[i].data()[j] -= static_cast<T>(learning_rate) * e / (std::sqrt(v) + static_cast<T>(epsilon));
    }
}

/// One step of Adam (Kingma & Ba 2015, algorithm 1).
template <class T>
void adam_step(std::span<Array<T>> theta, std::span<const Array<T>> g, AdamState<T>& state,
               const AdamOptions& options) {
  if (state.m.empty())
    for (const auto& x : theta) state.m.push_back(zeros_like(x));
  if (state.v.empty())
    for (const auto& x : theta) state.v.push_back(zeros_like(x));
  ++state.t;
  const double correct1 = 1 - std::pow(options.beta1, static_cast<double>(state.t));
  const double correct2 = 1 - std::pow(options.beta2, static_cast<double>(state.t));
  const T step = static_cast<T>(options.learning_rate / correct1), b1 = static_cast<T>(options.beta1),
          b2 = static_cast<T>(options.beta2), root = static_cast<T>(1 / std::sqrt(correct2)),
          epsilon = static_cast<T>(options.epsilon);
  for (std::size_t i = 0; i < theta.size(); ++i) {
    T* __restrict const x = theta[i].data();
    T* __restrict const m = state.m[i].data();
    T* __restrict const v = state.v[i].data();
    const T* __restrict const e = g[i].data();
    const std::size_t size = theta[i].size();
    for (std::size_t j = 0; j < size; ++j) {
      m[j] = b1 * m[j] + (1 - b1) * e[j];
      v[j] = b2 * v[j] + (1 - b2) * e[j] * e[j];
      x[j] -= step * m[j] / (std::sqrt(v[j]) * root + epsilon);
    }
  }
}
template <class T>
void adam_step(std::vector<Array<T>>& theta, const std::vector<Array<T>>& g, AdamState<T>& state,
               const AdamOptions& options) {
  adam_step(std::span(theta), std::span(g), state, options);
}

}  // namespace lowvar
