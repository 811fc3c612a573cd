// lowvar exact: J, the gradient, and the exact bias and variance of estimators, where the model
// is known.
#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "experiments/answers.h"
#include "experiments/cli/commands.h"

namespace lowvar::cli {
namespace {

double inner(const std::vector<double>& x, const std::vector<double>& y) {
  return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
}

/// How E g lies to the gradient: its length, their cosine, scale = <E g, grad> / |grad|^2, the share that is
/// not along it, and the noise to the signal that there is.
void add_direction(Json& entry, const ExactResult::Row& row) {
  const double own = inner(row.mean, row.mean), other = inner(row.gradient, row.gradient),
               both = inner(row.mean, row.gradient);
  const auto ratio = [](double x, double y) { return y > 0 ? Json(x / y) : Json(nullptr); };
  entry["mean_norm_sq"] = own;
  entry["cosine"] = ratio(both, std::sqrt(own * other));
  entry["scale"] = ratio(both, other);
  double apart = 0;
  for (std::size_t j = 0; j < row.mean.size(); ++j)
    apart += std::pow(row.mean[j] - (other > 0 ? both / other : 0) * row.gradient[j], 2);
  entry["residual"] = ratio(std::sqrt(apart), std::sqrt(other));
  entry["nsr"] = ratio(*row.trace_cov, own);
  entry["mean"] = row.mean;
}

Json as_json(const ExactResult& result) {
  Json out{{"J", result.J}, {"gradient", result.gradient}, {"estimators", Json::object()}};
  for (const auto& row : result.estimators) {
    Json& entry = out["estimators"][row.estimator];
    if (row.trace_cov) {
      entry = {{"bias_norm", *row.bias_norm}, {"trace_cov", *row.trace_cov}};
      add_direction(entry, row);
      if (row.gradient != result.gradient) entry["gradient"] = row.gradient;
    } else
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

int exact(const Selection& selection, const std::string& kl, bool json) {
  const Subject subject = subject_of(selection);
  const ExactResult result = study_exact(subject);
  Json out = as_json(result);
  std::string text = as_text(result);
  if (!kl.empty())
    for (const auto& [name, at] : resting_places(subject.world, real_option("--kl", kl))) {
      out["rests"][name] = {{"J", at.J}, {"KL", at.KL}, {"value", at.value}};
      text += fmt::format("J - {} KL rests, {:<8} J {:.9g}, KL {:.9g}, value {:.9g}\n", kl, name, at.J, at.KL,
                          at.value);
    }
  print(json ? json_text(out) : text);
  return 0;
}

}  // namespace

void add_exact(CLI::App& app, int& status) {
  auto* command =
      app.add_subcommand("exact", "exact J, gradient, bias and variance where the model is known");
  auto selection = std::make_shared<Selection>();
  auto as_json = std::make_shared<bool>(false);
  auto kl = std::make_shared<std::string>();
  selection->add_to(*command);
  command->add_option(
      "--kl", *kl,
      "a weight: where updates with that much KL come to rest, in a sequence world with a reference");
  command->add_flag("--json", *as_json, "print JSON");
  command->callback([=, &status] { status = exact(*selection, *kl, *as_json); });
}

}  // namespace lowvar::cli
