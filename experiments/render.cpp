#include "experiments/render.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <numbers>
#include <optional>

#include "core/processes.h"
#include "envs/classic_control.h"
#include "envs/lunar_lander.h"
#include "experiments/output.h"
#include "experiments/png_file.h"
#include "experiments/scene.h"
#include "experiments/script.h"

namespace lowvar {
namespace {

using namespace colours;

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : utf8(text))
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else
      out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;  // XML has no control characters
  return out;
}

}  // namespace

void Picture::line(std::vector<Point> points, const std::string& stroke, double width) {
  shapes_.push_back({std::move(points), "", stroke, width});
}
void Picture::area(std::vector<Point> points, const std::string& fill, const std::string& stroke,
                   double width) {
  shapes_.push_back({std::move(points), fill, stroke, width});
}
void Picture::disc(Point centre, double radius, const std::string& fill, const std::string& stroke,
                   double width) {
  shapes_.push_back({{centre}, fill, stroke, width, radius});
}
void Picture::pixels(Point top_left, Point bottom_right, int columns, std::span<const std::uint32_t> pixels) {
  shapes_.push_back({{top_left, bottom_right}, "", "", 0, 0, "", base64(png_file(columns, pixels))});
}
void Picture::words(Point at, double size, const std::string& colour, const std::string& text,
                    Shape::Anchor anchor) {
  shapes_.push_back({{at}, colour, "", 0, size, text, "", anchor});
}

std::string Picture::svg() const {
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"{2}\"/>\n",
      width_, height_, kWhite);
  for (const Shape& s : shapes_) {
    std::string paint = fmt::format("fill=\"{}\"", s.fill.empty() ? "none" : s.fill);
    if (!s.stroke.empty())
      paint += fmt::format(
          " stroke=\"{}\" stroke-width=\"{:g}\" stroke-linejoin=\"round\" stroke-linecap=\"round\"", s.stroke,
          s.width);
    const auto [x, y] = s.points[0];
    if (!s.words.empty()) {
      out += fmt::format(
          "<text x=\"{:.2f}\" y=\"{:.2f}\" font-family=\"DejaVu Sans, Arial, sans-serif\" "
          "font-size=\"{:g}\"{} {}>{}</text>\n",
          x, y, s.size, s.anchor == Shape::Anchor::middle ? " text-anchor=\"middle\"" : "", paint,
          escaped(s.words));
    } else if (!s.png.empty()) {
      out += fmt::format(
          "<image x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" preserveAspectRatio=\"none\" "
          "href=\"data:image/png;base64,{}\"/>\n",
          x, y, s.points[1][0] - x, s.points[1][1] - y, s.png);
    } else if (s.points.size() == 1) {
      out += fmt::format("<circle cx=\"{:.2f}\" cy=\"{:.2f}\" r=\"{:.2f}\" {}/>\n", x, y, s.size, paint);
    } else {
      std::string points;
      for (const auto& [px, py] : s.points)
        points += fmt::format("{}{:.2f},{:.2f}", points.empty() ? "" : " ", px, py);
      out += fmt::format("<{} points=\"{}\" {}/>\n", s.fill.empty() ? "polyline" : "polygon", points, paint);
    }
  }
  return out + "</svg>\n";
}

nlohmann::ordered_json Picture::json() const {
  nlohmann::ordered_json out{
      {"width", width_}, {"height", height_}, {"shapes", nlohmann::ordered_json::array()}};
  for (const Shape& s : shapes_)
    out["shapes"].push_back({{"points", s.points},
                             {"fill", s.fill},
                             {"stroke", s.stroke},
                             {"width", s.width},
                             {"size", s.size},
                             {"words", s.words},
                             {"png", s.png},
                             {"middle", s.anchor == Shape::Anchor::middle}});
  return out;
}

namespace {

/// Lets png.py draw a picture or several into a file that is whole as soon as it has its name.
void draw(const nlohmann::ordered_json& pictures, const std::filesystem::path& path) {
  auto partial = path;
  partial += ".partial";
  write_file(partial, "");  // says why where it cannot
  std::string wrong = run_script("png.py", {partial.string()}, json_text(pictures, -1));
  std::error_code error;
  if (wrong.empty()) std::filesystem::rename(partial, path, error);
  if (error) wrong = error.message();
  if (!wrong.empty()) std::filesystem::remove(partial, error);
  expect(wrong.empty(), "cannot draw ", path.string(), " (", wrong,
         "): it needs /usr/bin/python3 with matplotlib; .svg needs neither");
}

}  // namespace

