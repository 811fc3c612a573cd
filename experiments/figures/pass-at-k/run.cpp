// Gradients of pass@k, the probability that one of k answers is right, from n answers: the three forms of
// PKPO (Walder & Karkhanis 2025). Bias and noise to signal against n, exact by the sum over the number of
// right answers, beside the estimator's own code on groups of answers.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "algorithms/exact/group_classes.h"
#include "experiments/figures/figures.h"
#include "experiments/figures/sequence_figures.h"
#include "experiments/parts.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

constexpr int ks[] = {1, 2, 4, 8};
constexpr int sizes[] = {2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 24, 32, 48, 64};
constexpr int classed = 16;  // the largest group of which all lengths are counted
constexpr const char* forms[] = {"basic", "loo", "loo1"};

}  // namespace

Reproduction run_pass_at_k(Effort effort, bool check, const std::filesystem::path& out) {
  const int visited =
      static_cast<int>(choose(effort, 3, 4, 5));  // the largest of which every group is visited
  OutputDirectory directory(out, {{"figure", "pass-at-k"}, {"visited", visited}});
  Csv csv({"form", "k", "n", "scale", "scale_true", "trace_cov", "nsr", "trace_cov_visited", "bias_visited"});
  std::string text;

  const World world = make_world("seq-31", {}, {});
  const PolicyChoice pi = make_policy(world, "reference");
  const Answers all = visit_answers(world, pi.policy, pi.theta);
  const auto by_length = classes_of(all, "rloo:2", pi.policy, pi.theta);
  const RightAndWrong answers = right_and_wrong(by_length.front().classes);
  const std::vector<double> grad_p =
      ask_oracle(world, pi.policy, pi.theta, pi.theta, make_estimator("reinforce"), std::nullopt)
          .truth.gradient;
  const std::vector<AnswerClass> classes = classes_of(answers);
  const double gradient = std::sqrt(answers.gradient_sq);

  Parts parts(directory);
  for (const int k : ks)
    for (const char* form : forms)
      parts(csv, text, [&] {
        const double scale_true = k * std::pow(1 - answers.p, k - 1);
        for (const int n : sizes) {
          if (n < k || (n == k && std::string(form) == "loo")) continue;
          const std::string estimator = fmt::format("pkpo:{}:{}:{}", n, k, form);
          const GroupMoments m = group_moments(estimator, classes, 1);
          const double mean = m.mean[0], trace_cov = m.second[0] - mean * mean;
          double trace_visited = NAN, bias_visited = NAN;
          if (n <= classed) {
            // Every group of answers, or every count of answers of a reward and length.
            const FirstTwo other = n <= visited
                                       ? every_group(all, make_estimator(estimator), pi.policy, pi.theta, {})
                                       : class_moments(by_length, estimator, world.T);
            trace_visited = trace_of(other);
            bias_visited = 0;
            for (std::size_t j = 0; j < grad_p.size(); ++j)
              bias_visited = std::hypot(bias_visited, other.mean[j] - scale_true * grad_p[j]);
          }
          csv.add({{"form", form},
                   {"k", k},
                   {"n", n},
                   {"scale", mean / gradient},
                   {"scale_true", scale_true},
                   {"trace_cov", trace_cov},
                   {"nsr", trace_cov / (mean * mean)},
                   {"trace_cov_visited", trace_visited},
                   {"bias_visited", bias_visited}});
          if (n == 8 && k == 8)
            text += fmt::format("pass@8 from 8 answers, {}: noise to signal {:.4g}\n", form,
                                trace_cov / (mean * mean));
        }
      });
  return publish("pass-at-k", directory, csv, check, std::move(text));
}

}  // namespace lowvar
