#include "experiments/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <mutex>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "algorithms/exact/dynamic_programming.h"
#include "algorithms/exact/lqr.h"
#include "core/interrupt.h"
#include "core/parallel.h"
#include "core/processes.h"
#include "experiments/summary.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

using Json = nlohmann::ordered_json;

/// The critic that a policy was learnt with, as measurement wants it.
Critic critic_of(const Learned& learned) {
  if (!learned.critic || learned.action_values) return nullptr;
  if (!of_states(*learned.critic)) return network_critic(*learned.critic, learned.w);
  return [V = learned.w.front()](Trajectories& batch) {
    batch.value.clear();
    for (const int s : batch.state) batch.value.push_back(V(s, 0));
    batch.fill_next_values();
  };
}

std::shared_ptr<const Dynamics> paying(const std::shared_ptr<const Dynamics>& of, double scale) {
  if (!of) return of;
  Dynamics dynamics = *of;
  if (of->reward)
    dynamics.reward = [of, scale](const auto& s, const auto& a, const auto& next) {
      return of->reward(s, a, next) * scale;
    };
  else
    dynamics.next = [of, scale](const auto& s, const auto& a) {
      auto next = of->next(s, a);
      next.back() = next.back() * scale;
      return next;
    };
  return std::make_shared<const Dynamics>(std::move(dynamics));
}

/// A world that pays `scale` times its rewards.
World paying(World world, double scale) {
  if (scale == 1) return world;
  world.sample = [sample = world.sample, scale](const Policy& policy, const Parameters& theta, int T,
                                                Draw draw) {
    Trajectories batch = sample(policy, theta, T, draw);
    for (double& r : batch.reward) r *= scale;
    return batch;
  };
  world.dynamics = paying(world.dynamics, scale);
  world.differences = paying(world.differences, scale);
  return world;
}

/// The estimators at the policy before an update, in the units of what it learns from.
std::vector<Measurement> measured(const TrainingPlan& plan, const std::vector<Estimator>& estimators,
                                  std::uint64_t seed, long update, long step, double mean_return,
                                  const Learned& learned) {
  const MeasureVariance& m = plan.measure_variance;
  World world = paying(plan.world, learned.reward_scale);
  world.gamma = plan.options->gamma();
  const Critic critic = critic_of(learned);
  Constants constants;
  constants.gamma = world.gamma;
  constants.dynamics = world.dynamics;
  constants.differences = world.differences;
  if (std::any_of(estimators.begin(), estimators.end(), [](const Estimator& e) { return e.needs_constants; }))
    constants = pilot_constants(world, learned.policy, learned.theta, static_cast<int>(m.trajectories), seed);
  std::vector<Rung> rungs;
  for (const auto& e : estimators) {
    expect(!e.needs_critic || critic, "estimator '", e.name, "' needs a critic of states, and ",
           plan.algorithm, " learns none");
    rungs.push_back({e, &learned.theta});
  }
  const Measured all = measure(world, learned.policy, learned.theta, rungs, critic, constants,
                               {.trajectories = m.trajectories, .seed = seed});
  std::vector<Measurement> out;
  const std::vector<Truth> truth(rungs.size());
  for (std::size_t e = 0; e < rungs.size(); ++e)
    for (const auto& q : quantities(all, rungs, truth, static_cast<int>(e), 0))
      if (q.name == "trace_cov" || q.name == "snr" || q.name.starts_with("ratio:"))
        out.push_back({update, step, estimators[e].name, q.name, q.sampled, mean_return});
  return out;
}

/// Of policy pi [S x A], without the time limit, at the discount that was trained with.
double start_value(const TrainingPlan& plan, const Array<double>& pi) {
  Mdp mdp = *plan.world.mdp;
  mdp.gamma = plan.options->gamma();
  const auto V = stationary_values(mdp, pi);
  return std::inner_product(V.begin(), V.end(), mdp.start.begin(), 0.0);
}

/// J of a = K s over the world's horizon.
double noiseless_return(const TrainingPlan& plan, LinearGaussianPolicy policy) {
  Lqg world = *plan.world.lqg;
  world.T = plan.world.T;
  world.gamma = plan.options->gamma();
  policy.log_std.assign(static_cast<std::size_t>(world.m()), -std::numeric_limits<double>::infinity());
  return expected_return(world, policy);
}

Array<double> greedy(const Array<double>& pi) {
  Array<double> out = zeros_like(pi);
  for (int s = 0; s < shape(pi).rows; ++s) {
    const auto p = row(pi, s);
    out(s, std::max_element(p.begin(), p.end()) - p.begin()) = 1;
  }
  return out;
}

Json finite(double x) { return std::isfinite(x) ? Json(x) : Json(nullptr); }

}  // namespace

