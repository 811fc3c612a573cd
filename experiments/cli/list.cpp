// lowvar list and lowvar explain: what there is, and what an estimator is.
#include <fmt/format.h>

#include "algorithms/estimators/groups.h"
#include "experiments/algorithms.h"
#include "experiments/cli/commands.h"
#include "experiments/figures/figures.h"

namespace lowvar::cli {
namespace {

/// What a suffix changes.
std::string meaning(const EstimatorSuffix& s) {
  const UsedSuffix used{&s, {}};
  switch (s.kind) {
    case SuffixKind::path:
      return s.id == SuffixId::stop_policy ? "a_t of sg[s_t]: the derivative stops at what the policy looks at"
                                           : "r_t of sg[s_t]: the derivative stops at what the reward looks at";
    case SuffixKind::aggregation:
      return "g = " + aggregation(&used).equation;
    case SuffixKind::sampling:
      return "groups of equal returns are drawn again";
    case SuffixKind::importance:
      return "each z_t times " + importance_weight(used).equation;
    case SuffixKind::normalisation:
      return "advantages of the batch minus their mean, over their standard deviation";
    default:
      return "without the leading gamma^t";
  }
}

int list(const std::string& what) {
  std::string out;
  if (what == "envs") {
    for (const auto& w : worlds())
      out += fmt::format("{:<28} {}{}\n", w.id, w.T ? fmt::format("gamma {:<5} T {:<5} ", w.gamma, w.T) : "",
                         w.missing.empty() ? w.description : w.description + "; needs " + w.missing);
  } else if (what == "estimators") {
    for (const auto& f : estimator_families())
      out += fmt::format("{:<26} {}\n", f.pattern, make_estimator(f.example).equation);
    out += "\nbehind them, where they fit, in this order:\n";
    for (const auto& s : estimator_suffixes()) out += fmt::format("{:<26} {}\n", s.pattern, meaning(s));
    out += "\nunder the names that libraries ship them by:\n";
    for (const auto& p : estimator_presets()) out += fmt::format("{:<26} {}\n", p.pattern, p.stands_for);
  } else if (what == "figures") {
    for (const auto& f : figures()) out += fmt::format("{:<24} {}\n", f.id, f.description);
  } else if (what == "algorithms") {
    for (const auto& a : algorithms()) out += fmt::format("{:<20} {} ({})\n", a.id, a.description, a.source);
  } else {
    throw Error(unknown_name("list", what, {"envs", "estimators", "figures", "algorithms"}));
  }
  print(out);
  return 0;
}

/// The names of this library that a preset stands for.
std::string stands_for(const std::string& name) {
  const EstimatorPreset* preset = preset_of(name);
  return preset ? preset->stands_for : "";
}

int explain(const std::string& name) {
  const Estimator e = make_estimator(name);
  std::string needs;
  if (e.needs_action_values)
    needs += "a critic Q (--value)";
  else if (e.needs_critic)
    needs += "a critic V (--value)";
  if (e.needs_constants)
    needs +=
        std::string(needs.empty() ? "" : ", ") +
        (e.needs_states ? "constants of each state from the oracle" : "constants from the oracle or a pilot");
  if (e.needs_dynamics)
    needs += e.by_differences ? "states and actions that are numbers, and no noise"
                              : "dynamics that can be differentiated";
  if (e.needs_greedy) needs += "what the likeliest actions return";
  if (e.needs_reference)
    needs += std::string(needs.empty() ? "" : ", ") + "a reference policy, which a sequence world may say";
  const std::string unit = e.unit == 0 ? "one batch (--batch)"
                           : e.unit == 1
                               ? "one trajectory"
                               : fmt::format("one group of {} trajectories of the same start", e.unit);
  const std::string biased = !e.bias.empty()            ? "yes: " + e.bias
                             : !e.bias_of_world.empty() ? "no, but it leaves out " + e.bias_of_world
                             : !e.needs_critic          ? "no"
                             : e.any_critic ? "no, with any critic that is 0 at the end of an episode"
                                            : "only by its critic";
  std::string off_policy = e.off_policy ? "yes (--behaviour)" : "no";
  if (!e.bias_off_policy.empty())
    off_policy += ", and biased there even with the exact critic: " + e.bias_off_policy;
  if (e.off_policy && e.bias_off_policy.empty() && !e.needs_critic) off_policy += ", and unbiased there";
  const std::string note =
      e.note.empty() ? "" : fmt::format("  is           {}: {}\n", stands_for(name), e.note);
  const std::string file = e.where.file_name();
  const std::size_t begin = file.rfind("algorithms/");
  print(
      fmt::format("{}\n{}  equation     {}\n  source       {}\n  needs        {}\n  biased       {}\n  "
                  "off-policy   {}\n  "
                  "independent  {}\n  code         {}:{}\n",
                  e.name, note, e.equation, e.source, needs.empty() ? "nothing" : needs, biased, off_policy,
                  unit, begin == std::string::npos ? file : file.substr(begin), e.where.line()));
  return 0;
}

}  // namespace

void add_list(CLI::App& app, int& status) {
  auto* command = app.add_subcommand("list", "envs, estimators, figures or algorithms");
  auto what = std::make_shared<std::string>();
  command->add_option("what", *what, "envs | estimators | figures | algorithms")->required();
  command->callback([=, &status] { status = list(*what); });
}

void add_explain(CLI::App& app, int& status) {
  auto* command = app.add_subcommand("explain", "an estimator: equation, source, needs, code");
  auto estimator = std::make_shared<std::string>();
  command->add_option("estimator", *estimator, "its name")->required();
  command->callback([=, &status] { status = explain(*estimator); });
}

}  // namespace lowvar::cli
