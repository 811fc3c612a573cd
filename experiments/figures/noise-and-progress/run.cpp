// Does noise to signal say how far a step gets? E[J(theta + eta g)] - J of one step, summed over every group
// of four answers, against eta for thirteen estimators; and the best of it against each one's noise to
// signal.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "autograd/autograd.h"
#include "core/parallel.h"
#include "experiments/figures/figures.h"
#include "experiments/figures/sequence_figures.h"
#include "experiments/parts.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

constexpr int G = 4;
constexpr double least = 0.5, most = 40;  // of eta, in units that make |eta E g| = eta |grad J|
constexpr int grid = 40;

struct Line {
  const char* name;
  const char* label;
};
constexpr Line lines[] = {{"reinforce", "REINFORCE"},
                          {"reinforce-optimal", "constant b*"},
                          {"reinforce-mean", "constant b = J"},
                          {"rloo:4", "RLOO"},
                          {"grpo:4+seq-mean", "GRPO"},
                          {"grpo:4", "GRPO without 1/length"},
                          {"grpo:4+token-mean", "token mean"},
                          {"opo:4", "OPO"},
                          {"whiten:4+token-mean", "REINFORCE++"},
                          {"maxrl:4", "MaxRL"},
                          {"gpg:4", "GPG"},
                          {"remax", "ReMax"}};
constexpr const char* exact = "exact";

/// The estimator on groups of G, where its unit is one answer: the mean of G of it.
Estimator of_groups(Estimator e) {
  if (e.unit == 1) e.unit = G;
  return e;
}

/// J of tied logits, fast enough for millions of policies: the sum over paid answers of what each is paid
/// times its probability.
class FastReturn {
 public:
  FastReturn(const World& world, const Answers& answers) : tokens_(static_cast<std::size_t>(world.A)) {
    const auto& rows = world.sequences->tied->of;
    for (int i = 0; i < answers.size(); ++i) {
      if (answers.R[static_cast<std::size_t>(i)] == 0) continue;
      Paid paid{answers.R[static_cast<std::size_t>(i)], {}};
      for (int r = answers.batch.begin(i); r < answers.batch.end(i); ++r) {
        const auto k = static_cast<std::size_t>(r);
        paid.at.push_back(static_cast<std::size_t>(rows[static_cast<std::size_t>(answers.batch.state[k])]) *
                              tokens_ +
                          static_cast<std::size_t>(answers.batch.action[k]));
      }
      paid_.push_back(std::move(paid));
    }
  }
  double operator()(std::vector<double>& logits) const {  // becomes probabilities
    for (std::size_t begin = 0; begin < logits.size(); begin += tokens_) {
      double sum = 0, most_of = logits[begin];
      for (std::size_t a = 1; a < tokens_; ++a) most_of = std::max(most_of, logits[begin + a]);
      for (std::size_t a = 0; a < tokens_; ++a)
        sum += logits[begin + a] = std::exp(logits[begin + a] - most_of);
      for (std::size_t a = 0; a < tokens_; ++a) logits[begin + a] /= sum;
    }
    double J = 0;
    for (const Paid& paid : paid_) {
      double p = paid.R;
      for (const std::size_t k : paid.at) p *= logits[k];
      J += p;
    }
    return J;
  }

 private:
  struct Paid {
    double R;
    std::vector<std::size_t> at;  // row-major places of its tokens
  };
  std::size_t tokens_;
  std::vector<Paid> paid_;
};

/// Every group's estimate, one after another.
struct Groups {
  std::vector<double> probability, g;
};
Groups every_estimate(const Answers& answers, const Estimator& e, const PolicyChoice& pi,
                      const Constants& constants) {
  Groups out;
  for_each_group(answers, e, row_scores(answers, pi.policy, pi.theta),
                 row_log_pi(answers, pi.policy, pi.theta), constants,
                 [&](double p, std::span<const double> g) {
                   out.probability.push_back(p);
                   out.g.insert(out.g.end(), g.begin(), g.end());
                 });
  return out;
}

/// E[J(theta + eta g)] - J for each eta.
std::vector<double> gains(const Groups& groups, const FastReturn& J, const Array<double>& theta, double now,
                          const std::vector<double>& etas) {
  constexpr int at_once = 1024;
  const int n = side(groups.probability.size());
  const std::size_t d = theta.size();
  std::vector<double> out(etas.size(), -now);
  ordered_reduce((n + at_once - 1) / at_once,
                 [&](int part) {
                   std::vector<double> sums(etas.size()), logits(d);
                   for (int i = part * at_once; i < std::min(n, (part + 1) * at_once); ++i)
                     for (std::size_t e = 0; e < etas.size(); ++e) {
                       for (std::size_t j = 0; j < d; ++j)
                         logits[j] =
                             theta.data()[j] + etas[e] * groups.g[static_cast<std::size_t>(i) * d + j];
                       sums[e] += groups.probability[static_cast<std::size_t>(i)] * J(logits);
                     }
                   return sums;
                 },
                 [&](int, const std::vector<double>& sums) {
                   for (std::size_t e = 0; e < sums.size(); ++e) out[e] += sums[e];
                 });
  return out;
}

/// The Hessian of J, [d x d].
Array<double> curvature_of(const Answers& answers, const PolicyChoice& pi) {
  const Trajectories& b = answers.batch;
  Array<double> rows_of = zeros<double>(answers.size(), b.rows());
  for (int i = 0; i < answers.size(); ++i)
    for (int r = b.begin(i); r < b.end(i); ++r) rows_of(i, r) = 1;
  const Array<double> R = from_values<double>(answers.size(), 1, answers.R);
  return hessian(
      [&](const std::vector<Var<double>>& theta) {
        const auto log_p = log_prob(pi.policy(theta, b.state, Var<double>()), Actions<double>{b.action, {}});
        return sum(exp(matmul(rows_of, log_p)) * R);
      },
      pi.theta);
}

