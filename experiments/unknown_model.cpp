// Worlds of which only samples are known: policies are networks, and there is no oracle.
#include "algorithms/data/networks.h"
#include "experiments/models.h"

namespace lowvar {
namespace {

std::string unsuitable(const World& world, const Policy&, const Parameters&) {
  return world.id + " has no exact model";
}

PolicyChoice policy(const World& world, const std::string& spec) {
  const Policy pi = policy_by(world, network(world, suitable_layers(world), policy_numbers(world), 0.01));
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
