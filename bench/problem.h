// The problem that the engine and its rivals solve: a tanh network with a softmax over its outputs, in float,
// and a batch of rows with actions and weights.
#pragma once

#include <vector>

#include "bench/answers.h"
#include "nn/mlp.h"

namespace lowvar {

struct Problem {
  Mlp mlp;
  FloatArrays theta, direction;  // W0, b0, W1, b1, ...; and what Hessians are multiplied by
  Array<float> x, psi;           // [n x inputs], [n x 1]
  std::vector<int> action;       // [n]

  Problem(const std::vector<int>& sizes, int n)
      : mlp{.sizes = sizes}, x(zeros<float>(n, sizes.front())), psi(zeros<float>(n, 1)) {
    Rng rng(0, "problem");
    for (const auto& each : initialise(mlp, rng)) {
      theta.emplace_back(each);
      direction.push_back(zeros_like(theta.back()));
      for (float& v : values(direction.back())) v = static_cast<float>(rng.normal());
    }
    for (float& v : values(x)) v = static_cast<float>(rng.normal());
    for (float& v : values(psi)) v = static_cast<float>(rng.normal());
    for (int r = 0; r < n; ++r) action.push_back(static_cast<int>(rng.uniform() * sizes.back()));
  }

  int rows() const { return shape(x).rows; }
  std::span<const int> actions(int begin, int end) const {
    return {action.data() + begin, static_cast<std::size_t>(end - begin)};
  }
};

}  // namespace lowvar
