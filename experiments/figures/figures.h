// The figures: each is a folder with run.cpp (computes), plot.py (draws), README.md (claims) and
// expected.json (judges).
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "algorithms/measure/moments.h"
#include "experiments/output.h"

namespace lowvar {

enum class Effort { smoke, quick, full };

/// The number that goes with the effort.
inline long choose(Effort effort, long smoke, long quick, long full) {
  return effort == Effort::smoke ? smoke : effort == Effort::quick ? quick : full;
}

/// What came of a figure: the exit status, 1 where a claim was judged and fails, and what there is to print.
struct Reproduction {
  int status;
  std::string text;
};

struct Figure {
  std::string id;
  std::string description;
  /// Writes the data and the figure to a directory, and judges its claims where `check`.
  Reproduction (*run)(Effort effort, bool check, const std::filesystem::path& out);
};

Reproduction run_ladder(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_baseline_parabola(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_gae_frontier(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_ladder_not_a_theorem(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_ppo_clip(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_score_pathwise_measure(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_action_dimension(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_rloo(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_noise_to_signal(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_missing_baseline(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_variance_along_ppo(Effort effort, bool check, const std::filesystem::path& out);
Reproduction run_cosine_against_batch(Effort effort, bool check, const std::filesystem::path& out);

inline const std::vector<Figure>& figures() {
  static const std::vector<Figure> all = {
      {"ladder", "the variance ladder: variance, bias and cost from REINFORCE to PPO", run_ladder},
      {"baseline-parabola", "variance of REINFORCE against a constant baseline: a parabola, and its minimum",
       run_baseline_parabola},
      {"gae-frontier", "bias and variance of GAE against lambda, and the best lambda for N trajectories",
       run_gae_frontier},
      {"ladder-not-a-theorem",
       "how often, on random MDPs, a rung of the ladder has more variance than the one above",
       run_ladder_not_a_theorem},
      {"ppo-clip", "PPO's clipped surrogate and its gradient, one term", run_ppo_clip},
      {"score-pathwise-measure",
       "score function, pathwise and measure-valued: variances, and where they cross",
       run_score_pathwise_measure},
      {"action-dimension", "variance against the action dimension: state and factorised baselines, pathwise",
       run_action_dimension},
      {"rloo", "baselines from a group of samples: RLOO, group mean and GRPO", run_rloo},
      {"noise-to-signal", "noise to signal of REINFORCE on the double integrator: table and heat-map",
       run_noise_to_signal},
      {"missing-baseline", "the blow-up of variance at small exploration, with and without a state baseline",
       run_missing_baseline},
      {"variance-along-ppo", "the variance of every rung along a run of PPO, beside its return",
       run_variance_along_ppo},
      {"cosine-against-batch",
       "the cosine of PPO's own gradient to the true one against the size of the batch",
       run_cosine_against_batch},
  };
  return all;
}

/// Draws what the manifest of a run says, a figure or its learning curves, into its directory: STEM.svg and
/// STEM.png, by a script of figures/. Whether that succeeded: where not, as without matplotlib, neither is
/// there, and standard error says why and how to draw them.
bool draw(OutputDirectory& directory);
/// The same of a finished run, whose outputs.json is then that of a run that could draw. Throws Error where
/// the command has no picture or it cannot be drawn, and as `amend` does.
void draw(const std::filesystem::path& directory);

/// A claim, in words, and whether it holds.
struct Judgement {
  bool holds;
  std::string claim;
};

/// Judges a CSV of results by the claims of figures/ID/expected.json. Its lists of claims, all optional:
///   equal    {where, column, value, tolerance = 0, absolute = 0, z = 0, se}:
///            |x - value| <= tolerance |value| + absolute + z times the standard error in the column se
///   between  {where, column, low, high}: low <= x <= high
///   ordered  {where, along, list, column, factor}: x falls along the list, each time by the factor or more
///   match    {column, to, tolerance, absolute = 0, z = 0, se, where = {}}: as `equal`, of two columns, on
///            every row that has both
///   agree    {sampled, se, exact, z, where = {}, name = [world, rung]}: |sampled - exact| <= z se on every
///            row that has both; `name` are the columns that name the worst
/// `where` chooses rows: each of its keys is a column and each value the text to be found there. The first
/// three speak of one row each time.
std::vector<Judgement> check_claims(const std::string& id, const std::filesystem::path& csv);

/// Writes ID.csv, draws it by ID/plot.py, judges it if `check`, and closes the directory. The judgements come
/// after `text`.
Reproduction publish(const std::string& id, OutputDirectory& directory, const Csv& csv, bool check,
                     std::string text);

/// The mean of equally good numbers, and its standard error.
Estimate mean_of(std::span<const double> x);

}  // namespace lowvar
