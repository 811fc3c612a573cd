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
  mean,
  rloo,
  grpo,
  opo,
  opo_loo,
  whiten,
  maxrl,
  gpg,
  best_second,
  pkpo,
  topr,
  remax,
  kl,
  all_action,
  pathwise,
  pathwise_fd,
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
  bool differences = false;    // and that by finite differences
  bool greedy = false;         // what the likeliest actions return from each start
  bool reference = false;      // a policy that divergences are taken to
};

/// What stands after a colon: a number, or the place of a word among some.
struct EstimatorArgument {
  bool whole = false;
  bool (*valid)(double) = nullptr;
  std::vector<std::string_view> words = {};
  bool optional = false;  // may be left out, as may all that follow; a word is then the first
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
  bool (*together)(const std::vector<double>& arguments) = nullptr;  // whether they go together; null: all do

  std::string_view name() const { return std::string_view(pattern).substr(0, pattern.find_first_of("[:")); }
};

enum class SuffixId {
  outside,  // of add_suffix
  stop_policy,
  stop_reward,
  seq_mean,
  token_mean,
  constant,
  dynamic,
  is_none,
  is_token,
  is_sequence,
  is_cumulative,
  is_geometric,
  mask,
  clip,
  cispo,
  gspo,
  whitened,
  undiscounted
};

/// What a suffix changes. A name has one of each at most, in this order.
enum class SuffixKind { path, aggregation, sampling, importance, normalisation, discount };

/// A row of the table of suffixes.
struct EstimatorSuffix {
  std::string pattern;  // its name, and a word for each argument: +clip:LO:HI
  std::string example;
  SuffixKind kind = SuffixKind::importance;
  SuffixId id = SuffixId::outside;
  std::vector<EstimatorKind> of = {};
  std::string refusal = {};  // what others lack
  std::vector<EstimatorArgument> arguments = {};
  std::string rule = {};

  std::string_view name() const { return std::string_view(pattern).substr(0, pattern.find_first_of("[:")); }
  bool fits(const EstimatorFamily& family) const;
};

/// A suffix of a name, and its arguments.
struct UsedSuffix {
  const EstimatorSuffix* suffix;
  std::vector<double> arguments;
};

/// A name taken apart.
struct EstimatorName {
  const EstimatorFamily* family = nullptr;
  std::string_view argument = {};      // all that follows the first colon, but for suffixes
  std::vector<double> arguments = {};  // by the family's table; none of one from outside
  std::vector<UsedSuffix> suffixes = {};

  FamilyId id() const { return family->id; }
  /// The suffix of this kind; null where there is none.
  const UsedSuffix* suffix(SuffixKind kind) const;
  bool whitened() const { return suffix(SuffixKind::normalisation) != nullptr; }
  bool undiscounted() const { return suffix(SuffixKind::discount) != nullptr; }
  /// Whether groups of equal rewards are drawn again.
  bool dynamic() const { return suffix(SuffixKind::sampling) != nullptr; }
  /// Whether it has importance weights, of its own or by a suffix.
  bool off_policy() const { return family->off_policy || suffix(SuffixKind::importance); }
  /// How many trajectories make an independent estimate: one, a group of so many, or 0: the whole batch.
  int unit() const { return whitened() ? 0 : family->groups ? static_cast<int>(arguments.front()) : 1; }
};

/// The table of suffixes: those of the library, then those from outside. References to rows stay valid.
const std::deque<EstimatorSuffix>& estimator_suffixes();

/// Adds a row from outside; to be called before threads start. Throws Error where the name is taken.
void add_suffix(EstimatorSuffix suffix);

/// The table: the families of the zoo, then those from outside. References to rows stay valid.
const std::deque<EstimatorFamily>& estimator_families();

/// Adds a row from outside; to be called before threads start. Throws Error where the name is taken.
void add_family(EstimatorFamily family);

/// What a library ships under a name, in the names of this one.
struct EstimatorPreset {
  std::string pattern;     // trl-dapo:G
  std::string stands_for;  // grpo:G+token-mean
  std::string note;        // what it does and what it does not
};
const std::vector<EstimatorPreset>& estimator_presets();

/// The preset that a name begins with; null where it begins with none.
const EstimatorPreset* preset_of(std::string_view name);

/// Throws Error naming what is wrong with it. The result refers to `name`. A preset is what it stands for.
EstimatorName parse_estimator(std::string_view name);

}  // namespace lowvar
