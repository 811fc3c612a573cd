// Locomotion on MuJoCo (Todorov et al. 2012): the worlds of Gymnasium, version 5, and version 4 where it
// differs (Towers et al. 2024). A page each: hopper.cpp and those beside it. Built where the engine is found
// (LOWVAR_MUJOCO).
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "envs/env.h"

struct mjData_;  // of the engine
struct mjModel_;

namespace lowvar {

/// The engine's memory for one thread to work in.
class MujocoScratch {
 public:
  explicit MujocoScratch(mjData_* data) : data_(data) {}
  mjData_* get() const { return data_.get(); }

 private:
  struct Delete {
    void operator()(mjData_* data) const;
  };
  std::unique_ptr<mjData_, Delete> data_;
};

/// A capsule of a model, or a sphere, whose ends are one.
struct Solid {
  std::array<double, 3> from, to;  // in m
  double radius;
  int body;  // from 1 on
};

/// The model of one world, which many threads share. States are numbers, one after another: qpos, qvel, where
/// the solver of constraints begins (qacc_warmstart), and what the world keeps of the engine's last step.
/// They are all that what follows depends on.
///
/// Errors of the engine are Error; a simulation that leaves the finite numbers is a NumericalFault, where the
/// engine itself would begin again at its reference position without a word.
class MujocoModel {
 public:
  explicit MujocoModel(std::string_view id);
  ~MujocoModel();
  MujocoModel(const MujocoModel&) = delete;
  MujocoModel& operator=(const MujocoModel&) = delete;

  int observation() const;
  int T() const;
  std::vector<double> action_low() const, action_high() const;
  MujocoScratch scratch() const;
  /// The engine's own, for whoever steps it himself.
  const mjModel_* engine_model() const;

  std::vector<double> reset(Rng& rng, MujocoScratch& scratch) const;
  Step<std::vector<double>> step(const std::vector<double>& state, std::span<const double> action,
                                 MujocoScratch& scratch) const;
  void observe(const std::vector<double>& state, std::span<double> out) const;

  /// What a person reads and writes of a state: qpos, then qvel; of Ant also x and y from which its next
  /// velocity is measured.
  std::vector<double> numbers(const std::vector<double>& state) const;
  std::vector<double> state_of(std::span<const double> numbers) const;
  /// Where the solids of the robot are in a state of these numbers.
  std::vector<Solid> solids(std::span<const double> numbers) const;
  /// How many numbers a state is.
  int size() const;

 private:
  struct Loaded;
  std::unique_ptr<const Loaded> loaded_;
};

/// A world with n motors, as an Environment.
template <std::size_t n>
class Mujoco {
 public:
  using State = std::vector<double>;
  using Action = std::array<double, n>;
  using Observed = double;
  using Scratch = MujocoScratch;

  static constexpr double gamma = 0.99;
  static constexpr bool stochastic = false, dear = true;
  int observation, T;
  Action action_low, action_high;

  /// Throws Error where there is no such world, or where its motors are not n.
  explicit Mujoco(std::string_view id) : model_(std::make_shared<const MujocoModel>(id)) {
    observation = model_->observation();
    T = model_->T();
    const auto low = model_->action_low(), high = model_->action_high();
    expect(low.size() == n, id, " has ", low.size(), " motors, not ", n);
    std::copy(low.begin(), low.end(), action_low.begin());
    std::copy(high.begin(), high.end(), action_high.begin());
  }

  State reset(Rng& rng, Scratch& scratch) const { return model_->reset(rng, scratch); }
  Step<State> step(const State& state, const Action& action, Rng&, Scratch& scratch) const {
    return model_->step(state, action, scratch);
  }
  void observe(const State& state, std::span<double> out, Scratch&) const { model_->observe(state, out); }
  Scratch scratch() const { return model_->scratch(); }
  const mjModel_* engine_model() const { return model_->engine_model(); }

  std::vector<double> numbers(const State& state) const { return model_->numbers(state); }
  State state_of(std::span<const double> numbers) const { return model_->state_of(numbers); }
  void save(const State& state, std::vector<std::byte>& out) const {
    const auto bytes = std::as_bytes(std::span(state));
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  State load(std::span<const std::byte> bytes) const {
    State state(static_cast<std::size_t>(model_->size()));
    expect(bytes.size() == std::as_bytes(std::span(state)).size(), "a state is ", state.size(),
           " numbers of 8 bytes, got ", bytes.size(), " bytes");
    std::copy(bytes.begin(), bytes.end(), std::as_writable_bytes(std::span(state)).begin());
    return state;
  }

 private:
  std::shared_ptr<const MujocoModel> model_;
};

}  // namespace lowvar
