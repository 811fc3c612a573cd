// A wall clock and a monotonic clock that jump back and forth by years, from call to call.
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

namespace {

time_t jump() {
  static std::atomic<int> calls = 0;
  constexpr time_t years = 10L * 365 * 24 * 3600;
  constexpr time_t jumps[] = {0, years, -years, 1};
  return jumps[calls++ % 4];
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const long status = ::syscall(SYS_clock_gettime, clock, now);
  now->tv_sec += jump();
  return static_cast<int>(status);
}

int gettimeofday(timeval* now, void*) noexcept {
  timespec t{};
  const int status = clock_gettime(CLOCK_REALTIME, &t);
  now->tv_sec = t.tv_sec;
  now->tv_usec = t.tv_nsec / 1000;
  return status;
}

time_t time(time_t* to) noexcept {
  timespec t{};
  clock_gettime(CLOCK_REALTIME, &t);
  if (to) *to = t.tv_sec;
  return t.tv_sec;
}

}  // extern "C"
