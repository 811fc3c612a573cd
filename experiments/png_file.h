// Pixels as a PNG file.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace lowvar {

/// The bytes of a PNG file of pixels 0xRRGGBB, row after row.
std::string png_file(int columns, std::span<const std::uint32_t> pixels);

std::string base64(std::string_view bytes);

}  // namespace lowvar
