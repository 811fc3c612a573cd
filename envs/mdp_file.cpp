// MDP files: JSON into an Mdp, refusing whatever could not be one.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>

#include "core/input_file.h"
#include "envs/tabular.h"

namespace lowvar {
namespace {

using Json = nlohmann::json;

constexpr double kMaxTransitions = 2e7;
constexpr std::size_t kMaxValues = 42'000'000;  // P, R and their arrays at kMaxTransitions, with room
constexpr int kMaxDepth = 4;                    // the object, [S], [A], [S]
constexpr double kSumTolerance = 1e-9;

/// A foreign text fit for one line of an error: printable and at most 160 characters.
std::string excerpt(std::string text) {
  if (text.size() > 160) text = text.substr(0, 157) + "...";
  for (char& c : text)
    if (c < ' ' || c > '~') c = '?';
  return text;
}

/// The document, refused while it is read if it nests too deep, repeats a key or holds more than an MDP can.
Json parse(const std::string& path, const std::string& text) {
  std::set<std::string> keys;
  std::size_t values = 0;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    using Event = Json::parse_event_t;
    if (event == Event::object_start || event == Event::array_start)
      expect(depth < kMaxDepth, path, ": nested deeper than [states][actions][states]");
    if (event == Event::key)
      expect(depth > 1 || keys.insert(parsed.get<std::string>()).second, path, ": \"",
             excerpt(parsed.get<std::string>()), "\" occurs twice");
    if (event == Event::value || event == Event::array_start)
      expect(++values <= kMaxValues, path, ": more numbers than an MDP of 2e7 transitions has");
    return true;
  };
  try {
    return Json::parse(text, watch);
  } catch (const Json::exception& e) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    const std::string what = e.what();
    const std::size_t bracket = what.find("] ");
    throw Error(join(
        path, ": not valid JSON: ", excerpt(bracket == std::string::npos ? what : what.substr(bracket + 2))));
  }
}

/// "P[3][1]".
std::string place(std::string_view key, std::initializer_list<int> indices) {
  std::string out(key);
  for (int i : indices) out += join("[", i, "]");
  return out;
}

/// Checked access to the parts of one document.
struct Reader {
  const std::string& path;
  const Json& document;

  int whole(const char* key, int least, int most) const {
    const Json& x = document[key];
    expect(x.is_number_integer() && x >= least && x <= most, path, ": ", key, " must be a whole number from ",
           least, " to ", most, ", got ", excerpt(x.is_structured() ? x.type_name() : x.dump()));
    return x.get<int>();
  }

  const Json& array(const Json& x, int size, std::string_view key, std::initializer_list<int> at = {}) const {
    if (!x.is_array()) refuse(key, at, " must be an array, got ", x.type_name());
    if (x.size() != static_cast<std::size_t>(size))
      refuse(key, at, " must have ", size, " entries, got ", x.size());
    return x;
  }

  double number(const Json& x, std::string_view key, std::initializer_list<int> at = {}) const {
    if (!x.is_number()) refuse(key, at, " must be a number, got ", x.type_name());
    const double value = x.get<double>();
    if (!std::isfinite(value)) refuse(key, at, " is not finite");
    return value;
  }

  double probability(const Json& x, std::string_view key, std::initializer_list<int> at) const {
    const double p = number(x, key, at);
    if (p < 0) refuse(key, at, " is ", p, ", but a probability cannot be negative");
    return p;
  }

  void sums_to_one(double sum, std::string_view key, std::initializer_list<int> at = {}) const {
    if (std::abs(sum - 1) > kSumTolerance)
      refuse(key, at, " sums to ", sum, ", but must sum to 1 within 1e-9 (off by ", sum - 1, ")");
  }

  /// The sentence is put together only when it is needed: these checks run once per number of the file.
  template <class... Parts>
  [[noreturn]] void refuse(std::string_view key, std::initializer_list<int> at, const Parts&... parts) const {
    throw Error(join(path, ": ", place(key, at), parts...));
  }
};

}  // namespace

Mdp read_mdp(const std::string& path) {
  const Json document = parse(path, read_input(path));
  expect(document.is_object(), path, ": the file must hold one JSON object, got ", document.type_name());
  const auto known = {"states", "actions", "gamma", "horizon", "start", "P", "R", "terminal"};
  for (const char* key : known) expect(document.contains(key), path, ": the key \"", key, "\" is missing");
  for (const auto& [key, value] : document.items())
    expect(std::find(known.begin(), known.end(), key) != known.end(), path, ": unknown key \"", excerpt(key),
           "\"");

  const Reader reader{path, document};
  const int S = reader.whole("states", 1, 100'000);
  const int A = reader.whole("actions", 1, 10'000);
  const int T = reader.whole("horizon", 1, 1'000'000);
  expect(1.0 * S * A * S <= kMaxTransitions, path, ": ", S, " states x ", A, " actions x ", S,
         " states is more than the 2e7 transitions a file may have");
  const double gamma = reader.number(document["gamma"], "gamma");
  expect(gamma >= 0 && gamma <= 1, path, ": gamma must lie in [0, 1], got ", gamma);

  std::vector<double> start;
  double sum = 0;
  for (const Json& p : reader.array(document["start"], S, "start")) {
    start.push_back(reader.probability(p, "start", {static_cast<int>(start.size())}));
    sum += start.back();
  }
  reader.sums_to_one(sum, "start");

  std::vector<char> terminal(static_cast<std::size_t>(S));
  expect(document["terminal"].is_array(), path, ": terminal must be an array, got ",
         document["terminal"].type_name());
  int entry = 0;
  for (const Json& s : document["terminal"]) {
    expect(s.is_number_integer() && s >= 0 && s < S, path, ": ", place("terminal", {entry}),
           " must be a state from 0 to ", S - 1, ", got ",
           excerpt(s.is_structured() ? s.type_name() : s.dump()));
    terminal[s.get<std::size_t>()] = 1;
    ++entry;
  }

  // Rows of terminal states are held to their shape alone, all others to their numbers as well.
  const Json& P = reader.array(document["P"], S, "P");
  const Json& R = reader.array(document["R"], S, "R");
  for (int s = 0; s < S; ++s) {
    reader.array(P[s], A, "P", {s});
    reader.array(R[s], A, "R", {s});
  }
  const bool reward_on_transition = R[0][0].is_array();
  for (int s = 0; s < S; ++s)
    for (int a = 0; a < A; ++a) {
      reader.array(P[s][a], S, "P", {s, a});
      if (reward_on_transition)
        for (int next = 0; next < S; ++next)
          reader.number(reader.array(R[s][a], S, "R", {s, a})[next], "R", {s, a, next});
      else
        reader.number(R[s][a], "R", {s, a});
    }

  return make_mdp(S, A, gamma, T, start, terminal, [&](int s, int a) {
    std::vector<Outcome> outcomes;
    double row_sum = 0;
    for (int next = 0; next < S; ++next) {
      const double p = reader.probability(P[s][a][next], "P", {s, a, next});
      row_sum += p;
      const Json& r = reward_on_transition ? R[s][a][next] : R[s][a];
      if (p > 0) outcomes.push_back({next, p, r.get<double>()});
    }
    reader.sums_to_one(row_sum, "P", {s, a});
    return outcomes;
  });
}

}  // namespace lowvar
