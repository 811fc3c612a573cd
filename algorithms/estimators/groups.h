// What estimators of groups of answers are composed of, as those who train language models do: an advantage
// in the group, an aggregation of tokens, an importance weight. Each is a row of a table with its source; a
// name puts them together, as in grpo:8+token-mean+clip:0.2:0.28 (names.h).
#pragma once

#include <functional>
#include <source_location>
#include <span>
#include <string>
#include <vector>

#include "algorithms/estimators/estimator.h"

namespace lowvar {

/// G trajectories of one start.
struct Group {
  std::span<const double> R;    // [G], what each returned
  std::span<const int> length;  // [G], its steps
  int longest;                  // steps that a trajectory may have
};

/// Advantages [G] of a group.
struct RelativeAdvantage {
  FamilyId id;
  std::string equation;  // of A_i
  std::string source;
  std::string bias;  // why E of the group's mean is not the gradient; empty where it is
  void (*A)(const Group& group, std::span<const double> arguments, std::span<double> A);
};
const RelativeAdvantage& relative_advantage(FamilyId id);

/// How the steps of a group are added up: g = sum_i c_i A_i sum_t z_it.
struct Aggregation {
  SuffixId id;
  std::string equation;  // of g
  std::string source;
  double (*c)(const Group& group, int i);
};
/// That of a suffix; of none, the sum over steps and the mean over the group.
const Aggregation& aggregation(const UsedSuffix* suffix);

/// w_t: what the score of step t of a trajectory is multiplied by, where another policy acted.
struct ImportanceWeight {
  /// Of a trajectory, log_rho [l], log pi(a_t|s_t) - log mu(a_t|s_t), and psi [l], what the scores weigh
  /// without it, whose sign is the advantage's; to w [l].
  using Weigh = std::function<void(std::span<const double> log_rho, std::span<const double> psi,
                                   std::span<const double> arguments, std::span<double> w)>;
  std::string pattern;   // of the suffix: +clip:LO:HI
  std::string example;   // +clip:0.2:0.28
  std::string equation;  // of w_t
  std::string source;
  std::string bias;  // why E g is not the gradient on other data; empty where it is, of whole returns
  Weigh w;
  /// What the numbers after the suffix must be, a row each, and a sentence about them.
  std::vector<EstimatorArgument> arguments = {};
  std::string rule = {};
  std::source_location where = std::source_location::current();
};
const ImportanceWeight& importance_weight(const UsedSuffix& suffix);

/// Adds a suffix to those that make_estimator knows; to be called before threads start. Throws Error where
/// the name is taken.
void add_importance_weight(const ImportanceWeight& weight);

/// The score of a whole trajectory with the importance weights of the estimator of that name, where its
/// advantage has this sign, +1 or -1.
Estimator weighed_score(std::string_view estimator, double sign);

/// The estimator of a group family without suffixes: its groups' advantages on every step.
Estimator of_group(const RelativeAdvantage& advantage, std::span<const double> arguments);
/// The same with its steps added up in another way.
Estimator with_aggregation(Estimator e, const Aggregation& how);
/// The same on groups whose returns are not all equal.
Estimator with_dynamic_sampling(Estimator e);
/// The same with importance weights, for data of another policy.
Estimator with_importance(Estimator e, const ImportanceWeight& weight, std::span<const double> arguments);

}  // namespace lowvar
