// Trust region policy optimisation (Schulman et al. 2015).
#pragma once

#include "algorithms/train/natural.h"

namespace lowvar {

struct TrpoOptions : NaturalOptions {};

TrpoOptions trpo_recipe(const World& world);

std::unique_ptr<Algorithm> algorithm(const TrpoOptions& options);

}  // namespace lowvar
