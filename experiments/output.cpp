#include "experiments/output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <omp.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "core/blas.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/processes.h"

namespace lowvar {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> command_line;

std::string hex(std::uint64_t hash) { return fmt::format("{:016x}", hash); }

std::string cpu_model() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

}  // namespace

std::string number(double x) { return std::isnan(x) ? "" : fmt::format("{:.17g}", x); }

// ---- text ----

namespace {

/// Bytes of the character that a text begins with; 0 where that is not one of UTF-8 (Unicode 15, table 3-7).
std::size_t character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t n = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  if (n == 0) return 0;
  const unsigned low = first == 0xE0   ? 0xA0
                       : first == 0xF0 ? 0x90
                                       : 0x80,
                 high = first == 0xED   ? 0x9F
                        : first == 0xF4 ? 0x8F
                                        : 0xBF;
  if (byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < n; ++i)
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  return n;
}

bool begins_with_byte(std::string_view text) {
  const auto digit = [&](std::size_t i) { return std::isxdigit(static_cast<unsigned char>(text[i])) != 0; };
  return text.size() >= 4 && text.starts_with("\\x") && digit(2) && digit(3);
}

/// The value with f applied to each string in it.
template <class F>
Json with_strings(Json json, F f) {
  if (json.is_string()) return f(json.get_ref<const std::string&>());
  if (json.is_structured())
    for (auto& each : json) each = with_strings(std::move(each), f);
  return json;
}

}  // namespace

std::string utf8(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    std::size_t n = begins_with_byte(bytes) ? 0 : character(bytes);
    if (n == 0)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(bytes[0])), n = 1;
    else
      out += bytes.substr(0, n);
    bytes.remove_prefix(n);
  }
  return out;
}

std::string bytes_of(std::string_view utf8) {
  std::string out;
  while (!utf8.empty()) {
    const bool byte = begins_with_byte(utf8);
    out += byte ? static_cast<char>(std::stoi(std::string(utf8.substr(2, 2)), nullptr, 16)) : utf8[0];
    utf8.remove_prefix(byte ? 4 : 1);
  }
  return out;
}

std::string json_text(const Json& json, int indent) { return with_strings(json, utf8).dump(indent) + "\n"; }

Json read_json(const std::filesystem::path& path) {
  std::error_code none;
  if (!std::filesystem::is_regular_file(path, none)) return {};
  std::ifstream in(path);
  bool deep = false;  // deeper than anything that lowvar writes
  const auto shallow = [&](int depth, Json::parse_event_t, const Json&) {
    deep = deep || depth > 32;
    return !deep;
  };
  Json json = in.good() ? Json::parse(in, shallow, false) : Json();
  return deep || json.is_discarded() ? Json() : with_strings(std::move(json), bytes_of);
}

