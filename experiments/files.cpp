#include "experiments/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/processes.h"

namespace lowvar {
namespace {

[[noreturn]] void fail_to(const char* what, const std::filesystem::path& path, int error) {
  fail("cannot ", what, " ", path.string(), ": ", std::strerror(error));
}

/// An open file that is closed when this ends.
class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags)
      : file_(static_cast<int>(TEMP_FAILURE_RETRY(::open(path.c_str(), flags | O_CLOEXEC, 0666)))) {}
  ~Descriptor() {
    if (file_ >= 0) ::close(file_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return file_; }
  /// Whether all that was written has arrived, as closing may tell first.
  bool close() { return ::close(std::exchange(file_, -1)) == 0; }
  int release() { return std::exchange(file_, -1); }

 private:
  int file_;
};

/// Whether all of it was written at `offset`, or where the file stands for -1.
bool write_all(int file, const char* from, std::size_t left, long offset = -1) {
  while (left > 0) {
    const auto wrote = offset < 0 ? ::write(file, from, left) : ::pwrite(file, from, left, offset);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote == 0) errno = ENOSPC;
    if (wrote <= 0) return false;
    from += wrote, left -= static_cast<std::size_t>(wrote);
    if (offset >= 0) offset += wrote;
  }
  return true;
}

bool sync_file(int file) {
  while (::fsync(file) != 0) {
    if (errno == EINVAL || errno == ENOTSUP) return true;  // of a kind that knows none
    if (errno != EINTR) return false;
  }
  return true;
}

std::filesystem::path partial_of(std::filesystem::path path) { return path += ".partial"; }

/// A partial file takes its name, for good. Returns why it cannot, as errno does, or 0.
int publish(const std::filesystem::path& partial, const std::filesystem::path& path) {
  if (::rename(partial.c_str(), path.c_str()) != 0) return errno;
  sync_directory(path.parent_path());
  return 0;
}

}  // namespace

bool is_there(const std::filesystem::path& path) {
  std::error_code none;
  return std::filesystem::exists(path, none);
}

std::string read_file(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY | O_NONBLOCK);  // a pipe would be waited for
  struct stat kind {};
  if (file.get() < 0 || ::fstat(file.get(), &kind) != 0) fail_to("read", path, errno);
  expect(S_ISREG(kind.st_mode), "cannot read ", path.string(), ": not a regular file");
  std::string out;
  for (char buffer[1 << 16];;) {
    const auto got = ::read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_to("read", path, errno);
    if (got == 0) return out;
    out.append(buffer, static_cast<std::size_t>(got));
  }
}

void write_file(const std::filesystem::path& path, std::string_view contents) {
  if (!root()) return;
  const auto partial = partial_of(path);
  Descriptor file(partial, O_CREAT | O_TRUNC | O_WRONLY);
  if (file.get() < 0) fail_to("write", path, errno);
  if (!write_all(file.get(), contents.data(), contents.size()) || !sync_file(file.get()) || !file.close()) {
    const int error = errno;
    ::unlink(partial.c_str());
    fail_to("write", path, error);
  }
  if (const int error = publish(partial, path)) {
    ::unlink(partial.c_str());
    fail_to("write", path, error);
  }
}

void sync_directory(const std::filesystem::path& directory) {
  const Descriptor file(directory.empty() ? "." : directory, O_RDONLY | O_DIRECTORY);
  if (file.get() < 0) return;  // one that may be written and not read
  if (!sync_file(file.get())) fail_to("write", directory, errno);
}

// ---- GrowingFile ----

GrowingFile::GrowingFile(std::filesystem::path path, std::string_view lines) : path_(std::move(path)) {
  write_file(path_, lines);
  Descriptor file(path_, O_WRONLY | O_APPEND);
  if (file.get() < 0) fail_to("write", path_, errno);
  file_ = file.release();
  size_ = static_cast<long>(lines.size());
}

GrowingFile::~GrowingFile() { ::close(file_); }

void GrowingFile::append(std::string_view lines) {
  if (!write_all(file_, lines.data(), lines.size())) {
    const int error = errno;
    if (::ftruncate(file_, size_) != 0) {
      // Then the file ends within a line, which nobody counts on.
    }
    fail_to("write", path_, error);
  }
  size_ += static_cast<long>(lines.size());
}

void GrowingFile::sync() {
  if (!sync_file(file_)) fail_to("write", path_, errno);
}

// ---- NpyWriter ----

NpyWriter::NpyWriter(std::filesystem::path path, std::vector<long> shape)
    : path_(std::move(path)), partial_(partial_of(path_)) {
  if (!root()) return;
  std::string dimensions;
  long size = 8;
  for (const long each : shape) dimensions += std::to_string(each) + ",", size *= each;
  std::string header = fmt::format("{{'descr': '<f8', 'fortran_order': False, 'shape': ({}), }}", dimensions);
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  const auto length = static_cast<unsigned>(header.size());
  header = std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(length & 255) +
           static_cast<char>(length >> 8) + header;
  header_ = static_cast<long>(header.size());
  if (!is_there(partial_) && is_there(path_) && ::rename(path_.c_str(), partial_.c_str()) != 0)
    fail_to("write", path_, errno);
  Descriptor file(partial_, O_CREAT | O_WRONLY);
  if (file.get() < 0 || !write_all(file.get(), header.data(), header.size(), 0) ||
      ::ftruncate(file.get(), header_ + size) != 0)
    fail_to("write", path_, errno);
  file_ = file.release();
}

void NpyWriter::put(long offset, std::span<const double> x) {
  if (!root()) return;
  if (!write_all(file_, reinterpret_cast<const char*>(x.data()), x.size_bytes(), header_ + offset * 8))
    fail_to("write", path_, errno);
}

void NpyWriter::sync() {
  if (!root()) return;
  if (!sync_file(file_)) fail_to("write", path_, errno);
}

void NpyWriter::finish() {
  if (!root()) return;
  sync();
  if (::close(std::exchange(file_, -1)) != 0) fail_to("write", path_, errno);
  // What was put is kept where it is: it is in no checkpoint.
  if (const int error = publish(partial_, path_)) fail_to("write", path_, error);
}

NpyWriter::~NpyWriter() {
  if (file_ >= 0) ::close(file_);
}

}  // namespace lowvar