void Picture::write(const std::filesystem::path& path) const {
  if (!root()) return;
  if (path.extension() == ".svg") return write_file(path, svg());
  expect(path.extension() == ".png", "cannot draw '", path.string(), "': pictures are .svg or .png files");
  draw({{"format", "png"}, {"pictures", {json()}}}, path);
}

void write_animation(const std::vector<Picture>& pictures, const std::filesystem::path& path) {
  if (!root()) return;
  const std::string ending = path.extension();
  expect(ending == ".gif" || ending == ".apng", "cannot draw '", path.string(),
         "': moving pictures are .gif or .apng files");
  auto all = nlohmann::ordered_json::array();
  for (const Picture& each : pictures) all.push_back(each.json());
  draw({{"format", ending == ".gif" ? "gif" : "png"}, {"pictures", std::move(all)}}, path);
}

// ---- Frames ----

namespace {

/// The corners of a box about the line from a to b.
std::vector<Point> bar(Point a, Point b, double width) {
  const double dx = b[0] - a[0], dy = b[1] - a[1], k = width / 2 / std::hypot(dx, dy);
  return {{a[0] - k * dy, a[1] + k * dx},
          {b[0] - k * dy, b[1] + k * dx},
          {b[0] + k * dy, b[1] - k * dx},
          {a[0] + k * dy, a[1] - k * dx}};
}

void draw_cart_pole(const View& f, const Numbers& s) {
  const double x = s[0], theta = s[2];
  f.picture.line(f.at({{f.x_low, 0}, {f.x_high, 0}}), kGrey, 1);
  for (const double limit : {-CartPole::x_limit, CartPole::x_limit})
    f.picture.line(f.at({{limit, -0.12}, {limit, 0.12}}), kGrey, 1);
  f.picture.area(f.at({{x - 0.25, 0.03}, {x + 0.25, 0.03}, {x + 0.25, 0.29}, {x - 0.25, 0.29}}), kInk);
  const Point axle{x, 0.24}, tip{x + std::sin(theta), 0.24 + std::cos(theta)};
  f.picture.area(f.at(bar(axle, tip, 0.09)), kOrange);
  f.picture.disc(f.at(axle[0], axle[1]), 0.05 * f.scale(), kSky);
}

void draw_pendulum(const View& f, const Numbers& s) {
  const Point tip{-std::sin(s[0]), std::cos(s[0])};
  std::vector<Point> rim;
  for (int i = 0; i <= 72; ++i)
    rim.push_back({std::cos(std::numbers::pi * i / 36), std::sin(std::numbers::pi * i / 36)});
  f.picture.line(f.at(rim), kPale, 1.5);
  f.picture.area(f.at(bar({0, 0}, tip, 0.16)), kVermillion);
  f.picture.disc(f.at(tip[0], tip[1]), 0.08 * f.scale(), kVermillion);
  f.picture.disc(f.at(0, 0), 0.08 * f.scale(), kVermillion);
  f.picture.disc(f.at(0, 0), 0.035 * f.scale(), kInk);
}

void draw_acrobot(const View& f, const Numbers& s) {
  const Point elbow{std::sin(s[0]), -std::cos(s[0])};
  const Point tip{elbow[0] + std::sin(s[0] + s[1]), elbow[1] - std::cos(s[0] + s[1])};
  f.picture.line(f.at({{f.x_low, 1}, {f.x_high, 1}}), kGrey, 1);
  f.picture.area(f.at(bar({0, 0}, elbow, 0.16)), kBlue);
  f.picture.area(f.at(bar(elbow, tip, 0.16)), kSky);
  f.picture.disc(f.at(0, 0), 0.11 * f.scale(), kYellow, kInk, 0.75);
  f.picture.disc(f.at(elbow[0], elbow[1]), 0.11 * f.scale(), kYellow, kInk, 0.75);
}

void draw_mountain_car(const View& f, const Numbers& s, double goal) {
  const auto height = [](double x) { return 0.45 * std::sin(3 * x) + 0.55; };
  std::vector<Point> hill;
  for (int i = 0; i <= 90; ++i) {
    const double x = MountainCar::x_low + (MountainCar::x_high - MountainCar::x_low) * i / 90;
    hill.push_back({x, height(x)});
  }
  std::vector<Point> ground = hill;
  ground.push_back({MountainCar::x_high, f.y_low});
  ground.push_back({MountainCar::x_low, f.y_low});
  f.picture.area(f.at(ground), kPale);
  f.picture.line(f.at(hill), kGrey, 1.25);
  f.picture.line(f.at({{goal, height(goal)}, {goal, height(goal) + 0.22}}), kInk, 1);
  f.picture.area(
      f.at({{goal, height(goal) + 0.22}, {goal + 0.11, height(goal) + 0.18}, {goal, height(goal) + 0.14}}),
      kOrange);
  // The car stands on the hill: `along` and `up` are its axes.
  const double slope = 1.35 * std::cos(3 * s[0]), norm = std::hypot(1.0, slope);
  const auto on_hill = [&](double along, double up) -> Point {
    return {s[0] + (along - slope * up) / norm, height(s[0]) + (slope * along + up) / norm};
  };
  f.picture.area(f.at({on_hill(-0.08, 0.03), on_hill(0.08, 0.03), on_hill(0.08, 0.1), on_hill(-0.08, 0.1)}),
                 kBlue);
  for (const double along : {-0.045, 0.045}) {
    const Point wheel = on_hill(along, 0.03);
    f.picture.disc(f.at(wheel[0], wheel[1]), 0.03 * f.scale(), kInk);
  }
}

void draw_lunar_lander(const View& f, const Numbers& shown) {
  std::array<double, LunarLander::scene_numbers> numbers;
  std::copy(shown.begin(), shown.end(), numbers.begin());
  const auto scene = std::bit_cast<LunarLander::Scene>(numbers);
  constexpr double column = LunarLander::width / (LunarLander::columns - 1);
  std::vector<Point> ground;
  for (int i = 0; i < LunarLander::columns; ++i) ground.push_back({i * column, scene.ground[i]});
  std::vector<Point> below = ground;
  below.push_back({LunarLander::width, 0});
  below.push_back({0, 0});
  f.picture.area(f.at(below), kPale);
  f.picture.line(f.at(ground), kGrey, 1.25);
  for (const int i : {LunarLander::columns / 2 - 1, LunarLander::columns / 2 + 1}) {
    const double x = i * column, y = scene.ground[i];
    f.picture.line(f.at({{x, y}, {x, y + 1.6}}), kInk, 1);
    f.picture.area(f.at({{x, y + 1.6}, {x + 0.8, y + 1.3}, {x, y + 1}}), kOrange);
  }
  using Placed = LunarLander::Scene::Placed;
  const auto place = [](const Placed& body, double x, double y) -> Point {
    const double c = std::cos(body.angle), s = std::sin(body.angle);
    return {body.x + c * x - s * y, body.y + s * x + c * y};
  };
  if (scene.main > 0)
    f.picture.area(f.at({place(scene.lander, -0.2, -0.33), place(scene.lander, 0.2, -0.33),
                         place(scene.lander, 0, -0.4 - 1.1 * scene.main)}),
                   kVermillion);
  if (scene.side != 0) {
    // The left engine, of action 1, burns on the right.
    const double way = scene.side < 0 ? 1 : -1;
    f.picture.area(f.at({place(scene.lander, way * 0.52, 0.3), place(scene.lander, way * 0.52, 0.55),
                         place(scene.lander, way * (0.6 + 0.6 * std::abs(scene.side)), 0.42)}),
                   kVermillion);
  }
  constexpr double w = LunarLander::leg_half_width, h = LunarLander::leg_half_height;
  for (const Placed& leg : scene.legs)
    f.picture.area(f.at({place(leg, -w, -h), place(leg, w, -h), place(leg, w, h), place(leg, -w, h)}), kSky);
  std::vector<Point> hull;
  for (const auto& [x, y] : LunarLander::hull) hull.push_back(place(scene.lander, x, y));
  f.picture.area(f.at(hull), kBlue);
}

const std::map<std::string, Scene>& scenes() {
  static const Scene cart_pole{-2.6, 2.6, -0.2, 1.4, draw_cart_pole};
  static const Scene lunar_lander{0, LunarLander::width, 0, LunarLander::height + 0.8, draw_lunar_lander};
  static const std::map<std::string, Scene> all = {
      {"LunarLander-v3", lunar_lander},
      {"LunarLanderContinuous-v3", lunar_lander},
      {"CartPole-v0", cart_pole},
      {"CartPole-v1", cart_pole},
      {"CartPoleFriction-v0", cart_pole},
      {"Pendulum-v1", {-1.2, 1.2, -1.2, 1.2, draw_pendulum}},
      {"Acrobot-v1", {-2.2, 2.2, -2.2, 2.2, draw_acrobot}},
      {"MountainCar-v0",
       {-1.25, 0.65, 0.02, 1.27,
        [](const View& f, const Numbers& s) { draw_mountain_car(f, s, MountainCar::goal); }}},
      {"MountainCarContinuous-v0",
       {-1.25, 0.65, 0.02, 1.27,
        [](const View& f, const Numbers& s) { draw_mountain_car(f, s, MountainCarContinuous::goal); }}},
  };
  return all;
}

/// A picture of a console, its pixels square; `shown` as retro::Playable says.
void draw_screen(const View& f, const Numbers& shown) {
  const int columns = static_cast<int>(shown[0]), rows = static_cast<int>(shown[1]);
  std::vector<std::uint32_t> pixels;
  for (std::size_t i = 2; i < shown.size(); ++i) {
    const auto run = static_cast<std::uint64_t>(shown[i]);
    pixels.insert(pixels.end(), run >> 24, static_cast<std::uint32_t>(run & 0xffffff));
  }
  const double scale = std::min(f.width / columns, f.height / rows);
  const double left = f.left + (f.width - scale * columns) / 2, top = f.top + (f.height - scale * rows) / 2;
  f.picture.pixels({left, top}, {left + scale * columns, top + scale * rows}, columns, pixels);
}

std::optional<Scene> scene_of(const std::string& id) {
  if (const auto found = scenes().find(id); found != scenes().end()) return found->second;
  if (auto scene = minatar_scene(id)) return scene;
  if (id.starts_with("retro:")) return Scene{0, 8, 0, 7, draw_screen};
#ifdef LOWVAR_MUJOCO
  return mujoco_scene(id);
#else
  return std::nullopt;
#endif
}

// ---- Grids ----

/// A tabular world laid out in rows and columns, its states row by row; what its cells are is read off the
/// model.
struct Grid {
  int rows, cols;
  bool walls = false;   // whether a side that no move crosses is a wall
  bool cliffs = false;  // whether a cell that no move enters is an abyss
};

std::optional<Grid> grid_of(const std::string& id) {
  static const std::map<std::string, Grid> all = {{"chain", {1, 5}},
                                                  {"four-rooms", {10, 10, true}},
                                                  {"FrozenLake-v1", {4, 4}},
                                                  {"FrozenLake8x8-v1", {8, 8}},
                                                  {"CliffWalking-v0", {4, 12, false, true}},
                                                  {"bombs-and-bitcoin", {4, 6}},
                                                  {"windy-grid", {7, 10}}};
  if (const auto found = all.find(id); found != all.end()) return found->second;
  if (id.starts_with("FrozenLake-random:")) {
    const int side =
        static_cast<int>(std::lround(std::sqrt(make_world(id, std::nullopt, std::nullopt).mdp->S)));
    return Grid{side, side};
  }
  return std::nullopt;
}

/// Cells as the model has them. The states beyond rows * cols are the same cells once more.
struct Cells {
  Grid grid;
  std::vector<char> terminal, entered, start;
  std::vector<double> pays;  // for entering: by most moves, and of equally many the most
  std::vector<std::vector<char>> crosses;
  double usual = 0;  // what entering a cell mostly pays

