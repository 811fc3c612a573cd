#include "experiments/cli/cli.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/exact/tabular.h"
#include "experiments/figures/figures.h"
#include "experiments/output.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

using Json = nlohmann::ordered_json;

// Numbers are read as text, so that each error can say what would be right.

double real_option(const std::string& option, const std::string& text) {
  double value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  expect(error == std::errc{} && end == text.data() + text.size() && std::isfinite(value), option, " must be a number, got '",
         text, "'");
  return value;
}

/// A whole number from low to high; 1e6 is one.
long count_option(const std::string& option, const std::string& text, long low, long high) {
  double value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  expect(error == std::errc{} && end == text.data() + text.size() && value == std::floor(value) &&
             value >= static_cast<double>(low) && value <= static_cast<double>(high),
         option, " must be a whole number from ", low, " to ", high, ", got '", text, "'");
  return static_cast<long>(value);
}

std::uint64_t seed_option(const std::string& text) {
  std::uint64_t value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  expect(error == std::errc{} && end == text.data() + text.size(), "--seed must be a whole number from 0 to 2^64 - 1, got '",
         text, "'");
  return value;
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> out(1);
  for (const char c : list)
    if (c == ',')
      out.emplace_back();
    else
      out.back() += c;
  return out;
}

/// What `exact` and `variance` both select.
struct Selection {
  std::string env, estimators, policy = "reference", behaviour, value, gamma, horizon;

  void add_to(CLI::App& app) {
    app.add_option("--env", env, "world id, or mdp:FILE")->required();
    app.add_option("--estimators", estimators, "names, separated by commas")->required();
    app.add_option("--policy", policy, "reference | uniform | logits:FILE | init:SEED")->capture_default_str();
    app.add_option("--behaviour", behaviour, "the policy that acts, for estimators with importance weights (default: --policy)");
    app.add_option("--value", value, "exact | scaled:C | zero | file:F | learned (default: exact where there is an oracle)");
    app.add_option("--gamma", gamma, "discount (default: the world's)");
    app.add_option("--horizon", horizon, "steps at most (default: the world's)");
  }
};

struct Selected {
  World world;
  PolicyChoice policy, behaviour;
  bool off_policy;
  std::string value;
  std::vector<Estimator> estimators;
};

Selected select(const Selection& s) {
  std::optional<double> gamma;
  std::optional<long> horizon;
  if (!s.gamma.empty()) gamma = real_option("--gamma", s.gamma);
  if (!s.horizon.empty()) horizon = count_option("--horizon", s.horizon, 1, 1'000'000);
  Selected out;
  out.world = make_world(s.env, gamma, horizon);
  out.policy = make_policy(out.world, s.policy);
  out.off_policy = !s.behaviour.empty();
  out.behaviour = make_policy(out.world, out.off_policy ? s.behaviour : s.policy);
  out.value = s.value.empty() ? (out.world.mdp ? "exact" : "learned") : s.value;
  for (const auto& name : split(s.estimators)) {
    out.estimators.push_back(make_estimator(name));
    expect(!out.off_policy || out.estimators.back().off_policy, "estimator '", name,
           "' has no importance weights, so --behaviour would bias it; only ppo-clip:EPS takes data of another policy");
  }
  return out;
}

Json config_of(const Selection& s, const Selected& chosen) {
  Json config{{"env", s.env}, {"gamma", chosen.world.gamma}, {"horizon", chosen.world.T}, {"policy", s.policy}};
  config["behaviour"] = chosen.off_policy ? s.behaviour : s.policy;
  config["value"] = chosen.value;
  for (const auto& e : chosen.estimators) config["estimators"].push_back(e.name);
  return config;
}

