#include "algorithms/data/networks.h"

#include <numeric>

namespace lowvar {

Layers suitable_layers(const Spaces& world) {
  const ImageShape image = world.image;
  if (image.size() == 0) return {};
  if (image.height >= 36 && image.width >= 36)  // what the three layers need
    return {{{32, 8, 4}, {64, 4, 2}, {64, 3, 1}}, {512}, Activation::relu};
  return {{{16, 3, 1}}, {128}, Activation::relu};
}

Model network(const Spaces& world, const Layers& layers, int outputs, double output_gain) {
  const bool images = world.image.size() > 0;
  expect(images || layers.filters.empty(), "convolutions are for worlds whose observations are images");
  Mlp mlp{.sizes = {world.observation}, .activation = layers.activation, .output_gain = output_gain};
  mlp.sizes.insert(mlp.sizes.end(), layers.hidden.begin(), layers.hidden.end());
  mlp.sizes.push_back(outputs);
  if (!images) return mlp;
  Cnn cnn{.image = world.image, .unit = world.unit, .filters = layers.filters, .mlp = std::move(mlp)};
  check(cnn);
  cnn.mlp.sizes.front() = cnn.flattened().size();
  return cnn;
}

int policy_numbers(const Spaces& world) {
  if (world.A) return world.A;
  return world.levels.empty() ? world.m : std::accumulate(world.levels.begin(), world.levels.end(), 0);
}

Policy policy_by(const Spaces& world, Model model) {
  if (world.A) return {std::move(model), Head::softmax};
  if (world.levels.empty()) return {std::move(model), Head::gaussian};
  return {.model = std::move(model), .head = Head::choices, .levels = world.levels};
}

}  // namespace lowvar
