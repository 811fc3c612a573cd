// MinAtar's games against recordings of the original (tests/data/minatar/GAME_recorded.json) and of a second
// implementation that plays on to where chance never comes (GAME.json, by make_minatar.py): every
// observation, reward, end and action played. Saved and restored to the bit, the same bits for any number of
// threads.
#include <gtest/gtest.h>
#include <omp.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "algorithms/data/stepper.h"
#include "envs/check.h"
#include "envs/minatar/games.h"
#include "envs/minatar/recorded.h"
#include "tests/statistics.h"

namespace lowvar::minatar {
namespace {

/// CRC-32 of zlib, of which recordings hold one for each observation.
std::uint32_t crc32(std::span<const std::uint8_t> bytes) {
  std::uint32_t out = ~0U;
  for (const std::uint8_t byte : bytes) {
    out ^= byte;
    for (int bit = 0; bit < 8; ++bit) out = out >> 1 ^ (out & 1 ? 0xedb88320U : 0U);
  }
  return ~out;
}

struct Recording {
  RecordedDraws reset;
  std::vector<RecordedDraws> draws;
  std::vector<int> actions, played;
  std::vector<double> rewards;
  bool terminal;
  std::vector<std::uint32_t> seen;
};

RecordedDraws draws_of(const nlohmann::json& list, std::size_t t) {
  std::vector<RecordedDraw> out;
  for (const auto& x : list)
    out.push_back(x[0] == "u" ? RecordedDraw{.value = x[1]} : RecordedDraw{x[3], true, x[1], x[2]});
  return {std::move(out), join("step ", t)};
}

std::vector<Recording> recordings(const std::string& file) {
  const auto all = nlohmann::json::parse(std::ifstream(LOWVAR_TEST_DATA "/minatar/" + file + ".json"));
  std::vector<Recording> out;
  for (const auto& e : all["episodes"]) {
    Recording r{draws_of(e["reset_draws"], 0), {}, {}, {}, e["rewards"], e["terminal"], e["seen"]};
    for (const auto& list : e["draws"]) r.draws.push_back(draws_of(list, r.draws.size() + 1));
    for (const char c : e["actions"].get<std::string>()) r.actions.push_back(c - '0');
    for (const char c : e["played"].get<std::string>()) r.played.push_back(c - '0');
    out.push_back(std::move(r));
  }
  return out;
}

/// Where a game goes another way than a recording; empty where it nowhere does.
template <class Game>
std::string difference(const MinAtar<Game>& game, Recording r) {
  std::array<std::uint8_t, MinAtar<Game>::observation> seen;
  try {
    auto state = game.start(r.reset);
    r.reset.expect_used();
    for (std::size_t t = 0;; ++t) {
      game.observe(state, seen);
      if (crc32(seen) != r.seen[t]) return join("observation ", t);
      if (t == r.actions.size()) return "";
      const Outcome out = game.play(state, r.actions[t], r.draws[t]);
      r.draws[t].expect_used();
      if (state.played != r.played[t]) return join("played in step ", t + 1);
      if (out.reward != r.rewards[t]) return join("reward of step ", t + 1);
      if (out.over != (r.terminal && t + 1 == r.actions.size())) return join("end in step ", t + 1);
    }
  } catch (const Error& e) {
    return e.what();
  }
}

template <class Game>
std::string difference(const std::string& file, const Variant& variant = v1) {
  std::string out;
  for (const Recording& r : recordings(file))
    if (const std::string here = difference(MinAtar<Game>{variant}, r); !here.empty()) out += here + "; ";
  return out;
}

TEST(MinAtar, GoesAsTheOriginalWasRecorded) {
  EXPECT_EQ(difference<Asterix>("asterix_recorded"), "");
  EXPECT_EQ(difference<Breakout>("breakout_recorded"), "");
  EXPECT_EQ(difference<Freeway>("freeway_recorded"), "");
  EXPECT_EQ(difference<Seaquest>("seaquest_recorded"), "");
  EXPECT_EQ(difference<SpaceInvaders>("space_invaders_recorded"), "");
}

TEST(MinAtar, GoesAsASecondImplementation) {
  EXPECT_EQ(difference<Asterix>("asterix"), "");
  EXPECT_EQ(difference<Breakout>("breakout"), "");
  EXPECT_EQ(difference<Freeway>("freeway"), "");
  EXPECT_EQ(difference<Seaquest>("seaquest"), "");
  EXPECT_EQ(difference<SpaceInvaders>("space_invaders"), "");
}

/// The bullets of enemies move twice.
struct FastBullets : Seaquest {
  template <class Draws>
  static Outcome step(State& s, int action, bool ramping, Draws& draws) {
    Outcome out;
    move_enemy_bullets(s, out);
    out.over = Seaquest::step(s, action, ramping, draws).over || out.over;
    return out;
  }
};
/// Cars move before the chicken does.
struct CarsBeforeChicken : Freeway {
  template <class Draws>
  static Outcome step(State& s, int action, bool ramping, Draws& draws) {
    const Outcome out = Freeway::step(s, none, ramping, draws);
    if ((action == up || action == down) && s.move_timer == 0) {
      s.move_timer = rest;
      s.y = std::clamp(s.y + (action == up ? -1 : 1), 0, kerb);
    }
    return out;
  }
};
/// A brick is passed over in no step.
struct NeverStruck : Breakout {
  template <class Draws>
  static Outcome step(State& s, int action, bool ramping, Draws& draws) {
    s.struck = false;
    return Breakout::step(s, action, ramping, draws);
  }
};
/// The wave that comes next is no faster.
struct EvenWaves : SpaceInvaders {
  template <class Draws>
  static Outcome step(State& s, int action, bool, Draws& draws) {
    return SpaceInvaders::step(s, action, false, draws);
  }
};
/// What appears is drawn before where it goes.
struct GoldFirst : Asterix {
  template <class Draws>
  struct Swapped {
    Draws& draws;
    double kept = -1;
    double uniform() {
      if (kept >= 0) return std::exchange(kept, -1);
      kept = draws.uniform();
      return draws.uniform();
    }
    int integer(int low, int high) { return draws.integer(low, high); }
  };
  template <class Draws>
  static Outcome step(State& s, int action, bool ramping, Draws& draws) {
    Swapped<Draws> swapped{draws};
    return Asterix::step(s, action, ramping, swapped);
  }
};

TEST(MinAtar, OtherRulesAreNoticed) {
  EXPECT_NE(difference<FastBullets>("seaquest"), "");
  EXPECT_NE(difference<CarsBeforeChicken>("freeway"), "");
  EXPECT_NE(difference<NeverStruck>("breakout"), "");
  EXPECT_NE(difference<EvenWaves>("space_invaders"), "");
  EXPECT_NE(difference<GoldFirst>("asterix_recorded"), "");
  EXPECT_NE(difference<Asterix>("asterix", {.ramping = false}), "");
  EXPECT_NE(difference<Seaquest>("seaquest", {.ramping = false}), "");
  EXPECT_NE(difference<Freeway>("freeway", {.sticky = 0}), "");
}

struct NoDraws {
  double uniform() { throw Error("a draw that was not expected"); }
  int integer(int, int) { throw Error("a draw that was not expected"); }
};

TEST(MinAtar, RulesOfSeaquestThatGamesSeldomMeet) {
  NoDraws draws;
  const auto after = [&](Seaquest::State s) {
    Seaquest::step(s, none, true, draws);
    return s;
  };
  Seaquest::State s;
  s.y = 3;
  // There is no room for a seventh diver.
  s.divers.push({5, 3, true, 3});
  for (const int aboard : {5, 6}) {
    s.aboard = aboard;
    EXPECT_EQ(after(s).aboard, 6);
    EXPECT_EQ(after(s).divers.size, aboard == 5 ? 0 : 1);
  }
  // A bullet hits a fish before a submarine; where both swim into it in one step, the submarine, which swims
  // first.
  const auto beside = [&](int x, int timer) {
    Seaquest::State out = s;
    out.bullets.push({7, 6, true});
    out.fish.push({x, 6, false, timer});
    out.subs.push({x, 6, false, timer, 10});
    return after(out);
  };
  EXPECT_EQ(beside(8, 3).fish.size, 0);
  EXPECT_EQ(beside(8, 3).subs.size, 1);
  EXPECT_EQ(beside(9, 0).fish.size, 1);
  EXPECT_EQ(beside(9, 0).subs.size, 0);
  // Without air it is over a step after the last was used.
  s.oxygen = 1;
  EXPECT_FALSE(Seaquest::step(s, none, true, draws).over);
  EXPECT_TRUE(Seaquest::step(s, none, true, draws).over);
  // Of two that are equal the first goes, and what was in hand comes up a second time.
  Seaquest::List<Seaquest::Bullet, 4> list;
  for (const int x : {1, 2, 1, 3}) list.push({x, 0, true});
  EXPECT_EQ(list.remove(2), 1);
  EXPECT_EQ(list[0].x, 2);
  EXPECT_EQ(list[1].x, 1);
  EXPECT_EQ(list.remove(2), -1);
  EXPECT_EQ(list.size, 2);
}

TEST(MinAtar, RulesOfSpaceInvadersThatGamesSeldomMeet) {
  using G = SpaceInvaders;
  NoDraws draws;
  // One alien, at (x, y), that goes `way` when its timer is 0.
  const auto over = [&](int x, int y, int way, int timer) {
    G::State s;
    s.aliens = {};
    G::put(s.aliens, x, y);
    s.way = way, s.move_timer = timer;
    return G::step(s, none, true, draws).over;
  };
  EXPECT_TRUE(over(5, 9, 1, 3));   // where the cannon is
  EXPECT_TRUE(over(4, 9, 1, 0));   // moves there
  EXPECT_FALSE(over(4, 9, 1, 3));  // beside it
  EXPECT_TRUE(over(9, 9, 1, 0));   // turns at the bottom
  EXPECT_FALSE(over(9, 8, 1, 0));
  // After the sixth faster wave they come no faster.
  for (const auto& [interval, next] : {std::pair(7, 6), std::pair(6, 6)}) {
    G::State s;
    s.aliens = {};
    G::put(s.aliens, 5, 4);
    G::put(s.bullets, 5, 5);
    s.move_interval = interval, s.move_timer = 3;
    EXPECT_EQ(G::step(s, none, true, draws).reward, 1);
    EXPECT_EQ(s.move_interval, next);
    EXPECT_EQ(s.aliens, G::wave());
  }
}

/// Expects that `run` is refused in a sentence that says so.
template <class F>
void expect_refused(F&& run, const std::string& says) {
  try {
    run();
    ADD_FAILURE() << "not refused: " << says;
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(says), std::string::npos) << e.what();
  }
}

TEST(MinAtar, DrawsThatTheGameDoesNotAskForAreRefused) {
  const RecordedDraw u{.value = 0.25}, coin{1, true, 0, 2}, die{1, true, 1, 6};
  const auto game = recorded_game("MinAtar/Breakout-v1");
  const auto refused = [&](std::vector<RecordedDraw> draws, bool reset, const std::string& says) {
    RecordedDraws start({coin}, "start"), given(std::move(draws), "here");
    game->reset(start);
    expect_refused(
        [&] {
          reset ? game->reset(given) : static_cast<void>(game->step(0, given));
          given.expect_used();
        },
        "here: " + says);
  };
  refused({}, true, "there are 0 draws, and the game asks for an integer from 0 to 1 more");
  refused({u}, true, "draw 1 is a uniform number, and the game asks for an integer from 0 to 1");
  refused({die}, true, "draw 1 is an integer from 1 to 5, and the game asks for an integer from 0 to 1");
  refused({coin, u}, true, "there are 2 draws, and the game asks for 1");
  refused({}, false, "there are 0 draws, and the game asks for a uniform number more");
  refused({coin}, false, "draw 1 is an integer from 0 to 1, and the game asks for a uniform number");
  refused({u, u}, false, "there are 2 draws, and the game asks for 1");
  EXPECT_EQ(recorded_game("MinAtar/Breakout-v2"), nullptr);
  EXPECT_EQ(recorded_game("CartPole-v1"), nullptr);
}

TEST(MinAtar, FilesThatAreNoDrawsAreRefused) {
  const std::string path = ::testing::TempDir() + "lowvar_minatar_draws";
  const auto read = [&](const std::string& text) {
    std::ofstream(path) << text;
    return read_draws(path);
  };
  EXPECT_EQ(read("[]\n[[\"u\",0.5],[\"i\",1,9,8]]\n\n[[\"u\",0]]").size(), 3);
  for (const auto& [line, says] : std::initializer_list<std::pair<const char*, const char*>>{
           {"x", "line 2: not valid JSON"},
           {"[[\"u\",0.5]", "line 2: not valid JSON"},
           {"[] []", "line 2: not valid JSON"},
           {"0.5", "line 2: a line is a list of draws"},
           {"{}", "line 2: nested deeper than a list of draws"},
           {"[[[]]]", "line 2: nested deeper than a list of draws"},
           {"[0.5]", "line 2, draw 1 is neither"},
           {"[[\"u\",0.5],[]]", "line 2, draw 2 is neither"},
           {"[[\"v\",0.5]]", "line 2, draw 1 is neither"},
           {"[[\"u\"]]", "line 2, draw 1 is neither"},
           {"[[\"u\",\"x\"]]", "line 2, draw 1 is neither"},
           {"[[\"u\",1]]", "line 2, draw 1: a uniform number is in [0, 1), got 1"},
           {"[[\"u\",-0.1]]", "line 2, draw 1: a uniform number is in [0, 1), got -0.1"},
           {"[[\"i\",0,2]]", "line 2, draw 1 is neither"},
           {"[[\"i\",0,2,2]]", "line 2, draw 1: an integer is at least 0 and less than 2, got 2"},
           {"[[\"i\",0,2,-1]]", "line 2, draw 1: an integer is at least 0 and less than 2, got -1"},
           {"[[\"i\",0,2,0.5]]", "line 2, draw 1: the bounds and the value of an integer are whole"},
           {"[[\"i\",0,1e300,0]]", "line 2, draw 1: the bounds and the value of an integer are whole"}})
    expect_refused([&] { read(join("[]\n", line, "\n")); }, says);
}

// ---- As worlds ----

TEST(MinAtar, KeepsTheRulesOfWorlds) {
  for_each_world([]<class Game>(const World<Game>& world) {
    for (const auto& sentence : check_env(MinAtar<Game>{world.variant}, {.T = 400}))
      // Where nothing is sticky it draws when the chicken arrives, which actions at random do not bring
      // about.
      if (world.id != "MinAtar/Freeway-v0" || !sentence.starts_with("it says that steps are random"))
        ADD_FAILURE() << world.id << ": " << sentence;
    const Spaces spaces = spaces_of(MinAtar<Game>{world.variant});
    EXPECT_EQ(spaces.image, (ImageShape{10, 10, Game::channels}));
    EXPECT_EQ(spaces.observed, Spaces::Number::uint8);
    EXPECT_EQ(spaces.A, world.id.ends_with("v1") ? 6 : static_cast<int>(Game::minimal.size()));
    EXPECT_EQ(spaces.stochastic, world.id.ends_with("v1") || Game::random);
  });
}

TEST(MinAtar, PlaysTheLastActionAgainWithItsProbability) {
  const MinAtar<Breakout> game;
  constexpr int n = 20'000;
  int again = 0;
  for (std::uint32_t i = 0; i < n; ++i) {
    Rng rng(1, "sticky", i);
    auto state = game.reset(rng);
    EXPECT_EQ(state.played, none);
    rng.seek(1);
    state = game.step(state, right, rng).state;
    again += state.played == none;
    EXPECT_EQ(state.game.paddle, state.played == none ? 4 : 5);
  }
  EXPECT_LT(std::abs(again - 0.1 * n), limit(1, 1e9) * std::sqrt(0.1 * 0.9 * n));
}

TEST(MinAtar, NothingHappensAfterTheEnd) {
  const MinAtar<Breakout> game;
  Rng rng(1, "end");
  auto state = game.reset(rng);
  while (!state.over) state = game.step(state, none, rng).state;
  const auto next = game.step(state, right, rng);
  EXPECT_TRUE(next.terminated);
  EXPECT_EQ(next.reward, 0);
  EXPECT_EQ(next.state.game, state.game);
  EXPECT_TRUE(game.terminal(next.state));
}

TEST(MinAtar, IsSavedAndRestoredToTheBit) {
  for_each_world([]<class Game>(const World<Game>& world) {
    const auto make = states_of(MinAtar<Game>{world.variant});
    const auto one = make(1), other = make(1);
    const Rng stream(2, "restored");
    for (std::uint32_t episode = 0; episode < 5; ++episode) {
      Rng rng = stream.of(0, episode), choices(3, "actions", 0, episode);
      one->reset(0, rng);
      char over = false;
      for (std::uint32_t t = 0; t < 300 && !over; ++t) {
        std::vector<std::byte> before, restored;
        one->save(0, before);
        other->restore(0, before);
        other->save(0, restored);
        ASSERT_EQ(before, restored) << world.id;
        const int action = static_cast<int>(choices.uniform() * one->spaces().A);
        std::vector<std::uint8_t> seen(static_cast<std::size_t>(one->spaces().observation)), also = seen;
        double reward{}, same_reward{};
        char same_over{};
        for (const auto& [states, r, end, x] : {std::tuple(one.get(), &reward, &over, &seen),
                                                std::tuple(other.get(), &same_reward, &same_over, &also)}) {
          rng.seek(t + 1);
          states->step(0, 1, {&action, nullptr}, {.each = &rng}, r, end);
          states->observe(0, 1, x->data());
        }
        ASSERT_EQ(seen, also) << world.id;
        ASSERT_EQ(reward, same_reward);
        ASSERT_EQ(over, same_over);
      }
    }
  });
}

TEST(MinAtar, BytesOfNoStateAreRefused) {
  for_each_world([]<class Game>(const World<Game>& world) {
    using State = typename MinAtar<Game>::State;
    const auto states = states_of(MinAtar<Game>{world.variant})(1);
    std::vector<std::byte> bytes;
    states->save(0, bytes);
    EXPECT_THROW(states->restore(0, std::span(bytes).first(bytes.size() - 1)), Error);
    // All ones: numbers are -1, rows of bits are full.
    auto ones = bytes;
    std::fill_n(ones.begin(), sizeof(typename Game::State), std::byte{0xff});
    EXPECT_THROW(states->restore(0, ones), Error) << world.id;
    auto other = bytes;
    State s;
    std::memcpy(&s, other.data(), sizeof s);
    s.played = world.variant.minimal ? static_cast<int>(Game::minimal.size()) : 6;
    std::memcpy(other.data(), &s, sizeof s);
    EXPECT_THROW(states->restore(0, other), Error) << world.id;
    states->restore(0, bytes);
  });
}

TEST(MinAtar, IsTheSameForAnyNumberOfThreads) {
  for_each_world([]<class Game>(const World<Game>& world) {
    constexpr int n = 150, steps = 20;
    const auto played = [&](int threads) {
      const int before = omp_get_max_threads();
      omp_set_num_threads(threads);
      const MinAtar<Game> game{world.variant};
      Stepper many(states_of(game)(n), game.T, 4, "vector-env");
      std::vector<double> numbers;
      std::vector<std::uint8_t> all;
      for (int t = 0; t < steps; ++t) {
        std::vector<int> actions;
        for (int i = 0; i < n; ++i) actions.push_back((7 * i + 3 * t + t * i) % game.actions);
        many.step(actions, {});
        const auto& seen = *many.observation().template get<std::uint8_t>();
        all.insert(all.end(), seen.begin(), seen.end());
        numbers.insert(numbers.end(), many.reward().begin(), many.reward().end());
        numbers.insert(numbers.end(), many.terminated().begin(), many.terminated().end());
      }
      omp_set_num_threads(before);
      return std::pair(all, numbers);
    };
    const auto one = played(1);
    for (const int threads : {2, 3}) EXPECT_TRUE(played(threads) == one) << world.id << ", " << threads;
  });
}

}  // namespace
}  // namespace lowvar::minatar