int exact(const Selection& selection, bool as_json) {
  const Selected chosen = select(selection);
  expect(chosen.world.mdp != nullptr, "exact needs a world whose model is known, and ", chosen.world.id,
         " has none; measure it with variance");
  expect(chosen.value != "learned", "exact takes a critic that is given (exact, scaled:C, zero, file:F), not a learned one");
  const FittedCritic critic = make_critic(chosen.world, chosen.behaviour, chosen.value, 0, 0);
  const Array<double> pi = table_of(chosen.world, chosen.policy.policy, chosen.policy.theta);
  Json out;
  out["J"] = expected_return(*chosen.world.mdp, pi);
  out["gradient"] = policy_gradient(*chosen.world.mdp, pi);
  out["estimators"] = Json::object();
  for (const auto& e : chosen.estimators) {
    const auto answer =
        ask_oracle(chosen.world, chosen.policy.policy, chosen.policy.theta, chosen.behaviour.theta, e, critic.table);
    Json& entry = out["estimators"][e.name];
    if (answer.truth.variance.empty()) {
      entry = {{"bias_norm", nullptr}, {"trace_cov", nullptr}, {"reason", answer.reason}};
      continue;
    }
    double square = 0;
    for (std::size_t i = 0; i < answer.truth.mean.size(); ++i)
      square += std::pow(answer.truth.mean[i] - answer.truth.gradient[i], 2);
    entry = {{"bias_norm", std::sqrt(square)},
             {"trace_cov", std::accumulate(answer.truth.variance.begin(), answer.truth.variance.end(), 0.0)}};
  }
  if (as_json) {
    std::cout << out.dump(2) << "\n";
    return 0;
  }
  fmt::print("J = {:.12g}\n{:<32} {:>22} {:>22}\n", double(out["J"]), "estimator", "bias_norm", "trace_cov");
  for (const auto& [name, entry] : out["estimators"].items()) {
    if (entry["trace_cov"].is_null())
      fmt::print("{:<32} {}\n", name, std::string(entry["reason"]));
    else
      fmt::print("{:<32} {:>22.12g} {:>22.12g}\n", name, double(entry["bias_norm"]), double(entry["trace_cov"]));
  }
  return 0;
}

struct VarianceOptions {
  Selection selection;
  std::string trajectories = "10000", seed = "0", relative_to, until_rse, export_gradients, cosine_batch = "32", out;
};

