// The gradient of a training run: its mean against the sum over all batches that could have been drawn, what
// its bias is made of, the exact gradients that it is compared with, and what can be measured of which run.
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <numeric>

#include "algorithms/exact/tabular.h"
#include "algorithms/exact/training_objective.h"
#include "algorithms/measure/updates.h"
#include "experiments/algorithms.h"
#include "experiments/worlds.h"
#include "small_worlds.h"
#include "statistics.h"

namespace lowvar {
namespace {

using Vector = std::vector<double>;
using Options = std::vector<std::pair<std::string, std::string>>;

Vector minus(Vector a, const Vector& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}
Vector times(double c, Vector a) {
  for (double& each : a) each *= c;
  return a;
}
double dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}
double norm(const Vector& a) { return std::sqrt(dot(a, a)); }
double cosine(const Vector& a, const Vector& b) { return dot(a, b) / norm(a) / norm(b); }

/// softmax of each row of logits.
Array<double> softmax_of(const Array<double>& logits) {
  Array<double> pi = logits;
  for (int s = 0; s < shape(pi).rows; ++s) {
    double total = 0;
    for (double& each : row(pi, s)) total += each = std::exp(each);
    for (double& each : row(pi, s)) each /= total;
  }
  return pi;
}

// ---- All batches of a small world ----

/// Two states, two actions, and an end that each state can lead to; episodes are cut after three steps.
Mdp two_states() {
  const std::vector<std::vector<Outcome>> outcomes = {{{0, 0.5, 0.2}, {1, 0.3, 1}, {2, 0.2, -0.5}},
                                                      {{1, 0.7, 0.1}, {0, 0.3, -1.3}},
                                                      {{0, 0.6, 0.4}, {1, 0.4, 0}},
                                                      {{2, 0.4, 3}, {1, 0.6, -0.2}}};
  return make_mdp(3, 2, 0.9, 3, {0.6, 0.4, 0}, {0, 0, 1},
                  [&](int s, int a) { return outcomes[static_cast<std::size_t>(2 * s + a)]; });
}

/// Where an environment is: its state, and the steps of its episode so far.
struct Place {
  int state, step;
};

/// What is assumed to follow a step that the batch does not go on from: V(s'), but for episodes cut at the
/// limit, or for all; after an end it is 0 in any case.
enum class Following { value, value_but_at_limit, nothing };

/// A learner before its update.
struct Situation {
  Mdp mdp;
  Array<double> pi;  // [S x A]
  Vector V;          // [S]
  std::vector<Place> places;
  int rollout = 3;
  double lambda = 0.95;
  Following following = Following::value;
};

struct Step {
  int s, a;
  double A;   // delta_t, and when the rollout is whole the advantage
  bool last;  // of its trajectory
};
struct Rollout {
  double probability;
  std::vector<Step> steps;
};

/// Appends to `out` all that can follow `so_far` in `left` more steps of one environment.
void enumerate_rollouts(const Situation& x, Place at, int left, const Rollout& so_far,
                        std::vector<Rollout>& out) {
  const double gamma = x.mdp.gamma;
  if (left == 0) {
    Rollout whole = so_far;
    for (std::size_t t = whole.steps.size(); t-- > 0;)
      if (!whole.steps[t].last) whole.steps[t].A += gamma * x.lambda * whole.steps[t + 1].A;
    out.push_back(std::move(whole));
    return;
  }
  for (int a = 0; a < x.mdp.A; ++a)
    for (const Outcome& o : x.mdp.outcomes(at.state, a)) {
      const bool terminated = x.mdp.terminal[static_cast<std::size_t>(o.next)],
                 limit = at.step + 1 == x.mdp.T, last = terminated || limit || left == 1;
      const bool worthless = terminated || (last && x.following == Following::nothing) ||
                             (limit && x.following == Following::value_but_at_limit);
      const double delta = o.reward + (worthless ? 0 : gamma * x.V[static_cast<std::size_t>(o.next)]) -
                           x.V[static_cast<std::size_t>(at.state)];
      Rollout longer = so_far;
      longer.probability *= x.pi(at.state, a) * o.probability;
      longer.steps.push_back({at.state, a, delta, last});
      if (!terminated && !limit) {
        enumerate_rollouts(x, {o.next, at.step + 1}, left - 1, longer, out);
        continue;
      }
      const double probability = longer.probability;
      for (int s = 0; s < x.mdp.S; ++s) {
        longer.probability = probability * x.mdp.start[static_cast<std::size_t>(s)];
        if (longer.probability > 0) enumerate_rollouts(x, {s, 0}, left - 1, longer, out);
      }
    }
}

/// Adds weight A grad log pi(a|s) to g [S*A].
void add_score(const Situation& x, const Step& step, double weight, Vector& g) {
  for (int b = 0; b < x.mdp.A; ++b)
    g[static_cast<std::size_t>(step.s * x.mdp.A + b)] += weight * step.A * ((b == step.a) - x.pi(step.s, b));
}

/// E of the mean over the rows of A grad log pi(a|s).
Vector mean_of_raw(const Situation& x) {
  Vector g(x.pi.size());
  const double rows = static_cast<double>(x.places.size()) * x.rollout;
  for (const Place& place : x.places) {
    std::vector<Rollout> all;
    enumerate_rollouts(x, place, x.rollout, {1, {}}, all);
    for (const Rollout& one : all)
      for (const Step& step : one.steps) add_score(x, step, one.probability / rows, g);
  }
  return g;
}

/// The same where a batch's advantages, of two environments, are taken minus their mean and over their
/// standard deviation (n - 1, plus 1e-8).
Vector mean_of_standardised(const Situation& x) {
  Vector g(x.pi.size());
  std::vector<Rollout> first, second;
  enumerate_rollouts(x, x.places.at(0), x.rollout, {1, {}}, first);
  enumerate_rollouts(x, x.places.at(1), x.rollout, {1, {}}, second);
  EXPECT_LT(first.size() * second.size(), 1'000'000u);
  const double n = 2.0 * x.rollout;
  std::vector<Step> batch;
  for (const Rollout& one : first)
    for (const Rollout& other : second) {
      batch = one.steps;
      batch.insert(batch.end(), other.steps.begin(), other.steps.end());
      double mean = 0, square = 0;
      for (const Step& each : batch) mean += each.A / n;
      for (const Step& each : batch) square += (each.A - mean) * (each.A - mean) / (n - 1);
      for (Step& each : batch) {
        each.A = (each.A - mean) / (std::sqrt(square) + 1e-8);
        add_score(x, each, one.probability * other.probability / n, g);
      }
    }
  return g;
}

Vector mean_of(const Situation& x, bool standardised) {
  return standardised ? mean_of_standardised(x) : mean_of_raw(x);
}

// ---- Runs ----

/// A run of an algorithm after so many updates.
std::unique_ptr<Run> run_after(int updates, const World& world, const std::string& id,
                               const Options& options) {
  const auto algorithm = make_algorithm(id, world);
  for (const auto& [key, value] : options) set_option(*algorithm, key, value, "");
  auto run = algorithm->start(world, 1'000'000, 4);
  for (int u = 0; u < updates; ++u) run->update({});
  return run;
}

/// Of two environments, in double precision, one minibatch, fast enough to be far from where it began.
Options ppo_options(int rollout, const std::string& advantages) {
  return {{"envs", "2"},
          {"rollout", std::to_string(rollout)},
          {"precision", "double"},
          {"minibatches", "1"},
          {"entropy_coefficient", "0"},
          {"advantages", advantages},
          {"learning_rate", "0.05"},
          {"epochs", "1"},
          {"critic_learning_rate", "0.2"}};
}

/// Where a tabular run of two environments stands, as its next batch shows.
Situation situation_of(const Run& run, const World& world, int rollout) {
  const Learned learned = run.learned();
  Situation out{*world.mdp, softmax_of(learned.theta.front()), {}, {}, rollout};
  for (const double v : learned.w.front()) out.V.push_back(v);
  Watcher watcher;
  watcher.weighed = [&](const WeighedBatch& w) {
    for (int i = 0; i < w.batch.size(); ++i)
      if (w.batch.begin(i) % rollout == 0)
        out.places.push_back({w.batch.state[static_cast<std::size_t>(w.batch.begin(i))], w.batch.before(i)});
  };
  run.clone()->update(watcher);
  return out;
}

Moments whole(const Measured& m, std::size_t rung) {
  Moments out;
  for (const auto& block : m.blocks)
    if (block[rung].n > 0) out.merge(block[rung]);
  return out;
}

/// Whether a sampled mean is an exact one, component by component, where `comparisons` are made in all.
bool agrees(const Moments& sampled, const Vector& exact, double comparisons) {
  for (std::size_t i = 0; i < exact.size(); ++i)
    if (std::abs(sampled.mean[i] - exact[i]) >
        limit(comparisons, sampled.n - 1) * std::sqrt(sampled.variance(i) / sampled.n))
      return false;
  return true;
}

TEST(OfRun, MeanIsThatOverAllBatches) {
  struct Case {
    int rollout, updates;
    std::string advantages, truncation;
  };
  const std::vector<Case> cases = {{2, 20, "raw", "bootstrap"},
                                   {3, 20, "raw", "bootstrap"},
                                   {3, 23, "standardised", "bootstrap"},
                                   {3, 20, "raw", "terminate"}};
  const World world = tabular_world("two-states", two_states());
  const double comparisons = static_cast<double>(cases.size()) * 6;
  bool cut_inside = false, at_limit = false;
  omp_set_num_threads(1);  // draws are too short to be worth a barrier
  for (const Case& c : cases) {
    Options options = ppo_options(c.rollout, c.advantages);
    options.emplace_back("truncation", c.truncation);
    const auto run = run_after(c.updates, world, "ppo", options);
    Situation x = situation_of(*run, world, c.rollout);
    ASSERT_EQ(x.places.size(), 2u);
    for (const Place& place : x.places) {
      at_limit |= place.step + c.rollout >= world.T;
      cut_inside |= (place.step + c.rollout) % world.T != 0;
    }
    if (c.truncation == "terminate") x.following = Following::value_but_at_limit;
    const bool standardised = c.advantages == "standardised";
    const Vector exact = mean_of(x, standardised);

    const auto m = measure_updates(*run, {}, {.batches = 80'000, .seed = 1, .truth = {exact, exact, exact}});
    const Moments first = whole(m.measured, 0), batch = whole(m.measured, 1);
    const auto label = ::testing::Message()
                       << c.rollout << " steps, " << c.advantages << ", " << c.truncation;
    EXPECT_TRUE(agrees(batch, exact, comparisons)) << label;
    EXPECT_TRUE(agrees(first, exact, comparisons)) << label;

    // Means of something else are told from it.
    EXPECT_FALSE(agrees(batch, times(-1, exact), comparisons)) << "sign: " << label;
    EXPECT_FALSE(agrees(batch, mean_of(x, !standardised), comparisons)) << "advantages: " << label;
    for (const Following other : {Following::value, Following::value_but_at_limit, Following::nothing})
      if (other != x.following) {
        Situation wrong = x;
        wrong.following = other;
        EXPECT_FALSE(agrees(batch, mean_of(wrong, standardised), comparisons))
            << "following " << static_cast<int>(other) << ": " << label;
      }
  }
  omp_set_num_threads(omp_get_num_procs());
  EXPECT_TRUE(cut_inside);
  EXPECT_TRUE(at_limit);
}

// ---- The exact gradients, and what the bias is made of ----

/// How often an endless row of episodes is at step t of one and in s, [T x S], by stepping its distribution;
/// of a chain of period T or of none.
Array<double> visits(const Mdp& mdp, const Array<double>& pi) {
  Array<double> at = zeros<double>(mdp.T, mdp.S), sum = at;
  for (int s = 0; s < mdp.S; ++s) at(0, s) = mdp.start[static_cast<std::size_t>(s)];
  const int settled = 2000 * mdp.T, rounds = mdp.T;
  for (int k = 0; k < settled + rounds; ++k) {
    Array<double> next = zeros<double>(mdp.T, mdp.S);
    double ended = 0;
    for (int t = 0; t < mdp.T; ++t)
      for (int s = 0; s < mdp.S; ++s) {
        if (k >= settled) sum(t, s) += at(t, s) / rounds;
        if (at(t, s) == 0) continue;
        for (int a = 0; a < mdp.A; ++a)
          for (const Outcome& o : mdp.outcomes(s, a)) {
            const double p = at(t, s) * pi(s, a) * o.probability;
            if (t + 1 == mdp.T || mdp.terminal[static_cast<std::size_t>(o.next)])
              ended += p;
            else
              next(t + 1, o.next) += p;
          }
      }
    for (int s = 0; s < mdp.S; ++s) next(0, s) += ended * mdp.start[static_cast<std::size_t>(s)];
    at = next;
  }
  return sum;
}

/// V of the world without its limit, by sweeps.
Vector endless_values(const Mdp& mdp, const Array<double>& pi) {
  Vector V(static_cast<std::size_t>(mdp.S));
  for (int sweep = 0; sweep < 5000; ++sweep) {
    Vector next(V.size());
    for (int s = 0; s < mdp.S; ++s)
      for (int a = 0; a < mdp.A; ++a)
        for (const Outcome& o : mdp.outcomes(s, a))
          next[static_cast<std::size_t>(s)] +=
              pi(s, a) * o.probability * (o.reward + mdp.gamma * V[static_cast<std::size_t>(o.next)]);
    V = next;
  }
  return V;
}

/// A random policy, and a Garnet whose last state is the end, where `ends`.
struct Random {
  Mdp mdp;
  Array<double> pi;
};
Random random_world(std::uint64_t seed, bool ends, int T) {
  Random out{garnet(5, 3, 3, seed), zeros<double>(5, 3)};
  if (ends) {
    const Mdp whole = out.mdp;
    out.mdp = make_mdp(5, 3, 0.9, T, {0.4, 0.3, 0.2, 0.1, 0}, {0, 0, 0, 0, 1}, [&](int s, int a) {
      const auto list = whole.outcomes(s, a);
      return std::vector<Outcome>(list.begin(), list.end());
    });
  }
  out.mdp.T = T;
  Rng rng(seed, "policy");
  for (double& each : values(out.pi)) each = rng.normal();
  out.pi = softmax_of(out.pi);
  return out;
}

double mean_length(const Random& x) {
  const Array<double> d = state_distribution(x.mdp, x.pi);
  return std::accumulate(d.begin(), d.end(), 0.0);
}

TEST(OfRun, TrainingGradientsOfALimitThatEndsAreOfTheReturn) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Random x = random_world(seed, seed % 2, 12);
    const double L = mean_length(x);
    const auto of = [&](TrainingObjective objective) {
      return times(L, training_gradient(x.mdp, x.pi, objective, TimeLimit::ends));
    };
    const Vector gradient = policy_gradient(x.mdp, x.pi);
    EXPECT_LT(norm(minus(of(TrainingObjective::discounted_start), gradient)), 1e-12) << seed;
    EXPECT_GT(norm(minus(of(TrainingObjective::undiscounted_states), gradient)), 1e-3) << seed;
    x.mdp.gamma = 1;
    EXPECT_LT(norm(minus(of(TrainingObjective::undiscounted_states), policy_gradient(x.mdp, x.pi))), 1e-12)
        << seed;
  }
}

TEST(OfRun, TrainingGradientsOfALimitThatBootstrapsAreMeansOverAnEndlessRowOfEpisodes) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    const Random x = random_world(seed, seed % 2, 7);
    const Array<double> d = visits(x.mdp, x.pi);
    const Vector V = endless_values(x.mdp, x.pi);
    for (const auto objective :
         {TrainingObjective::discounted_start, TrainingObjective::undiscounted_states}) {
      Vector want(x.pi.size());
      for (int t = 0; t < x.mdp.T; ++t)
        for (int s = 0; s < x.mdp.S; ++s)
          for (int a = 0; a < x.mdp.A; ++a)
            for (const Outcome& o : x.mdp.outcomes(s, a)) {
              const double Q = o.reward + x.mdp.gamma * V[static_cast<std::size_t>(o.next)],
                           weight = objective == TrainingObjective::discounted_start
                                        ? std::pow(x.mdp.gamma, t)
                                        : 1;
              for (int b = 0; b < x.mdp.A; ++b)
                want[static_cast<std::size_t>(s * x.mdp.A + b)] +=
                    weight * d(t, s) * x.pi(s, a) * o.probability * ((a == b) - x.pi(s, b)) * Q;
            }
      const Vector got = training_gradient(x.mdp, x.pi, objective, TimeLimit::bootstraps);
      EXPECT_LT(norm(minus(got, want)), 1e-11) << seed;
      EXPECT_GT(norm(minus(training_gradient(x.mdp, x.pi, objective, TimeLimit::ends), want)), 1e-4) << seed;
    }
  }
}

