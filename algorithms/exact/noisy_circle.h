// A noisy map of the circle, chaotic for large K: exact moments of pathwise and score function gradients over
// many steps, where the first explode (Metz et al. 2021; Parmas et al. 2018).
#pragma once

#include <vector>

namespace lowvar {

/// x' = x + theta + K / (2 pi) sin(2 pi x) + sigma xi mod 1, xi ~ N(0, 1), x_0 uniform on [0, 1); after H
/// steps it pays f = cos(2 pi x_H).
struct NoisyCircle {
  double K;
  double theta = 0.1;
  double sigma = 0.1;
};

/// Of E f, its derivative in theta, and one trajectory's estimates of that:
///   pathwise   f'(x_H) D_H,  D_{t+1} = (1 + K cos(2 pi x_t)) D_t + 1
///   score      (f(x_H) - b) S_H,  S_H = sum over steps of xi / sigma
struct CircleMoments {
  double J;
  double pathwise_mean, pathwise_variance;
  double score_mean, score_norm2;  // E S^2
  double b_star, score_optimal_variance;
  /// Of the score function at any b.
  double score_variance(double b) const {
    return score_optimal_variance + (b - b_star) * (b - b_star) * score_norm2;
  }
};

/// After 1, ..., H steps. The density of x and what is expected of D, D^2, S, S^2 at x are carried on a grid
/// of so many points; sums over the grid converge exponentially (256 and 512 points agree to rounding where
/// sigma is 0.1).
std::vector<CircleMoments> circle_moments(const NoisyCircle& circle, int H, int points = 256);

}  // namespace lowvar