  Cells(Grid layout, const Mdp& mdp) : grid(layout) {
    const int n = grid.rows * grid.cols;
    const auto size = static_cast<std::size_t>(n);
    terminal.assign(size, 0), entered.assign(size, 0), start.assign(size, 0), pays.assign(size, 0);
    crosses.assign(size, std::vector<char>(size, 0));
    using Counts = std::map<double, int>;
    const auto most = [](const Counts& counts) {
      return std::max_element(counts.begin(), counts.end(),
                              [](const auto& a, const auto& b) {
                                return std::pair(a.second, std::abs(a.first)) <
                                       std::pair(b.second, std::abs(b.first));
                              })
          ->first;
    };
    Counts all;
    std::vector<Counts> into(size);
    for (int s = 0; s < mdp.S; ++s) {
      const auto from = static_cast<std::size_t>(s % n);
      terminal[from] = mdp.terminal[static_cast<std::size_t>(s)];
      start[from] = start[from] || mdp.start[static_cast<std::size_t>(s)] > 0;
      for (int a = 0; a < mdp.A; ++a)
        for (const Outcome& o : mdp.outcomes(s, a)) {
          const auto to = static_cast<std::size_t>(o.next % n);
          if (to == from) continue;
          crosses[from][to] = crosses[to][from] = 1;
          entered[to] = 1;
          ++all[o.reward], ++into[to][o.reward];
        }
    }
    usual = most(all);
    for (std::size_t cell = 0; cell < size; ++cell)
      pays[cell] = into[cell].empty() || start[cell] ? usual : most(into[cell]);
  }

