// Worlds on MuJoCo, drawn from the solids of their models: capsules are thick lines, farther ones first.
#include <algorithm>
#include <cmath>
#include <memory>

#include "envs/mujoco/mujoco.h"
#include "experiments/scene.h"

namespace lowvar {
namespace {

using namespace colours;
using Vector = std::array<double, 3>;

double dot(const Vector& a, const Vector& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

/// Where the camera of a world stands: what is right and up in its picture, and what it shows about the
/// origin, or about where the robot is.
struct Camera {
  std::string_view name;
  Vector right, up;
  double x_low, x_high, y_low, y_high;
  int followed = 0;  // coordinates of the robot's position that the camera follows: none, x, or x and y
  bool floor = false;

  Point project(const Vector& p) const { return {dot(right, p), dot(up, p)}; }
  double depth(const Vector& p) const {
    const Vector towards = {right[1] * up[2] - right[2] * up[1], right[2] * up[0] - right[0] * up[2],
                            right[0] * up[1] - right[1] * up[0]};
    return -dot(towards, p);
  }
};

constexpr Vector kX = {1, 0, 0}, kY = {0, 1, 0}, kZ = {0, 0, 1};
constexpr Camera kCameras[] = {
    // From the right front and above.
    {"Ant", {0.8, 0.6, 0}, {-0.27, 0.36, 0.893}, -1.8, 1.8, -1, 1.4, 2, true},
    {"HalfCheetah", kX, kZ, -1.35, 1.35, -0.1, 1.3, 1, true},
    {"Hopper", kX, kZ, -1.1, 1.1, -0.1, 1.6, 1, true},
    {"InvertedDoublePendulum", kX, kZ, -1.4, 1.4, -0.3, 1.4},
    {"InvertedPendulum", kX, kZ, -1.2, 1.2, -0.3, 0.8},
    {"Reacher", kX, kY, -0.25, 0.25, -0.25, 0.25},
    {"Swimmer", kX, kY, -2.2, 2.2, -1.4, 1.4, 1},
    {"Walker2d", kX, kZ, -1.1, 1.1, -0.1, 1.6, 1, true},
};

/// Lines of the floor at whole metres, that one sees moving: across the view from the side, a grid from
/// above.
void draw_floor(const View& f, const Camera& camera, const Vector& origin) {
  if (camera.up == kZ) {
    f.picture.line(f.at({{f.x_low, 0}, {f.x_high, 0}}), kGrey, 1);
    for (double x = std::ceil(origin[0] + f.x_low); x <= origin[0] + f.x_high; ++x)
      f.picture.line(f.at({{x - origin[0], 0}, {x - origin[0], -0.06}}), kGrey, 1);
    return;
  }
  constexpr double reach = 2;
  for (const auto& [along, across] : {std::pair{kX, kY}, std::pair{kY, kX}}) {
    const double here = dot(along, origin);
    for (double line = std::ceil(here - reach); line <= here + reach; ++line) {
      const auto end = [&](double side) {
        Vector p{};
        for (std::size_t i = 0; i < 3; ++i) p[i] = along[i] * (line - here) + across[i] * side;
        return camera.project(p);
      };
      f.picture.line(f.at({end(-reach), end(reach)}), kPale, 1);
    }
  }
}

void draw(const View& f, const Camera& camera, std::vector<Solid> solids, const Numbers& state) {
  Vector origin{};
  for (int i = 0; i < camera.followed; ++i)
    origin[static_cast<std::size_t>(i)] = state[static_cast<std::size_t>(i)];
  if (camera.floor) draw_floor(f, camera, origin);
  for (Solid& s : solids)
    for (std::size_t i = 0; i < 3; ++i) s.from[i] -= origin[i], s.to[i] -= origin[i];
  std::stable_sort(solids.begin(), solids.end(), [&](const Solid& a, const Solid& b) {
    return camera.depth(a.from) + camera.depth(a.to) > camera.depth(b.from) + camera.depth(b.to);
  });
  constexpr const char* paint[] = {kBlue, kSky, kOrange, kVermillion, kGreen, kYellow};
  for (const Solid& s : solids) {
    const std::string colour = paint[static_cast<std::size_t>(s.body - 1) % std::size(paint)];
    const double radius = s.radius * f.scale();
    const Point a = camera.project(s.from), b = camera.project(s.to);
    if (s.from == s.to) {
      f.picture.disc(f.at(a[0], a[1]), radius, colour, kInk, 0.75);
    } else {
      f.picture.line(f.at({a, b}), kInk, 2 * radius + 0.75);
      f.picture.line(f.at({a, b}), colour, 2 * radius - 0.75);
    }
  }
}

}  // namespace

std::optional<Scene> mujoco_scene(const std::string& id) {
  for (const Camera& camera : kCameras) {
    if (id.substr(0, id.find('-')) != camera.name) continue;
    const auto model = std::make_shared<const MujocoModel>(id);
    return Scene{camera.x_low, camera.x_high, camera.y_low, camera.y_high,
                 [&camera, model](const View& f, const Numbers& state) {
                   draw(f, camera, model->solids(state), state);
                 }};
  }
  return std::nullopt;
}

}  // namespace lowvar