int variance(const VarianceOptions& o) {
  const Selected chosen = select(o.selection);
  const long N = count_option("--trajectories", o.trajectories, 2, 1'000'000'000);
  const auto cosine_batch = static_cast<int>(count_option("--cosine-batch", o.cosine_batch, 1, 1'000'000));
  const std::uint64_t seed = seed_option(o.seed);
  int relative_to = 0;
  if (!o.relative_to.empty()) {
    const auto& e = chosen.estimators;
    const auto found = std::find_if(e.begin(), e.end(), [&](const Estimator& each) { return each.name == o.relative_to; });
    expect(found != e.end(), "--relative-to '", o.relative_to, "' is not one of --estimators");
    relative_to = static_cast<int>(found - e.begin());
  }
  std::optional<double> until_rse;
  if (!o.until_rse.empty()) {
    until_rse = real_option("--until-rse", o.until_rse);
    expect(*until_rse > 0 && *until_rse < 1, "--until-rse must be between 0 and 1, got ", *until_rse);
    expect(o.export_gradients.empty(), "--export-gradients needs a fixed number of trajectories; drop --until-rse");
  }

  Json config = config_of(o.selection, chosen);
  config["trajectories"] = N;
  config["seed"] = seed;
  config["relative_to"] = chosen.estimators[static_cast<std::size_t>(relative_to)].name;
  config["cosine_batch"] = cosine_batch;
  if (until_rse) config["until_rse"] = *until_rse;
  // What needs no long computation to fail, fails before one.
  const auto pilot = static_cast<int>(std::min<long>(N, 1'000'000));
  const bool critic_needed =
      std::any_of(chosen.estimators.begin(), chosen.estimators.end(), [](const Estimator& e) { return e.needs_critic; });
  FittedCritic critic;
  if (critic_needed || chosen.value != "learned") critic = make_critic(chosen.world, chosen.behaviour, chosen.value, pilot, seed);
  OutputDirectory directory(o.out, config);
  std::size_t d = 0;
  for (const auto& x : chosen.policy.theta) d += x.size();
  const auto E = static_cast<long>(chosen.estimators.size());
  std::unique_ptr<NpyWriter> gradients;
  if (!o.export_gradients.empty())
    gradients = std::make_unique<NpyWriter>(
        o.export_gradients, E == 1 ? std::vector<long>{N, static_cast<long>(d)} : std::vector<long>{E, N, static_cast<long>(d)});

  Constants constants;
  constants.gamma = chosen.world.gamma;
  if (std::any_of(chosen.estimators.begin(), chosen.estimators.end(), [](const Estimator& e) { return e.needs_constants; }))
    constants = make_constants(chosen.world, chosen.behaviour, pilot, seed);

  std::vector<Rung> rungs;
  std::vector<Truth> truth;
  const Parameters& acting = chosen.off_policy ? chosen.behaviour.theta : chosen.policy.theta;
  for (const auto& e : chosen.estimators) {
    rungs.push_back({e, &chosen.policy.theta});
    truth.push_back(
        ask_oracle(chosen.world, chosen.policy.policy, chosen.policy.theta, acting, e, critic.table).truth);
  }
  Progress progress("variance " + chosen.world.id);
  MeasureOptions options{.trajectories = N,
                         .seed = seed,
                         .cosine_batch = cosine_batch,
                         .relative_to = relative_to,
                         .until_rse = until_rse,
                         .progress = [&](long done, long total) { progress(done, total); }};
  if (gradients)
    options.each = [&](int rung, long first, const Array<double>& g) {
      gradients->put((rung * N + first) * static_cast<long>(d), values(g));
    };
  const Measured measured =
      measure(chosen.world, chosen.policy.policy, acting, rungs, critic.critic, constants, options);
  if (gradients) gradients->finish();

  Csv moments({"env", "estimator", "quantity", "value", "se", "exact", "unit", "n"});
  Csv layers({"env", "estimator", "layer", "parameters", "trace_cov", "se", "exact", "snr", "n"});
  Csv parameters({"env", "estimator", "parameter", "mean", "mean_se", "exact_mean", "variance", "variance_se", "exact_variance"});
  const auto names = chosen.policy.policy.names();
  const std::string n = std::to_string(measured.trajectories);
  fmt::print("{:<26} {:<26} {:>14} {:>10} {:>14}\n", "estimator", "quantity", "value", "se", "exact");
  for (std::size_t e = 0; e < rungs.size(); ++e) {
    const std::string& name = rungs[e].estimator.name;
    double share = 0;
    for (const auto& q : quantities(measured, rungs, truth, static_cast<int>(e), relative_to)) {
      const std::string unit = q.name == "cosine" ? fmt::format("batch of {} trajectories", cosine_batch) : "trajectory";
      moments.add({o.selection.env, name, q.name, number(q.sampled.value), number(q.sampled.se), q.exact ? number(*q.exact) : "",
                   unit, n});
      fmt::print("{:<26} {:<26} {:>14.6g} {:>10.2g} {:>14}\n", name, q.name, q.sampled.value, q.sampled.se,
                 q.exact ? fmt::format("{:.6g}", *q.exact) : "-");
      if (q.name == "largest_share") share = q.sampled.value;
    }
    if (share > 0.05)
      fmt::print(stderr, "warning: {}: one trajectory is {:.0f} % of the sum of squares; the tail is heavy and standard errors "
                 "are too small\n", name, 100 * share);
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
      parameters.add({o.selection.env, name, std::to_string(i), number(estimates[2 * i].value), number(estimates[2 * i].se),
                      known ? number(exact_values.mean[i]) : "", number(estimates[2 * i + 1].value),
                      number(estimates[2 * i + 1].se), known ? number(exact_values.variance[i]) : ""});
    std::size_t begin = 0;
    for (std::size_t l = 0; l < names.size(); ++l) {
      const std::size_t size = chosen.policy.theta[l].size();
      double exact_trace = 0;
      if (known)
        for (std::size_t i = begin; i < begin + size; ++i) exact_trace += exact_values.variance[i];
      const Estimate &trace = estimates[2 * d + 2 * l], &snr = estimates[2 * d + 2 * l + 1];
      layers.add({o.selection.env, name, names[l], std::to_string(size), number(trace.value), number(trace.se),
                  known ? number(exact_trace) : "", number(snr.value), n});
      begin += size;
    }
  }
  directory.write("moments.csv", moments.text());
  directory.write("layers.csv", layers.text());
  directory.write("parameters.csv", parameters.text());
  directory.finish(0);
  return 0;
}

int list(const std::string& what) {
  if (what == "envs") {
    for (const auto& w : worlds()) fmt::print("{:<20} gamma {:<5} T {:<5} {}\n", w.id, w.gamma, w.T, w.description);
    fmt::print("{:<20} {}\n", "mdp:FILE", "a tabular world from a JSON file");
  } else if (what == "estimators") {
    for (const auto& f : estimator_families())
      fmt::print("{:<26} {}\n", f.pattern, make_estimator(f.example).equation);
  } else if (what == "figures") {
    for (const auto& f : figures()) fmt::print("{:<12} {}\n", f.id, f.description);
  } else {
    throw Error(unknown_name("list", what, {"envs", "estimators", "figures"}));
  }
  return 0;
}

int explain(const std::string& name) {
  const Estimator e = make_estimator(name);
  std::string needs;
  if (e.needs_critic) needs += "a critic V (--value)";
  if (e.needs_constants) needs += std::string(needs.empty() ? "" : ", ") + "constants from the oracle or a pilot";
  const std::string file = e.where.file_name();
  const std::size_t begin = file.rfind("algorithms/");
  fmt::print("{}\n  equation     {}\n  source       {}\n  needs        {}\n  off-policy   {}\n  independent  one trajectory\n  code         {}:{}\n",
             e.name, e.equation, e.source, needs.empty() ? "nothing" : needs, e.off_policy ? "yes (--behaviour)" : "no",
             begin == std::string::npos ? file : file.substr(begin), e.where.line());
  return 0;
}

int reproduce(const std::string& id, Effort effort, bool check, const std::string& out) {
  std::vector<std::string> known;
  int status = 0;
  bool found = false;
  for (const Figure& f : figures()) {
    known.push_back(f.id);
    if (id != "all" && id != f.id) continue;
    found = true;
    const std::filesystem::path directory = out.empty() ? std::filesystem::path("results") / f.id
                                            : id == "all" ? std::filesystem::path(out) / f.id
                                                          : std::filesystem::path(out);
    status = std::max(status, f.run(effort, check, directory));
  }
  known.emplace_back("all");
  if (!found) throw Error(unknown_name("figure", id, known));
  return status;
}

int dispatch(int argc, char** argv) {
  CLI::App app{"A laboratory for the variance of policy gradients.", "lowvar"};
  app.require_subcommand(1);
  app.set_version_flag("--version", LOWVAR_VERSION);
  int status = 0;

  Selection exact_selection;
  bool as_json = false;
  auto* exact_command = app.add_subcommand("exact", "exact J, gradient, bias and variance on a tabular world");
  exact_selection.add_to(*exact_command);
  exact_command->add_flag("--json", as_json, "print JSON");
  exact_command->callback([&] { status = exact(exact_selection, as_json); });

  VarianceOptions v;
  auto* variance_command = app.add_subcommand("variance", "measure estimators on the same trajectories");
  v.selection.add_to(*variance_command);
  variance_command->add_option("--trajectories", v.trajectories, "how many")->capture_default_str();
  variance_command->add_option("--seed", v.seed, "of every random stream")->capture_default_str();
  variance_command->add_option("--relative-to", v.relative_to, "estimator that ratios are taken to (default: the first)");
  variance_command->add_option("--until-rse", v.until_rse, "go on until every trace_cov has this relative standard error");
  variance_command->add_option("--cosine-batch", v.cosine_batch, "trajectories in an estimate of `cosine`")->capture_default_str();
  variance_command->add_option("--export-gradients", v.export_gradients,
                               "write each trajectory's gradients, (N, d), or (estimators, N, d) for several");
  variance_command->add_option("--out", v.out, "directory for the results")->required();
  variance_command->callback([&] { status = variance(v); });

  std::string figure, figure_out;
  bool smoke = false, quick = false, full = false, check = false;
  auto* reproduce_command = app.add_subcommand("reproduce", "data, figure and verdict of a paper's figure");
  reproduce_command->add_option("figure", figure, "a figure, or all")->required();
  auto* s = reproduce_command->add_flag("--smoke", smoke, "seconds");
  auto* q = reproduce_command->add_flag("--quick", quick, "about a minute (default)")->excludes(s);
  reproduce_command->add_flag("--full", full, "the paper's own size")->excludes(s)->excludes(q);
  reproduce_command->add_flag("--check", check, "judge the results by the claim; exit code 1 if it fails");
  reproduce_command->add_option("--out", figure_out, "directory (default: results/FIGURE)");
  reproduce_command->callback([&] {
    status = reproduce(figure, smoke ? Effort::smoke : full ? Effort::full : Effort::quick, check, figure_out);
  });

  std::string what;
  auto* list_command = app.add_subcommand("list", "envs, estimators or figures");
  list_command->add_option("what", what, "envs | estimators | figures")->required();
  list_command->callback([&] { status = list(what); });

  std::string estimator;
  auto* explain_command = app.add_subcommand("explain", "an estimator: equation, source, needs, code");
  explain_command->add_option("estimator", estimator)->required();
  explain_command->callback([&] { status = explain(estimator); });

  std::vector<std::string> commands;
  for (const auto* command : app.get_subcommands({})) commands.push_back(command->get_name());
  if (argc > 1 && argv[1][0] != '-' && std::find(commands.begin(), commands.end(), argv[1]) == commands.end())
    throw Error(unknown_name("command", argv[1], commands));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // --help, --version
    throw Error(join(e.what(), " (see lowvar --help)"));
  }
  return status;
}

}  // namespace

int run_command_line(int argc, char** argv) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    std::cerr << "lowvar: this CPU lacks AVX2 and FMA (x86-64-v3), which lowvar is built for\n";
    return 2;
  }
  set_command_line(argc, argv);
  try {
    return dispatch(argc, argv);
  } catch (const NumericalFault& e) {
    std::cerr << "lowvar: " << e.what() << "\n";
    return 3;
  } catch (const Error& e) {
    std::cerr << "lowvar: " << e.what() << "\n";
    return 2;
  } catch (const std::bad_alloc&) {
    std::cerr << "lowvar: out of memory; ask for fewer trajectories, estimators or states\n";
    return 2;
  }
}

}  // namespace lowvar
