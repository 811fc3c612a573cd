// Hopper: one leg of three joints in a plane (Erez et al. 2012).
#include "envs/mujoco/page.h"

namespace lowvar {
namespace {

constexpr const char* kModel = R"(
<mujoco model="hopper">
  <compiler angle="degree"/>
  <option timestep="0.002" integrator="RK4"/>
  <default>
    <geom margin="0.001" solref="0.02 1" solimp="0.8 0.8 0.01" friction="0.9 0.005 0.0001"/>
    <joint limited="true" armature="1" damping="1"/>
    <motor ctrllimited="true" ctrlrange="-1 1" gear="200"/>
    <default class="body"><geom type="capsule" condim="1"/></default>
    <default class="root"><joint limited="false" armature="0" damping="0"/></default>
  </default>
  <worldbody>
    <geom name="floor" type="plane" size="20 20 1" condim="3" friction="1 0.005 0.0001"/>
    <body name="torso" pos="0 0 1.25" childclass="body">
      <joint name="root_x" class="root" type="slide" axis="1 0 0"/>
      <joint name="root_z" class="root" type="slide" axis="0 0 1" ref="1.25"/>
      <joint name="root_angle" class="root" type="hinge" axis="0 1 0"/>
      <geom name="torso" fromto="0 0 -0.2 0 0 0.2" size="0.05"/>
      <body name="thigh" pos="0 0 -0.2">
        <joint name="thigh" axis="0 -1 0" range="-150 0"/>
        <geom name="thigh" fromto="0 0 -0.45 0 0 0" size="0.05"/>
        <body name="leg" pos="0 0 -0.7">
          <joint name="leg" axis="0 -1 0" pos="0 0 0.25" range="-150 0"/>
          <geom name="leg" fromto="0 0 -0.25 0 0 0.25" size="0.04"/>
          <body name="foot" pos="0.13 0 -0.35">
            <joint name="foot" axis="0 -1 0" pos="-0.13 0 0.1" range="-45 45"/>
            <geom name="foot" fromto="-0.26 0 0.1 0.13 0 0.1" size="0.06" friction="2 0.005 0.0001"/>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="thigh"/>
    <motor joint="leg"/>
    <motor joint="foot"/>
  </actuator>
</mujoco>)";

bool healthy(const Seen& s) {
  const auto within = [](double x) { return std::abs(x) < 100; };
  return std::all_of(s.qpos.begin() + 2, s.qpos.end(), within) &&
         std::all_of(s.qvel.begin(), s.qvel.end(), within) && s.qpos[1] > 0.7 && std::abs(s.qpos[2]) < 0.2;
}

template <bool bonus_at_end>
Outcome outcome(const Seen& before, const Seen& after, std::span<const double> action, double dt) {
  const bool up = healthy(after);
  return run_upright(before, after, action, dt, up, bonus_at_end);
}

}  // namespace

MujocoPage hopper(int version) {
  return {
      .mjcf = kModel,
      .frame_skip = 4,
      .T = 1000,
      .observation = 11,
      .start = uniform_start<0.005>,
      .observe = [](const Seen& s,
                    std::span<double> out) { write(s.qvel, out, write(s.qpos.subspan(1), out), 10); },
      .outcome = version == 4 ? outcome<true> : outcome<false>,
  };
}

}  // namespace lowvar
