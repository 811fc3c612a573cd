#include "envs/sequences.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "envs/json_file.h"

namespace lowvar {
namespace {

using Json = nlohmann::json;
using Answer = std::vector<int>;
/// What each answer to a prompt pays; 0 where it is not named.
using Rewards = std::map<Answer, double>;

constexpr double kMostTransitions = 2e7;

// ---- Files ----

struct File {
  const std::string& path;

  template <class... Parts>
  void check(bool fine, const Parts&... parts) const {
    expect(fine, path, ": ", parts...);
  }

  const Json& at(const Json& object, const char* key) const {
    check(object.is_object() && object.contains(key), "the key \"", key, "\" is missing");
    return object[key];
  }

  int whole(const Json& object, const char* key, int least, int most) const {
    const Json& x = at(object, key);
    check(x.is_number_integer() && x >= least && x <= most, "\"", key, "\" must be a whole number from ",
          least, " to ", most);
    return x.get<int>();
  }

  double number(const Json& x, const std::string& what) const {
    check(x.is_number() && std::isfinite(x.get<double>()), what, " must be a finite number");
    return x.get<double>();
  }

  /// Rows of numbers, `cols` in each.
  Array<double> table(const Json& x, const char* key, int rows, int cols) const {
    check(x.is_array() && x.size() == static_cast<std::size_t>(rows), "\"", key, "\" needs ", rows,
          " rows, got ", x.is_array() ? x.size() : 0);
    Array<double> out = zeros<double>(rows, cols);
    for (std::size_t r = 0; r < x.size(); ++r) {
      check(x[r].is_array() && x[r].size() == static_cast<std::size_t>(cols), "row ", r, " of \"", key,
            "\" needs ", cols, " numbers");
      for (std::size_t c = 0; c < x[r].size(); ++c)
        out(r, c) = number(x[r][c], join("\"", key, "\" at row ", r, ", column ", c));
    }
    return out;
  }

  Answer answer(const Json& x, int tokens, int end, int longest, const std::string& where) const {
    check(x.is_array() && !x.empty() && x.size() <= static_cast<std::size_t>(longest), where,
          " must be a list of 1 to ", longest, " tokens");
    Answer out;
    for (const Json& each : x) {
      check(each.is_number_integer() && each >= 0 && each < tokens, where, " must be of tokens from 0 to ",
            tokens - 1);
      check(out.empty() || out.back() != end, where, " goes on after the end token ", end);
      out.push_back(each.get<int>());
    }
    check(out.back() == end || static_cast<int>(out.size()) == longest, where,
          " neither ends with the end token ", end, " nor has ", longest, " tokens");
    return out;
  }

