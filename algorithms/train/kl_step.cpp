#include "algorithms/train/kl_step.h"

#include "algorithms/estimators/gradient.h"

namespace lowvar {
namespace {

Parameters moved(const Parameters& theta, std::span<const double> direction, double step) {
  Parameters out = theta;
  std::size_t k = 0;
  for (auto& x : out)
    for (double& each : values(x)) each += step * direction[k++];
  expect(k == direction.size(), "a direction of ", direction.size(), " numbers for ", k, " parameters");
  return out;
}

}  // namespace

Parameters step_to_kl(const Policy& policy, const Parameters& theta, std::span<const double> direction,
                      const Inputs& inputs, std::span<const double> weight, double target) {
  const PolicyOutputs before = policy_outputs(policy, std::span(theta), inputs);
  const auto kl_at = [&](double step) {
    const Parameters at = moved(theta, direction, step);
    return mean_kl(policy, before, std::span(at), inputs, weight);
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
