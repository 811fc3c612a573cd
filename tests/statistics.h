// Comparing sampled numbers with exact ones at a stated family-wise error.
#pragma once

#include <cmath>

namespace lowvar {

/// The two-sided limit in standard errors for `comparisons` tests at a family-wise error of 1e-6
/// (Bonferroni), where the standard error has `dof` degrees of freedom: Cornish-Fisher's expansion of
/// Student's t about the normal quantile.
inline double limit(double comparisons, double dof) {
  const double p = 1e-6 / comparisons / 2;
  double z = 5;  // Newton on the upper tail of the normal
  for (int i = 0; i < 50; ++i)
    z += (0.5 * std::erfc(z / std::sqrt(2.0)) - p) / (std::exp(-z * z / 2) / std::sqrt(2 * M_PI));
  const double z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;
  return z + (z3 + z) / (4 * dof) + (5 * z5 + 16 * z3 + 3 * z) / (96 * dof * dof) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * dof * dof * dof);
}

}  // namespace lowvar
