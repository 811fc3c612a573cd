#pragma once

namespace lowvar {

/// Registers the rows of the worlds on MuJoCo. Ends the process with 1 where the two ways of stepping differ.
void register_mujoco();

}  // namespace lowvar