Json as_json(const TrainingPlan& plan) {
  Json out{{"algorithm", plan.algorithm},
           {"env", plan.world.id},
           {"horizon", plan.world.T},
           {"steps", plan.steps},
           {"seeds", plan.seeds},
           {"evaluation_episodes", plan.evaluation_episodes},
           {"options", options_as_json(*plan.options)}};
  if (plan.measure_variance.every)
    out["measure_variance"] = {{"every", plan.measure_variance.every},
                               {"estimators", plan.measure_variance.estimators},
                               {"trajectories", plan.measure_variance.trajectories}};
  return out;
}

TrainingPlan read_plan(const std::filesystem::path& directory) {
  expect_unchanged(directory);
  const Json manifest = read_json(directory / "manifest.json");
  const Json config = manifest.is_object() ? manifest.value("config", Json()) : Json();
  expect(config.is_object() && config.contains("algorithm") && config.contains("options"), directory.string(),
         " is not a directory that `lowvar train` wrote");
  try {
    TrainingPlan plan{.algorithm = config.at("algorithm"),
                      .world = make_world(config.at("env"), {}, config.at("horizon").get<long>()),
                      .options = {},
                      .seeds = config.at("seeds"),
                      .steps = config.at("steps"),
                      .evaluation_episodes = config.at("evaluation_episodes")};
    expect(!plan.seeds.empty() && plan.steps >= 1 && plan.evaluation_episodes >= 1, directory.string(),
           ": its manifest.json names no seeds, steps or episodes");
    plan.options = make_algorithm(plan.algorithm, plan.world);
    set_options(*plan.options, config.at("options"));
    return plan;
  } catch (const nlohmann::json::exception&) {
    throw Error(join(directory.string(), ": its manifest.json is not one that `lowvar train` wrote"));
  }
}

std::unique_ptr<Run> run_before(const TrainingPlan& plan, std::uint64_t seed, std::optional<long> update) {
  auto run = plan.options->start(plan.world, plan.steps, seed);
  std::vector<std::byte> before = run->store();
  while (run->goes_on() && (!update || run->updates() < *update)) {
    before = run->store();
    run->advance({});
  }
  expect(!update || (run->updates() == *update && run->goes_on()), "the run has updates 0 to ",
         run->updates() - 1, ", and no update ", update.value_or(0));
  if (!update) run->restore(before);
  return run;
}

