// One notion of an estimator: weights for the rows of a batch of trajectories, a surrogate they enter, and,
// where the weight is per parameter, a step that combines several weightings. What is measured is what is
// trained with.
#pragma once

#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "algorithms/data/world.h"
#include "algorithms/estimators/names.h"
#include "algorithms/estimators/surrogates.h"
#include "nn/policy.h"

namespace lowvar {

/// Numbers an estimator may subtract; from an oracle, else from an independent pilot, never from the measured
/// batch.
struct Constants {
  double gamma = 1;
  double J = 0;                           // E R
  double b_star = 0;                      // E[R S'S] / E[S'S], S = sum_t z_t
  std::vector<double> b_i;                // [d], E[S_i^2 R] / E[S_i^2], 0 where S_i is always 0
  std::vector<double> mean_return_to_go;  // [T], mean of G_t over trajectories still running at t
  std::vector<double> linear;             // weights of linear_features that fit G_t best
  Array<double> per_state;                // [T x S], E[|z|^2 Q | s_t] / E[|z|^2 | s_t]; tabular worlds only
  std::shared_ptr<const Dynamics> dynamics, differences;  // of the world, where they can be differentiated
  std::vector<double> kl_to_go;                           // [S], E of the sum of log pi/reference from s on
};

/// What a linear baseline is linear in at row r, step t of its trajectory, with tau = t / 100: 1_s for each
/// of `states` states and tau, tau^2, tau^3; or without states o, o^2, tau, tau^2, tau^3, 1 (Duan et al.
/// 2016).
std::vector<double> linear_features(const Trajectories& batch, int r, int t, int states);

/// Psi of a batch, as a function of (batch, constants) or, where it has importance ratios, of (batch,
/// constants, log_pi), log_pi [rows] at the parameters of the estimate.
class Weights {
 public:
  Weights() = default;
  template <class F>
  Weights(F f) {
    if constexpr (std::is_invocable_v<F, const Trajectories&, const Constants&, std::span<const double>>)
      f_ = std::move(f);
    else
      f_ = [f = std::move(f)](const Trajectories& b, const Constants& c, std::span<const double>) {
        return f(b, c);
      };
  }
  Array<double> operator()(const Trajectories& batch, const Constants& constants,
                           std::span<const double> log_pi = {}) const {
    return f_(batch, constants, log_pi);
  }

 private:
  std::function<Array<double>(const Trajectories&, const Constants&, std::span<const double>)> f_;
};

struct Estimator {
  std::string name = {};      // as typed
  std::string equation = {};  // g, in the notation of docs/math.md
  std::string source = {};    // paper and equation number
  /// Why E g is not the gradient even with the exact critic (that of the policy that acts); empty where it
  /// is. On-policy, and on data of another policy, of those that take such.
  std::string bias = {}, bias_off_policy = {};
  /// Where the world decides whether it is: what of it is left out.
  std::string bias_of_world = {};
  /// On-policy any critic that is 0 at the end of an episode leaves E g as it is.
  bool any_critic = false;
  bool needs_critic = false;
  bool needs_action_values = false;  // of the critic, too
  bool needs_constants = false;
  bool needs_states = false;     // constants of each state, which tabular worlds alone have
  bool needs_dynamics = false;   // to differentiate
  bool by_differences = false;   // and that by differences
  bool needs_greedy = false;     // what the likeliest actions return
  bool needs_reference = false;  // a policy that divergences are taken to
  /// What it estimates is the gradient of KL(pi || reference), not that of J.
  bool of_divergence = false;
  bool draws_again = false;    // groups whose returns are all equal are no sample of its
  bool off_policy = false;     // has importance weights: data may come from another policy
  bool weighs_ratios = false;  // they are part of Psi, which is of one theta: another one needs another Psi
  double clip = 0;             // ratios further than that from 1 are cut off; 0: none are
  /// How many trajectories make an independent estimate, which is the mean of their g: one; a group of so
  /// many, one after another; or 0, the whole batch it is given.
  int unit = 1;
  /// The weights are of every action, [rows x A], and multiply grad pi(a|s_t).
  bool all_actions = false;
  int weightings = 1;                                            // K
  std::source_location where = std::source_location::current();  // of its definition
  std::string note = {};  // on what it is elsewhere, where it is a preset

  /// Psi, [rows x K].
  Weights weights = {};
  Surrogate surrogate = score_function();
  /// In place of weights and surrogate: what each trajectory's g is the gradient of, [N x 1], or a sum over
  /// its steps of the gradient of, [rows x 1].
  std::function<Var<double>(Tape<double>&, const Policy&, const std::vector<Var<double>>& theta,
                            const Trajectories&, const Constants&)>
      objective = {};
  /// From the K gradients of a group, [K x d] one after another, to the estimate, [d]. Absent: K = 1 and it
  /// is the gradient.
  std::function<void(std::span<const double> gradients, const Constants&, std::span<double> g)> combine = {};
};

/// What a batch has to be annotated with for it.
inline Wanted wanted_by(const Estimator& e) { return {e.needs_greedy, e.needs_reference}; }

/// The estimator of this name: "gae:0.95", "nstep:5+undiscounted", ... Throws Error naming what is wrong with
/// it.
Estimator make_estimator(std::string_view name);

/// Adds a family to those that make_estimator knows; to be called before threads start. Of the row its
/// pattern, example and kind are used; what it needs stands in the Estimator. `make` gets the name as typed
/// and what follows its first colon, without suffixes. Throws Error where the name is taken.
using MakeEstimator = std::function<Estimator(std::string_view name, std::string_view argument)>;
void add_estimator(const EstimatorFamily& family, MakeEstimator make);

}  // namespace lowvar
