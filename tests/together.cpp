// One of several processes that work together, for test_cli_processes: together WHAT [RANK]. What it finds
// wrong is on standard error, and in its exit code.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "autograd/autograd.h"
#include "core/error.h"
#include "core/parallel.h"
#include "core/processes.h"
#include "core/random.h"

namespace lowvar {
namespace {

Bytes filled(std::size_t size, int with) { return Bytes(size, static_cast<std::byte>(with)); }

void gather() {
  const int n = ranks(), r = rank();
  for (const std::size_t size : {0UL, 1UL, 1000UL, 3'000'000UL}) {
    const auto all = all_gather(filled(size * static_cast<std::size_t>(r), r));
    expect(all.size() == static_cast<std::size_t>(n), "gathered of ", all.size());
    for (int k = 0; k < n; ++k)
      expect(all[static_cast<std::size_t>(k)] == filled(size * static_cast<std::size_t>(k), k), "what ", k,
             " gave of ", size);
  }
  expect(agreed(r + 5) == 5, "agreed on ", agreed(r + 5));
  int calls = 0;
  const Bytes told = from_root([&] {
    ++calls;
    return filled(3, 9);
  });
  expect(told == filled(3, 9) && calls == (root() ? 1 : 0), "told by the root");

  for (const int count : {0, 1, 5, 1000}) {
    const auto [from, to] = own_part(count);
    const auto ends = all_gather(stored(std::pair(from, to)));
    int end = 0;
    for (const Bytes& each : ends) {
      std::pair<int, int> part;
      restore_from(each, part);
      expect(part.first == end && part.second - part.first <= count / n + 1, "a part from ", part.first);
      end = part.second;
    }
    expect(end == count, "parts end at ", end);
    std::vector<double> x(static_cast<std::size_t>(count), -1);
    complete(x, static_cast<std::size_t>(from), static_cast<std::size_t>(to), [&, from = from, to = to] {
      for (int i = from; i < to; ++i) x[static_cast<std::size_t>(i)] = i;
    });
    for (int i = 0; i < count; ++i) expect(x[static_cast<std::size_t>(i)] == i, "number ", i);
  }

  const Alone alone;
  expect(ranks() == 1 && rank() == 0 && own_part(7) == std::pair(0, 7) && agreed(r) == r, "alone");
  expect(all_gather(filled(2, r)) == std::vector<Bytes>{filled(2, r)}, "gathered alone");
}

/// The same bits dealt and alone, and fewer calls.
void deal() {
  const auto reduce = [](int n, int& produced) {
    float total = 0;
    int next = 0;
    std::atomic<int> calls = 0;
    ordered_reduce(
        n,
        [&](int i) {
          ++calls;
          Rng rng(0, "deal", static_cast<std::uint32_t>(i));
          expect(ranks() == 1, "dealt again inside");
          return std::vector<float>(static_cast<std::size_t>(1 + i % 3), static_cast<float>(rng.normal()));
        },
        [&](int i, const std::vector<float>& x) {
          expect(i == next++ && x.size() == static_cast<std::size_t>(1 + i % 3), "combined ", i);
          for (const float each : x) total += each;
        });
    expect(next == n, "combined ", next, " of ", n);
    produced = calls;
    return total;
  };
  for (const int n : {0, 1, 2, 7, 100, 1000}) {
    const bool several = ranks() > 1;
    int produced = 0, all = 0;
    const float dealt = reduce(n, produced);
    const Alone alone;
    expect(dealt == reduce(n, all) && all == n, "another sum of ", n);
    expect(n < 100 || (produced < n) == several, "produced ", produced, " of ", n);
  }

  constexpr int shard = 16;
  Rng rng(1, "weights");
  Array<float> w = zeros<float>(8, 1);
  for (float& x : values(w)) x = static_cast<float>(rng.normal());
  for (const int rows : {100, 512 * ranks(), 512 * ranks() + 17, 5000, 12'345}) {
    Array<float> x = zeros<float>(rows, 8);
    for (float& each : values(x)) each = static_cast<float>(rng.normal());
    std::atomic<int> seen = 0;
    const auto gradient = [&] {
      seen = 0;
      return sharded_value_and_grad(
          [&](Tape<float>& tape, const std::vector<Var<float>>& p, int begin, int end) {
            seen += end - begin;
            return sum(tanh(matmul(tape.data(borrow(x), begin, end), p[0])));
          },
          std::vector{w}, rows, shard);
    };
    const auto dealt = gradient();
    expect(seen == rows || deals(rows), "dealt few rows");
    expect(seen < rows || !deals(rows), "computed all ", rows, " rows");
    const Alone alone;
    const auto own = gradient();
    expect(dealt.value == own.value && dealt.grad == own.grad, "another gradient of ", rows, " rows");
  }
}

void letters() {
  constexpr int each = 100;
  const auto size = [](int k) { return static_cast<std::size_t>(k * k * 20); };
  if (!root()) {
    for (int k = 0; k < each; ++k) send_to_root(filled(size(k), k));
    return;
  }
  std::vector<int> next(static_cast<std::size_t>(ranks()), 0);
  for (int left = each * (ranks() - 1); left > 0;) {
    const auto got = letter();
    if (!got) continue;
    int& k = next[static_cast<std::size_t>(got->from)];
    expect(got->bytes == filled(size(k), k), "letter ", k, " of ", got->from);
    ++k, --left;
  }
  expect(!letter(), "a letter too many");
}

/// What one process throws, all throw.
void throwing(int who) {
  const auto here = [&](auto thrown) {
    all_gather([&]() -> Bytes {
      if (rank() >= who) throw thrown;
      return {};
    });
  };
  try {
    here(NumericalFault(join("of ", rank())));
    fail("nothing was thrown");
  } catch (const NumericalFault& e) {
    expect(e.what() == join("of ", who), "threw ", e.what());
  }
  here(Error(join("of ", rank())));
}

/// Waits for the others, which come late, and leaves its core to them.
void wait() {
  if (!root()) std::this_thread::sleep_for(std::chrono::seconds(1));
  const auto spent = [] {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           1e-6 * static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
  };
  const double before = spent();
  all_gather(filled(1, 0));
  expect(spent() - before < 0.2, "waiting took ", spent() - before, " s of its core");
}

void run(const std::string& what, int who) {
  if (what == "gather") return gather();
  if (what == "deal") return deal();
  if (what == "letters") return letters();
  if (what == "throw") return throwing(who);
  if (what == "wait") return wait();
  if (what == "unread" && !root()) send_to_root(filled(1'000'000, 1));
  if (what == "fail" && rank() >= who) fail("process ", rank(), " fails");
  if (what == "fail") all_gather(filled(1, 0));
}

}  // namespace
}  // namespace lowvar

int main(int argc, char** argv) {
  try {
    lowvar::join_processes();
    lowvar::run(argc > 1 ? argv[1] : "", argc > 2 ? std::stoi(argv[2]) : 0);
    return lowvar::leave_processes(0);
  } catch (const std::exception& e) {
    return lowvar::leave_processes(2, [&] { std::fprintf(stderr, "together: %s\n", e.what()); });
  }
}