/// E of the raw batch of an environment that an endless row of episodes is met at.
Vector mean_of_raw_anywhere(Situation x) {
  const Array<double> d = visits(x.mdp, x.pi);
  Vector g(x.pi.size());
  for (int t = 0; t < x.mdp.T; ++t)
    for (int s = 0; s < x.mdp.S; ++s) {
      if (d(t, s) == 0) continue;
      x.places = {{s, t}};
      g = minus(g, times(-d(t, s), mean_of_raw(x)));
    }
  return g;
}

// The table of docs/math.md, "The gradient of a training run".
TEST(OfRun, BiasIsWhatTheDocumentsSay) {
  const Situation run{two_states(),
                      softmax_of(from_values<double>(3, 2, Vector{-0.5, 0.5, 0.5, -0.5, 0, 0})),
                      {1, 1, 0},
                      {{0, 2}, {1, 1}}};
  Situation cut = run, knowing = run;
  cut.lambda = 1;
  knowing.V = endless_values(run.mdp, run.pi);
  const auto exact = [&](TrainingObjective objective) {
    return training_gradient(run.mdp, run.pi, objective, TimeLimit::bootstraps);
  };
  EXPECT_LT(norm(minus(mean_of_raw_anywhere(knowing), exact(TrainingObjective::undiscounted_states))), 1e-12)
      << "with the exact critic nothing is added by cuts and lambda";

  struct Stage {
    const char* what;
    Vector g;
    double norm, from_the_one_before, cosine_to_the_first;
  };
  const std::vector<Stage> stages = {
      {"discounted start", exact(TrainingObjective::discounted_start), 0.088762, 0, 1},
      {"without gamma^t", exact(TrainingObjective::undiscounted_states), 0.098453, 0.009725, 0.999963},
      {"cut, with V behind it", mean_of_raw_anywhere(cut), 0.095201, 0.014614, 0.990401},
      {"lambda = 0.95", mean_of_raw_anywhere(run), 0.094924, 0.000787, 0.989300},
      {"from where the environments stand", mean_of_raw(run), 0.097522, 0.008775, 0.972848},
      {"standardised", mean_of_standardised(run), 0.076357, 0.065050, 0.571551}};
  const Vector *first = &stages.front().g, *before = first;
  for (const Stage& stage : stages) {
    EXPECT_NEAR(norm(stage.g), stage.norm, 5e-7) << stage.what;
    EXPECT_NEAR(norm(minus(stage.g, *before)), stage.from_the_one_before, 5e-7) << stage.what;
    EXPECT_NEAR(cosine(stage.g, *first), stage.cosine_to_the_first, 5e-7) << stage.what;
    before = &stage.g;
  }
  EXPECT_NEAR(cosine(mean_of_standardised(run), mean_of_raw(run)), 0.745950, 5e-7);
}

