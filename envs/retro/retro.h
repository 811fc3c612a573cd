// Worlds that are games in a console's emulator, seen as Atari's are: a decision holds its buttons for four
// frames; what is seen is the last of them in grey, 84 x 84, with those of the three decisions before it.
#pragma once

#include <filesystem>
#include <string>

#include "envs/states.h"

namespace lowvar::retro {

struct Options {
  /// The probability that the first frame of a decision still has the buttons of the one before.
  double sticky = 0;
  /// At the start of an episode nothing is pressed for 0 to `noop` frames, drawn.
  int noop = 0;
  int skip = 4;            // frames of a decision
  std::string state = "";  // where episodes start, another than the default
};

constexpr double kGamma = 0.99;
constexpr int kT = 4500;

/// A folder by its path, or, where there is none of that path, by its name among the games that are built
/// with this program. Throws Error.
std::filesystem::path game_folder(const std::string& name);

/// What all games need and is not installed, with how to get it; empty where there is an emulator.
std::string missing();

/// A game to step. Observations are 84 x 84 x 4, the channels from the oldest frame to the newest; the reward
/// is the sum over the frames of a decision, the last being the one that ends the episode, if one does. A
/// state is saved with its machine, and restored exactly. `States::shown` gives the picture in colours that
/// follows a state: width, height, and then row after row, each number so many (its part above 2^24) pixels
/// 0xRRGGBB.
struct Playable {
  Spaces spaces;
  MakeStates states;
};
/// Throws Error: a sentence for whatever is wrong with the folder.
Playable playable(const std::filesystem::path& folder, const Options& options);

}  // namespace lowvar::retro
