// SIGINT and SIGTERM, asked for by whoever can keep what was done so far.
#pragma once

#include <stdexcept>
#include <string>

namespace lowvar {

/// What ends a command that was asked to stop, once it has kept its work. The command line turns it into exit
/// code 128 + signal.
struct Interrupted : std::runtime_error {
  Interrupted(int signal, const std::string& what) : std::runtime_error(what), by(signal) {}
  int by;  // the signal
};

/// From now on the first SIGINT or SIGTERM only asks; a second one ends the process as it would without this.
void catch_interrupts();

/// The signal that asked, or 0.
int interrupt_signal();

}  // namespace lowvar
