// Names of estimators to go through, from the table of families.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "algorithms/estimators/names.h"

namespace lowvar {

/// The name alone, with every set of +whitened and +undiscounted that it takes, with every other suffix that
/// it takes, and with one of each kind.
inline std::vector<std::string> with_suffixes(const std::string& name) {
  std::vector<std::string> out{name}, alone;
  std::string one_of_each = name;
  SuffixKind last = SuffixKind::normalisation;
  for (const EstimatorSuffix& suffix : estimator_suffixes()) {
    if (suffix.id == SuffixId::outside || !suffix.fits(*parse_estimator(name).family)) continue;
    if (suffix.kind >= SuffixKind::normalisation) {
      for (std::size_t i = 0, n = out.size(); i < n; ++i) out.push_back(out[i] + suffix.example);
      continue;
    }
    alone.push_back(name + suffix.example);
    if (suffix.kind != last) one_of_each += suffix.example;
    last = suffix.kind;
  }
  out.insert(out.end(), alone.begin(), alone.end());
  if (alone.size() > 1) out.push_back(one_of_each);
  return out;
}

/// Whether every tabular world has what it needs.
inline bool anywhere(const EstimatorFamily& family) {
  return family.id != FamilyId::outside && !family.needs.greedy && !family.needs.reference;
}

/// The example of each family of the library, with every set of suffixes.
inline std::vector<std::string> examples() {
  std::vector<std::string> out;
  for (const EstimatorFamily& family : estimator_families())
    if (anywhere(family))
      for (const std::string& name : with_suffixes(family.example)) out.push_back(name);
  return out;
}

/// Those, and the same of arguments at which something changes: sums of one step and of all, no weight on
/// later errors and full weight, ratios cut below one and never, the smallest group.
inline std::vector<std::string> every_estimator() {
  std::vector<std::string> out = examples();
  for (const char* base :
       {"nstep:1", "nstep:2", "nstep:3", "nstep:100", "gae:0", "gae:0.5", "gae:1", "vtrace:0.7:0.4",
        "vtrace:1:0.5", "vtrace:0.8:2", "vtrace:100:100", "ppo-clip:0.01", "rloo:2", "grpo:2"})
    for (const std::string& name : with_suffixes(base)) out.push_back(name);
  return out;
}

template <class F>
std::vector<std::string> filtered(const std::vector<std::string>& names, F&& holds) {
  std::vector<std::string> out;
  for (const std::string& name : names)
    if (holds(parse_estimator(name))) out.push_back(name);
  return out;
}

/// Whether the recursion of algorithms/exact/tabular.h knows its moments.
inline bool has_recursion(const EstimatorName& name) {
  const bool suffixed = std::any_of(name.suffixes.begin(), name.suffixes.end(), [](const UsedSuffix& used) {
    return used.suffix->kind != SuffixKind::discount;
  });
  const bool group = name.family->groups && name.id() != FamilyId::rloo;
  return !suffixed && !group && name.id() != FamilyId::togo_normalised &&
         name.family->kind != EstimatorKind::pathwise;
}

}  // namespace lowvar
