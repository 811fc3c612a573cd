// Training on sequence worlds, where the value of the policy is known exactly after every update: runs of
// three estimators on SEQ-31 beside the flow of their exact expected updates; and a recurrent policy that
// learns to write brackets, with the exact bias and variance of its gradient on the way.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/parallel.h"
#include "experiments/algorithms.h"
#include "experiments/answers.h"
#include "experiments/figures/figures.h"
#include "experiments/figures/sequence_figures.h"
#include "experiments/parts.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

constexpr int episodes = 64, every = 2, reading_every = 5;
/// A step moves the policy by this much along its expected direction at the start, times the gradient's
/// length.
constexpr double eta = 1;
const std::vector<std::string> methods = {"rloo:8", "grpo:8+seq-mean", "mean:8+const"};

double norm(const std::vector<double>& x) { return std::sqrt(dot(x, x)); }

/// E g of a group on its own data.
FirstTwo exact_update(const World& world, const PolicyChoice& pi, const std::string& estimator) {
  return class_moments(classes_of(visit_answers(world, pi.policy, pi.theta), estimator, pi.policy, pi.theta),
                       estimator, world.T);
}

/// J after each `every` updates of the flow theta <- theta + rate E g, from the world's own policy.
std::vector<double> flow(const World& world, const std::string& estimator, double rate, int updates) {
  PolicyChoice pi = make_policy(world, "reference");
  std::vector<double> J = {exact_return(world, pi.policy, pi.theta)};
  for (int update = 1; update <= updates; ++update) {
    const FirstTwo g = exact_update(world, pi, estimator);
    for (std::size_t j = 0; j < g.mean.size(); ++j) pi.theta[0].data()[j] += rate * g.mean[j];
    if (update % every == 0) J.push_back(exact_return(world, pi.policy, pi.theta));
  }
  return J;
}

/// The options of REINFORCE with this estimator.
std::unique_ptr<Algorithm> reinforce(const World& world, const std::string& estimator, double rate) {
  auto out = make_algorithm("reinforce", world);
  set_option(*out, "estimator", estimator, "");
  set_option(*out, "learning_rate", fmt::format("{:.17g}", rate), "");
  set_option(*out, "episodes", std::to_string(episodes), "");
  set_option(*out, "precision", "double", "");
  return out;
}

/// f(updates done, run) before the first update and after each `every` of `updates`.
template <class F>
void train_for(const World& world, const Algorithm& algorithm, int updates, int between, std::uint64_t seed,
               F&& f) {
  const auto run = algorithm.start(world, static_cast<long>(updates) * episodes * world.T, seed);
  f(0, *run);
  for (int update = 1; update <= updates; ++update) {
    run->advance({});
    if (update % between == 0) f(update, *run);
  }
}

}  // namespace

Reproduction run_training_on_sequences(Effort effort, bool check, const std::filesystem::path& out) {
  const int seeds = static_cast<int>(choose(effort, 3, 10, 30)),
            updates = static_cast<int>(choose(effort, 80, 80, 80));
  const int reading_updates = static_cast<int>(choose(effort, 100, 100, 200)),
            longest = static_cast<int>(choose(effort, 6, 8, 8));
  OutputDirectory directory(out, {{"figure", "training-on-sequences"},
                                  {"seeds", seeds},
                                  {"updates", updates},
                                  {"reading_updates", reading_updates},
                                  {"longest", longest}});
  Parts parts(directory);
  std::string text;
  Csv csv({"part", "method", "update", "J", "low", "high", "flow", "bias", "trace_cov", "cosine", "nsr"});

  const World world = make_world("seq-31", {}, {});
  const PolicyChoice start = make_policy(world, "reference");
  const double length = norm(return_gradient(world, start.policy, start.theta));
  for (const std::string& method : methods)
    parts(csv, text, [&] {
      const double rate = eta * length / norm(exact_update(world, start, method).mean);
      const std::vector<double> of_flow = flow(world, method, rate, updates);
      const auto algorithm = reinforce(world, method, rate);
      std::vector<std::vector<double>> J(of_flow.size());  // [point][seed]
      ordered_reduce(
          seeds,
          [&](int seed) {
            std::vector<double> along;
            train_for(world, *algorithm, updates, every, static_cast<std::uint64_t>(seed),
                      [&](int, const Run& run) {
                        along.push_back(exact_return(world, start.policy, run.policy_parameters()));
                      });
            return along;
          },
          [&](int, const std::vector<double>& along) {
            for (std::size_t k = 0; k < J.size(); ++k) J[k].push_back(along[k]);
          });
      for (std::size_t k = 0; k < J.size(); ++k) {
        const Estimate mean = mean_of(J[k]);
        csv.add_some({{"part", "seq-31"},
                      {"method", method},
                      {"update", static_cast<int>(k) * every},
                      {"J", mean.value},
                      {"low", mean.value - 2 * mean.se},
                      {"high", mean.value + 2 * mean.se},
                      {"flow", of_flow[k]}});
      }
      text += fmt::format("{:<18} J after {} updates {:.4f} +- {:.4f}, flow {:.4f}\n", method, updates,
                          mean_of(J.back()).value, mean_of(J.back()).se, of_flow.back());
    });

  parts(csv, text, [&] {
    const World written = make_world(fmt::format("brackets:{}", longest), {}, {});
    auto algorithm = reinforce(written, "rloo:8", 0.01);
    set_option(*algorithm, "update", "adam", "");
    set_option(*algorithm, "reader", "gru", "");
    set_option(*algorithm, "hidden", "16", "");
    bool half_has_been = false;
    train_for(written, *algorithm, reading_updates, reading_every, 0, [&](int update, const Run& run) {
      const Learned now = run.learned();
      const double J = exact_return(written, now.policy, now.theta);
      csv.add_some({{"part", "brackets"}, {"method", "rloo:8"}, {"update", update}, {"J", J}});
      // Its gradient, before anything is learnt, with half of it, and with all.
      const char* when = update == 0                  ? "at the start"
                         : update == reading_updates  ? "at the end"
                         : J >= 0.5 && !half_has_been ? "half way"
                                                      : nullptr;
      if (!when) return;
      half_has_been = half_has_been || J >= 0.5;
      const Answers answers = visit_answers(written, now.policy, now.theta);
      for (const char* name : {"rloo:8", "grpo:8+seq-mean"}) {
        const Estimator e = make_estimator(name);
        const Truth truth = ask_oracle(written, now.policy, now.theta, now.theta, e, std::nullopt).truth;
        const Against a = against(
            truth.mean, std::accumulate(truth.variance.begin(), truth.variance.end(), 0.0), truth.gradient);
        csv.add_some({{"part", when},
                      {"method", name},
                      {"update", update},
                      {"J", J},
                      {"bias", a.bias / norm(truth.gradient)},
                      {"trace_cov", a.trace_cov},
                      {"cosine", a.cosine},
                      {"nsr", a.nsr}});
      }
      text += fmt::format("brackets of {} answers, update {}: J {:.4f}\n", answers.size(), update, J);
    });
  });
  return publish("training-on-sequences", directory, csv, check, std::move(text));
}

}  // namespace lowvar
