// Answers of L independent binary tokens whose reward depends on the number of ones: moments of score
// function estimators with importance weights by sums over that number, at any length.
#pragma once

#include <string_view>

namespace lowvar {

/// L tokens, one with probability `pi` under the policy that is improved and `mu` under the one that acts;
/// reward 1 where there are at least `enough` ones. Its one parameter is the logit of a one, so z_t = x_t -
/// pi.
struct BinaryAnswers {
  int L;
  int enough;
  double pi, mu;

  /// P(reward = 1) where a one has probability p.
  double right(double p) const;
  /// dJ/dlogit at pi.
  double gradient() const;
  /// KL(mu || pi) of a whole answer.
  double divergence() const;
};

/// E g and Var g of g = sum_t w_t z_t (R - b), the weights w_t being those of a suffix as `estimator` has it
/// (names.h). Throws Error where the weights are none of sums over the number of ones: all but +is-none,
/// +is-token, +is-sequence, +is-geometric, +mask and +is-cumulative, the last of which takes time as L^2.
struct CountedMoments {
  double mean, variance;
};
CountedMoments counted_moments(const BinaryAnswers& answers, std::string_view estimator, double b);

/// The limits of E g / (dJ/dlogit) and Var g / (dJ/dlogit)^2 as L grows, where KL(mu || pi) of a whole answer
/// stays kappa > 0, the policies come close to mu = 1/2 from above, and an answer is right from `c` standard
/// deviations above its mean under pi on; b is the probability of that under mu, or 0 without `baseline`. By
/// the central limit theorem: the number of ones becomes normal and log rho = s X - s^2/2 with s^2 = 2 kappa.
/// The variance of +is-cumulative is NaN.
CountedMoments limit_moments(double kappa, double c, std::string_view estimator, bool baseline);

}  // namespace lowvar
