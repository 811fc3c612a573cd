// Many copies of a world stepped at once, behind one face: what trainers collect from and are evaluated in.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "envs/vector_env.h"

namespace lowvar {

/// n environments with autoreset in the same step (see VectorEnv). An observation is what a Model looks at:
/// the state's number for tabular worlds, the observation of others.
class Stepper {
 public:
  virtual int size() const = 0;
  /// Of the world's actions one each: numbers of choices, or rows of `vectors` [n x m], clipped to the
  /// world's bounds unless it means any action.
  virtual void step(std::span<const int> choices, const Array<double>& vectors) = 0;
  virtual const Array<float>& observation() const = 0;        // [n x p]
  virtual const Array<float>& final_observation() const = 0;  // [n x p], where an episode has just ended
  virtual std::span<const double> reward() const = 0;
  virtual std::span<const char> terminated() const = 0;
  virtual std::span<const char> truncated() const = 0;
  virtual ~Stepper() = default;
};

/// Whether E means any vector, and its bounds are only for those who draw one.
template <class E>
inline constexpr bool any_action = requires {
  requires E::any_action;
};

template <Environment E>
class StepperOf final : public Stepper {
 public:
  StepperOf(E env, int n, int T, std::uint64_t seed, std::string_view stream)
      : environments_(std::move(env), n, T, seed, stream), actions_(static_cast<std::size_t>(n)) {}

  int size() const override { return environments_.size(); }
  void step(std::span<const int> choices, const Array<double>& vectors) override {
    for (std::size_t i = 0; i < actions_.size(); ++i) {
      if constexpr (DiscreteEnvironment<E>) {
        actions_[i] = choices[i];
      } else {
        const auto from = row(vectors, static_cast<int>(i));
        for (std::size_t j = 0; j < from.size(); ++j)
          actions_[i][j] = any_action<E> ? from[j] : std::clamp(from[j], E::action_low[j], E::action_high[j]);
      }
    }
    environments_.step(actions_);
  }
  const Array<float>& observation() const override { return environments_.observation(); }
  const Array<float>& final_observation() const override { return environments_.final_observation(); }
  std::span<const double> reward() const override { return environments_.reward(); }
  std::span<const char> terminated() const override { return environments_.terminated(); }
  std::span<const char> truncated() const override { return environments_.truncated(); }

 private:
  VectorEnv<E> environments_;
  std::vector<typename E::Action> actions_;
};

/// n copies with time limit T, whose randomness is that of streams `stream` of `seed`.
using MakeStepper =
    std::function<std::unique_ptr<Stepper>(int n, int T, std::uint64_t seed, std::string_view stream)>;

template <Environment E>
MakeStepper stepper_of(E env) {
  return [env](int n, int T, std::uint64_t seed, std::string_view stream) -> std::unique_ptr<Stepper> {
    return std::make_unique<StepperOf<E>>(env, n, T, seed, stream);
  };
}

}  // namespace lowvar
