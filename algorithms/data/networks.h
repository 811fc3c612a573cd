// The networks and the policies that suit a world.
#pragma once

#include <vector>

#include "envs/states.h"
#include "nn/policy.h"

namespace lowvar {

/// What a network is made of, whatever it looks at.
struct Layers {
  std::vector<Filters> filters = {};  // of images
  std::vector<int> hidden = {64, 64};
  Activation activation = Activation::tanh;
};

/// Where nothing else is said: two layers of 64 with tanh; or for images, with relu, those of Mnih et al.
/// 2015 where they are as large as theirs, and of Young & Tian 2019 where they are small.
Layers suitable_layers(const Spaces& world);

/// A network of the world's observations. Throws Error where filters do not fit them.
Model network(const Spaces& world, const Layers& layers, int outputs, double output_gain);

/// How many numbers a policy gives where it acts in the world: logits, or means.
int policy_numbers(const Spaces& world);
/// The policy that acts by them.
Policy policy_by(const Spaces& world, Model model);

}  // namespace lowvar
