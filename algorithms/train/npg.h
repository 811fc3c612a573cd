// Natural policy gradient of a fixed KL step (Kakade 2001).
#pragma once

#include "algorithms/train/natural.h"

namespace lowvar {

struct NpgOptions : NaturalOptions {};

NpgOptions npg_recipe(const World& world);

std::unique_ptr<Algorithm> algorithm(const NpgOptions& options);

}  // namespace lowvar
