// Where updates that climb J - beta KL(pi || ref) come to rest, for policies with logits of their own in each
// state of a tree: by recursion from its leaves. Policies are probabilities [S x A].
#pragma once

#include "core/array.h"
#include "envs/tabular.h"

namespace lowvar {

/// The optimum: pi(a|s) in proportion to ref(a|s) e^{U(s,a)/beta}, U(s,a) = r + U(s'), U(s) = beta log sum_a
/// ref e^{U(s,a)/beta} (soft Bellman recursion; Ziebart 2010).
Array<double> soft_optimum(const Mdp& tree, const Array<double>& ref, double beta);

/// Where E[g] - beta E[z_t d_t] rests (k2 in the loss, k1 of the same token, DeepSeek-V3.2's): pi in
/// proportion to ref(a|s) e^{Q(s,a)/beta}, Q being pi's own and without the divergence that is still to come.
Array<double> partial_rest(const Mdp& tree, const Array<double>& ref, double beta);

/// Where E[g] - beta E[z_t (1 - e^-d_t)] rests (k3 in the loss): pi(a|s) = beta ref(a|s) / (lambda_s -
/// Q(s,a)), with lambda_s > max_a (Q + beta ref) such that they sum to one.
Array<double> k3_rest(const Mdp& tree, const Array<double>& ref, double beta);

struct Regularised {
  double J, KL, value;  // value = J - beta KL
};
Regularised regularised(const Mdp& tree, const Array<double>& pi, const Array<double>& ref, double beta);

}  // namespace lowvar
