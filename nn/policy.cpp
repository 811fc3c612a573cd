#include "nn/policy.h"

#include <cmath>

namespace lowvar {

std::vector<std::string> SoftmaxPolicy::names() const {
  if (const auto* mlp = std::get_if<Mlp>(&model)) return mlp->names();
  return {"logits"};
}

int SoftmaxPolicy::actions() const {
  if (const auto* mlp = std::get_if<Mlp>(&model)) return mlp->sizes.back();
  return std::get<LogitTable>(model).A;
}

Array<double> probabilities(const SoftmaxPolicy& policy, const std::vector<Array<double>>& theta,
                            const Inputs& inputs) {
  Tape<double> tape;
  std::vector<Var<double>> constants;
  for (const auto& x : theta) constants.push_back(tape.constant(x));
  return exp(policy(tape, constants, inputs).log_p).value();
}

}  // namespace lowvar
