// Baselines for the tokens of an answer that is paid at its end: a constant, OPO's mean by length, one number
// for each position, verl's "optimal token baseline", one for each prefix, and the exact critic's TD error.
// Variance of one answer's estimate, exactly: by the definition on every answer, and by the estimators that
// take such a table for their critic.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "algorithms/exact/tabular.h"
#include "experiments/figures/figures.h"
#include "experiments/figures/sequence_figures.h"
#include "experiments/parts.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

/// Every answer with its scores, and what baselines are made of.
struct Table31 {
  Answers answers;
  Array<double> z;             // [rows x d]
  std::vector<double> norm;    // [rows], |z|^2
  std::vector<double> local;   // [rows], 1 - 2 pi(a) + sum_a pi^2, what verl takes for it
  std::vector<double> along;   // [rows], z_t . S
  std::vector<double> square;  // [N], |S|^2
};
Table31 tabulate(const World& world, const PolicyChoice& pi) {
  Table31 out{visit_answers(world, pi.policy, pi.theta), {}, {}, {}, {}, {}};
  const Trajectories& b = out.answers.batch;
  out.z = row_scores(out.answers, pi.policy, pi.theta);
  const Array<double> p = state_probabilities(world, pi.policy, pi.theta);
  for (int i = 0; i < b.size(); ++i) {
    std::vector<double> S(out.z.shape(1));
    for (int r = b.begin(i); r < b.end(i); ++r)
      for (std::size_t j = 0; j < S.size(); ++j) S[j] += out.z(static_cast<std::size_t>(r), j);
    out.square.push_back(dot(S, S));
    for (int r = b.begin(i); r < b.end(i); ++r) {
      const auto k = static_cast<std::size_t>(r);
      const auto of = row(p, b.state[k]);
      out.norm.push_back(dot(row(out.z, r), row(out.z, r)));
      out.along.push_back(dot(row(out.z, r), S));
      out.local.push_back(1 - 2 * of[static_cast<std::size_t>(b.action[k])] + dot(of, of));
    }
  }
  return out;
}

/// E[R w | group] / E[w' | group] of rows, `group` of them by (step, state).
struct Ratio {
  std::vector<double> above, below;
  double at(int group) const {
    return above[static_cast<std::size_t>(group)] / below[static_cast<std::size_t>(group)];
  }
};
template <class Group, class W, class V>
Ratio ratio(const Table31& t, int groups, Group&& group, W&& w, V&& v) {
  Ratio out{std::vector<double>(static_cast<std::size_t>(groups)),
            std::vector<double>(static_cast<std::size_t>(groups))};
  const Trajectories& b = t.answers.batch;
  for (int i = 0; i < b.size(); ++i)
    for (int r = b.begin(i); r < b.end(i); ++r) {
      const auto k = static_cast<std::size_t>(group(r - b.begin(i), b.state[static_cast<std::size_t>(r)]));
      const double p = t.answers.probability[static_cast<std::size_t>(i)];
      out.above[k] += p * t.answers.R[static_cast<std::size_t>(i)] * w(i, r);
      out.below[k] += p * v(i, r);
    }
  return out;
}

/// A baseline b_t(s), [T+1 x S].
using Baseline = Array<double>;

struct Moments31 {
  double trace_cov, bias;
};
/// Of sum_t z_t (R - b_t(s_t)), or with the critic's change in place of R - b.
Moments31 moments_of(const Table31& t, const std::function<double(int i, int step, int r)>& psi,
                     std::span<const double> gradient) {
  const Trajectories& b = t.answers.batch;
  FirstTwo m{std::vector<double>(gradient.size()), std::vector<double>(gradient.size())};
  for (int i = 0; i < b.size(); ++i) {
    std::vector<double> g(gradient.size());
    for (int r = b.begin(i); r < b.end(i); ++r)
      for (std::size_t j = 0; j < g.size(); ++j)
        g[j] += psi(i, r - b.begin(i), r) * t.z(static_cast<std::size_t>(r), j);
    const double p = t.answers.probability[static_cast<std::size_t>(i)];
    for (std::size_t j = 0; j < g.size(); ++j) m.mean[j] += p * g[j], m.second[j] += p * g[j] * g[j];
  }
  return {trace_of(m), against(m.mean, 0, gradient).bias};
}

double correlation(const Table31& t) {
  double x = 0, y = 0, xx = 0, yy = 0, xy = 0;
  for (int i = 0; i < t.answers.size(); ++i) {
    const double p = t.answers.probability[static_cast<std::size_t>(i)],
                 S = t.square[static_cast<std::size_t>(i)], l = t.answers.batch.length(i);
    x += p * S, y += p * l, xx += p * S * S, yy += p * l * l, xy += p * S * l;
  }
  return (xy - x * y) / std::sqrt((xx - x * x) * (yy - y * y));
}

}  // namespace

