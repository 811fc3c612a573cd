// Reacher: an arm of two links in a plane brings its fingertip to a target.
#include "envs/mujoco/page.h"

namespace lowvar {
namespace {

constexpr const char* kModel = R"(
<mujoco model="reacher">
  <compiler angle="radian"/>
  <option timestep="0.01" integrator="RK4"/>
  <default>
    <geom contype="0" conaffinity="0"/>
    <motor ctrllimited="true" ctrlrange="-1 1" gear="200"/>
    <default class="arm">
      <joint type="hinge" axis="0 0 1" armature="1" damping="1"/>
      <geom type="capsule" size="0.01"/>
    </default>
  </default>
  <worldbody>
    <body name="upper" pos="0 0 0.01" childclass="arm">
      <joint name="shoulder"/>
      <geom name="upper" fromto="0 0 0 0.1 0 0"/>
      <body name="lower" pos="0.1 0 0">
        <joint name="elbow" limited="true" range="-3 3"/>
        <geom name="lower" fromto="0 0 0 0.1 0 0"/>
        <body name="fingertip" pos="0.11 0 0">
          <geom name="fingertip" type="sphere" size="0.01"/>
        </body>
      </body>
    </body>
    <body name="target" pos="0.1 -0.1 0.01">
      <joint name="target_x" type="slide" axis="1 0 0" ref="0.1" limited="true" range="-0.27 0.27"/>
      <joint name="target_y" type="slide" axis="0 1 0" ref="-0.1" limited="true" range="-0.27 0.27"/>
      <geom name="target" type="sphere" size="0.009"/>
    </body>
  </worldbody>
  <actuator>
    <motor joint="shoulder"/>
    <motor joint="elbow"/>
  </actuator>
</mujoco>)";

/// From the target to the fingertip.
void keep(const mjModel&, const mjData& d, std::span<double> kept) {
  constexpr std::size_t fingertip = 3, target = 4;  // bodies, the world being 0
  for (std::size_t i = 0; i < 3; ++i) kept[i] = d.xpos[3 * fingertip + i] - d.xpos[3 * target + i];
}

/// A random arm, and a target uniform in a disc.
void start(std::span<double> qpos, std::span<double> qvel, Rng& rng) {
  add_uniform(qpos.first(2), 0.1, rng);
  do {
    for (double& x : qpos.subspan(2)) x = rng.uniform(-0.2, 0.2);
  } while (std::sqrt(sum_of_squares(qpos.subspan(2))) >= 0.2);
  add_uniform(qvel.first(2), 0.005, rng);
}

/// Version 4 shows the height of the difference, too, which is 0.
template <std::size_t coordinates>
void observe(const Seen& s, std::span<double> out) {
  const auto q = s.qpos;
  const double angles[] = {std::cos(q[0]), std::cos(q[1]), std::sin(q[0]), std::sin(q[1])};
  std::size_t at = write(q.subspan(2), out, write(angles, out));
  at = write(s.qvel.first(2), out, at);
  write(s.kept.first(coordinates), out, at);
}

/// Less the distance and the cost of control. Version 4 measures the distance before the step.
template <bool before_step>
Outcome outcome(const Seen& before, const Seen& after, std::span<const double> action, double) {
  return {-std::sqrt(sum_of_squares((before_step ? before : after).kept)) - sum_of_squares(action), false};
}

}  // namespace

MujocoPage reacher(int version) {
  return {
      .mjcf = kModel,
      .frame_skip = 2,
      .T = 50,
      .observation = version == 4 ? 11 : 10,
      .start = start,
      .observe = version == 4 ? observe<3> : observe<2>,
      .outcome = version == 4 ? outcome<true> : outcome<false>,
      .kept = 3,
      .keep = keep,
  };
}

}  // namespace lowvar
