// lowvar evaluate and lowvar compare: what training runs are worth, alone and beside each other.
#include <fmt/format.h>

#include <numeric>

#include "experiments/cli/commands.h"
#include "experiments/figures/figures.h"
#include "experiments/summary.h"
#include "experiments/training_run.h"

namespace lowvar::cli {
namespace {

Json read_object(const std::filesystem::path& path) {
  Json json = read_json(path);
  expect(json.is_object(), "cannot read ", path.string(), ": is it a directory that `lowvar train` wrote?");
  return json;
}

struct Run {
  std::string name;  // of the directory
  Json summary, config;
  World world;
  std::vector<std::uint64_t> seeds;
  std::vector<Learned> learned;  // of each seed
  std::vector<double> scores;    // eval_return of each seed
};

Run read_run(const std::filesystem::path& directory) {
  expect_sound(directory);
  Run run{.name = std::filesystem::path(directory / ".").lexically_normal().parent_path().filename().string(),
          .summary = read_object(directory / "summary.json"),
          .config = read_object(directory / "manifest.json").value("config", Json())};
  expect(run.config.contains("algorithm") && run.summary.contains("seeds"), directory.string(),
         " is not a directory that `lowvar train` wrote");
  run.world = make_world(run.config.at("env"), {}, run.config.at("horizon").get<long>());
  for (const auto& seed : run.summary.at("seeds")) {
    run.seeds.push_back(seed.at("seed"));
    run.learned.push_back(
        read_learned(directory / fmt::format("policy-{}.json", run.seeds.back()), run.world));
    run.scores.push_back(seed.at("eval_return").is_null() ? -INFINITY : seed.at("eval_return").get<double>());
  }
  return run;
}

int evaluate_run(const std::string& directory, const std::string& episodes_text) {
  const Run run = read_run(directory);
  const long episodes = episodes_text.empty() ? run.config.at("evaluation_episodes").get<long>()
                                              : count_option("--episodes", episodes_text, 1, 1'000'000);
  Json out{
      {"env", run.config.at("env")}, {"algorithm", run.config.at("algorithm")}, {"seeds", Json::array()}};
  std::vector<double> scores;
  for (std::size_t i = 0; i < run.seeds.size(); ++i) {
    const auto returns = evaluate(run.world, run.learned[i].policy, run.learned[i].theta,
                                  static_cast<int>(episodes), run.seeds[i]);
    scores.push_back(std::accumulate(returns.begin(), returns.end(), 0.0) / static_cast<double>(episodes));
    if (!std::isfinite(scores.back()))
      throw NumericalFault(join("the return of seed ", run.seeds[i], " of ", directory, " is not finite"));
    out["seeds"].push_back({{"seed", run.seeds[i]}, {"eval_return", scores.back()}});
  }
  out["iqm"] = interquartile_mean(scores);
  out["ci95"] = interquartile_mean_interval(scores);
  print(json_text(out));
  return 0;
}

int compare(const std::vector<std::string>& directories, const std::string& out, bool overwrite) {
  std::vector<Run> runs;
  for (const auto& each : directories) runs.push_back(read_run(each));
  for (const Run& run : runs)
    expect(run.config.at("env") == runs.front().config.at("env"),
           "runs of different worlds do not compare: ", run.config.at("env").get<std::string>(), " and ",
           runs.front().config.at("env").get<std::string>());
  Json config{{"runs", directories}};
  if (overwrite) remove_run(out);
  OutputDirectory directory(out, config);
  Json comparison{{"env", runs.front().config.at("env")}, {"runs", Json::array()}, {"pairs", Json::array()}};
  std::string text =
      fmt::format("{:<28} {:<20} {:>5} {:>12}   {}\n", "run", "algorithm", "seeds", "IQM", "95 % interval");
  for (const Run& run : runs) {
    const double iqm = interquartile_mean(run.scores);
    const auto [low, high] = interquartile_mean_interval(run.scores);
    comparison["runs"].push_back({{"run", run.name},
                                  {"algorithm", run.config.at("algorithm")},
                                  {"seeds", run.scores.size()},
                                  {"iqm", iqm},
                                  {"ci95", {low, high}}});
    text += fmt::format("{:<28} {:<20} {:>5} {:>12.6g}   [{:.6g}, {:.6g}]\n", run.name,
                        run.config.at("algorithm").get<std::string>(), run.scores.size(), iqm, low, high);
  }
  for (std::size_t i = 0; i < runs.size(); ++i)
    for (std::size_t j = i + 1; j < runs.size(); ++j) {
      const auto [probability, ci95] = probability_of_improvement(runs[i].scores, runs[j].scores);
      comparison["pairs"].push_back(
          {{"run", runs[i].name}, {"over", runs[j].name}, {"probability", probability}, {"ci95", ci95}});
      text += fmt::format("P({} better than {}) = {:.3f}  [{:.3f}, {:.3f}]\n", runs[i].name, runs[j].name,
                          probability, ci95[0], ci95[1]);
    }
  directory.write("comparison.json", json_text(comparison));
  draw(directory);
  directory.finish(0);
  print(text);
  return 0;
}

}  // namespace

void add_evaluate(CLI::App& app, int& status) {
  auto* command = app.add_subcommand("evaluate", "the greedy policies of a training run, as JSON");
  auto directory = std::make_shared<std::string>(), episodes = std::make_shared<std::string>();
  command->add_option("directory", *directory, "of `lowvar train`")->required();
  command->add_option("--episodes", *episodes, "how many (default: the run's)");
  command->callback([=, &status] { status = evaluate_run(*directory, *episodes); });
}

void add_compare(CLI::App& app, int& status) {
  auto* command =
      app.add_subcommand("compare", "training runs of one world: curves, IQM, probability of improvement");
  auto directories = std::make_shared<std::vector<std::string>>();
  auto out = std::make_shared<std::string>("results/comparison");
  command->add_option("directories", *directories, "of `lowvar train`")->required();
  command->add_option("--out", *out, "directory for the results")->capture_default_str();
  auto overwrite = std::make_shared<bool>(false);
  add_overwrite(*command, *overwrite);
  command->callback([=, &status] { status = compare(*directories, *out, *overwrite); });
}

}  // namespace lowvar::cli
