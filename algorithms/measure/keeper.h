// Long computations that can be stopped, and gone on with.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

namespace lowvar {

/// Who keeps what a computation has done so far. One that is empty keeps nothing.
struct Keeper {
  /// What an earlier process has kept of the same computation; empty: nothing.
  std::vector<std::byte> kept = {};
  /// Called where it stands, by every process: `work` is about how many seconds of one core it has taken
  /// since the last call, counted and not timed; `state` gives what it can be gone on from. What this throws
  /// ends it.
  std::function<void(double work, const std::function<std::vector<std::byte>()>& state)> stands = nullptr;
};

}  // namespace lowvar
