// Values as bytes, exactly, for a file or another process: whatever has visit(f), f(name, field), of numbers,
// strings, arrays, and lists, optional ones, pairs and variants of such.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "core/array.h"
#include "core/error.h"

namespace lowvar {

namespace detail {

template <class X>
concept Visitable = requires(X& x) {
  x.visit([](const char*, auto&) {});
};

/// Counts the bytes that Storing appends.
struct Counting {
  std::size_t bytes = 0;

  void raw(const void*, std::size_t size) { bytes += size; }
  void size(std::size_t&) { bytes += sizeof(std::uint64_t); }
  void shape(std::size_t& rows, std::size_t& cols, std::size_t) { size(rows), size(cols); }
};

/// Appends fields to bytes.
struct Storing {
  std::vector<std::byte>& out;

  void raw(const void* from, std::size_t size) {
    const std::size_t at = out.size();
    out.resize(at + size);
    if (size) std::memcpy(out.data() + at, from, size);
  }
  void size(std::size_t& n) {
    const std::uint64_t written = n;
    raw(&written, sizeof written);
  }
  void shape(std::size_t& rows, std::size_t& cols, std::size_t) { size(rows), size(cols); }
};

/// Reads them back in the same order.
struct Restoring {
  std::span<const std::byte> in;

  void raw(void* to, std::size_t size) {
    expect(in.size() >= size, "the stored value ends early: ", size, " bytes are needed where ", in.size(),
           " are left");
    if (size) std::memcpy(to, in.data(), size);
    in = in.subspan(size);
  }
  void size(std::size_t& n) {
    std::uint64_t read = 0;
    raw(&read, sizeof read);
    expect(read <= in.size(), "the stored value has a list of ", read, " entries in ", in.size(), " bytes");
    n = read;
  }
  /// Of an array of numbers of `size` bytes.
  void shape(std::size_t& rows, std::size_t& cols, std::size_t size) {
    std::uint64_t read[2] = {};
    raw(read, sizeof read);
    rows = read[0], cols = read[1];
    constexpr std::size_t most = std::numeric_limits<int>::max();
    expect(rows <= most && cols <= most && (cols == 0 || rows <= in.size() / size / cols),
           "the stored value has an array of ", rows, " x ", cols, " numbers in ", in.size(), " bytes");
  }
};

template <class Archive, class X>
void each_field(Archive& archive, X& x);
template <class Archive, class X>
void each_field(Archive& archive, std::optional<X>& x);
template <class Archive, class X, class Y>
void each_field(Archive& archive, std::pair<X, Y>& x);
template <class Archive, class... X>
void each_field(Archive& archive, std::variant<X...>& x);
template <class Archive, class T>
void each_field(Archive& archive, Array<T>& x);

template <class Archive, class X>
void each_field(Archive& archive, std::vector<X>& x) {
  std::size_t n = x.size();
  archive.size(n);
  x.resize(n);
  if constexpr (std::is_arithmetic_v<X> || std::is_same_v<X, std::byte>)
    archive.raw(x.data(), n * sizeof(X));
  else
    for (auto& each : x) each_field(archive, each);
}

template <class Archive, class T>
void each_field(Archive& archive, Array<T>& x) {
  std::size_t rows = x.shape(0), cols = x.shape(1);
  archive.shape(rows, cols, sizeof(T));
  if (rows != x.shape(0) || cols != x.shape(1)) x = zeros<T>(static_cast<int>(rows), static_cast<int>(cols));
  archive.raw(x.data(), x.size() * sizeof(T));
}

template <class Archive, class X>
void each_field(Archive& archive, std::optional<X>& x) {
  std::size_t has = x.has_value();
  archive.size(has);
  if (has && !x) x.emplace();
  if (!has) x.reset();
  if (x) each_field(archive, *x);
}

template <class Archive, class X, class Y>
void each_field(Archive& archive, std::pair<X, Y>& x) {
  each_field(archive, x.first), each_field(archive, x.second);
}

template <class Archive, class... X>
void each_field(Archive& archive, std::variant<X...>& x) {
  std::size_t type = x.index();
  archive.size(type);
  expect(type < sizeof...(X), "the stored value is of type ", type, " of ", sizeof...(X));
  if (type != x.index()) {
    std::size_t i = 0;
    ((type == i++ ? void(x = X{}) : void()), ...);
  }
  std::visit([&](auto& each) { each_field(archive, each); }, x);
}

template <class Archive, class X>
void each_field(Archive& archive, X& x) {
  if constexpr (Visitable<X>)
    x.visit([&](const char*, auto& field) { each_field(archive, field); });
  else if constexpr (std::is_same_v<X, std::string>) {
    std::size_t n = x.size();
    archive.size(n);
    x.resize(n);
    archive.raw(x.data(), n);
  } else {
    static_assert(std::is_arithmetic_v<X>,
                  "a field that is stored is a number, a list, an array, or visitable");
    archive.raw(&x, sizeof x);
  }
}

}  // namespace detail

template <class X>
std::vector<std::byte> stored(const X& x) {
  X& fields = const_cast<X&>(x);  // which are only read
  detail::Counting counting;
  detail::each_field(counting, fields);
  std::vector<std::byte> out;
  out.reserve(counting.bytes);
  detail::Storing archive{out};
  detail::each_field(archive, fields);
  return out;
}

/// Throws Error where the bytes are not those of an X.
template <class X>
void restore_from(std::span<const std::byte> bytes, X& x) {
  detail::Restoring archive{bytes};
  detail::each_field(archive, x);
  expect(archive.in.empty(), "the stored value has ", archive.in.size(), " bytes too many");
}

}  // namespace lowvar