void print(std::string_view text) {
  if (!root()) return;
  while (!text.empty()) {
    const auto wrote = ::write(STDOUT_FILENO, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    expect(wrote > 0, "cannot write to standard output: ", std::strerror(errno));
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
}

void say(std::string_view text) {
  if (root()) say_by_any(text);
}

void say_by_any(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

// ---- CSV ----

namespace {

/// Fields as a line; one with a comma, a quote or a line break is quoted.
std::string csv_line(const std::vector<std::string_view>& fields) {
  std::string out;
  for (const std::string_view& field : fields) {
    if (&field != &fields.front()) out += ',';
    if (field.find_first_of(",\"\r\n") == std::string::npos) {
      out += field;
      continue;
    }
    out += '"';
    for (const char c : field) out.append(c == '"' ? 2 : 1, c);
    out += '"';
  }
  return out + '\n';
}

/// The records of a CSV file, field by field.
std::vector<std::vector<std::string>> csv_records(std::string_view text) {
  std::vector<std::vector<std::string>> records;
  bool quoted = false, begins = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (std::exchange(begins, false)) records.push_back({""});
    std::string& field = records.back().back();
    const char c = text[i];
    if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"')
      field += text[++i];
    else if (c == '"')
      quoted = !quoted;
    else if (quoted || (c != ',' && c != '\n'))
      field += c;
    else if (c == ',')
      records.back().emplace_back();
    else
      begins = true;
  }
  return records;
}

}  // namespace

Csv::Csv(std::vector<std::string> columns)
    : columns_(std::move(columns)), text_(csv_line({columns_.begin(), columns_.end()})), head_(text_.size()) {
  for (std::size_t i = 0; i < columns_.size(); ++i)
    expect(std::find(columns_.begin(), columns_.begin() + static_cast<long>(i), columns_[i]) ==
               columns_.begin() + static_cast<long>(i),
           "a CSV file has one column of each name, and '", columns_[i], "' is there twice");
}

void Csv::add(const Row& row) { append(row, true); }
void Csv::add_some(const Row& row) { append(row, false); }

void Csv::append(const Row& row, bool whole) {
  std::vector<std::string_view> fields(columns_.size());
  std::vector<bool> named(columns_.size());
  for (const auto& [column, field] : row) {
    const auto at =
        static_cast<std::size_t>(std::find(columns_.begin(), columns_.end(), column) - columns_.begin());
    if (at == columns_.size())
      throw Error(join("a CSV row names the column '", column,
                       "', and there are: ", fmt::format("{}", fmt::join(columns_, ", "))));
    expect(!named[at], "a CSV row names the column '", column, "' twice");
    named[at] = true;
    fields[at] = field.text;
  }
  for (std::size_t i = 0; whole && i < columns_.size(); ++i)
    expect(named[i], "a CSV row lacks the column '", columns_[i], "'");
  text_ += csv_line(fields);
}

std::vector<std::map<std::string, std::string>> parse_csv(std::string_view text) {
  const auto records = csv_records(text);
  std::vector<std::map<std::string, std::string>> rows;
  for (std::size_t i = 1; i < records.size(); ++i) {
    expect(records[i].size() == records[0].size(), "row ", i, " of a CSV file has ", records[i].size(),
           " fields, and there are ", records[0].size(), " columns");
    auto& row = rows.emplace_back();
    for (std::size_t k = 0; k < records[i].size(); ++k) row[records[0][k]] = records[i][k];
  }
  return rows;
}

// ---- OutputDirectory ----

void set_command_line(std::vector<std::string> arguments) { command_line = std::move(arguments); }

double& seconds_between_checkpoints() {
  static double seconds = 30;
  return seconds;
}

std::string binary_hash() { return hex(hash_of(read_file("/proc/self/exe"))); }

namespace {

/// Throws Error where the directory holds a run of another configuration.
void expect_own(const std::filesystem::path& directory, const Json& config) {
  if (!is_there(directory / "manifest.json")) return;
  const Json manifest = read_json(directory / "manifest.json");
  expect(manifest.is_object() && json_text(manifest.value("config", Json())) == json_text(config),
         directory.string(),
         " holds another run, as its manifest.json says; give another --out, or --overwrite");
}

/// A descriptor of the directory's .lock, which no other process locks before it is closed; -1 where the file
/// system knows no locks. Throws Error where another process has it.
int lock(const std::filesystem::path& directory) {
  const auto file = static_cast<int>(TEMP_FAILURE_RETRY(
      ::open((directory / ".lock").c_str(), O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0666)));
  expect(file >= 0, "cannot write results to ", directory.string(), ": ", std::strerror(errno));
  if (::flock(file, LOCK_EX | LOCK_NB) == 0) return file;
  const int error = errno;
  ::close(file);
  expect(error != EWOULDBLOCK, directory.string(),
         " is being written by another process; wait for it, or give another --out");
  say(join("note: ", directory.string(), " cannot be locked (", std::strerror(error),
           "); let no other process write there\n"));
  return -1;
}

void unlock(int file) {
  if (file >= 0) ::close(file);
}

/// The files that an unfinished run has begun, a line each of its .lock.
std::vector<std::string> begun_files(const std::filesystem::path& directory) {
  std::vector<std::string> out;
  std::ifstream in(directory / ".lock");
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

/// What a process that was killed was writing.
void remove_partial_files(const std::filesystem::path& directory) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".partial") && !name.ends_with(".npy.partial"))
      std::filesystem::remove(entry.path(), ignored);
  }
}

