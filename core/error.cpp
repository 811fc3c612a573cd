#include "core/error.h"

#include <cstdio>

namespace lowvar::detail {

void append_text(std::string& out, std::string_view s) { out += s; }
void append_text(std::string& out, long long x) { out += std::to_string(x); }
void append_text(std::string& out, unsigned long long x) { out += std::to_string(x); }

void append_text(std::string& out, double x) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.9g", x);
  out += buffer;
}

constinit thread_local std::source_location called_from;

void append_text(std::string& out, const std::source_location& own) {
  const std::source_location& at = called_from.line() == 0 ? own : called_from;
  out += " (";
  out += at.file_name();
  out += ":";
  append_text(out, at.line());
  out += ")";
}

}  // namespace lowvar::detail
