// Swimmer: three links in a plane, in a fluid (Coulom 2002).
#include "envs/mujoco/page.h"

namespace lowvar {
namespace {

constexpr const char* kModel = R"(
<mujoco model="swimmer">
  <compiler angle="degree"/>
  <option timestep="0.01" integrator="RK4" density="4000" viscosity="0.1"/>
  <default>
    <geom type="capsule" size="0.1" contype="0" conaffinity="0"/>
    <joint armature="0.1"/>
    <motor ctrllimited="true" ctrlrange="-1 1" gear="150"/>
  </default>
  <worldbody>
    <body name="head">
      <joint name="root_x" type="slide" axis="1 0 0"/>
      <joint name="root_y" type="slide" axis="0 1 0"/>
      <joint name="root_angle" type="hinge" axis="0 0 1"/>
      <geom name="head" fromto="0.5 0 0 1.5 0 0"/>
      <body name="middle" pos="0.5 0 0">
        <joint name="neck" type="hinge" axis="0 0 1" limited="true" range="-100 100"/>
        <geom name="middle" fromto="-1 0 0 0 0 0"/>
        <body name="tail" pos="-1 0 0">
          <joint name="tail" type="hinge" axis="0 0 1" limited="true" range="-100 100"/>
          <geom name="tail" fromto="-1 0 0 0 0 0"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="neck"/>
    <motor joint="tail"/>
  </actuator>
</mujoco>)";

}  // namespace

MujocoPage swimmer() {
  return {
      .mjcf = kModel,
      .frame_skip = 4,
      .T = 1000,
      .observation = 8,
      .start = uniform_start<0.1>,
      .observe = [](const Seen& s,
                    std::span<double> out) { write(s.qvel, out, write(s.qpos.subspan(2), out)); },
      .outcome =
          [](const Seen& before, const Seen& after, std::span<const double> action, double dt) {
            return Outcome{(after.qpos[0] - before.qpos[0]) / dt - 0.0001 * sum_of_squares(action), false};
          },
  };
}

}  // namespace lowvar
