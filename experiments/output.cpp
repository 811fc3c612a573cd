#include "experiments/output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/blas.h"
#include "core/error.h"

namespace lowvar {
namespace {

std::vector<std::string> command_line;

std::string contents_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string hash_of(const std::filesystem::path& path) {
  const std::string text = contents_of(path);
  return fmt::format("{:016x}", XXH64(text.data(), text.size(), 0));
}

std::string cpu_model() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

/// OpenBLAS falls back to kernels of 2004 on a CPU it does not know, which is not the user's fault but is the
/// user's time.
void note_slow_blas() {
  const std::string core = blas_core();
  if (core != "Prescott" && core != "Core2" && core != "Nehalem") return;
  fmt::print(stderr,
             "note: OpenBLAS does not know this CPU and uses its {} kernels; with OPENBLAS_CORETYPE={} it is "
             "several times faster\n",
             core, __builtin_cpu_supports("avx512f") ? "SkylakeX" : "Haswell");
}

}  // namespace

std::string number(double x) { return std::isnan(x) ? "" : fmt::format("{:.17g}", x); }

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

Csv::Csv(std::vector<std::string> columns) : columns_(std::move(columns)), text_(csv_line({columns_.begin(), columns_.end()})) {
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

// ---- files ----

std::filesystem::path data_directory() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path places[] = {program.parent_path().parent_path() / "share" / "lowvar",
                                          LOWVAR_SOURCE_DIR, LOWVAR_DATA_DIR};
  for (const auto& each : places)
    if (std::filesystem::is_directory(each / "experiments" / "figures", error)) return each;
  throw Error(join("cannot draw: the scripts of lowvar are neither in ", places[0].string(), " nor in ",
                   places[2].string()));
}

void write_file(const std::filesystem::path& path, std::string_view contents) {
  auto partial = path;
  partial += ".partial";
  {
    std::ofstream out(partial, std::ios::binary);
    out << contents;
    out.close();
    expect(!out.fail(), "cannot write ", path.string(), ": ", std::strerror(errno));
  }
  std::error_code error;
  std::filesystem::rename(partial, path, error);
  expect(!error, "cannot write ", path.string(), ": ", error.message());
}

// ---- npy ----

NpyWriter::NpyWriter(std::filesystem::path path, std::vector<long> shape)
    : path_(std::move(path)), partial_(path_) {
  partial_ += ".partial";
  std::string dimensions;
  for (const long each : shape) dimensions += std::to_string(each) + ",";
  std::string header = fmt::format("{{'descr': '<f8', 'fortran_order': False, 'shape': ({}), }}", dimensions);
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  const auto size = static_cast<unsigned>(header.size());
  header = std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(size & 255) +
           static_cast<char>(size >> 8) + header;
  file_ = ::open(partial_.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644);
  expect(file_ >= 0, "cannot write ", path_.string(), ": ", std::strerror(errno));
  header_ = static_cast<long>(header.size());
  expect(::pwrite(file_, header.data(), header.size(), 0) == header_, "cannot write ", path_.string(), ": ",
         std::strerror(errno));
}

void NpyWriter::put(long offset, std::span<const double> x) {
  const char* from = reinterpret_cast<const char*>(x.data());
  long at = header_ + offset * 8, left = static_cast<long>(x.size_bytes());
  while (left > 0) {
    const long wrote = ::pwrite(file_, from, static_cast<std::size_t>(left), at);
    expect(wrote > 0, "cannot write ", path_.string(), ": ", std::strerror(errno));
    from += wrote, at += wrote, left -= wrote;
  }
}

void NpyWriter::finish() {
  expect(::close(file_) == 0, "cannot write ", path_.string(), ": ", std::strerror(errno));
  file_ = -1;
  std::error_code error;
  std::filesystem::rename(partial_, path_, error);
  expect(!error, "cannot write ", path_.string(), ": ", error.message());
}

NpyWriter::~NpyWriter() {
  if (file_ < 0) return;
  ::close(file_);
  ::unlink(partial_.c_str());
}

// ---- OutputDirectory ----

void set_command_line(int argc, char** argv) { command_line.assign(argv, argv + argc); }

OutputDirectory::OutputDirectory(std::filesystem::path path, const nlohmann::ordered_json& config)
    : path_(std::move(path)), start_(std::chrono::steady_clock::now()) {
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  expect(!error && std::filesystem::is_directory(path_), "cannot write results to ", path_.string(), ": ",
         error ? error.message() : "it is not a directory");
  std::filesystem::remove(path_ / "outputs.json", error);  // what it said is no longer so
  nlohmann::ordered_json manifest{{"schema", 1}, {"lowvar", LOWVAR_VERSION}};
  manifest["binary_xxh64"] = hash_of("/proc/self/exe");
  manifest["config"] = config;
  write("manifest.json", manifest.dump(2) + "\n");
}

void OutputDirectory::write(const std::string& name, std::string_view contents) {
  write_file(path_ / name, contents);
  adopt(name);
}

void OutputDirectory::adopt(const std::string& name) { files_.push_back(name); }

void OutputDirectory::note(const std::string& key, const nlohmann::ordered_json& value) {
  notes_.emplace_back(key, value.dump());
}

void OutputDirectory::finish(int status) {
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const std::time_t now = std::time(nullptr);
  char when[32];
  std::strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  nlohmann::ordered_json machine{{"finished", when},
                                 {"seconds", seconds},
                                 {"command_line", command_line},
                                 {"cpu", cpu_model()},
                                 {"threads", omp_get_max_threads()},
                                 {"blas", blas_config()},
                                 {"blas_core", blas_core()},
                                 {"compiler", __VERSION__}};
  for (const auto& [key, value] : notes_) machine[key] = nlohmann::ordered_json::parse(value);
  write_file(path_ / "machine.json", machine.dump(2) + "\n");
  nlohmann::ordered_json outputs{{"status", status}, {"xxh64", nlohmann::ordered_json::object()}};
  for (const auto& name : files_) outputs["xxh64"][name] = hash_of(path_ / name);
  write_file(path_ / "outputs.json", outputs.dump(2) + "\n");
}

// ---- Progress ----

Progress::Progress(std::string title)
    : title_(std::move(title)),
      terminal_(::isatty(STDERR_FILENO) != 0),
      start_(std::chrono::steady_clock::now()),
      shown_(start_) {
  static std::once_flag once;
  std::call_once(once, note_slow_blas);
}

void Progress::operator()(long done, long total, std::string_view note) {
  const auto now = std::chrono::steady_clock::now();
  const auto interval = terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(10);
  if (now - shown_ < interval) return;
  shown_ = now;
  const double part = static_cast<double>(done) / static_cast<double>(total);
  const double left = std::chrono::duration<double>(now - start_).count() * (1 - part) / part;
  if (terminal_) {
    const auto filled = static_cast<std::size_t>(part * 30);
    fmt::print(stderr, "\r{:<28} [{}{}] {:3.0f} %  {:.0f} s left  {}\033[K", title_, std::string(filled, '#'),
               std::string(30 - filled, ' '), 100 * part, left, note);
  } else {
    fmt::print(stderr, "{}: {} of {}, {:.0f} s left{}{}\n", title_, done, total, left,
               note.empty() ? "" : "  ", note);
  }
  std::fflush(stderr);
}

Progress::~Progress() {
  if (terminal_) fmt::print(stderr, "\r\033[K");
}

}  // namespace lowvar
