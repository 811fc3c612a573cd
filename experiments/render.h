// Pictures of worlds: a strip of frames, as SVG or, through matplotlib, as PNG; or moving, as GIF or APNG.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "experiments/worlds.h"

namespace lowvar {

/// A drawing of lines, areas, discs, pixels and words, in pixels from the top left corner.
class Picture {
 public:
  using Point = std::array<double, 2>;
  struct Shape {
    std::vector<Point> points = {};      // of a line or an area; the centre of a disc; where words are
    std::string fill = {}, stroke = {};  // colours as #RRGGBB; empty: none
    double width = 0;                    // of the stroke
    double size = 0;                     // the radius of a disc, the height of words
    std::string words = {};
    std::string png = {};  // what fills the rectangle between two points: a PNG file, in base64
    enum class Anchor { left, middle } anchor = Anchor::left;
  };

  Picture(double width, double height) : width_(width), height_(height) {}
  void line(std::vector<Point> points, const std::string& stroke, double width);
  void area(std::vector<Point> points, const std::string& fill, const std::string& stroke = "",
            double width = 0);
  void disc(Point centre, double radius, const std::string& fill, const std::string& stroke = "",
            double width = 0);
  /// Pixels 0xRRGGBB, row after row, from `top_left` to `bottom_right`.
  void pixels(Point top_left, Point bottom_right, int columns, std::span<const std::uint32_t> pixels);
  void words(Point at, double size, const std::string& colour, const std::string& text,
             Shape::Anchor anchor = Shape::Anchor::left);

  std::string svg() const;
  /// Writes FILE.svg or FILE.png. Throws Error for any other ending, and where PNG's helper fails.
  void write(const std::filesystem::path& path) const;
  nlohmann::ordered_json json() const;

 private:
  double width_, height_;
  std::vector<Shape> shapes_;
};

/// Whether this program knows how to draw this world.
bool can_draw(const std::string& id);
/// The ids of those.
std::vector<std::string> drawable();

/// At most `frames` of the states of one episode, as `States::shown` gives them or, where that is nothing, as
/// they are observed; evenly spaced from the first to the last, under a title.
Picture strip(const std::string& id, const std::vector<std::vector<double>>& states, int frames,
              const std::string& title);

/// The same, each a picture of its own.
std::vector<Picture> animation(const std::string& id, const std::vector<std::vector<double>>& states,
                               int frames);
/// Writes FILE.gif or FILE.apng, 20 pictures a second. Throws Error as Picture::write does.
void write_animation(const std::vector<Picture>& pictures, const std::filesystem::path& path);

}  // namespace lowvar
