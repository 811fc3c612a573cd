// Analytic policy gradients: ascent along the pathwise derivative of the return, where dynamics can be
// differentiated (Heess et al. 2015, SVG(inf); Wiedemann et al. 2023, APG).
#pragma once

#include "algorithms/train/training.h"

namespace lowvar {

struct ApgOptions {
  double gamma = 0.99;
  int trajectories = 16;  // of an update
  double log_std = -2;    // of the Gaussian policy at the start
  double learning_rate = 0.3;
  double max_gradient_norm = 1;  // 0: no limit
  bool anneal = true;            // the learning rate falls linearly to 0

  template <class F>
  void visit(F&& f) {
    f("gamma", gamma), f("trajectories", trajectories), f("log_std", log_std);
    f("learning_rate", learning_rate), f("max_gradient_norm", max_gradient_norm), f("anneal", anneal);
  }
};

ApgOptions apg_recipe(const World& world);
/// Throws Error naming the first option that is wrong.
void check(const ApgOptions& options, const World& world);

std::unique_ptr<Algorithm> algorithm(const ApgOptions& options);

}  // namespace lowvar
