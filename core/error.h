// Errors as sentences: what was wrong, where, what would be right.
#pragma once

#include <concepts>
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

// Out of line, for every check in every file names some of them.
void append_text(std::string& out, std::string_view s);
void append_text(std::string& out, long long x);
void append_text(std::string& out, unsigned long long x);
void append_text(std::string& out, double x);
/// The line of a call, or of the CalledFrom that is alive: " (file:line)".
void append_text(std::string& out, const std::source_location& at);
inline void append_text(std::string& out, std::signed_integral auto x) {
  append_text(out, static_cast<long long>(x));
}
inline void append_text(std::string& out, std::unsigned_integral auto x) {
  append_text(out, static_cast<unsigned long long>(x));
}
template <class X>
requires requires(const X& x) { text(x); }
void append_text(std::string& out, const X& x) { append_text(out, text(x)); }

}  // namespace detail

/// The parts, one after another: strings as they are, numbers in their shortest usual form, other things by
/// their own `text`. They become strings here, so that a check that holds costs nothing.
template <class... Parts>
[[gnu::cold]] std::string join(const Parts&... parts) {
  std::string out;
  (detail::append_text(out, parts), ...);
  return out;
}

/// Throws Error with the joined parts.
template <class... Parts>
[[noreturn, gnu::cold, gnu::noinline]] void fail(const Parts&... parts) {
  throw Error(join(parts...));
}

/// The same unless `condition` holds.
template <class... Parts>
void expect(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    fail(parts...);
}

namespace detail {
extern constinit thread_local std::source_location called_from;  // line 0: no CalledFrom is alive
}

/// While one lives, whatever fails on this thread names its line: what is composed of operations has one, and
/// errors name the line of its caller, not one inside it. The outermost counts.
class [[nodiscard]] CalledFrom {
 public:
  explicit CalledFrom(const std::source_location& at) : outermost_(detail::called_from.line() == 0) {
    if (outermost_) detail::called_from = at;
  }
  ~CalledFrom() {
    if (outermost_) detail::called_from = {};
  }
  CalledFrom(const CalledFrom&) = delete;
  CalledFrom& operator=(const CalledFrom&) = delete;

 private:
  bool outermost_;
};

}  // namespace lowvar
