// Work in parallel: each index once, results in order, the same bits for any number of threads, errors by
// index.
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "core/parallel.h"
#include "core/random.h"

namespace lowvar {
namespace {

/// So many threads while it lives.
class Threads {
 public:
  explicit Threads(int n) : before_(omp_get_max_threads()) { omp_set_num_threads(n); }
  ~Threads() { omp_set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

constexpr int teams[] = {1, 2, 3, 7};

TEST(ParallelFor, CallsEachIndexOnce) {
  for (const int threads : teams)
    for (const int n : {0, 1, 2, 100}) {
      const Threads team(threads);
      std::vector<int> calls(static_cast<std::size_t>(n));
      parallel_for(n, [&](int i) { ++calls[static_cast<std::size_t>(i)]; });
      EXPECT_EQ(calls, std::vector<int>(static_cast<std::size_t>(n), 1));
    }
}

TEST(ParallelFor, RethrowsTheExceptionOfTheSmallestIndex) {
  for (const int threads : teams)
    for (int repeat = 0; repeat < 20; ++repeat) {
      const Threads team(threads);
      std::atomic<int> calls = 0;
      try {
        parallel_for(100, [&](int i) {
          ++calls;
          if (i == 17 || i == 18 || i > 90) throw std::runtime_error(std::to_string(i));
        });
        FAIL() << "no exception";
      } catch (const std::runtime_error& e) {
        EXPECT_STREQ(e.what(), "17");
      }
      EXPECT_EQ(calls, 100);
    }
  int after = 0;
  parallel_for(1, [&](int) { ++after; });
  EXPECT_EQ(after, 1);
}

TEST(ParallelFor, WhoHasDoneTakesWhatOthersHaveLeft) {
  const Threads team(2);
  std::atomic<int> others = 0;
  bool taken = false;
  parallel_for(4, [&](int i) {
    if (i > 0) {
      ++others;
      return;
    }
    // One thread begins with 0 and 1, and stays here until the other has done 2 and 3 and taken 1.
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (others < 3 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    taken = others == 3;
  });
  EXPECT_TRUE(taken);
}

/// The sum of shards of normal numbers, in float, where the order of the terms shows.
float sum_of_shards(int shards) {
  float total = 0;
  int next = 0;
  ordered_reduce(
      shards,
      [](int shard) {
        Rng rng(0, "shard", static_cast<std::uint32_t>(shard));
        float sum = 0;
        for (int i = 0; i < 1000; ++i) sum += static_cast<float>(rng.normal());
        return sum;
      },
      [&](int shard, float part) {
        EXPECT_EQ(shard, next++);
        total += part;
      });
  EXPECT_EQ(next, shards);
  return total;
}

TEST(OrderedReduce, GivesTheSameBitsForAnyNumberOfThreads) {
  for (const int shards : {0, 1, 5, 200}) {
    std::vector<std::uint32_t> bits;
    for (const int threads : teams) {
      const Threads team(threads);
      bits.push_back(std::bit_cast<std::uint32_t>(sum_of_shards(shards)));
    }
    EXPECT_EQ(bits, std::vector<std::uint32_t>(std::size(teams), bits.front())) << shards;
  }
}

/// What can be moved and not copied.
struct Once {
  std::unique_ptr<int> x;
  template <class F>
  void visit(F&&) {}
};

TEST(OrderedReduce, MovesResults) {
  for (const int threads : teams) {
    const Threads team(threads);
    std::vector<int> seen;
    ordered_reduce(
        50, [](int i) { return Once{std::make_unique<int>(i * i)}; },
        [&](int, Once once) { seen.push_back(*once.x); });
    ASSERT_EQ(seen.size(), 50u);
    for (int i = 0; i < 50; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], i * i);
  }
}

TEST(OrderedReduce, RethrowsAndCombinesNothingAfter) {
  for (const int threads : teams) {
    const Threads team(threads);
    int combined = 0;
    const auto produce = [](int i) {
      if (i >= 60) throw std::runtime_error(std::to_string(i));
      return i;
    };
    try {
      ordered_reduce(100, produce, [&](int i, int) { EXPECT_EQ(i, combined++); });
      FAIL() << "no exception";
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "60");
    }
    EXPECT_LE(combined, 60);
  }
}

/// One of those that are alive.
struct Counted {
  std::atomic<int>* alive = nullptr;
  Counted() = default;
  Counted(std::atomic<int>& a, std::atomic<int>& m) : alive(&a) {
    const int now = ++a;
    int before = m;
    while (before < now && !m.compare_exchange_weak(before, now)) {
    }
  }
  Counted(Counted&& other) noexcept : alive(std::exchange(other.alive, nullptr)) {}
  Counted& operator=(Counted&& other) noexcept {
    std::swap(alive, other.alive);
    return *this;
  }
  ~Counted() {
    if (alive) --*alive;
  }
  template <class F>
  void visit(F&&) {}
};

TEST(OrderedReduce, KeepsAFixedNumberOfResults) {
  const Threads team(2);
  std::atomic<int> alive = 0, most = 0;
  ordered_reduce(
      1000, [&](int) { return Counted(alive, most); }, [](int, Counted) {});
  EXPECT_EQ(alive, 0);
  EXPECT_LE(most, 4 * 2 + 2);
}

}  // namespace
}  // namespace lowvar
