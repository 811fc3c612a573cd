// Moments of the estimators of groups from classes of answers: where an answer's weight depends on what it
// was paid and on its length alone, all that matters of the answers of a class are the mean of their scores
// and of the squares of these. Groups of any size, and policies of any size.
#pragma once

#include <string_view>
#include <vector>

#include "algorithms/exact/tabular.h"

namespace lowvar {

/// Answers to one prompt that were paid the same and are as long.
struct AnswerClass {
  double R = 0;
  int length = 0;
  double probability = 0;  // under the policy that acts
  /// E[f | class] and E[f_j^2 | class] of f = sum_t w_t z_t [d], the importance weights being those of
  /// positive and of negative advantages; without weights both are alike.
  std::vector<double> mean_up, square_up, mean_down, square_down;
};

/// Counts of so many classes that sum to G, or limit + 1 if there are more.
double count_compositions(std::size_t classes, int G, double limit);

/// Moments of the group estimator of that name on answers to one prompt, `longest` tokens long at most, and
/// the probability that a group is no draw to be repeated. Throws Error where the name is of no group or has
/// parts from outside, or where there are more than `limit` counts.
struct GroupMoments {
  std::vector<double> mean, second;  // E g_j and E g_j^2, of groups that are kept
  double kept = 1;
};
GroupMoments group_moments(std::string_view estimator, const std::vector<AnswerClass>& classes, int longest,
                           double limit = 2e7);

/// All that matters of answers to one prompt that are right (reward 1) or wrong (0), where weights depend on
/// rewards alone; S is the sum of an answer's scores.
struct RightAndWrong {
  double p = 0;            // P(right), which is J
  double gradient_sq = 0;  // |grad J|^2
  double right_sq = 0;     // E[|S|^2 | right]
  double wrong_sq = 0;     // E[|S|^2 | wrong]
};
/// Out of classes without importance weights. Throws Error where something else than 0 or 1 is paid.
RightAndWrong right_and_wrong(const std::vector<AnswerClass>& classes);
/// As classes of one component, that of grad J, to which the squares of all components are added: E g is
/// along grad J, and sums over components are what they are.
std::vector<AnswerClass> classes_of(const RightAndWrong& answers);

// tr Cov of an estimate from G answers, times G, of (r - b) S and of RLOO.

/// p (1 - b)^2 E[|S|^2 | right] + (1 - p) b^2 E[|S|^2 | wrong] - |grad J|^2.
double constant_baseline_variance(const RightAndWrong& answers, double b);
/// The b of least variance, p E[|S|^2 | right] / E|S|^2.
double optimal_baseline(const RightAndWrong& answers);
/// E[A^2 |S|^2] - |grad J|^2 (1 - 1 / (G - 1)) with E[A^2 | right] = (1 - p)^2 + p (1 - p) / (G - 1) and
/// E[A^2 | wrong] = p^2 + p (1 - p) / (G - 1).
double leave_one_out_variance(const RightAndWrong& answers, int G);
/// The ratio E[|S|^2 | right] / E[|S|^2 | wrong] from which on that is less than without a baseline, terms in
/// |grad J|^2 neglected: (1 - p) (p + (1 - p) / (G - 1)) / (p (2 - p - (1 - p) / (G - 1))).
double ratio_from_which_groups_help(double p, int G);

}  // namespace lowvar
