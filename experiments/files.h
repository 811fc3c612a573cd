// Files that are whole or absent, whatever happens while they are written: what a function here has written
// stays, after a loss of power too. Of several processes that work together, the root alone writes: what the
// others ask for here is not done.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lowvar {

/// Whether there is something of that name; not where nothing can have it, as where it is too long.
bool is_there(const std::filesystem::path& path);

/// All of a file. Throws Error where it cannot be read.
std::string read_file(const std::filesystem::path& path);

/// Writes the file under another name and renames it: readers see all of it or nothing. Throws Error where it
/// cannot.
void write_file(const std::filesystem::path& path, std::string_view contents);

/// The directory's entries are as they were last made, renamed and removed.
void sync_directory(const std::filesystem::path& directory);

/// A file that grows line by line.
class GrowingFile {
 public:
  /// Begins with `lines`, and nothing else, whatever was there. Throws Error where it cannot.
  GrowingFile(std::filesystem::path path, std::string_view lines);
  ~GrowingFile();
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;
  /// All of the lines or, where that throws Error, none.
  void append(std::string_view lines);
  /// What was appended stays.
  void sync();

 private:
  std::filesystem::path path_;
  int file_ = -1;
  long size_ = 0;
};

/// Doubles in numpy's .npy format (version 1.0, little-endian, C order), written in any order; whole at
/// `finish`.
class NpyWriter {
 public:
  /// Goes on with what an earlier one of the same path and shape left, finished or not, or begins with zeros.
  NpyWriter(std::filesystem::path path, std::vector<long> shape);
  /// Writes x at element `offset` of the array.
  void put(long offset, std::span<const double> x);
  /// What was put stays.
  void sync();
  void finish();
  ~NpyWriter();
  NpyWriter(const NpyWriter&) = delete;
  NpyWriter& operator=(const NpyWriter&) = delete;

 private:
  std::filesystem::path path_, partial_;
  int file_ = -1;
  long header_ = 0;
};

}  // namespace lowvar
