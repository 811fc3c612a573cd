// Many copies of a world stepped at once: what trainers collect from and policies are evaluated in.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "envs/states.h"
#include "nn/observations.h"

namespace lowvar {

/// Copies of a world with autoreset in the same step: where an episode ends, `step` leaves the flags and the
/// final observation of the episode that ended and the observation of the new one's start, so no action is
/// lost. `terminated` and `truncated` are two facts, and both may hold at once, as in Gymnasium: whoever
/// bootstraps does so from the final observation where `truncated` and not `terminated`. A start that is an
/// end already is drawn again.
///
/// Copy i in its episode k draws from Rng(seed, stream, i, k): step 0 of it is the reset, step t + 1 what
/// comes after action t. Where the copies are a part of more, `first` is the number of copy 0 among those. An
/// observation is what a Model looks at: the state's number for tabular worlds, the
/// observation of others.
///
/// Threads: one at a time calls it; `step` uses all there are, with the same bits for any number of them.
class Stepper {
 public:
  /// Episodes are cut after T steps. Throws Error where no start of the world can be stepped from.
  Stepper(std::unique_ptr<States> states, int T, std::uint64_t seed, std::string_view stream, int first = 0);

  int size() const { return states_->size(); }

  /// Of the world's actions one each: numbers of choices [n], or rows of `vectors` [n x m], clipped to the
  /// world's bounds unless it means any vector.
  void step(std::span<const int> choices, const Array<double>& vectors);

  /// [n x p], of the states that the next actions act on.
  const Observations& observation() const { return observation_; }
  /// [n x p]; row i is the last observation of copy i's episode where one ended in the last step.
  const Observations& final_observation() const { return final_observation_; }
  std::span<const double> reward() const { return reward_; }
  std::span<const char> terminated() const { return terminated_; }
  std::span<const char> truncated() const { return truncated_; }
  const States& states() const { return *states_; }

  /// Where every copy is: its state, step and episode. With the constructor's arguments, all there is to
  /// know.
  std::vector<std::byte> save() const;
  /// Puts every copy where `save` was called, so that whatever follows is the same to the bit; rewards and
  /// flags are those of no step. Throws Error where these are not the bytes of as many copies.
  void restore(std::span<const std::byte> bytes);

 private:
  void start(int i);
  void end_episodes(int begin, int end);

  std::unique_ptr<States> states_;
  std::uint32_t T_, first_;
  Rng stream_;
  std::vector<std::uint32_t> t_, episode_;  // [n]
  std::vector<double> reward_;
  std::vector<char> terminated_, truncated_;
  Observations observation_, final_observation_;
};

}  // namespace lowvar