  /// A terminal cell that pays, or pays as well as any: the others are to be kept out of.
  bool is_goal(std::size_t cell) const {
    if (!terminal[cell]) return false;
    double best = pays[cell];
    for (std::size_t other = 0; other < pays.size(); ++other)
      if (terminal[other]) best = std::max(best, pays[other]);
    return pays[cell] > 0 || pays[cell] == best;
  }
};

void draw_grid(const View& f, const Cells& cells, const std::vector<int>& visited) {
  const int rows = cells.grid.rows, cols = cells.grid.cols;
  const auto centre = [&](int cell) -> Point {
    const int c = cell % (rows * cols);
    return {c % cols + 0.5, rows - c / cols - 0.5};
  };
  const double unit = f.scale();
  for (int cell = 0; cell < rows * cols; ++cell) {
    const auto k = static_cast<std::size_t>(cell);
    const auto [x, y] = centre(cell);
    const bool abyss = cells.grid.cliffs && !cells.entered[k] && !cells.start[k];
    const bool worth = cells.pays[k] != cells.usual;
    const char* colour = kWhite;
    if (abyss || (cells.terminal[k] && !cells.is_goal(k)))
      colour = "#5a5a5a";
    else if (cells.is_goal(k))
      colour = "#7fceb9";
    else if (worth)
      colour = cells.pays[k] < 0 ? "#eaae7f" : "#f7f1a1";
    f.picture.area(f.at({{x - .5, y - .5}, {x + .5, y - .5}, {x + .5, y + .5}, {x - .5, y + .5}}), colour,
                   "#cccccc", 0.75);
  }
  if (cells.grid.walls)
    for (int cell = 0; cell < rows * cols; ++cell)
      for (const int step : {1, cols}) {
        const int other = cell + step;
        if (other >= rows * cols || (step == 1 && other % cols == 0)) continue;
        const auto a = static_cast<std::size_t>(cell), b = static_cast<std::size_t>(other);
        if (cells.crosses[a][b] || (cells.terminal[a] && cells.terminal[b])) continue;
        const auto [x, y] = centre(cell);
        f.picture.line(step == 1 ? f.at({{x + .5, y - .5}, {x + .5, y + .5}})
                                 : f.at({{x - .5, y - .5}, {x + .5, y - .5}}),
                       kInk, 2);
      }
  f.picture.line(f.at({{0, 0}, {cols + 0., 0}, {cols + 0., rows + 0.}, {0, rows + 0.}, {0, 0}}), kInk, 1.25);
  // The way here, broken where it leaps, as back to the start.
  std::vector<Point> path;
  const auto draw_path = [&] {
    if (path.size() > 1) f.picture.line(f.at(path), "#a9d5f0", std::clamp(0.1 * unit, 1.25, 3.0));
    path.clear();
  };
  for (const int s : visited) {
    const Point p = centre(s);
    if (!path.empty() && p == path.back()) continue;
    if (!path.empty() && std::hypot(p[0] - path.back()[0], p[1] - path.back()[1]) > 2.5) draw_path();
    path.push_back(p);
  }
  draw_path();
  for (int cell = 0; cell < rows * cols; ++cell)
    if (const auto k = static_cast<std::size_t>(cell); cells.pays[k] != cells.usual && unit >= 12) {
      const double size = std::min(0.4 * unit, 12.0);
      const Point at = f.at(centre(cell)[0], centre(cell)[1]);
      const std::string sign = cells.pays[k] < 0 ? "−" : "+";
      f.picture.words({at[0], at[1] + 0.36 * size}, size, kInk,
                      sign + fmt::format("{:g}", std::abs(cells.pays[k])), Picture::Shape::Anchor::middle);
    }
  const Point here = centre(visited.back());
  f.picture.disc(f.at(here[0], here[1]), 0.28 * unit, kBlue, kWhite, 0.75);
}

/// A world that can be drawn: by its scene, or as a grid.
class Stage {
 public:
  explicit Stage(const std::string& id) : scene_(scene_of(id)) {
    if (!scene_) cells_.emplace(grid_of(id).value(), *make_world(id, std::nullopt, std::nullopt).mdp);
  }

