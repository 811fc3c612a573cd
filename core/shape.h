// What an Array is called and what shape it has, without its definition: who only names arrays need not wait
// for xtensor. array.h defines it.
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <xtensor/xtensor_forward.hpp>

#include "core/error.h"

namespace lowvar {

/// The one container. Rows are samples, columns are features, a scalar is 1x1. Row-major, contiguous.
template <class T>
using Array = xt::xtensor<T, 2>;

struct Shape {
  int rows = 0;
  int cols = 0;
  std::size_t size() const { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols); }
  bool operator==(const Shape&) const = default;
};

/// "256x64".
inline std::string text(Shape s) { return join(s.rows, "x", s.cols); }

/// So many rows, or columns; throws where an int does not hold them.
inline int side(std::size_t n) {
  constexpr int most = std::numeric_limits<int>::max();
  expect(n <= static_cast<std::size_t>(most), n, " rows or columns: an array has at most ", most, " of each");
  return static_cast<int>(n);
}

/// Images in rows, channels last: pixel (i, j) has its channel c in column (i * width + j) * channels + c.
struct ImageShape {
  int height = 0, width = 0, channels = 0;
  int size() const { return height * width * channels; }
  bool operator==(const ImageShape&) const = default;
};

/// "84x84x4".
inline std::string text(ImageShape s) { return join(s.height, "x", s.width, "x", s.channels); }

template <class T>
Shape shape(const Array<T>& a) {
  return {side(a.shape(0)), side(a.shape(1))};
}

}  // namespace lowvar
