#include "algorithms/estimators/names.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "core/error.h"

namespace lowvar {
namespace {

using enum EstimatorKind;

constexpr EstimatorNeeds kCritic{.critic = true}, kActionValues{.critic = true, .action_values = true},
    kConstants{.constants = true}, kStates{.constants = true, .states = true}, kDynamics{.dynamics = true};

/// A family of groups of N trajectories.
EstimatorFamily of_groups(const std::string& name, FamilyId id) {
  return {.pattern = name + ":N",
          .example = name + ":4",
          .kind = whole,
          .id = id,
          .groups = true,
          .arguments = {{true, [](double N) { return N >= 2 && N <= 1'000'000; }}},
          .rule = "N must be a whole number of at least 2"};
}

std::deque<EstimatorFamily>& families() {
  static std::deque<EstimatorFamily> all = {
      {"reinforce", "reinforce", whole, FamilyId::reinforce},
      {"reinforce-mean", "reinforce-mean", whole, FamilyId::reinforce_mean, kConstants},
      {"reinforce-optimal", "reinforce-optimal", whole, FamilyId::reinforce_optimal, kConstants},
      {"reinforce-per-parameter", "reinforce-per-parameter", whole, FamilyId::reinforce_per_parameter,
       kConstants},
      {"togo", "togo", causal, FamilyId::togo},
      {"togo-normalised", "togo-normalised", causal, FamilyId::togo_normalised},
      {"togo-time", "togo-time", causal, FamilyId::togo_time, kConstants},
      {"togo-linear", "togo-linear", causal, FamilyId::togo_linear, kConstants},
      {"togo-optimal", "togo-optimal", causal, FamilyId::togo_optimal, kStates},
      {"togo-value", "togo-value", causal, FamilyId::togo_value, kCritic},
      of_groups("rloo", FamilyId::rloo),
      of_groups("grpo", FamilyId::grpo),
      {"all-action", "all-action", all_action, FamilyId::all_action, kActionValues},
      {"pathwise", "pathwise", pathwise, FamilyId::pathwise, kDynamics},
      {"q-value", "q-value", causal, FamilyId::q_value, kActionValues},
      {"td", "td", causal, FamilyId::td, kCritic},
      {.pattern = "nstep:K",
       .example = "nstep:5",
       .id = FamilyId::nstep,
       .needs = kCritic,
       .arguments = {{true, [](double K) { return K >= 1; }}},
       .rule = "K must be a whole number of at least 1"},
      {.pattern = "gae:L",
       .example = "gae:0.95",
       .id = FamilyId::gae,
       .needs = kCritic,
       .arguments = {{false, [](double lambda) { return lambda >= 0 && lambda <= 1; }}},
       .rule = "lambda must be a number from 0 to 1"},
      {.pattern = "vtrace:RHO:C",
       .example = "vtrace:1:1",
       .id = FamilyId::vtrace,
       .needs = kCritic,
       .off_policy = true,
       .arguments = {{false, [](double rho) { return rho > 0; }}, {false, [](double c) { return c >= 0; }}},
       .rule = "RHO must be a positive number and C one from 0 on"},
      {.pattern = "ppo-clip:EPS",
       .example = "ppo-clip:0.2",
       .id = FamilyId::ppo_clip,
       .needs = kCritic,
       .off_policy = true,
       .arguments = {{false, [](double epsilon) { return epsilon > 0 && epsilon < 1; }}},
       .rule = "the clipping range must be a number between 0 and 1"},
  };
  return all;
}

/// All of the text as a number; nullopt where it is something else.
template <class N>
std::optional<double> number(std::string_view text) {
  N value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// The numbers in `text`, one for each argument, with colons between; nullopt where they are no such.
std::optional<std::vector<double>> numbers(std::string_view text,
                                           const std::vector<EstimatorArgument>& arguments) {
  std::vector<double> out;
  for (const EstimatorArgument& argument : arguments) {
    const bool last = out.size() + 1 == arguments.size();
    const std::size_t colon = last ? std::string_view::npos : text.find(':');
    const std::string_view piece = text.substr(0, colon);
    const auto x = argument.whole ? number<int>(piece) : number<double>(piece);
    if (!x || !argument.valid(*x)) return std::nullopt;
    out.push_back(*x);
    text = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  }
  return out;
}

}  // namespace

bool EstimatorSuffix::fits(EstimatorKind kind) const {
  return std::find(of.begin(), of.end(), kind) != of.end();
}

const std::vector<EstimatorSuffix>& estimator_suffixes() {
  static const std::vector<EstimatorSuffix> all = {
      {"+whitened",
       &EstimatorName::whitened,
       {causal},
       "has no advantages of single steps that +whitened could normalise"},
      {"+undiscounted",
       &EstimatorName::undiscounted,
       {causal, all_action},
       "carries no gamma^t that +undiscounted could drop"},
  };
  return all;
}

const std::deque<EstimatorFamily>& estimator_families() { return families(); }

void add_family(EstimatorFamily family) {
  for (const EstimatorFamily& each : families())
    expect(each.name() != family.name(), "there is an estimator '", family.name(), "' already");
  families().push_back(std::move(family));
}

EstimatorName parse_estimator(std::string_view name) {
  EstimatorName out;
  std::string_view base = name;
  // From the end, for a plus may stand in a number, too.
  const auto strip = [&](const EstimatorSuffix& suffix) {
    if (out.*suffix.flag || !base.ends_with(suffix.text)) return false;
    base.remove_suffix(suffix.text.size());
    return out.*suffix.flag = true;
  };
  const auto& suffixes = estimator_suffixes();
  while (std::any_of(suffixes.begin(), suffixes.end(), strip)) continue;

  const std::size_t colon = base.find(':');
  for (const EstimatorFamily& f : families())
    if (f.name() == base.substr(0, colon)) out.family = &f;
  if (!out.family) {
    std::string known, endings;
    for (const EstimatorFamily& f : families()) known += (known.empty() ? "" : ", ") + f.pattern;
    for (const EstimatorSuffix& s : suffixes)
      endings += (endings.empty() ? "" : " and ") + std::string(s.text);
    fail("unknown estimator '", name, "'; known: ", known, "; those that weigh single steps also with ",
         endings);
  }
  const EstimatorFamily& family = *out.family;
  if (colon != std::string_view::npos) out.argument = base.substr(colon + 1);
  expect(family.pattern.find(':') != std::string::npos || colon == std::string_view::npos, "estimator '",
         name, "' takes no argument after a colon");
  const auto arguments = numbers(out.argument, family.arguments);
  expect(arguments.has_value(), "estimator '", name, "': ", family.rule, ", as in ", family.example);
  out.arguments = *arguments;
  for (const EstimatorSuffix& suffix : suffixes)
    expect(!(out.*suffix.flag) || suffix.fits(family.kind), "estimator '", name, "': ", family.name(), " ",
           suffix.refusal);
  return out;
}

}  // namespace lowvar
