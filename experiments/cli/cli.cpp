#include "experiments/cli/cli.h"

#include <algorithm>
#include <iostream>

#include "experiments/cli/commands.h"
#include "experiments/output.h"

namespace lowvar {
namespace {

int dispatch(int argc, char** argv) {
  CLI::App app{"A laboratory for the variance of policy gradients.", "lowvar"};
  app.require_subcommand(1);
  app.set_version_flag("--version", LOWVAR_VERSION);
  int status = 0;
  for (const auto add : {cli::add_exact, cli::add_variance, cli::add_solve, cli::add_train, cli::add_evaluate,
                         cli::add_compare, cli::add_reproduce, cli::add_env, cli::add_list, cli::add_explain})
    add(app, status);

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
