#include "envs/retro/pixels.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace lowvar::retro {

std::vector<Shrink::Mean> Shrink::means(int from, int to) {
  std::vector<Mean> out;
  const double scale = static_cast<double>(from) / to;
  for (int i = 0; i < to; ++i) {
    const double low = i * scale, high = (i + 1) * scale;
    Mean mean{static_cast<int>(low), {}};
    for (int k = mean.first; k < from && k < high - 1e-9; ++k)
      mean.weights.push_back(
          static_cast<float>((std::min(high, k + 1.0) - std::max(low, static_cast<double>(k))) / scale));
    out.push_back(std::move(mean));
  }
  return out;
}

void Shrink::operator()(const Screen& screen, const Crop& crop, std::span<std::uint8_t> out) {
  const int width = crop.width ? crop.width : screen.width - crop.x,
            height = crop.height ? crop.height : screen.height - crop.y;
  expect(crop.x >= 0 && crop.y >= 0 && width > 0 && height > 0 && crop.x + width <= screen.width &&
             crop.y + height <= screen.height,
         "the crop, ", width, " x ", height, " from (", crop.x, ", ", crop.y,
         "), does not lie in a picture of ", screen.width, " x ", screen.height);
  if (width != screen_width_ || height != screen_height_) {
    of_rows_ = means(height, height_), of_columns_ = means(width, width_);
    screen_width_ = width, screen_height_ = height;
    row_.resize(static_cast<std::size_t>(width));
    grey_.resize(static_cast<std::size_t>(width));
  }
  // Rows come one after another; one at the border of two areas is turned grey once for each.
  const auto grey = [&](int y) {
    const std::uint32_t* const from =
        screen.pixels.data() + static_cast<std::size_t>(crop.y + y) * static_cast<std::size_t>(screen.width) +
        crop.x;
    float* const to = grey_.data();
    for (int x = 0; x < width; ++x) {
      const std::uint32_t p = from[x];
      const std::uint32_t sum = (p >> 16) * 4899 + (p >> 8 & 255) * 9617 + (p & 255) * 1868;
      to[x] = static_cast<float>(static_cast<int>((sum + 8192) >> 14));
    }
  };
  std::uint8_t* to = out.data();
  for (const Mean& rows : of_rows_) {
    std::fill(row_.begin(), row_.end(), 0.0F);
    for (std::size_t k = 0; k < rows.weights.size(); ++k) {
      grey(rows.first + static_cast<int>(k));
      const float weight = rows.weights[k];
      for (std::size_t x = 0; x < row_.size(); ++x) row_[x] += weight * grey_[x];
    }
    for (const Mean& columns : of_columns_) {
      float sum = 0.5F;
      const float* const from = row_.data() + columns.first;
      for (std::size_t k = 0; k < columns.weights.size(); ++k) sum += columns.weights[k] * from[k];
      *to++ = static_cast<std::uint8_t>(std::min(sum, 255.0F));
    }
  }
}

}  // namespace lowvar::retro
