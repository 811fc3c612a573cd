// Arrays that tests are run on.
#pragma once

#include <string_view>

#include "core/array.h"
#include "core/random.h"

namespace lowvar {

/// Standard normal numbers, others for each name.
template <class T = double>
Array<T> random_array(int rows, int cols, std::string_view name) {
  Rng rng(3, name);
  Array<T> out = zeros<T>(rows, cols);
  for (T& v : values(out)) v = static_cast<T>(rng.normal());
  return out;
}

}  // namespace lowvar
