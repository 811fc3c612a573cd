#include "nn/policy.h"

namespace lowvar {

int inputs(const Model& model) {
  if (const auto* mlp = std::get_if<Mlp>(&model)) return mlp->sizes.front();
  if (const auto* linear = std::get_if<Linear>(&model)) return linear->inputs;
  if (const auto* reader = std::get_if<Reader>(&model)) return reader->states();
  return std::get<Table>(model).S;
}

int outputs(const Model& model) {
  if (const auto* mlp = std::get_if<Mlp>(&model)) return mlp->sizes.back();
  if (const auto* linear = std::get_if<Linear>(&model)) return linear->outputs;
  if (const auto* reader = std::get_if<Reader>(&model)) return reader->outputs;
  return std::get<Table>(model).outputs;
}

std::vector<std::string> names(const Model& model) {
  if (const auto* mlp = std::get_if<Mlp>(&model)) return mlp->names();
  if (std::holds_alternative<Linear>(model)) return {"K"};
  if (const auto* reader = std::get_if<Reader>(&model)) return reader->names();
  return {"table"};
}

std::vector<std::string> Policy::names() const {
  if (head == Head::softmax && std::holds_alternative<Table>(model)) return {"logits"};
  auto out = lowvar::names(model);
  if (head == Head::gaussian) out.emplace_back("log_std");
  return out;
}

std::vector<Array<double>> initialise(const Model& model, Rng& rng) {
  if (const auto* mlp = std::get_if<Mlp>(&model)) return initialise(*mlp, rng);
  if (const auto* linear = std::get_if<Linear>(&model))
    return {zeros<double>(linear->outputs, linear->inputs)};
  if (const auto* reader = std::get_if<Reader>(&model)) return initialise(*reader, rng);
  const auto& table = std::get<Table>(model);
  return {zeros<double>(table.rows(), table.outputs)};
}

std::vector<Array<double>> initialise(const Policy& policy, Rng& rng, double log_std) {
  auto theta = initialise(policy.model, rng);
  if (policy.head == Head::gaussian) theta.push_back(full<double>(1, outputs(policy.model), log_std));
  return theta;
}

Array<double> probabilities(const Policy& policy, const std::vector<Array<double>>& theta,
                            const Inputs& inputs) {
  expect(policy.head == Head::softmax, "only a softmax policy has action probabilities");
  const auto seen = inputs.observed<double>();
  Tape<double> tape;
  const auto pi = policy(tape.constants(borrow(theta)), inputs.state, seen.on(tape, 0, inputs.rows()));
  return exp(std::get<Categorical<double>>(pi).log_p).value();
}

}  // namespace lowvar
