// Moments of one sample's estimate of d/dtheta E f(x), x ~ N(mu, sigma^2), theta = mu or sigma, by
// deterministic quadrature: the score function, pathwise and measure-valued estimators of Mohamed et al. 2020
// (sections 4 to 6), and the zeroth- and first-order ones of Suh et al. 2022 on objectives with jumps.
#pragma once

#include <functional>
#include <vector>

#include "envs/ball_and_wall.h"

namespace lowvar {

/// An objective and its derivative, smooth between the breaks (increasing; none: smooth everywhere), where it
/// may have kinks and jumps.
struct Integrand {
  std::function<double(double)> f;
  std::function<double(double)> df;
  std::vector<double> breaks;
};

/// 1{x >= 0}.
Integrand heaviside_objective();
/// r(x) of the ball and the wall, with its breaks within 14 sigma of mu.
Integrand ball_and_wall_objective(const BallAndWall& world, double mu, double sigma);

/// E h(u), u ~ N(0, 1). Without breaks by the trapezoid rule on [-14, 14] with step 1/512, which converges
/// exponentially for smooth h; with breaks (of h, in u) by Gauss-Legendre rules of 20 nodes on pieces of
/// length 1/2 at most.
double normal_expectation(const std::function<double(double)>& h, const std::vector<double>& breaks = {});

enum class GaussianParameter { mu, sigma };

/// g = (f(x) - b) s with s = (x - mu) / sigma^2 or ((x - mu)^2 - sigma^2) / sigma^3. Unbiased.
struct ScoreFunctionMoments {
  double F;                 // E f(x)
  double gradient;          // E[f s]
  double score_norm2;       // E s^2
  double b_star;            // E[f s^2] / E s^2
  double optimal_variance;  // at b = b_star
  /// Var g at any b: optimal_variance + (b - b_star)^2 E s^2.
  double variance(double b) const { return optimal_variance + (b - b_star) * (b - b_star) * score_norm2; }
};
ScoreFunctionMoments score_function_moments(const Integrand& objective, double mu, double sigma,
                                            GaussianParameter theta);

struct ScalarMoments {
  double mean;
  double variance;
};

/// g = f'(x), times (x - mu) / sigma for sigma. Its mean misses what f gains at jumps.
ScalarMoments pathwise_moments(const Integrand& objective, double mu, double sigma, GaussianParameter theta);

/// One coupled pair a sample (Mohamed et al. 2020, section 6.2):
///   mu:    (f(mu + sigma u) - f(mu - sigma u)) / (sigma sqrt(2 pi)), u of density u exp(-u^2/2) on u > 0;
///   sigma: (f(mu + sigma v) - f(mu + sigma v U)) / sigma, v of density v^2 exp(-v^2/2) / sqrt(2 pi), U
///          uniform on (0, 1).
/// Unbiased.
ScalarMoments measure_valued_moments(const Integrand& objective, double mu, double sigma,
                                     GaussianParameter theta);

}  // namespace lowvar
