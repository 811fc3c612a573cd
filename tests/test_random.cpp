// The random streams: bits that never change, purity, and the distributions drawn from them, at a family-wise
// error of 1e-6 with fixed seeds.
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "core/random.h"
#include "statistics.h"

namespace lowvar {
namespace {

constexpr double many = 1e12;  // degrees of freedom of a known standard error

using Block = std::array<std::uint32_t, 4>;

/// Philox4x32-10 as its paper has it (Salmon et al. 2011, section 3.3).
Block philox(Block x, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * x[0], b = std::uint64_t{0xCD9E8D57} * x[2];
    x = {static_cast<std::uint32_t>(b >> 32) ^ x[1] ^ key[0], static_cast<std::uint32_t>(b),
         static_cast<std::uint32_t>(a >> 32) ^ x[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return x;
}

std::vector<std::uint32_t> first_bits(Rng rng, int n = 16) {
  std::vector<std::uint32_t> out;
  for (int i = 0; i < n; ++i) out.push_back(rng.bits());
  return out;
}

TEST(Philox, KnownAnswers) {
  const r123::Philox4x32 generator;
  const auto zero = generator({{0, 0, 0, 0}}, {{0, 0}});
  const auto ones = generator({{~0u, ~0u, ~0u, ~0u}}, {{~0u, ~0u}});
  const Block of_zero{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  const Block of_ones{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(zero[i], of_zero[i]);
    EXPECT_EQ(ones[i], of_ones[i]);
  }
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), of_zero);
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), of_ones);
}

std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

TEST(Rng, IsTheStatedFunctionOfItsCoordinates) {
  const std::uint64_t seed = 0x0123456789abcdefULL;
  const std::string stream = "rollout";
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : stream) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  const std::uint64_t k = mix(seed + 0x9e3779b97f4a7c15ULL * mix(hash));
  const std::array<std::uint32_t, 2> key{static_cast<std::uint32_t>(k), static_cast<std::uint32_t>(k >> 32)};
  Rng rng(seed, stream, 5, 9);
  for (const std::uint32_t step : {0u, 1u, 1000000u}) {
    rng.seek(step);
    for (std::uint32_t block = 0; block < 3; ++block)
      for (const std::uint32_t word : philox({block, step, 9, 5}, key)) EXPECT_EQ(rng.bits(), word);
  }
}

/// Results on file were drawn with these bits.
TEST(Rng, BitsNeverChange) {
  Rng rng(0, "test");
  std::vector<std::uint32_t> bits = first_bits(rng, 4);
  EXPECT_EQ(bits, (std::vector<std::uint32_t>{0x6ef67ba1, 0xd862e3b5, 0x6483f3ce, 0x38f072af}));
  EXPECT_EQ(rng.uniform(), 0.43344853703125508);
  EXPECT_NEAR(rng.normal(), -0.32139035904419005, 1e-15);
}

TEST(Rng, IsPure) {
  Rng forward(1, "purity", 2, 3), backward(1, "purity", 2, 3), wasteful(1, "purity", 2, 3);
  std::vector<std::vector<double>> steps(20);
  for (std::uint32_t t = 0; t < 20; ++t) {
    forward.seek(t);
    for (int i = 0; i < 5; ++i) steps[t].push_back(forward.uniform());
  }
  for (std::uint32_t t = 20; t-- > 0;) {
    backward.seek(t);
    wasteful.seek(t + 1);
    for (std::uint32_t i = 0; i <= t; ++i) wasteful.bits();
    wasteful.seek(t);
    for (int i = 0; i < 5; ++i) {
      EXPECT_EQ(backward.uniform(), steps[t][static_cast<std::size_t>(i)]);
      EXPECT_EQ(wasteful.uniform(), steps[t][static_cast<std::size_t>(i)]);
    }
  }
  // A new stream stands at step 0, and a copy goes its own way.
  EXPECT_EQ(Rng(1, "purity", 2, 3).uniform(), steps[0][0]);
  Rng copy = forward;
  EXPECT_EQ(copy.bits(), forward.bits());
}

TEST(Rng, EachOfManyIsTheOneOfItsCoordinates) {
  const Rng stream(3, "many");
  for (const int n : {0, 1, 3, 4, 5, 63, 64, 70, 200}) {
    std::vector<std::uint32_t> episode, step;
    Rng numbers(5, "coordinates");
    for (int i = 0; i < n; ++i) episode.push_back(numbers.bits()), step.push_back(numbers.bits());
    int calls = 0;
    stream.of_each(0xfffffff0u, episode.data(), step.data(), n, [&](int i, Rng& rng) {
      EXPECT_EQ(i, calls++);
      const auto k = static_cast<std::size_t>(i);
      Rng one = stream.of(0xfffffff0u + static_cast<std::uint32_t>(i), episode[k]);
      one.seek(step[k]);
      for (int draw = 0; draw < 10; ++draw) EXPECT_EQ(rng.bits(), one.bits()) << n << " " << i << " " << draw;
    });
    EXPECT_EQ(calls, n);
  }
}

