#include "algorithms/measure/updates.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/parallel.h"
#include "core/store.h"

namespace lowvar {
namespace {

constexpr int blocks = 64;  // of the jackknife
constexpr int batches_between_stands = 16;
constexpr double seconds_of_a_row = 1e-4;  // about, of one core, a whole update and estimators included
constexpr long truth_multiple = 10;  // batches of a truth that no oracle knows, over those that are measured

void check(const Estimator& e, const Learned& learned) {
  const auto refuse = [&](bool fine, const char* why) { expect(fine, "estimator '", e.name, "' ", why); };
  refuse(!e.needs_constants,
         "subtracts constants of an oracle or a pilot, and batches of a run have neither");
  refuse(!e.objective, "differentiates dynamics, and batches of a run are cut and continued");
  refuse(e.unit <= 1, "weighs groups of whole episodes, and batches of a run need not be such");
  refuse(!e.needs_critic || learned.critic, "needs a critic, and the run has none");
  refuse(!e.needs_action_values || learned.action_values,
         "needs a critic of Q(s, a), and that of the run is of V(s)");
  refuse(!e.needs_critic || e.needs_action_values || !learned.action_values,
         "needs a critic of V(s), and that of the run is of Q(s, a)");
}

/// One drawing of the update: a row for each rung, [d].
struct Drawn {
  std::vector<Array<double>> g;
  int steps = 0;

  template <class F>
  void visit(F&& f) {
    f("g", g), f("steps", steps);
  }
};

Array<double> as_row(const std::vector<double>& x) {
  return from_values<double>(1, static_cast<int>(x.size()), std::span<const double>(x));
}

std::vector<double> flat(const Parameters& theta) {
  std::vector<double> out;
  for (const auto& x : theta) out.insert(out.end(), x.begin(), x.end());
  return out;
}

Drawn draw(const Run& run, const std::vector<Estimator>& estimators, std::uint64_t seed,
           const std::string& stream) {
  Drawn out;
  out.g.resize(update_rungs.size() + estimators.size());
  Watcher watcher;
  watcher.weighed = [&](const WeighedBatch& w) {
    std::vector<int> all(static_cast<std::size_t>(w.batch.rows()));
    std::iota(all.begin(), all.end(), 0);
    out.steps = w.batch.rows();
    out.g[1] = as_row(w.gradient(all));
    if (estimators.empty()) return;
    Constants constants;
    constants.gamma = w.gamma;
    std::vector<const Estimator*> each;
    for (const Estimator& e : estimators) each.push_back(&e);
    const int whole[] = {0, w.batch.rows()};
    auto g = estimate(each, w.policy, w.theta, w.batch, whole, constants);
    for (std::size_t k = 0; k < g.size(); ++k) {
      for (double& x : values(g[k])) x /= w.batch.rows();
      out.g[update_rungs.size() + k] = std::move(g[k]);
    }
  };
  watcher.gradient = [&](const std::vector<double>& g) {
    if (!out.g[0].size()) out.g[0] = as_row(g);
  };
  const auto copy = run.branch(seed, stream);
  const std::vector<double> before = flat(copy->policy_parameters());
  copy->advance(watcher);
  std::vector<double> step = flat(copy->policy_parameters());
  for (std::size_t i = 0; i < step.size(); ++i) step[i] -= before[i];
  out.g[2] = as_row(step);
  expect(out.g[1].size() > 0, "this algorithm's batches cannot be measured: it weighs none");
  return out;
}

/// What was drawn so far: all that the rest depends on beside the arguments.
struct Going {
  std::vector<std::vector<double>> mean;  // [rung], of the batches of a truth
  Measured measured;
  std::vector<std::vector<double>> cosines;  // [rung]
  long done = 0;                             // batches of both

