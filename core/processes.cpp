#include "core/processes.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <mutex>
#include <new>
#include <string>
#include <thread>

#include "core/error.h"
#include "core/interrupt.h"

#ifdef LOWVAR_MPI
#include <mpi.h>
#endif

namespace lowvar {
namespace {

int own_rank = 0, all_ranks = 1;
std::atomic<int> alone = 0;

using Clock = std::chrono::steady_clock;
constexpr auto patience = std::chrono::seconds(1);  // with processes that do not fail where this one does

/// The number in a variable of the environment; nothing where there is none.
std::optional<int> environment_number(const char* name) {
  const char* const text = std::getenv(name);
  return text ? std::optional(std::atoi(text)) : std::nullopt;
}

/// What this process was started as: Open MPI's mpirun, MPICH's or srun's PMI, and PMIx say so.
struct Start {
  int rank = 0, ranks = 1;
  bool together = false;  // by one of them, be it as the only process
};
Start how_started() {
  for (const auto& [rank, ranks] : {std::pair{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                    {"PMI_RANK", "PMI_SIZE"},
                                    {"PMIX_RANK", "SLURM_STEP_NUM_TASKS"}})
    if (const auto r = environment_number(rank)) return {*r, environment_number(ranks).value_or(1), true};
  return {};
}

}  // namespace

bool root() { return own_rank == 0; }
int rank() { return alone ? 0 : own_rank; }
int ranks() { return alone ? 1 : all_ranks; }

Alone::Alone() { ++alone; }
Alone::~Alone() { --alone; }

std::pair<int, int> own_part(int n) {
  const auto begin = [&](int r) { return static_cast<int>(static_cast<std::int64_t>(n) * r / ranks()); };
  return {begin(rank()), begin(rank() + 1)};
}

// ---- Exceptions that go from one process to the others ----

namespace {

/// What kind of exception it is, beside its text; from `interrupted` on a signal is added.
enum Kind : std::uint64_t { none, bad_input, numerical_fault, out_of_memory, other, interrupted };

/// What f() returns, or the text of what it throws.
std::pair<std::uint64_t, Bytes> outcome_of(const std::function<Bytes()>& f) {
  const auto bytes = [](const std::exception& e) {
    const auto* const text = reinterpret_cast<const std::byte*>(e.what());
    return Bytes(text, text + std::strlen(e.what()));
  };
  try {
    return {none, f()};
  } catch (const Interrupted& e) {
    return {interrupted + static_cast<std::uint64_t>(e.by), bytes(e)};
  } catch (const Error& e) {
    return {bad_input, bytes(e)};
  } catch (const NumericalFault& e) {
    return {numerical_fault, bytes(e)};
  } catch (const std::bad_alloc&) {
    return {out_of_memory, {}};
  } catch (const std::exception& e) {
    return {other, bytes(e)};
  }
}

[[noreturn]] void throw_outcome(std::uint64_t kind, const Bytes& bytes) {
  const std::string what(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (kind == bad_input) throw Error(what);
  if (kind == numerical_fault) throw NumericalFault(what);
  if (kind == out_of_memory) throw std::bad_alloc();
  if (kind >= interrupted) throw Interrupted(static_cast<int>(kind - interrupted), what);
  throw std::runtime_error(what);
}

}  // namespace

// ---- MPI ----

#ifdef LOWVAR_MPI
namespace {

MPI_Comm working, leaving;
std::mutex calls;  // of MPI, one at a time

struct Pending {
  MPI_Request request;
  Bytes bytes;
};
std::vector<Pending> pending;  // letters that MPI still reads, under `calls`
constexpr std::size_t most_pending = 16;
enum Tag { letters, endings };

/// f() while no other thread calls MPI.
auto call(auto&& f) {
  const std::lock_guard lock(calls);
  return f();
}

/// Returns when done() is true. Asks again at once for as long as a message between two cores takes, then
/// ever more rarely, so that waiting leaves its core to whoever computes.
void wait_until(auto&& done) {
  const auto start = Clock::now();
  while (!done()) {
    const auto waited = Clock::now() - start;
    if (waited < std::chrono::microseconds(50))
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(std::min<Clock::duration>(waited / 8, std::chrono::milliseconds(1)));
  }
}

bool finished(MPI_Request& request) {
  int flag = 0;
  call([&] { return MPI_Test(&request, &flag, MPI_STATUS_IGNORE); });
  return flag != 0;
}

/// Begins a call of MPI that does not wait, and waits for it.
void carry_out(auto&& begin) {
  MPI_Request request;
  call([&] { return begin(&request); });
  wait_until([&] { return finished(request); });
}

struct Gathered {
  std::vector<std::uint64_t> kinds;
  std::vector<Bytes> bytes;
};
Gathered gather(std::uint64_t kind, std::span<const std::byte> mine) {
  const auto n = static_cast<std::size_t>(all_ranks);
  const std::uint64_t own[2] = {kind, mine.size()};
  std::vector<std::uint64_t> all(2 * n);
  carry_out([&](MPI_Request* request) {
    return MPI_Iallgather(own, 2, MPI_UINT64_T, all.data(), 2, MPI_UINT64_T, working, request);
  });
  Gathered out{std::vector<std::uint64_t>(n), std::vector<Bytes>(n)};
  std::uint64_t longest = 0;
  for (std::size_t r = 0; r < n; ++r) {
    out.kinds[r] = all[2 * r];
    out.bytes[r].reserve(all[2 * r + 1]);
    longest = std::max(longest, all[2 * r + 1]);
  }
  // MPI counts in int: what is longer goes in several rounds.
  const std::uint64_t most = std::numeric_limits<int>::max() / n;
  for (std::uint64_t sent = 0; sent < longest; sent += most) {
    std::vector<int> count(n), at(n);
    int total = 0;
    for (std::size_t r = 0; r < n; ++r) {
      const std::uint64_t left = all[2 * r + 1] - std::min(sent, all[2 * r + 1]);
      count[r] = static_cast<int>(std::min(most, left));
      at[r] = std::exchange(total, total + count[r]);
    }
    Bytes arrived(static_cast<std::size_t>(total));
    const auto from = std::min<std::size_t>(sent, mine.size());
    carry_out([&](MPI_Request* request) {
      return MPI_Iallgatherv(mine.data() + from, count[static_cast<std::size_t>(own_rank)], MPI_BYTE,
                             arrived.data(), count.data(), at.data(), MPI_BYTE, working, request);
    });
    for (std::size_t r = 0; r < n; ++r)
      out.bytes[r].insert(out.bytes[r].end(), arrived.begin() + at[r], arrived.begin() + at[r] + count[r]);
  }
  return out;
}

/// Forgets letters that MPI has done with; how many are left. Under `calls`.
std::size_t forget_sent() {
  std::erase_if(pending, [](Pending& each) {
    int flag = 0;
    MPI_Test(&each.request, &flag, MPI_STATUS_IGNORE);
    return flag != 0;
  });
  return pending.size();
}

/// The exit codes that others have told, and which of them have; of this process its own.
class Endings {
 public:
  explicit Endings(int status) : status_(static_cast<std::size_t>(all_ranks)), requests_(status_.size()) {
    at(own_rank) = status;
    for (int r = 0; r < all_ranks; ++r)
      if (r != own_rank)
        call(
            [&] { return MPI_Isend(&*at(own_rank), 1, MPI_INT, r, endings, leaving, &requests_[index(r)]); });
  }

