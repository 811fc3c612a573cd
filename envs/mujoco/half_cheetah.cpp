// HalfCheetah: a trunk on two legs in a plane, which cannot fall (Wawrzynski 2009).
#include "envs/mujoco/page.h"

namespace lowvar {
namespace {

constexpr const char* kModel = R"(
<mujoco model="half_cheetah">
  <compiler angle="radian" settotalmass="14"/>
  <option timestep="0.01" integrator="Euler"/>
  <default>
    <geom condim="3" friction="0.4 0.1 0.1" solref="0.02 1" solimp="0 0.8 0.01"/>
    <joint type="hinge" axis="0 1 0" limited="true" armature="0.1" solreflimit="0.02 1" solimplimit="0 0.8 0.03"/>
    <motor ctrllimited="true" ctrlrange="-1 1"/>
    <default class="body"><geom type="capsule" size="0.046" contype="1" conaffinity="0"/></default>
    <default class="root"><joint limited="false" armature="0"/></default>
  </default>
  <worldbody>
    <geom name="floor" type="plane" size="40 40 1" contype="1" conaffinity="1"/>
    <body name="torso" pos="0 0 0.7" childclass="body">
      <joint name="root_x" class="root" type="slide" axis="1 0 0"/>
      <joint name="root_z" class="root" type="slide" axis="0 0 1"/>
      <joint name="root_angle" class="root" type="hinge" axis="0 1 0"/>
      <geom name="trunk" fromto="-0.5 0 0 0.5 0 0"/>
      <geom name="head" pos="0.6 0 0.1" axisangle="0 1 0 0.87" size="0.046 0.15"/>
      <body name="bthigh" pos="-0.5 0 0">
        <joint name="bthigh" range="-0.52 1.05" stiffness="240" damping="6"/>
        <geom pos="0.1 0 -0.13" axisangle="0 1 0 -3.8" size="0.046 0.145"/>
        <body name="bshin" pos="0.16 0 -0.25">
          <joint name="bshin" range="-0.785 0.785" stiffness="180" damping="4.5"/>
          <geom pos="-0.14 0 -0.07" axisangle="0 1 0 -2.03" size="0.046 0.15"/>
          <body name="bfoot" pos="-0.28 0 -0.14">
            <joint name="bfoot" range="-0.4 0.785" stiffness="120" damping="3"/>
            <geom pos="0.03 0 -0.097" axisangle="0 1 0 -0.27" size="0.046 0.094"/>
          </body>
        </body>
      </body>
      <body name="fthigh" pos="0.5 0 0">
        <joint name="fthigh" range="-1 0.7" stiffness="180" damping="4.5"/>
        <geom pos="-0.07 0 -0.12" axisangle="0 1 0 0.52" size="0.046 0.133"/>
        <body name="fshin" pos="-0.14 0 -0.24">
          <joint name="fshin" range="-1.2 0.87" stiffness="120" damping="3"/>
          <geom pos="0.065 0 -0.09" axisangle="0 1 0 -0.6" size="0.046 0.106"/>
          <body name="ffoot" pos="0.13 0 -0.18">
            <joint name="ffoot" range="-0.5 0.5" stiffness="60" damping="1.5"/>
            <geom pos="0.045 0 -0.07" axisangle="0 1 0 -0.6" size="0.046 0.07"/>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="bthigh" gear="120"/>
    <motor joint="bshin" gear="90"/>
    <motor joint="bfoot" gear="60"/>
    <motor joint="fthigh" gear="120"/>
    <motor joint="fshin" gear="60"/>
    <motor joint="ffoot" gear="30"/>
  </actuator>
</mujoco>)";

}  // namespace

MujocoPage half_cheetah() {
  return {
      .mjcf = kModel,
      .frame_skip = 5,
      .T = 1000,
      .observation = 17,
      .start = uniform_and_normal_start<0.1>,
      .observe = [](const Seen& s,
                    std::span<double> out) { write(s.qvel, out, write(s.qpos.subspan(1), out)); },
      .outcome =
          [](const Seen& before, const Seen& after, std::span<const double> action, double dt) {
            return Outcome{(after.qpos[0] - before.qpos[0]) / dt - 0.1 * sum_of_squares(action), false};
          },
  };
}

}  // namespace lowvar
