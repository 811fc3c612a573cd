#include "experiments/script.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "core/error.h"

namespace lowvar {
namespace {

constexpr const char* kPython = "/usr/bin/python3";

/// A file in memory alone, closed at the end.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view contents = "") : file_(::memfd_create("lowvar", MFD_CLOEXEC)) {
    bool written = file_ >= 0;
    while (written && !contents.empty()) {
      const auto n = ::write(file_, contents.data(), contents.size());
      written = n > 0;
      if (written) contents.remove_prefix(static_cast<std::size_t>(n));
    }
    expect(written && ::lseek(file_, 0, SEEK_SET) == 0, "cannot prepare to draw: ", std::strerror(errno));
  }
  ~MemoryFile() {
    if (file_ >= 0) ::close(file_);
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  int descriptor() const { return file_; }
  std::string last_line() const {
    std::string text(static_cast<std::size_t>(::lseek(file_, 0, SEEK_END)), '\0');
    const auto n = ::pread(file_, text.data(), text.size(), 0);
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    text.erase(text.find_last_not_of('\n') + 1);
    return text.substr(text.rfind('\n') + 1);
  }

 private:
  int file_;
};

}  // namespace

std::filesystem::path data_directory() {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path places[] = {program.parent_path().parent_path() / "share" / "lowvar",
                                          LOWVAR_SOURCE_DIR, LOWVAR_DATA_DIR};
  for (const auto& each : places)
    if (std::filesystem::is_directory(each / "experiments" / "figures", error)) return each;
  throw Error(join("the scripts and settings of lowvar are neither in ", places[0].string(), " nor in ",
                   places[2].string(), "; where the program is moved, share moves beside its bin"));
}

std::string run_script(const std::string& script, const std::vector<std::string>& arguments,
                       std::string_view input) try {
  std::vector<std::string> words = {kPython, (data_directory() / "experiments" / script).string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::string epoch = "SOURCE_DATE_EPOCH=0";  // of the drawing, in place of the clock
  std::string encoding = "PYTHONUTF8=1";      // of arguments and files, whatever the locale
  std::string backend = "MPLBACKEND=Agg";     // without which matplotlib would look for a display
  std::vector<char*> environment = {epoch.data(), encoding.data(), backend.data()};
  for (char** each = environ; *each; ++each)
    if (const std::string_view other = *each;
        !other.starts_with("SOURCE_DATE_EPOCH=") && !other.starts_with("MPLBACKEND="))
      environment.push_back(*each);
  environment.push_back(nullptr);

  const MemoryFile in(input), said;
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_adddup2(&files, in.descriptor(), STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, said.descriptor(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, said.descriptor(), STDERR_FILENO);
  posix_spawnattr_t signals;  // SIGPIPE, which the command line ignores, as a program expects it
  sigset_t usual;
  ::sigemptyset(&usual);
  ::sigaddset(&usual, SIGPIPE);
  ::posix_spawnattr_init(&signals);
  ::posix_spawnattr_setsigdefault(&signals, &usual);
  ::posix_spawnattr_setflags(&signals, POSIX_SPAWN_SETSIGDEF);
  pid_t child{};
  const int error = ::posix_spawn(&child, kPython, &files, &signals, argv.data(), environment.data());
  ::posix_spawnattr_destroy(&signals);
  ::posix_spawn_file_actions_destroy(&files);
  if (error) return join("cannot start ", kPython, ": ", std::strerror(error));

  int status{};
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return join("cannot wait for ", kPython, ": ", std::strerror(errno));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  const std::string last = said.last_line();
  if (!last.empty()) return last;
  return WIFEXITED(status) ? join(kPython, " ended with exit code ", WEXITSTATUS(status))
                           : join(kPython, " was ended by signal ", WTERMSIG(status));
} catch (const Error& e) {
  return e.what();
}

std::string shell_word(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

}  // namespace lowvar
