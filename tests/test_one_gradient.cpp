// What trains is what is measured: the first gradient that an optimiser is about to follow is `estimate`'s,
// of the batch that the trainer's own streams give, prepared here once more, by hand. Every on-policy
// algorithm, on states, choices, vectors, images, vectors of choices and a linear world, with and without a
// critic, with time limits that bootstrap and that end the world, in float and double; ddpg and apg by their
// own definitions.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

#include "algorithms/train/on_policy.h"
#include "experiments/algorithms.h"
#include "experiments/worlds.h"
#include "small_worlds.h"

namespace lowvar {
namespace {

using Options = std::vector<std::pair<std::string, std::string>>;

std::unique_ptr<Algorithm> configured(const std::string& id, const World& world, const Options& options) {
  auto out = make_algorithm(id, world);
  for (const auto& [key, value] : options) set_option(*out, key, value, "");
  return out;
}

/// What an update was about to follow first, and what was learnt before it and before each update until then.
struct Followed {
  std::vector<double> g;
  std::vector<Learned> learned;
};
Followed followed(const World& world, const Algorithm& algorithm, std::uint64_t seed, int update) {
  const auto run = algorithm.start(world, 1'000'000, seed);
  Followed out;
  Watcher watcher;
  watcher.gradient = [&](const std::vector<double>& g) {
    if (out.g.empty()) out.g = g;
  };
  for (int u = 0; u <= update; ++u) {
    out.learned.push_back(run->learned());
    if (u < update) run->update(watcher);
  }
  out.g.clear();
  run->update(watcher);
  return out;
}

struct Preparation {
  BatchOptions batch;
  ObjectiveOptions objective;
  CriticOptions critic;
  bool in_float = false;
};

Preparation preparation_of(const Algorithm& algorithm) {
  Preparation out;
  Precision precision{};
  algorithm.clone()->visit([&](const char* name, const OptionRef& from) {
    const auto copy = [&](const char* wanted, auto& to) {
      if (std::string(name) != wanted) return;
      const OptionRef ref = option_ref(to);
      std::visit(
          [&](const auto& x) {
            const auto& y = std::get<std::decay_t<decltype(x)>>(from);
            if constexpr (std::is_pointer_v<std::decay_t<decltype(x)>>)
              *x = *y;
            else
              x.set(y.get());
          },
          ref);
    };
    out.batch.visit(copy), out.objective.visit(copy), out.critic.visit(copy), copy("precision", precision);
  });
  out.in_float = precision == Precision::float32;
  return out;
}

/// Numbers of a model on each row, one row a tape.
Array<double> by_hand(const Model& model, const Parameters& w, const Inputs& inputs) {
  Array<double> out = zeros<double>(inputs.rows(), outputs(model));
  for (int r = 0; r < inputs.rows(); ++r) {
    const Array<double> seen =
        inputs.observation ? from_values<double>(1, inputs.observation->cols(), row(*inputs.observation, r))
                           : zeros<double>(0, 0);
    Tape<double> tape;
    const auto y = forward(model, tape.constants(w), inputs.states(r, r + 1),
                           inputs.observation ? tape.data(seen) : Var<double>());
    std::copy(y.values().begin(), y.values().end(), row(out, r).begin());
  }
  return out;
}

/// The rollouts of the last of these, with the rewards that its learner sees.
template <class T>
Trajectories rollouts(const World& world, const Preparation& o, const std::vector<Learned>& all,
                      std::uint64_t seed) {
  Collector collector(world, o.batch.envs, seed);
  Trajectories batch;
  std::vector<double> R(static_cast<std::size_t>(o.batch.envs), 0.0), every_R;
  for (const Learned& each : all) {
    const auto theta = converted<T>(std::span<const Array<double>>(each.theta));
    batch = collector(each.policy, std::span<const Array<T>>(theta), o.batch.rollout);
    for (double& r : batch.reward) r *= o.batch.reward_scale;
    for (int i = 0; i < batch.size(); ++i) {
      double& of_env = R[static_cast<std::size_t>(batch.begin(i) / o.batch.rollout)];
      for (const double r : batch.rewards(i)) every_R.push_back(of_env = r + o.batch.gamma * of_env);
      if (batch.terminated[static_cast<std::size_t>(i)] || batch.truncated[static_cast<std::size_t>(i)])
        of_env = 0;
    }
  }
  if (!o.batch.normalise_rewards) return batch;
  const auto n = static_cast<double>(every_R.size());
  const double mean = std::accumulate(every_R.begin(), every_R.end(), 0.0) / n;
  double square = 0;
  for (const double x : every_R) square += (x - mean) * (x - mean) / n;
  for (double& r : batch.reward) {
    r /= std::sqrt(square);
    if (o.batch.reward_limit > 0) r = std::min(o.batch.reward_limit, std::max(-o.batch.reward_limit, r));
  }
  return batch;
}

/// The batch of the update after the last of these, with everything that its weights need.
Trajectories prepared(const World& world, const Preparation& o, const std::vector<Learned>& all,
                      std::uint64_t seed) {
  const Estimator e = make_estimator(o.objective.estimator);
  const Learned& start = all.back();
  const int first = (static_cast<int>(all.size()) - 1) * o.batch.episodes;
  Trajectories batch;
  if (o.batch.episodes)
    batch =
        world.sample(start.policy, start.theta, world.T, {seed, "train", first, o.batch.episodes, e.unit});
  else
    batch = o.in_float ? rollouts<float>(world, o, all, seed) : rollouts<double>(world, o, all, seed);
  for (double& r : batch.reward) r *= o.batch.episodes ? o.batch.reward_scale : 1;
  if (!start.critic) return batch;

  const Array<double> V = by_hand(*start.critic, start.w, batch.inputs());
  const Array<double> last = by_hand(*start.critic, start.w, batch.final_inputs());
  for (int r = 0; r < batch.rows(); ++r)
    batch.value.push_back(V(r, start.action_values ? batch.action[static_cast<std::size_t>(r)] : 0));
  if (start.action_values) batch.action_values = V;
  for (int i = 0; i < batch.size(); ++i) {
    const auto k = static_cast<std::size_t>(i);
    const bool over =
        batch.terminated[k] || (batch.truncated[k] && o.batch.truncation == Truncation::terminate);
    double v = last(i, 0);
    if (start.action_values) {
      const Array<double> seen = batch.final_observation.as<double>();
      const Observations one = from_values<double>(seen.size() ? 1 : 0, shape(seen).cols,
                                                   seen.size() ? row(seen, i) : std::span<const double>());
      const std::vector<int> state = {batch.final_state.empty() ? 0 : batch.final_state[k]};
      const Array<double> p =
          probabilities(start.policy, start.theta, seen.size() ? Inputs{{}, &one} : Inputs{state});
      v = std::inner_product(row(p, 0).begin(), row(p, 0).end(), row(last, i).begin(), 0.0);
    }
    batch.bootstrap.push_back(over ? 0 : v);
  }
  batch.next_value.resize(batch.value.size());
  for (int i = 0; i < batch.size(); ++i)
    for (int r = batch.begin(i); r < batch.end(i); ++r)
      batch.next_value[static_cast<std::size_t>(r)] =
          r + 1 < batch.end(i) ? batch.value[static_cast<std::size_t>(r) + 1] : batch.after(i);
  return batch;
}

/// `estimate` of the prepared batch over its rows or trajectories, and the entropy's gradient.
std::vector<double> expected(const World& world, const Algorithm& algorithm, std::uint64_t seed,
                             const std::vector<Learned>& all) {
  const Preparation o = preparation_of(algorithm);
  const Learned& start = all.back();
  const Trajectories batch = prepared(world, o, all, seed);
  Estimator e = make_estimator(o.objective.estimator);
  if (o.objective.advantages == Advantages::standardised)
    e.weights = [of = e.weights](const Trajectories& b, const Constants& c, std::span<const double> log_pi) {
      Array<double> psi = of(b, c, log_pi);
      const auto n = static_cast<double>(psi.size());
      const double mean = std::accumulate(psi.begin(), psi.end(), 0.0) / n;
      double square = 0;
      for (const double x : psi) square += (x - mean) * (x - mean) / (n - 1);
      for (double& x : values(psi)) x = (x - mean) / (std::sqrt(square) + 1e-8);
      return psi;
    };
  Constants constants;
  constants.gamma = o.batch.gamma;
  const int whole[] = {0, batch.rows()};
  const Array<double> total = estimate({&e}, start.policy, start.theta, batch, whole, constants).front();
  const double D = o.objective.reduce == Reduce::row ? batch.rows() : batch.size();
  std::vector<double> g(total.begin(), total.end());
  for (double& x : g) x /= D;
  if (o.objective.entropy_coefficient != 0) {
    const BatchRows<double> rows(batch);
    Tape<double> tape;
    const auto theta = tape.parameters(start.theta);
    const auto H = sum(entropy(rows.distribution(tape, start.policy, theta, 0, batch.rows())));
    std::size_t k = 0;
    for (const auto& part : grad(H, theta))
      for (const double each : part) g[k++] += o.objective.entropy_coefficient / batch.rows() * each;
  }
  return g;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return INFINITY;
  double square = 0;
  for (std::size_t i = 0; i < a.size(); ++i) square += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(square);
}

/// Whether an update follows the estimate: within 1e-12 in double, 2e-5 of its norm in float.
testing::AssertionResult follows(const World& world, const Algorithm& algorithm, int update) {
  constexpr std::uint64_t seed = 3;
  const auto [g, learned] = followed(world, algorithm, seed, update);
  const auto want = expected(world, algorithm, seed, learned);
  const double norm = distance(want, std::vector<double>(want.size(), 0)), apart = distance(g, want);
  const double most = preparation_of(algorithm).in_float ? 2e-5 * norm : 1e-12 * std::max(1.0, norm);
  if (norm == 0) return testing::AssertionFailure() << "the estimate is zero, which any trainer follows";
  if (apart <= most) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "apart by " << apart << " where the estimate has norm " << norm;
}

/// States, choices and vectors seen by networks, a linear world, images, and vectors of choices; time limits
/// fall inside rollouts.
std::vector<World> worlds_of_every_kind() {
  return {make_world("chain", {}, 7),
          make_world("CartPole-v1", {}, 30),
          make_world("Pendulum-v1", {}, 9),
          make_world("double-integrator", {}, 9),
          environment_world("flicker", Flicker{}),
          environment_world("levers", Levers{})};
}

struct Page {
  const char* id;
  Options options;
  bool takes_none;  // of its estimators one needs no critic
};

const std::vector<Page> pages = {
    {"reinforce", {{"episodes", "6"}}, true},
    {"reinforce-baseline", {{"episodes", "6"}}, true},
    {"q-actor-critic", {{"rollout", "20"}}, false},
    {"a2c", {{"rollout", "20"}}, true},
    {"a3c", {{"rollout", "20"}, {"workers", "1"}}, true},
    {"npg", {{"rollout", "20"}}, true},
    {"trpo", {{"rollout", "20"}}, true},
    {"ppo", {{"rollout", "20"}, {"minibatches", "1"}, {"envs", "4"}}, true},
    {"ppo-kl", {{"rollout", "20"}, {"minibatches", "1"}, {"envs", "4"}}, true},
};

TEST(OneGradient, EveryOnPolicyTrainerFollowsTheEstimate) {
  std::map<std::string, int> cases;
  for (const Page& page : pages)
    for (const World& world : worlds_of_every_kind()) {
      if (std::string(page.id) == "q-actor-critic" && world.m) continue;  // there is no Q(s, .) of vectors
      for (const char* truncation : {"bootstrap", "terminate"})
        for (const char* precision : {"float", "double"})
          for (const bool critic : {true, false}) {
            const bool asynchronous = std::string(page.id) == "a3c";
            if ((asynchronous && precision == std::string("double")) || (!critic && !page.takes_none))
              continue;
            Options options = page.options;
            options.insert(options.end(), {{"truncation", truncation},
                                           {"precision", precision},
                                           {"reward_scale", "0.3"},
                                           {"gamma", "0.9"},
                                           {"hidden", "16"}});
            if (!critic)
              options.insert(options.end(), {{"estimator", "togo+undiscounted"}, {"critic", "none"}});
            else if (std::string(page.id) == "reinforce")
              options.insert(options.end(), {{"estimator", "togo-value"}, {"critic", "value"}});
            const auto algorithm = configured(page.id, world, options);
            const bool zero =
                std::string(page.id) == "q-actor-critic" && world.mdp;  // a table of Q, at first
            for (int update = zero; update < (asynchronous ? 1 : 2); ++update)
              EXPECT_TRUE(follows(world, *algorithm, update))
                  << page.id << " in " << world.id << ", " << truncation << ", " << precision
                  << (critic ? "" : ", without a critic") << ", update " << update;
            ++cases[page.id];
          }
    }
  EXPECT_EQ(cases.size(), pages.size());
  EXPECT_EQ(cases["ppo"], 6 * 2 * 2 * 2);
}

/// What was learnt sees observations as the world gives them, and its networks and critic normalise them.
TEST(OneGradient, NormalisedObservationsAndRewardsAreFollowedToo) {
  for (const World& world : {make_world("CartPole-v1", {}, 30), make_world("Pendulum-v1", {}, 9)})
    for (const char* id : {"a2c", "npg", "trpo", "ppo", "ppo-kl"})
      for (const char* precision : {"float", "double"})
        for (const char* limit : {"0", "0.7"}) {
          Options options = {{"rollout", "20"},
                             {"envs", "2"},
                             {"precision", precision},
                             {"reward_scale", "3"},
                             {"hidden", "16"},
                             {"normalise_observations", "true"},
                             {"observation_limit", limit},
                             {"normalise_rewards", "true"},
                             {"reward_limit", limit}};
          if (std::string(id).starts_with("ppo")) options.insert(options.end(), {{"minibatches", "1"}});
          for (int update = 0; update < 3; ++update)
            EXPECT_TRUE(follows(world, *configured(id, world, options), update))
                << id << " in " << world.id << ", " << precision << ", limit " << limit << ", update "
                << update;
        }
}

TEST(OneGradient, EveryEstimatorThatTrainingTakesIsFollowed) {
  for (const World& world : worlds_of_every_kind())
    for (const char* name : {"togo", "togo-value", "td", "nstep:3", "gae:0.9", "gae:0.9+whitened",
                             "vtrace:1:1", "ppo-clip:0.1", "togo-normalised+undiscounted"}) {
      const auto algorithm = configured(
          "a2c", world, {{"rollout", "20"}, {"precision", "double"}, {"estimator", name}, {"hidden", "16"}});
      EXPECT_TRUE(follows(world, *algorithm, 0)) << name << " in " << world.id;
    }
  for (const World& world : worlds_of_every_kind())
    for (const char* name : {"reinforce", "rloo:3", "grpo:3", "togo"}) {
      const auto algorithm = configured(
          "reinforce", world,
          {{"episodes", "9"}, {"precision", "double"}, {"estimator", name}, {"reduce", "trajectory"}});
      EXPECT_TRUE(follows(world, *algorithm, 0)) << name << " in " << world.id;
    }
}

// ---- A trainer with a fault of its own is noticed ----

enum class Fault { none, sign, no_bootstrap, mixed_starts, reward_scale };

struct FaultyOptions : OnPolicyOptions {
  Fault fault = Fault::none;
};

}  // namespace

/// A page like any other, but for its fault.
template <class T>
UpdateReport update(Training<T>& run, const FaultyOptions& o, const Watcher& watcher) {
  Learner<T>& l = run.learner;
  Objective J = objective_of(o.objective);
  Estimator collected = J.estimator;
  if (o.fault == Fault::mixed_starts) collected.unit = 1;
  Trajectories batch = collect(run, o.batch, collected, watcher);
  if (o.fault == Fault::reward_scale)
    for (double& r : batch.reward) r /= o.batch.reward_scale;
  value(l, o.batch, batch);
  if (o.fault == Fault::no_bootstrap) {
    batch.bootstrap.clear();
    batch.fill_next_values();
  }
  const std::vector<double> psi = weigh(J.estimator, batch, o.batch.gamma, batch.log_mu);
  const auto target = lambda_returns(batch, o.batch.gamma, o.critic.critic_lambda);
  const PolicyTerm actor{J, l.policy, psi};
  const auto critic = critic_term(l, target);
  const auto rows = minibatches(l, batch.rows(), 0, 1).front();
  auto g = gradient(&actor, critic ? &*critic : nullptr, l.parameters, l.policy_arrays, batch, rows);
  if (o.fault == Fault::sign)
    for (auto& x : g.g)
      for (T& each : values(x)) each = -each;
  Tally tally;
  tally.saw(g, l.policy_arrays, rows.size(), 0, watcher);
  descend(l, g, o.step, o.critic, o.step.learning_rate, critic ? Of::both : Of::policy);
  return {};
}

namespace {

TEST(OneGradient, FaultsOfATrainerAreNoticed) {
  for (const World& world : worlds_of_every_kind()) {
    FaultyOptions rollouts, groups;
    rollouts.batch.rollout = 20, rollouts.batch.reward_scale = 0.3;
    rollouts.networks.hidden = {16};
    groups.batch.episodes = 9, groups.batch.reward_scale = 0.3;
    groups.networks.hidden = {16};
    groups.objective.estimator = "rloo:3", groups.critic.critic = CriticKind::none;
    for (FaultyOptions* o : {&rollouts, &groups})
      for (const Fault fault :
           {Fault::none, Fault::sign, Fault::no_bootstrap, Fault::mixed_starts, Fault::reward_scale}) {
        const bool of_rollouts = o == &rollouts, of_groups = !of_rollouts;
        if ((of_rollouts && fault == Fault::mixed_starts) || (of_groups && fault == Fault::no_bootstrap))
          continue;
        if (fault == Fault::mixed_starts && world.mdp) continue;  // chain has one start
        for (const Precision precision : {Precision::float32, Precision::float64}) {
          o->fault = fault;
          o->networks.precision = precision;
          EXPECT_EQ(static_cast<bool>(follows(world, *algorithm_of(*o), 1)), fault == Fault::none)
              << world.id << ", fault " << static_cast<int>(fault) << (of_groups ? ", groups" : ", rollouts");
        }
      }
  }
}

// ---- Minibatches, and those that follow something else ----

TEST(OneGradient, FirstMinibatchesAddUpToTheBatch) {
  const World world = make_world("CartPole-v1", {}, 50);
  const auto algorithm = configured("ppo", world,
                                    {{"precision", "double"},
                                     {"advantages", "raw"},
                                     {"epochs", "1"},
                                     {"learning_rate", "1e-14"},
                                     {"max_gradient_norm", "0"},
                                     {"hidden", "16"}});
  std::vector<double> sum, batch;
  int count = 0;
  Watcher watcher;
  watcher.weighed = [&](const WeighedBatch& w) {
    std::vector<int> all(static_cast<std::size_t>(w.batch.rows()));
    std::iota(all.begin(), all.end(), 0);
    batch = w.gradient(all);
  };
  watcher.gradient = [&](const std::vector<double>& g) {
    sum.resize(g.size());
    for (std::size_t i = 0; i < g.size(); ++i) sum[i] += g[i] / 4;
    ++count;
  };
  algorithm->start(world, 100'000, 1)->update(watcher);
  EXPECT_EQ(count, 4);
  EXPECT_LT(distance(sum, batch), 1e-10);
  EXPECT_GT(distance(batch, std::vector<double>(batch.size(), 0)), 1e-4);
  EXPECT_LT(distance(batch, expected(world, *algorithm, 1, {algorithm->start(world, 100'000, 1)->learned()})),
            1e-12);
}

TEST(OneGradient, AnalyticTrainersFollowTheMeanOfPathwiseEstimates) {
  for (const auto& [id, estimator] : std::vector<std::pair<const char*, const char*>>{
           {"double-integrator", "pathwise"}, {"Pendulum-v1", "pathwise:4"}}) {
    const World world = make_world(id, {}, 9);
    const auto algorithm = configured("apg", world, {{"gamma", "0.9"}, {"estimator", estimator}});
    const auto [g, learned] = followed(world, *algorithm, 3, 0);
    const Learned& start = learned.front();
    const Trajectories batch = world.sample(start.policy, start.theta, world.T, {3, "train", 0, 16});
    Constants constants;
    constants.gamma = 0.9;
    constants.dynamics = world.dynamics;
    const Estimator e = make_estimator(estimator);
    const Array<double> each =
        estimate({&e}, start.policy, start.theta, batch, batch.offset, constants).front();
    std::vector<double> mean(each.shape(1));
    for (int i = 0; i < batch.size(); ++i)
      for (std::size_t j = 0; j < mean.size(); ++j) mean[j] += each(i, j) / batch.size();
    EXPECT_LT(distance(g, mean), 1e-12 * distance(mean, std::vector<double>(mean.size(), 0))) << id;
  }
}

/// Silver et al. 2014, eq. 9, on the transitions that the buffer holds after its warm-up.
TEST(OneGradient, DdpgClimbsItsCriticOnTheStatesItDraws) {
  const World world = make_world("Pendulum-v1", {}, 9);
  constexpr std::uint64_t seed = 3;
  const auto algorithm = configured(
      "ddpg", world, {{"warmup", "32"}, {"batch", "16"}, {"hidden", "8"}, {"critic_learning_rate", "1e-30"}});
  const auto [g, learned] = followed(world, *algorithm, seed, 0);

  const auto environment = world.stepper(1, world.T, seed, "train");
  std::vector<std::vector<double>> seen;
  Rng acts(seed, "train-actions", 0), draws(seed, "replay", 0), of_policy(seed, "policy-init"),
      of_critic(seed, "critic-init");
  for (std::uint32_t t = 0; t < 32; ++t) {
    seen.push_back(row(environment->observation(), 0));
    acts.seek(t);
    environment->step({}, full<double>(1, 1, acts.uniform(-2, 2)));
  }
  Array<double> s = zeros<double>(16, 3);
  for (int k = 0; k < 16; ++k) {
    const auto& from = seen[static_cast<std::size_t>(draws.uniform() * 32)];
    std::copy(from.begin(), from.end(), row(s, k).begin());
  }
  const Mlp mu{.sizes = {3, 8, 1}, .activation = Activation::relu},
      Q{.sizes = {4, 8, 1}, .activation = Activation::relu};
  const Parameters theta = initialise_uniform(mu, of_policy), w = initialise_uniform(Q, of_critic);
  Tape<double> tape;
  const auto x = tape.parameters(theta);
  const auto a = tanh(forward(mu, x, tape.data(s))) * 2.0;
  std::vector<double> want;
  for (const auto& part :
       grad(mean(forward(Q, tape.constants(w), concatenate_columns<double>({tape.data(s), a}))), x))
    want.insert(want.end(), part.begin(), part.end());
  const double norm = distance(want, std::vector<double>(want.size(), 0));
  EXPECT_GT(norm, 1e-3);
  EXPECT_LT(distance(g, want), 2e-5 * norm);
}

}  // namespace
}  // namespace lowvar
