// The on-policy trainers: REINFORCE with and without a baseline, Q actor-critic, A2C, natural gradient, TRPO,
// PPO and PPO with a KL penalty are one loop with different pieces. Each update
//   collects a batch with the policy, weighs its steps with an Estimator (the one that is measured), and
//   follows the gradient of the estimator's surrogate and of the critic's loss.
#pragma once

#include <string>

#include "algorithms/estimators/estimator.h"
#include "algorithms/train/training.h"

namespace lowvar {

/// Every choice there is; docs/algorithms/options.md lists them, and the page of an algorithm says where its
/// come from.
struct OnPolicyOptions {
  // The batch.
  int envs = 8;           // environments side by side
  int rollout = 128;      // steps of each between updates
  int episodes = 0;       // whole episodes between updates instead, if not 0
  long max_episodes = 0;  // stop after so many, if not 0
  double gamma = 0.99;
  std::string truncation = "bootstrap";  // or terminate: a time limit counts as the end of the world
  double reward_scale = 1;               // what learners see; returns are reported unscaled
  bool normalise_observations = false;   // by mean and deviation of all batches before
  bool normalise_rewards = false;        // by the deviation of running discounted returns

  // The networks.
  std::vector<int> hidden = {64, 64};
  std::string activation = "tanh";
  std::string initialisation = "orthogonal";  // or uniform: U(+-1/sqrt(inputs)), PyTorch's default
  double policy_gain = 0.01;                  // of the policy's last layer, orthogonal
  double log_std = 0;                         // of a Gaussian policy at the start
  std::string precision = "float";            // or double

  // The policy's gradient.
  std::string estimator = "gae:0.95+undiscounted";
  std::string surrogate = "own";   // the estimator's own; or ratio: importance weighted
  std::string advantages = "raw";  // or standardised: in each minibatch, mean 0 and standard deviation 1
  std::string reduce = "row";      // mean over rows; or trajectory: sum over a trajectory, mean over those
  double entropy_coefficient = 0;
  double kl_coefficient = 0;  // of mean KL(before || policy)
  double kl_target = 0;       // if not 0, the coefficient doubles above 1.5 times it and halves below 1/1.5
  double kl_stop = 0;         // if not 0, an update ends when the mean KL exceeds it

  // The update.
  std::string update = "adam";  // or sgd, rmsprop, natural, trust-region
  int epochs = 1;
  int minibatches = 1;
  double learning_rate = 3e-4;
  bool anneal = false;  // the learning rate, and kl_step, fall linearly to 0
  double adam_epsilon = 1e-8;
  double max_gradient_norm = 0;  // of policy and critic together; 0: no limit
  double kl_step = 0.01;         // natural and trust-region: mean KL of the step
  int cg_iterations = 10;
  double cg_damping = 0.1;

  int workers = 0;  // if not 0, so many threads run this loop at once, asynchronously, on shared parameters

  // The critic.
  std::string critic = "value";     // or none, action-value
  double critic_lambda = 0.95;      // its target is the lambda-return
  std::string critic_loss = "mse";  // or huber
  double critic_coefficient = 0.5;  // of half the mean squared error
  double value_clip = 0;            // if not 0, PPO's clipped value loss
  double critic_learning_rate = 0;  // 0: that of the policy
  int critic_epochs = 0;  // of its own, after the policy's; 0: it learns in the policy's minibatches
  int critic_minibatches = 8;

  template <class F>
  void visit(F&& f) {
    f("envs", envs), f("rollout", rollout), f("episodes", episodes), f("max_episodes", max_episodes);
    f("gamma", gamma), f("truncation", truncation), f("reward_scale", reward_scale);
    f("normalise_observations", normalise_observations), f("normalise_rewards", normalise_rewards);
    f("hidden", hidden), f("activation", activation), f("initialisation", initialisation);
    f("policy_gain", policy_gain), f("log_std", log_std), f("precision", precision);
    f("estimator", estimator), f("surrogate", surrogate), f("advantages", advantages), f("reduce", reduce);
    f("entropy_coefficient", entropy_coefficient), f("kl_coefficient", kl_coefficient);
    f("kl_target", kl_target), f("kl_stop", kl_stop);
    f("update", update), f("epochs", epochs), f("minibatches", minibatches);
    f("learning_rate", learning_rate), f("anneal", anneal), f("adam_epsilon", adam_epsilon);
    f("max_gradient_norm", max_gradient_norm), f("kl_step", kl_step), f("cg_iterations", cg_iterations);
    f("cg_damping", cg_damping), f("workers", workers);
    f("critic", critic), f("critic_lambda", critic_lambda), f("critic_loss", critic_loss);
    f("critic_coefficient", critic_coefficient), f("value_clip", value_clip);
    f("critic_learning_rate", critic_learning_rate), f("critic_epochs", critic_epochs);
    f("critic_minibatches", critic_minibatches);
  }
};

/// Throws Error naming the first option that is wrong, or that contradicts another.
void check(const OnPolicyOptions& options, const World& world);

/// Learns for `steps` environment steps: the last update is of the last whole batch. Every random number is a
/// function of the seed. With several workers (A3C, Mnih et al. 2016, algorithm S3) it is so for each worker,
/// but what they write to the shared parameters depends on timing; one worker is as good as none, and has the
/// same bits each time.
Learned train(const World& world, const OnPolicyOptions& options, long steps, std::uint64_t seed,
              const Watcher& watcher);

}  // namespace lowvar
