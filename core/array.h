// Array<T>: the one container. Rows are samples, columns are features, a scalar is 1x1. Row-major,
// contiguous.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>
#include <xtensor/xtensor.hpp>

#include "core/error.h"

namespace lowvar {

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

template <class T>
Shape shape(const Array<T>& a) {
  return {static_cast<int>(a.shape(0)), static_cast<int>(a.shape(1))};
}

template <class T>
Array<T> full(int rows, int cols, T value) {
  return Array<T>(std::array<std::size_t, 2>{static_cast<std::size_t>(rows), static_cast<std::size_t>(cols)},
                  value);
}

template <class T>
Array<T> zeros(int rows, int cols) {
  return full(rows, cols, T(0));
}

template <class T>
Array<T> zeros_like(const Array<T>& a) {
  return zeros<T>(shape(a).rows, shape(a).cols);
}

/// An array of the given shape from row-major numbers, of which there must be rows * cols.
template <class T>
Array<T> from_values(int rows, int cols, std::span<const T> values) {
  expect(values.size() == Shape{rows, cols}.size(), "array of shape ", Shape{rows, cols}, " needs ",
         Shape{rows, cols}.size(), " numbers, got ", values.size());
  Array<T> out = zeros<T>(rows, cols);
  std::copy(values.begin(), values.end(), out.data());
  return out;
}

template <class T>
std::span<const T> values(const Array<T>& a) {
  return {a.data(), a.size()};
}

template <class T>
std::span<T> values(Array<T>& a) {
  return {a.data(), a.size()};
}

/// Row r as a span of cols numbers.
template <class T>
std::span<const T> row(const Array<T>& a, int r) {
  return {a.data() + static_cast<std::size_t>(r) * a.shape(1), a.shape(1)};
}

template <class T>
std::span<T> row(Array<T>& a, int r) {
  return {a.data() + static_cast<std::size_t>(r) * a.shape(1), a.shape(1)};
}

}  // namespace lowvar
