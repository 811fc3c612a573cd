// From a colour picture to the small grey one that Atari and Retro agents look at.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "envs/retro/core.h"

namespace lowvar::retro {

/// A part of a picture; all of it where the sides are 0.
struct Crop {
  int x = 0, y = 0, width = 0, height = 0;
};

/// Grey, .299 R + .587 G + .114 B in 14 bits, to the nearest of 0 ... 255; then each pixel the mean of the
/// area under it, to the nearest: OpenCV's cvtColor and INTER_AREA.
class Shrink {
 public:
  Shrink(int height, int width) : height_(height), width_(width) {}
  int size() const { return height_ * width_; }
  /// Throws Error where the crop does not lie in the picture.
  void operator()(const Screen& screen, const Crop& crop, std::span<std::uint8_t> out);

 private:
  /// What a pixel of the result is the mean of: from `first` on, with these weights, which sum to one.
  struct Mean {
    int first;
    std::vector<float> weights;
  };
  static std::vector<Mean> means(int from, int to);

  int height_, width_;
  std::vector<Mean> of_rows_, of_columns_;
  int screen_height_ = 0, screen_width_ = 0;  // that these are for
  std::vector<float> grey_, row_;
};

}  // namespace lowvar::retro
