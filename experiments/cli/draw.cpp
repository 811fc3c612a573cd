// lowvar draw: the pictures of results that are there.
#include "experiments/cli/commands.h"
#include "experiments/figures/figures.h"

namespace lowvar::cli {

void add_draw(CLI::App& app, int&) {
  auto* command = app.add_subcommand("draw", "the picture of a finished train, compare or reproduce");
  auto directory = std::make_shared<std::string>();
  command->add_option("directory", *directory, "of its results")->required();
  command->callback([=] { draw(std::filesystem::path(*directory)); });
}

}  // namespace lowvar::cli
