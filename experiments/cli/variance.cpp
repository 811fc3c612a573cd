// lowvar variance: estimators measured on the same trajectories, beside their exact values.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "experiments/cli/commands.h"
#include "experiments/output.h"

namespace lowvar::cli {
namespace {

struct VarianceOptions {
  Selection selection;
  std::string trajectories = "10000", seed = "0", relative_to, until_rse, export_gradients,
              cosine_batch = "32", out;
};

int variance(const VarianceOptions& o) {
  const Selected chosen = select(o.selection);
  const long N = count_option("--trajectories", o.trajectories, 2, 1'000'000'000);
  const auto cosine_batch = static_cast<int>(count_option("--cosine-batch", o.cosine_batch, 1, 1'000'000));
  const std::uint64_t seed = seed_option(o.seed);
  int relative_to = 0;
  if (!o.relative_to.empty()) {
    const auto& e = chosen.estimators;
    const auto found =
        std::find_if(e.begin(), e.end(), [&](const Estimator& each) { return each.name == o.relative_to; });
    expect(found != e.end(), "--relative-to '", o.relative_to, "' is not one of --estimators");
    relative_to = static_cast<int>(found - e.begin());
  }
  std::optional<double> until_rse;
  if (!o.until_rse.empty()) {
    until_rse = real_option("--until-rse", o.until_rse);
    expect(*until_rse > 0 && *until_rse < 1, "--until-rse must be between 0 and 1, got ", *until_rse);
    expect(o.export_gradients.empty(),
           "--export-gradients needs a fixed number of trajectories; drop --until-rse");
  }

  Json config = config_of(o.selection, chosen);
  config["trajectories"] = N;
  config["seed"] = seed;
  config["relative_to"] = chosen.estimators[static_cast<std::size_t>(relative_to)].name;
  config["cosine_batch"] = cosine_batch;
  if (until_rse) config["until_rse"] = *until_rse;
  // What needs no long computation to fail, fails before one.
  const auto pilot = static_cast<int>(std::min<long>(N, 1'000'000));
  const bool critic_needed = std::any_of(chosen.estimators.begin(), chosen.estimators.end(),
                                         [](const Estimator& e) { return e.needs_critic; });
  FittedCritic critic;
  if (critic_needed || chosen.value != "learned")
    critic = make_critic(chosen.world, chosen.behaviour, chosen.value, pilot, seed,
                         std::any_of(chosen.estimators.begin(), chosen.estimators.end(),
                                     [](const Estimator& e) { return e.needs_action_values; }));
  OutputDirectory directory(o.out, config);
  std::size_t d = 0;
  for (const auto& x : chosen.policy.theta) d += x.size();
  const auto E = static_cast<long>(chosen.estimators.size());
  const MeasureOptions units{.batch = chosen.batch};
  const int unit = units.unit(chosen.estimators.front());
  for (const auto& e : chosen.estimators) {
    expect(N % units.unit(e) == 0 && N >= 2 * units.unit(e), "estimator '", e.name, "' is of ", units.unit(e),
           " trajectories at a time: --trajectories must be a multiple of that, at least twice, got ", N);
    expect(o.export_gradients.empty() || units.unit(e) == unit,
           "--export-gradients needs estimators of the same number of trajectories, and '", e.name,
           "' is of ", units.unit(e), ", '", chosen.estimators.front().name, "' of ", unit);
  }
  std::unique_ptr<NpyWriter> gradients;
  if (!o.export_gradients.empty())
    gradients = std::make_unique<NpyWriter>(o.export_gradients,
                                            E == 1 ? std::vector<long>{N / unit, static_cast<long>(d)}
                                                   : std::vector<long>{E, N / unit, static_cast<long>(d)});

  Constants constants;
  constants.gamma = chosen.world.gamma;
  constants.dynamics = chosen.world.lqg;
  if (std::any_of(chosen.estimators.begin(), chosen.estimators.end(),
                  [](const Estimator& e) { return e.needs_constants; }))
    constants = make_constants(chosen.world, chosen.behaviour, pilot, seed);

  std::vector<Rung> rungs;
  std::vector<Truth> truth;
  const Parameters& acting = chosen.off_policy ? chosen.behaviour.theta : chosen.policy.theta;
  for (const auto& e : chosen.estimators) {
    rungs.push_back({e, &chosen.policy.theta});
    truth.push_back(
        ask_oracle(chosen.world, chosen.policy.policy, chosen.policy.theta, acting, e, critic, chosen.batch)
            .truth);
  }
  Progress progress("variance " + chosen.world.id);
  MeasureOptions options{.trajectories = N,
                         .seed = seed,
                         .cosine_batch = cosine_batch,
                         .batch = chosen.batch,
                         .relative_to = relative_to,
                         .until_rse = until_rse,
                         .progress = [&](long done, long total) { progress(done, total); }};
  if (gradients)
    options.each = [&](int rung, long first, const Array<double>& g) {
      gradients->put((rung * (N / unit) + first) * static_cast<long>(d), values(g));
    };
  const Measured measured =
      measure(chosen.world, chosen.policy.policy, acting, rungs, critic.critic, constants, options);
  if (gradients) gradients->finish();

  Csv moments({"env", "estimator", "quantity", "value", "se", "exact", "unit", "n"});
  Csv layers({"env", "estimator", "layer", "parameters", "trace_cov", "se", "exact", "snr", "n"});
  Csv parameters({"env", "estimator", "parameter", "mean", "mean_se", "exact_mean", "variance", "variance_se",
                  "exact_variance"});
  const auto names = chosen.policy.policy.names();
  const std::string n = std::to_string(measured.trajectories);
  fmt::print("{:<26} {:<26} {:>14} {:>10} {:>14}\n", "estimator", "quantity", "value", "se", "exact");
  for (std::size_t e = 0; e < rungs.size(); ++e) {
    const std::string& name = rungs[e].estimator.name;
    double share = 0;
    for (const auto& q : quantities(measured, rungs, truth, static_cast<int>(e), relative_to)) {
      const Estimator& estimator = rungs[e].estimator;
      const bool counted = q.name == "env_steps" || q.name == "policy_rows" || q.name == "value_rows";
      const std::string sample =
          q.name == "cosine" ? fmt::format("batch of {} trajectories", options.cosine_batch_of(estimator))
          : counted || measured.unit[e] == 1
              ? "trajectory"
              : fmt::format("{} of {} trajectories", estimator.unit ? "group" : "batch", measured.unit[e]);
      moments.add({o.selection.env, name, q.name, number(q.sampled.value), number(q.sampled.se),
                   q.exact ? number(*q.exact) : "", sample, n});
      fmt::print("{:<26} {:<26} {:>14.6g} {:>10.2g} {:>14}\n", name, q.name, q.sampled.value, q.sampled.se,
                 q.exact ? fmt::format("{:.6g}", *q.exact) : "-");
      if (q.name == "largest_share") share = q.sampled.value;
    }
    if (share > 0.05)
      fmt::print(stderr,
                 "warning: {}: one trajectory is {:.0f} % of the sum of squares; the tail is heavy and "
                 "standard errors "
                 "are too small\n",
                 name, 100 * share);
    std::vector<std::vector<Moments>> own;
    for (const auto& block : measured.blocks) own.push_back({block[e]});
    const auto estimates = jackknife(own, [&](const std::vector<Moments>& m) {
      std::vector<double> out;  // per parameter mean, variance; then per layer trace
      for (std::size_t i = 0; i < d; ++i) out.push_back(m[0].mean[i]), out.push_back(m[0].variance(i));
      std::size_t begin = 0;
      for (const auto& x : chosen.policy.theta) {
        double trace = 0, signal = 0;
        for (std::size_t i = begin; i < begin + x.size(); ++i)
          trace += m[0].variance(i), signal += m[0].mean[i] * m[0].mean[i];
        out.push_back(trace);
        out.push_back((signal - trace / m[0].n) / trace);
        begin += x.size();
      }
      return out;
    });
    const Truth& exact_values = truth[e];
    const bool known = !exact_values.variance.empty();
    for (std::size_t i = 0; i < d; ++i)
      parameters.add({o.selection.env, name, std::to_string(i), number(estimates[2 * i].value),
                      number(estimates[2 * i].se), known ? number(exact_values.mean[i]) : "",
                      number(estimates[2 * i + 1].value), number(estimates[2 * i + 1].se),
                      known ? number(exact_values.variance[i]) : ""});
    std::size_t begin = 0;
    for (std::size_t l = 0; l < names.size(); ++l) {
      const std::size_t size = chosen.policy.theta[l].size();
      double exact_trace = 0;
      if (known)
        for (std::size_t i = begin; i < begin + size; ++i) exact_trace += exact_values.variance[i];
      const Estimate &trace = estimates[2 * d + 2 * l], &snr = estimates[2 * d + 2 * l + 1];
      layers.add({o.selection.env, name, names[l], std::to_string(size), number(trace.value),
                  number(trace.se), known ? number(exact_trace) : "", number(snr.value), n});
      begin += size;
    }
  }
  directory.write("moments.csv", moments.text());
  directory.write("layers.csv", layers.text());
  directory.write("parameters.csv", parameters.text());
  directory.finish(0);
  return 0;
}

}  // namespace

void add_variance(CLI::App& app, int& status) {
  auto* command = app.add_subcommand("variance", "measure estimators on the same trajectories");
  auto o = std::make_shared<VarianceOptions>();
  o->selection.add_to(*command);
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
  command->callback([=, &status] { status = variance(*o); });
}

}  // namespace lowvar::cli
