#include "core/input_file.h"

#include <cstdint>
#include <fstream>

#include "core/error.h"

namespace lowvar {

std::string read_input(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  constexpr std::uintmax_t most = std::uintmax_t{512} << 20;
  std::error_code failure;
  const fs::file_status status = fs::status(path, failure);
  expect(fs::exists(status), path.string(), ": there is no such file");
  expect(fs::is_regular_file(status), path.string(), ": not a regular file");
  const std::uintmax_t bytes = fs::file_size(path, failure);
  expect(!failure && bytes <= most, path.string(), ": larger than 512 MB");
  std::ifstream in(path, std::ios::binary);
  std::string text(bytes, '\0');
  in.read(text.data(), static_cast<std::streamsize>(bytes));
  expect(in && in.gcount() == static_cast<std::streamsize>(bytes), path.string(), ": cannot be read");
  return text;
}

}  // namespace lowvar
