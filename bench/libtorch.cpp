#include "bench/libtorch.h"

#include <torch/torch.h>

namespace lowvar {

struct LibTorch::Tensors {
  torch::Tensor x, psi, action;
  std::vector<torch::Tensor> parameters, direction, result;

  static torch::Tensor copy(const Array<float>& a) {
    return torch::from_blob(const_cast<float*>(a.data()), {shape(a).rows, shape(a).cols}).clone();
  }
  torch::Tensor log_pi() const {
    torch::Tensor h = x;
    for (std::size_t l = 0; l < parameters.size(); l += 2) {
      h = torch::addmm(parameters[l + 1], h, parameters[l]);
      if (l + 2 < parameters.size()) h = h.tanh();
    }
    return h.log_softmax(1);
  }
};

LibTorch::LibTorch(const Problem& problem) : t_(std::make_unique<Tensors>()) {
  t_->x = Tensors::copy(problem.x), t_->psi = Tensors::copy(problem.psi);
  const std::vector<std::int64_t> wide(problem.action.begin(), problem.action.end());
  t_->action = torch::tensor(wide, torch::kInt64).unsqueeze(1);
  for (const auto& each : problem.theta) t_->parameters.push_back(Tensors::copy(each).requires_grad_());
  for (const auto& each : problem.direction) t_->direction.push_back(Tensors::copy(each));
}
LibTorch::~LibTorch() = default;

void LibTorch::use_threads(int threads) { at::set_num_threads(threads); }

void LibTorch::policy_gradient() {
  t_->result =
      torch::autograd::grad({-(t_->log_pi().gather(1, t_->action) * t_->psi).mean()}, t_->parameters);
}

void LibTorch::hessian_product() {
  const torch::Tensor here = t_->log_pi(), held = here.detach();
  const torch::Tensor mean_kl = (held.exp() * (held - here)).sum(1).mean();
  const auto g = torch::autograd::grad({mean_kl}, t_->parameters, {}, true, true);
  torch::Tensor along = (g[0] * t_->direction[0]).sum();
  for (std::size_t i = 1; i < g.size(); ++i) along = along + (g[i] * t_->direction[i]).sum();
  t_->result = torch::autograd::grad({along}, t_->parameters);
}

FloatArrays LibTorch::result() const {
  FloatArrays out;
  for (const auto& each : t_->result)
    out.push_back(
        from_values<float>(static_cast<int>(each.size(0)), static_cast<int>(each.size(1)),
                           {each.contiguous().data_ptr<float>(), static_cast<std::size_t>(each.numel())}));
  return out;
}

}  // namespace lowvar
