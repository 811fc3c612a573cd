#include "nn/policy.h"

namespace lowvar {

int inputs(const Model& model) {
  if (const auto* cnn = std::get_if<Cnn>(&model)) return cnn->image.size();
  if (const auto* mlp = std::get_if<Mlp>(&model)) return mlp->sizes.front();
  if (const auto* linear = std::get_if<Linear>(&model)) return linear->inputs;
  if (const auto* reader = std::get_if<Reader>(&model)) return reader->states();
  return std::get<Table>(model).S;
}

int outputs(const Model& model) {
  if (const auto* cnn = std::get_if<Cnn>(&model)) return cnn->mlp.sizes.back();
  if (const auto* mlp = std::get_if<Mlp>(&model)) return mlp->sizes.back();
  if (const auto* linear = std::get_if<Linear>(&model)) return linear->outputs;
  if (const auto* reader = std::get_if<Reader>(&model)) return reader->outputs;
  return std::get<Table>(model).outputs;
}

double multiplications(const Model& model) {
  double out = 0;
  if (const auto* cnn = std::get_if<Cnn>(&model)) {
    for (std::size_t l = 0; l < cnn->filters.size(); ++l) {
      const Window w = cnn->window(l);
      out += 1.0 * w.rows() * w.cols() * w.size() * cnn->filters[l].filters;
    }
    return out + multiplications(cnn->mlp);
  }
  if (std::holds_alternative<Table>(model)) return out;
  for (const Shape& each : shapes(model)) out += static_cast<double>(each.size());
  return out;
}

std::vector<std::string> names(const Model& model) {
  if (const auto* cnn = std::get_if<Cnn>(&model)) return cnn->names();
  if (const auto* mlp = std::get_if<Mlp>(&model)) return mlp->names();
  if (std::holds_alternative<Linear>(model)) return {"K"};
  if (const auto* reader = std::get_if<Reader>(&model)) return reader->names();
  return {"table"};
}

std::vector<Shape> shapes(const Model& model) {
  if (const auto* cnn = std::get_if<Cnn>(&model)) return cnn->shapes();
  if (const auto* mlp = std::get_if<Mlp>(&model)) return mlp->shapes();
  if (const auto* linear = std::get_if<Linear>(&model)) return {{linear->outputs, linear->inputs}};
  if (const auto* reader = std::get_if<Reader>(&model)) return reader->shapes();
  const auto& table = std::get<Table>(model);
  return {{table.rows(), table.outputs}};
}

std::vector<std::string> Policy::names() const {
  if (head == Head::softmax && std::holds_alternative<Table>(model)) return {"logits"};
  auto out = lowvar::names(model);
  if (head == Head::gaussian) out.emplace_back("log_std");
  return out;
}

std::vector<Array<double>> initialise(const Model& model, Rng& rng) {
  if (const auto* cnn = std::get_if<Cnn>(&model)) return initialise(*cnn, rng);
  if (const auto* mlp = std::get_if<Mlp>(&model)) return initialise(*mlp, rng);
  if (const auto* linear = std::get_if<Linear>(&model))
    return {zeros<double>(linear->outputs, linear->inputs)};
  if (const auto* reader = std::get_if<Reader>(&model)) return initialise(*reader, rng);
  const auto& table = std::get<Table>(model);
  return {zeros<double>(table.rows(), table.outputs)};
}

std::vector<Array<double>> initialise_uniform(const Model& model, Rng& rng) {
  if (const auto* cnn = std::get_if<Cnn>(&model)) return initialise_uniform(*cnn, rng);
  if (const auto* mlp = std::get_if<Mlp>(&model)) return initialise_uniform(*mlp, rng);
  return initialise(model, rng);
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
