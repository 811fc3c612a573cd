// Processes that work on one command together: those that mpirun or srun started, or this one alone. Each
// computes everything but what is dealt among them, and each has the whole result of that; one of them, the
// root, writes and prints for all.
//
// What is dealt is gathered by number, and combined by each process in the order of the numbers: how many
// processes there are changes no result. Built without MPI, a process is always alone.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace lowvar {

using Bytes = std::vector<std::byte>;

/// Joins the others, where mpirun or srun started this process. Called once, before any other function here.
/// Throws Error where it was started beside others that it cannot reach.
void join_processes();

/// Ends the work together; called last, and by every process. The exit code of all: that of the first that
/// failed. Those that fail within a second of each other end together, and only one `complain`s; the others
/// are aborted where they do not, for they wait for one that failed.
int leave_processes(
    int status, const std::function<void()>& complain = [] {});

/// Whether this is the process that writes and prints.
bool root();

/// This process and how many there are among whom work is dealt: 0 of 1 where it was started by itself, and
/// while an Alone lives.
int rank();
int ranks();

/// While one lives, this process deals nothing, whatever the thread: of what was dealt to it.
class [[nodiscard]] Alone {
 public:
  Alone();
  ~Alone();
  Alone(const Alone&) = delete;
  Alone& operator=(const Alone&) = delete;
};

/// Whether a pass through the rows of a batch is dealt: where each process has enough of them to compute
/// longer than it waits.
inline bool deals(int rows) { return ranks() > 1 && rows / 512 >= ranks(); }

/// This process's part [first, second) of the numbers from 0 to n: parts follow each other by rank.
std::pair<int, int> own_part(int n);

// ---- Every one of the ranks() calls these, in the same order, from one thread at a time ----

/// What each of them gives, by rank.
std::vector<Bytes> all_gather(std::span<const std::byte> mine);
/// The same of what `mine` returns. Where it throws, all throw what the first by rank has thrown.
std::vector<Bytes> all_gather(const std::function<Bytes()>& mine);

/// Completes x: this process has [begin, end) of it, and the processes' parts follow each other by rank.
/// Where `fill`, which writes that part, throws, all throw.
void complete(std::span<double> x, std::size_t begin, std::size_t end, const std::function<void()>& fill);

/// The root's number.
int agreed(int mine);

/// What f() gives on the root, which alone calls it while the others wait; what it throws is thrown by all.
/// Nothing on another process while an Alone lives.
Bytes from_root(const std::function<Bytes()>& f);
/// The same of an f that gives nothing.
void on_root(const std::function<void()>& f);

// ---- Letters to the root, whenever there is something to tell ----

struct Letter {
  int from;
  Bytes bytes;
};
/// Not called by the root; by any thread. Does not wait for the root to read it, unless many are unread.
void send_to_root(std::span<const std::byte> bytes);
/// The next letter, where one has arrived. Letters of one process come in its order. Called by the root, from
/// one thread at a time.
std::optional<Letter> letter();

}  // namespace lowvar
