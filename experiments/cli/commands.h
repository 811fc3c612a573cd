// The commands of the `lowvar` command line, a file each. Each adds itself to the application and puts the
// exit code of its run into `status`. To add one: its file here, its line in cli.cpp.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "experiments/study.h"

namespace lowvar::cli {

using Json = nlohmann::ordered_json;

void add_exact(CLI::App& app, int& status);
void add_variance(CLI::App& app, int& status);
void add_solve(CLI::App& app, int& status);
void add_reproduce(CLI::App& app, int& status);
void add_env(CLI::App& app, int& status);
void add_train(CLI::App& app, int& status);
void add_evaluate(CLI::App& app, int& status);
void add_compare(CLI::App& app, int& status);
void add_draw(CLI::App& app, int& status);
void add_list(CLI::App& app, int& status);
void add_explain(CLI::App& app, int& status);
/// `run` runs another command.
void add_resume(CLI::App& app, int& status, int (*run)(const std::vector<std::string>& arguments));

// Numbers are read as text, so that each error can say what would be right.

double real_option(const std::string& option, const std::string& text);
/// A whole number from low to high; 1e6 is one.
long count_option(const std::string& option, const std::string& text, long low, long high);
std::uint64_t seed_option(const std::string& text);
/// What stands between commas.
std::vector<std::string> split(const std::string& list);

/// Adds --overwrite, of commands that write results.
void add_overwrite(CLI::App& app, bool& overwrite);

/// Adds --checkpoint-work, of commands whose long computations are not of updates; and what it says, where it
/// says something.
void add_checkpoint_work(CLI::App& app, std::string& seconds);
void set_checkpoint_work(const std::string& seconds);

/// What `exact` and `variance` both select.
struct Selection {
  std::string env, estimators, policy = "reference", behaviour, value, gamma, horizon, batch = "32";
  void add_to(CLI::App& app, bool required = true);
};
/// The worlds, policies and estimators of these names. Throws Error where one is unknown, or an estimator
/// does not suit them.
Subject subject_of(const Selection& selection);

}  // namespace lowvar::cli
