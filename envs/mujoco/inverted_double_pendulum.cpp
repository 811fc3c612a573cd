// InvertedDoublePendulum: two poles, one on the other, held upright by a force on the cart.
#include "envs/mujoco/page.h"

namespace lowvar {
namespace {

constexpr const char* kModel = R"(
<mujoco model="inverted_double_pendulum">
  <option timestep="0.01" integrator="RK4" gravity="1e-5 0 -9.81"/>
  <default>
    <geom type="capsule" contype="0" conaffinity="0"/>
    <joint damping="0.05"/>
  </default>
  <worldbody>
    <body name="cart">
      <joint name="slider" type="slide" axis="1 0 0" limited="true" range="-1 1" margin="0.01"/>
      <geom name="cart" fromto="-0.1 0 0 0.1 0 0" size="0.1"/>
      <body name="pole_1">
        <joint name="hinge_1" type="hinge" axis="0 1 0"/>
        <geom name="pole_1" fromto="0 0 0 0 0 0.6" size="0.045"/>
        <body name="pole_2" pos="0 0 0.6">
          <joint name="hinge_2" type="hinge" axis="0 1 0"/>
          <geom name="pole_2" fromto="0 0 0 0 0 0.6" size="0.045"/>
          <site name="tip" pos="0 0 0.6"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="slider" gear="500" ctrllimited="true" ctrlrange="-1 1"/>
  </actuator>
</mujoco>)";

/// Where the tip is, x and z, and the forces of the limits on the joints.
void keep(const mjModel& m, const mjData& d, std::span<double> kept) {
  kept[0] = d.site_xpos[0];
  kept[1] = d.site_xpos[2];
  write({d.qfrc_constraint, static_cast<std::size_t>(m.nv)}, kept, 2);
}

/// Of the forces version 4 shows all three, 5 that on the slider.
template <std::size_t forces>
void observe(const Seen& s, std::span<double> out) {
  const auto q = s.qpos;
  const double place[] = {q[0], std::sin(q[1]), std::sin(q[2]), std::cos(q[1]), std::cos(q[2])};
  write(s.kept.subspan(2, forces), out, write(s.qvel, out, write(place, out), 10), 10);
}

/// 10 while the tip is above 1, less costs of its distance from above the middle and of angular speeds.
/// Version 4 pays the 10 where it ends, too.
template <bool bonus_at_end>
Outcome outcome(const Seen&, const Seen& after, std::span<const double>, double) {
  const double x = after.kept[0], z = after.kept[1], v1 = after.qvel[1], v2 = after.qvel[2];
  const bool down = z <= 1;
  const double bonus = !down || bonus_at_end ? 10 : 0;
  return {bonus - (0.01 * x * x + (z - 2) * (z - 2)) - (0.001 * v1 * v1 + 0.005 * v2 * v2), down};
}

}  // namespace

MujocoPage inverted_double_pendulum(int version) {
  return {
      .mjcf = kModel,
      .frame_skip = 5,
      .T = 1000,
      .observation = version == 4 ? 11 : 9,
      .start = uniform_and_normal_start<0.1>,
      .observe = version == 4 ? observe<3> : observe<1>,
      .outcome = version == 4 ? outcome<true> : outcome<false>,
      .kept = 5,
      .keep = keep,
  };
}

}  // namespace lowvar
