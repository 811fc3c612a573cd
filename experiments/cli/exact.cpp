// lowvar exact: J, the gradient, and the exact bias and variance of estimators, where the model
// is known.
#include <fmt/format.h>

#include "experiments/cli/commands.h"

namespace lowvar::cli {
namespace {

Json as_json(const ExactResult& result) {
  Json out{{"J", result.J}, {"gradient", result.gradient}, {"estimators", Json::object()}};
  for (const auto& row : result.estimators) {
    Json& entry = out["estimators"][row.estimator];
    if (row.trace_cov)
      entry = {{"bias_norm", *row.bias_norm}, {"trace_cov", *row.trace_cov}};
    else
      entry = {{"bias_norm", nullptr}, {"trace_cov", nullptr}, {"reason", row.reason}};
  }
  return out;
}

std::string as_text(const ExactResult& result) {
  std::string out =
      fmt::format("J = {:.12g}\n{:<32} {:>22} {:>22}\n", result.J, "estimator", "bias_norm", "trace_cov");
  for (const auto& row : result.estimators)
    out += row.trace_cov
               ? fmt::format("{:<32} {:>22.12g} {:>22.12g}\n", row.estimator, *row.bias_norm, *row.trace_cov)
               : fmt::format("{:<32} {}\n", row.estimator, row.reason);
  return out;
}

int exact(const Selection& selection, bool json) {
  const ExactResult result = study_exact(subject_of(selection));
  print(json ? json_text(as_json(result)) : as_text(result));
  return 0;
}

}  // namespace

void add_exact(CLI::App& app, int& status) {
  auto* command =
      app.add_subcommand("exact", "exact J, gradient, bias and variance where the model is known");
  auto selection = std::make_shared<Selection>();
  auto as_json = std::make_shared<bool>(false);
  selection->add_to(*command);
  command->add_flag("--json", *as_json, "print JSON");
  command->callback([=, &status] { status = exact(*selection, *as_json); });
}

}  // namespace lowvar::cli
