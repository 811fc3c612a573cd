// lowvar reproduce: a paper's figure, from data to verdict.
#include "experiments/cli/commands.h"
#include "experiments/figures/figures.h"

namespace lowvar::cli {
namespace {

int reproduce(const std::string& id, Effort effort, bool check, const std::string& out, bool overwrite) {
  std::vector<std::string> known;
  int status = 0;
  bool found = false;
  std::string unread;
  for (const Figure& f : figures()) {
    known.push_back(f.id);
    if (id != "all" && id != f.id) continue;
    found = true;
    const std::filesystem::path directory = out.empty()   ? std::filesystem::path("results") / f.id
                                            : id == "all" ? std::filesystem::path(out) / f.id
                                                          : std::filesystem::path(out);
    if (overwrite) remove_run(directory);
    const Reproduction came = f.run(effort, check, directory);
    status = std::max(status, came.status);
    try {
      print(came.text);
    } catch (const Error& e) {  // a reader who has gone does not stop the figures that are still to come
      unread = e.what();
    }
  }
  known.emplace_back("all");
  if (!found) throw Error(unknown_name("figure", id, known));
  expect(unread.empty(), unread);
  return status;
}

}  // namespace

void add_reproduce(CLI::App& app, int& status) {
  struct Options {
    std::string figure, out;
    bool smoke = false, quick = false, full = false, check = false, overwrite = false;
  };
  auto* command = app.add_subcommand("reproduce", "data, figure and verdict of a paper's figure");
  auto o = std::make_shared<Options>();
  command->add_option("figure", o->figure, "a figure, or all")->required();
  auto* smoke = command->add_flag("--smoke", o->smoke, "seconds");
  auto* quick = command->add_flag("--quick", o->quick, "about a minute (default)")->excludes(smoke);
  command->add_flag("--full", o->full, "the paper's own size")->excludes(smoke)->excludes(quick);
  command->add_flag("--check", o->check, "judge the results by the claim; exit code 1 if it fails");
  command->add_option("--out", o->out, "directory (default: results/FIGURE)");
  add_overwrite(*command, o->overwrite);
  command->callback([=, &status] {
    status = reproduce(o->figure,
                       o->smoke  ? Effort::smoke
                       : o->full ? Effort::full
                                 : Effort::quick,
                       o->check, o->out, o->overwrite);
  });
}

}  // namespace lowvar::cli
