// The same gradients by LibTorch, where CMake finds it.
#pragma once

#include <memory>

#include "bench/problem.h"

namespace lowvar {

class LibTorch {
 public:
  explicit LibTorch(const Problem& problem);
  ~LibTorch();

  /// Sets LibTorch's threads, and with them OpenMP's of the calling thread.
  static void use_threads(int threads);

  /// Forward and backward of the mean of -psi log pi(a|s).
  void policy_gradient();
  /// The Hessian of the mean KL from the policy to itself, held fixed, times `direction`: double backward.
  void hessian_product();
  /// What the last of them computed.
  FloatArrays result() const;

 private:
  struct Tensors;
  std::unique_ptr<Tensors> t_;
};

}  // namespace lowvar