/// machine.json of a run that begins: what `lowvar resume` goes on with.
Json beginning() {
  std::error_code unknown;
  return {{"command_line", command_line}, {"directory", std::filesystem::current_path(unknown).string()}};
}

void remove_own_run(const std::filesystem::path& directory) {
  if (!is_there(directory / "manifest.json")) return;
  const int file = lock(directory);
  std::vector<std::string> names = begun_files(directory);
  const Json outputs = read_json(directory / "outputs.json");
  if (outputs.is_object() && outputs.contains("xxh64"))
    for (const auto& [name, hash] : outputs["xxh64"].items()) names.push_back(name);
  for (const char* last : {"machine.json", "manifest.json"}) names.emplace_back(last);
  std::error_code ignored;
  std::filesystem::remove(directory / "outputs.json", ignored);
  Checkpoints(directory, "").clear();
  for (const auto& name : names)
    if (std::filesystem::path(name).filename() == name) std::filesystem::remove(directory / name, ignored);
  unlock(file);
}

}  // namespace

void expect_free(const std::filesystem::path& directory, const Json& config) {
  on_root([&] {
    expect_own(directory, config);
    if (is_there(directory / ".lock")) unlock(lock(directory));
  });
}

void remove_run(const std::filesystem::path& directory) {
  on_root([&] { remove_own_run(directory); });
}

void expect_unchanged(const std::filesystem::path& directory) {
  const Json outputs = read_json(directory / "outputs.json");
  if (!outputs.is_object() || !outputs.contains("xxh64")) return;
  for (const auto& [name, hash] : outputs["xxh64"].items()) {
    if (name.ends_with(".svg") || name.ends_with(".png")) continue;
    expect(!is_there(directory / name) || hash == hex(hash_of(read_file(directory / name))),
           (directory / name).string(), " is not what the run wrote, as its outputs.json says");
  }
}

void expect_no_fault(const std::filesystem::path& directory) {
  const Json outputs = read_json(directory / "outputs.json");
  if (outputs.is_object() && outputs.value("status", 0) == 3)
    throw NumericalFault(join("the run of ", directory.string(),
                              " was stopped by a numerical fault, and there is no result of it"));
}

void expect_sound(const std::filesystem::path& directory) {
  expect_no_fault(directory);
  expect_unchanged(directory);
}

void amend(const std::filesystem::path& directory, const std::vector<std::string>& files,
           const std::function<void()>& make) {
  expect(is_there(directory / "manifest.json"), directory.string(),
         " holds no results of lowvar: there is no manifest.json");
  const struct Lock {
    int file;
    ~Lock() { unlock(file); }
  } locked{lock(directory)};
  Json outputs = read_json(directory / "outputs.json");
  expect(outputs.is_object() && outputs.contains("xxh64"), "the run of ", directory.string(),
         " is not finished: there is no outputs.json; `lowvar resume` goes on with it");
  expect_sound(directory);
  Json& hashes = outputs["xxh64"];
  for (const auto& name : files) hashes.erase(name);
  write_file(directory / "outputs.json", json_text(outputs));
  make();
  for (const auto& name : files) hashes[name] = hex(hash_of(read_file(directory / name)));
  write_file(directory / "outputs.json", json_text(outputs));
}

OutputDirectory::OutputDirectory(std::filesystem::path path, const Json& config)
    : path_(std::move(path)), start_(std::chrono::steady_clock::now()) {
  on_root([&] { open(config); });
}

