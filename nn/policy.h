// Stochastic policies over discrete actions: softmax over a table of logits, or over an MLP of the
// observation.
#pragma once

#include <span>
#include <string>
#include <variant>
#include <vector>

#include "nn/distributions.h"
#include "nn/mlp.h"

namespace lowvar {

/// One row of logits for each of S states.
struct LogitTable {
  int S, A;
};

/// What the policy looks at, a row a step: state numbers for a table, observations [n x p] for a network.
struct Inputs {
  std::span<const int> state;
  const Array<double>* observation = nullptr;
};

/// pi(a|s; theta) = softmax(logits(s; theta))_a.
struct SoftmaxPolicy {
  std::variant<LogitTable, Mlp> model;

  /// Names of the parameter arrays, for reports by layer.
  std::vector<std::string> names() const;
  int actions() const;

  template <class T>
  Categorical<T> operator()(const std::vector<Var<T>>& theta, std::span<const int> state,
                            Var<T> observation) const {
    if (std::holds_alternative<LogitTable>(model))
      return Categorical<T>::from_logits(gather(theta.front(), state));
    return Categorical<T>::from_logits(forward(std::get<Mlp>(model), theta, observation));
  }

  /// The distribution for these inputs; the observations become data of the tape.
  Categorical<double> operator()(Tape<double>& tape, const std::vector<Var<double>>& theta,
                                 const Inputs& inputs) const {
    return (*this)(theta, inputs.state, inputs.observation ? tape.data(*inputs.observation) : Var<double>());
  }
};

/// Rows of action probabilities: [n x A].
Array<double> probabilities(const SoftmaxPolicy& policy, const std::vector<Array<double>>& theta,
                            const Inputs& inputs);

}  // namespace lowvar
