// What the trainers' losses and options have in common.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>

#include "autograd/autograd.h"

namespace lowvar {

/// x^2 / 2 within [-1, 1], |x| - 1/2 outside (Huber 1964).
template <class T>
Var<T> huber(Var<T> x) {
  const Var<T> inner = clip(x, -1, 1);
  return inner * (x - inner * T(0.5));
}

/// The columns of a, then those of b.
template <class T>
Var<T> beside(Var<T> a, Var<T> b) {
  const int n = a.rows(), cols = a.cols() + b.cols();
  std::vector<int> from(static_cast<std::size_t>(n)), to(from.size());
  Var<T> out;
  for (int j = 0; j < cols; ++j) {
    const bool first = j < a.cols();
    std::fill(from.begin(), from.end(), first ? j : j - a.cols());
    std::fill(to.begin(), to.end(), j);
    const Var<T> column = place(pick(first ? a : b, from), to, cols);
    out = j == 0 ? column : out + column;
  }
  return out;
}

// Checks of options; each names the first that is wrong.

inline void one_of(const char* key, const std::string& value, std::initializer_list<const char*> known) {
  std::string list;
  for (const char* each : known) {
    if (value == each) return;
    list += (list.empty() ? "" : ", ") + std::string(each);
  }
  throw Error(join(key, " must be one of ", list, "; got '", value, "'"));
}

using Numbers = std::initializer_list<std::pair<const char*, double>>;

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
