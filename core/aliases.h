// States that share a row of a table.
#pragma once

#include <vector>

namespace lowvar {

/// Which of `rows` rows of numbers each of S states looks at.
struct Aliases {
  int rows = 0;
  std::vector<int> of;  // [S]
};

}  // namespace lowvar
