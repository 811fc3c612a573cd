// Estimators of the gradient of KL(pi || ref), the divergence of a policy from a reference over whole
// trajectories, as those who train language models put it into the reward or into the loss.
#pragma once

#include <string_view>

#include "algorithms/estimators/estimator.h"

namespace lowvar {

/// The estimator kl:VARIANT; `variant` is a word of its family (names.cpp).
Estimator divergence(std::string_view variant);

/// What climbs J - beta KL: the estimator's weights less beta times those of kl, both of which weigh scores.
Estimator less_divergence(Estimator e, const Estimator& kl, double beta);

}  // namespace lowvar
