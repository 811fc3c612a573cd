// One gradient. What the ruler measures and what trainers of stochastic policies follow is formed here: a
// batch meets a policy (and a critic) to be differentiated in this file and nowhere else.
#pragma once

#include <span>
#include <vector>

#include "algorithms/estimators/estimator.h"

namespace lowvar {

/// Rows whose whole graph one thread evaluates, fewer of models that cost much a row; part of what a result
/// is.
inline int gradient_shard(const Model& model) { return multiplications(model) > 1e6 ? 32 : 256; }

/// Some rows of a batch, gathered once, as numbers of T; a pass looks at a stretch of them. Borrows from the
/// batch what is there in the right order and type. Must outlive every tape that looks at it.
template <class T>
class BatchRows {
 public:
  /// `rows` in their order.
  BatchRows(const Trajectories& batch, std::span<const int> rows);
  /// All of them.
  explicit BatchRows(const Trajectories& batch);

  int size() const { return size_; }
  /// Rows [begin, end) of these through a policy.
  Distribution<T> distribution(Tape<T>& tape, const Policy& policy, const std::vector<Var<T>>& theta,
                               int begin, int end) const {
    return policy(theta, stretch(state_, begin, end), observed_.on(tape, begin, end));
  }
  /// Outputs of a model, [end - begin x outputs].
  Var<T> outputs(Tape<T>& tape, const Model& model, const std::vector<Var<T>>& w, int begin, int end) const {
    return forward(model, w, stretch(state_, begin, end), observed_.on(tape, begin, end));
  }
  /// What was done; vectors become data of the tape.
  Actions<T> actions(Tape<T>& tape, int begin, int end) const {
    return {stretch(choice_, begin, end), vector_.size() ? tape.data(borrow(vector_), begin, end) : Var<T>()};
  }

 private:
  static std::span<const int> stretch(std::span<const int> x, int begin, int end) {
    return x.empty() ? x : x.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
  }

