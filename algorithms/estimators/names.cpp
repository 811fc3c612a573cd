#include "algorithms/estimators/names.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "core/error.h"

namespace lowvar {
namespace {

using enum EstimatorKind;

constexpr EstimatorNeeds kCritic{.critic = true}, kActionValues{.critic = true, .action_values = true},
    kConstants{.constants = true}, kStates{.constants = true, .states = true}, kGreedy{.greedy = true},
    kReference{.reference = true};

const EstimatorArgument kGroup{true, [](double G) { return G >= 2 && G <= 1'000'000; }};

/// A family of groups of G trajectories.
EstimatorFamily of_groups(const std::string& name, FamilyId id) {
  return {.pattern = name + ":G",
          .example = name + ":4",
          .kind = whole,
          .id = id,
          .groups = true,
          .arguments = {kGroup},
          .rule = "G must be a whole number of at least 2"};
}

EstimatorFamily topr() {
  EstimatorFamily out = of_groups("topr", FamilyId::topr);
  out.off_policy = true;
  return out;
}

/// A family of derivatives along paths, stopped at every K-th state.
EstimatorFamily of_paths(const std::string& name, FamilyId id) {
  return {.pattern = name + "[:K]",
          .example = name + ":20",
          .kind = pathwise,
          .id = id,
          .needs = {.dynamics = true, .differences = id == FamilyId::pathwise_fd},
          .arguments = {{.whole = true, .valid = [](double K) { return K >= 1; }, .optional = true}},
          .rule = "K must be a whole number of at least 1"};
}

constexpr auto positive = [](double x) { return x > 0; };
constexpr auto not_negative = [](double x) { return x >= 0; };

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
      of_groups("mean", FamilyId::mean),
      of_groups("rloo", FamilyId::rloo),
      of_groups("grpo", FamilyId::grpo),
      of_groups("opo", FamilyId::opo),
      of_groups("opo-loo", FamilyId::opo_loo),
      of_groups("whiten", FamilyId::whiten),
      of_groups("maxrl", FamilyId::maxrl),
      of_groups("gpg", FamilyId::gpg),
      of_groups("best-second", FamilyId::best_second),
      {.pattern = "pkpo:G:K[:FORM]",
       .example = "pkpo:4:2:loo1",
       .kind = whole,
       .id = FamilyId::pkpo,
       .groups = true,
       .arguments = {kGroup,
                     {true, [](double K) { return K >= 1; }},
                     {.words = {"basic", "loo", "loo1"}, .optional = true}},
       .rule = "K must be a whole number from 1 to G, below G for loo, and FORM one of basic, loo, loo1",
       .together = [](const std::vector<double>& x) { return x[2] == 1 ? x[1] < x[0] : x[1] <= x[0]; }},
      topr(),
      {"remax", "remax", whole, FamilyId::remax, kGreedy},
      {.pattern = "kl:VARIANT",
       .example = "kl:k1-togo",
       .kind = whole,
       .id = FamilyId::kl,
       .needs = kReference,
       .arguments = {{.words = {"k1-reward", "k1-togo", "k1-togo-value", "k1-token", "k2-loss", "k3-loss",
                                "k3-loss-sequence", "k3-togo", "v32", "full-vocabulary", "rao-blackwell"}}},
       .rule = "VARIANT must be one of k1-reward, k1-togo, k1-togo-value, k1-token, k2-loss, k3-loss, "
               "k3-loss-sequence, k3-togo, v32, full-vocabulary, rao-blackwell"},
      {"all-action", "all-action", all_action, FamilyId::all_action, kActionValues},
      of_paths("pathwise", FamilyId::pathwise),
      of_paths("pathwise-fd", FamilyId::pathwise_fd),
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

std::deque<EstimatorSuffix>& suffixes() {
  using enum SuffixKind;
  const std::vector<EstimatorKind> of_scores = {whole, causal};
  const std::string no_scores = "weighs no scores of what was done",
                    no_path = "follows no path through the dynamics";
  const EstimatorArgument bound{false, positive}, perhaps{.valid = positive, .optional = true},
      below{.valid = [](double x) { return x >= 0 && x <= 1; }}, above{.valid = not_negative};
  static std::deque<EstimatorSuffix> all = {
      {"+seq-mean", "+seq-mean", aggregation, SuffixId::seq_mean, of_scores, no_scores},
      {"+token-mean", "+token-mean", aggregation, SuffixId::token_mean, of_scores, no_scores},
      {"+const", "+const", aggregation, SuffixId::constant, of_scores, no_scores},
      {"+dynamic",
       "+dynamic",
       sampling,
       SuffixId::dynamic,
       {whole},
       "weighs no groups that could be drawn again"},
      {"+is-none", "+is-none", importance, SuffixId::is_none, of_scores, no_scores},
      {"+is-token", "+is-token", importance, SuffixId::is_token, of_scores, no_scores},
      {"+is-sequence[:C]",
       "+is-sequence",
       importance,
       SuffixId::is_sequence,
       of_scores,
       no_scores,
       {perhaps},
       "C must be a positive number"},
      {"+is-cumulative", "+is-cumulative", importance, SuffixId::is_cumulative, of_scores, no_scores},
      {"+is-geometric", "+is-geometric", importance, SuffixId::is_geometric, of_scores, no_scores},
      {"+mask:C",
       "+mask:2",
       importance,
       SuffixId::mask,
       of_scores,
       no_scores,
       {bound},
       "C must be a positive number"},
      {"+clip:LO:HI",
       "+clip:0.2:0.28",
       importance,
       SuffixId::clip,
       of_scores,
       no_scores,
       {below, above},
       "LO must be a number from 0 to 1 and HI one from 0 on"},
      {"+cispo:HI",
       "+cispo:1.28",
       importance,
       SuffixId::cispo,
       of_scores,
       no_scores,
       {bound},
       "HI must be a positive number"},
      {"+gspo[:LO:HI]",
       "+gspo:0.0003:0.0004",
       importance,
       SuffixId::gspo,
       of_scores,
       no_scores,
       {{.valid = below.valid, .optional = true}, {.valid = above.valid, .optional = true}},
       "LO must be a number from 0 to 1 and HI one from 0 on"},
      {"+whitened",
       "+whitened",
       normalisation,
       SuffixId::whitened,
       {causal},
       "has no advantages of single steps that +whitened could normalise"},
      {"+undiscounted",
       "+undiscounted",
       discount,
       SuffixId::undiscounted,
       {causal, all_action},
       "carries no gamma^t that +undiscounted could drop"},
      {"+stop-policy", "+stop-policy", path, SuffixId::stop_policy, {pathwise}, no_path},
      {"+stop-reward", "+stop-reward", path, SuffixId::stop_reward, {pathwise}, no_path},
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

/// What an argument's text means; nullopt where it is nothing that the argument may be.
std::optional<double> meaning(std::string_view text, const EstimatorArgument& argument) {
  if (!argument.words.empty()) {
    const auto word = std::find(argument.words.begin(), argument.words.end(), text);
    if (word == argument.words.end()) return std::nullopt;
    return static_cast<double>(word - argument.words.begin());
  }
  const auto x = argument.whole ? std::optional<double>(number<int>(text)) : number<double>(text);
  return x && argument.valid(*x) ? x : std::nullopt;
}

/// What stands in `text`, with colons between; nullopt where that is no list of such arguments. Words that
/// are left out are the first of theirs, and numbers are none.
std::optional<std::vector<double>> read_arguments(std::string_view text, bool any,
                                                  const std::vector<EstimatorArgument>& arguments) {
  std::vector<double> out;
  for (const EstimatorArgument& argument : arguments) {
    if (!any) {
      if (!argument.optional) return std::nullopt;
      if (!argument.words.empty()) out.push_back(0);
      continue;
    }
    const bool last = out.size() + 1 == arguments.size();
    const std::size_t colon = last ? std::string_view::npos : text.find(':');
    const auto x = meaning(text.substr(0, colon), argument);
    if (!x) return std::nullopt;
    out.push_back(*x);
    any = colon != std::string_view::npos;
    text = any ? text.substr(colon + 1) : std::string_view();
  }
  if (any && arguments.empty()) return std::nullopt;
  return out;
}

/// Where `base` ends with a suffix of this name, the arguments with their first colon included; nullopt where
/// it does not.
std::optional<std::string_view> ending(std::string_view base, const EstimatorSuffix& suffix) {
  const std::size_t begin = base.rfind(suffix.name());
  if (begin == std::string_view::npos || begin == 0) return std::nullopt;
  const std::string_view rest = base.substr(begin + suffix.name().size());
  if (rest.empty()) return rest;
  if (rest.front() != ':') return std::nullopt;
  // A plus behind it may be of a number, as 1e+3 is, and of nothing else.
  for (std::size_t plus = rest.find('+'); plus != std::string_view::npos; plus = rest.find('+', plus + 1))
    if (rest[plus - 1] != 'e' && rest[plus - 1] != 'E') return std::nullopt;
  return rest;
}

}  // namespace

bool EstimatorSuffix::fits(const EstimatorFamily& family) const {
  if (std::find(of.begin(), of.end(), family.kind) == of.end()) return false;
  if (id == SuffixId::dynamic) return family.groups;
  const bool other = family.id == FamilyId::kl || family.id == FamilyId::reinforce_per_parameter;
  if (kind == SuffixKind::aggregation) return !other;
  if (kind == SuffixKind::importance) return !other && !family.off_policy;
  return true;
}

const UsedSuffix* EstimatorName::suffix(SuffixKind kind) const {
  for (const UsedSuffix& used : suffixes)
    if (used.suffix->kind == kind) return &used;
  return nullptr;
}

const std::deque<EstimatorSuffix>& estimator_suffixes() { return suffixes(); }

void add_suffix(EstimatorSuffix suffix) {
  expect(suffix.name().starts_with('+'), "a suffix of an estimator begins with +, got '", suffix.name(), "'");
  for (const EstimatorSuffix& each : suffixes())
    expect(each.name() != suffix.name(), "there is a suffix '", suffix.name(), "' already");
  suffixes().push_back(std::move(suffix));
}

const std::deque<EstimatorFamily>& estimator_families() { return families(); }

void add_family(EstimatorFamily family) {
  for (const EstimatorFamily& each : families())
    expect(each.name() != family.name(), "there is an estimator '", family.name(), "' already");
  families().push_back(std::move(family));
}

const std::vector<EstimatorPreset>& estimator_presets() {
  static const std::vector<EstimatorPreset> all = {
      {"trl-grpo:G", "grpo:G+seq-mean",
       "TRL's loss_type=grpo: sd with ddof 1; it adds 1e-4 to the sd, which is 0 here; add +clip:0.2:0.2 for "
       "its clip"},
      {"trl-bnpo:G", "grpo:G+token-mean",
       "TRL's loss_type=bnpo: a mean over the tokens of the local batch, here of the group; not the BNPO of "
       "2506.02864"},
      {"trl-dr-grpo:G", "mean:G+const",
       "TRL's loss_type=dr_grpo with scale_rewards off: tokens over G times the longest answer"},
      {"trl-dapo:G", "grpo:G+token-mean",
       "TRL's loss_type=dapo: a mean over the tokens of the batch, here of the group; add +dynamic for "
       "dynamic sampling and +clip:0.2:0.28"},
      {"verl-grpo:G", "grpo:G+token-mean",
       "verl's adv_estimator=grpo with its default loss_agg_mode=token-mean; it adds 1e-6 to the sd, which "
       "is 0 here"},
      {"verl-rloo:G", "rloo:G+token-mean",
       "verl's adv_estimator=rloo with its default loss_agg_mode=token-mean, which is not the unbiased sum"},
      {"verl-opo:G", "opo:G+token-mean",
       "verl's adv_estimator=opo: the length-weighted mean of the whole group, the answer itself included"},
      {"verl-reinforce-plus-plus:G", "whiten:G+token-mean",
       "verl's adv_estimator=reinforce_plus_plus for a batch of one prompt: whitened over tokens, no KL in "
       "the reward"},
      {"verl-gpg:G", "gpg:G+token-mean",
       "verl's adv_estimator=gpg with f_norm = 1 for a batch of one prompt, where it is MaxRL with the mean "
       "as control variate"},
      {"verl-grpo-passk:G", "best-second:G+token-mean",
       "verl's adv_estimator=grpo_passk without the division by the sd that it has by default"},
  };
  return all;
}

const EstimatorPreset* preset_of(std::string_view name) {
  for (const EstimatorPreset& preset : estimator_presets())
    if (name.substr(0, name.find(':')) == preset.pattern.substr(0, preset.pattern.find(':'))) return &preset;
  return nullptr;
}

EstimatorName parse_estimator(std::string_view name) {
  if (const EstimatorPreset* preset = preset_of(name)) {
    const std::size_t begin = std::min(name.size(), name.find(':') + 1),
                      end = std::min(name.size(), name.find('+'));
    expect(name.find(':') != std::string_view::npos && begin <= end, "estimator '", name,
           "': G must be a whole number of at least 2, as in ",
           preset->pattern.substr(0, preset->pattern.size() - 1), "8");
    std::string full = preset->stands_for;
    full.replace(full.find(":G") + 1, 1, name.substr(begin, end - begin));
    EstimatorName out = parse_estimator(full + std::string(name.substr(end)));
    out.argument = {};
    return out;
  }
  EstimatorName out;
  std::string_view base = name;
  // From the end, for a plus may stand in a number, too.
  const auto strip = [&](const EstimatorSuffix& suffix) {
    const auto text = ending(base, suffix);
    if (!text) return false;
    if (const UsedSuffix* other = out.suffix(suffix.kind)) {
      expect(suffix.kind >= SuffixKind::normalisation, "estimator '", name, "' has both ", suffix.name(),
             " and ", other->suffix->name(), ", of which one is enough");
      return false;
    }
    const auto arguments =
        read_arguments(text->substr(text->empty() ? 0 : 1), !text->empty(), suffix.arguments);
    expect(arguments.has_value(), "estimator '", name, "': ",
           suffix.rule.empty() ? join(suffix.name(), " takes no argument")
                               : join(suffix.rule, " after ", suffix.name()),
           ", as in ", suffix.example);
    base.remove_suffix(suffix.name().size() + text->size());
    out.suffixes.insert(out.suffixes.begin(), {&suffix, *arguments});
    return true;
  };
  while (std::any_of(suffixes().begin(), suffixes().end(), strip)) continue;

  const std::size_t colon = base.find(':');
  for (const EstimatorFamily& f : families())
    if (f.name() == base.substr(0, colon)) out.family = &f;
  if (!out.family) {
    std::string known, endings;
    for (const EstimatorFamily& f : families()) known += (known.empty() ? "" : ", ") + f.pattern;
    for (const EstimatorSuffix& s : suffixes()) endings += (endings.empty() ? "" : ", ") + s.pattern;
    fail("unknown estimator '", name, "'; known: ", known, "; and behind them, where they fit, ", endings);
  }
  const EstimatorFamily& family = *out.family;
  if (colon != std::string_view::npos) out.argument = base.substr(colon + 1);
  expect(family.pattern.find(':') != std::string::npos || colon == std::string_view::npos, "estimator '",
         name, "' takes no argument after a colon");
  if (family.id != FamilyId::outside) {
    const auto arguments = read_arguments(out.argument, colon != std::string_view::npos, family.arguments);
    expect(arguments && (!family.together || family.together(*arguments)), "estimator '", name,
           "': ", family.rule, ", as in ", family.example);
    out.arguments = *arguments;
  }
  for (const UsedSuffix& used : out.suffixes)
    expect(used.suffix->fits(family), "estimator '", name, "': ", family.name(), " ",
           used.suffix->kind == SuffixKind::importance && family.off_policy
               ? "has importance weights of its own"
               : used.suffix->refusal);
  for (std::size_t i = 1; i < out.suffixes.size(); ++i)
    expect(out.suffixes[i - 1].suffix->kind < out.suffixes[i].suffix->kind ||
               out.suffixes[i].suffix->kind >= SuffixKind::normalisation,
           "estimator '", name, "': ", out.suffixes[i].suffix->name(), " stands before ",
           out.suffixes[i - 1].suffix->name());
  return out;
}

}  // namespace lowvar
