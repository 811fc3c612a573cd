// Checks of options; each names the first that is wrong.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"

namespace lowvar {

inline void one_of(const char* key, const std::string& value, std::initializer_list<const char*> known) {
  std::string list;
  for (const char* each : known) {
    if (value == each) return;
    list += (list.empty() ? "" : ", ") + std::string(each);
  }
  throw Error(join(key, " must be one of ", list, "; got '", value, "'"));
}

using Numbers = std::initializer_list<std::pair<const char*, double>>;

inline void check_hidden(const std::vector<int>& hidden) {
  for (const int width : hidden) expect(width >= 1, "hidden layers must be at least 1 wide, got ", width);
}

inline void at_least_one(Numbers options) {
  for (const auto& [key, value] : options) expect(value >= 1, key, " must be at least 1, got ", value);
}
inline void from_zero_to_one(Numbers options) {
  for (const auto& [key, value] : options)
    expect(value >= 0 && value <= 1, key, " must be from 0 to 1, got ", value);
}
inline void positive(Numbers options) {
  for (const auto& [key, value] : options) expect(value > 0, key, " must be positive, got ", value);
}
inline void not_negative(Numbers options) {
  for (const auto& [key, value] : options) expect(value >= 0, key, " must not be negative, got ", value);
}

}  // namespace lowvar
