// The size of a group at a fixed budget: n answers are n / G prompts, drawn by chance, with G answers to
// each. Variance of RLOO and of no baseline, noise to signal of GRPO and MaxRL too, against G; and the closed
// form of the best G, in which n does not occur. Four prompts on the tokens of SEQ-31 that want different
// answers. Exact.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/exact/group_classes.h"
#include "experiments/answers.h"
#include "experiments/figures/figures.h"
#include "experiments/figures/sequence_figures.h"
#include "experiments/parts.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

constexpr int sizes[] = {2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 48, 64};
constexpr int classed = 32;  // the largest group of which all lengths are counted
struct Method {
  const char *name, *estimator;
};
constexpr Method others[] = {{"grpo without length", "grpo"}, {"maxrl", "maxrl"}, {"gpg", "gpg"}};

/// A prompt with its answers, and its gradient.
struct Prompt {
  int wanted;                        // so many more a than b
  std::vector<AnswerClass> classes;  // by reward and length
  RightAndWrong answers;
  std::vector<double> gradient;
};

/// SEQ-31 whose answers are right where they end with E and have `wanted` more a than b.
Prompt prompt_of(const World& world, const PolicyChoice& pi, int wanted) {
  Answers answers = visit_answers(world, pi.policy, pi.theta);
  const auto& all = answers.batch;
  for (int i = 0; i < answers.size(); ++i) {
    int balance = 0;
    for (int row = all.begin(i); row < all.end(i); ++row) {
      const int token = all.action[static_cast<std::size_t>(row)];
      balance += (token == 1) - (token == 2);
    }
    const int last = all.action[static_cast<std::size_t>(all.end(i)) - 1];
    answers.R[static_cast<std::size_t>(i)] = last == 0 && balance == wanted;
  }
  const auto classes = classes_of(answers, "rloo:2", pi.policy, pi.theta).front().classes;
  Prompt out{wanted, classes, right_and_wrong(classes), std::vector<double>(classes.front().mean_up.size())};
  for (const AnswerClass& c : classes)
    for (std::size_t j = 0; j < out.gradient.size(); ++j)
      out.gradient[j] += c.R * c.probability * c.mean_up[j];
  return out;
}

/// tr Cov of one group's estimate with the prompt drawn by chance, and the mean [d]. An estimate's mean is
/// along the gradient of its prompt.
struct Group {
  double trace_cov;
  std::vector<double> mean;
};
Group over_prompts(const std::vector<Prompt>& prompts, const std::string& estimator, int G) {
  const double each = 1.0 / static_cast<double>(prompts.size());
  Group out{0, std::vector<double>(prompts.front().gradient.size())};
  double second = 0;
  for (const Prompt& prompt : prompts) {
    const RightAndWrong& a = prompt.answers;
    double scale = 1, within = constant_baseline_variance(a, 0) / G;
    if (!estimator.empty()) {
      const GroupMoments m = group_moments(fmt::format("{}:{}", estimator, G), classes_of(a), 1);
      scale = m.mean[0] / std::sqrt(a.gradient_sq);
      within = m.second[0] - m.mean[0] * m.mean[0];
    }
    second += each * (within + scale * scale * a.gradient_sq);
    for (std::size_t j = 0; j < out.mean.size(); ++j) out.mean[j] += each * scale * prompt.gradient[j];
  }
  out.trace_cov = second - dot(out.mean, out.mean);
  return out;
}

/// The same by counts of rewards and lengths.
Group by_length(const std::vector<Prompt>& prompts, const std::string& estimator, int longest) {
  std::vector<PromptClasses> all;
  for (const Prompt& prompt : prompts)
    all.push_back({1.0 / static_cast<double>(prompts.size()), prompt.classes});
  const FirstTwo m = class_moments(all, estimator, longest);
  return {trace_of(m), m.mean};
}

}  // namespace

Reproduction run_group_size(Effort effort, bool check, const std::filesystem::path& out) {
  const int largest = static_cast<int>(choose(effort, 64, 64, 64));
  OutputDirectory directory(out, {{"figure", "group-size"}, {"largest", largest}});
  Csv csv({"part", "method", "G", "q", "p", "right_sq", "wrong_sq", "gradient_sq", "n_trace_cov",
           "other_route", "n_nsr", "cosine", "outcome", "sampled", "between"});
  std::string text;

  const World world = make_world("seq-31", {}, {});
  const PolicyChoice pi = make_policy(world, "reference");
  std::vector<Prompt> prompts;
  for (const int wanted : {-1, 0, 1, 2}) prompts.push_back(prompt_of(world, pi, wanted));
  const double each = 1.0 / static_cast<double>(prompts.size());
  std::vector<double> gradient(prompts.front().gradient.size());
  double squares = 0, outcome = 0, sampled = 0;
  for (const Prompt& prompt : prompts) {
    const RightAndWrong& a = prompt.answers;
    for (std::size_t j = 0; j < gradient.size(); ++j) gradient[j] += each * prompt.gradient[j];
    squares += each * a.gradient_sq;
    // With the prompt's own p as the baseline, and what it costs to estimate it from one other answer.
    outcome += each * constant_baseline_variance(a, a.p);
    sampled += each * (a.p * (1 - a.p) * (a.p * a.right_sq + (1 - a.p) * a.wrong_sq) + a.gradient_sq);
    csv.add_some({{"part", "prompt"},
                  {"q", prompt.wanted},
                  {"p", a.p},
                  {"right_sq", a.right_sq},
                  {"wrong_sq", a.wrong_sq},
                  {"gradient_sq", a.gradient_sq}});
  }
  const double between = squares - dot(gradient, gradient), best = 1 + std::sqrt(sampled / between);
  csv.add_some({{"part", "best"},
                {"method", "rloo"},
                {"G", best},
                {"gradient_sq", dot(gradient, gradient)},
                {"between", between}});
  text += fmt::format("the best size of a group, by its formula: {:.4f}\n", best);

  const auto add = [&](const char* method, int G, const Group& g, double other_route) {
    const double signal = dot(g.mean, g.mean);
    csv.add_some({{"part", "curve"},
                  {"method", method},
                  {"G", G},
                  {"n_trace_cov", G * g.trace_cov},
                  {"other_route", other_route},
                  {"n_nsr", G * g.trace_cov / signal},
                  {"cosine", dot(g.mean, gradient) / std::sqrt(signal * dot(gradient, gradient))}});
  };
  for (const int G : sizes) {
    add("none", G, over_prompts(prompts, "", G), NAN);
    const double parts_of_it[] = {outcome, sampled / (G - 1), G * between};
    csv.add_some({{"part", "sum"},
                  {"G", G},
                  {"outcome", parts_of_it[0]},
                  {"sampled", parts_of_it[1]},
                  {"between", parts_of_it[2]}});
    add("rloo", G, over_prompts(prompts, "rloo", G), parts_of_it[0] + parts_of_it[1] + parts_of_it[2]);
    for (const auto& [name, estimator] : others) {
      const Group g = over_prompts(prompts, estimator, G);
      add(name, G, g,
          G <= classed ? G * by_length(prompts, fmt::format("{}:{}", estimator, G), world.T).trace_cov : NAN);
    }
    if (G <= classed) add("grpo", G, by_length(prompts, fmt::format("grpo:{}+seq-mean", G), world.T), NAN);
  }
  return publish("group-size", directory, csv, check, std::move(text));
}

}  // namespace lowvar
