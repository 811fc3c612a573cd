// Worlds of which only samples are known: policies are networks, and there is no oracle.
#include "experiments/models.h"

namespace lowvar {
namespace {

std::string unsuitable(const World& world, const Policy&, const Parameters&) {
  return world.id + " has no exact model";
}

PolicyChoice policy(const World& world, const std::string& spec) {
  const int outputs = world.A ? world.A : world.m;
  const Policy pi{Mlp{.sizes = {world.observation, 64, 64, outputs}, .output_gain = 0.01},
                  world.A ? Head::softmax : Head::gaussian};
  auto rng = init_stream(spec == "reference" ? "init:0" : spec);
  if (!rng) refuse_policy(world, spec);
  return {pi, initialise(pi, *rng)};
}

}  // namespace

const WorldModel unknown_model = {
    .describes = [](const World&) { return true; },
    .policy = policy,
    .unsuitable = unsuitable,
    .critic = nullptr,
    .constants = nullptr,
    .exact_return = nullptr,
    .ask = nullptr,
};

}  // namespace lowvar
