#include "envs/minatar/recorded.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"
#include "core/input_file.h"
#include "envs/minatar/games.h"

namespace lowvar::minatar {
namespace {

using Json = nlohmann::json;

std::string text(const RecordedDraw& draw) {
  return draw.whole ? join("an integer from ", draw.low, " to ", draw.high - 1) : "a uniform number";
}

/// A list of draws, nested no deeper than that.
Json parse(const std::string& line, const std::string& where) {
  const auto watch = [&](int depth, Json::parse_event_t event, Json&) {
    using Event = Json::parse_event_t;
    expect((event != Event::array_start || depth < 2) && event != Event::object_start, where,
           ": nested deeper than a list of draws");
    return true;
  };
  const Json out = Json::parse(line, watch, false);
  expect(!out.is_discarded(), where, ": not valid JSON");
  return out;
}

RecordedDraw draw_of(const Json& x, const std::string& where) {
  constexpr const char* kinds = " is neither [\"u\", value] nor [\"i\", low, high, value]";
  expect(x.is_array() && !x.empty() && x[0].is_string(), where, kinds);
  if (x[0] == "u") {
    expect(x.size() == 2 && x[1].is_number(), where, kinds);
    const double u = x[1].get<double>();
    expect(u >= 0 && u < 1, where, ": a uniform number is in [0, 1), got ", u);
    return {.value = u};
  }
  expect(x[0] == "i" && x.size() == 4, where, kinds);
  std::array<int, 3> number{};
  for (std::size_t i = 0; i < 3; ++i) {
    const Json& each = x[i + 1];
    expect(each.is_number_integer() && each >= -1'000'000 && each <= 1'000'000, where,
           ": the bounds and the value of an integer are whole numbers of at most 1000000");
    number[i] = each.get<int>();
  }
  const auto [low, high, value] = number;
  expect(low <= value && value < high, where, ": an integer is at least ", low, " and less than ", high,
         ", got ", value);
  return {static_cast<double>(value), true, low, high};
}

template <class Game>
class RecordedGameOf final : public RecordedGame {
 public:
  explicit RecordedGameOf(Variant variant) : env_{variant} {}

  int observation() const override { return env_.observation; }
  void reset(RecordedDraws& draws) override { state_ = env_.start(draws); }
  Played step(int action, RecordedDraws& draws) override {
    const Outcome out = env_.play(state_, action, draws);
    return {static_cast<double>(out.reward), out.over, state_.played};
  }
  void observe(std::span<std::uint8_t> out) const override { env_.observe(state_, out); }

 private:
  MinAtar<Game> env_;
  typename MinAtar<Game>::State state_ = {};
};

}  // namespace

const RecordedDraw& RecordedDraws::next(const std::string& asked) {
  expect(used_ < draws_.size(), where_, ": there are ", draws_.size(),
         draws_.size() == 1 ? " draw" : " draws", ", and the game asks for ", asked, " more");
  return draws_[used_++];
}

double RecordedDraws::uniform() {
  const RecordedDraw asked{};
  const RecordedDraw& draw = next(text(asked));
  expect(!draw.whole, where_, ": draw ", used_, " is ", text(draw), ", and the game asks for ", text(asked));
  return draw.value;
}

int RecordedDraws::integer(int low, int high) {
  const RecordedDraw asked{0, true, low, high};
  const RecordedDraw& draw = next(text(asked));
  expect(draw.whole && draw.low == low && draw.high == high, where_, ": draw ", used_, " is ", text(draw),
         ", and the game asks for ", text(asked));
  return static_cast<int>(draw.value);
}

void RecordedDraws::expect_used() const {
  expect(used_ == draws_.size(), where_, ": there are ", draws_.size(), " draws, and the game asks for ",
         used_);
}

std::vector<RecordedDraws> read_draws(const std::string& path) {
  std::istringstream in(read_input(path));
  std::vector<RecordedDraws> out;
  int n = 0;
  for (std::string line; std::getline(in, line);) {
    const std::string where = join(path, ", line ", ++n);
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const Json list = parse(line, where);
    expect(list.is_array(), where, ": a line is a list of draws");
    std::vector<RecordedDraw> draws;
    for (const Json& each : list) draws.push_back(draw_of(each, join(where, ", draw ", draws.size() + 1)));
    out.emplace_back(std::move(draws), where);
  }
  return out;
}

std::unique_ptr<RecordedGame> recorded_game(const std::string& id) {
  std::unique_ptr<RecordedGame> out;
  for_each_world([&]<class Game>(const World<Game>& world) {
    if (id == world.id) out = std::make_unique<RecordedGameOf<Game>>(world.variant);
  });
  return out;
}

}  // namespace lowvar::minatar
