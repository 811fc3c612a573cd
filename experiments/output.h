// Result directories: files that are whole or absent, a manifest first, hashes last.
#pragma once

#include <chrono>
#include <concepts>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "experiments/checkpoint.h"
#include "experiments/files.h"

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
  /// Rows that were made by another of the same columns, as text.
  void add_lines(std::string_view lines) { text_ += lines; }
  const std::string& text() const { return text_; }
  /// The rows alone, as text.
  std::string_view lines() const { return std::string_view(text_).substr(head_); }

  /// Restored into one of the same columns.
  template <class F>
  void visit(F&& f) {
    f("text", text_);
  }

 private:
  void append(const Row& row, bool whole);

  std::vector<std::string> columns_;
  std::string text_;
  std::size_t head_;  // how much of it names the columns
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

// Of several processes that work together, the root alone prints, says and writes files; what the others ask
// for here is not done.

/// Writes to standard output at once. Throws Error where it is full or closed, or nobody reads it.
void print(std::string_view text);
/// Writes to standard error, where that is possible.
void say(std::string_view text);
/// The same by whatever process.
void say_by_any(std::string_view text);

// ---- directories ----

/// A directory of results. manifest.json says what was asked for and is written first; outputs.json holds a
/// hash (XXH64) of each file and the exit status and is written last; machine.json holds all that may differ
/// between two runs of one manifest: clock, machine, threads, command line. While one lives, no other process
/// has one of the same path. One that ends before `finish` leaves a run that can be gone on with. From the
/// first one on SIGINT and SIGTERM only ask to stop (core/interrupt.h), but where several processes work
/// together.
class OutputDirectory {
 public:
  /// Throws Error where the directory cannot be written, another process writes it, or it holds a run of
  /// another configuration.
  OutputDirectory(std::filesystem::path path, const nlohmann::ordered_json& config);
  ~OutputDirectory();
  OutputDirectory(const OutputDirectory&) = delete;
  OutputDirectory& operator=(const OutputDirectory&) = delete;
  void write(const std::string& name, std::string_view contents);
  /// Records a file that something else writes; before it does, so that --overwrite knows of it.
  void adopt(const std::string& name);
  /// Adds to machine.json something that may differ between runs.
  void note(const std::string& key, const nlohmann::ordered_json& value);
  void finish(int status);
  /// f(), which computes what it is to hold; where a NumericalFault ends that, the run is finished with
  /// status 3.
  template <class F>
  decltype(auto) compute(F&& f) {
    try {
      return f();
    } catch (const NumericalFault&) {
      finish(3);
      throw;
    }
  }
  const std::filesystem::path& path() const { return path_; }
  /// Throws Interrupted where the process was asked to stop; for those who have just kept their work.
  void expect_time() const;
  /// Of this run: there are some at the beginning where it goes on from an earlier process.
  const Checkpoints& checkpoints() const { return *checkpoints_; }

 private:
  void open(const nlohmann::ordered_json& config);

  std::filesystem::path path_;
  int lock_ = -1;
  std::optional<Checkpoints> checkpoints_;
  std::vector<std::string> files_;
  std::vector<std::pair<std::string, std::string>> notes_;  // of machine.json: key, JSON
  std::chrono::steady_clock::time_point start_;
};

/// Throws Error where OutputDirectory would: for those who compute before they have one. Writes nothing.
void expect_free(const std::filesystem::path& directory, const nlohmann::ordered_json& config);
/// Removes the run that a directory holds, finished or not: its records, its checkpoints, and its files.
/// Throws Error where another process writes it.
void remove_run(const std::filesystem::path& directory);
/// Throws Error where the directory holds a finished run and a file that is not what its outputs.json says;
/// not for a drawing, from which nothing is read.
void expect_unchanged(const std::filesystem::path& directory);
/// Throws NumericalFault where the run that a directory holds was stopped by one.
void expect_no_fault(const std::filesystem::path& directory);
/// Both, for those who take results.
void expect_sound(const std::filesystem::path& directory);
/// Makes files of a finished run, and records them in its outputs.json as its last. Throws Error where there
/// is no such run, a file is not what it wrote, another process writes there, or `make` throws, after which
/// the run is without these files; NumericalFault as expect_no_fault does.
void amend(const std::filesystem::path& directory, const std::vector<std::string>& files,
           const std::function<void()>& make);

/// The command line, for machine.json; and that of an earlier process whose run is gone on with.
void set_command_line(std::vector<std::string> arguments);
/// How much work lies between two checkpoints, where nothing else is asked for: about so many seconds of one
/// core, counted and not timed. 30 before it is set.
double& seconds_between_checkpoints();
/// The hash of the running program, as a manifest has it.
std::string binary_hash();

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
