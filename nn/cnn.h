// Networks that look at images: convolutions, then a perceptron. As in mlp.h a description, an
// initialisation, a forward pass.
#pragma once

#include <string>
#include <vector>

#include "autograd/images.h"
#include "nn/mlp.h"

namespace lowvar {

/// A layer of `filters` filters of size x size pixels that move by `stride`, without padding.
struct Filters {
  int filters, size, stride;
};

/// x -> relu(conv(x unit, C0) + c0) -> ..., flattened, -> mlp. `unit` is what a 1 in an image means; it
/// multiplies the first weights, not the pixels. Mnih et al. 2015 ("Nature"): image 84x84x4, filters (32, 8,
/// 4), (64, 4, 2), (64, 3, 1), an mlp with one hidden layer of 512, relu.
struct Cnn {
  ImageShape image;
  double unit = 1;
  std::vector<Filters> filters;
  Mlp mlp;  // its inputs are what the last filters give

  /// "C0", "c0", "C1", ..., then those of the mlp.
  std::vector<std::string> names() const;
  /// Of each parameter array: C [size size channels x filters], c [1 x filters], then those of the mlp.
  std::vector<Shape> shapes() const;
  /// Layer l of filters as it moves over what the layers before it give.
  Window window(std::size_t l) const;
  /// What the last filters give; the image where there are none.
  ImageShape flattened() const;
};

/// Throws Error naming the first layer of filters that does not fit what it looks at, and where there are
/// more than 1e7 weights between them.
void check(const Cnn& cnn);

/// Orthogonal weights with the gain of the mlp's hidden layers, zero biases; then those of the mlp.
std::vector<Array<double>> initialise(const Cnn& cnn, Rng& rng);
/// All uniform between -1/sqrt(inputs of a filter or unit) and that: PyTorch's default.
std::vector<Array<double>> initialise_uniform(const Cnn& cnn, Rng& rng);

/// Outputs [n x outputs] for images x [n x HWC].
template <class T>
Var<T> forward(const Cnn& cnn, const std::vector<Var<T>>& theta, Var<T> x, At at = At::current()) {
  const CalledFrom here(at);
  const std::size_t arrays = 2 * cnn.filters.size();
  expect(theta.size() > arrays, "cnn: needs more than ", arrays, " parameter arrays, got ", theta.size(), at);
  const T unit = static_cast<T>(cnn.unit);
  if (unit != 1 && cnn.filters.empty()) x = x * unit;
  for (std::size_t l = 0; l < cnn.filters.size(); ++l) {
    const Var<T> C = l == 0 && unit != 1 ? theta[0] * unit : theta[2 * l];
    x = relu(conv2d(x, C, theta[2 * l + 1], cnn.window(l)));
  }
  return forward(cnn.mlp, {theta.begin() + static_cast<std::ptrdiff_t>(arrays), theta.end()}, x);
}

}  // namespace lowvar
