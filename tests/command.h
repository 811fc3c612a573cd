// Running the lowvar binary as its users do.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

namespace lowvar {

struct Finished {
  int status;
  std::string out, err;
};

inline std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

/// A fresh directory for one test.
inline std::filesystem::path scratch(const std::string& name) {
  const auto path = std::filesystem::temp_directory_path() / ("lowvar_test_" + name);
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

/// Runs a program; `environment` is put before the command, as in OMP_NUM_THREADS=1.
inline Finished start(const std::string& program, const std::string& arguments,
                      const std::string& environment = "") {
  static int calls = 0;
  const auto err = std::filesystem::temp_directory_path() /
                   ("lowvar_stderr_" + std::to_string(::getpid()) + "_" + std::to_string(++calls));
  const std::string command = environment + " " + program + " " + arguments + " 2>" + err.string();
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string out;
  std::array<char, 4096> buffer;
  while (const auto n = std::fread(buffer.data(), 1, buffer.size(), pipe)) out.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  const std::string said = contents(err);
  std::filesystem::remove(err);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), out, said};
}
inline Finished lowvar(const std::string& arguments, const std::string& environment = "") {
  return start(LOWVAR_BINARY, arguments, environment);
}

/// Runs lowvar as in `lowvar ... | true`: what it prints is written at once, and nobody is there to read it.
inline Finished unread(const std::string& arguments) {
  constexpr int out = 9;  // of the command below
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  ::close(ends[0]);
  ::dup2(ends[1], out);
  ::close(ends[1]);
  const Finished finished = start("stdbuf -o0 " LOWVAR_BINARY, arguments + " >&9");
  ::close(out);
  return finished;
}

/// Every file of a directory but machine.json, which alone may differ between runs.
inline std::map<std::string, std::string> files(const std::filesystem::path& directory) {
  std::map<std::string, std::string> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory))
    if (entry.is_regular_file() && entry.path().filename() != "machine.json")
      out[std::filesystem::relative(entry.path(), directory).string()] = contents(entry.path());
  return out;
}

}  // namespace lowvar
