// The natural gradient: Fisher-vector products and what is solved with them.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "algorithms/data/trajectory.h"

namespace lowvar {

/// (F + damping) v for the Fisher matrix F = E_r E_{a~pi} grad log pi(a|s_r) grad log pi(a|s_r)' of the rows
/// of a batch, as the Hessian at theta of their mean KL(pi_theta || pi) (Schulman et al. 2015, appendix C). v
/// is [d]; T, float or double, is what the products are computed in.
template <class T>
std::vector<double> fisher_times(const Policy& policy, std::span<const Array<T>> theta,
                                 const Trajectories& batch, const std::vector<double>& v, double damping);

/// x with A x = b for a symmetric positive definite A, after so many iterations from 0 (Hestenes & Stiefel
/// 1952), or fewer where the residual is a 1e-10th of b.
std::vector<double> conjugate_gradient(
    const std::function<std::vector<double>(const std::vector<double>&)>& A_times,
    const std::vector<double>& b, int iterations);

}  // namespace lowvar
