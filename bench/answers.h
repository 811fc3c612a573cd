// What ways of computing one thing answer, and whether they agree.
#pragma once

#include <cmath>
#include <vector>

#include "core/array.h"
#include "core/error.h"

namespace lowvar {

using FloatArrays = std::vector<Array<float>>;

template <class T>
std::vector<double> flat(const std::vector<Array<T>>& arrays) {
  std::vector<double> out;
  for (const auto& each : arrays) out.insert(out.end(), each.begin(), each.end());
  return out;
}

/// Throws unless |a - b| is at most `tolerance` of |b|.
inline void must_agree(const char* what, const std::vector<double>& a, const std::vector<double>& b,
                       double tolerance) {
  expect(a.size() == b.size(), what, ": ", a.size(), " numbers against ", b.size());
  double off = 0, size = 0;
  for (std::size_t i = 0; i < b.size(); ++i) off += (a[i] - b[i]) * (a[i] - b[i]), size += b[i] * b[i];
  expect(std::sqrt(off / size) <= tolerance, what, ": the answers differ by ", std::sqrt(off / size),
         " of their size");
}

}  // namespace lowvar
