// Starting programs under mpirun.
#pragma once

#include <string>

#include "command.h"
#include "core/error.h"

namespace lowvar {

/// Open MPI's way to run as root, and more processes than cores; others do not read it.
inline const std::string mpirun_environment =
    "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 ";

/// `n` processes of a program.
inline Finished together(int n, const std::string& program, const std::string& arguments,
                         const std::string& environment = "") {
  return start(join("mpirun -n ", n, " ", program), arguments, mpirun_environment + environment);
}

/// Why there is nothing to be started together; empty where there is.
inline std::string cannot_start_together() {
  if (!LOWVAR_MPI) return "lowvar was built without MPI";
  return start("mpirun", "--version").status == 0 ? "" : "there is no mpirun";
}

}  // namespace lowvar
