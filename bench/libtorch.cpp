#include "bench/libtorch.h"

#include "bench/tensors.h"

namespace lowvar {

struct LibTorch::Tensors {
  torch::Tensor x, psi, action;
  std::vector<torch::Tensor> parameters, direction, result;

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
  t_->x = tensor_of(problem.x), t_->psi = tensor_of(problem.psi);
  const std::vector<std::int64_t> wide(problem.action.begin(), problem.action.end());
  t_->action = torch::tensor(wide, torch::kInt64).unsqueeze(1);
  for (const auto& each : problem.theta) t_->parameters.push_back(tensor_of(each).requires_grad_());
  for (const auto& each : problem.direction) t_->direction.push_back(tensor_of(each));
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

FloatArrays LibTorch::result() const { return arrays_of(t_->result); }

}  // namespace lowvar
