// lowvar variance: estimators measured on the same trajectories, beside their exact values.
#include <algorithm>

#include "experiments/cli/commands.h"
#include "experiments/parts.h"
#include "experiments/training_run.h"

namespace lowvar::cli {
namespace {

struct VarianceOptions {
  Selection selection;
  std::string trajectories = "10000", seed = "0", relative_to, until_rse, export_gradients,
              cosine_batch = "32", out;
  std::string of_run, seed_of_run, update = "last", batches = "100", checkpoint_work;
  bool overwrite = false;
};

/// The position of --relative-to, or the first where it is not given.
int relative_to_option(const std::string& name, const std::vector<Estimator>& estimators) {
  if (name.empty()) return 0;
  const auto found = std::find_if(estimators.begin(), estimators.end(),
                                  [&](const Estimator& each) { return each.name == name; });
  expect(found != estimators.end(), "--relative-to '", name, "' is not one of --estimators");
  return static_cast<int>(found - estimators.begin());
}

VarianceStudy study_of(const VarianceOptions& o) {
  VarianceStudy study;
  study.subject = subject_of(o.selection);
  study.trajectories = count_option("--trajectories", o.trajectories, 2, 1'000'000'000);
  study.cosine_batch = static_cast<int>(count_option("--cosine-batch", o.cosine_batch, 1, 1'000'000));
  study.seed = seed_option(o.seed);
  study.relative_to = relative_to_option(o.relative_to, study.subject.estimators);
  if (!o.until_rse.empty()) {
    study.until_rse = real_option("--until-rse", o.until_rse);
    expect(*study.until_rse > 0 && *study.until_rse < 1, "--until-rse must be between 0 and 1, got ",
           *study.until_rse);
  }
  return study;
}

/// What --export-gradients writes: d numbers for each unit of each estimator.
struct GradientShape {
  long estimators = 0, units = 0, d = 0;
  std::vector<long> dimensions() const {
    return estimators == 1 ? std::vector{units, d} : std::vector{estimators, units, d};
  }
  long offset(int estimator, long unit) const { return (estimator * units + unit) * d; }
};

/// Throws Error where the number of units is not one for all.
GradientShape gradient_shape(const VarianceStudy& study) {
  expect(!study.until_rse, "--export-gradients needs a fixed number of trajectories; drop --until-rse");
  const auto& estimators = study.subject.estimators;
  const MeasureOptions units{.batch = study.subject.batch};
  const int unit = units.unit(estimators.front());
  for (const auto& e : estimators)
    expect(units.unit(e) == unit,
           "--export-gradients needs estimators of the same number of trajectories, and '", e.name,
           "' is of ", units.unit(e), ", '", estimators.front().name, "' of ", unit);
  GradientShape shape{static_cast<long>(estimators.size()), study.trajectories / unit};
  for (const auto& x : study.subject.policy.theta) shape.d += static_cast<long>(x.size());
  return shape;
}

void write(const VarianceResult& result, OutputDirectory& directory) {
  directory.write("moments.csv", moments_csv(result).text());
  directory.write("layers.csv", layers_csv(result).text());
  directory.write("parameters.csv", parameters_csv(result).text());
  directory.finish(0);
}

RunStudy run_study_of(const VarianceOptions& o) {
  const Selection& s = o.selection;
  const std::pair<const char*, bool> given[] = {{"--env", !s.env.empty()},
                                                {"--policy", s.policy != "reference"},
                                                {"--behaviour", !s.behaviour.empty()},
                                                {"--value", !s.value.empty()},
                                                {"--gamma", !s.gamma.empty()},
                                                {"--horizon", !s.horizon.empty()},
                                                {"--trajectories", o.trajectories != "10000"},
                                                {"--until-rse", !o.until_rse.empty()},
                                                {"--relative-to", !o.relative_to.empty()},
                                                {"--export-gradients", !o.export_gradients.empty()}};
  for (const auto& [name, is] : given)
    expect(!is,
           "--of-run measures --batches of the run, with its own world, policy, critic and discount; drop ",
           name);
  RunStudy study{.run = o.of_run};
  if (!o.seed_of_run.empty()) study.run_seed = seed_option(o.seed_of_run);
  if (o.update != "last") study.update = count_option("--update", o.update, 0, 1'000'000'000'000);
  if (!o.selection.estimators.empty())
    for (const auto& name : split(o.selection.estimators)) study.estimators.push_back(make_estimator(name));
  study.batches = count_option("--batches", o.batches, 2, 1'000'000);
  study.seed = seed_option(o.seed);
  return study;
}

void report(const VarianceResult& result, OutputDirectory& directory) {
  write(result, directory);
  say(warnings(result));
  print(as_text(result));
}

int variance_of_run(const VarianceOptions& o) {
  const RunStudy study = run_study_of(o);
  if (!o.overwrite) expect_free(o.out, as_json(study));
  std::optional<OutputDirectory> directory;
  std::optional<Parts> parts;
  VarianceResult result;
  {
    Progress progress("variance of " + study.run);
    const auto accepted = [&] {
      if (o.overwrite) remove_run(o.out);
      directory.emplace(o.out, as_json(study));
      return parts.emplace(*directory).keeper();
    };
    try {
      result = study_run(study, {.accepted = accepted, .progress = std::ref(progress)});
    } catch (const NumericalFault&) {
      if (directory) directory->finish(3);
      throw;
    }
  }
  report(result, *directory);
  return 0;
}

int variance(const VarianceOptions& o) {
  set_checkpoint_work(o.checkpoint_work);
  if (!o.of_run.empty()) return variance_of_run(o);
  expect(!o.selection.env.empty(), "--env is required, or --of-run");
  expect(!o.selection.estimators.empty(), "--estimators is required");
  const VarianceStudy study = study_of(o);
  check(study);
  const GradientShape shape = o.export_gradients.empty() ? GradientShape{} : gradient_shape(study);
  expect(o.export_gradients.empty() || o.overwrite || !is_there(o.export_gradients) ||
             is_there(std::filesystem::path(o.out) / "manifest.json"),
         "--export-gradients ", o.export_gradients, " is there already; give another file, or --overwrite");
  if (o.overwrite) remove_run(o.out);
  OutputDirectory directory(o.out, as_json(study));
  Parts parts(directory);
  std::optional<NpyWriter> gradients;
  if (!o.export_gradients.empty()) gradients.emplace(o.export_gradients, shape.dimensions());

  VarianceResult result;
  {
    Progress progress("variance " + study.subject.world.id);
    StudyWatcher watcher{.progress = std::ref(progress)};
    if (gradients)
      watcher.each = [&](int e, long first, const Array<double>& g) {
        gradients->put(shape.offset(e, first), values(g));
      };
    watcher.keeper = parts.keeper([&] {
      if (gradients) gradients->sync();
    });
    result = directory.compute([&] { return study_variance(study, watcher); });
  }
  if (gradients) gradients->finish();
  report(result, directory);
  return 0;
}

}  // namespace

void add_variance(CLI::App& app, int& status) {
  auto* command = app.add_subcommand("variance", "measure estimators on the same trajectories");
  auto o = std::make_shared<VarianceOptions>();
  o->selection.add_to(*command, false);
  command->add_option("--of-run", o->of_run,
                      "directory of `lowvar train`: measure the gradient that it follows, batch by batch");
  command->add_option("--seed-of-run", o->seed_of_run, "the run's seed that is meant (default: its first)");
  command->add_option("--update", o->update, "of the run, before which it stands: a number, or last")
      ->capture_default_str();
  command->add_option("--batches", o->batches, "of the run, how many")->capture_default_str();
  command->add_option("--trajectories", o->trajectories, "how many")->capture_default_str();
  command->add_option("--seed", o->seed, "of every random stream")->capture_default_str();
  command->add_option("--relative-to", o->relative_to,
                      "estimator that ratios are taken to (default: the first)");
  command->add_option("--until-rse", o->until_rse,
                      "go on until every trace_cov has this relative standard error");
  command->add_option("--cosine-batch", o->cosine_batch, "trajectories in an estimate of `cosine`")
      ->capture_default_str();
  command->add_option("--export-gradients", o->export_gradients,
                      "write each trajectory's gradients, (N, d), or (estimators, N, d) for several");
  command->add_option("--out", o->out, "directory for the results")->required();
  add_checkpoint_work(*command, o->checkpoint_work);
  add_overwrite(*command, o->overwrite);
  command->callback([=, &status] { status = variance(*o); });
}

}  // namespace lowvar::cli
