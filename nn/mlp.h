// Multilayer perceptrons: a description, an initialisation, a forward pass. Parameters are plain arrays.
#pragma once

#include <string>
#include <vector>

#include "autograd/autograd.h"
#include "core/random.h"

namespace lowvar {

enum class Activation { tanh, relu };

/// Units of what is seen: (x - mean) / deviation, component by component, held within +-limit. No mean: x as
/// it is.
struct Normaliser {
  std::vector<double> mean = {}, deviation = {};  // [inputs]
  double limit = 0;                               // 0: none

  template <class T>
  Var<T> operator()(Var<T> x, At at = At::current()) const {
    if (mean.empty()) return x;
    const CalledFrom here(at);
    const auto row = [](const std::vector<double>& of) {
      return Array<T>(from_values<double>(1, static_cast<int>(of.size()), of));
    };
    const Var<T> z = (x - row(mean)) / row(deviation);
    return limit > 0 ? clip(z, static_cast<T>(-limit), static_cast<T>(limit)) : z;
  }
};

/// Layers x -> act(x W0 + b0) -> ... -> x Wn + bn of normalised x. sizes = {inputs, hidden..., outputs}.
struct Mlp {
  std::vector<int> sizes;
  Activation activation = Activation::tanh;
  double hidden_gain = 1.4142135623730951;  // of the orthogonal initialisation
  double output_gain = 1;
  Normaliser normaliser = {};

  int layers() const { return static_cast<int>(sizes.size()) - 1; }
  /// "W0", "b0", "W1", ...
  std::vector<std::string> names() const;
  /// Of each parameter array: W [inputs of the layer x its outputs], b [1 x outputs].
  std::vector<Shape> shapes() const;
};

/// A random matrix with orthonormal rows or columns (whichever are fewer) times gain: Gram-Schmidt on normal
/// draws (Saxe et al. 2014).
Array<double> orthogonal(int rows, int cols, double gain, Rng& rng);

/// W0, b0, W1, b1, ...: orthogonal weights, zero biases.
std::vector<Array<double>> initialise(const Mlp& mlp, Rng& rng);
/// The same arrays, weights and biases uniform between -1/sqrt(inputs of the layer) and that: PyTorch's
/// default.
std::vector<Array<double>> initialise_uniform(const Mlp& mlp, Rng& rng);
/// Arrays of these shapes, each weight array [inputs x outputs] with its bias behind it, drawn so.
std::vector<Array<double>> uniform_arrays(const std::vector<Shape>& shapes, Rng& rng);

/// Outputs [n x sizes.back()] for x [n x sizes.front()].
template <class T>
Var<T> forward(const Mlp& mlp, const std::vector<Var<T>>& theta, Var<T> x, At at = At::current()) {
  const CalledFrom here(at);
  const int layers = mlp.layers();
  expect(static_cast<int>(theta.size()) == 2 * layers, "mlp: needs ", 2 * layers, " parameter arrays, got ",
         theta.size(), at);
  x = mlp.normaliser(x);
  for (int l = 0; l < layers; ++l) {
    x = linear(x, theta[static_cast<std::size_t>(2 * l)], theta[static_cast<std::size_t>(2 * l + 1)]);
    if (l + 1 < layers) x = mlp.activation == Activation::tanh ? tanh(x) : relu(x);
  }
  return x;
}

}  // namespace lowvar