  template <class F>
  void visit(F&& f) {
    f("mean", mean), f("measured", measured), f("cosines", cosines), f("done", done);
  }
};

double cosine(std::span<const double> a, std::span<const double> b) {
  const double ab = std::inner_product(a.begin(), a.end(), b.begin(), 0.0),
               aa = std::inner_product(a.begin(), a.end(), a.begin(), 0.0),
               bb = std::inner_product(b.begin(), b.end(), b.begin(), 0.0);
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;  // of a zero gradient: none
}

/// The mean of x and its standard error.
Estimate mean_of(const std::vector<double>& x) {
  const double n = static_cast<double>(x.size()), mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
  double square = 0;
  for (const double each : x) square += (each - mean) * (each - mean);
  return {mean, std::sqrt(square / (n - 1) / n)};
}

}  // namespace

void check_updates(const Run& run, const std::vector<Estimator>& estimators) {
  run.branch(0, "");
  const Learned learned = run.learned();
  for (const Estimator& e : estimators) check(e, learned);
}

MeasuredUpdates measure_updates(const Run& run, const std::vector<Estimator>& estimators,
                                const UpdateOptions& o) {
  expect(o.batches >= 2, "a variance needs at least 2 batches, got ", o.batches);
  check_updates(run, estimators);
  MeasuredUpdates out;
  for (const auto& name : update_rungs) {
    Estimator named;
    named.name = name;
    out.rungs.push_back({std::move(named), nullptr});
  }
  for (const Estimator& e : estimators) out.rungs.push_back({e, nullptr});
  const std::size_t E = out.rungs.size();

  Going going;
  Measured& m = going.measured;
  m.trajectories = o.batches;
  m.blocks.assign(blocks, std::vector<Moments>(E));
  m.block_steps.assign(blocks, {0, 0});
  m.unit.assign(E, 1);
  m.sample.assign(E, 0);
  going.mean.resize(E), going.cosines.resize(E);
  const bool search = std::any_of(o.truth.begin(), o.truth.end(), [](const auto& t) { return t.empty(); }) ||
                      o.truth.size() < E;
  const long of_truth = search ? truth_multiple * o.batches : 0, total = of_truth + o.batches;
  if (!o.keeper.kept.empty()) {
    const Measured begun = m;
    restore_from(o.keeper.kept, going);
    const std::size_t d = flat(run.policy_parameters()).size();
    expect_fits(m, begun, std::vector(E, d));
    bool fits = m.trajectories == o.batches && going.done >= 0 && going.done <= total &&
                going.mean.size() == E && going.cosines.size() == E;
    for (std::size_t e = 0; fits && e < E; ++e)
      fits = going.mean[e].size() == (std::min(going.done, of_truth) > 0 ? d : 0) &&
             static_cast<long>(going.cosines[e].size()) == std::max(0L, going.done - of_truth);
    expect(fits, "the stored measurement stands where this one never does");
  }

  // f(b, drawn) for batches [first, end) of all, drawn from streams "-of-run...-0", "-1" and so on.
  const auto draw_all = [&](long first, long end, const std::string& stream, auto&& f) {
    while (going.done < end) {
      const long done = going.done, next = std::min(end, done + batches_between_stands);
      double rows = 0;
      const auto number = [&](int i) { return static_cast<int>(done - first) + i; };
      ordered_reduce(
          static_cast<int>(next - done),
          [&](int i) { return draw(run, estimators, o.seed, join(stream, number(i))); },
          [&](int i, const Drawn& one) {
            f(number(i), one);
            rows += one.steps;
            o.progress(++going.done, total);
          });
      if (o.keeper.stands) o.keeper.stands(rows * seconds_of_a_row, [&] { return stored(going); });
    }
  };
  draw_all(0, of_truth, "-of-run-truth-", [&](int, const Drawn& one) {
    for (std::size_t e = 0; e < E; ++e) {
      auto& mean = going.mean[e];
      mean.resize(one.g[e].size());
      for (std::size_t j = 0; j < mean.size(); ++j)
        mean[j] += one.g[e].data()[j] / static_cast<double>(of_truth);
    }
  });
  std::vector<std::vector<double>> truth = o.truth;
  truth.resize(E);
  for (std::size_t e = 0; e < E; ++e)
    if (truth[e].empty()) truth[e] = going.mean[e];
  draw_all(of_truth, total, "-of-run-", [&](int b, const Drawn& one) {
    const auto block = static_cast<std::size_t>(b % blocks);
    m.block_steps[block][0] += 1;
    m.block_steps[block][1] += one.steps;
    for (std::size_t e = 0; e < E; ++e) {
      Moments& to = m.blocks[block][e];
      to.merge(Moments::of(one.g[e], one.g[0]));
      const auto g = values(one.g[e]);
      to.add_batch(g);
      going.cosines[e].push_back(cosine(g, truth[e]));
    }
  });
  out.measured = std::move(m);
  for (const auto& each : going.cosines) out.cosine_truth.push_back(mean_of(each));
  return out;
}

}  // namespace lowvar
