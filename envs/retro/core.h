// A console's emulator with a game in it, by the interface that emulators share: libretro. An emulator, a
// "core", is a shared library with one machine in it; it is loaded where it is installed, and nothing is
// linked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace lowvar::retro {

/// A picture: rows of pixels 0x00RRGGBB.
struct Screen {
  int width = 0, height = 0;
  std::vector<std::uint32_t> pixels = {};
};

/// A part of the memory of the machine, from this address on.
struct Memory {
  std::size_t address;
  std::uint8_t* bytes;
  std::size_t size;
};

/// Threads: one at a time uses an object; different objects are machines of their own and run in different
/// threads at once, for each has a copy of the library to itself, globals and all.
class Core {
 public:
  /// Starts the machine. System RAM begins at `ram_address`, unless the core itself says where its memory is.
  /// Throws Error where `library` is no core, or the core refuses the game.
  Core(const std::filesystem::path& library, const std::filesystem::path& rom, std::size_t ram_address);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  /// One frame, with the buttons of joypad 1 whose bits are set (bit i is libretro's id i) held down. What it
  /// shows is in `screen` afterwards.
  void run(std::uint16_t buttons);
  const Screen& screen() const { return screen_; }

  /// The machine's memory, to read and to write.
  std::span<const Memory> memory() const { return memory_; }

  /// All of the machine but its last picture. Throws Error where the core cannot.
  std::vector<std::byte> save() const;
  /// Throws Error where these are not the bytes of a state of this game.
  void load(std::span<const std::byte> state);

 private:
  friend struct Callbacks;
  struct Library;

  std::string name_;
  std::string game_;
  std::unique_ptr<Library> library_;
  std::map<std::string, std::string> options_;  // of the core, each at its default
  enum class Pixels { rgb1555 = 0, xrgb8888 = 1, rgb565 = 2 } pixels_ = Pixels::rgb1555;
  std::vector<Memory> memory_;
  Screen screen_;
  std::uint16_t buttons_ = 0;
  bool drawn_ = false;
};

}  // namespace lowvar::retro
