#include "experiments/cli/cli.h"

#include <fcntl.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <sstream>

#include "core/blas.h"
#include "core/interrupt.h"
#include "core/processes.h"
#include "experiments/cli/commands.h"
#include "experiments/output.h"

namespace lowvar {
namespace {

int dispatch(const std::vector<std::string>& arguments);

struct Command {
  std::string name;
  void (*add)(CLI::App& app, int& status);
};
const std::vector<Command> commands = {
    {"exact", cli::add_exact},
    {"variance", cli::add_variance},
    {"solve", cli::add_solve},
    {"train", cli::add_train},
    {"evaluate", cli::add_evaluate},
    {"compare", cli::add_compare},
    {"reproduce", cli::add_reproduce},
    {"draw", cli::add_draw},
    {"env", cli::add_env},
    {"list", cli::add_list},
    {"explain", cli::add_explain},
    {"resume", [](CLI::App& app, int& status) { cli::add_resume(app, status, dispatch); }},
};

/// Runs the command that the arguments, without the program's name, ask for; the exit code.
int dispatch(const std::vector<std::string>& arguments) {
  CLI::App app{"A laboratory for the variance of policy gradients.", "lowvar"};
  app.require_subcommand(1);
  app.set_version_flag("--version", LOWVAR_VERSION);
  int status = 0;
  const bool named = !arguments.empty() && !arguments.front().starts_with('-');
  std::vector<std::string> names;
  for (const auto& [name, add] : commands) {
    names.push_back(name);
    if (!named || name == arguments.front()) add(app, status);
  }
  if (named && std::find(names.begin(), names.end(), arguments.front()) == names.end())
    throw Error(unknown_name("command", arguments.front(), names));
  for (std::size_t i = 1; i < arguments.size(); ++i)  // of a variable of the shell that is not set, say
    expect(!arguments[i].empty() || !arguments[i - 1].starts_with("--"), arguments[i - 1],
           " is empty; give it a value, or leave it out");
  try {
    app.parse(std::vector(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) {  // --help, --version
      std::ostringstream out;
      app.exit(e, out, out);
      print(out.str());
      return 0;
    }
    throw Error(join(e.what(), " (see lowvar --help)"));
  }
  return status;
}

/// Files that are opened take no number of a closed standard stream, and writing to that still fails.
void hold_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(stream, F_GETFD) < 0) ::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/// Starts the program again where other kernels of OpenBLAS, which chooses before main, are several times
/// faster; not where the environment names some.
void start_with_fast_kernels(char** argv) {
  const std::string core = faster_blas_core();
  if (core.empty() || std::getenv("OPENBLAS_CORETYPE")) return;
  ::setenv("OPENBLAS_CORETYPE", core.c_str(), 1);
  ::execv("/proc/self/exe", argv);
}

int complain(std::string_view what, int status) {
  return leave_processes(status, [&] { say_by_any(join("lowvar: ", what, "\n")); });
}

}  // namespace

int run_command_line(int argc, char** argv) {
  hold_standard_streams();
  std::signal(SIGPIPE, SIG_IGN);  // what cannot be printed is an error, and takes no result along
  std::signal(SIGXFSZ, SIG_IGN);  // so is a file that may not grow any further
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
    return complain("this CPU lacks AVX2 and FMA (x86-64-v3), which lowvar is built for", 2);
  start_with_fast_kernels(argv);
  // Thousands of threads would be waited for at every step.
  omp_set_num_threads(std::min(omp_get_max_threads(), std::max(64, omp_get_num_procs())));
  set_command_line({argv, argv + argc});
  try {
    join_processes();
    expect_openblas();
    return leave_processes(dispatch({argv + std::min(argc, 1), argv + argc}));
  } catch (const Interrupted& e) {
    return complain(e.what(), 128 + e.by);
  } catch (const NumericalFault& e) {
    return complain(e.what(), 3);
  } catch (const Error& e) {
    return complain(e.what(), 2);
  } catch (const std::bad_alloc&) {
    return complain("out of memory; ask for fewer trajectories, estimators or states", 2);
  } catch (const std::exception& e) {  // of a library: a file of JSON that lacks what was asked of it, say
    return complain(e.what(), 2);
  }
}

}  // namespace lowvar
