// The `lowvar` command line.
#pragma once

namespace lowvar {

/// Runs a command; the exit code: 0, 1 where a check failed, 2 for bad input, 3 for a numerical fault.
int run_command_line(int argc, char** argv);

}  // namespace lowvar
