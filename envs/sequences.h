// Sequence worlds: an answer is written token by token, from a prompt on, and a verifier pays for it once it
// is whole. Small enough ones are trees of prefixes, in which every answer can be visited.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/aliases.h"
#include "core/array.h"
#include "envs/tabular.h"

namespace lowvar {

/// What a sequence world is beyond its MDP, whose states are the prefixes of each prompt in turn, by length
/// and then lexicographically, and last the end of an answer; actions are tokens.
struct Sequences {
  int tokens = 0;
  int end = -1;  // the token that ends an answer; -1: none does
  int longest = 0;
  int prompts = 1;
  std::vector<std::vector<int>> prefix;  // [S - 1]; empty where states are no prefixes
  /// Rows of logits. Of a prefix policy each prefix has its own; tied ones go by the token written last: row
  /// 0 at the start, then one for each token but the end.
  std::shared_ptr<const Aliases> tied, by_prefix;

  // Logits, a row for each of `own`.
  bool is_tied = true;      // which of the two kinds the world's own policy is
  Array<double> policy;     // the world's own policy
  Array<double> reference;  // what divergences are taken to; empty where the world says none
  Array<double> direction;  // kappa:K is policy + K direction; empty where the world says none

  const std::shared_ptr<const Aliases>& own() const { return is_tied ? tied : by_prefix; }
  /// Whether its answers can be visited.
  bool enumerable() const { return !prefix.empty(); }
};

struct SequenceWorld {
  Mdp mdp;
  Sequences sequences;
};

/// What a verifier pays for a whole answer.
using Verifier = std::function<double(const std::vector<int>& answer)>;

/// Answers of `tokens` tokens, of which `end` ends one (-1: none does), at most `longest` long; a prompt for
/// each verifier, drawn with this probability. The policy is uniform and tied, and there is no reference.
/// Throws Error where the prefixes are more than 2e7 over the number of tokens.
SequenceWorld make_sequences(int tokens, int end, int longest, const std::vector<Verifier>& verifiers,
                             const std::vector<double>& probability = {1});

/// Tokens E ( ) a b, at most L of them; reward 1 where the last is E and the brackets before it are well
/// formed, with at least one pair.
SequenceWorld brackets(int L);

/// Three tokens E, a, b, at most 4 of them; reward 1 where the last is E and there is one a more than b.
SequenceWorld seq_31();

/// A chain of L steps: token 1 goes on, token 0 ends the answer, and all of them right pays 1. The policy is
/// right with J^(1/L) at each step.
SequenceWorld steps(int L, double J);

/// L binary tokens; reward 1 where there are at least L (1/2 + delta) + sqrt(L) / 4 ones. The policy writes a
/// one with 1/2 + delta. States are the number of ones, as far as it matters.
SequenceWorld long_answers(int L, double delta);

/// {"tokens":V,"end":E,"longest":L,"right":[[token,...],...]} (reward 1) or "reward":[[[token,...],x],...],
/// with "policy":{"kind":"tied"|"prefix","logits":[...]} and "reference":[...]; or
/// "prompts":[{"right":...},...] in place of "right", each with a "probability" where they are not alike.
/// Throws Error naming the file and the place.
SequenceWorld read_sequences(const std::string& path);

/// Logits of `rows` rows under "logits" of a file. Throws Error naming the file and the place.
Array<double> read_logits(const std::string& path, int rows, int tokens);

}  // namespace lowvar
