#include "experiments/figures/trainings.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/parallel.h"
#include "core/store.h"
#include "experiments/output.h"
#include "experiments/script.h"

namespace lowvar {
namespace {

constexpr int window = 100;  // episodes in a mean
constexpr int rounds = 20;

/// A training between two rounds.
struct Going {
  Course course;
  long steps = 0;
  double work = 0;       // since it was last kept
  bool reached = false;  // the end of the round

  template <class F>
  void visit(F&& f) {
    f("course", course), f("steps", steps), f("work", work), f("reached", reached);
  }
};

/// The largest pi(a|s) of a batch over what it was when it acted.
double max_ratio(const Policy& policy, const Parameters& theta, const Trajectories& batch) {
  const auto log_pi = log_pi_of(policy, std::span<const Array<double>>(theta), batch);
  double out = 0;
  for (std::size_t r = 0; r < log_pi.size(); ++r) out = std::max(out, std::exp(log_pi[r] - batch.log_mu[r]));
  return out;
}

/// On to `until` steps, to the end, or to where the process is asked to stop.
Going advanced(const Trainee& of, Going now, long until) {
  now.work = 0;
  now.reached = !now.course.fault.empty();
  if (now.reached) return now;
  const auto run = of.algorithm->start(*of.world, of.steps, of.seed);
  if (!now.course.run.empty()) run->restore(now.course.run);
  const double before = run->work();
  Watcher watcher;
  watcher.episode = [&](const Episode& e) { now.course.episodes.push_back(e); };
  std::optional<std::pair<Policy, Trajectories>> acted;
  if (of.ratios) watcher.weighed = [&](const WeighedBatch& w) { acted = {w.policy, w.batch}; };
  try {
    while (!(now.reached = !run->goes_on() || run->steps() >= until) && !interrupt_signal()) {
      const UpdateReport report = run->advance(watcher);
      now.course.kl.push_back(report.kl);
      if (of.ratios)
        now.course.max_ratio.push_back(max_ratio(acted->first, run->policy_parameters(), acted->second));
    }
  } catch (const NumericalFault& fault) {
    now.course.fault = fault.what();
    now.reached = true;
  }
  now.work = run->work() - before;
  now.steps = run->steps();
  now.course.run = run->store();
  return now;
}

}  // namespace

double Course::mean_return(long step) const {
  const auto end =
      std::partition_point(episodes.begin(), episodes.end(), [&](const Episode& e) { return e.at <= step; });
  const auto begin = end - std::min<long>(window, end - episodes.begin());
  double sum = 0;
  for (auto e = begin; e != end; ++e) sum += e->total;
  return sum / static_cast<double>(end - begin);
}

std::shared_ptr<Algorithm> configured(const std::string& algorithm, const World& world,
                                      const std::string& config,
                                      const std::vector<std::pair<std::string, std::string>>& options) {
  std::shared_ptr<Algorithm> out = make_algorithm(algorithm, world);
  if (!config.empty()) read_config(*out, data_directory() / "experiments" / "configs" / (config + ".toml"));
  for (const auto& [key, value] : options) set_option(*out, key, value, "");
  return out;
}

std::vector<Course> train_all(const std::string& title, const std::vector<Trainee>& all, Keeper keeper) {
  std::vector<Going> going(all.size());
  int round = 0;
  if (!keeper.kept.empty()) {
    auto kept = std::pair{round, going};
    restore_from(keeper.kept, kept);
    std::tie(round, going) = std::move(kept);
  }
  long total = 0;
  for (const Trainee& each : all) total += each.steps;
  Progress progress(title);
  while (round < rounds) {
    double work = 0;
    long done = 0;
    bool whole = true;
    ordered_reduce(
        static_cast<int>(all.size()),
        [&](int i) {
          const Trainee& each = all[static_cast<std::size_t>(i)];
          return advanced(each, going[static_cast<std::size_t>(i)], each.steps * (round + 1) / rounds);
        },
        [&](int i, Going now) {
          work += now.work, done += now.steps, whole = whole && now.reached;
          going[static_cast<std::size_t>(i)] = std::move(now);
        });
    round += whole;
    progress(done, total);
    if (keeper.stands) keeper.stands(work, [&] { return stored(std::pair{round, going}); });
  }
  std::vector<Course> out;
  for (Going& each : going) out.push_back(std::move(each.course));
  return out;
}

Learned learned(const Trainee& of, const Course& course) {
  const auto run = of.algorithm->start(*of.world, of.steps, of.seed);
  run->restore(course.run);
  return run->learned();
}

double untrained_return(const Trainee& of) {
  const Learned start = of.algorithm->start(*of.world, of.steps, of.seed)->learned();
  const Trajectories batch =
      of.world->sample(start.policy, start.theta, of.world->T, {of.seed, "untrained", 0, 100});
  return std::accumulate(batch.reward.begin(), batch.reward.end(), 0.0) / batch.size();
}

}  // namespace lowvar