  /// "right" or "reward" of an object.
  Rewards rewards(const Json& object, int tokens, int end, int longest) const {
    const bool right = object.is_object() && object.contains("right");
    check(object.is_object() && right != object.contains("reward"),
          "needs \"right\" or \"reward\", and one of them");
    const char* key = right ? "right" : "reward";
    const Json& list = object[key];
    check(list.is_array(), "\"", key, "\" must be a list");
    Rewards out;
    for (std::size_t k = 0; k < list.size(); ++k) {
      const std::string where = join(key, "[", k, "]");
      check(right || (list[k].is_array() && list[k].size() == 2), where, " must be [[token, ...], reward]");
      const Answer each = answer(right ? list[k] : list[k][0], tokens, end, longest, where);
      check(out.emplace(each, right ? 1 : number(list[k][1], where)).second, where, " occurs twice");
    }
    return out;
  }
};

Verifier by_list(const Rewards& pays) {
  return [pays](const Answer& answer) {
    const auto found = pays.find(answer);
    return found == pays.end() ? 0 : found->second;
  };
}

}  // namespace

SequenceWorld make_sequences(int tokens, int end, int longest, const std::vector<Verifier>& verifiers,
                             const std::vector<double>& probability) {
  double size = 0, level = 1;
  for (int l = 0; l < longest; ++l, level *= end < 0 ? tokens : tokens - 1) size += level;
  size *= static_cast<double>(verifiers.size());
  expect(size * tokens <= kMostTransitions, "the answers of ", tokens, " tokens and length ", longest, " to ",
         verifiers.size(), " prompts have ", size * tokens, " tokens, more than the 2e7 that are kept");

  SequenceWorld out;
  Sequences& s = out.sequences;
  s.tokens = tokens, s.end = end, s.longest = longest, s.prompts = static_cast<int>(verifiers.size());
  // Of each prefix its prompt, and where those that are one token longer begin; of each prompt its first
  // prefix.
  std::vector<int> prompt, longer, first;
  for (int q = 0; q < s.prompts; ++q) {
    first.push_back(static_cast<int>(s.prefix.size()));
    std::vector<Answer> now = {{}};
    for (int l = 0; l < longest; ++l) {
      std::vector<Answer> next;
      const std::size_t next_level = s.prefix.size() + now.size();
      for (Answer& each : now) {
        longer.push_back(static_cast<int>(next_level + next.size()));
        for (int a = 0; a < tokens && l + 1 < longest; ++a)
          if (a != end) next.push_back(each), next.back().push_back(a);
        s.prefix.push_back(std::move(each));
        prompt.push_back(q);
      }
      now = std::move(next);
    }
  }
  const auto rank = [&](int token) { return token - (end >= 0 && token > end); };  // among those but the end
  const int P = static_cast<int>(s.prefix.size());
  Aliases tied{1 + tokens - (end >= 0), {}}, by_prefix{P, std::vector<int>(static_cast<std::size_t>(P))};
  for (const Answer& each : s.prefix) tied.of.push_back(each.empty() ? 0 : 1 + rank(each.back()));
  std::iota(by_prefix.of.begin(), by_prefix.of.end(), 0);
  tied.of.push_back(0), by_prefix.of.push_back(0);  // what follows an answer looks at any
  s.tied = std::make_shared<const Aliases>(std::move(tied));
  s.by_prefix = std::make_shared<const Aliases>(std::move(by_prefix));

  std::vector<double> start(static_cast<std::size_t>(P) + 1, 0);
  std::vector<char> terminal(static_cast<std::size_t>(P) + 1, 0);
  terminal.back() = 1;
  for (int q = 0; q < s.prompts; ++q)
    start[static_cast<std::size_t>(first[static_cast<std::size_t>(q)])] =
        probability[static_cast<std::size_t>(q)];
  out.mdp = make_mdp(P + 1, tokens, 1, longest, start, terminal, [&](int state, int a) {
    const auto k = static_cast<std::size_t>(state);
    if (a != end && static_cast<int>(s.prefix[k].size()) + 1 < longest)
      return std::vector<Outcome>{{longer[k] + rank(a), 1, 0}};
    Answer answer = s.prefix[k];
    answer.push_back(a);
    return std::vector<Outcome>{{P, 1, verifiers[static_cast<std::size_t>(prompt[k])](answer)}};
  });
  s.policy = zeros<double>(s.tied->rows, tokens);
  return out;
}

SequenceWorld seq_31() {
  SequenceWorld out = make_sequences(3, 0, 4, {[](const Answer& y) {
                                       const auto a = std::count(y.begin(), y.end(), 1),
                                                  b = std::count(y.begin(), y.end(), 2);
                                       return y.back() == 0 && a - b == 1 ? 1.0 : 0.0;
                                     }});
  out.sequences.policy = {{-1, .5, .2}, {.4, -.2, .1}, {-.3, .3, 0}};
  out.sequences.direction = {{.2, -.3, .1}, {-.25, .35, 0}, {.3, -.1, -.2}};
  out.sequences.reference = {{-.5, 0, .3}, {0, .4, -.1}, {.2, -.3, .1}};
  return out;
}

SequenceWorld steps(int L, double J) {
  SequenceWorld out = make_sequences(2, 0, L, {[](const Answer& y) { return y.back() == 1 ? 1.0 : 0.0; }});
  const double p = std::pow(J, 1.0 / L);
  out.sequences.is_tied = false;
  out.sequences.policy = zeros<double>(L, 2);
  for (int t = 0; t < L; ++t) out.sequences.policy(t, 1) = std::log(p / (1 - p));
  return out;
}

SequenceWorld brackets(int L) {
  enum { E, open, close };
  return make_sequences(5, E, L, {[](const Answer& y) {
                          int depth = 0, pairs = 0;
                          for (const int token : y) {
                            depth += (token == open) - (token == close), pairs += token == close;
                            if (depth < 0) return 0.0;
                          }
                          return y.back() == E && depth == 0 && pairs > 0 ? 1.0 : 0.0;
                        }});
}

SequenceWorld long_answers(int L, double delta) {
  const int wanted = static_cast<int>(std::ceil(L * (0.5 + delta) + std::sqrt(L) / 4));
  const int enough = std::min(wanted, L + 1);
  SequenceWorld out;
  std::vector<double> start(static_cast<std::size_t>(enough) + 1, 0);
  start[0] = 1;
  out.mdp = make_mdp(enough + 1, 2, 1, L, start, std::vector<char>(start.size(), 0), [&](int ones, int a) {
    const int next = std::min(enough, ones + a);
    return std::vector<Outcome>{{next, 1, next == enough && ones < enough ? 1.0 : 0.0}};
  });
  Sequences& s = out.sequences;
  s.tokens = 2, s.longest = L;
  s.tied = std::make_shared<const Aliases>(Aliases{1, std::vector<int>(start.size(), 0)});
  s.policy = {{0, std::log((0.5 + delta) / (0.5 - delta))}};
  return out;
}

SequenceWorld read_sequences(const std::string& path) {
  const Json json = read_json_object(path);
  const File file{path};
  for (const auto& [key, value] : json.items())
    file.check(key == "tokens" || key == "end" || key == "longest" || key == "right" || key == "reward" ||
                   key == "prompts" || key == "policy" || key == "reference",
               "unknown key \"", key, "\"");
  const int tokens = file.whole(json, "tokens", 2, 10'000), end = file.whole(json, "end", 0, tokens - 1),
            longest = file.whole(json, "longest", 1, 10'000);
  std::vector<Rewards> rewards;
  std::vector<double> probability;
  if (json.contains("prompts")) {
    const Json& list = json["prompts"];
    file.check(list.is_array() && !list.empty(), "\"prompts\" must be a list of at least one");
    for (const Json& each : list) {
      rewards.push_back(file.rewards(each, tokens, end, longest));
      probability.push_back(each.contains("probability") ? file.number(each["probability"], "\"probability\"")
                                                         : 1.0 / static_cast<double>(list.size()));
      file.check(probability.back() >= 0, "\"probability\" cannot be negative");
    }
    file.check(std::abs(std::accumulate(probability.begin(), probability.end(), 0.0) - 1) <= 1e-9,
               "the probabilities of \"prompts\" must sum to 1 within 1e-9");
  } else {
    rewards.push_back(file.rewards(json, tokens, end, longest));
    probability.push_back(1);
  }
  SequenceWorld out;
  try {
    std::vector<Verifier> verifiers;
    for (const Rewards& pays : rewards) verifiers.push_back(by_list(pays));
    out = make_sequences(tokens, end, longest, verifiers, probability);
  } catch (const Error& e) {
    throw Error(join(path, ": ", e.what()));
  }
  Sequences& s = out.sequences;
  if (json.contains("policy")) {
    const Json& kind = file.at(json["policy"], "kind");
    file.check(kind == "tied" || kind == "prefix", "the \"kind\" of \"policy\" must be tied or prefix");
    s.is_tied = kind == "tied";
    s.policy = file.table(file.at(json["policy"], "logits"), "logits", s.own()->rows, tokens);
  }
  if (json.contains("reference"))
    s.reference = file.table(json["reference"], "reference", s.own()->rows, tokens);
  return out;
}

Array<double> read_logits(const std::string& path, int rows, int tokens) {
  const Json json = read_json_object(path);
  const File file{path};
  return file.table(file.at(json, "logits"), "logits", rows, tokens);
}

}  // namespace lowvar
