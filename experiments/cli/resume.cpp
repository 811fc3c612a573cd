// lowvar resume: goes on with a run that was stopped, whatever stopped it.
#include <algorithm>
#include <filesystem>

#include "experiments/cli/commands.h"
#include "experiments/output.h"

namespace lowvar::cli {
namespace {

const std::vector<std::string> resumable = {"train", "variance", "reproduce"};

/// The arguments of the command that began the run of a directory, but for that they write there, whatever
/// its name is now.
std::vector<std::string> arguments_for(const std::vector<std::string>& begun, const Json& config,
                                       const std::filesystem::path& directory) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < begun.size(); ++i) {
    if (begun[i] == "--out")
      ++i;
    else if (!begun[i].starts_with("--out=") && begun[i] != "--overwrite")
      out.push_back(begun[i]);
  }
  if (config.contains("figure"))
    std::replace(out.begin() + 1, out.end(), std::string("all"), config.at("figure").get<std::string>());
  out.insert(out.end(), {"--out", directory.string()});
  return out;
}

int resume(const std::string& given, int (*run)(const std::vector<std::string>&)) {
  const auto directory = std::filesystem::absolute(given);
  const Json manifest = read_json(directory / "manifest.json"),
             machine = read_json(directory / "machine.json");
  const auto no_run = [&](bool is) {
    expect(is, given, " is not a directory that `lowvar train`, `variance` or `reproduce` writes");
  };
  no_run(manifest.is_object() && manifest.contains("config"));
  if (const Json outputs = read_json(directory / "outputs.json"); outputs.is_object()) {
    expect_no_fault(directory);
    print(join(given, " is finished: there is nothing to go on with\n"));
    return 0;
  }
  no_run(machine.is_object() && machine.value("command_line", Json()).is_array());
  const auto line = machine.at("command_line").get<std::vector<std::string>>();
  no_run(line.size() > 1 && std::find(resumable.begin(), resumable.end(), line[1]) != resumable.end());
  expect(manifest.value("binary_xxh64", "") == binary_hash(), given,
         " was begun by another build of lowvar, whose bits may differ: go on with that one, or begin again "
         "by the same command");

  const std::filesystem::path from = machine.value("directory", "");
  std::error_code error;
  std::filesystem::current_path(from, error);  // files are named as seen from there
  expect(!error, given, " was begun in ", from.string(), ", which cannot be entered: ", error.message());
  set_command_line(line);
  return run(arguments_for({line.begin() + 1, line.end()}, manifest.at("config"), directory));
}

}  // namespace

void add_resume(CLI::App& app, int& status, int (*run)(const std::vector<std::string>&)) {
  auto* command = app.add_subcommand("resume", "go on with a run that was stopped");
  auto directory = std::make_shared<std::string>();
  command->add_option("directory", *directory, "of train, variance or reproduce")->required();
  command->callback([=, &status] { status = resume(*directory, run); });
}

}  // namespace lowvar::cli
