#include "algorithms/train/policy_gradient.h"

#include <numeric>

namespace lowvar {

std::vector<double> policy_gradient_estimate(const Estimator& estimator, const Policy& policy,
                                             const Parameters& theta, const Trajectories& batch,
                                             const Constants& constants) {
  const int whole[] = {0, batch.rows()};
  const Array<double> sum = estimate({&estimator}, policy, theta, batch, whole, constants).front();
  std::vector<double> g(sum.begin(), sum.end());
  for (double& each : g) each /= batch.size();
  return g;
}

void policy_gradient_step(const Estimator& estimator, const Policy& policy, Parameters& theta,
                          const Trajectories& batch, const Constants& constants, AdamState<double>& adam,
                          const AdamOptions& options) {
  const auto g = policy_gradient_estimate(estimator, policy, theta, batch, constants);
  Parameters descent = theta;
  std::size_t k = 0;
  for (auto& x : descent)
    for (double& each : values(x)) each = -g[k++];
  adam_step(theta, descent, adam, options);
}

Parameters moved(const Parameters& theta, std::span<const double> direction, double step) {
  Parameters out = theta;
  std::size_t k = 0;
  for (auto& x : out)
    for (double& each : values(x)) each += step * direction[k++];
  expect(k == direction.size(), "a direction of ", direction.size(), " numbers for ", k, " parameters");
  return out;
}

double mean_kl(const Policy& policy, const Parameters& theta, const Parameters& other, const Inputs& inputs,
               std::span<const double> weight) {
  Tape<double> tape;
  const auto at = [&](const Parameters& p) { return policy(tape, tape.parameters(p), inputs); };
  const auto each = kl(at(theta), at(other)).values();
  return std::inner_product(weight.begin(), weight.end(), each.begin(), 0.0) /
         std::accumulate(weight.begin(), weight.end(), 0.0);
}

Parameters step_to_kl(const Policy& policy, const Parameters& theta, std::span<const double> direction,
                      const Inputs& inputs, std::span<const double> weight, double target) {
  const auto kl_at = [&](double step) {
    return mean_kl(policy, theta, moved(theta, direction, step), inputs, weight);
  };
  double low = 0, high = 1;
  for (int i = 0; kl_at(high) < target; ++i) {
    expect(i < 200, "no step along the direction reaches a mean KL of ", target, "; is it zero?");
    low = high, high *= 2;
  }
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (kl_at(middle) < target ? low : high) = middle;
  }
  return moved(theta, direction, high);
}

}  // namespace lowvar