  double aspect() const {
    return scene_ ? scene_->aspect() : static_cast<double>(cells_->grid.cols) / cells_->grid.rows;
  }
  /// How many frames are beside each other at most.
  int widest() const {
    const bool fine = cells_ && std::max(cells_->grid.rows, cells_->grid.cols) > 6;
    return fine || aspect() >= 2 ? 3 : aspect() >= 1.25 ? 4 : 6;
  }

  /// State t of an episode, from (left, top) on.
  void draw(Picture& picture, double left, double top, double width, const std::vector<Numbers>& states,
            std::size_t t) const {
    const View frame{picture,
                     left,
                     top,
                     width,
                     width / aspect(),
                     scene_ ? scene_->x_low : 0.,
                     scene_ ? scene_->x_high : cells_->grid.cols + 0.,
                     scene_ ? scene_->y_low : 0.};
    if (scene_) return scene_->draw(frame, states[t]);
    std::vector<int> visited;
    for (std::size_t k = 0; k <= t; ++k) visited.push_back(static_cast<int>(states[k][0]));
    draw_grid(frame, *cells_, visited);
  }

 private:
  std::optional<Scene> scene_;
  std::optional<Cells> cells_;
};

/// Frame i of n that are evenly spaced over an episode.
std::size_t step_of(int i, int n, const std::vector<Numbers>& states) {
  if (n == 1) return 0;
  return static_cast<std::size_t>(std::lround(static_cast<double>(states.size() - 1) * i / (n - 1)));
}

}  // namespace

