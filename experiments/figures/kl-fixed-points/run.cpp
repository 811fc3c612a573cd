// Where updates that climb J - beta KL(pi || ref) come to rest, by the way in which the divergence is put
// into them: SEQ-31 with logits for each prefix, from the reference on. The places are known by recursion
// (algorithms/exact/soft.h); gradient flows of the exact expected updates, by the estimators' own code on
// every answer, end there. On random trees, how often one partial gradient ends worse than another.
#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "algorithms/estimators/divergences.h"
#include "algorithms/exact/soft.h"
#include "algorithms/exact/tabular.h"
#include "core/parallel.h"
#include "experiments/answers.h"
#include "experiments/figures/figures.h"
#include "experiments/parts.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

constexpr std::uint64_t seed = 0;
constexpr double largest_logit = 30;  // a flow whose logits run off is left there

struct Variant {
  const char* name;
  const char* kl;  // the estimator whose expectation is followed
  Array<double> (*rest)(const Mdp& tree, const Array<double>& ref, double beta);
};
constexpr Variant variants[] = {{"optimum", "kl:k1-togo", soft_optimum},
                                {"partial", "kl:v32", partial_rest},
                                {"k3", "kl:k3-loss", k3_rest},
                                {"k3 in reward", "kl:k3-togo", nullptr}};

constexpr const char* betas[] = {"0.02", "0.05", "0.1", "0.2", "0.3", "0.5", "1", "2"};
/// Flows: step, and where.
constexpr struct {
  const char* beta;
  double step;
} flows[] = {{"0.2", 8}, {"0.5", 4}, {"1", 4}};

/// SEQ-31 and its reference, with logits of its own for each prefix.
struct Setting {
  World world = make_world("seq-31", {}, {});
  Policy policy = token_policy(world, world.sequences->by_prefix);
  Parameters theta;  // of the reference
  Array<double> ref;

  Setting() {
    const Sequences& s = *world.sequences;
    Array<double> logits = zeros<double>(s.by_prefix->rows, world.A);
    for (int p = 0; p < s.by_prefix->rows; ++p)
      std::ranges::copy(row(s.reference, s.tied->of[static_cast<std::size_t>(p)]), row(logits, p).begin());
    theta = {std::move(logits)};
    ref = state_probabilities(world, policy, theta);
  }
  Regularised at(const Parameters& parameters, double beta) const {
    return regularised(*world.mdp, state_probabilities(world, policy, parameters), ref, beta);
  }
};

/// E of the update, per parameter.
using Update = std::function<std::vector<double>(const Parameters&)>;

Update expected_update(const Setting& of, const char* kl, double beta) {
  const Estimator e = less_divergence(make_estimator("togo"), make_estimator(kl), beta);
  return [&of, e](const Parameters& theta) {
    const Answers answers = visit_answers(of.world, of.policy, theta, {.reference = true});
    return answer_moments(answers, e, of.policy, theta, {}).mean;
  };
}

/// Euler steps of an expected update from the reference, which grow from 1/2 to `step`, until no component is
/// larger than `still`, a logit has run off, or there have been `most`. `see` is called at steps whose
/// numbers grow by a twelfth, and at the last.
struct Flow {
  Parameters theta;
  long steps = 0;
  double time = 0;     // their sum
  double largest = 0;  // component of the update
};
Flow follow(const Setting& of, const Update& update, double step, double still, long most,
            const std::function<void(const Flow&)>& see) {
  Flow flow{of.theta};
  long next = 0;
  for (;; ++flow.steps) {
    const std::vector<double> F = update(flow.theta);
    flow.largest = 0;
    for (const double x : F) flow.largest = std::max(flow.largest, std::abs(x));
    double logit = 0;
    for (const double x : flow.theta[0]) logit = std::max(logit, std::abs(x));
    const bool last = flow.largest < still || flow.steps == most || logit > largest_logit;
    if (flow.steps == next || last) {
      see(flow);
      next = std::max(next + 1, next * 13 / 12);
    }
    if (last) return flow;
    const double eta = std::min(step, 0.5 + 0.02 * static_cast<double>(flow.steps));
    flow.time += eta;
    for (std::size_t j = 0; j < F.size(); ++j) flow.theta[0].data()[j] += eta * F[j];
  }
}

