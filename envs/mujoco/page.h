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

// Starts and observations that several worlds share.

/// U(-scale, scale) on qpos and on qvel.
template <double scale>
void uniform_start(std::span<double> qpos, std::span<double> qvel, Rng& rng) {
  add_uniform(qpos, scale, rng);
  add_uniform(qvel, scale, rng);
}
/// U(-scale, scale) on qpos, N(0, scale^2) on qvel.
template <double scale>
void uniform_and_normal_start(std::span<double> qpos, std::span<double> qvel, Rng& rng) {
  add_uniform(qpos, scale, rng);
  add_normal(qvel, scale, rng);
}
/// qpos but for the first `unseen`, then qvel.
template <std::size_t unseen>
void observe_state(const Seen& s, std::span<double> out) {
  write(s.qvel, out, write(s.qpos.subspan(unseen), out));
}
/// The same without where along the track it is, and speeds held within 10.
inline void observe_runner(const Seen& s, std::span<double> out) {
  write(s.qvel, out, write(s.qpos.subspan(1), out), 10);
}

/// Forward velocity, a bonus of 1 for staying up, less the cost of control; ends where it is down. Version 4
/// pays the bonus there, too.
inline Outcome run_upright(const Seen& before, const Seen& after, std::span<const double> action, double dt,
                           bool up, bool bonus_at_end) {
  const double bonus = up || bonus_at_end ? 1 : 0;
  return {(after.qpos[0] - before.qpos[0]) / dt + bonus - 0.001 * sum_of_squares(action), !up};
}

}  // namespace lowvar
