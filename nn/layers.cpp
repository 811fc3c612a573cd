#include "nn/layers.h"

#include <algorithm>

#include "nn/mlp.h"

namespace lowvar {
namespace {

/// W [p x blocks q], b, U [q x blocks_of_U q], c: weights orthogonal in blocks of q columns, zero biases.
std::vector<Array<double>> orthogonal_blocks(int p, int q, int blocks, int blocks_of_U, Rng& rng) {
  std::vector<Array<double>> theta;
  for (const auto& [rows, count] : {std::pair{p, blocks}, std::pair{q, blocks_of_U}}) {
    theta.push_back(zeros<double>(rows, count * q));
    for (int k = 0; k < count; ++k) {
      const Array<double> block = orthogonal(rows, q, 1, rng);
      for (int r = 0; r < rows; ++r) std::ranges::copy(row(block, r), row(theta.back(), r).begin() + k * q);
    }
    theta.push_back(zeros<double>(1, count * q));
  }
  return theta;
}

/// The same arrays, every entry uniform between -1/sqrt(q) and that.
std::vector<Array<double>> uniform_blocks(int p, int q, int blocks, int blocks_of_U, Rng& rng) {
  const double bound = 1 / std::sqrt(static_cast<double>(q));
  std::vector<Array<double>> theta = {zeros<double>(p, blocks * q), zeros<double>(1, blocks * q),
                                      zeros<double>(q, blocks_of_U * q), zeros<double>(1, blocks_of_U * q)};
  for (auto& x : theta)
    for (double& each : values(x)) each = rng.uniform(-bound, bound);
  return theta;
}

}  // namespace

std::vector<Array<double>> initialise(const Gru& gru, Rng& rng) {
  return orthogonal_blocks(gru.inputs, gru.hidden, 3, 3, rng);
}
std::vector<Array<double>> initialise(const Lstm& lstm, Rng& rng) {
  return orthogonal_blocks(lstm.inputs, lstm.hidden, 4, 4, rng);
}
std::vector<Array<double>> initialise(const MultiHeadAttention& layer, Rng& rng) {
  return orthogonal_blocks(layer.width, layer.width, 3, 1, rng);
}
std::vector<Array<double>> initialise_uniform(const Gru& gru, Rng& rng) {
  return uniform_blocks(gru.inputs, gru.hidden, 3, 3, rng);
}
std::vector<Array<double>> initialise_uniform(const Lstm& lstm, Rng& rng) {
  return uniform_blocks(lstm.inputs, lstm.hidden, 4, 4, rng);
}
std::vector<Array<double>> initialise_uniform(const MultiHeadAttention& layer, Rng& rng) {
  return uniform_blocks(layer.width, layer.width, 3, 1, rng);
}

}  // namespace lowvar