double product(const Array<double>& H, std::span<const double> x) {  // x'Hx
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += x[i] * dot(row(H, static_cast<int>(i)), x);
  return sum;
}

/// Spearman's rank correlation, without ties.
double rank_correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const auto rank = [](const std::vector<double>& of, double value) {
    return std::count_if(of.begin(), of.end(), [&](double each) { return each < value; });
  };
  const auto n = static_cast<double>(x.size());
  double squares = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    squares += std::pow(static_cast<double>(rank(x, x[i]) - rank(y, y[i])), 2);
  return 1 - 6 * squares / (n * (n * n - 1));
}

}  // namespace

Reproduction run_noise_and_progress(Effort effort, bool check, const std::filesystem::path& out) {
  const int beyond = static_cast<int>(choose(effort, 2, 8, 60));  // further etas, up to three times the last
  OutputDirectory directory(out, {{"figure", "noise-and-progress"}, {"beyond", beyond}});
  std::string text;
  Csv csv({"part", "estimator", "label", "eta", "gain", "signal", "cosine", "nsr", "best_gain", "best_eta",
           "gain_1", "curvature", "gain_small", "gain_small_by_taylor", "J", "J_fast"});
  const World world = make_world("seq-31", {}, {});
  const PolicyChoice pi = make_policy(world, "reference");
  const Answers answers = visit_answers(world, pi.policy, pi.theta, {.greedy = true});
  const FastReturn J(world, answers);
  const double now = exact_return(world, pi.policy, pi.theta);
  const Constants constants = make_constants(world, pi, 0, 0);
  const std::vector<double> gradient =
      ask_oracle(world, pi.policy, pi.theta, pi.theta, make_estimator("reinforce"), std::nullopt)
          .truth.gradient;
  const Array<double> H = curvature_of(answers, pi);
  constexpr double small = 0.01;
  std::vector<double> etas{small, 1};  // then the grid, then what is beyond
  for (int k = 0; k < grid; ++k)
    etas.push_back(least * std::pow(most / least, static_cast<double>(k) / (grid - 1)));
  for (int k = 1; k <= beyond; ++k) etas.push_back(most * std::pow(3, static_cast<double>(k) / beyond));

  Parts parts(directory);
  const auto add = [&](const std::string& name, const std::string& label, const Groups& groups) {
    const std::size_t d = gradient.size();
    FirstTwo m{std::vector<double>(d), std::vector<double>(d)};
    double bent = 0;
    for (std::size_t i = 0; i < groups.probability.size(); ++i) {
      const double p = groups.probability[i];
      const std::span<const double> g(groups.g.data() + i * d, d);
      for (std::size_t j = 0; j < d; ++j) m.mean[j] += p * g[j], m.second[j] += p * g[j] * g[j];
      bent += p * product(H, g);
    }
    const Against a = against(m.mean, trace_of(m), gradient);
    const double unit = std::sqrt(dot(gradient, gradient) / a.signal);
    std::vector<double> scaled = etas;
    for (double& each : scaled) each *= unit;
    const std::vector<double> gain = gains(groups, J, pi.theta[0], now, scaled);
    const auto first = gain.begin() + 2, last = first + grid;
    const auto best = std::max_element(first, last);
    for (std::size_t e = 2; e < etas.size(); ++e)
      csv.add_some(
          {{"part", "curve"}, {"estimator", name}, {"label", label}, {"eta", etas[e]}, {"gain", gain[e]}});
    csv.add_some({{"part", "summary"},
                  {"estimator", name},
                  {"label", label},
                  {"signal", a.signal},
                  {"cosine", a.cosine},
                  {"nsr", a.nsr},
                  {"best_gain", *best},
                  {"best_eta", etas[static_cast<std::size_t>(best - gain.begin())]},
                  {"gain_1", gain[1]},
                  {"curvature", unit * unit * (bent - product(H, m.mean)) / 2},
                  {"gain_small", gain[0]},
                  {"gain_small_by_taylor",
                   small * unit * dot(m.mean, gradient) + small * small * unit * unit * bent / 2}});
    text += fmt::format("{:<24} noise to signal {:.3f}  best gain {:.5f} at {:.1f}, at 1 {:.5f}\n", label,
                        a.nsr, *best, etas[static_cast<std::size_t>(best - gain.begin())], gain[1]);
  };
  for (const Line& line : lines)
    parts(csv, text, [&] {
      add(line.name, line.label,
          every_estimate(answers, of_groups(make_estimator(line.name)), pi, constants));
    });
  parts(csv, text, [&] { add(exact, "exact gradient", {{1}, gradient}); });
  parts(csv, text, [&] {
    std::vector<double> minus_nsr, best_gain;
    for (const auto& row : parse_csv(csv.text()))
      if (row.at("part") == "summary" && row.at("estimator") != exact)
        minus_nsr.push_back(-std::stod(row.at("nsr"))), best_gain.push_back(std::stod(row.at("best_gain")));
    const double r = rank_correlation(minus_nsr, best_gain);
    csv.add_some({{"part", "rank"}, {"gain", r}});
    text += fmt::format("rank correlation of less noise and more gain {:.3f}\n", r);
    Parameters after = pi.theta;
    for (std::size_t j = 0; j < gradient.size(); ++j) after[0].data()[j] += 10 * gradient[j];
    std::vector<double> logits(after[0].begin(), after[0].end());
    csv.add_some({{"part", "return"}, {"J", exact_return(world, pi.policy, after)}, {"J_fast", J(logits)}});
  });
  return publish("noise-and-progress", directory, csv, check, std::move(text));
}

}  // namespace lowvar
