// Games in an emulator: numbers in memory, scenarios and small grey pictures against their definitions; the
// same frames, rewards and states for the same inputs, wherever and however often they are played; a sentence
// for whatever is wrong with a folder.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <thread>

#include "core/random.h"
#include "core/store.h"
#include "envs/retro/game.h"
#include "envs/retro/retro.h"
#include "experiments/worlds.h"
#include "tests/command.h"

/// Nestopia itself does not free what a machine had when it is closed.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }

namespace lowvar::retro {
namespace {

using Bytes = std::vector<std::uint8_t>;
namespace fs = std::filesystem;

void write(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

/// What a call says is wrong; empty where nothing is.
template <class F>
std::string complaint(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}
#define EXPECT_COMPLAINT(words, call)                                \
  EXPECT_NE(complaint([&] { call; }).find(words), std::string::npos) \
      << words << " is not in: " << complaint([&] { call; })

std::int64_t read(const char* type, const Bytes& memory) {
  const auto t = NumberType::parse(type);
  EXPECT_TRUE(t && t->bytes() == static_cast<int>(memory.size())) << type;
  return t ? t->read(memory.data()) : -1;
}

// ---- data.json ----

TEST(RetroNumbers, HaveEveryOrderOfBytes) {
  const Bytes four = {0x12, 0x34, 0x56, 0x78};
  EXPECT_EQ(read("<u4", four), 0x78563412);
  EXPECT_EQ(read("=u4", four), 0x78563412);
  EXPECT_EQ(read("<=u4", four), 0x78563412);
  EXPECT_EQ(read(">u4", four), 0x12345678);
  EXPECT_EQ(read("<>u4", four), 0x56781234);
  EXPECT_EQ(read("><u4", four), 0x34127856);
  EXPECT_EQ(read(">=u4", four), 0x34127856);
  EXPECT_EQ(read("|u1", {0xab}), 0xab);
  EXPECT_EQ(read("<u3", {1, 2, 3}), 0x030201);
  EXPECT_EQ(read(">u3", {1, 2, 3}), 0x010203);
  EXPECT_EQ(read(">u8", {0, 0, 0, 0, 0, 0, 1, 2}), 0x0102);
  EXPECT_EQ(read("<u8", {1, 2, 0, 0, 0, 0, 0, 0}), 0x0201);
}

TEST(RetroNumbers, AreSignedInTwosComplementOfTheirWidth) {
  EXPECT_EQ(read("|i1", {0xff}), -1);
  EXPECT_EQ(read("|i1", {0x7f}), 127);
  EXPECT_EQ(read("<i2", {0xfe, 0xff}), -2);
  EXPECT_EQ(read(">i2", {0x80, 0x00}), -32768);
  EXPECT_EQ(read("<i3", {0x00, 0x00, 0x80}), -8388608);
  EXPECT_EQ(read(">i8", Bytes(8, 0xff)), -1);
  for (int n = 1; n <= 8; ++n) {
    Bytes most(static_cast<std::size_t>(n), 0xff);
    most.back() = 0x7f;
    EXPECT_EQ(read(("<i" + std::to_string(n)).c_str(), most), INT64_MAX >> (64 - 8 * n));
  }
}

TEST(RetroNumbers, HaveTwoDecimalDigitsAByteOrOne) {
  EXPECT_EQ(read(">d3", {0x12, 0x34, 0x56}), 123456);
  EXPECT_EQ(read("<d3", {0x56, 0x34, 0x12}), 123456);
  EXPECT_EQ(read("<>d4", {0x56, 0x78, 0x12, 0x34}), 12345678);  // words in little order, bytes in big
  EXPECT_EQ(read("|d1", {0x1a}), 10);                           // a digit above 9 is taken modulo 10
  EXPECT_EQ(read("|d1", {0xb2}), 12);
  EXPECT_EQ(read(">n4", {1, 2, 3, 4}), 1234);
  EXPECT_EQ(read("<n4", {4, 3, 2, 1}), 1234);
  EXPECT_EQ(read(">n2", {0xf7, 0x3c}), 72);  // high halves do not count
  EXPECT_EQ(read(">d8", Bytes(8, 0x99)), 9999999999999999);
}

TEST(RetroNumbers, OfNoTypeAreLeftOut) {
  for (const char* type : {"", "u", "u1", "<u", "<u0", "<u9", "<x2", "<<u2", "<u10", "<>u3", "|u1 ", "?u1"})
    EXPECT_FALSE(NumberType::parse(type)) << type;
  const auto dir = ::lowvar::scratch("retro_numbers");
  write(dir / "data.json",
        R"({"info": {"a": {"address": 7, "type": "<u2", "mask": 255}, "b": {"address": 1, "type": "u"}}})");
  const auto numbers = read_numbers(dir / "data.json");
  ASSERT_EQ(numbers.size(), 1U);
  EXPECT_EQ(numbers.at("a").address, 7U);
  EXPECT_EQ(numbers.at("a").mask, 255U);
  const auto of = [&](const char* text) {
    write(dir / "data.json", text);
    return complaint([&] { read_numbers(dir / "data.json"); });
  };
  EXPECT_NE(of(R"({"info": {"a": {"address": 7}}})").find("a must have an address and a type"),
            std::string::npos);
  EXPECT_NE(of(R"({"info": {"a": {"type": "<u2"}}})").find("a must have an address and a type"),
            std::string::npos);
  EXPECT_NE(of(R"({"info": {"a": {"address": -1, "type": "<u2"}}})").find("negative"), std::string::npos);
  EXPECT_NE(of(R"({"info": {"a": {"address": 0.5, "type": "<u2"}}})").find("whole number"),
            std::string::npos);
  EXPECT_NE(of(R"({})").find("info is missing"), std::string::npos);
  EXPECT_NE(of(R"({"info")").find("not valid JSON"), std::string::npos);
}

// ---- scenario.json ----

/// A scenario of numbers x, y.
Scenario scenario(const std::string& json) {
  const auto dir = ::lowvar::scratch("retro_scenario");
  write(dir / "scenario.json", json);
  const Number number{.address = 0, .type = *NumberType::parse("<i2")};
  return read_scenario(dir / "scenario.json", {{"x", number}, {"y", number}}, systems()[0]);
}
using Values = std::vector<std::int64_t>;

TEST(RetroScenario, MeasuresByEveryOperation) {
  const auto paid = [](const std::string& spec, std::int64_t now, std::int64_t before) {
    return scenario(R"({"reward": {"variables": {"x": {"reward": 2, "penalty": 3)" + spec + "}}}}")
        .reward(Values{now}, Values{before});
  };
  // A change, unless it says otherwise: risen by 4, fallen by 4.
  EXPECT_EQ(paid("", 7, 3), 8);
  EXPECT_EQ(paid("", 3, 7), -12);
  EXPECT_EQ(paid("", 3, 3), 0);
  const std::string absolute = R"(, "measurement": "absolute")";
  EXPECT_EQ(paid(absolute, -5, 100), -15);
  struct Case {
    const char* op;
    int reference;
    std::vector<int> one;  // of -2, -1, 0, 1, 2
  };
  for (const Case& c : std::vector<Case>{{"nonzero", 0, {-2, -1, 1, 2}},
                                         {"zero", 0, {0}},
                                         {"positive", 0, {1, 2}},
                                         {"negative", 0, {-2, -1}},
                                         {"equal", 1, {1}},
                                         {"negative-equal", 1, {-1}},
                                         {"not-equal", 1, {-2, -1, 0, 2}},
                                         {"less-than", 1, {-2, -1, 0}},
                                         {"greater-than", -1, {0, 1, 2}},
                                         {"less-or-equal", 1, {-2, -1, 0, 1}},
                                         {"greater-or-equal", 1, {1, 2}}})
    for (int x = -2; x <= 2; ++x) {
      const bool one = std::find(c.one.begin(), c.one.end(), x) != c.one.end();
      const std::string spec = join(R"(, "op": ")", c.op, R"(", "reference": )", c.reference);
      EXPECT_EQ(paid(absolute + spec, x, 99), one ? 2 : 0) << c.op << " of " << x;
      EXPECT_EQ(paid(spec, x + 50, 50), one ? 2 : 0) << c.op << " of a change by " << x;
    }
  EXPECT_EQ(paid(R"(, "op": "sign")", 9, 2), 2);
  EXPECT_EQ(paid(R"(, "op": "sign")", 2, 9), -3);
}

TEST(RetroScenario, PaysInFloat32AndForTime) {
  const auto s = scenario(
      R"({"reward": {"time": {"reward": 0.1}, "variables": {"x": {"reward": 0.7}, "y": {"penalty": -1}}}})");
  EXPECT_EQ(s.reward(Values{3, 4}, Values{0, 6}), 0.1F + 3 * 0.7F + 2);
  // The first of a list for several players.
  const auto two =
      scenario(R"({"rewards": [{"variables": {"x": {"reward": 5}}}, {"variables": {"x": {"reward": 9}}}]})");
  EXPECT_EQ(two.reward(Values{1}, Values{0}), 5);
}

TEST(RetroScenario, EndsByAnyOrAllOfItsConditions) {
  const std::string x = R"("x": {"op": "equal", "reference": 1})",
                    y = R"("y": {"op": "negative", "measurement": "delta"})";
  const auto ended = [](const Scenario& s, std::int64_t x_now, std::int64_t y_change) {
    return s.ended(Values{x_now, 50 + y_change}, Values{0, 50});
  };
  const auto any = scenario(R"({"done": {"variables": {)" + x + ", " + y + "}}}");
  const auto all = scenario(R"({"done": {"condition": "all", "variables": {)" + x + ", " + y + "}}}");
  for (const int is : {0, 1})
    for (const int fell : {0, 1}) {
      EXPECT_EQ(ended(any, is, -fell), is || fell);
      EXPECT_EQ(ended(all, is, -fell), is && fell);
    }
  // x is 1, and y fell or x is y: y must be asked for after x for the order of numbers above.
  const auto nested = scenario(
      R"({"done": {"condition": "all", "variables": {)" + x + R"(}, "nodes": {"n": {"variables": {)" + y +
      R"(}, "nodes": {"m": {"condition": "all", "variables": {"y": {"op": "equal", "reference": 53}}}}}}}})");
  EXPECT_TRUE(ended(nested, 1, -1));
  EXPECT_TRUE(ended(nested, 1, 3));
  EXPECT_FALSE(ended(nested, 1, 2));
  EXPECT_FALSE(ended(nested, 0, -1));
  EXPECT_FALSE(scenario("{}").ended({}, {}));
  EXPECT_TRUE(scenario(R"({"done": {"condition": "all"}})").ended({}, {}));
  // Without an operation what counts is above 0.
  const auto plain = scenario(R"({"done": {"variables": {"x": {}}}})");
  EXPECT_TRUE(plain.ended(Values{2}, Values{5}));
  EXPECT_FALSE(plain.ended(Values{-2}, Values{-5}));
}

TEST(RetroScenario, NumbersActionsByGroupsOfTheirBitsTheFirstFastest) {
  constexpr std::uint16_t up = 1 << 4, down = 1 << 5, left = 1 << 6, right = 1 << 7, a = 1 << 8, b = 1,
                          start = 1 << 3;
  // The groups of the NES: of A and B, whose mask begins highest, comes last.
  const auto all = scenario("{}").actions;
  ASSERT_EQ(all.size(), 36U);
  EXPECT_EQ(all[0], 0);
  EXPECT_EQ(all[1], up);
  EXPECT_EQ(all[2], down);
  EXPECT_EQ(all[3], left);
  EXPECT_EQ(all[8], down | right);
  EXPECT_EQ(all[9], b);
  EXPECT_EQ(all[18], a);
  EXPECT_EQ(all[35], down | right | a | b);
  // Written in any order.
  EXPECT_EQ(scenario(R"({"actions": [[["A"], []], [["RIGHT"], [], ["LEFT"]], [["START"], []]]})").actions,
            (std::vector<std::uint16_t>{0, start, left, start | left, right, start | right, a, start | a,
                                        left | a, start | left | a, right | a, start | right | a}));
}

TEST(RetroScenario, IsRefusedInASentence) {
  EXPECT_COMPLAINT("asks for 'z', which data.json does not say",
                   scenario(R"({"done": {"variables": {"z": {}}}})"));
  EXPECT_COMPLAINT("reward.x.op must be one of nonzero, zero",
                   scenario(R"({"reward": {"variables": {"x": {"op": "equals"}}}})"));
  EXPECT_COMPLAINT("measurement must be delta or absolute",
                   scenario(R"({"reward": {"variables": {"x": {"measurement": "relative"}}}})"));
  EXPECT_COMPLAINT("reward must be a number",
                   scenario(R"({"reward": {"variables": {"x": {"reward": "1"}}}})"));
  EXPECT_COMPLAINT("reference must be a whole number",
                   scenario(R"({"reward": {"variables": {"x": {"op": "equal", "reference": 0.5}}}})"));
  EXPECT_COMPLAINT("condition must be any or all", scenario(R"({"done": {"condition": "some"}})"));
  EXPECT_COMPLAINT("Lua", scenario(R"({"reward": {"script": "lua:reward"}})"));
  EXPECT_COMPLAINT("Lua", scenario(R"({"done": {"script": "lua:done"}})"));
  EXPECT_COMPLAINT("the NES has no such button; it has B, SELECT, START",
                   scenario(R"({"actions": [[["X"]]]})"));
  EXPECT_COMPLAINT("list of groups", scenario(R"({"actions": []})"));
  EXPECT_COMPLAINT("[x, y, width, height]", scenario(R"({"crop": [0, 0, 8]})"));
  EXPECT_COMPLAINT("from 0 to 4096", scenario(R"({"crop": [0, -1, 8, 8]})"));
  std::string deep = "{}";
  for (int i = 0; i < 40; ++i) deep = R"({"nodes": {"n": )" + deep + "}}";
  EXPECT_COMPLAINT("nested deeper", scenario(R"({"done": )" + deep + "}"));
}

TEST(RetroFolder, KnowsGamesBySha1) {
  EXPECT_EQ(sha1(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(sha1("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(sha1("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  EXPECT_EQ(sha1(std::string(1'000'000, 'a')), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

// ---- Small grey pictures ----

Screen noise(int width, int height) {
  Rng rng(1, "noise");
  Screen out{width, height, {}};
  for (int i = 0; i < width * height; ++i) out.pixels.push_back(rng.bits() & 0xffffff);
  return out;
}

/// The weights .299, .587 and .114 in 14 bits.
double grey(std::uint32_t p) {
  const std::uint32_t r = p >> 16, g = p >> 8 & 255, b = p & 255;
  const double out = std::floor((4899 * r + 9617 * g + 1868 * b) / 16384.0 + 0.5);
  EXPECT_NEAR(out, 0.299 * r + 0.587 * g + 0.114 * b, 0.51);
  return out;
}

/// A pixel is the mean of the area under it.
double mean_at(const Screen& s, const Crop& crop, int side, int row, int column) {
  const auto covered = [](double low, double high, int k) {
    return std::min(high, k + 1.0) - std::max(low, k + 0.0);
  };
  const double h = static_cast<double>(crop.height) / side, w = static_cast<double>(crop.width) / side;
  double sum = 0;
  for (int y = 0; y < crop.height; ++y)
    for (int x = 0; x < crop.width; ++x) {
      const double a = covered(row * h, (row + 1) * h, y), b = covered(column * w, (column + 1) * w, x);
      if (a <= 0 || b <= 0) continue;
      const auto p = s.pixels[static_cast<std::size_t>((crop.y + y) * s.width + crop.x + x)];
      sum += a * b / h / w * grey(p);
    }
  return sum;
}

TEST(RetroPixels, AreMeansOfAreas) {
  struct Case {
    int width, height;
    Crop crop;
  };
  for (const auto& [width, height, crop] : {Case{256, 224, {}}, Case{160, 144, {}}, Case{84, 84, {}},
                                            Case{168, 252, {}}, Case{256, 240, {8, 16, 200, 190}}}) {
    const Screen screen = noise(width, height);
    Shrink shrink(84, 84);
    Bytes out(84 * 84);
    shrink(screen, crop, out);
    const Crop all = crop.width ? crop : Crop{0, 0, width, height};
    for (int row = 0; row < 84; row += 3)
      for (int column = 0; column < 84; ++column)
        ASSERT_NEAR(out[static_cast<std::size_t>(row * 84 + column)], mean_at(screen, all, 84, row, column),
                    0.51)
            << width << " x " << height << " at " << row << ", " << column;
    // Where all pixels are alike, so is the result.
    for (const std::uint32_t colour : {0xffffffU, 0x010101U, 0x808080U, 0U}) {
      Screen flat = screen;
      std::fill(flat.pixels.begin(), flat.pixels.end(), colour);
      shrink(flat, crop, out);
      EXPECT_EQ(out, Bytes(84 * 84, colour & 255));
    }
  }
  Shrink shrink(84, 84);
  Bytes out(84 * 84);
  EXPECT_COMPLAINT("does not lie in a picture of 100 x 100", shrink(noise(100, 100), {0, 0, 101, 50}, out));
}

// ---- Games ----

/// The game of our own; why it cannot be played where it cannot.
std::string cannot_play() {
  if (!missing().empty()) return "needs " + missing();
  return complaint([] { game_folder("Rockbelt-Nes"); });
}
class RetroGame : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = cannot_play(); !why.empty()) GTEST_SKIP() << why;
  }
};

constexpr int kActions = 18, kFire = 9;

/// FNV-1a.
std::uint64_t hash(std::uint64_t h, const void* bytes, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i)
    h = (h ^ static_cast<const unsigned char*>(bytes)[i]) * 0x100000001b3ULL;
  return h;
}

Bytes seen(const States& states, int i = 0) {
  Bytes out(static_cast<std::size_t>(states.spaces().observation));
  states.observe(i, i + 1, out.data());
  return out;
}

/// Of all that is seen and paid in `steps` of state i at random; it is restored from its own bytes before
/// each step that `restores` says.
std::uint64_t played(
    States& states, int i, std::uint32_t episode, int steps,
    const std::function<bool(int)>& restores = [](int) { return false; }) {
  Rng start(5, "start", 0, episode), choices(5, "choices", 0, episode), step(5, "step", 0, episode);
  states.reset(i, start);
  std::uint64_t h = 0xcbf29ce484222325ULL;
  for (int t = 0; t < steps; ++t) {
    if (restores(t)) {
      std::vector<std::byte> bytes;
      states.save(i, bytes);
      states.restore(i, bytes);
    }
    step.seek(static_cast<std::uint32_t>(t) + 1);
    const int choice = static_cast<int>(choices.uniform() * kActions);
    double reward{};
    char terminated{};
    states.step(i, i + 1, {&choice, nullptr}, {.each = &step}, &reward, &terminated);
    const Bytes x = seen(states, i);
    h = hash(hash(hash(h, x.data(), x.size()), &reward, sizeof reward), &terminated, 1);
    if (terminated) break;
  }
  return h;
}

const Playable& rockbelt() {
  static const Playable game = playable(game_folder("Rockbelt-Nes"), {.sticky = 0.25, .noop = 30});
  return game;
}

TEST_F(RetroGame, IsTheSameForTheSameInputsWhereverItIsPlayed) {
  constexpr int steps = 120;
  const auto one = rockbelt().states(1);
  const std::uint64_t first = played(*one, 0, 0, steps);
  EXPECT_NE(first, played(*one, 0, 1, steps)) << "other inputs";
  EXPECT_EQ(first, played(*one, 0, 0, steps)) << "a second time";
  EXPECT_EQ(first, played(*one, 0, 0, steps, [](int) { return true; })) << "restored before each step";
  EXPECT_EQ(first, played(*playable(game_folder("Rockbelt-Nes"), {.sticky = 0.25, .noop = 30}).states(1), 0,
                          0, steps))
      << "on another machine";

  // 16 at once, in 16 threads, each on a machine of its own.
  constexpr int n = 16;
  const auto many = rockbelt().states(n);
  std::vector<std::uint64_t> together(n), alone(n);
  std::vector<std::thread> threads;
  for (int i = 0; i < n; ++i)
    threads.emplace_back([&, i] {
      together[static_cast<std::size_t>(i)] =
          played(*many, i, static_cast<std::uint32_t>(i), 20, [](int t) { return t % 3 == 0; });
    });
  for (auto& each : threads) each.join();
  for (int i = 0; i < n; ++i)
    alone[static_cast<std::size_t>(i)] = played(*one, 0, static_cast<std::uint32_t>(i), 20);
  EXPECT_EQ(together, alone);
}

TEST_F(RetroGame, StatesAreRestoredInOtherObjectsAndRefusedWhereTheyAreNone) {
  const auto from = rockbelt().states(1),
             to = playable(game_folder("Rockbelt-Nes"), {.sticky = 0.25, .noop = 30}).states(2);
  played(*from, 0, 3, 40);
  std::vector<std::byte> bytes, again;
  from->save(0, bytes);
  to->restore(1, bytes);
  to->save(1, again);
  EXPECT_EQ(bytes, again);
  for (int t = 0; t < 30; ++t) {
    double r[2];
    char ended[2];
    Rng one(1, "s"), two(1, "s");
    from->step(0, 1, {&kFire, nullptr}, {.each = &one}, &r[0], &ended[0]);
    to->step(1, 2, {&kFire, nullptr}, {.each = &two}, &r[1], &ended[1]);
    ASSERT_EQ(r[0], r[1]);
    ASSERT_EQ(seen(*from), seen(*to, 1)) << t;
  }
  EXPECT_THROW(to->restore(0, std::span(bytes).subspan(1)), Error);
  EXPECT_THROW(to->restore(0, std::span(bytes).first(bytes.size() - 1)), Error);
  EXPECT_THROW(to->set_numbers(0, {}), Error);
}

/// A copy of the game's folder to spoil.
fs::path copy_of_game(const std::string& name) {
  const auto dir = ::lowvar::scratch(name) / "Rockbelt-Nes";
  fs::copy(game_folder("Rockbelt-Nes"), dir);
  return dir;
}

/// Steps by one action, without stickiness.
struct Stepped {
  double reward;
  bool ended;
};
Stepped step(States& states, int choice) {
  Rng unused(0, "unused");
  double reward{};
  char ended{};
  states.step(0, 1, {&choice, nullptr}, {.each = &unused}, &reward, &ended);
  return {reward, ended != 0};
}

TEST_F(RetroGame, ADecisionIsSomeFramesWhoseRewardsAreSummedUpToTheEnd) {
  // Each frame pays, so that one too many shows.
  const auto folder = copy_of_game("retro_skip");
  std::string scenario = contents(folder / "scenario.json");
  const std::string variables = R"("variables": {)";
  scenario.insert(scenario.find(variables), R"("time": {"reward": 0.125}, )");
  write(folder / "scenario.json", scenario);
  int ended_early = 0;
  for (const int skip : {4, 5, 7}) {
    const auto together = playable(folder, {.skip = skip}).states(1),
               by_one = playable(folder, {.skip = 1}).states(1);
    // The stack is its oldest frame first, and full of the first one at a start.
    Bytes before = seen(*together);
    for (std::size_t p = 0; p < before.size(); p += 4)
      for (std::size_t c = 1; c < 4; ++c) ASSERT_EQ(before[p], before[p + c]);
    bool ended = false;
    double most = 0;
    for (int steps = 0; !ended; ++steps) {
      ASSERT_LT(steps, 4500);
      const auto all = step(*together, kFire);
      double sum = 0;
      int frames = 0;
      for (; frames < skip && !ended; ++frames) {
        const auto one = step(*by_one, kFire);
        sum += one.reward, ended = one.ended;
      }
      ended_early += frames < skip;
      ASSERT_EQ(all.reward, sum);
      ASSERT_EQ(all.ended, ended);
      most = std::max(most, sum);
      const Bytes after = seen(*together), single = seen(*by_one);
      for (std::size_t p = 0; p < after.size(); p += 4) {
        for (std::size_t c = 0; c < 3; ++c) ASSERT_EQ(after[p + c], before[p + c + 1]);
        ASSERT_EQ(after[p + 3], single[p + 3]);
      }
      before = after;
    }
    EXPECT_GE(most, 1) << "something was hit";
  }
  EXPECT_GT(ended_early, 0);
}

TEST_F(RetroGame, ThreeLivesAreLostByDoingNothing) {
  const auto states = playable(game_folder("Rockbelt-Nes"), {}).states(1);
  double total = 0;
  int steps = 0;
  for (bool ended = false; !ended; ++steps) {
    ASSERT_LT(steps, 1000);
    const auto s = step(*states, 0);
    total += s.reward, ended = s.ended;
  }
  EXPECT_EQ(total, -15);  // a penalty of 5 for each, and nothing earned
}

TEST_F(RetroGame, ReadsWhatAMaskLeavesAndSeesWhatACropLeaves) {
  const auto folder = copy_of_game("retro_mask");
  std::string data = contents(folder / "data.json");
  const std::string score = R"("type": ">n4")";
  ASSERT_NE(data.find(score), std::string::npos);
  data.replace(data.find(score), score.size(), score + R"(, "mask": 0)");
  write(folder / "data.json", data);
  std::string scenario = contents(folder / "scenario.json");
  scenario.replace(scenario.find('{'), 1, R"({"crop": [0, 208, 256, 16],)");
  write(folder / "scenario.json", scenario);
  const auto plain = playable(game_folder("Rockbelt-Nes"), {}).states(1),
             masked = playable(folder, {}).states(1);
  double earned[2] = {};
  for (int t = 0; t < 200; ++t) {
    earned[0] += std::max(0.0, step(*plain, kFire).reward);
    earned[1] += std::max(0.0, step(*masked, kFire).reward);
  }
  EXPECT_GT(earned[0], earned[1]);
  EXPECT_EQ(std::fmod(earned[1], 5), 0) << "capsules, which pay 5, are all that is left";
  // The sky is dark, the ground below it is not.
  const auto dark = [&](const Bytes& x) {
    return std::count_if(x.begin(), x.end(), [](std::uint8_t p) { return p < 20; });
  };
  EXPECT_GT(dark(seen(*plain)), 20'000);
  EXPECT_LT(dark(seen(*masked)), 10'000);
}

TEST_F(RetroGame, StartsDifferWhereNothingIsPressedForAWhile) {
  const auto states = playable(game_folder("Rockbelt-Nes"), {.noop = 30}).states(1),
             still = playable(game_folder("Rockbelt-Nes"), {}).states(1);
  std::map<std::uint64_t, int> starts;
  for (std::uint32_t episode = 0; episode < 100; ++episode) {
    Rng rng(2, "start", 0, episode);
    states->reset(0, rng), still->reset(0, rng);
    std::vector<std::byte> bytes;
    states->save(0, bytes);
    ++starts[hash(0, bytes.data(), bytes.size())];
  }
  EXPECT_GT(starts.size(), 25U);
  EXPECT_LE(starts.size(), 31U);
}

TEST_F(RetroGame, StickyActionsHoldTheFirstFrameOfADecision) {
  const auto folder = game_folder("Rockbelt-Nes");
  const auto always = playable(folder, {.sticky = 1}).states(1),
             by_one = playable(folder, {.skip = 1}).states(1);
  constexpr int kUp = 1, kDown = 2;
  step(*always, kUp);  // the first is no other's
  for (int frame = 0; frame < 4; ++frame) step(*by_one, kUp);
  step(*always, kDown);
  step(*by_one, kUp);
  for (int frame = 0; frame < 3; ++frame) step(*by_one, kDown);
  const Bytes a = seen(*always), b = seen(*by_one);
  for (std::size_t p = 3; p < a.size(); p += 4) ASSERT_EQ(a[p], b[p]);
  EXPECT_TRUE(rockbelt().spaces.stochastic);
  EXPECT_FALSE(playable(folder, {.noop = 30}).spaces.stochastic);
}

TEST_F(RetroGame, IsShownInColours) {
  const auto states = rockbelt().states(1);
  const auto shown = states->shown(0);
  ASSERT_GE(shown.size(), 3U);
  EXPECT_EQ(shown[0], 256);
  EXPECT_EQ(shown[1], 224);
  double pixels = 0;
  std::map<std::uint32_t, int> colours;
  for (std::size_t i = 2; i < shown.size(); ++i) {
    const auto run = static_cast<std::uint64_t>(shown[i]);
    pixels += static_cast<double>(run >> 24);
    ++colours[static_cast<std::uint32_t>(run & 0xffffff)];
  }
  EXPECT_EQ(pixels, 256 * 224);
  EXPECT_GT(colours.size(), 5U);
}

TEST_F(RetroGame, StartsFromAStateOfItsFolder) {
  const auto folder = copy_of_game("retro_state");
  const Game game = read_game(folder);
  Core core(game.library, game.rom, 0);
  for (int i = 0; i < 500; ++i) core.run(0x100);
  const auto bytes = core.save();
  write(folder / "Later.state", std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  ASSERT_EQ(start("gzip -S .gz", (folder / "Later.state").string()).status, 0);
  fs::rename(folder / "Later.state.gz", folder / "Later.state");
  core.run(0);
  Bytes expected(84 * 84);
  Shrink(84, 84)(core.screen(), {}, expected);
  const auto latest = [](const States& states) {
    Bytes out;
    const Bytes x = seen(states);
    for (std::size_t p = 3; p < x.size(); p += 4) out.push_back(x[p]);
    return out;
  };
  EXPECT_NE(latest(*playable(folder, {}).states(1)), expected);
  EXPECT_EQ(latest(*playable(folder, {.state = "Later"}).states(1)), expected);
  write(folder / "metadata.json", R"({"default_state": "Later"})");
  EXPECT_EQ(latest(*playable(folder, {}).states(1)), expected);
  write(folder / "metadata.json", R"({"default_state": "Never"})");
  EXPECT_COMPLAINT("Never.state: there is no such file", playable(folder, {}));
  write(folder / "Never.state", "no gzip");
  EXPECT_COMPLAINT("Never.state: not a state of Retro", playable(folder, {}));
  // Or by what is pressed from power-on.
  write(folder / "metadata.json", R"({"power_on": [[100, []], [50, ["UP", "A"]]]})");
  Core other(game.library, game.rom, 0);
  for (int i = 0; i < 150; ++i) other.run(i < 100 ? 0 : 0x110);
  other.run(0);
  Shrink(84, 84)(other.screen(), {}, expected);
  EXPECT_EQ(latest(*playable(folder, {}).states(1)), expected);
  write(folder / "metadata.json", R"({"power_on": [[100]]})");
  EXPECT_COMPLAINT("power_on must be a list of [frames, [button, ...]]", playable(folder, {}));
}

TEST_F(RetroGame, FoldersAreRefusedInASentence) {
  const auto folder = copy_of_game("retro_wrong");
  ASSERT_EQ(complaint([&] { playable(folder, {}); }), "");
  const std::string rom = contents(folder / "rom.nes"), data = contents(folder / "data.json");
  std::string other = rom;
  other[5000] = static_cast<char>(other[5000] + 1);
  write(folder / "rom.nes", other);
  EXPECT_COMPLAINT("not the game that rom.sha names, its SHA-1 is ", playable(folder, {}));
  fs::remove(folder / "rom.sha");
  EXPECT_EQ(complaint([&] { playable(folder, {}); }), "");  // nobody says which it should be
  for (const std::string& broken : {std::string("no game"), std::string(), rom.substr(0, 16)}) {
    write(folder / "rom.nes", broken);
    EXPECT_COMPLAINT("does not take it for a game of its console", playable(folder, {}));
  }
  write(folder / "rom.nes", rom);
  write(folder / "data.json",
        R"({"info": {"score": {"address": 2047, "type": ">n4"}, "power": {"address": 0, "type": "|u1"},
      "boss": {"address": 0, "type": "|u1"}, "lives": {"address": 0, "type": "|u1"}}})");
  EXPECT_COMPLAINT("'score' at 2047 is outside of the memory of the machine, 0 to 2047",
                   playable(folder, {}));
  fs::remove(folder / "data.json");
  EXPECT_COMPLAINT("data.json: there is no such file", playable(folder, {}));
  write(folder / "data.json", data);
  write(folder / "scenario.json", R"({"crop": [0, 0, 256, 300]})");
  EXPECT_COMPLAINT("the crop, 256 x 300 from (0, 0), does not lie in a picture of 256 x 224",
                   playable(folder, {}));
  fs::remove(folder / "scenario.json");
  EXPECT_COMPLAINT("scenario.json: there is no such file", playable(folder, {}));
  fs::remove(folder / "rom.nes");
  EXPECT_COMPLAINT("there is no game in it, which would be one of rom.nes, rom.sfc, rom.gb",
                   playable(folder, {}));
  EXPECT_COMPLAINT("there is no such folder", game_folder((folder / "x").string()));
  // A library that is no core.
  const auto cores = ::lowvar::scratch("retro_cores");
  write(cores / "nestopia_libretro.so", "no library");
  EXPECT_COMPLAINT("cannot be loaded as an emulator",
                   Core(cores / "nestopia_libretro.so", game_folder("Rockbelt-Nes") / "rom.nes", 0));
  EXPECT_COMPLAINT("not a libretro core",
                   Core("/lib/x86_64-linux-gnu/libz.so.1", game_folder("Rockbelt-Nes") / "rom.nes", 0));
  write(folder / "rom.nes", rom);
  for (const auto& [place, words] :
       {std::pair{cores.string(), "cannot be loaded as an emulator"},
        std::pair{std::string("/nonexistent"),
                  "needs an emulator of the NES (apt-get install libretro-nestopia, or name"}}) {
    ASSERT_EQ(setenv("LOWVAR_CORES", place.c_str(), 1), 0);
    EXPECT_COMPLAINT(words, playable(game_folder("Rockbelt-Nes"), {}));
    ASSERT_EQ(unsetenv("LOWVAR_CORES"), 0);
  }
}

TEST_F(RetroGame, OptionsAreReadFromTheBehindOfItsId) {
  const auto made = [](const std::string& options) {
    return make_world("retro:Rockbelt-Nes" + options, {}, {});
  };
  const World plain = made("");
  EXPECT_EQ(plain.A, kActions);
  EXPECT_EQ(plain.image, (ImageShape{84, 84, 4}));
  EXPECT_EQ(plain.T, kT);
  EXPECT_FALSE(plain.stochastic);
  EXPECT_TRUE(made(":noop=30:sticky=0.25").stochastic);
  EXPECT_EQ(made(":skip=2").id, "retro:Rockbelt-Nes:skip=2");
  EXPECT_COMPLAINT("sticky must be a probability, got '2'", made(":sticky=2"));
  EXPECT_COMPLAINT("noop must be a whole number from 0 to 10000, got '-1'", made(":noop=-1"));
  EXPECT_COMPLAINT("noop must be a whole number from 0 to 10000, got '1e300'", made(":noop=1e300"));
  EXPECT_COMPLAINT("skip must be a whole number from 1 to 1000, got '0'", made(":skip=0"));
  EXPECT_COMPLAINT("options are sticky=P, noop=FRAMES, skip=FRAMES and state=NAME, got 'frames'",
                   made(":frames=2"));
  EXPECT_COMPLAINT("Later.state: there is no such file", made(":state=Later"));
}

TEST(RetroGames, AreBuiltTwiceToTheSameBytes) {
  if (start("cc65", "--version").status != 0) GTEST_SKIP() << "needs cc65 (apt-get install cc65)";
  const auto dir = ::lowvar::scratch("retro_build");
  const std::string build = std::string(LOWVAR_SOURCE_DIR) + "/envs/retro/game/build.py ";
  for (const char* name : {"one", "two"}) {
    const auto run = start("python3", build + (dir / name).string());
    ASSERT_EQ(run.status, 0) << run.out << run.err;
  }
  for (const char* file : {"rom.nes", "rom.sha", "data.json", "scenario.json", "metadata.json"}) {
    EXPECT_FALSE(contents(dir / "one" / file).empty());
    EXPECT_EQ(contents(dir / "one" / file), contents(dir / "two" / file)) << file;
    EXPECT_EQ(contents(dir / "one" / file), contents(game_folder("Rockbelt-Nes") / file)) << file;
  }
}

TEST(RetroGames, EscapeFromPongPaysForLevels) {
  if (!missing().empty()) GTEST_SKIP() << "needs " << missing();
  if (const std::string why = complaint([] { game_folder("EscapeFromPong-Nes"); }); !why.empty())
    GTEST_SKIP() << "needs Debian's package efp when it is built";
  const auto game = playable(game_folder("EscapeFromPong-Nes"), {});
  const auto states = game.states(1);
  EXPECT_EQ(game.spaces.A, 9);
  // Held to one side the ball is accelerated to the other, and is out of the first level.
  double total = 0;
  for (int t = 0; t < 100; ++t) total += step(*states, 1).reward;
  EXPECT_GE(total, 1);
  EXPECT_LE(total, 3);
}

}  // namespace
}  // namespace lowvar::retro
