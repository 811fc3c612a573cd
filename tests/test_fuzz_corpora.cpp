// What the fuzz targets begin with, what was once found, and damaged copies of both: an answer, or a
// sentence.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "core/random.h"
#include "tests/fuzz/targets.h"

namespace lowvar::fuzz {
namespace {

/// What commands print goes nowhere while one lives.
class Silence {
 public:
  Silence() {
    std::fflush(stdout), std::fflush(stderr);
    const int nothing = ::open("/dev/null", O_WRONLY);
    for (const int k : {1, 2}) kept_[k - 1] = ::dup(k), ::dup2(nothing, k);
    ::close(nothing);
  }
  ~Silence() {
    std::fflush(stdout), std::fflush(stderr);
    for (const int k : {1, 2}) ::dup2(kept_[k - 1], k), ::close(kept_[k - 1]);
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  int kept_[2];
};

/// Files of tests/fuzz/found/TARGET.
std::vector<std::string> found(const Target& target) {
  std::vector<std::string> out;
  const std::filesystem::path directory =
      std::filesystem::path(LOWVAR_SOURCE_DIR) / "tests/fuzz/found" / target.name;
  if (!std::filesystem::exists(directory)) return out;
  for (const auto& each : std::filesystem::directory_iterator(directory)) {
    std::ifstream in(each.path(), std::ios::binary);
    out.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return out;
}

std::string answer_in_silence(const Target& target, const std::string& bytes) {
  const Silence silence;
  return answer(target, bytes);
}

TEST(FuzzCorpora, SeedsAreWellFormed) {
  for (const Target& target : targets())
    for (const std::string& seed : target.seeds())
      EXPECT_EQ(answer_in_silence(target, seed), "") << target.name;
}

TEST(FuzzCorpora, WhatWasFoundHasAnAnswer) {
  for (const Target& target : targets())
    for (const std::string& bytes : found(target))
      EXPECT_NO_THROW(answer_in_silence(target, bytes)) << target.name << "\n" << bytes;
}

TEST(FuzzCorpora, DamagedBytesHaveAnAnswer) {
  constexpr int copies = 500;
  for (const Target& target : targets()) {
    Rng rng(0, "damage");
    int refused = 0;
    for (const std::string& seed : target.seeds())
      for (int k = 0; k < copies; ++k) {
        std::string bytes = seed;
        const auto anywhere = [&] {
          return static_cast<std::size_t>(rng.uniform() * static_cast<double>(bytes.size()));
        };
        if (k % 2)
          bytes.resize(anywhere());
        else
          bytes[anywhere()] = static_cast<char>(static_cast<int>(rng.uniform() * 256));
        EXPECT_NO_THROW(refused += !answer_in_silence(target, bytes).empty()) << target.name << "\n" << bytes;
      }
    const bool prints = target.name == "command_line" || target.name == "replay";  // its refusals
    EXPECT_TRUE(prints || refused > copies / 10) << target.name << ": " << refused;
  }
}

TEST(FuzzCorpora, AFaultIsNoAnswer) {
  EXPECT_THROW(
      answer({"faulty", [](const std::string& bytes) { static_cast<void>(bytes.at(0)); }, nullptr}, ""),
      std::out_of_range);
}

}  // namespace
}  // namespace lowvar::fuzz