TEST(Rng, CoordinatesSeparateStreams) {
  std::vector<Rng> streams;
  for (const std::uint64_t seed : {0ULL, 1ULL, 2ULL, 1ULL << 32, ~0ULL})
    for (const char* name : {"", "a", "b", "ab", "ba", "rollout"})
      for (const std::uint32_t index : {0u, 1u, 2u})
        for (const std::uint32_t episode : {0u, 1u}) streams.emplace_back(seed, name, index, episode);
  std::set<std::uint64_t> seen;
  for (Rng& rng : streams)
    for (const std::uint32_t step : {0u, 1u, 2u}) {
      rng.seek(step);
      for (int i = 0; i < 10; ++i) seen.insert(std::uint64_t{rng.bits()} << 32 | rng.bits());
    }
  EXPECT_EQ(seen.size(), streams.size() * 3 * 10);
}

/// How far sum of (observed - expected)^2 / expected is from its mean, in standard normal units (Wilson &
/// Hilferty 1931).
double chi_square_deviation(const std::vector<long>& count, double expected) {
  double x = 0;
  for (const long c : count)
    x += (static_cast<double>(c) - expected) * (static_cast<double>(c) - expected) / expected;
  const double k = static_cast<double>(count.size()) - 1;
  return (std::cbrt(x / k) - (1 - 2 / (9 * k))) / std::sqrt(2 / (9 * k));
}

TEST(Rng, UniformIsUniform) {
  constexpr int N = 1 << 20, cells = 256;
  std::vector<long> high(cells), low(cells), pair(cells), seeds(cells), steps(cells);
  Rng rng(3, "uniform");
  double smallest = 1, largest = 0;
  for (int i = 0; i < N; ++i) {
    const double u = rng.uniform(), v = rng.uniform();
    smallest = std::min({smallest, u, v});
    largest = std::max({largest, u, v});
    ++high[static_cast<std::size_t>(u * cells)];
    const double scaled = u * 0x1p45;
    ++low[static_cast<std::size_t>((scaled - std::floor(scaled)) * cells)];  // the last 8 of the 53 bits
    ++pair[static_cast<std::size_t>(u * 16) * 16 + static_cast<std::size_t>(v * 16)];
  }
  EXPECT_GE(smallest, 0);
  EXPECT_LT(largest, 1);
  EXPECT_LT(smallest, 1e-5);
  EXPECT_GT(largest, 1 - 1e-5);
  // First draws across seeds, and across steps: what `seed + i` gets wrong.
  for (int i = 0; i < N; ++i) ++seeds[Rng(static_cast<std::uint64_t>(i), "uniform").bits() % cells];
  for (int i = 0; i < N; ++i) {
    rng.seek(static_cast<std::uint32_t>(i));
    ++steps[rng.bits() % cells];
  }
  for (const auto* count : {&high, &low, &pair, &seeds, &steps})
    EXPECT_LE(std::abs(chi_square_deviation(*count, double(N) / cells)), limit(5, many));
}

TEST(Rng, UniformOfAnIntervalStaysInIt) {
  Rng rng(3, "interval");
  for (int i = 0; i < 10000; ++i) {
    const double u = rng.uniform(-3, 5);
    EXPECT_GE(u, -3);
    EXPECT_LT(u, 5);
  }
}

TEST(Rng, NormalMoments) {
  constexpr int N = 1'000'000;
  Rng rng(4, "normal");
  double power[5] = {}, neighbours = 0, last = 0;
  long beyond = 0;
  for (int i = 0; i < N; ++i) {
    const double z = rng.normal();
    for (int k = 1; k <= 4; ++k) power[k] += std::pow(z, k);
    neighbours += z * last, last = z;
    if (std::abs(z) > 3) ++beyond;
  }
  // Of z^k: mean and variance.
  const double mean[] = {0, 0, 1, 0, 3}, variance[] = {0, 1, 2, 15, 96};
  const double most = limit(6, many);
  for (int k = 1; k <= 4; ++k)
    EXPECT_LE(std::abs(power[k] / N - mean[k]), most * std::sqrt(variance[k] / N)) << k;
  EXPECT_LE(std::abs(neighbours / N), most * std::sqrt(1.0 / N));
  const double tail = std::erfc(3 / std::sqrt(2.0));
  EXPECT_LE(std::abs(static_cast<double>(beyond) / N - tail), most * std::sqrt(tail * (1 - tail) / N));
}

TEST(Rng, CategoricalSkipsWhatHasNoProbability) {
  Rng rng(5, "categorical");
  const std::vector<double> p{0, 0.25, 0, 0, 0.75, 0};
  std::vector<long> count(p.size());
  constexpr int N = 400'000;
  for (int i = 0; i < N; ++i) ++count[static_cast<std::size_t>(rng.categorical(p))];
  for (std::size_t i = 0; i < p.size(); ++i)
    EXPECT_LE(std::abs(static_cast<double>(count[i]) / N - p[i]),
              limit(2, many) * std::sqrt(p[i] * (1 - p[i]) / N));
}

TEST(Rng, CategoricalNeverFallsOffTheEnd) {
  // Probabilities that sum to less than one by rounding: the rest belongs to the last that has any.
  const std::vector<double> p{0.5, 0.5 - 1e-3, 0, 0};
  const std::vector<double> certain{0, 1, 0};
  Rng rng(6, "categorical");
  for (int i = 0; i < 20000; ++i) {
    const int drawn = rng.categorical(p);
    EXPECT_TRUE(drawn == 0 || drawn == 1);
    EXPECT_EQ(rng.categorical(certain), 1);
  }
}

}  // namespace
}  // namespace lowvar
