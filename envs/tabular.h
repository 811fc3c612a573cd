// Finite Markov decision processes, as sparse lists of outcomes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"

namespace lowvar {

/// One successor of (s, a): s' with probability P(s'|s,a), paying r(s,a,s').
struct Outcome {
  int next;
  double probability;
  double reward;
};

/// A finite-horizon MDP (S, A, P, R, gamma, T, start). The episode ends after T steps or on entering a
/// terminal state. Outcomes of (s, a) are distinct in `next`, sum to one and have positive probability;
/// terminal states have none.
struct Mdp {
  int S = 0;
  int A = 0;
  double gamma = 1;
  int T = 0;
  std::vector<double> start;        // [S], sums to one
  std::vector<char> terminal;       // [S], 0 or 1
  std::vector<std::size_t> offset;  // [S*A + 1] into outcome_list
  std::vector<Outcome> outcome_list;

  std::span<const Outcome> outcomes(int s, int a) const {
    const std::size_t i =
        static_cast<std::size_t>(s) * static_cast<std::size_t>(A) + static_cast<std::size_t>(a);
    return {outcome_list.data() + offset[i], offset[i + 1] - offset[i]};
  }
};

/// Builds an Mdp from a function (s, a) -> list of outcomes; duplicates of a successor are merged (their
/// probabilities added, their rewards averaged by probability), successors of probability zero dropped.
/// Outcomes of terminal states are not asked for. Throws Error where probabilities of a (s, a) do not sum to
/// one within 1e-9, a number is not finite or negative, or a successor is out of range.
template <class F>
Mdp make_mdp(int S, int A, double gamma, int T, std::vector<double> start, std::vector<char> terminal,
             F&& outcomes_of);

/// Throws Error naming the first thing wrong with the sizes, start, gamma and T of an Mdp.
void check_mdp(const Mdp& mdp);

/// Appends the outcomes of the next (s, a) in row-major order, merged and checked as make_mdp says.
void append_outcomes(Mdp& mdp, int s, int a, std::vector<Outcome> outcomes);

template <class F>
Mdp make_mdp(int S, int A, double gamma, int T, std::vector<double> start, std::vector<char> terminal,
             F&& outcomes_of) {
  Mdp mdp{S, A, gamma, T, std::move(start), std::move(terminal), {0}, {}};
  check_mdp(mdp);
  for (int s = 0; s < S; ++s)
    for (int a = 0; a < A; ++a)
      append_outcomes(mdp, s, a,
                      mdp.terminal[static_cast<std::size_t>(s)] ? std::vector<Outcome>{} : outcomes_of(s, a));
  return mdp;
}

/// The chain of five states: the executed action is the chosen one with probability 0.9, else the other; L =
/// 0 moves left (staying in 0), R = 1 moves right; 1 for entering state 4, which is terminal, and 0.2
/// whenever L is chosen in state 0. Start 0, gamma 0.95, T 20.
Mdp chain();

/// Four rooms of 5x5 in a 10x10 grid (Chung et al. 2021, with the walls on the axis of the move): s = 10 row
/// + col; up, right, down, left. Walls between rows 4|5 and columns 4|5 with doors at 2 and 7. Entering (7,7)
/// pays 1, (7,2) 0.3, (2,7) 0.6 and ends the episode. Start (0,0), gamma 0.99, T 100.
Mdp four_rooms();

/// Gymnasium's FrozenLake, slippery: left, down, right, up; the chosen direction or one of its two
/// neighbours, each with probability 1/3; entering the goal pays 1; holes and the goal end the episode. gamma
/// 0.99, T 100 (4x4), 200 (8x8).
Mdp frozen_lake_4x4();
Mdp frozen_lake_8x8();

/// FrozenLake on a random map of side x side, side >= 2, with the distribution of Gymnasium's
/// generate_random_map: every cell is frozen with probability 0.8, else a hole, start and goal apart; maps
/// without a way from start to goal are drawn again. T 100.
Mdp frozen_lake_random(int side, std::uint64_t seed);

/// Gymnasium's CliffWalking (Sutton & Barto 2018, example 6.6): 4x12, up, right, down, left; s = 12 row +
/// col. -1 a step; the cliff (3,1)..(3,10) pays -100 and leads back to the start, without an end; entering
/// the goal (3,11) ends the episode. Start (3,0), gamma 0.99, T 200.
Mdp cliff_walking();

/// A 4x6 grid of bombs and a bitcoin: up, right, down, left, deterministic, staying at the border. Home (3,4)
/// pays 10 and ends the episode; entering a bomb pays -10, each time; the bitcoin (0,2) pays 1, once; a bump
/// into the border enters nothing. s = 24 taken + 6 row + col. Start (0,0), gamma 0.95, T 50. (Barbero 2019,
/// with the map of his temporal-difference example.)
Mdp bombs_and_bitcoin();

/// A 7x10 grid with an upward wind of 0,0,0,1,1,1,2,2,1,0 by column (Sutton & Barto 2018, example 6.5): up,
/// right, down, left; -1 a step until the goal (3,7). Start (3,0), gamma 0.99, T 100.
Mdp windy_grid();

/// A random MDP Garnet(S, A, B) (Archibald, McKinnon & Thomas 1995): B distinct successors of each (s, a),
/// drawn without replacement; their probabilities are the pieces of [0, 1] between B - 1 uniform cuts; each
/// transition pays its own r(s,a,s') ~ N(0, 1) (Bhatnagar et al. 2009). Uniform start, nothing terminal,
/// gamma 0.95, T 100. 1 <= B <= S.
Mdp garnet(int S, int A, int B, std::uint64_t seed);

/// Reads {"states":S,"actions":A,"gamma":g,"horizon":T,"start":[S],"P":[S][A][S],"R":[S][A] or [S][A][S],
/// "terminal":[indices]}, all keys required. Rows of terminal states need only have the right shape. Throws
/// Error that names the file and the place.
Mdp read_mdp(const std::string& path);

}  // namespace lowvar
