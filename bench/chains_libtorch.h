// The chains by LibTorch, where CMake finds it.
#pragma once

#include <functional>
#include <memory>

#include "bench/chains.h"

namespace lowvar {

class LibTorchChain {
 public:
  explicit LibTorchChain(const SquashedGaussian& chain);
  explicit LibTorchChain(const QuantileHuber& chain);
  explicit LibTorchChain(const Dapo& chain);
  ~LibTorchChain();

  static void use_one_thread();

  /// Value, which is returned, and gradient.
  float operator()();
  /// What was computed last.
  FloatArrays gradient() const;

 private:
  struct Tensors;
  std::unique_ptr<Tensors> t_;
};

}  // namespace lowvar
