// MinAtar's games as coloured cells, drawn from what is observed.
#include "envs/minatar/games.h"
#include "experiments/scene.h"

namespace lowvar {
namespace {

using namespace colours;
using namespace minatar;

/// A square about the middle of a cell.
struct Paint {
  int channel;
  std::string colour;
  double size = 1;
};

/// In the order in which they are painted, later ones over earlier ones.
template <class Game>
std::vector<Paint> paints();
template <>
std::vector<Paint> paints<Asterix>() {
  using G = Asterix;
  return {{G::trail, kPale}, {G::enemy, kVermillion}, {G::gold, kYellow}, {G::player, kBlue}};
}
template <>
std::vector<Paint> paints<Breakout>() {
  using G = Breakout;
  return {{G::trail, kPale}, {G::brick, kOrange, 0.9}, {G::paddle, kInk}, {G::ball, kBlue}};
}
template <>
std::vector<Paint> paints<Freeway>() {
  using G = Freeway;
  // The faster a car is, the darker is its trail.
  return {{G::trail, "#9fc5de"},     {G::trail + 1, "#b3d1e5"}, {G::trail + 2, "#c7deec"},
          {G::trail + 3, "#dbeaf3"}, {G::trail + 4, "#edf4f9"}, {G::car, kBlue},
          {G::chicken, kOrange}};
}
template <>
std::vector<Paint> paints<Seaquest>() {
  using G = Seaquest;
  return {{G::trail, kPale},           {G::oxygen_gauge, kSky, 0.8}, {G::diver_gauge, kYellow, 0.6},
          {G::diver, kYellow, 0.8},    {G::enemy_fish, kOrange},     {G::enemy_sub, kVermillion},
          {G::sub_back, kGreen, 0.8},  {G::sub_front, kGreen},       {G::friendly_bullet, kGreen, 0.4},
          {G::enemy_bullet, kInk, 0.4}};
}
template <>
std::vector<Paint> paints<SpaceInvaders>() {
  using G = SpaceInvaders;
  return {{G::alien_left, kVermillion, 0.9},
          {G::alien_right, kOrange, 0.9},
          {G::cannon, kGreen},
          {G::friendly_bullet, kGreen, 0.4},
          {G::enemy_bullet, kInk, 0.4}};
}

void draw(const View& f, const Numbers& seen, const std::vector<Paint>& paints, int channels) {
  const auto square = [&](double x, double y, double size) {
    const double left = x + (1 - size) / 2, top = grid - y - (1 - size) / 2;
    return f.at({{left, top}, {left + size, top}, {left + size, top - size}, {left, top - size}});
  };
  for (const Paint& paint : paints)
    for (int cell = 0; cell < grid * grid; ++cell)
      if (seen[static_cast<std::size_t>(cell * channels + paint.channel)] != 0)
        f.picture.area(square(cell % grid, cell / grid, paint.size), paint.colour);
  f.picture.line(f.at({{0, 0}, {grid, 0}, {grid, grid}, {0, grid}, {0, 0}}), kGrey, 1);
}

}  // namespace

std::optional<Scene> minatar_scene(const std::string& id) {
  std::optional<Scene> out;
  for_each_world([&]<class Game>(const minatar::World<Game>& world) {
    if (id == world.id)
      out = Scene{0, grid, 0, grid, [all = paints<Game>()](const View& f, const Numbers& seen) {
                    draw(f, seen, all, Game::channels);
                  }};
  });
  return out;
}

}  // namespace lowvar
