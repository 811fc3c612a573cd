#include "core/interrupt.h"

#include <atomic>
#include <csignal>

namespace lowvar {
namespace {

std::atomic<int> asked = 0;
static_assert(std::atomic<int>::is_always_lock_free);

extern "C" void ask(int signal) {
  asked = signal;
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = ask;
  action.sa_flags = SA_RESTART;
  // Where they are ignored too, as a shell does in the background: who sends one means it.
  for (const int signal : {SIGINT, SIGTERM}) ::sigaction(signal, &action, nullptr);
}

int interrupt_signal() { return asked; }

}  // namespace lowvar
