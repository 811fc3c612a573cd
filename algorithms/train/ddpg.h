// Deep deterministic policy gradient (Silver et al. 2014; Lillicrap et al. 2016, algorithm 1): a
// deterministic policy climbs a learnt Q(s, a), off-policy, from a replay buffer.
#pragma once

#include "algorithms/train/training.h"

namespace lowvar {

struct DdpgOptions {
  int envs = 1;
  double gamma = 0.99;
  Truncation truncation = Truncation::bootstrap;  // or terminate: a time limit is the end of the world
  double reward_scale = 1;                        // what learners see; returns are reported unscaled

  std::vector<int> hidden = {128, 128};
  Activation activation = Activation::relu;

  int buffer = 1'000'000;  // transitions kept; the oldest go first
  int batch = 128;
  int warmup = 1000;     // steps with uniformly random actions before learning begins
  int update_every = 1;  // steps of each environment between updates
  int updates = 1;       // at a time
  int policy_every = 1;  // updates of the critic for one of the policy and the targets

  Noise noise = Noise::gaussian;  // or of Ornstein and Uhlenbeck, correlated in time
  double noise_std = 0.1;         // in units of half the range of an action's component
  double ou_theta = 0.15;         // how fast OU noise forgets, a step

  double learning_rate = 1e-3;
  double critic_learning_rate = 1e-3;
  CriticLoss critic_loss = CriticLoss::mse;
  double tau = 0.005;  // the targets move by this part of the way, each update

  template <class F>
  void visit(F&& f) {
    f("envs", envs), f("gamma", gamma), f("truncation", truncation), f("reward_scale", reward_scale);
    f("hidden", hidden), f("activation", activation);
    f("buffer", buffer), f("batch", batch), f("warmup", warmup), f("update_every", update_every);
    f("updates", updates), f("policy_every", policy_every);
    f("noise", noise), f("noise_std", noise_std), f("ou_theta", ou_theta);
    f("learning_rate", learning_rate), f("critic_learning_rate", critic_learning_rate);
    f("critic_loss", critic_loss), f("tau", tau);
  }
};

DdpgOptions ddpg_recipe(const World& world);
/// Throws Error naming the first option that is wrong.
void check(const DdpgOptions& options, const World& world);

/// In float. The policy that it gives is a Gaussian around the deterministic one, of the exploration noise's
/// standard deviation.
std::unique_ptr<Algorithm> algorithm(const DdpgOptions& options);

}  // namespace lowvar
