// Steps in the metric of the policy's distribution: what the natural gradient and trust regions share.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "algorithms/train/pieces.h"

namespace lowvar {

struct NaturalOptions : OnPolicyOptions {
  double kl_step = 0.01;  // mean KL of the step
  int cg_iterations = 10;
  double cg_damping = 0.1;

  template <class F>
  void visit(F&& f) {
    OnPolicyOptions::visit(f);
    f("kl_step", kl_step), f("cg_iterations", cg_iterations), f("cg_damping", cg_damping);
  }
};

/// What npg and trpo start from: kl_step anneals where `anneal` says so; learning_rate is the critic's.
NaturalOptions natural_recipe(const World& world);
void check(const NaturalOptions& options, const World& world);

/// x with A x = b for a symmetric positive definite A, after so many iterations from 0 (Hestenes & Stiefel
/// 1952), or fewer where the residual is a 1e-10th of b.
std::vector<double> conjugate_gradient(
    const std::function<std::vector<double>(const std::vector<double>&)>& A_times,
    const std::vector<double>& b, int iterations);

/// x with (F + damping) x = g, and how far along it the quadratic model of the mean KL reaches `delta`:
/// sqrt(2 delta / x'(F + damping)x); 0 where there is no curvature (Schulman et al. 2015, appendix C).
struct NaturalStep {
  std::vector<double> x;
  double beta = 0;
};
template <class T>
NaturalStep natural_step(const Learner<T>& learner, const NaturalOptions& o, const Trajectories& batch,
                         const std::vector<double>& g, double delta);

/// theta = start + step x, of the policy's arrays.
template <class T>
void move_policy(Learner<T>& learner, const Arrays<T>& start, const std::vector<double>& x, double step);

}  // namespace lowvar
