// What a trainer can be told, by piece: the batch, the networks, the objective, the update, the critic. A
// page (ppo.cpp, ...) takes the pieces that it has. Each option is named once, in `visit`; files, flags,
// manifests and error messages know it from there.
#pragma once

#include <array>
#include <functional>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "algorithms/data/networks.h"
#include "algorithms/data/world.h"
#include "algorithms/estimators/gradient.h"

namespace lowvar {

// ---- Choices, and their names at the border ----

enum class Truncation { bootstrap, terminate };
enum class Initialisation { orthogonal, uniform };
enum class Precision { float32, float64 };
enum class SurrogateKind { own, ratio };
enum class Advantages { raw, standardised };
enum class Optimiser { adam, sgd, rmsprop };
enum class CriticKind { none, value, action_value };
enum class Noise { gaussian, ou };
enum class ReaderKind { none, gru, attention };

constexpr auto names_of(Truncation) { return std::array{"bootstrap", "terminate"}; }
constexpr auto names_of(Activation) { return std::array{"tanh", "relu"}; }
constexpr auto names_of(Initialisation) { return std::array{"orthogonal", "uniform"}; }
constexpr auto names_of(Precision) { return std::array{"float", "double"}; }
constexpr auto names_of(SurrogateKind) { return std::array{"own", "ratio"}; }
constexpr auto names_of(Advantages) { return std::array{"raw", "standardised"}; }
constexpr auto names_of(Reduce) { return std::array{"row", "trajectory"}; }
constexpr auto names_of(Optimiser) { return std::array{"adam", "sgd", "rmsprop"}; }
constexpr auto names_of(CriticKind) { return std::array{"none", "value", "action-value"}; }
constexpr auto names_of(CriticLoss) { return std::array{"mse", "huber"}; }
constexpr auto names_of(Noise) { return std::array{"gaussian", "ou"}; }
constexpr auto names_of(ReaderKind) { return std::array{"none", "gru", "attention"}; }

/// A choice as whoever reads text sees it.
struct ChoiceRef {
  std::vector<std::string> names;
  std::function<std::size_t()> get;
  std::function<void(std::size_t)> set;
};
using OptionRef = std::variant<double*, int*, long*, bool*, std::string*, std::vector<int>*, ChoiceRef>;

template <class X>
OptionRef option_ref(X& x) {
  if constexpr (std::is_enum_v<X>) {
    constexpr auto names = names_of(X{});
    return ChoiceRef{{names.begin(), names.end()},
                     [&x] { return static_cast<std::size_t>(x); },
                     [&x](std::size_t k) { x = static_cast<X>(k); }};
  } else {
    return &x;
  }
}

// ---- The pieces ----

struct BatchOptions {
  int envs = 8;           // environments side by side
  int rollout = 128;      // steps of each between updates
  int episodes = 0;       // whole episodes between updates instead, if not 0
  long max_episodes = 0;  // stop after so many, if not 0
  double gamma = 0.99;
  Truncation truncation = Truncation::bootstrap;  // or terminate: a time limit is the end of the world
  double reward_scale = 1;                        // what learners see; returns are reported unscaled
  bool normalise_observations = false;            // by mean and deviation of all batches before
  double observation_limit = 10;                  // that normalised ones are held within, if not 0
  bool normalise_rewards = false;                 // by the deviation of running discounted returns
  double reward_limit = 10;                       // that normalised ones are held within, if not 0
  double reward_kl = 0;  // of log pi/reference of each token, taken from its reward, in a sequence world

  /// Steps of a batch of rollouts.
  long steps() const { return static_cast<long>(envs) * rollout; }

  template <class F>
  void visit(F&& f) {
    f("envs", envs), f("rollout", rollout), f("episodes", episodes), f("max_episodes", max_episodes);
    f("gamma", gamma), f("truncation", truncation), f("reward_scale", reward_scale);
    f("normalise_observations", normalise_observations), f("observation_limit", observation_limit);
    f("normalise_rewards", normalise_rewards), f("reward_limit", reward_limit);
    f("reward_kl", reward_kl);
  }
};

struct NetworkOptions {
  std::vector<int> convolutions = {};  // of images: filters, size and stride of each layer, one after another
  std::vector<int> hidden = {64, 64};
  Activation activation = Activation::tanh;
  Initialisation initialisation = Initialisation::orthogonal;  // or U(+-1/sqrt(inputs)), PyTorch's default
  double policy_gain = 0.01;                                   // of the policy's last layer, orthogonal
  double log_std = 0;                                          // of a Gaussian policy at the start
  Precision precision = Precision::float32;
  ReaderKind reader =
      ReaderKind::none;  // of a sequence world: a network, hidden[0] wide, in place of its table

