// What reads bytes from outside, as functions of any bytes. Error and NumericalFault are answers; all else
// that comes out of one, a crash, or a long wait, is a fault of the program.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lowvar::fuzz {

struct Target {
  std::string name;
  void (*read)(const std::string& bytes);
  std::vector<std::string> (*seeds)();  // well-formed bytes, to begin with
};
const std::vector<Target>& targets();

/// Reads the bytes; returns what was answered, or "" where they are fine.
std::string answer(const Target& target, const std::string& bytes);

}  // namespace lowvar::fuzz