bool can_draw(const std::string& id) { return scene_of(id) || grid_of(id); }

std::vector<std::string> drawable() {
  std::vector<std::string> out;
  for (const auto& world : worlds())
    if (world.id.starts_with("FrozenLake-random:") || can_draw(world.id)) out.push_back(world.id);
  return out;
}

Picture strip(const std::string& id, const std::vector<std::vector<double>>& states, int frames,
              const std::string& title) {
  const Stage stage(id);
  constexpr double page = 960, margin = 16, gap = 14, head = 40, foot = 22;
  const int shown = std::min(frames, static_cast<int>(states.size()));
  const int rows = (shown + stage.widest() - 1) / stage.widest();
  const int columns = std::max((shown + rows - 1) / rows, stage.widest() - 1);
  const double width = (page - 2 * margin - (columns - 1) * gap) / columns, height = width / stage.aspect();
  Picture picture(page, head + rows * (height + foot) + margin / 2);
  picture.words({margin, 25}, 13, kInk, title);
  for (int i = 0; i < shown; ++i) {
    const std::size_t t = step_of(i, shown, states);
    const double left = margin + i % columns * (width + gap), top = head + i / columns * (height + foot);
    stage.draw(picture, left, top, width, states, t);
    picture.words({left + width / 2, top + height + 14}, 10.5, kGrey, fmt::format("t = {}", t),
                  Picture::Shape::Anchor::middle);
  }
  return picture;
}

std::vector<Picture> animation(const std::string& id, const std::vector<std::vector<double>>& states,
                               int frames) {
  const Stage stage(id);
  constexpr double width = 420, margin = 10, foot = 22;
  const double height = (width - 2 * margin) / stage.aspect();
  std::vector<Picture> out;
  const int shown = std::min(frames, static_cast<int>(states.size()));
  for (int i = 0; i < shown; ++i) {
    const std::size_t t = step_of(i, shown, states);
    Picture& picture = out.emplace_back(width, std::round(height + margin + foot));
    stage.draw(picture, margin, margin, width - 2 * margin, states, t);
    picture.words({margin, margin + height + 14}, 10.5, kGrey, fmt::format("{}, t = {}", id, t));
  }
  return out;
}

}  // namespace lowvar
