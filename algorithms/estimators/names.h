// The grammar of estimators' names, as data: what the zoo (estimator.h) and the oracles (algorithms/exact)
// have in common. What a name means each of them defines on its own.
//
//   FAMILY[:ARGUMENT]...[+SUFFIX]...   as in gae:0.95+whitened+undiscounted
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace lowvar {

enum class FamilyId {
  outside,  // of add_estimator
  reinforce,
  reinforce_mean,
  reinforce_optimal,
  reinforce_per_parameter,
  togo,
  togo_normalised,
  togo_time,
  togo_linear,
  togo_optimal,
  togo_value,
  rloo,
  grpo,
  all_action,
  pathwise,
  q_value,
  td,
  nstep,
  gae,
  vtrace,
  ppo_clip
};

/// What is weighed.
enum class EstimatorKind {
  whole,       // trajectories: one weight for all scores, without gamma^t
  causal,      // steps: gamma^t times an advantage of the action that was taken
  all_action,  // steps: gamma^t times a sum over all actions
  pathwise     // nothing: the derivative of the return along the trajectory
};

/// What a batch, its critic and its world must offer.
struct EstimatorNeeds {
  bool critic = false;
  bool action_values = false;  // of the critic, too
  bool constants = false;      // of an oracle or a pilot
  bool states = false;         // constants of each state, which tabular worlds alone have
  bool dynamics = false;       // to differentiate
};

/// A number after a colon.
struct EstimatorArgument {
  bool whole;
  bool (*valid)(double);
};

/// A row of the table. What is added from outside has a pattern, an example and a kind; the rest is its own.
struct EstimatorFamily {
  std::string pattern;  // its name, and a word for each argument: vtrace:RHO:C
  std::string example;  // that can be made
  EstimatorKind kind = EstimatorKind::causal;
  FamilyId id = FamilyId::outside;
  EstimatorNeeds needs = {};
  bool off_policy = false;  // has importance weights: data may come from another policy
  bool groups = false;      // weighs groups of as many trajectories of one start as its argument says
  std::vector<EstimatorArgument> arguments = {};
  std::string rule = {};  // what its arguments must be, to stand before ", as in rloo:4"

  std::string_view name() const { return std::string_view(pattern).substr(0, pattern.find(':')); }
};

/// A name taken apart.
struct EstimatorName {
  const EstimatorFamily* family = nullptr;
  std::string_view argument = {};      // all that follows the first colon, but for suffixes
  std::vector<double> arguments = {};  // by the family's table; none of one from outside
  bool whitened = false;
  bool undiscounted = false;

  FamilyId id() const { return family->id; }
  /// How many trajectories make an independent estimate: one, a group of so many, or 0: the whole batch.
  int unit() const { return whitened ? 0 : family->groups ? static_cast<int>(arguments.front()) : 1; }
};

struct EstimatorSuffix {
  std::string_view text;  // +undiscounted
  bool EstimatorName::*flag;
  std::vector<EstimatorKind> of;
  std::string_view refusal;  // what others lack
  bool fits(EstimatorKind kind) const;
};

const std::vector<EstimatorSuffix>& estimator_suffixes();

/// The table: the families of the zoo, then those from outside. References to rows stay valid.
const std::deque<EstimatorFamily>& estimator_families();

/// Adds a row from outside; to be called before threads start. Throws Error where the name is taken.
void add_family(EstimatorFamily family);

/// Throws Error naming what is wrong with it. The result refers to `name`.
EstimatorName parse_estimator(std::string_view name);

}  // namespace lowvar
