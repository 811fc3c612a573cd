// Random numbers as a pure function of (seed, stream name, trajectory, episode, step, draw), by Philox4x32-10
// (Salmon et al. 2011). Two streams never share a number unless they share all of these; nothing is ever
// seeded with seed + i.
#pragma once

#include <Random123/philox.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <string_view>

namespace lowvar {

class Rng {
 public:
  /// Stream `stream` of `seed`, for trajectory (or environment) `index` in its episode `episode`.
  Rng(std::uint64_t seed, std::string_view stream, std::uint32_t index = 0, std::uint32_t episode = 0)
      : counter_{{0, 0, episode, index}} {
    std::uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a of the name
    for (const char c : stream) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    const std::uint64_t key = mix(seed + 0x9e3779b97f4a7c15ULL * mix(hash));
    key_ = {{static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)}};
  }

  /// The same stream for another trajectory and episode; cheaper than from the stream's name.
  Rng of(std::uint32_t index, std::uint32_t episode) const {
    Rng out = *this;
    out.counter_ = {{0, 0, episode, index}};
    out.used_ = 4;
    return out;
  }

  /// Calls f(i, rng) for i in [0, n) with rng = of(index + i, episode[i]) at step[i]. The first draws of many
  /// are computed at once, which takes a third of the time.
  template <class F>
  void of_each(std::uint32_t index, const std::uint32_t* episode, const std::uint32_t* step, int n,
               F&& f) const {
    constexpr int batch = 64;
    Block first[batch];
    for (int begin = 0; begin < n; begin += batch) {
      const int count = std::min(batch, n - begin);
      draw_blocks(index + static_cast<std::uint32_t>(begin), episode + begin, step + begin, count, first);
      for (int i = begin; i < begin + count; ++i) {
        Rng rng = of(index + static_cast<std::uint32_t>(i), episode[i]);
        rng.counter_[0] = 1;
        rng.counter_[1] = step[i];
        rng.block_ = first[i - begin];
        rng.used_ = 0;
        f(i, rng);
      }
    }
  }

  /// Moves to the first draw of step t. What was drawn at other steps does not matter.
  void seek(std::uint32_t t) {
    counter_[1] = t;
    counter_[0] = 0;
    used_ = 4;
  }

  std::uint32_t bits() {
    if (used_ == 4) {
      block_ = r123::Philox4x32()(counter_, key_);
      ++counter_[0];
      used_ = 0;
    }
    return block_[used_++];
  }

  /// Uniform in [0, 1) with 53 random bits.
  double uniform() {
    const std::uint64_t high = bits() >> 5, low = bits() >> 6;
    return static_cast<double>((high << 26) | low) * 0x1p-53;
  }

  double uniform(double low, double high) { return low + (high - low) * uniform(); }

  /// Standard normal (Box and Muller 1958, the cosine branch).
  double normal() {
    const double u = 1.0 - uniform(), v = uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
  }

  /// Index i with probability p[i]; p sums to one up to rounding.
  int categorical(std::span<const double> p) {
    double u = uniform();
    int last = 0;
    for (int i = 0; i < static_cast<int>(p.size()); ++i) {
      if (p[static_cast<std::size_t>(i)] <= 0) continue;
      last = i;
      u -= p[static_cast<std::size_t>(i)];
      if (u < 0) return i;
    }
    return last;
  }

 private:
  using Block = r123::Philox4x32::ctr_type;

  /// The first block of draws of of(index + i, episode[i]) at step[i], for i in [0, n).
  void draw_blocks(std::uint32_t index, const std::uint32_t* episode, const std::uint32_t* step, int n,
                   Block* out) const;

  static std::uint64_t mix(std::uint64_t x) {  // the finaliser of SplitMix64
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
  }

  Block counter_;  // draw, step, episode, trajectory
  r123::Philox4x32::key_type key_;
  Block block_{};
  unsigned used_ = 4;
};

}  // namespace lowvar
