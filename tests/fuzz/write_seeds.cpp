// fuzz_seeds DIRECTORY: what each target begins with, a file each in DIRECTORY/TARGET.
#include <filesystem>
#include <fstream>

#include "tests/fuzz/targets.h"

int main(int, char** argv) {
  for (const auto& target : lowvar::fuzz::targets()) {
    const auto directory = std::filesystem::path(argv[1]) / target.name;
    std::filesystem::create_directories(directory);
    int k = 0;
    for (const std::string& seed : target.seeds())
      std::ofstream(directory / std::to_string(k++), std::ios::binary) << seed;
  }
}