void OutputDirectory::open(const Json& config) {
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  expect(!error && std::filesystem::is_directory(path_, error), "cannot write results to ", path_.string(),
         ": ", error ? error.message() : "it is not a directory");
  if (ranks() == 1) catch_interrupts();
  expect_own(path_, config);
  lock_ = lock(path_);
  expect_own(path_, config);
  Json manifest{{"schema", 1}, {"lowvar", LOWVAR_VERSION}};
  manifest["binary_xxh64"] = binary_hash();
  manifest["config"] = config;
  const std::string text = json_text(manifest);
  checkpoints_.emplace(path_, text);

  const auto has = [&](const char* name) { return is_there(path_ / name); };
  const bool unfinished = has("manifest.json") && !has("outputs.json");
  const bool goes_on = unfinished && read_file(path_ / "manifest.json") == text;
  if (unfinished && !goes_on && is_there(path_ / "checkpoints"))
    say(join("note: the unfinished run of ", path_.string(),
             " is of another build of lowvar, and is begun again\n"));
  std::filesystem::remove(path_ / "outputs.json", error);  // what it said is no longer so
  if (!goes_on) {
    checkpoints_->clear();
    if (lock_ >= 0 && ::ftruncate(lock_, 0) != 0) {
      // Then it also names files of a run that is gone.
    }
  }
  remove_partial_files(path_);
  remove_partial_files(path_ / "checkpoints");
  write_file(path_ / "machine.json", json_text(beginning()));
  write_file(path_ / "manifest.json", text);
  adopt("manifest.json");
}

OutputDirectory::~OutputDirectory() { unlock(lock_); }

void OutputDirectory::expect_time() const {
  if (const int signal = interrupt_signal())
    throw Interrupted(signal, fmt::format("stopped by {}; `lowvar resume {}` goes on with it",
                                          signal == SIGINT ? "SIGINT" : "SIGTERM", path_.string()));
}

void OutputDirectory::write(const std::string& name, std::string_view contents) {
  adopt(name);
  write_file(path_ / name, contents);
}

void OutputDirectory::adopt(const std::string& name) {
  if (std::find(files_.begin(), files_.end(), name) != files_.end()) return;
  files_.push_back(name);
  const std::string line = name + "\n";
  if (lock_ >= 0 && ::write(lock_, line.data(), line.size()) < 0) {
    // Then --overwrite of a run that was killed leaves this file behind.
  }
}

void OutputDirectory::note(const std::string& key, const Json& value) {
  notes_.emplace_back(key, json_text(value));
}

void OutputDirectory::finish(int status) {
  if (!root()) return;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const std::time_t now = std::time(nullptr);
  char when[32];
  std::strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  Json machine = beginning();
  machine.update(Json{{"finished", when},
                      {"seconds", seconds},
                      {"cpu", cpu_model()},
                      {"processes", ranks()},
                      {"threads", omp_get_max_threads()},
                      {"blas", blas_config()},
                      {"blas_core", blas_core()},
                      {"blas_flavour", blas_flavour()},
                      {"compiler", __VERSION__}});
  if (status != 3) checkpoints_->keep_only(files_);
  for (const auto& [key, value] : notes_) machine[key] = Json::parse(value);
  write_file(path_ / "machine.json", json_text(machine));
  Json outputs{{"status", status}, {"xxh64", Json::object()}};
  for (const auto& name : files_) outputs["xxh64"][name] = hex(hash_of(read_file(path_ / name)));
  if (lock_ >= 0 && ::ftruncate(lock_, 0) != 0) {
    // Then it names files that outputs.json names too.
  }
  write_file(path_ / "outputs.json", json_text(outputs));
}

// ---- Progress ----

Progress::Progress(std::string title)
    : title_(std::move(title)),
      terminal_(::isatty(STDERR_FILENO) != 0),
      start_(std::chrono::steady_clock::now()),
      shown_(start_) {}

void Progress::operator()(long done, long total, std::string_view note) {
  const auto now = std::chrono::steady_clock::now();
  const auto interval = terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(10);
  if (now - shown_ < interval) return;
  shown_ = now;
  const double part = static_cast<double>(done) / static_cast<double>(total);
  const double left = std::chrono::duration<double>(now - start_).count() * (1 - part) / part;
  if (terminal_) {
    const auto filled = static_cast<std::size_t>(part * 30);
    say(fmt::format("\r{:<28} [{}{}] {:3.0f} %  {:.0f} s left  {}\033[K", title_, std::string(filled, '#'),
                    std::string(30 - filled, ' '), 100 * part, left, note));
  } else {
    say(fmt::format("{}: {} of {}, {:.0f} s left{}{}\n", title_, done, total, left, note.empty() ? "" : "  ",
                    note));
  }
}

Progress::~Progress() {
  if (terminal_) say("\r\033[K");
}

}  // namespace lowvar
