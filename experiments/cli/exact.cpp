// lowvar exact: J, the gradient, and the exact bias and variance of estimators, where the model
// is known.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <numeric>

#include "algorithms/exact/tabular.h"
#include "experiments/cli/commands.h"

namespace lowvar::cli {
namespace {

int exact(const Selection& selection, bool as_json) {
  const Selected chosen = select(selection);
  expect(chosen.world.known(), "exact needs a world whose model is known, and ", chosen.world.id,
         " has none; measure it with variance");
  expect(chosen.value != "learned",
         "exact takes a critic that is given (exact, scaled:C, zero, file:F), not a learned one");
  const bool of_actions = std::any_of(chosen.estimators.begin(), chosen.estimators.end(),
                                      [](const Estimator& e) { return e.needs_action_values; });
  const FittedCritic critic = make_critic(chosen.world, chosen.behaviour, chosen.value, 0, 0, of_actions);
  Json out;
  out["J"] = chosen.world.mdp
                 ? expected_return(*chosen.world.mdp,
                                   table_of(chosen.world, chosen.policy.policy, chosen.policy.theta))
                 : make_constants(chosen.world, chosen.policy, 0, 0).J;
  out["gradient"] = Json::array();
  out["estimators"] = Json::object();
  for (const auto& e : chosen.estimators) {
    const auto answer = ask_oracle(chosen.world, chosen.policy.policy, chosen.policy.theta,
                                   chosen.behaviour.theta, e, critic, chosen.batch);
    out["gradient"] = answer.truth.gradient;
    Json& entry = out["estimators"][e.name];
    if (answer.truth.variance.empty()) {
      entry = {{"bias_norm", nullptr}, {"trace_cov", nullptr}, {"reason", answer.reason}};
      continue;
    }
    double square = 0;
    for (std::size_t i = 0; i < answer.truth.mean.size(); ++i)
      square += std::pow(answer.truth.mean[i] - answer.truth.gradient[i], 2);
    entry = {{"bias_norm", std::sqrt(square)},
             {"trace_cov", std::accumulate(answer.truth.variance.begin(), answer.truth.variance.end(), 0.0)}};
  }
  if (as_json) {
    std::cout << out.dump(2) << "\n";
    return 0;
  }
  fmt::print("J = {:.12g}\n{:<32} {:>22} {:>22}\n", double(out["J"]), "estimator", "bias_norm", "trace_cov");
  for (const auto& [name, entry] : out["estimators"].items()) {
    if (entry["trace_cov"].is_null())
      fmt::print("{:<32} {}\n", name, std::string(entry["reason"]));
    else
      fmt::print("{:<32} {:>22.12g} {:>22.12g}\n", name, double(entry["bias_norm"]),
                 double(entry["trace_cov"]));
  }
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
