// What a world on MuJoCo says of itself. hopper.cpp and those beside it are pages; mujoco.cpp turns them.
#pragma once

#include <mujoco/mujoco.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "core/random.h"

namespace lowvar {

/// What a world sees of a state: qpos, qvel, and what it keeps of the engine's last evaluation. Positions of
/// bodies and forces of constraints are those of the last stage of the Runge-Kutta step, or of before
/// Euler's: close to those at qpos, not equal, and as Gymnasium reads them.
struct Seen {
  std::span<const double> qpos, qvel, kept;
};

struct Outcome {
  double reward;
  bool terminated;
};

struct MujocoPage {
  std::string mjcf;  // the model
  int frame_skip;    // steps of the engine a step of the world
  int T;
  int observation;

  /// Adds the noise of a start to qpos and qvel, which are those of the model's reference position.
  void (*start)(std::span<double> qpos, std::span<double> qvel, Rng& rng);
  void (*observe)(const Seen& s, std::span<double> out);
  /// Of a step that takes dt seconds.
  Outcome (*outcome)(const Seen& before, const Seen& after, std::span<const double> action, double dt);

  int kept = 0;          // how many numbers are kept
  int numbers_kept = 0;  // of which the first so many belong to a state to read and write
  /// Writes them, after a step or a start.
  void (*keep)(const mjModel& m, const mjData& d, std::span<double> kept) = nullptr;
  bool contact_forces = false;  // the engine computes cfrc_ext, forces on bodies
};

// The worlds, in version 4 or 5.
MujocoPage ant(int version);
MujocoPage half_cheetah();
MujocoPage hopper(int version);
MujocoPage inverted_double_pendulum(int version);
MujocoPage inverted_pendulum(int version);
MujocoPage reacher(int version);
MujocoPage swimmer();
MujocoPage walker2d(int version);

// Words of the pages.

/// x_i + U(-scale, scale).
inline void add_uniform(std::span<double> x, double scale, Rng& rng) {
  for (double& each : x) each += rng.uniform(-scale, scale);
}
/// x_i + N(0, scale^2).
inline void add_normal(std::span<double> x, double scale, Rng& rng) {
  for (double& each : x) each += scale * rng.normal();
}

inline double sum_of_squares(std::span<const double> x) {
  double sum = 0;
  for (const double each : x) sum += each * each;
  return sum;
}

/// Writes x from out[at] on, each number held within [-bound, bound]; returns the place behind the last.
inline std::size_t write(std::span<const double> x, std::span<double> out, std::size_t at = 0,
                         double bound = HUGE_VAL) {
  for (const double each : x) out[at++] = std::clamp(each, -bound, bound);
  return at;
}

}  // namespace lowvar