  int size_;
  std::vector<int> gathered_state_, gathered_choice_;
  std::span<const int> state_, choice_;
  ObservedRows<T> observed_;
  Array<T> vector_;  // [n x m]
};

// ---- What is measured ----

/// Estimates of several estimators from the same trajectories and one backward pass: for each, [G x d], row i
/// the sum over the rows [offset[i], offset[i+1]) of its weighted scores at theta. With a trajectory a group
/// this is what the ruler measures; with all rows one group, divided by the number of trajectories or of
/// rows, what an optimiser follows.
std::vector<Array<double>> estimate(const std::vector<const Estimator*>& estimators, const Policy& policy,
                                    const std::vector<Array<double>>& theta, const Trajectories& batch,
                                    std::span<const int> offset, const Constants& constants);

/// What the scores of a batch's rows are multiplied by, [rows x K]: the slopes of an estimator's surrogate of
/// its weights at log pi [rows]. Of those that go through log pi(a_t|s_t).
Array<double> score_weights(const Estimator& estimator, const Trajectories& batch,
                            std::span<const double> log_pi, const Constants& constants);

/// The mean over the batch's trajectories of one estimator's g, [d].
std::vector<double> policy_gradient_estimate(const Estimator& estimator, const Policy& policy,
                                             const std::vector<Array<double>>& theta,
                                             const Trajectories& batch, const Constants& constants);

// ---- What is followed ----

/// What sums over rows are divided by: their number, or their share of the batch's trajectories.
enum class Reduce { row, trajectory };

/// What a policy ascends on n rows of a batch: the sum over them of
///   surrogate(log pi(a|s), log mu(a|s), psi) / D + entropy H(pi(.|s)) / n - kl KL(before(.|s) || pi(.|s)) /
///   n
/// with D = n, or the rows' share of the batch's trajectories.
struct Objective {
  Estimator estimator;
  Reduce reduce = Reduce::row;
  bool standardised = false;  // psi of the n rows, as `standardise` does
  double entropy = 0;
  double kl = 0;
};

enum class CriticLoss { mse, huber };

/// What a critic descends on n rows: the mean of `coefficient` times half the squared error to the target (or
/// Huber's loss; or, with a clip, the larger of that and of the value kept within clip of what it was before,
/// as in PPO's first code).
struct CriticObjective {
  Model model;
  bool of_actions = false;  // Q(s, .), of which the action's is meant, in place of V(s)
  CriticLoss loss = CriticLoss::mse;
  double coefficient = 0.5;
  double clip = 0;
};

/// A policy's outputs on each row of a batch: log probabilities, of vectors of choices too, or means beside
/// one row of log_std.
struct PolicyOutputs {
  Array<double> rows;
  Array<double> log_std;
  std::vector<int> levels = {};
};

/// A policy and a critic: an array for each parameter, `policy_arrays` of the policy's first.
template <class T>
using Arrays = std::vector<Array<T>>;

/// One term of what is descended, and what it needs of the whole batch.
struct PolicyTerm {
  const Objective& objective;
  const Policy& policy;
  std::span<const double> psi;            // [rows]
  const PolicyOutputs* before = nullptr;  // where objective.kl is not 0
};
struct CriticTerm {
  const CriticObjective& objective;
  std::span<const double> target;  // [rows]
};

template <class T>
struct Gradient {
  Arrays<T> g;            // of what is descended
  double entropy = 0;     // summed over the rows
  double value_loss = 0;  // summed over the rows, before its coefficient
};

/// The gradient on `rows` of what is descended: minus the policy's objective, plus the critic's; a term that
/// is null is none. `parameters` are the policy's arrays, then the critic's. Shards of rows run in parallel
/// and are added in their order.
template <class T>
Gradient<T> gradient(const PolicyTerm* of_policy, const CriticTerm* of_critic, const Arrays<T>& parameters,
                     std::size_t policy_arrays, const Trajectories& batch, std::span<const int> rows);

/// Psi [rows] of the estimator on the batch; log_pi at the parameters of the gradient, for those that need
/// it.
std::vector<double> weigh(const Estimator& estimator, const Trajectories& batch, double gamma,
                          std::span<const double> log_pi = {});

/// V + gae(lambda): the lambda-returns [rows] that a critic is regressed on; none of a batch without values.
std::vector<double> lambda_returns(const Trajectories& batch, double gamma, double lambda);

/// Outputs of a model on inputs, [n x outputs].
template <class T>
Array<double> model_outputs(const Model& model, std::span<const Array<T>> w, const Inputs& inputs);

// ---- Distances between policies ----

template <class T>
PolicyOutputs policy_outputs(const Policy& policy, std::span<const Array<T>> theta, const Inputs& inputs);

/// log pi(a_r|s_r) of each row.
template <class T>
std::vector<double> log_pi_of(const Policy& policy, std::span<const Array<T>> theta,
                              const Trajectories& batch);

/// sum_r weight_r KL(before(.|s_r) || pi(.|s_r; theta)) / sum_r weight_r; no weights: the mean.
template <class T>
double mean_kl(const Policy& policy, const PolicyOutputs& before, std::span<const Array<T>> theta,
               const Inputs& inputs, std::span<const double> weight = {});

/// mean of (rho - 1) - log rho over what was done (Schulman 2020, k3): an estimate of the mean KL from mu to
/// pi, of log pi and log mu of each row.
double sampled_kl(std::span<const double> log_pi, std::span<const double> log_mu);

/// (F + damping) v for the Fisher matrix F = E_r E_{a~pi} grad log pi(a|s_r) grad log pi(a|s_r)' of the rows
/// of a batch, as the Hessian at theta of their mean KL(pi_theta || pi) (Schulman et al. 2015, appendix C). v
/// is [d]; T is what the products are computed in.
template <class T>
std::vector<double> fisher_times(const Policy& policy, std::span<const Array<T>> theta,
                                 const Trajectories& batch, std::span<const double> v, double damping);

}  // namespace lowvar