// ---- What is drawn ----

/// Every number of a measurement; of at most 64 batches, each of them.
Vector numbers(const MeasuredUpdates& m) {
  Vector out;
  for (const auto& block : m.measured.blocks)
    for (const Moments& each : block) {
      out.push_back(each.n);
      out.insert(out.end(), each.mean.begin(), each.mean.end());
      out.insert(out.end(), each.m2.begin(), each.m2.end());
    }
  for (const Estimate& each : m.cosine_truth) out.insert(out.end(), {each.value, each.se});
  return out;
}

/// Draw b of a rung, of at most 64.
const Vector& draw_of(const MeasuredUpdates& m, int b, std::size_t rung) {
  const Moments& block = m.measured.blocks[static_cast<std::size_t>(b)][rung];
  EXPECT_EQ(block.n, 1);
  return block.mean;
}

TEST(OfRun, BatchesAreFunctionsOfTheSeedForAnyNumberOfThreads) {
  for (const World& world : {make_world("CartPole-v1", {}, 30), environment_world("flicker", Flicker{}),
                             environment_world("levers", Levers{})}) {
    const auto run = run_after(2, world, "ppo", {{"envs", "4"}, {"rollout", "20"}, {"hidden", "8"}});
    const auto before = run->store();
    const std::vector<Estimator> estimators = {make_estimator("gae:0.95+undiscounted"),
                                               make_estimator("togo")};
    const auto measured = [&](std::uint64_t seed) {
      return numbers(measure_updates(*run, estimators, {.batches = 12, .seed = seed}));
    };
    const Vector first = measured(5);
    for (const int threads : {1, 2, 3, 7}) {
      omp_set_num_threads(threads);
      EXPECT_TRUE(measured(5) == first) << world.id << ", " << threads << " threads";
    }
    omp_set_num_threads(omp_get_num_procs());
    EXPECT_FALSE(measured(6) == first) << world.id;
    EXPECT_TRUE(run->store() == before) << world.id;
  }
}

