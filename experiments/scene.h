// What a frame of a world shows.
#pragma once

#include <functional>
#include <optional>

#include "experiments/render.h"

namespace lowvar {

using Point = Picture::Point;
using Numbers = std::vector<double>;

/// Okabe and Ito's colours, told apart by colour-blind readers too, and greys.
namespace colours {
constexpr const char *kInk = "#222222", *kGrey = "#8a8a8a", *kPale = "#e6e6e6", *kWhite = "#ffffff",
                     *kBlue = "#0072b2", *kSky = "#56b4e9", *kOrange = "#e69f00", *kGreen = "#009e73",
                     *kVermillion = "#d55e00", *kYellow = "#f0e442";
}  // namespace colours

/// A frame of a picture: world coordinates, y upwards, onto pixels.
struct View {
  Picture& picture;
  double left, top, width, height;  // in pixels
  double x_low, x_high, y_low;      // the world's; square units

  double scale() const { return width / (x_high - x_low); }
  Point at(double x, double y) const {
    return {left + (x - x_low) * scale(), top + height - (y - y_low) * scale()};
  }
  std::vector<Point> at(const std::vector<Point>& points) const {
    std::vector<Point> out;
    for (const auto& [x, y] : points) out.push_back(at(x, y));
    return out;
  }
};

/// A world that is drawn state by state, within these bounds.
struct Scene {
  double x_low, x_high, y_low, y_high;
  std::function<void(const View&, const Numbers& shown)> draw;  // as it is shown (render.h)

  double aspect() const { return (x_high - x_low) / (y_high - y_low); }
};

/// Of a game of MinAtar, drawn from what is observed; nothing where `id` is none.
std::optional<Scene> minatar_scene(const std::string& id);
/// Of a world on MuJoCo; nothing where `id` is none.
std::optional<Scene> mujoco_scene(const std::string& id);

}  // namespace lowvar