/// A full tree of V tokens and L steps whose leaves are right with probability 0.15, one at least, and a
/// reference with logits N(0, 1).
struct RandomTree {
  Mdp mdp;
  Array<double> ref;
};
RandomTree random_tree(int V, int L, Rng rng) {
  int inner = 0, leaves = 1;
  for (int l = 0; l < L; ++l) inner += leaves, leaves *= V;
  RandomTree out{{}, zeros<double>(inner + 1, V)};
  for (int s = 0; s < inner; ++s) {
    double total = 0;
    for (double& p : row(out.ref, s)) total += p = std::exp(rng.normal());
    for (double& p : row(out.ref, s)) p /= total;
  }
  std::vector<char> right(static_cast<std::size_t>(leaves), 0);
  for (char& each : right) each = rng.uniform() < 0.15;
  const auto any = static_cast<std::size_t>(rng.uniform() * leaves);
  if (std::ranges::count(right, 1) == 0) right[any] = 1;
  std::vector<double> start(static_cast<std::size_t>(inner) + 1, 0);
  std::vector<char> terminal(start.size(), 0);
  start[0] = 1, terminal.back() = 1;
  out.mdp = make_mdp(inner + 1, V, 1, L, start, terminal, [&](int s, int a) {
    const int next = s * V + 1 + a;
    return next < inner ? std::vector<Outcome>{{next, 1, 0}}
                        : std::vector<Outcome>{
                              {inner, 1, static_cast<double>(right[static_cast<std::size_t>(next - inner)])}};
  });
  return out;
}

struct Ends {
  double optimum, partial, k3, KL_ratio;

  template <class F>
  void visit(F&& f) {
    f("optimum", optimum), f("partial", partial), f("k3", k3), f("KL_ratio", KL_ratio);
  }
};

void add_random_trees(int V, int L, int n, Csv& csv, std::string& text) {
  constexpr const char* of[] = {"0.05", "0.1", "0.2", "0.5"};
  std::vector<std::vector<Ends>> all;
  ordered_reduce(
      n,
      [&](int i) {
        const RandomTree tree =
            random_tree(V, L, Rng(seed, fmt::format("tree {} {}", V, L), static_cast<std::uint32_t>(i)));
        std::vector<Ends> ends;
        for (const char* each : of) {
          const double beta = std::stod(each);
          const auto end = [&](const Variant& v) {
            return regularised(tree.mdp, v.rest(tree.mdp, tree.ref, beta), tree.ref, beta);
          };
          const Regularised best = end(variants[0]), partial = end(variants[1]), k3 = end(variants[2]);
          ends.push_back({best.value, partial.value, k3.value, partial.KL / best.KL});
        }
        return ends;
      },
      [&](int, std::vector<Ends> ends) { all.push_back(std::move(ends)); });
  for (std::size_t b = 0; b < std::size(of); ++b) {
    double worse = 0, gap_partial = 0, gap_k3 = 0, ratio = 0;
    for (const auto& ends : all) {
      const Ends& e = ends[b];
      worse += e.partial < e.k3 - 1e-12;
      gap_partial += (e.optimum - e.partial) / n, gap_k3 += (e.optimum - e.k3) / n, ratio += e.KL_ratio / n;
    }
    const double share = worse / n;
    csv.add_some({{"part", "trees"},
                  {"beta", of[b]},
                  {"V", V},
                  {"L", L},
                  {"n", n},
                  {"share", share},
                  {"share_se", std::sqrt(share * (1 - share) / n)},
                  {"gap_partial", gap_partial},
                  {"gap_k3", gap_k3},
                  {"KL_ratio", ratio}});
    text += fmt::format("{} tokens, {} steps, beta {:<4}: partial ends below k3 in {:.3f} of {} trees\n", V,
                        L, of[b], share, n);
  }
}

/// Where f changes sign between low and high.
double crossing(double low, double high, const std::function<double(double)>& f) {
  const bool from = f(low) > 0;
  for (int i = 0; i < 60; ++i) {
    const double middle = std::sqrt(low * high);
    ((f(middle) > 0) == from ? low : high) = middle;
  }
  return low;
}

}  // namespace