TEST(OfRun, WhatIsKeptIsOfTheSameMeasurement) {
  const World world = make_world("chain", {}, 7), lake = make_world("FrozenLake-v1", {}, 7);
  const Options small = {{"envs", "2"}, {"rollout", "8"}};
  const auto run = run_after(2, world, "ppo", small), other = run_after(2, lake, "ppo", small);
  const std::vector<Estimator> one = {make_estimator("togo")};
  std::vector<Keeper> kept;
  Keeper keeper;
  keeper.stands = [&](double, const auto& state) { kept.push_back({.kept = state()}); };
  const Vector whole = numbers(measure_updates(*run, one, {.batches = 3, .keeper = keeper}));
  ASSERT_GE(kept.size(), 3u);
  for (const Keeper& each : kept) {
    EXPECT_EQ(numbers(measure_updates(*run, one, {.batches = 3, .keeper = each})), whole);
    EXPECT_THROW(measure_updates(*run, {}, {.batches = 3, .keeper = each}), Error);
    EXPECT_THROW(measure_updates(*run, one, {.batches = 2, .keeper = each}), Error);
    EXPECT_THROW(measure_updates(*other, one, {.batches = 3, .keeper = each}), Error);
  }
}

TEST(OfRun, RungsOfOneMinibatchAndAPlainStep) {
  for (const World& world : {tabular_world("two-states", two_states()), make_world("CartPole-v1", {}, 30)})
    for (const char* advantages : {"raw", "standardised"}) {
      Options options = ppo_options(8, advantages);
      options.insert(options.end(), {{"epochs", "1"},
                                     {"update", "sgd"},
                                     {"learning_rate", "0.125"},
                                     {"anneal", "false"},
                                     {"max_gradient_norm", "0"},
                                     {"hidden", "8"}});
      const auto run = run_after(3, world, "ppo", options);
      const auto m =
          measure_updates(*run, {make_estimator("gae:0.95+undiscounted")}, {.batches = 20, .seed = 2});
      for (int b = 0; b < 20; ++b) {
        const Vector &first = draw_of(m, b, 0), &batch = draw_of(m, b, 1), &step = draw_of(m, b, 2),
                     &gae = draw_of(m, b, 3);
        EXPECT_GT(norm(first), 1e-3);
        EXPECT_LT(norm(minus(first, batch)), 1e-14);
        EXPECT_LT(norm(minus(step, times(0.125, first))), 1e-14);
        if (std::string(advantages) == "raw")
          EXPECT_LT(norm(minus(gae, batch)), 1e-12);
        else
          EXPECT_GT(norm(minus(gae, batch)), 1e-3);
      }
    }
}

