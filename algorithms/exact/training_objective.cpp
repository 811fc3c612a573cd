#include "algorithms/exact/training_objective.h"

#include "algorithms/exact/dynamic_programming.h"
#include "algorithms/exact/tabular.h"

namespace lowvar {

std::vector<double> training_gradient(const Mdp& mdp, const Array<double>& pi, TrainingObjective objective,
                                      TimeLimit limit) {
  const Array<double> d = state_distribution(mdp, pi);
  Array<double> V = state_values(mdp, pi);
  if (limit == TimeLimit::bootstraps) {
    const std::vector<double> endless = stationary_values(mdp, pi);
    for (int t = 0; t <= mdp.T; ++t) std::copy(endless.begin(), endless.end(), row(V, t).begin());
  }
  std::vector<double> gradient(static_cast<std::size_t>(mdp.S) * static_cast<std::size_t>(mdp.A));
  double weight = 1, length = 0;
  for (int t = 0; t < mdp.T; ++t) {
    for (int s = 0; s < mdp.S; ++s) {
      length += d(t, s);
      if (d(t, s) == 0) continue;
      for (int a = 0; a < mdp.A; ++a) {
        double advantage = 0;
        for (const Outcome& o : mdp.outcomes(s, a))
          advantage += o.probability * (o.reward + mdp.gamma * V(t + 1, o.next) - V(t, s));
        gradient[static_cast<std::size_t>(s * mdp.A + a)] += weight * d(t, s) * pi(s, a) * advantage;
      }
    }
    if (objective == TrainingObjective::discounted_start) weight *= mdp.gamma;
  }
  for (double& each : gradient) each /= length;
  return gradient;
}

}  // namespace lowvar
