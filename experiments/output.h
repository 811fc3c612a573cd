// Result directories: files that are whole or absent, a manifest first, hashes last.
#pragma once

#include <chrono>
#include <concepts>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lowvar {

/// 17 significant digits; empty for NaN.
std::string number(double x);

/// A CSV file in memory (RFC 4180, lines end with \n): columns, and rows whose fields are named after them.
class Csv {
 public:
  /// A field is text; a number has 17 significant digits, and is empty where it is NaN or absent.
  struct Field {
    std::string text;
    Field(std::string x) : text(std::move(x)) {}
    Field(const char* x) : text(x) {}
    Field(double x) : text(number(x)) {}
    Field(std::optional<double> x) : text(x ? number(*x) : "") {}
    template <std::integral I>
    Field(I x) : text(std::to_string(x)) {}
  };
  using Row = std::vector<std::pair<std::string_view, Field>>;

  /// Throws Error where a column is named twice.
  explicit Csv(std::vector<std::string> columns);
  /// Appends a row of every column, in any order. Throws Error where a column is unknown, named twice or
  /// missing.
  void add(const Row& row);
  /// The same for a row of some columns; the other fields are empty.
  void add_some(const Row& row);
  const std::string& text() const { return text_; }

 private:
  void append(const Row& row, bool whole);

  std::vector<std::string> columns_;
  std::string text_;
};

/// The rows of a CSV file, fields by their columns. Throws Error where a row is not as wide as the first.
std::vector<std::map<std::string, std::string>> parse_csv(std::string_view text);

// ---- text ----

/// Names from outside are any bytes, and JSON is UTF-8: bytes that are not part of it are written as \xNN,
/// and a backslash that begins such a text as \x5c.
std::string utf8(std::string_view bytes);
/// Back from that.
std::string bytes_of(std::string_view utf8);

/// The value as lines, its strings by `utf8`; `indent` of -1 is one line.
std::string json_text(const nlohmann::ordered_json& json, int indent = 2);
/// What a file written by `json_text` holds; null where there is no such file, or not one of JSON.
nlohmann::ordered_json read_json(const std::filesystem::path& path);

/// Writes to standard output at once. Throws Error where it is full or closed, or nobody reads it.
void print(std::string_view text);
/// Writes to standard error, where that is possible.
void say(std::string_view text);

// ---- files ----

/// Writes the file under another name and renames it: readers see all of it or nothing. Throws Error where it
/// cannot.
void write_file(const std::filesystem::path& path, std::string_view contents);

/// Doubles in numpy's .npy format (version 1.0, little-endian, C order), appended in order; whole at
/// `finish`.
class NpyWriter {
 public:
  NpyWriter(std::filesystem::path path, std::vector<long> shape);
  /// Writes x at element `offset` of the array.
  void put(long offset, std::span<const double> x);
  void finish();
  ~NpyWriter();
  NpyWriter(const NpyWriter&) = delete;
  NpyWriter& operator=(const NpyWriter&) = delete;

 private:
  std::filesystem::path path_, partial_;
  int file_ = -1;
  long header_ = 0;
};

/// A directory of results. manifest.json says what was asked for and is written first; outputs.json holds a
/// hash (XXH64) of each file and the exit status and is written last; machine.json holds all that may differ
/// between two runs of one manifest: clock, machine, threads, command line. While one lives, no other process
/// has one of the same path.
class OutputDirectory {
 public:
  /// Throws Error where the directory cannot be written, another process writes it, or it holds a run of
  /// another configuration.
  OutputDirectory(std::filesystem::path path, const nlohmann::ordered_json& config);
  ~OutputDirectory();
  OutputDirectory(const OutputDirectory&) = delete;
  OutputDirectory& operator=(const OutputDirectory&) = delete;
  void write(const std::string& name, std::string_view contents);
  /// Records a file that something else wrote.
  void adopt(const std::string& name);
  /// Adds to machine.json something that may differ between runs.
  void note(const std::string& key, const nlohmann::ordered_json& value);
  void finish(int status);
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int lock_ = -1;
  std::vector<std::string> files_;
  std::vector<std::pair<std::string, std::string>> notes_;  // of machine.json: key, JSON
  std::chrono::steady_clock::time_point start_;
};

/// Throws Error where OutputDirectory would: for those who compute before they have one. Writes nothing.
void expect_free(const std::filesystem::path& directory, const nlohmann::ordered_json& config);
/// Removes the run that a directory holds: its records, and the files that its outputs.json names. Throws
/// Error where another process writes it.
void remove_run(const std::filesystem::path& directory);
/// Throws NumericalFault where the run that a directory holds was stopped by one.
void expect_no_fault(const std::filesystem::path& directory);

/// The command line, for machine.json; set once by main.
void set_command_line(int argc, char** argv);

/// A progress bar with the time left on a terminal, and a plain line every ten seconds in a log; on stderr.
class Progress {
 public:
  explicit Progress(std::string title);
  void operator()(long done, long total, std::string_view note = {});
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  std::string title_;
  bool terminal_;
  std::chrono::steady_clock::time_point start_, shown_;
};

}  // namespace lowvar
