// InvertedPendulum: a pole on a cart, held upright by a force on the cart.
#include "envs/mujoco/page.h"

namespace lowvar {
namespace {

constexpr const char* kModel = R"(
<mujoco model="inverted_pendulum">
  <compiler angle="degree"/>
  <option timestep="0.02" integrator="RK4"/>
  <default>
    <geom type="capsule" contype="0" conaffinity="0"/>
    <joint limited="true" damping="1"/>
  </default>
  <worldbody>
    <body name="cart">
      <joint name="slider" type="slide" axis="1 0 0" range="-1 1"/>
      <geom name="cart" fromto="-0.1 0 0 0.1 0 0" size="0.1"/>
      <body name="pole">
        <joint name="hinge" type="hinge" axis="0 1 0" range="-90 90"/>
        <geom name="pole" fromto="0 0 0 0.001 0 0.6" size="0.049"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <motor joint="slider" gear="100" ctrllimited="true" ctrlrange="-3 3"/>
  </actuator>
</mujoco>)";

/// 1 while the pole stands. Version 4 pays it where it ends, too.
template <bool at_end>
Outcome outcome(const Seen&, const Seen& after, std::span<const double>, double) {
  const auto finite = [](double x) { return std::isfinite(x); };
  const bool stands = std::all_of(after.qpos.begin(), after.qpos.end(), finite) &&
                      std::all_of(after.qvel.begin(), after.qvel.end(), finite) &&
                      std::abs(after.qpos[1]) <= 0.2;
  return {stands || at_end ? 1.0 : 0.0, !stands};
}

}  // namespace

MujocoPage inverted_pendulum(int version) {
  return {
      .mjcf = kModel,
      .frame_skip = 2,
      .T = 1000,
      .observation = 4,
      .start = uniform_start<0.01>,
      .observe = observe_state<0>,
      .outcome = version == 4 ? outcome<true> : outcome<false>,
  };
}

}  // namespace lowvar