  /// Whether all others have ended, after asking.
  bool all() {
    for (;;) {
      int flag = 0;
      MPI_Status from;
      call([&] { return MPI_Iprobe(MPI_ANY_SOURCE, endings, leaving, &flag, &from); });
      if (!flag) break;
      int status = 0;
      call([&] {
        return MPI_Recv(&status, 1, MPI_INT, from.MPI_SOURCE, endings, leaving, MPI_STATUS_IGNORE);
      });
      at(from.MPI_SOURCE) = status;
    }
    return std::all_of(status_.begin(), status_.end(), [](const auto& each) { return each.has_value(); });
  }

  /// Until what was told has been sent.
  void sent() {
    for (int r = 0; r < all_ranks; ++r)
      if (r != own_rank) wait_until([&] { return finished(requests_[index(r)]); });
  }

  /// The first that is known to have failed, or -1.
  int first_failed() const {
    for (int r = 0; r < all_ranks; ++r)
      if (status_[index(r)].value_or(0) != 0) return r;
    return -1;
  }
  std::optional<int>& at(int r) { return status_[index(r)]; }

 private:
  static std::size_t index(int r) { return static_cast<std::size_t>(r); }

  std::vector<std::optional<int>> status_;
  std::vector<MPI_Request> requests_;
};

}  // namespace

void join_processes() {
  const Start start = how_started();
  if (!start.together) return;
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided);
  MPI_Comm_dup(MPI_COMM_WORLD, &working);
  MPI_Comm_dup(MPI_COMM_WORLD, &leaving);
  int size = 1;
  MPI_Comm_size(working, &size);
  if (size < start.ranks) own_rank = start.rank;
  expect(size >= start.ranks, "this is one of ", start.ranks,
         " processes that do not know of each other; start them with the mpirun of the MPI that lowvar was "
         "built with, or with srun --mpi=pmix");
  MPI_Comm_rank(working, &own_rank);
  all_ranks = size;
  expect(provided >= MPI_THREAD_SERIALIZED, "this MPI cannot be called from several threads in turn; ",
         "lowvar needs one that provides MPI_THREAD_SERIALIZED");
}

int leave_processes(int status, const std::function<void()>& complain) {
  int initialised = 0;
  MPI_Initialized(&initialised);
  const bool known = initialised && all_ranks > 1;
  if (!known) {
    if (own_rank != 0) std::this_thread::sleep_for(patience);  // whoever ends first ends the others
    if (status && own_rank == 0) complain();
    if (initialised) MPI_Finalize();
    return status;
  }
  const auto start = Clock::now();
  const auto over = [&](auto limit) { return status && Clock::now() - start > limit; };
  wait_until([&] { return call(forget_sent) == 0 || over(patience); });
  Endings ends(status);
  const auto all_end_within = [&](auto limit) {
    wait_until([&] {
      while (root() && letter()) continue;  // what nobody will read
      return ends.all() || over(limit);
    });
    return ends.all();
  };
  all_end_within(patience);
  if (ends.first_failed() == own_rank)
    complain();
  else
    all_end_within(2 * patience);               // time for the first to complain
  if (!ends.all()) MPI_Abort(leaving, status);  // the others wait for this process
  ends.sent();
  const int first = ends.first_failed();
  status = first < 0 ? 0 : *ends.at(first);
  MPI_Finalize();
  return status;
}

std::vector<Bytes> all_gather(std::span<const std::byte> mine) {
  if (ranks() == 1) return {{mine.begin(), mine.end()}};
  return gather(none, mine).bytes;
}

std::vector<Bytes> all_gather(const std::function<Bytes()>& mine) {
  if (ranks() == 1) return {mine()};
  const auto [kind, bytes] = outcome_of(mine);
  Gathered all = gather(kind, bytes);
  for (std::size_t r = 0; r < all.kinds.size(); ++r)
    if (all.kinds[r] != none) throw_outcome(all.kinds[r], all.bytes[r]);
  return std::move(all.bytes);
}

void send_to_root(std::span<const std::byte> bytes) {
  expect(bytes.size() <= std::numeric_limits<int>::max(), "a letter has at most 2 GB, and this one has ",
         bytes.size(), " bytes");
  wait_until([] { return call(forget_sent) < most_pending; });
  call([&] {
    Pending& sent = pending.emplace_back(Pending{{}, {bytes.begin(), bytes.end()}});
    return MPI_Isend(sent.bytes.data(), static_cast<int>(sent.bytes.size()), MPI_BYTE, 0, letters, working,
                     &sent.request);
  });
}

std::optional<Letter> letter() {
  if (all_ranks == 1) return std::nullopt;
  return call([]() -> std::optional<Letter> {
    int flag = 0, size = 0;
    MPI_Status from;
    MPI_Message message;
    MPI_Improbe(MPI_ANY_SOURCE, letters, working, &flag, &message, &from);
    if (!flag) return std::nullopt;
    MPI_Get_count(&from, MPI_BYTE, &size);
    Letter out{from.MPI_SOURCE, Bytes(static_cast<std::size_t>(size))};
    MPI_Mrecv(out.bytes.data(), size, MPI_BYTE, &message, MPI_STATUS_IGNORE);
    return out;
  });
}

#else  // without MPI

void join_processes() {
  const Start start = how_started();
  own_rank = start.ranks > 1 ? start.rank : 0;
  expect(
      start.ranks == 1, "this is one of ", start.ranks,
      " processes, and lowvar was built without MPI; start one process, or build it where MPI is installed");
}

int leave_processes(int status, const std::function<void()>& complain) {
  if (own_rank != 0) std::this_thread::sleep_for(patience);  // whoever ends first ends the others
  if (status && own_rank == 0) complain();
  return status;
}

std::vector<Bytes> all_gather(std::span<const std::byte> mine) { return {{mine.begin(), mine.end()}}; }
std::vector<Bytes> all_gather(const std::function<Bytes()>& mine) { return {mine()}; }
void send_to_root(std::span<const std::byte>) {}
std::optional<Letter> letter() { return std::nullopt; }

#endif

void complete(std::span<double> x, std::size_t begin, std::size_t end, const std::function<void()>& fill) {
  if (ranks() == 1) return fill();
  const auto parts = all_gather([&] {
    fill();
    const auto bytes = std::as_bytes(x.subspan(begin, end - begin));
    return Bytes(bytes.begin(), bytes.end());
  });
  std::span<std::byte> to = std::as_writable_bytes(x);
  for (const Bytes& part : parts) {
    std::copy(part.begin(), part.end(), to.begin());
    to = to.subspan(part.size());
  }
}

int agreed(int mine) {
  const auto bytes = std::as_bytes(std::span(&mine, 1));
  int out = 0;
  std::memcpy(&out, all_gather(bytes).front().data(), sizeof out);
  return out;
}

Bytes from_root(const std::function<Bytes()>& f) {
  return std::move(all_gather([&] { return root() ? f() : Bytes(); }).front());
}

void on_root(const std::function<void()>& f) {
  from_root([&] {
    f();
    return Bytes();
  });
}

}  // namespace lowvar
