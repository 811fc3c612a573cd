#include "experiments/png_file.h"

#include <zlib.h>

#include "core/error.h"

namespace lowvar {
namespace {

void append_number(std::string& out, std::size_t x) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(x >> shift & 255);
}

/// Length, kind, content, and a checksum of the last two.
void append_chunk(std::string& out, std::string_view kind, std::string_view content) {
  append_number(out, content.size());
  const std::string checked = std::string(kind) + std::string(content);
  out += checked;
  append_number(out,
                crc32(0, reinterpret_cast<const Bytef*>(checked.data()), static_cast<uInt>(checked.size())));
}

}  // namespace

std::string png_file(int columns, std::span<const std::uint32_t> pixels) {
  const auto width = static_cast<std::size_t>(columns), height = pixels.size() / width;
  std::string rows;
  for (std::size_t y = 0; y < height; ++y) {
    rows += '\0';  // filtered by nothing
    for (const std::uint32_t pixel : pixels.subspan(y * width, width))
      for (int shift = 16; shift >= 0; shift -= 8) rows += static_cast<char>(pixel >> shift & 255);
  }
  uLongf size = compressBound(static_cast<uLong>(rows.size()));
  std::string packed(size, '\0');
  const int status = compress(reinterpret_cast<Bytef*>(packed.data()), &size,
                              reinterpret_cast<const Bytef*>(rows.data()), static_cast<uLong>(rows.size()));
  expect(status == Z_OK, "there is no memory to draw ", width, " x ", height, " pixels");
  packed.resize(size);

  std::string header;
  append_number(header, width), append_number(header, height);
  header += {8, 2, 0, 0, 0};  // bits, red green blue, and the only methods there are
  std::string out = "\x89PNG\r\n\x1a\n";
  append_chunk(out, "IHDR", header);
  append_chunk(out, "IDAT", packed);
  append_chunk(out, "IEND", "");
  return out;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::string_view part = bytes.substr(i, 3);
    std::uint32_t three = 0;
    for (std::size_t k = 0; k < 3; ++k)
      three = three << 8 | (k < part.size() ? static_cast<unsigned char>(part[k]) : 0U);
    for (std::size_t k = 0; k < 4; ++k) out += k <= part.size() ? digits[three >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

}  // namespace lowvar
