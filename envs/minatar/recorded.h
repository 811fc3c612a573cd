// Games of MinAtar played again by draws that were recorded from the original.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace lowvar::minatar {

/// Uniform in [0, 1); or, where it is whole, an integer in low ... high - 1.
struct RecordedDraw {
  double value = 0;
  bool whole = false;
  int low = 0, high = 0;
};

/// The draws of a reset or of a step, handed out one after another. All functions throw Error, with where
/// they were recorded, where a draw is not what the game asks for.
class RecordedDraws {
 public:
  static constexpr bool recorded = true;

  RecordedDraws(std::vector<RecordedDraw> draws, std::string where)
      : draws_(std::move(draws)), where_(std::move(where)) {}

  double uniform();
  int integer(int low, int high);
  /// That none is left.
  void expect_used() const;

 private:
  const RecordedDraw& next(const std::string& asked);

  std::vector<RecordedDraw> draws_;
  std::string where_;
  std::size_t used_ = 0;
};

/// A file with a JSON list a line, first that of the reset, then one a step: of ["u", value] and
/// ["i", low, high, value]. Throws Error where it is none.
std::vector<RecordedDraws> read_draws(const std::string& path);

/// One game that takes all its draws from a recording.
class RecordedGame {
 public:
  struct Played {
    double reward;
    bool terminated;
    int action;  // which may not be the one that was asked for
  };
  virtual ~RecordedGame() = default;
  virtual int observation() const = 0;
  virtual void reset(RecordedDraws& draws) = 0;
  virtual Played step(int action, RecordedDraws& draws) = 0;
  virtual void observe(std::span<std::uint8_t> out) const = 0;
};

/// The game of a world, as MinAtar/Breakout-v1; null where it is none of MinAtar.
std::unique_ptr<RecordedGame> recorded_game(const std::string& id);

}  // namespace lowvar::minatar
