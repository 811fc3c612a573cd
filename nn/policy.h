// Models of what is seen (a table over states, a linear map or a network of the observation) and stochastic
// policies on them.
#pragma once

#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/aliases.h"
#include "nn/cnn.h"
#include "nn/distributions.h"
#include "nn/observations.h"
#include "nn/reader.h"

namespace lowvar {

/// A row of `outputs` numbers for each of S states: logits, values, ... States share rows where there are
/// aliases.
struct Table {
  int S, outputs;
  std::shared_ptr<const Aliases> aliases = nullptr;

  int rows() const { return aliases ? aliases->rows : S; }
};

/// K x of an observation x; K [outputs x inputs] is the only parameter array.
struct Linear {
  int inputs, outputs;
};

/// From a state number (Table, Reader) or an observation (Mlp, Cnn, Linear) to a row of outputs.
using Model = std::variant<Table, Mlp, Linear, Reader, Cnn>;

/// Whether it looks at numbers of states, not at observations.
inline bool of_states(const Model& model) {
  return std::holds_alternative<Table>(model) || std::holds_alternative<Reader>(model);
}

/// Numbers that an observation has; of a model of states, these.
int inputs(const Model& model);
int outputs(const Model& model);
/// About how many multiplications a row costs.
double multiplications(const Model& model);
/// Names of the parameter arrays, for reports by layer, and their shapes.
std::vector<std::string> names(const Model& model);
std::vector<Shape> shapes(const Model& model);

/// What is seen, a row a step: state numbers for a table, observations [n x p] for a network.
struct Inputs {
  std::span<const int> state;
  const Observations* observation = nullptr;

  int rows() const { return observation ? observation->rows() : side(state.size()); }
  std::span<const int> states(int begin, int end) const {
    return observation
               ? std::span<const int>()
               : state.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
  }
  /// Where rows of observations are looked at; empty for numbers of states.
  template <class T>
  ObservedRows<T> observed() const {
    static const Observations none;
    return ObservedRows<T>(observation ? *observation : none);
  }
};

/// Outputs [n x outputs] of the model; models of_states look at `state`, the others at `observation` [n
/// x p].
template <class T>
Var<T> forward(const Model& model, const std::vector<Var<T>>& theta, std::span<const int> state,
               Var<T> observation, At at = At::current()) {
  if (const auto* table = std::get_if<Table>(&model)) {
    if (!table->aliases) return gather(theta.front(), state, at);
    std::vector<int> row;
    for (const int s : state) row.push_back(table->aliases->of[static_cast<std::size_t>(s)]);
    return gather(theta.front(), row, at);
  }
  if (const auto* reader = std::get_if<Reader>(&model)) return forward(*reader, theta, state, at);
  if (std::holds_alternative<Linear>(model)) return matmul_nt(observation, theta.front(), at);
  if (const auto* cnn = std::get_if<Cnn>(&model)) return forward(*cnn, theta, observation, at);
  return forward(std::get<Mlp>(model), theta, observation, at);
}

/// What was done, a row a step: numbers of choices for Categorical, vectors [n x m] for the others.
template <class T>
struct Actions {
  std::span<const int> choice;
  Var<T> vector;
};

template <class T>
using Distribution = std::variant<Categorical<T>, DiagGaussian<T>, MultiCategorical<T>>;

/// log pi(a_r) of each row, [n x 1].
template <class T>
Var<T> log_prob(const Distribution<T>& pi, const Actions<T>& actions, At at = At::current()) {
  if (const auto* p = std::get_if<Categorical<T>>(&pi)) return p->log_prob(actions.choice, at);
  if (const auto* p = std::get_if<MultiCategorical<T>>(&pi)) return p->log_prob(actions.vector, at);
  return std::get<DiagGaussian<T>>(pi).log_prob(actions.vector, at);
}

/// Of each row, [n x 1].
template <class T>
Var<T> entropy(const Distribution<T>& pi, At at = At::current()) {
  return std::visit([&](const auto& p) { return p.entropy(at); }, pi);
}

/// KL(p || q) of each row, [n x 1]; both of one kind.
template <class T>
Var<T> kl(const Distribution<T>& p, const Distribution<T>& q, At at = At::current()) {
  return std::visit([&]<class P>(const P& of_kind) { return kl(of_kind, std::get<P>(q), at); }, p);
}

enum class Head {
  softmax,   // pi(a|s) = softmax(outputs)_a
  gaussian,  // N(outputs, diag(exp(2 log_std))); log_std [1 x m] is the last parameter array
  choices,   // component j of a vector = k with probability softmax(outputs of block j)_k, independently
};

/// pi(a|s; theta): a model, and how its outputs are read.
struct Policy {
  Model model;
  Head head = Head::softmax;
  std::vector<double> low = {}, high = {};  // [m], or empty: where a Gaussian's mean is kept, by tanh
  std::vector<int> levels = {};             // [m], of `choices`: outputs in block j

  /// Names of the parameter arrays, for reports by layer.
  std::vector<std::string> names() const;

  template <class T>
  Distribution<T> operator()(const std::vector<Var<T>>& theta, std::span<const int> state, Var<T> observation,
                             At at = At::current()) const {
    const CalledFrom here(at);
    if (head == Head::softmax) return Categorical<T>::from_logits(forward(model, theta, state, observation));
    if (head == Head::choices)
      return MultiCategorical<T>::from_logits(forward(model, theta, state, observation), levels);
    const std::vector<Var<T>> of_mean(theta.begin(), theta.end() - 1);
    const Var<T> mean = forward(model, of_mean, state, observation);
    return DiagGaussian<T>{low.empty() ? mean : between_bounds(mean), theta.back()};
  }

  /// (high + low) / 2 + (high - low) / 2 tanh(x), component by component.
  template <class T>
  Var<T> between_bounds(Var<T> x, At at = At::current()) const {
    const CalledFrom here(at);
    Array<T> middle = zeros<T>(1, static_cast<int>(low.size())), half = middle;
    for (std::size_t j = 0; j < low.size(); ++j) {
      middle(0, j) = static_cast<T>(0.5 * (high[j] + low[j]));
      half(0, j) = static_cast<T>(0.5 * (high[j] - low[j]));
    }
    return tanh(x) * half + middle;
  }
};

/// Parameters of the model: zeros for a table or K, orthogonal weights for a network.
std::vector<Array<double>> initialise(const Model& model, Rng& rng);
/// The same, but those of an Mlp and a Cnn are uniform (initialise_uniform of mlp.h).
std::vector<Array<double>> initialise_uniform(const Model& model, Rng& rng);
/// Those of the model, then log_std, all `log_std`, for a Gaussian head.
std::vector<Array<double>> initialise(const Policy& policy, Rng& rng, double log_std = 0);

/// Rows of action probabilities of a softmax policy: [n x A].
Array<double> probabilities(const Policy& policy, const std::vector<Array<double>>& theta,
                            const Inputs& inputs);

}  // namespace lowvar
