// Every answer of a sequence world, and an estimator's own code on every answer or group of them: exact
// moments without a formula of the estimator. (The definitions of algorithms/exact are the other route.)
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "algorithms/exact/group_classes.h"
#include "algorithms/exact/soft.h"
#include "algorithms/measure/measure.h"

namespace lowvar {

/// The answers that a policy may write, each once.
struct Answers {
  Trajectories batch;               // N of them; log_mu is of the policy that acts
  std::vector<double> probability;  // [N], under the policy that acts, given the prompt
  std::vector<int> prompt;          // [N], the state it begins in; answers to a prompt stand together
  std::vector<double> of_prompt;    // [N], the probability of the prompt
  std::vector<double> R;            // [N]

  int size() const { return batch.size(); }
  /// Answers [begin, end).
  Trajectories part(int begin, int end) const;
};

/// Those of policy `behaviour`, annotated with what is wanted. Throws Error where there are more than
/// `limit`.
Answers visit_answers(const World& world, const Policy& policy, const Parameters& behaviour,
                      Wanted wanted = {}, long limit = 5'000'000);

/// E f and E f^2 of each component, [d].
struct FirstTwo {
  std::vector<double> mean, second;
};

/// Moments of one answer's estimate, by `estimate` on all answers.
FirstTwo answer_moments(const Answers& answers, const Estimator& estimator, const Policy& policy,
                        const Parameters& theta, const Constants& constants);

/// sum_t z_t of each answer is too much to keep for groups beyond so many numbers.
constexpr double largest_scores = 5e7;

/// How many groups of G answers there are, multisets of answers to one prompt; limit + 1 if more.
double count_groups(const Answers& answers, int G, double limit);

/// visit(probability, g) for every group that the estimator keeps, g [d] being what its own weights make of
/// it. The probabilities sum to what is kept. Scores of the rows, [rows x d], are those of `row_scores`.
using VisitGroup = std::function<void(double probability, std::span<const double> g)>;
void for_each_group(const Answers& answers, const Estimator& estimator, const Array<double>& scores,
                    std::span<const double> log_pi, const Constants& constants, const VisitGroup& visit);

/// z_t of every row of the answers, [rows x d].
Array<double> row_scores(const Answers& answers, const Policy& policy, const Parameters& theta);
/// log pi of every row.
std::vector<double> row_log_pi(const Answers& answers, const Policy& policy, const Parameters& theta);

/// Moments of one group's estimate, by every group.
FirstTwo every_group(const Answers& answers, const Estimator& estimator, const Policy& policy,
                     const Parameters& theta, const Constants& constants);

/// Classes of answers for the estimator of that name, prompt by prompt, and the prompts' probabilities.
struct PromptClasses {
  double probability;
  std::vector<AnswerClass> classes;
};
std::vector<PromptClasses> classes_of(const Answers& answers, const std::string& estimator,
                                      const Policy& policy, const Parameters& theta);
/// Moments of one group's estimate, by classes.
FirstTwo class_moments(const std::vector<PromptClasses>& prompts, const std::string& estimator, int longest);

/// The gradient at theta of a function of the policy's outputs in all states, whose own gradient is this, [S
/// x A].
std::vector<double> through_model(const World& world, const Policy& policy, const Parameters& theta,
                                  const Array<double>& of_outputs);

/// grad J.
std::vector<double> return_gradient(const World& world, const Policy& policy, const Parameters& theta);

/// grad KL(pi || reference) and the KL itself, by dynamic programming. Throws Error where the world has no
/// reference.
struct Divergence {
  double KL;
  std::vector<double> gradient;
  std::vector<double> to_go;  // [S], what is still to come from a state on
};
Divergence divergence_from_reference(const World& world, const Policy& policy, const Parameters& theta);

/// Where updates that climb J - beta KL(pi || reference) come to rest, for policies with logits of their own
/// for every prefix: the optimum, the partial one of k2 and V3.2 in the loss, and that of k3
/// (algorithms/exact/soft.h). Throws Error where the world has no reference.
struct RestingPlace {
  std::string name;
  Regularised at;
};
std::vector<RestingPlace> resting_places(const World& world, double beta);

/// pi [S x A] of any policy of states.
Array<double> state_probabilities(const World& world, const Policy& policy, const Parameters& theta);

}  // namespace lowvar