Reproduction run_token_baselines(Effort, bool check, const std::filesystem::path& out) {
  OutputDirectory directory(out, {{"figure", "token-baselines"}});
  std::string text;
  Csv csv({"part", "policy", "baseline", "label", "family", "position", "b", "trace_cov",
           "trace_cov_estimator", "bias", "share"});
  const World world = make_world("seq-31", {}, {});
  for (const bool own_rows : {false, true}) {
    const PolicyChoice tied = make_policy(world, "kappa:0"), pi = own_rows ? by_prefix(world, tied) : tied;
    const char* policy = own_rows ? "prefix" : "tied";
    const Table31 t = tabulate(world, pi);
    const Trajectories& batch = t.answers.batch;
    const int T = world.T, S = world.mdp->S;
    const auto one = [](int, int) { return 0; };
    const auto position = [](int step, int) { return step; };
    const auto prefix = [](int, int state) { return state; };
    const auto norm = [&](int, int r) { return t.norm[static_cast<std::size_t>(r)]; };
    const auto along = [&](int, int r) { return t.along[static_cast<std::size_t>(r)]; };
    const auto so_far = [&](int i, int r) {  // verl's W_t
      return std::accumulate(t.local.begin() + batch.begin(i), t.local.begin() + r + 1, 0.0);
    };
    const auto once = [&](auto of) {  // of an answer, in its first row
      return [&batch, of](int i, int r) { return r == batch.begin(i) ? of(i) : 0.0; };
    };
    const auto whole = once([&](int i) { return t.square[static_cast<std::size_t>(i)]; });
    const auto length = once([&](int i) { return static_cast<double>(batch.length(i)); });
    const auto unit = once([](int) { return 1.0; });

    const Array<double> values = state_values(*world.mdp, state_probabilities(world, pi.policy, pi.theta));
    const std::vector<double> gradient =
        ask_oracle(world, pi.policy, pi.theta, pi.theta, make_estimator("reinforce"), std::nullopt)
            .truth.gradient;
    double without = NAN;
    const auto add = [&](const char* name, const char* label, const char* family, const Baseline& b,
                         const char* estimator = "togo-value") {
      const bool td = std::string_view(estimator) == "td";
      const Moments31 m = moments_of(
          t,
          [&](int i, int step, int r) {
            const auto next = [&] {
              return r + 1 < batch.end(i) ? b(step + 1, batch.state[static_cast<std::size_t>(r) + 1])
                                          : t.answers.R[static_cast<std::size_t>(i)];
            };
            return (td ? next() : t.answers.R[static_cast<std::size_t>(i)]) -
                   b(step, batch.state[static_cast<std::size_t>(r)]);
          },
          gradient);
      if (std::isnan(without)) without = m.trace_cov;
      const Truth other =
          ask_oracle(world, pi.policy, pi.theta, pi.theta, make_estimator(estimator), b).truth;
      csv.add_some(
          {{"part", "variance"},
           {"policy", policy},
           {"baseline", name},
           {"label", label},
           {"family", family},
           {"trace_cov", m.trace_cov},
           {"trace_cov_estimator", std::accumulate(other.variance.begin(), other.variance.end(), 0.0)},
           {"bias", m.bias},
           {"share", m.trace_cov / without}});
      text += fmt::format("{:<7}{:<34} variance {:.6f}\n", policy, label, m.trace_cov);
    };
    const auto add_of = [&](const char* name, const char* label, const char* family, const Ratio& of,
                            auto group) {
      Baseline b = zeros<double>(T + 1, S);
      for (int step = 0; step < T; ++step)
        for (int s = 0; s < S; ++s) {
          const int g = group(step, s);
          b(step, s) = of.below[static_cast<std::size_t>(g)] > 0 ? of.at(g) : 0;
        }
      add(name, label, family, b);
      const std::string kind = family;
      for (int step = 0; step < T && kind != "prefix"; ++step)
        csv.add_some({{"part", "numbers"},
                      {"policy", policy},
                      {"baseline", name},
                      {"position", step + 1},
                      {"b", of.at(group(step, 0))}});
    };
    add("none", "none", "none", zeros<double>(T + 1, S));
    add_of("J", "mean J", "constant", ratio(t, 1, one, unit, unit), one);
    add_of("length", "mean by length, OPO", "constant", ratio(t, 1, one, length, length), one);
    add_of("constant", "best constant", "constant", ratio(t, 1, one, whole, whole), one);
    add_of("otb", "OTB", "position", ratio(t, T, position, so_far, so_far), position);
    add_of("norm", "by |z|²", "position", ratio(t, T, position, norm, norm), position);
    add_of("position", "best", "position", ratio(t, T, position, along, norm), position);
    add("V", "V(prefix)", "prefix", values);
    add_of("greensmith", "by |z|²", "prefix", ratio(t, S, prefix, norm, norm), prefix);
    add_of("prefix", "best", "prefix", ratio(t, S, prefix, along, norm), prefix);
    add("td", "TD error, V(next) − V", "critic", values, "td");
    csv.add_some({{"part", "correlation"}, {"policy", policy}, {"b", correlation(t)}});
  }
  return publish("token-baselines", directory, csv, check, std::move(text));
}

}  // namespace lowvar
