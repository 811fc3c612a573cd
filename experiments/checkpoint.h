// Checkpoints: what a run that was stopped goes on from.
//
// One container for binary state. All numbers are little-endian:
//   8 bytes   "lowvarCP"
//   u32       version, 1
//   u32       number of sections
//   u64       bytes of the header, from the first byte of the file to the end of this hash
//   of each section: u32 length of its name, the name, u64 its length, u64 XXH64 of its bytes
//   u64       XXH64 of the header before it
//   the sections' bytes, one after another, and nothing behind them
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lowvar {

struct Section {
  std::string name;
  std::vector<std::byte> bytes;
};
using Sections = std::vector<Section>;

std::string pack(const Sections& sections);
/// Throws Error saying what is wrong with them where the bytes are not, to the last one, what `pack` made.
Sections unpack(std::string_view bytes);
/// The one of that name. Throws Error where there is none.
const std::vector<std::byte>& section(const Sections& sections, std::string_view name);

std::uint64_t hash_of(std::string_view bytes);

/// The checkpoints of a result directory, DIR/checkpoints/NAME.NUMBER.checkpoint: of each name the last two.
/// Different threads may write different names at once.
class Checkpoints {
 public:
  /// Those of a run that `identity` tells from every other.
  Checkpoints(const std::filesystem::path& directory, std::string identity);

  /// When it returns, the checkpoint is there whatever happens. Throws Error where it cannot be written; then
  /// the one before is still there.
  void write(const std::string& name, long number, Sections sections) const;

  /// The newest one of a name that is whole, and that `take` does not throw Error at; where one is not, or is
  /// of another run, a line on standard error says so, and the one before it is tried. Nothing where none is
  /// left.
  std::optional<long> newest(const std::string& name, const std::function<void(const Sections&)>& take) const;

  /// The newest one's file, within the result directory. Throws Error where there is none.
  std::string last(const std::string& name) const;
  /// Removes all but these files, which are named within the result directory.
  void keep_only(const std::vector<std::string>& names) const;
  /// Removes all of them.
  void clear() const;

 private:
  struct File {
    long number;
    std::filesystem::path path;
  };
  /// Of a name, numbers falling.
  std::vector<File> files(const std::string& name) const;

  std::filesystem::path folder_;
  std::string identity_;
};

}  // namespace lowvar
