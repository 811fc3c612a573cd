// An importance weight from outside (docs/llm.md).
#pragma once

#include <cmath>

#include "algorithms/estimators/groups.h"

namespace lowvar {

// [an importance weight]
/// DAPO's clip from above alone: what is to become less likely goes on as far as it likes.
ImportanceWeight clip_above() {
  return {.pattern = "+clip-above:HI",
          .example = "+clip-above:0.28",
          .equation = "r_t, but 0 where A > 0 and r_t > 1 + HI",
          .source = "tests/outside",
          .bias = "a token is weighed by its own ratio, and clipped ones have no slope",
          .w =
              [](auto log_rho, auto psi, auto HI, auto w) {
                for (std::size_t t = 0; t < w.size(); ++t) {
                  const double r = std::exp(log_rho[t]);
                  w[t] = psi[t] > 0 && r > 1 + HI[0] ? 0 : r;
                }
              },
          .arguments = {{.valid = [](double HI) { return HI > 0; }}},
          .rule = "HI must be a positive number"};
}
// [an importance weight]

}  // namespace lowvar