  template <class F>
  void visit(F&& f) {
    f("convolutions", convolutions), f("hidden", hidden), f("activation", activation);
    f("initialisation", initialisation);
    f("policy_gain", policy_gain), f("log_std", log_std), f("precision", precision), f("reader", reader);
  }
};

/// With the layers that suit the world.
NetworkOptions networks_of(const World& world);
/// Throws Error where convolutions are not three numbers a layer.
Layers layers_of(const NetworkOptions& options);

struct ObjectiveOptions {
  std::string estimator = "gae:0.95+undiscounted";
  SurrogateKind surrogate = SurrogateKind::own;  // the estimator's own; or the importance weighted one
  Advantages advantages = Advantages::raw;       // or standardised in each minibatch
  Reduce reduce = Reduce::row;                   // mean over rows; or sum over a trajectory, mean over those
  double entropy_coefficient = 0;
  double loss_kl = 0;  // of the divergence from a sequence world's reference, in the loss,
  std::string loss_kl_variant = "k3-loss";  // as kl:VARIANT estimates its gradient

  template <class F>
  void visit(F&& f) {
    f("estimator", estimator), f("surrogate", surrogate), f("advantages", advantages), f("reduce", reduce);
    f("entropy_coefficient", entropy_coefficient), f("loss_kl", loss_kl);
    f("loss_kl_variant", loss_kl_variant);
  }
};

struct StepOptions {
  Optimiser update = Optimiser::adam;
  double learning_rate = 3e-4;
  bool anneal = false;  // what an update moves by falls linearly to 0
  double adam_epsilon = 1e-8;
  double max_gradient_norm = 0;  // of policy and critic together; 0: no limit

  template <class F>
  void visit(F&& f) {
    f("update", update), f("learning_rate", learning_rate), f("anneal", anneal);
    f("adam_epsilon", adam_epsilon), f("max_gradient_norm", max_gradient_norm);
  }
};

struct CriticOptions {
  CriticKind critic = CriticKind::value;
  double critic_lambda = 0.95;  // its target is the lambda-return
  CriticLoss critic_loss = CriticLoss::mse;
  double critic_coefficient = 0.5;  // of half the mean squared error
  double value_clip = 0;            // if not 0, PPO's clipped value loss
  double critic_learning_rate = 0;  // 0: that of the policy
  int critic_epochs = 0;  // of its own, after the policy's; 0: it learns in the policy's minibatches
  int critic_minibatches = 8;

  /// It learns in the policy's minibatches.
  bool joint() const { return critic != CriticKind::none && critic_epochs == 0; }

  template <class F>
  void visit(F&& f) {
    f("critic", critic), f("critic_lambda", critic_lambda), f("critic_loss", critic_loss);
    f("critic_coefficient", critic_coefficient), f("value_clip", value_clip);
    f("critic_learning_rate", critic_learning_rate), f("critic_epochs", critic_epochs);
    f("critic_minibatches", critic_minibatches);
  }
};

/// What every on-policy page has.
struct OnPolicyOptions {
  BatchOptions batch;
  NetworkOptions networks;
  ObjectiveOptions objective;
  StepOptions step;
  CriticOptions critic;

  template <class F>
  void visit(F&& f) {
    batch.visit(f), networks.visit(f), objective.visit(f), step.visit(f), critic.visit(f);
  }
};

/// Throws Error naming the first option that is wrong, contradicts another, or that no training in this world
/// can follow.
void check(const OnPolicyOptions& options, const World& world);

// ---- Checks of numbers; each names the first that is wrong ----

using Numbers = std::initializer_list<std::pair<const char*, double>>;

/// Widths of layers: at least 1, and fewer than 1e7 weights between them.
void check_hidden(const std::vector<int>& hidden);
void at_least_one(Numbers options);
void from_zero_to_one(Numbers options);
void positive(Numbers options);
void not_negative(Numbers options);
void at_most(double most, Numbers options);

}  // namespace lowvar
