// A learner as bytes, exactly: whatever has visit(f), f(name, field), of numbers, strings, arrays and lists
// of such.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/array.h"
#include "nn/optim.h"

namespace lowvar {

namespace detail {

template <class X>
concept Visitable = requires(X& x) {
  x.visit([](const char*, auto&) {});
};

/// Appends fields to bytes.
struct Storing {
  std::vector<std::byte>& out;

  void raw(const void* from, std::size_t size) {
    const auto* bytes = static_cast<const std::byte*>(from);
    out.insert(out.end(), bytes, bytes + size);
  }
  void size(std::size_t& n) {
    const std::uint64_t written = n;
    raw(&written, sizeof written);
  }
  void numbers(void* data, std::size_t bytes) { raw(data, bytes); }
};

/// Reads them back in the same order.
struct Restoring {
  std::span<const std::byte> in;

  void raw(void* to, std::size_t size) {
    expect(in.size() >= size, "the stored learner ends early: ", size, " bytes are needed where ", in.size(),
           " are left");
    if (size) std::memcpy(to, in.data(), size);
    in = in.subspan(size);
  }
  void size(std::size_t& n) {
    std::uint64_t read = 0;
    raw(&read, sizeof read);
    expect(read <= in.size(), "the stored learner has a list of ", read, " entries in ", in.size(), " bytes");
    n = read;
  }
  void numbers(void* data, std::size_t bytes) { raw(data, bytes); }
};

template <class Archive, class X>
void each_field(Archive& archive, X& x);

template <class Archive, class X>
void each_field(Archive& archive, std::vector<X>& x) {
  std::size_t n = x.size();
  archive.size(n);
  x.resize(n);
  if constexpr (std::is_arithmetic_v<X> || std::is_same_v<X, std::byte>)
    archive.numbers(x.data(), n * sizeof(X));
  else
    for (auto& each : x) each_field(archive, each);
}

template <class Archive, class T>
void each_field(Archive& archive, Array<T>& x) {
  std::size_t rows = x.shape(0), cols = x.shape(1);
  archive.size(rows), archive.size(cols);
  if (rows != x.shape(0) || cols != x.shape(1)) x = zeros<T>(static_cast<int>(rows), static_cast<int>(cols));
  archive.numbers(x.data(), x.size() * sizeof(T));
}

template <class Archive, class T>
void each_field(Archive& archive, AdamState<T>& x) {
  each_field(archive, x.t), each_field(archive, x.m), each_field(archive, x.v);
}

template <class Archive, class X>
void each_field(Archive& archive, X& x) {
  if constexpr (Visitable<X>)
    x.visit([&](const char*, auto& field) { each_field(archive, field); });
  else if constexpr (std::is_same_v<X, std::string>) {
    std::size_t n = x.size();
    archive.size(n);
    x.resize(n);
    archive.numbers(x.data(), n);
  } else {
    static_assert(std::is_arithmetic_v<X>,
                  "a field that is stored is a number, a list, an array, or visitable");
    archive.numbers(&x, sizeof x);
  }
}

}  // namespace detail

template <class X>
std::vector<std::byte> stored(const X& x) {
  std::vector<std::byte> out;
  detail::Storing archive{out};
  detail::each_field(archive, const_cast<X&>(x));  // which storing only reads
  return out;
}

/// Throws Error where the bytes are not those of an X.
template <class X>
void restore_from(std::span<const std::byte> bytes, X& x) {
  detail::Restoring archive{bytes};
  detail::each_field(archive, x);
  expect(archive.in.empty(), "the stored learner has ", archive.in.size(), " bytes too many");
}

}  // namespace lowvar
