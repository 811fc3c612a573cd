// Errors as sentences: what was wrong, where, what would be right.
#pragma once

#include <concepts>
#include <cstdio>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

namespace lowvar {

/// Bad input: a caller's shape, name, number or file. The command line turns it into exit code 2.
struct Error : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// A NaN or infinity where the computation needs a number. The command line turns it into exit code 3.
struct NumericalFault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

namespace detail {
inline std::string text(std::string_view s) { return std::string(s); }
inline std::string text(std::integral auto x) { return std::to_string(x); }
inline std::string text(std::floating_point auto x) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.9g", static_cast<double>(x));
  return buffer;
}
/// The line of a call: " (file:line)".
inline std::string text(const std::source_location& at) {
  return " (" + std::string(at.file_name()) + ":" + std::to_string(at.line()) + ")";
}
}  // namespace detail

/// The parts, one after another: strings as they are, numbers in their shortest usual form, other things by
/// their own `text`. They become strings here, so that a check that holds costs nothing.
template <class... Parts>
std::string join(const Parts&... parts) {
  using detail::text;
  std::string out;
  (out.append(text(parts)), ...);
  return out;
}

/// Throws Error with the joined parts unless `condition` holds.
template <class... Parts>
void expect(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    throw Error(join(parts...));
}

}  // namespace lowvar
