// Walker2d: two legs of three joints in a plane (Erez et al. 2012).
#include <string>

#include "envs/mujoco/page.h"

namespace lowvar {
namespace {

/// A leg; what its foot's friction with the floor is, is where versions differ.
std::string leg(const std::string& side, const char* friction) {
  return R"(
      <body name=")" +
         side + R"(thigh" pos="0 0 -0.2">
        <joint name=")" +
         side + R"(thigh" range="-150 0"/>
        <geom fromto="0 0 -0.45 0 0 0" size="0.05"/>
        <body name=")" +
         side + R"(leg" pos="0 0 -0.7">
          <joint name=")" +
         side + R"(leg" pos="0 0 0.25" range="-150 0"/>
          <geom fromto="0 0 -0.25 0 0 0.25" size="0.04"/>
          <body name=")" +
         side + R"(foot" pos="0.2 0 -0.35">
            <joint name=")" +
         side + R"(foot" pos="-0.2 0 0.1" range="-45 45"/>
            <geom fromto="-0.2 0 0.1 0 0 0.1" size="0.06" friction=")" +
         friction + R"( 0.1 0.1"/>
          </body>
        </body>
      </body>)";
}

std::string model(const char* right_friction) {
  return R"(
<mujoco model="walker2d">
  <compiler angle="degree"/>
  <option timestep="0.002" integrator="RK4"/>
  <default>
    <joint type="hinge" axis="0 -1 0" limited="true" armature="0.01" damping="0.1"/>
    <motor ctrllimited="true" ctrlrange="-1 1" gear="100"/>
    <default class="body"><geom type="capsule" contype="1" conaffinity="0" friction="0.9 0.1 0.1"/></default>
    <default class="root"><joint limited="false" armature="0" damping="0"/></default>
  </default>
  <worldbody>
    <geom name="floor" type="plane" size="20 20 1" contype="1" conaffinity="1" friction="0.7 0.1 0.1"/>
    <body name="torso" pos="0 0 1.25" childclass="body">
      <joint name="root_x" class="root" type="slide" axis="1 0 0"/>
      <joint name="root_z" class="root" type="slide" axis="0 0 1" ref="1.25"/>
      <joint name="root_angle" class="root" type="hinge" axis="0 1 0"/>
      <geom name="torso" fromto="0 0 -0.2 0 0 0.2" size="0.05"/>)" +
         leg("", right_friction) + leg("left_", "1.9") + R"(
    </body>
  </worldbody>
  <actuator>
    <motor joint="thigh"/>
    <motor joint="leg"/>
    <motor joint="foot"/>
    <motor joint="left_thigh"/>
    <motor joint="left_leg"/>
    <motor joint="left_foot"/>
  </actuator>
</mujoco>)";
}

template <bool bonus_at_end>
Outcome outcome(const Seen& before, const Seen& after, std::span<const double> action, double dt) {
  const bool up = after.qpos[1] > 0.8 && after.qpos[1] < 2 && std::abs(after.qpos[2]) < 1;
  return run_upright(before, after, action, dt, up, bonus_at_end);
}

}  // namespace

MujocoPage walker2d(int version) {
  return {
      .mjcf = model(version == 4 ? "0.9" : "1.9"),
      .frame_skip = 4,
      .T = 1000,
      .observation = 17,
      .start = uniform_start<0.005>,
      .observe = [](const Seen& s,
                    std::span<double> out) { write(s.qvel, out, write(s.qpos.subspan(1), out), 10); },
      .outcome = version == 4 ? outcome<true> : outcome<false>,
  };
}

}  // namespace lowvar
