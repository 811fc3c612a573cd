// Work over fixed shards, combined in shard order: the same bits for any number of threads and processes.
#pragma once

#include <omp.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <utility>
#include <vector>

#include "core/processes.h"
#include "core/store.h"

namespace lowvar {

namespace detail {

/// What is left of a range: its own thread takes from the front, a quarter at a time, for taking costs what
/// the smallest tasks do; others take one from the back.
class alignas(64) Remaining {
 public:
  using Range = std::pair<int, int>;  // [first, second)

  void reset(Range range) { range_.store(pack(range), std::memory_order_relaxed); }
  Range front() {
    return take([](Range all) {
      const int at = all.first + std::max(1, (all.second - all.first) / 4);
      return std::pair{Range{all.first, at}, Range{at, all.second}};
    });
  }
  Range back() {
    return take([](Range all) {
      const int at = all.second - 1;
      return std::pair{Range{at, all.second}, Range{all.first, at}};
    });
  }

 private:
  static std::uint64_t pack(Range range) {
    return static_cast<std::uint64_t>(range.first) << 32 | static_cast<std::uint32_t>(range.second);
  }
  /// `split` tells the part that is taken from the rest. Nothing of nothing.
  Range take(auto&& split) {
    std::uint64_t packed = range_.load(std::memory_order_relaxed);
    for (;;) {
      const Range all{static_cast<int>(packed >> 32), static_cast<int>(packed & 0xffffffff)};
      if (all.first >= all.second) return {};
      const auto [taken, rest] = split(all);
      if (range_.compare_exchange_weak(packed, pack(rest), std::memory_order_relaxed)) return taken;
    }
  }
  std::atomic<std::uint64_t> range_;
};

}  // namespace detail

/// Calls f(i) for i in [0, n), each on one thread. What i stands for must not depend on the number of
/// threads; then neither do the results. The first exception, by i, is rethrown after the region.
///
/// Each thread begins with its own contiguous part, the same for the same n, so that what i stands for stays
/// in its cache from call to call; who has done with that takes from the ends of the others' parts.
///
/// Every process calls f for all of [0, n), and deals nothing inside.
template <class F>
void parallel_for(int n, F&& f) {
  const Alone alone;
  std::exception_ptr error;
  int error_at = n;
  const auto call = [&](int i) {
    try {
      f(i);
    } catch (...) {
#pragma omp critical(lowvar_parallel_for)
      if (i < error_at) error_at = i, error = std::current_exception();
    }
  };
  constexpr int most = 64;  // parts; more threads than that find something to take
  const int parts = omp_in_parallel() ? 1 : std::min({n, omp_get_max_threads(), most});
  if (parts <= 1) {
    for (int i = 0; i < n; ++i) call(i);
  } else {
    std::array<detail::Remaining, most> remaining;
    const auto begin_of = [&](int k) { return static_cast<int>(static_cast<std::int64_t>(n) * k / parts); };
    for (int k = 0; k < parts; ++k)
      remaining[static_cast<std::size_t>(k)].reset({begin_of(k), begin_of(k + 1)});
#pragma omp parallel
    {
      const auto call_all = [&](detail::Remaining::Range range) {
        for (int i = range.first; i < range.second; ++i) call(i);
        return range.first < range.second;
      };
      const int own = omp_get_thread_num() % parts;
      while (call_all(remaining[static_cast<std::size_t>(own)].front())) continue;
      for (int k = 1; k < parts; ++k)
        while (call_all(remaining[static_cast<std::size_t>((own + k) % parts)].back())) continue;
    }
  }
  if (error) std::rethrow_exception(error);
}

/// combine(i, produce(i)) for i in [0, n): produce runs in parallel, combine in the order of i.
/// At most a window of results is alive at a time; the window does not change any result.
///
/// What produce does is dealt among the processes, and every one of them combines every result. So produce
/// has no effect but its result, which is visitable or another thing that core/store.h stores.
template <class Produce, class Combine>
void ordered_reduce(int n, Produce&& produce, Combine&& combine) {
  using Result = decltype(produce(0));
  std::vector<Result> results;
  const auto produce_all = [&](int begin, int count) {
    results.clear();
    results.resize(static_cast<std::size_t>(count));
    parallel_for(count, [&](int i) { results[static_cast<std::size_t>(i)] = produce(begin + i); });
  };
  const auto combine_all = [&](int begin) {
    for (auto& each : results) combine(begin++, std::move(each));
    return begin;
  };
  if (ranks() == 1 || n <= 1) {
    const int window = 4 * omp_get_max_threads();
    for (int begin = 0; begin < n;) {
      produce_all(begin, std::min(window, n - begin));
      begin = combine_all(begin);
    }
    return;
  }
  const int window = 8 * agreed(omp_get_max_threads()) * ranks();
  for (int begin = 0; begin < n;) {
    const auto [first, last] = own_part(std::min(window, n - begin));
    auto parts = all_gather([&] {
      produce_all(begin + first, last - first);
      return stored(results);
    });
    for (Bytes& part : parts) {
      results.clear();  // combine has moved from them
      restore_from(part, results);
      part = {};
      begin = combine_all(begin);
    }
  }
}

}  // namespace lowvar
