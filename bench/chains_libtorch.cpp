#include "bench/chains_libtorch.h"

#include "bench/tensors.h"

namespace lowvar {

using torch::Tensor;

struct LibTorchChain::Tensors {
  std::vector<Tensor> parameters, gradient;
  std::function<Tensor(const std::vector<Tensor>&)> loss;

  Tensors(const FloatArrays& of, std::function<Tensor(const std::vector<Tensor>&)> f) : loss(std::move(f)) {
    for (const auto& each : of) parameters.push_back(tensor_of(each).requires_grad_());
  }
};

LibTorchChain::LibTorchChain(const SquashedGaussian& chain) {
  const Tensor eps = tensor_of(chain.eps);
  t_ = std::make_unique<Tensors>(chain.parameters, [eps](const std::vector<Tensor>& p) {
    const Tensor &mu = p[0], &log_sigma = p[1];
    const Tensor u = mu + log_sigma.exp() * eps, z = (u - mu) * (-log_sigma).exp();
    const Tensor log_density = -0.5 * z.square() - log_sigma - 0.5 * std::log(2 * std::numbers::pi);
    return (log_density - 2 * (std::numbers::ln2 - u - at::softplus(-2 * u))).sum(1).mean();
  });
}

LibTorchChain::LibTorchChain(const QuantileHuber& chain) {
  const Tensor target = tensor_of(chain.target).unsqueeze(1);  // [n x 1 x q]
  const Tensor tau = tensor_of(chain.tau).view({1, chain.q, chain.q});
  t_ = std::make_unique<Tensors>(chain.parameters, [=, n = chain.n, q = chain.q](const auto& p) {
    const Tensor u = target - p[0].unsqueeze(2);  // [n x q x q]
    const Tensor huber = at::huber_loss(u, at::zeros({1}).expand_as(u), at::Reduction::None, 1.0);
    return ((tau - (u.detach() < 0).to(torch::kFloat)).abs() * huber).sum() / (n * q);
  });
}

LibTorchChain::LibTorchChain(const Dapo& chain) {
  const Tensor log_old = tensor_of(chain.log_old), A = tensor_of(chain.advantage);
  const Tensor mask = tensor_of(chain.mask);
  t_ = std::make_unique<Tensors>(chain.parameters, [=, tokens = chain.tokens](const auto& p) {
    const Tensor ratio = (p[0] - log_old).exp();
    return -(at::minimum(ratio * A, ratio.clamp(Dapo::low, Dapo::high) * A) * mask).sum() / tokens;
  });
}

LibTorchChain::~LibTorchChain() = default;

void LibTorchChain::use_one_thread() { at::set_num_threads(1); }

float LibTorchChain::operator()() {
  const Tensor loss = t_->loss(t_->parameters);
  t_->gradient = torch::autograd::grad({loss}, t_->parameters);
  return loss.item<float>();
}

FloatArrays LibTorchChain::gradient() const { return arrays_of(t_->gradient); }

}  // namespace lowvar