TEST(OfRun, FirstOfSeveralMinibatchesIsNotTheBatch) {
  const World world = tabular_world("two-states", two_states());
  Options options = ppo_options(8, "raw");
  options.emplace_back("minibatches", "4");
  const auto m = measure_updates(*run_after(3, world, "ppo", options), {}, {.batches = 20, .seed = 2});
  EXPECT_GT(whole(m.measured, 0).trace_cov(), 2 * whole(m.measured, 1).trace_cov());
}

/// The message of the Error that measuring throws; empty where it throws none.
std::string refusal(const Run& run, const std::vector<std::string>& names) {
  std::vector<Estimator> estimators;
  for (const auto& name : names) estimators.push_back(make_estimator(name));
  try {
    measure_updates(run, estimators, {.batches = 2});
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(OfRun, WhatABatchOfARunDoesNotHaveIsRefused) {
  const World world = make_world("chain", {}, 7), linear = make_world("double-integrator", {}, 7);
  const Options small = {{"envs", "2"}, {"rollout", "8"}};
  const auto ppo = run_after(1, world, "ppo", small);
  for (const auto& [name, why] :
       std::vector<std::pair<std::string, std::string>>{{"reinforce-optimal", "constants"},
                                                        {"reinforce-per-parameter", "constants"},
                                                        {"togo-time", "constants"},
                                                        {"togo-optimal", "constants"},
                                                        {"rloo:3", "groups"},
                                                        {"grpo:2", "groups"},
                                                        {"pathwise", "dynamics"},
                                                        {"q-value", "Q(s, a)"},
                                                        {"all-action", "Q(s, a)"}}) {
    const std::string said = refusal(*ppo, {"td", name});
    EXPECT_NE(said.find("'" + name + "'"), std::string::npos) << name << ": " << said;
    EXPECT_NE(said.find(why), std::string::npos) << name << ": " << said;
  }
  EXPECT_EQ(
      refusal(*ppo, {"reinforce", "togo", "togo-value", "td", "nstep:3", "gae:0.9+whitened", "vtrace:1:1"}),
      "");

  Options blind = small;
  blind.insert(blind.end(), {{"critic", "none"}, {"estimator", "togo+undiscounted"}});
  const auto without = run_after(1, world, "a2c", blind);
  EXPECT_EQ(refusal(*without, {"togo"}), "");
  EXPECT_NE(refusal(*without, {"gae:0.95"}).find("needs a critic"), std::string::npos);
  const auto of_actions = run_after(1, world, "q-actor-critic", small);
  EXPECT_EQ(refusal(*of_actions, {"q-value", "all-action"}), "");
  EXPECT_NE(refusal(*of_actions, {"td"}).find("V(s)"), std::string::npos);

  EXPECT_NE(
      refusal(*run_after(0, make_world("Pendulum-v1", {}, 9), "ddpg", {{"hidden", "4"}}), {}).find("ddpg"),
      std::string::npos);
  EXPECT_NE(refusal(*run_after(0, world, "a3c", {{"workers", "1"}}), {}).find("a3c"), std::string::npos);
  EXPECT_NE(refusal(*run_after(0, linear, "apg", {}), {}).find("weighs none"), std::string::npos);
}

}  // namespace
}  // namespace lowvar