Reproduction run_kl_fixed_points(Effort effort, bool check, const std::filesystem::path& out) {
  const auto trees = static_cast<int>(choose(effort, 200, 1000, 20'000));
  const auto points = static_cast<int>(choose(effort, 16, 40, 80));  // of the curves over beta
  OutputDirectory directory(
      out, {{"figure", "kl-fixed-points"}, {"seed", seed}, {"trees", trees}, {"points", points}});
  std::string text;
  Csv csv({"part",    "beta",     "variant",     "J",           "KL",      "value",    "gap",
           "J_other", "KL_other", "value_other", "time",        "largest", "V",        "L",
           "n",       "share",    "share_se",    "gap_partial", "gap_k3",  "KL_ratio", "at"});
  const Setting setting;
  const Mdp& mdp = *setting.world.mdp;
  const double q = setting.at(setting.theta, 0).J;  // of the reference
  const auto end = [&](const Variant& v, double beta) {
    return regularised(mdp, v.rest(mdp, setting.ref, beta), setting.ref, beta);
  };

  double KL_without = 0;  // where no penalty leads
  const auto add_rests = [&](const char* part, const std::string& name, double beta) {
    const double best = end(variants[0], beta).value;
    for (const Variant& v : std::span(variants).first(3)) {
      const Regularised r = end(v, beta);
      // The best distribution over whole answers is ref(y) e^{r(y)/beta} / Z.
      const bool whole = v.rest == soft_optimum;
      const double tilt = q * std::exp(1 / beta), Z = 1 - q + tilt, value = beta * std::log(Z);
      csv.add_some({{"part", part},
                    {"beta", name},
                    {"variant", v.name},
                    {"J", r.J},
                    {"KL", r.KL},
                    {"value", r.value},
                    {"gap", best - r.value},
                    {"J_other", whole ? tilt / Z : NAN},
                    {"KL_other", whole ? (tilt / Z - value) / beta : NAN},
                    {"value_other", whole ? value : NAN}});
    }
    csv.add_some({{"part", part},
                  {"beta", name},
                  {"variant", "no penalty"},
                  {"J", 1.0},
                  {"KL", KL_without},
                  {"value", 1 - beta * KL_without},
                  {"gap", best - (1 - beta * KL_without)}});
  };
  csv.add_some({{"part", "reference"}, {"variant", "reference"}, {"J", q}, {"KL", 0.0}});
  csv.add_some({{"part", "reference"}, {"variant", "least KL of J = 1"}, {"J", 1.0}, {"KL", -std::log(q)}});

  Parts parts(directory);
  const auto add_path = [&](const char* name, const std::string& beta) {
    return [&csv, &setting, name, beta](const Flow& flow) {
      const Regularised r = setting.at(flow.theta, std::stod(beta));
      csv.add_some({{"part", "path"},
                    {"beta", beta},
                    {"variant", name},
                    {"J", r.J},
                    {"KL", r.KL},
                    {"time", flow.time},
                    {"largest", flow.largest}});
    };
  };
  const auto add_end = [&](const char* name, const std::string& beta, const Flow& flow,
                           const std::optional<Regularised>& rest) {
    const Regularised r = setting.at(flow.theta, std::stod(beta));
    csv.add_some({{"part", "flow"},
                  {"beta", beta},
                  {"variant", name},
                  {"J", r.J},
                  {"KL", r.KL},
                  {"value", r.value},
                  {"J_other", rest ? rest->J : NAN},
                  {"KL_other", rest ? rest->KL : NAN},
                  {"value_other", rest ? rest->value : NAN},
                  {"time", flow.time},
                  {"largest", flow.largest}});
    text += fmt::format("flow of {:<12} beta {:<4} J {:.6f} KL {:.6f} at time {:.0f}, update {:.1e}\n", name,
                        beta, r.J, r.KL, flow.time, flow.largest);
  };
  {
    const Update climb = [&](const Parameters& theta) {
      std::vector<double> F = policy_gradient(mdp, state_probabilities(setting.world, setting.policy, theta));
      F.resize(theta[0].size());  // without the end of an answer
      return F;
    };
    const Flow flow = follow(setting, climb, 1, 0, 20'000, add_path("no penalty", "0"));
    add_end("no penalty", "0", flow, {});
    KL_without = setting.at(flow.theta, 0).KL;
  }
  for (const auto& [beta, step] : flows)
    for (const Variant& v : variants)
      parts(csv, text, [&, beta = beta, step = step] {
        const double b = std::stod(beta);
        const Flow flow = follow(setting, expected_update(setting, v.kl, b), v.rest ? step : 1, 1e-8, 20'000,
                                 add_path(v.name, beta));
        add_end(v.name, beta, flow, v.rest ? std::optional(end(v, b)) : std::nullopt);
      });

  for (const char* beta : betas) add_rests("rest", beta, std::stod(beta));
  for (int i = 0; i <= points; ++i) {
    const double beta = 0.02 * std::pow(100, static_cast<double>(i) / points);
    add_rests("curve", number(beta), beta);
  }

  const auto add_crossing = [&](const char* name, double low, double high, const auto& f) {
    const double at = crossing(low, high, f);
    csv.add_some({{"part", "crossing"}, {"variant", name}, {"at", at}});
    text += fmt::format("{}: beta = {:.4f}\n", name, at);
  };
  const auto better = [&](double beta) {
    return end(variants[1], beta).value - end(variants[2], beta).value;
  };
  add_crossing("partial falls below k3", 0.02, 0.2, better);
  add_crossing("partial rises above k3", 0.3, 2, better);
  add_crossing("partial has the KL of no penalty", 0.05, 0.5,
               [&](double beta) { return end(variants[1], beta).KL - KL_without; });

  for (int L = 1; L <= 8; ++L) parts(csv, text, [&] { add_random_trees(2, L, trees, csv, text); });
  parts(csv, text, [&] { add_random_trees(3, 4, trees, csv, text); });
  return publish("kl-fixed-points", directory, csv, check, std::move(text));
}

}  // namespace lowvar
