// Episodes without a horizon under a policy of one parameter that all states share: moments of returns,
// scores and gradient estimates by solving over the states.
#pragma once

#include <array>
#include <vector>

namespace lowvar {

/// What may happen in a state: an action with its score d log pi / d theta, and its outcome.
struct ScoredStep {
  double probability;
  double score;
  double reward;
  int next;  // a state, or -1 where the episode ends
};
/// The steps of each state. Episodes end surely.
using ScoredChain = std::vector<std::vector<ScoredStep>>;

/// E[R^i S^j] at [i][j] for i, j <= 2, R being the return and S the sum of the scores from a state on; of
/// every state. By R = r + R', S = z + S' each is a linear system over the states whose right side has lower
/// moments alone.
using ReturnAndScore = std::array<std::array<double, 3>, 3>;
std::vector<ReturnAndScore> return_and_score(const ScoredChain& chain);

/// Mean and variance of the gradient estimate sum_t z_t (G_t - b(s_t)) of an episode from a state on, G_t
/// being the return from t on; of every state. By T = z (r + R' - b) + T'.
struct OneParameterMoments {
  double mean, variance;
};
std::vector<OneParameterMoments> to_go_moments(const ScoredChain& chain, const std::vector<double>& b);

/// Of (R - b) S.
OneParameterMoments whole_return_moments(const ReturnAndScore& moments, double b);
/// The b of least variance, E[R S^2] / E[S^2].
double optimal_baseline(const ReturnAndScore& moments);

}  // namespace lowvar
