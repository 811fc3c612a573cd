// Work over fixed shards, combined in shard order: the same bits for any number of threads.
#pragma once

#include <omp.h>

#include <algorithm>
#include <exception>
#include <vector>

namespace lowvar {

/// Calls f(i) for i in [0, n), each on one thread. What i stands for must not depend on the number of
/// threads; then neither do the results. The first exception, by i, is rethrown after the region.
template <class F>
void parallel_for(int n, F&& f) {
  std::exception_ptr error;
  int error_at = n;
#pragma omp parallel for schedule(dynamic, 1) if (n > 1)
  for (int i = 0; i < n; ++i) {
    try {
      f(i);
    } catch (...) {
#pragma omp critical(lowvar_parallel_for)
      if (i < error_at) error_at = i, error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

/// combine(i, produce(i)) for i in [0, n): produce runs in parallel, combine in the order of i.
/// At most `window` results are alive at a time; the window does not change any result.
template <class Produce, class Combine>
void ordered_reduce(int n, Produce&& produce, Combine&& combine) {
  using Result = decltype(produce(0));
  const int window = 4 * omp_get_max_threads();
  std::vector<Result> results;
  for (int begin = 0; begin < n; begin += window) {
    const int count = std::min(window, n - begin);
    results.clear();
    results.resize(static_cast<std::size_t>(count));
    parallel_for(count, [&](int i) { results[static_cast<std::size_t>(i)] = produce(begin + i); });
    for (int i = 0; i < count; ++i) combine(begin + i, std::move(results[static_cast<std::size_t>(i)]));
  }
}

}  // namespace lowvar
