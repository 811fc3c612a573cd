// What the advantages, aggregations and importance weights of groups are, as the oracles know them: written
// from the papers, apart from the estimators (algorithms/estimators/groups.h).
#pragma once

#include <vector>

#include "algorithms/estimators/names.h"

namespace lowvar {

/// A_i of a group with these returns and lengths. Throws Error where the family has no groups, or is from
/// outside.
std::vector<double> group_advantages(const EstimatorName& name, const std::vector<double>& R,
                                     const std::vector<int>& length);

/// What the sum over the steps of trajectory i is multiplied by beside A_i.
double aggregation_factor(const EstimatorName& name, const std::vector<int>& length, std::size_t i,
                          int longest);

/// w_t of each step, from r_t = pi/mu of each and the sign of what it weighs; ones without a suffix. Throws
/// Error for one from outside.
std::vector<double> importance_weights(const EstimatorName& name, const std::vector<double>& r, double sign);

}  // namespace lowvar
