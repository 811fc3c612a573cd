// Two minibatches of a clipped update from one policy where rewards say nothing: exact averages over every
// pair of groups.
#pragma once

#include <limits>
#include <span>
#include <vector>

#include "algorithms/exact/bandit.h"

namespace lowvar {

/// Ratios below 1 - low or above 1 + high are clipped: an answer whose ratio has left that interval the way
/// its advantage pushes it has no part in the update (Schulman et al. 2017, eq. 7).
struct ClipRange {
  double low = std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
};

/// A group of answers to a question whose rewards are fair coins, as much as the update sees of it: for each
/// arm the sum of its advantages that are positive, and of those that are not, over the size of the group.
struct CoinGroup {
  double probability;
  std::vector<double> up, down;  // [k]
};
/// Every group of G pairs of an arm, drawn from p [k], and a reward of 0 or 1, and its probability.
std::vector<CoinGroup> coin_groups(std::span<const double> p, int G, const GroupAdvantage& advantage);

/// From logits log p, a step eta on a group of p and a step eta on another one of p, clipped. Averages over
/// both.
struct TwoMinibatches {
  double H1 = 0, H2 = 0;      // the entropy after each, less that of p
  double top1 = 0, top2 = 0;  // the same of the probability of arm 0
  double outside = 0;  // P_p of an arm whose ratio is clipped on one of its sides before the second step
  double pull = 0;     // |E[second update | first]|
  /// The largest distance of a component of that from c sum_a p_a rho_a (1{rho_a < 1 - low} - 1{rho_a > 1 +
  /// high}) z_a with c = E sum_i max(A_i, 0) / G: what is left of updates of mean zero is a pull back to p.
  double apart = 0;
};
TwoMinibatches two_minibatches(std::span<const double> p, const std::vector<CoinGroup>& groups, double eta,
                               const ClipRange& clip);

}  // namespace lowvar
