// A game as Gym Retro describes it: a folder with the ROM, what numbers are where in the machine's memory
// (data.json), what pays and what ends an episode (scenario.json), and where episodes start (metadata.json,
// *.state). docs/pixels.md has all of what these files may say.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "envs/retro/core.h"
#include "envs/retro/pixels.h"

namespace lowvar::retro {

/// A console.
struct System {
  const char *extension, *name;
  std::size_t ram_address;           // of its memory, where a core does not say
  std::vector<const char*> cores;    // that have it, the first one that is installed is taken
  const char* package;               // of Debian, that has the first
  std::vector<const char*> buttons;  // by libretro's ids; null where there is none
  std::vector<std::vector<std::vector<const char*>>> actions;  // where a scenario gives none
};
const std::vector<System>& systems();

/// The library of a core of this system: in the directories of LOWVAR_CORES, separated by colons, or, where
/// that is not set, where Debian installs it.
std::optional<std::filesystem::path> core_of(const System& system);

// ---- data.json ----

/// How bytes in memory are a number: "<u2", "|i1", ">d4", ">n6", "><u4". Byte order: < little, > big, | and =
/// that of this machine, which is little; <> words of two bytes... in big order, and so on for >< and its
/// kin; then u unsigned, i two's complement, d two decimal digits a byte, n one in its low half; then 1 to 8
/// bytes.
class NumberType {
 public:
  /// Nothing where the text is none.
  static std::optional<NumberType> parse(std::string_view text);
  int bytes() const { return bytes_; }
  std::int64_t read(const std::uint8_t* from) const;

 private:
  char digits_ = 'u';
  int bytes_ = 1;
  std::array<std::uint8_t, 8> place_{};  // byte k has the base to the place_[k]
};

struct Number {
  std::size_t address = 0;
  NumberType type;
  std::uint64_t mask = ~std::uint64_t{0};
};
/// The numbers of a data.json. Those of a type that is none are left out.
std::map<std::string, Number> read_numbers(const std::filesystem::path& path);

// ---- scenario.json ----

/// A number, or its change since the frame before, and what is asked of it.
struct Measured {
  enum class Op {
    itself,
    nonzero,
    zero,
    positive,
    negative,
    sign,
    equal,
    negative_equal,
    not_equal,
    less_than,
    greater_than,
    less_or_equal,
    greater_or_equal
  };
  std::size_t number = 0;
  bool change = false;
  Op op = Op::itself;
  std::int64_t reference = 0;

  std::int64_t operator()(std::span<const std::int64_t> now, std::span<const std::int64_t> before) const;
};
struct Paid {
  Measured measured;
  float reward = 0, penalty = 0;
};
/// Any or all of these.
struct Ends {
  bool all = false;
  std::vector<Measured> measured = {};
  std::vector<Ends> nodes = {};
};

struct Scenario {
  std::vector<std::pair<std::string, Number>> numbers;  // that it asks for
  std::vector<Paid> paid;
  float time = 0;  // paid for each frame
  Ends ends;
  Crop crop;
  std::vector<std::uint16_t> actions;  // the buttons of each: bit i is libretro's id i

  float reward(std::span<const std::int64_t> now, std::span<const std::int64_t> before) const;
  bool ended(std::span<const std::int64_t> now, std::span<const std::int64_t> before) const;
};
Scenario read_scenario(const std::filesystem::path& path, const std::map<std::string, Number>& numbers,
                       const System& system);

// ---- The folder ----

struct Game {
  const System* system;
  std::filesystem::path library, rom;
  Scenario scenario;
  std::vector<std::byte> state;  // where episodes start; empty: from power-on, by these buttons
  std::vector<std::pair<int, std::uint16_t>> presses;  // for so many frames
};
/// `state` names a FOLDER/STATE.state instead of the default one. Throws Error: a sentence for whatever is
/// wrong.
Game read_game(const std::filesystem::path& folder, const std::string& state = "");

/// SHA-1, in hexadecimal digits.
std::string sha1(std::string_view bytes);

}  // namespace lowvar::retro
