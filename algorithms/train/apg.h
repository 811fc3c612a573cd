// Analytic policy gradients: ascent along the pathwise derivative of the return, where dynamics can be
// differentiated (Heess et al. 2015, SVG(inf); Wiedemann et al. 2023, APG).
#pragma once

#include "algorithms/train/training.h"

namespace lowvar {

struct ApgOptions {
  double gamma = 0.99;
  std::string estimator = "pathwise";  // or pathwise:K, pathwise+stop-policy, ...
  int trajectories = 16;               // of an update
  int horizon = 0;                     // steps of a trajectory; 0: the world's time limit
  std::vector<int> hidden = {64, 64};  // where policies are networks
  Activation activation = Activation::tanh;
  double policy_gain = 0.01;  // of the network's last layer
  double log_std = -2;        // of the Gaussian policy at the start
  double learning_rate = 0.3;
  double max_gradient_norm = 1;  // 0: no limit
  bool anneal = true;            // the learning rate falls linearly to 0

  template <class F>
  void visit(F&& f) {
    f("gamma", gamma), f("estimator", estimator), f("trajectories", trajectories), f("horizon", horizon);
    f("hidden", hidden), f("activation", activation), f("policy_gain", policy_gain), f("log_std", log_std);
    f("learning_rate", learning_rate), f("max_gradient_norm", max_gradient_norm), f("anneal", anneal);
  }
};

ApgOptions apg_recipe(const World& world);
/// Throws Error naming the first option that is wrong.
void check(const ApgOptions& options, const World& world);

std::unique_ptr<Algorithm> algorithm(const ApgOptions& options);

}  // namespace lowvar
