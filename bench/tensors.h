// Arrays as LibTorch's tensors, and back.
#pragma once

#include <torch/torch.h>

#include "bench/answers.h"

namespace lowvar {

inline torch::Tensor tensor_of(const Array<float>& a) {
  return torch::from_blob(const_cast<float*>(a.data()), {shape(a).rows, shape(a).cols}).clone();
}

inline FloatArrays arrays_of(const std::vector<torch::Tensor>& tensors) {
  FloatArrays out;
  for (const auto& each : tensors)
    out.push_back(
        from_values<float>(static_cast<int>(each.size(0)), static_cast<int>(each.size(1)),
                           {each.contiguous().data_ptr<float>(), static_cast<std::size_t>(each.numel())}));
  return out;
}

}  // namespace lowvar
