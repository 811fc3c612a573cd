#include "envs/tabular.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <string_view>

#include "core/random.h"

namespace lowvar {
namespace {

constexpr double kSumTolerance = 1e-9;

/// A cell of a grid.
struct Cell {
  int row;
  int col;
  bool operator==(const Cell&) const = default;
};

constexpr Cell kUp{-1, 0}, kRight{0, 1}, kDown{1, 0}, kLeft{0, -1};
constexpr std::array kClockwise{kUp, kRight, kDown, kLeft};

/// The cell one move away in a grid of rows x cols, or the border's cell.
Cell moved(Cell at, Cell move, int rows, int cols) {
  return {std::clamp(at.row + move.row, 0, rows - 1), std::clamp(at.col + move.col, 0, cols - 1)};
}

/// Probability one at state s of S.
std::vector<double> start_at(int s, int S) {
  std::vector<double> start(static_cast<std::size_t>(S));
  start[static_cast<std::size_t>(s)] = 1;
  return start;
}

Mdp frozen_lake(std::string_view letters, int side, int T) {
  constexpr std::array moves{kLeft, kDown, kRight, kUp};
  std::vector<char> terminal;
  for (char letter : letters) terminal.push_back(letter == 'H' || letter == 'G');
  const int S = side * side;
  return make_mdp(S, 4, 0.99, T, start_at(0, S), terminal, [&](int s, int a) {
    std::vector<Outcome> outcomes;
    for (int turn : {3, 0, 1}) {
      const Cell to =
          moved({s / side, s % side}, moves[static_cast<std::size_t>((a + turn) % 4)], side, side);
      const int next = side * to.row + to.col;
      outcomes.push_back({next, 1.0 / 3.0, letters[static_cast<std::size_t>(next)] == 'G' ? 1.0 : 0.0});
    }
    return outcomes;
  });
}

/// Whether frozen cells connect the first with the last.
bool has_way(std::string_view letters, int side) {
  std::vector<char> seen(letters.size());
  std::vector<int> frontier{0};
  seen[0] = 1;
  while (!frontier.empty()) {
    const int s = frontier.back();
    frontier.pop_back();
    for (const Cell move : kClockwise) {
      const Cell to = moved({s / side, s % side}, move, side, side);
      const auto next = static_cast<std::size_t>(side * to.row + to.col);
      if (seen[next] || letters[next] == 'H') continue;
      seen[next] = 1;
      frontier.push_back(static_cast<int>(next));
    }
  }
  return seen.back() != 0;
}

}  // namespace

void check_mdp(const Mdp& mdp) {
  expect(mdp.S >= 1 && mdp.A >= 1, "an MDP needs at least one state and one action, got ", mdp.S, " and ",
         mdp.A);
  expect(std::int64_t{mdp.S} * mdp.A <= std::numeric_limits<int>::max(), "an MDP of ", mdp.S, " states and ",
         mdp.A, " actions is too large");
  expect(mdp.gamma >= 0 && mdp.gamma <= 1, "gamma must lie in [0, 1], got ", mdp.gamma);
  expect(mdp.T >= 1, "the horizon must be at least 1, got ", mdp.T);
  expect(mdp.start.size() == static_cast<std::size_t>(mdp.S), "the start distribution needs ", mdp.S,
         " numbers, got ", mdp.start.size());
  expect(mdp.terminal.size() == static_cast<std::size_t>(mdp.S), "the terminal flags must be ", mdp.S,
         ", got ", mdp.terminal.size());
  for (double p : mdp.start)
    expect(std::isfinite(p) && p >= 0, "the start distribution has a probability of ", p);
  const double sum = std::accumulate(mdp.start.begin(), mdp.start.end(), 0.0);
  expect(std::abs(sum - 1) <= kSumTolerance, "the start distribution sums to ", sum, ", not to 1");
}

void append_outcomes(Mdp& mdp, int s, int a, std::vector<Outcome> outcomes) {
  const std::size_t index =
      static_cast<std::size_t>(s) * static_cast<std::size_t>(mdp.A) + static_cast<std::size_t>(a);
  expect(s >= 0 && s < mdp.S && a >= 0 && a < mdp.A && mdp.offset.size() == index + 1, "outcomes of state ",
         s, ", action ", a, " come out of row-major order");
  if (mdp.terminal[static_cast<std::size_t>(s)]) {
    expect(outcomes.empty(), "state ", s, " is terminal and cannot have outcomes");
    mdp.offset.push_back(mdp.outcome_list.size());
    return;
  }
  double sum = 0;
  for (const Outcome& o : outcomes) {
    expect(o.next >= 0 && o.next < mdp.S, "state ", s, ", action ", a, " leads to state ", o.next,
           ", but states are 0..", mdp.S - 1);
    expect(std::isfinite(o.probability) && o.probability >= 0, "state ", s, ", action ", a,
           " leads to state ", o.next, " with probability ", o.probability);
    expect(std::isfinite(o.reward), "the reward of state ", s, ", action ", a, ", next state ", o.next,
           " is ", o.reward);
    sum += o.probability;
  }
  expect(std::abs(sum - 1) <= kSumTolerance, "the probabilities of state ", s, ", action ", a, " sum to ",
         sum, ", not to 1");
  std::stable_sort(outcomes.begin(), outcomes.end(),
                   [](const Outcome& x, const Outcome& y) { return x.next < y.next; });
  for (auto first = outcomes.begin(); first != outcomes.end();) {
    const auto last =
        std::find_if(first, outcomes.end(), [&](const Outcome& o) { return o.next != first->next; });
    Outcome merged = *first;
    if (last - first > 1) {
      merged.probability = merged.reward = 0;
      for (auto o = first; o != last; ++o) merged.probability += o->probability;
      for (auto o = first; o != last && merged.probability > 0; ++o)
        merged.reward += o->probability / merged.probability * o->reward;
    }
    if (merged.probability > 0) mdp.outcome_list.push_back(merged);
    first = last;
  }
  mdp.offset.push_back(mdp.outcome_list.size());
}

Mdp chain() {
  constexpr double slip = 0.1;
  return make_mdp(5, 2, 0.95, 20, start_at(0, 5), {0, 0, 0, 0, 1}, [](int s, int a) {
    std::vector<Outcome> outcomes;
    for (int executed : {0, 1}) {
      const int next = executed == 0 ? std::max(s - 1, 0) : s + 1;
      const double reward = (next == 4 ? 1.0 : 0.0) + (s == 0 && a == 0 ? 0.2 : 0.0);
      outcomes.push_back({next, executed == a ? 1 - slip : slip, reward});
    }
    return outcomes;
  });
}

Mdp four_rooms() {
  constexpr int side = 10;
  std::vector<double> prize(side * side);
  prize[77] = 1.0;
  prize[72] = 0.3;
  prize[27] = 0.6;
  std::vector<char> terminal;
  for (double p : prize) terminal.push_back(p > 0);
  const auto crosses = [](int from, int to) { return (from == 4 && to == 5) || (from == 5 && to == 4); };
  const auto is_door = [](int at) { return at == 2 || at == 7; };
  return make_mdp(side * side, 4, 0.99, 100, start_at(0, side * side), terminal, [&](int s, int a) {
    const Cell at{s / side, s % side};
    Cell to = moved(at, kClockwise[static_cast<std::size_t>(a)], side, side);
    if ((crosses(at.row, to.row) && !is_door(at.col)) || (crosses(at.col, to.col) && !is_door(at.row)))
      to = at;
    const int next = side * to.row + to.col;
    return std::vector<Outcome>{{next, 1.0, prize[static_cast<std::size_t>(next)]}};
  });
}

Mdp frozen_lake_4x4() {
  return frozen_lake(
      "SFFF"
      "FHFH"
      "FFFH"
      "HFFG",
      4, 100);
}

Mdp frozen_lake_8x8() {
  return frozen_lake(
      "SFFFFFFF"
      "FFFFFFFF"
      "FFFHFFFF"
      "FFFFFHFF"
      "FFFHFFFF"
      "FHHFFFHF"
      "FHFFHFHF"
      "FFFHFFFG",
      8, 200);
}

Mdp frozen_lake_random(int side, std::uint64_t seed) {
  expect(side >= 2, "a frozen lake needs a side of at least 2, got ", side);
  std::string letters;
  for (std::uint32_t attempt = 0; letters.empty() || !has_way(letters, side); ++attempt) {
    Rng rng(seed, "frozen-lake", attempt);
    letters.assign(static_cast<std::size_t>(side) * static_cast<std::size_t>(side), 'F');
    for (char& letter : letters)
      if (rng.uniform() >= 0.8) letter = 'H';
    letters.front() = 'S';
    letters.back() = 'G';
  }
  return frozen_lake(letters, side, 100);
}

Mdp cliff_walking() {
  constexpr int rows = 4, cols = 12, start = 3 * cols, goal = 3 * cols + 11;
  std::vector<char> terminal(rows * cols);
  terminal[goal] = 1;
  return make_mdp(rows * cols, 4, 0.99, 200, start_at(start, rows * cols), terminal, [&](int s, int a) {
    const Cell to = moved({s / cols, s % cols}, kClockwise[static_cast<std::size_t>(a)], rows, cols);
    const int next = cols * to.row + to.col;
    if (next > start && next < goal) return std::vector<Outcome>{{start, 1.0, -100.0}};
    return std::vector<Outcome>{{next, 1.0, -1.0}};
  });
}

Mdp bombs_and_bitcoin() {
  constexpr int rows = 4, cols = 6, cells = rows * cols;
  constexpr std::string_view map =
      "A.$..B"
      ".B.B.B"
      "B.B.B."
      ".B.BHB";
  std::vector<char> terminal;
  for (int s = 0; s < 2 * cells; ++s) terminal.push_back(map[static_cast<std::size_t>(s % cells)] == 'H');
  return make_mdp(2 * cells, 4, 0.95, 50, start_at(0, 2 * cells), terminal, [&](int s, int a) {
    const Cell at{s % cells / cols, s % cols};
    const Cell to = moved(at, kClockwise[static_cast<std::size_t>(a)], rows, cols);
    const char entered = at == to ? '.' : map[static_cast<std::size_t>(cols * to.row + to.col)];
    bool taken = s >= cells;
    double reward = 0;
    if (entered == 'H') reward = 10;
    if (entered == 'B') reward = -10;
    if (entered == '$' && !taken) reward = 1, taken = true;
    return std::vector<Outcome>{{(taken ? cells : 0) + cols * to.row + to.col, 1.0, reward}};
  });
}

Mdp windy_grid() {
  constexpr int rows = 7, cols = 10;
  constexpr std::array wind{0, 0, 0, 1, 1, 1, 2, 2, 1, 0};
  constexpr int goal = 3 * cols + 7;
  std::vector<char> terminal(rows * cols);
  terminal[goal] = 1;
  return make_mdp(rows * cols, 4, 0.99, 100, start_at(3 * cols, rows * cols), terminal, [&](int s, int a) {
    const Cell at{s / cols, s % cols};
    const Cell chosen = kClockwise[static_cast<std::size_t>(a)];
    const Cell to = moved(at, {chosen.row - wind[static_cast<std::size_t>(at.col)], chosen.col}, rows, cols);
    return std::vector<Outcome>{{cols * to.row + to.col, 1.0, -1.0}};
  });
}

Mdp garnet(int S, int A, int B, std::uint64_t seed) {
  expect(B >= 1 && B <= S, "the branching of a Garnet lies between 1 and its ", S, " states, got ", B);
  const std::vector<double> start(static_cast<std::size_t>(S), 1.0 / S);
  // A partial shuffle of any order of the states is a fair draw, so the order is kept from pair to pair.
  std::vector<int> states(static_cast<std::size_t>(S));
  std::iota(states.begin(), states.end(), 0);
  return make_mdp(S, A, 0.95, 100, start, std::vector<char>(static_cast<std::size_t>(S)), [&](int s, int a) {
    Rng rng(seed, "garnet", static_cast<std::uint32_t>(s * A + a));
    std::vector<double> cuts{0, 1};
    for (int i = 1; i < B; ++i) cuts.push_back(rng.uniform());
    std::sort(cuts.begin(), cuts.end());
    std::vector<Outcome> outcomes;
    for (int i = 0; i < B; ++i) {
      const int other = i + static_cast<int>(rng.uniform() * (S - i));
      std::swap(states[static_cast<std::size_t>(i)], states[static_cast<std::size_t>(other)]);
      outcomes.push_back({states[static_cast<std::size_t>(i)],
                          cuts[static_cast<std::size_t>(i) + 1] - cuts[static_cast<std::size_t>(i)],
                          rng.normal()});
    }
    return outcomes;
  });
}

}  // namespace lowvar
