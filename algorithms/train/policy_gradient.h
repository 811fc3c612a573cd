// Steps along an estimate of the policy gradient.
#pragma once

#include "algorithms/data/world.h"
#include "algorithms/estimators/estimator.h"
#include "nn/optim.h"

namespace lowvar {

/// The mean over the batch's trajectories of the estimator's g, [d]: the same `estimate` that is measured,
/// with all rows in one group.
std::vector<double> policy_gradient_estimate(const Estimator& estimator, const Policy& policy,
                                             const Parameters& theta, const Trajectories& batch,
                                             const Constants& constants);

/// One ascent step of Adam along that estimate.
void policy_gradient_step(const Estimator& estimator, const Policy& policy, Parameters& theta,
                          const Trajectories& batch, const Constants& constants, AdamState<double>& adam,
                          const AdamOptions& options);

/// theta moved along a direction [d].
Parameters moved(const Parameters& theta, std::span<const double> direction, double step);

/// sum_r weight_r KL(pi(.|s_r; theta) || pi(.|s_r; other)) / sum_r weight_r.
double mean_kl(const Policy& policy, const Parameters& theta, const Parameters& other, const Inputs& inputs,
               std::span<const double> weight);

/// The parameters one step along `direction` at which the mean KL from theta is `target`, by bisection.
Parameters step_to_kl(const Policy& policy, const Parameters& theta, std::span<const double> direction,
                      const Inputs& inputs, std::span<const double> weight, double target);

}  // namespace lowvar
