// Proximal policy optimisation (Schulman et al. 2017), clipped and with a KL penalty.
#pragma once

#include "algorithms/train/training.h"

namespace lowvar {

struct PpoOptions : OnPolicyOptions {
  int epochs = 4;
  int minibatches = 4;
  double kl_coefficient = 0;  // of mean KL(before || policy)
  double kl_target = 0;       // if not 0, the coefficient doubles above 1.5 times it and halves below 1/1.5
  double kl_stop = 0;         // if not 0, an update ends when the mean KL exceeds it

  template <class F>
  void visit(F&& f) {
    OnPolicyOptions::visit(f);
    f("epochs", epochs), f("minibatches", minibatches);
    f("kl_coefficient", kl_coefficient), f("kl_target", kl_target), f("kl_stop", kl_stop);
  }
};

/// The clipped surrogate (eq. 7), as counted by Huang et al. 2022.
PpoOptions ppo_recipe(const World& world);
/// The surrogate with an adaptive KL penalty (eq. 8).
PpoOptions ppo_kl_recipe(const World& world);

/// Throws Error naming the first option that is wrong.
void check(const PpoOptions& options, const World& world);

std::unique_ptr<Algorithm> algorithm(const PpoOptions& options);

}  // namespace lowvar
