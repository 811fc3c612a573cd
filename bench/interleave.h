// Times several ways of computing one thing in turn, round after round: clocks and neighbours drift over
// seconds, and what is compared must drift together.
#pragma once

#include <time.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

namespace lowvar {

struct Way {
  std::string name;
  std::function<void()> run;
  std::function<void()> before = nullptr;  // not timed, at the start of each sample
};

struct Timing {
  std::string name;
  double median_us, fastest_us;  // of one call, over the rounds
};

/// What is timed: of one thread its CPU time, which others on the machine disturb less; of several the time
/// that passes.
enum class Clock { thread, wall };

/// Microseconds.
inline double now(Clock clock) {
  timespec t;
  clock_gettime(clock == Clock::thread ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return 1e6 * static_cast<double>(t.tv_sec) + 1e-3 * static_cast<double>(t.tv_nsec);
}

/// At least seven rounds, and more until `seconds` have passed; each begins with another way. A sample is as
/// many calls as take about half a millisecond, after one that is not timed: what it finds in the caches is
/// its own, as in a loop that trains, not what another way left there.
inline std::vector<Timing> interleave(const std::vector<Way>& ways, double seconds, Clock clock) {
  const auto sample = [&](const Way& way, int calls) {
    if (way.before) way.before();
    way.run();
    const double start = now(clock);
    for (int i = 0; i < calls; ++i) way.run();
    return (now(clock) - start) / calls;
  };
  const std::size_t n = ways.size();
  std::vector<int> calls(n);
  std::vector<std::vector<double>> samples(n);
  for (std::size_t k = 0; k < n; ++k) {
    sample(ways[k], 1);
    const double once = sample(ways[k], 1);
    calls[k] = std::clamp(static_cast<int>(500 / std::min(once, sample(ways[k], 3))), 1, 10000);
  }
  const double start = now(Clock::wall);
  for (std::size_t round = 0; round < 7 || now(Clock::wall) - start < 1e6 * seconds; ++round)
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t k = (round + i) % n;
      samples[k].push_back(sample(ways[k], calls[k]));
    }
  std::vector<Timing> out;
  for (std::size_t k = 0; k < n; ++k) {
    auto& s = samples[k];
    std::sort(s.begin(), s.end());
    out.push_back({ways[k].name, s[s.size() / 2], s.front()});
  }
  return out;
}

}  // namespace lowvar
