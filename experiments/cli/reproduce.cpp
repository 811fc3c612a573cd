// lowvar reproduce: a paper's figure, from data to verdict.
#include "experiments/cli/commands.h"
#include "experiments/figures/figures.h"
#include "experiments/script.h"

namespace lowvar::cli {
namespace {

/// Throws Error where a directory cannot take the figure's results: it is no directory, it holds those of
/// another figure or command, or another process writes it. Those of the figure itself at another size are
/// refused at its turn.
void expect_room(const std::string& figure, const std::filesystem::path& directory) {
  expect(!is_there(directory) || std::filesystem::is_directory(directory), "cannot write results to ",
         directory.string(), ": it is not a directory");
  if (!is_there(directory / "manifest.json")) return;
  const Json manifest = read_json(directory / "manifest.json");
  const Json config = manifest.is_object() ? manifest.value("config", Json()) : Json();
  const bool own = config.is_object() && config.contains("figure") && config.at("figure") == figure;
  expect_free(directory, own ? config : Json{{"figure", figure}});
}

int reproduce(const std::string& id, Effort effort, bool check, const std::string& out, bool overwrite) {
  std::vector<std::string> known;
  std::vector<std::pair<Figure, std::filesystem::path>> asked;
  for (const Figure& f : figures()) {
    known.push_back(f.id);
    if (id != "all" && id != f.id) continue;
    asked.emplace_back(f, out.empty()   ? std::filesystem::path("results") / f.id
                          : id == "all" ? std::filesystem::path(out) / f.id
                                        : std::filesystem::path(out));
  }
  known.emplace_back("all");
  if (asked.empty()) throw Error(unknown_name("figure", id, known));
  if (check) data_directory();  // where the claims are
  if (!overwrite)
    for (const auto& [f, directory] : asked) expect_room(f.id, directory);

  int status = 0;
  std::string unread;
  for (const auto& [f, directory] : asked) {
    if (overwrite) remove_run(directory);
    const Reproduction came = f.run(effort, check, directory);
    status = std::max(status, came.status);
    try {
      print(came.text);
    } catch (const Error& e) {  // a reader who has gone does not stop the figures that are still to come
      unread = e.what();
    }
  }
  expect(unread.empty(), unread);
  return status;
}

}  // namespace

void add_reproduce(CLI::App& app, int& status) {
  struct Options {
    std::string figure, out, checkpoint_work;
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
  add_checkpoint_work(*command, o->checkpoint_work);
  add_overwrite(*command, o->overwrite);
  command->callback([=, &status] {
    set_checkpoint_work(o->checkpoint_work);
    status = reproduce(o->figure,
                       o->smoke  ? Effort::smoke
                       : o->full ? Effort::full
                                 : Effort::quick,
                       o->check, o->out, o->overwrite);
  });
}

}  // namespace lowvar::cli
