// Array<T>, the one container, and how one is made and read.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>
#include <vector>
#include <xtensor/xtensor.hpp>

#include "core/shape.h"

namespace lowvar {

template <class T>
Array<T> full(int rows, int cols, T value) {
  expect(rows >= 0 && cols >= 0, "there is no array of shape ", Shape{rows, cols});
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
