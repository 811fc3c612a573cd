// The variance of the policy gradient estimate of a single step, taken apart by what is random in it (Tucker
// et al. 2018, section 3), in any world whose states can be restored: from each state three independent
// actions, from each of these two independent continuations.
//
// g = A z with z = grad log pi(a|s) and A_t = sum_{i < steps} (gamma lambda)^i delta_{t+i}, delta_t = r_t +
// gamma V(s_{t+1}) - V(s_t): nothing follows where the episode terminates, and time limits are none. With
// A_jk of action j and its continuation k, and A_j their mean over k, means over what is alike of products
// that are without bias:
//   Sigma_tau            E (A_j1 - A_j2)^2 |z_j|^2 / 2
//   Sigma_s + |E g|^2    E (A_i - A_k)(A_j - A_k) z_i'z_j = E_s |E[g|s]|^2,  |E g|^2 by pairs of states
//   Sigma_a with V       E A_j1 A_j2 |z_j|^2 - E_s |E[g|s]|^2
// and Sigma_a without a baseline has A + V(s) in place of A, Sigma_a with the state's exact value A_j1 - A_i
// and A_j2 - A_k of other actions. One state of an episode, uniformly among its steps, weighs as many as
// there are, so that states count as often as they are visited.
#pragma once

#include "algorithms/measure/measure.h"

namespace lowvar {

/// Of what is seen, a number a row.
using StateValue = std::function<std::vector<double>(const Inputs& seen)>;
/// A table [S], and a model of one output whose values are divided by `scale`.
StateValue table_value(std::vector<double> V);
StateValue model_value(Model model, Parameters w, double scale = 1);

struct DecompositionOptions {
  long states = 1000;  // one of an episode each, of those that a step is taken from
  int steps = 100;     // that are looked at after an action, that of the action included
  double gamma = 1;
  std::vector<double> lambdas = {1};
  std::uint64_t seed = 0;
  std::function<void(long done, long total)> progress = [](long, long) {};
  Keeper keeper = {};
};

/// Quantities of one lambda: tau, a_none, a_value, a_exact, s, gradient_sq (|E g|^2), and what could be
/// saved:
///   saved   (a_none - a_value) / (tau + a_none + s)    by V in place of no baseline
///   critic  (a_value - a_exact) / (tau + a_value + s)  by the state's exact value in place of V
///   left    a_exact / (tau + a_exact + s)              by a baseline of state and action in place of that
/// Standard errors by the jackknife over blocks of states.
struct Decomposed {
  double lambda;
  long states;  // whose episodes take a step
  std::vector<Quantity> quantities;
};

/// Of states as episodes of `policy` at theta visit them, at most world.T steps long; all random numbers are
/// of streams "restart-..." of the seed. The same bits for any number of threads and processes; goes on from
/// what the keeper has of the same call. No `V`: 0. Throws Error where the options make no sense.
std::vector<Decomposed> decompose(const World& world, const Policy& policy, const Parameters& theta,
                                  const StateValue& V, const DecompositionOptions& options);

}  // namespace lowvar
