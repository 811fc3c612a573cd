// Ant: a sphere on four legs (Schulman et al. 2016).
#include <string>

#include "envs/mujoco/page.h"

namespace lowvar {
namespace {

/// Leg k, which points to the corner (x, y) of the torso; its ankle turns about `axis`.
std::string leg(int k, int x, int y, const char* axis, const char* range) {
  const std::string name = std::to_string(k);
  const auto corner = [&](const char* length) {
    const auto signed_length = [&](int sign) { return std::string(sign < 0 ? "-" : "") + length; };
    return signed_length(x) + " " + signed_length(y) + " 0";
  };
  const std::string here = corner("0.2");
  return R"(
      <body name="leg_)" +
         name + R"(">
        <geom fromto="0 0 0 )" +
         here + R"("/>
        <body name="upper_)" +
         name + R"(" pos=")" + here + R"(">
          <joint name="hip_)" +
         name + R"(" axis="0 0 1" range="-30 30"/>
          <geom fromto="0 0 0 )" +
         here + R"("/>
          <body name="lower_)" +
         name + R"(" pos=")" + here + R"(">
            <joint name="ankle_)" +
         name + R"(" axis=")" + axis + R"(" range=")" + range + R"("/>
            <geom fromto="0 0 0 )" +
         corner("0.4") + R"("/>
          </body>
        </body>
      </body>)";
}

std::string model() {
  return R"(
<mujoco model="ant">
  <compiler angle="degree"/>
  <option timestep="0.01" integrator="RK4"/>
  <default>
    <geom margin="0.01" friction="1 0.5 0.5" density="5"/>
    <joint type="hinge" limited="true" armature="1" damping="1"/>
    <motor ctrllimited="true" ctrlrange="-1 1" gear="150"/>
    <default class="body"><geom type="capsule" size="0.08" contype="1" conaffinity="0"/></default>
  </default>
  <worldbody>
    <geom name="floor" type="plane" size="40 40 1" contype="1" conaffinity="1"/>
    <body name="torso" pos="0 0 0.75" childclass="body">
      <freejoint name="root"/>
      <geom name="torso" type="sphere" size="0.25"/>)" +
         leg(1, 1, 1, "-1 1 0", "30 70") + leg(2, -1, 1, "1 1 0", "-70 -30") +
         leg(3, -1, -1, "-1 1 0", "-70 -30") + leg(4, 1, -1, "1 1 0", "30 70") + R"(
    </body>
  </worldbody>
  <actuator>
    <motor joint="hip_4"/>
    <motor joint="ankle_4"/>
    <motor joint="hip_1"/>
    <motor joint="ankle_1"/>
    <motor joint="hip_2"/>
    <motor joint="ankle_2"/>
    <motor joint="hip_3"/>
    <motor joint="ankle_3"/>
  </actuator>
</mujoco>)";
}

constexpr std::size_t kBodies = 13;

/// Where the torso is, x and y, and the forces on all bodies but the world: torque, then force.
void keep(const mjModel&, const mjData& d, std::span<double> kept) {
  kept[0] = d.xpos[3], kept[1] = d.xpos[4];
  write({d.cfrc_ext + 6, 6 * kBodies}, kept, 2, 1);
}

template <bool forces>
void observe(const Seen& s, std::span<double> out) {
  const std::size_t at = write(s.qvel, out, write(s.qpos.subspan(2), out));
  if (forces) write(s.kept.subspan(2), out, at);
}

/// Forward velocity, a bonus for being upright, less the costs of control and of contact, the latter in
/// version 5. Version 4 pays the bonus where it ends, too.
template <bool version_4>
Outcome outcome(const Seen& before, const Seen& after, std::span<const double> action, double dt) {
  const auto finite = [](double x) { return std::isfinite(x); };
  const bool up = std::all_of(after.qpos.begin(), after.qpos.end(), finite) &&
                  std::all_of(after.qvel.begin(), after.qvel.end(), finite) && after.qpos[2] >= 0.2 &&
                  after.qpos[2] <= 1;
  const double velocity = (after.kept[0] - before.kept[0]) / dt;
  const double contact = version_4 ? 0 : 0.0005 * sum_of_squares(after.kept.subspan(2));
  return {velocity + (up || version_4 ? 1 : 0) - 0.5 * sum_of_squares(action) - contact, !up};
}

}  // namespace

MujocoPage ant(int version) {
  const bool forces = version == 5;
  return {
      .mjcf = model(),
      .frame_skip = 5,
      .T = 1000,
      .observation = forces ? 105 : 27,
      .start = uniform_and_normal_start<0.1>,
      .observe = forces ? observe<true> : observe<false>,
      .outcome = forces ? outcome<false> : outcome<true>,
      .kept = 2 + 6 * kBodies,
      .numbers_kept = 2,
      .keep = keep,
      .contact_forces = forces,
  };
}

}  // namespace lowvar