namespace {

/// What the results are, beside the log.
void write(const TrainingPlan& plan, const std::vector<SeedResult>& results, OutputDirectory& directory) {
  if (plan.measure_variance.every) {
    Csv variance({"seed", "update", "step", "return", "estimator", "quantity", "value", "se", "n"});
    for (const SeedResult& r : results)
      for (const Measurement& m : r.variance)
        variance.add({{"seed", r.seed},
                      {"update", m.update},
                      {"step", m.step},
                      {"return", m.mean_return},
                      {"estimator", m.estimator},
                      {"quantity", m.quantity},
                      {"value", m.value.value},
                      {"se", m.value.se},
                      {"n", plan.measure_variance.trajectories}});
    directory.write("variance.csv", variance.text());
  }

  Json summary{{"seeds", Json::array()}};
  Json speed = Json::array();
  std::vector<double> scores;
  for (const SeedResult& r : results) {
    directory.write(fmt::format("policy-{}.json", r.seed), learned_as_json(plan.world, r.learned));
    Json each{{"seed", r.seed},
              {"steps", r.steps},
              {"final_return", finite(r.final_return)},
              {"best_100", finite(r.best_100)},
              {"eval_return", finite(r.eval_return)}};
    if (plan.world.mdp) {
      const Array<double> pi = table_of(plan.world, r.learned.policy, r.learned.theta);
      each["exact_value"] = start_value(plan, pi);
      each["exact_value_greedy"] = start_value(plan, greedy(pi));
    }
    if (plan.world.lqg && std::holds_alternative<Linear>(r.learned.policy.model)) {
      each["exact_value"] = noiseless_return(plan, {r.learned.theta.front(), {}});
      Lqg discounted = *plan.world.lqg;
      discounted.gamma = plan.options->gamma();
      each["riccati_value"] = noiseless_return(plan, {riccati_optimum(discounted).K, {}});
    }
    summary["seeds"].push_back(std::move(each));
    scores.push_back(r.eval_return);
    speed.push_back({{"seed", r.seed}, {"steps_per_second", r.steps_per_second}});
  }
  summary["iqm"] = interquartile_mean(scores);
  summary["ci95"] = interquartile_mean_interval(scores);
  directory.write("summary.json", json_text(summary));
  directory.note("seeds", speed);
}

/// Trains seed i of the plan to its end, or to where it is asked to stop.
void learn(const TrainingPlan& plan, const std::vector<Estimator>& estimators, int i, TrainingLog& log,
           const OutputDirectory& directory,
           const std::function<void(const Diary&, const UpdateReport&)>& show) {
  directory.expect_time();
  const std::uint64_t seed = plan.seeds[static_cast<std::size_t>(i)];
  const auto run = plan.options->start(plan.world, plan.steps, seed);
  Diary diary(seed, plan.steps);
  if (const auto& kept = log.kept(i)) {
    run->restore(kept->learner);
    diary = kept->diary;
  }

  const auto part_of = [&](const Run& now) {  // between two checkpoints
    if (plan.checkpoint_every) return *plan.checkpoint_every ? now.updates() / *plan.checkpoint_every : 0;
    return static_cast<long>(now.work() / seconds_between_checkpoints());
  };
  long part = part_of(*run);
  Watcher watcher;
  watcher.episode = [&](const Episode& e) { diary.saw(e); };
  watcher.update = [&](const UpdateReport& u) {
    if (diary.saw(u)) log.tell(i, diary);
    show(diary, u);
  };
  watcher.stands = [&](const Run& now) {
    const long before = std::exchange(part, part_of(now));
    if (interrupt_signal() || part != before) log.keep(i, diary, now);
    directory.expect_time();
  };
  if (plan.measure_variance.every) {
    watcher.wants = [&](long update) { return update % plan.measure_variance.every == 0; };
    watcher.snapshot = [&](long update, long step, const Learned& learned) {
      diary.measured(measured(plan, estimators, seed, update, step, diary.mean(), learned));
    };
  }

  const long before = run->steps();
  const auto start = std::chrono::steady_clock::now();
  try {
    const Learned learned = run->finish(watcher);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::vector<double> returns;
    try {
      returns = evaluate(plan.world, learned.policy, learned.theta, plan.evaluation_episodes, seed,
                         [&] { directory.expect_time(); });
    } catch (const Interrupted&) {
      log.keep(i, diary, *run);
      throw;
    }
    log.end(i, diary, *run,
            {.eval_return = std::accumulate(returns.begin(), returns.end(), 0.0) / plan.evaluation_episodes,
             .steps_per_second = static_cast<double>(run->steps() - before) / seconds});
  } catch (const NumericalFault& fault) {
    log.fail(i, diary, fault.what());
  }
}

std::vector<SeedResult> results_of(const TrainingPlan& plan, OutputDirectory& directory) {
  std::vector<Estimator> estimators;
  for (const auto& name : plan.measure_variance.estimators) estimators.push_back(make_estimator(name));
  const auto n = static_cast<int>(plan.seeds.size());
  TrainingLog log(plan.seeds, plan.steps, directory, [&](std::uint64_t seed, const auto& learner) {
    plan.options->start(plan.world, plan.steps, seed)->restore(learner);
  });
  {
    std::vector<int> own;  // what this process trains
    for (int i = 0; i < n; ++i)
      if (!log.dealt() || i % ranks() == rank()) own.push_back(i);
    std::optional<Alone> alone;
    if (log.dealt()) alone.emplace();
    std::vector<long> done(own.size(), 0);
    std::mutex mutex;
    Progress progress(plan.algorithm + " " + plan.world.id);
    const auto learn_own = [&](int k) {
      learn(plan, estimators, own[static_cast<std::size_t>(k)], log, directory,
            [&](const Diary& diary, const UpdateReport& u) {
              const std::lock_guard lock(mutex);
              done[static_cast<std::size_t>(k)] = u.step;
              const auto shown = [](double x) {
                return std::isnan(x) ? std::string("-") : fmt::format("{:.3g}", x);
              };
              progress(std::accumulate(done.begin(), done.end(), 0L),
                       static_cast<long>(own.size()) * plan.steps,
                       fmt::format("return {}  entropy {}  kl {}  ev {}  snr {}", shown(diary.mean()),
                                   shown(u.entropy), shown(u.kl), shown(u.explained_variance),
                                   shown(u.gradient_snr)));
            });
    };
    if (plan.options->threads() > 1 || own.size() == 1) {  // these fill the machine themselves
      for (int k = 0; k < static_cast<int>(own.size()); ++k) learn_own(k);
    } else {
      parallel_for(static_cast<int>(own.size()), learn_own);
    }
  }
  log.finish();

  std::vector<SeedResult> results;
  for (int i = 0; i < n; ++i) {
    const Diary& diary = log.diary(i);
    SeedResult& r = results.emplace_back();
    r.seed = plan.seeds[static_cast<std::size_t>(i)];
    if (root()) {
      const auto run = plan.options->start(plan.world, plan.steps, r.seed);
      run->restore(log.learner(i));
      r.learned = run->learned();
    }
    r.steps = diary.step();
    r.final_return = diary.mean();
    r.best_100 = diary.best();
    r.eval_return = log.ending(i).eval_return;
    r.steps_per_second = log.ending(i).steps_per_second;
    r.variance = diary.variance();
  }
  if (root()) write(plan, results, directory);
  return results;
}

}  // namespace

std::vector<SeedResult> run_training(const TrainingPlan& plan, OutputDirectory& directory) {
  return directory.compute([&] { return results_of(plan, directory); });
}

}  // namespace lowvar
