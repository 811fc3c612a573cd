// The city of bicycles: nothing is lost but trips, its laws are those that its file says, its small form is
// the table that it is solved by; saved and restored to the bit; files refused in a sentence; and a planner
// that helps.
#include <gtest/gtest.h>
#include <omp.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "algorithms/data/stepper.h"
#include "algorithms/exact/dynamic_programming.h"
#include "algorithms/exact/tabular.h"
#include "experiments/algorithms.h"
#include "experiments/bike_planner.h"
#include "experiments/script.h"
#include "experiments/worlds.h"
#include "tests/statistics.h"

namespace lowvar {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using State = std::vector<int>;
using Choices = std::vector<double>;

Choices stay(const BikeShare& world) { return Choices(static_cast<std::size_t>(world.trucks()), 0); }

Choices at_random(const BikeShare& world, Rng& rng) {
  Choices out;
  for (int j = 0; j < world.trucks(); ++j) out.push_back(std::floor(rng.uniform() * world.choices(j)));
  return out;
}

/// Two stations 1 km apart and a third 2 km from the second; one truck that reaches the first two, one that
/// reaches all.
BikeCity three_stations() {
  return {
      .stations = {{"a", 0, 0, 10, 4, {6}, {0}}, {"b", 1, 0, 10, 10, {0}, {4}}, {"c", 3, 0, 20, 6, {3}, {0}}},
      .trucks = {{0, 0}, {1, 0}},
      .capacity = 5,
      .radius = 2,
      .levels = {0.2, 0.9}};
}

/// "" where it is accepted.
template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

// ---- dynamics ----

TEST(BikeShare, KeepsEveryBicycleWhateverTrucksDo) {
  const auto city = bike_share_of("bike-share");
  ASSERT_EQ(city->stations(), 60);
  ASSERT_EQ(city->trucks(), 6);
  State state = city->start();
  Rng rng(1, "keeps"), choices(1, "choices");
  long lost = 0;
  for (int t = 0; t < 30 * 48; ++t) {
    rng.seek(static_cast<std::uint32_t>(t) + 1);
    const int now = city->step(state, at_random(*city, choices), rng);
    ASSERT_NO_THROW(city->check(state)) << t;
    EXPECT_EQ(now, state[static_cast<std::size_t>(city->lost_at_empty())] +
                       state[static_cast<std::size_t>(city->lost_at_full())]);
    EXPECT_EQ(state[static_cast<std::size_t>(city->half_hour())], (t + 1) % 48);
    lost += now;
  }
  EXPECT_GT(lost, 0);
  ++state[0];
  EXPECT_NE(refusal([&] { city->check(state); }), "") << "a bicycle too many";
}

TEST(BikeShare, TrucksBringStationsToALevel) {
  const BikeShare world(three_stations());
  EXPECT_EQ(world.round(0), (std::vector<int>{0, 1}));
  EXPECT_EQ(world.round(1), (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(world.choices(0), 5);
  EXPECT_EQ(world.choices(1), 7);
  State state = world.start();
  const auto visit = [&](Choices choices) {
    world.visit(state, choices);
    return State(state.begin(), state.begin() + world.under_way());
  };
  EXPECT_EQ(visit({0, 0}), (State{4, 10, 6, 0, 0}));
  EXPECT_EQ(visit({3, 0}), (State{4, 5, 6, 5, 0})) << "to 2 of 10, as far as there is room";
  EXPECT_EQ(visit({2, 1}), (State{4, 5, 6, 0, 5})) << "5 are left, of which the second truck takes as many";
  EXPECT_EQ(visit({0, 6}), (State{4, 5, 11, 0, 0})) << "to 18 of 20, as far as there are any";
  EXPECT_EQ(visit({1, 4}), (State{2, 5, 11, 2, 0})) << "to 2 of 10; and nothing to leave";
  for (const double wrong : {-1., 5., 0.5, std::nan("")})
    EXPECT_NE(refusal([&] {
                visit({wrong, 0});
              }).find("truck 0 chooses a whole number from 0 to 4"),
              std::string::npos);
}

TEST(BikeShare, StationsHaveAClass) {
  for (const auto& [bicycles, expected] : std::vector<std::pair<int, int>>{
           {0, 0}, {1, 1}, {3, 1}, {4, 2}, {10, 2}, {16, 2}, {17, 3}, {19, 3}, {20, 4}})
    EXPECT_EQ(BikeShare::class_of(bicycles, 20), expected) << bicycles;
}

TEST(BikeShare, WhoFindsNoDockGoesToTheNearest) {
  BikeCity city = three_stations();
  const BikeShare world(city);
  State state = world.start();
  Rng rng(2, "full");
  // b is full, and all arrive there: nobody at first, then those who left a and c.
  world.step(state, stay(world), rng);
  const int moving = state[static_cast<std::size_t>(world.under_way())];
  ASSERT_GT(moving, 0);
  EXPECT_EQ(state[static_cast<std::size_t>(world.lost_at_full())], 0);
  const int at_a = state[0], at_c = state[2];
  State next = state;
  std::vector<int> parked(3);
  world.step(next, stay(world), rng, parked.data());
  EXPECT_EQ(next[static_cast<std::size_t>(world.lost_at_full())], moving);
  EXPECT_EQ(parked, (std::vector<int>{moving, 0, 0})) << "a is nearer than c";
  EXPECT_EQ(next[1], 10);
  EXPECT_EQ(next[0] + next[2] + next[static_cast<std::size_t>(world.under_way())], at_a + at_c + moving);
}

TEST(BikeShare, LawsAreThoseOfTheFile) {
  // Bicycles and docks without end, so that nothing is lost.
  BikeCity city = three_stations();
  for (auto& each : city.stations) each.docks = 1000, each.bicycles = 400;
  city.stations[0].arrivals = {1}, city.stations[1].arrivals = {5}, city.stations[2].arrivals = {2};
  constexpr int n = 20'000;
  const double z = limit(2 * 3 + 3, n);
  /// How far the numbers hired (mean and variance) and the shares parked are from those of `want`, in
  /// standard errors.
  const auto worst = [&](const BikeCity& of, const BikeCity& want) {
    const BikeShare world(of);
    double out = 0, sum[3] = {}, squares[3] = {}, parked[3] = {}, all = 0;
    for (std::uint32_t i = 0; i < n; ++i) {
      Rng rng(3, "laws", i);
      State state = world.start();
      std::vector<int> arrived(3);
      world.step(state, stay(world), rng);
      for (std::size_t s = 0; s < 3; ++s) {
        const double hired = of.stations[s].bicycles - state[s];
        sum[s] += hired, squares[s] += hired * hired;
      }
      world.step(state, stay(world), rng, arrived.data());
      for (std::size_t s = 0; s < 3; ++s) parked[s] += arrived[s], all += arrived[s];
    }
    double arrivals = 0;
    for (const auto& each : want.stations) arrivals += each.arrivals[0];
    for (std::size_t s = 0; s < 3; ++s) {
      const double lambda = want.stations[s].departures[0] / 2, mean = sum[s] / n,
                   variance = squares[s] / n - mean * mean;
      if (lambda == 0) {
        EXPECT_EQ(sum[s], 0);
      } else {
        out = std::max({out, std::abs(mean - lambda) / std::sqrt(lambda / n),
                        std::abs(variance - lambda) / std::sqrt((2 * lambda * lambda + lambda) / n)});
      }
      const double share = want.stations[s].arrivals[0] / arrivals;
      out = std::max(out, std::abs(parked[s] / all - share) / std::sqrt(share * (1 - share) / all));
    }
    return out;
  };
  EXPECT_LT(worst(city, city), z);
  BikeCity other = city;
  other.stations[2].departures[0] *= 1.1;
  EXPECT_GT(worst(other, city), z);
  other = city;
  std::swap(other.stations[0].arrivals, other.stations[2].arrivals);
  EXPECT_GT(worst(other, city), z);
}

// ---- as a world ----

std::vector<std::byte> saved(const States& states, int i) {
  std::vector<std::byte> out;
  states.save(i, out);
  return out;
}

TEST(BikeShare, IsSavedAndRestoredToTheBit) {
  const World world = make_world("bike-share", {}, {});
  EXPECT_EQ(world.levels.size(), 6u);
  EXPECT_EQ(world.m, 6);
  const auto there = world.states(1), here = world.states(2);
  Rng rng(4, "saved"), choices(4, "choices");
  int choice = 0;
  Choices vector(6);
  std::vector<std::vector<double>> after[2];
  const auto go = [&](States& states, int i, std::vector<std::vector<double>>& out) {
    for (std::uint32_t t = 0; t < 60; ++t) {
      rng.seek(t + 1);
      choices.seek(t + 1);
      random_action(world, choices, choice, vector);
      double reward{};
      char terminated{};
      states.step(i, i + 1, {nullptr, vector.data()}, {.each = &rng}, &reward, &terminated);
      EXPECT_FALSE(terminated);
      out.push_back(states.shown(i));
      out.back().push_back(reward);
    }
  };
  go(*there, 0, after[0]);
  const auto bytes = saved(*there, 0);
  here->restore(1, bytes);
  EXPECT_EQ(saved(*here, 1), bytes);
  EXPECT_EQ(here->shown(1), there->shown(0));
  here->set_numbers(0, there->numbers(0));
  EXPECT_EQ(here->numbers(0), there->numbers(0));
  go(*there, 0, after[0] = {});
  go(*here, 1, after[1]);
  EXPECT_EQ(after[0], after[1]);

  for (const std::size_t cut : {std::size_t{1}, sizeof(int)})
    EXPECT_NE(refusal([&] { here->restore(0, std::span(bytes).first(bytes.size() - cut)); }), "");
  auto more = bytes;
  more[0] = static_cast<std::byte>(std::to_integer<int>(more[0]) ^ 1);
  EXPECT_NE(refusal([&] { here->restore(0, more); }).find("bicycles in all"), std::string::npos);
  auto numbers = there->numbers(0);
  numbers[0] += 0.5;
  EXPECT_NE(refusal([&] { here->set_numbers(0, numbers); }).find("whole numbers"), std::string::npos);
}

TEST(BikeShare, HasTheSameBitsForAnyNumberOfThreads) {
  const World world = make_world("bike-share", {}, {});
  const int before = omp_get_max_threads();
  std::vector<std::vector<std::byte>> all;
  for (const int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    const auto stepper = world.stepper(150, 20, 5, "threads");
    Rng rng(6, "choices");
    Array<double> choices = zeros<double>(150, 6);
    for (int t = 0; t < 50; ++t) {
      for (int i = 0; i < 150; ++i) {
        int none = 0;
        random_action(world, rng, none, row(choices, i));
      }
      stepper->step({}, choices);
    }
    all.push_back(stepper->save());
  }
  omp_set_num_threads(before);
  EXPECT_EQ(all[0], all[1]);
  EXPECT_EQ(all[0], all[2]);
}

// ---- the table ----

/// The largest distance, in standard errors, between how often `world` goes from a state of `table` to
/// another and how probable that is there, and between their mean rewards; over `pairs` states and choices.
double distance(const BikeShare& world, const BikeShare::Table& table, int pairs, int n) {
  std::map<State, int> number;
  for (const State& each : table.states) number.try_emplace(each, static_cast<int>(number.size()));
  double worst = 0;
  Rng draw(7, "pairs");
  for (int k = 0; k < pairs; ++k) {
    const auto s = static_cast<std::size_t>(draw.uniform() * table.mdp.S);
    const int a = static_cast<int>(draw.uniform() * table.mdp.A);
    std::map<int, double> seen;
    double lost = 0, squares = 0;
    for (int i = 0; i < n; ++i) {
      Rng rng(8, "table", static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(k));
      State state = table.states[s];
      const double choice = a;
      const double now = world.step(state, {&choice, 1}, rng);
      lost += now, squares += now * now;
      state[static_cast<std::size_t>(world.lost_at_empty())] = 0;
      state[static_cast<std::size_t>(world.lost_at_full())] = 0;
      const auto found = number.find(state);
      if (found == number.end()) return INFINITY;
      ++seen[found->second];
    }
    double mean = 0;
    for (const Outcome& o : table.mdp.outcomes(static_cast<int>(s), a)) {
      mean -= o.probability * o.reward;
      const double expected = n * o.probability;
      if (expected > 25)  // near enough to normal
        worst =
            std::max(worst, std::abs(seen[o.next] - expected) / std::sqrt(expected * (1 - o.probability)));
      seen.erase(o.next);
    }
    if (!seen.empty()) return INFINITY;  // what the table knows nothing of
    const double variance = squares / n - lost / n * lost / n;
    if (variance > 0) worst = std::max(worst, std::abs(lost / n - mean) / std::sqrt(variance / n));
  }
  return worst;
}

TEST(BikeShare, SmallCityIsItsTable) {
  const BikeShare world(small_bike_city());
  const auto table = world.table(0.95, 48);
  EXPECT_EQ(table.states[0], world.start());
  EXPECT_EQ(table.mdp.S, static_cast<int>(table.states.size()));
  EXPECT_EQ(table.mdp.A, 5);
  EXPECT_GT(table.mdp.S, 100);
  constexpr int pairs = 100, n = 4000;
  // At most 50 outcomes of a pair are frequent enough to be looked at.
  const double z = 1.3 * limit(50 * pairs, n);  // 1.3: the binomial's tail beyond the normal's, at 25 of n
  EXPECT_LT(distance(world, table, pairs, n), z);

  const auto planted = [&](auto&& change) {
    BikeCity city = small_bike_city();
    change(city);
    return distance(BikeShare(city), table, pairs, n);
  };
  EXPECT_GT(planted([](BikeCity& c) { c.stations[0].departures[0] *= 1.2; }), z);
  EXPECT_GT(planted([](BikeCity& c) { std::swap(c.stations[0].arrivals, c.stations[1].arrivals); }), z);
  EXPECT_GT(planted([](BikeCity& c) { c.capacity = 1; }), z);
  EXPECT_GT(planted([](BikeCity& c) { c.levels[1] = 1; }), z);
  EXPECT_GT(planted([](BikeCity& c) { c.stations[1].docks = 3; }), z);
}

TEST(BikeShare, SmallCityIsWorthPlanning) {
  const World world = make_world("bike-share-small", {}, {});
  ASSERT_TRUE(world.mdp);
  // The best plan against staying, both from the start and for the horizon.
  const Plan best = backward_induction(*world.mdp);
  Array<double> stays = zeros<double>(world.mdp->S, world.mdp->A);
  for (int s = 0; s < world.mdp->S; ++s) stays(s, 0) = 1;
  const double nothing = state_values(*world.mdp, stays)(0, 0);
  EXPECT_LT(best.values[0], 0);
  EXPECT_LT(nothing, 1.25 * best.values[0]) << "a quarter more trips are lost without the truck";
}

TEST(BikeShare, PpoComesWithinTwoPercentOfTheBestInTheSmallCity) {
  const World world = make_world("bike-share-small", {}, {});
  const double best = policy_iteration(*world.mdp).values[0];
  const auto value = [&](const Learned& learned) {
    std::vector<int> all(static_cast<std::size_t>(world.mdp->S));
    std::iota(all.begin(), all.end(), 0);
    return stationary_values(*world.mdp, probabilities(learned.policy, learned.theta, {all}))[0];
  };
  const auto ppo = make_algorithm("ppo", world);
  EXPECT_LT(value(ppo->start(world, 1'000'000, 0)->learned()), 1.1 * best) << "before it has learnt";
  read_config(*ppo, data_directory() / "experiments" / "configs" / "ppo_bike-share-small.toml");
  for (const std::uint64_t seed : {0, 1}) {
    const double learned = value(train(world, *ppo, 1'000'000, seed));
    EXPECT_GT(learned, 1.02 * best) << seed;
    EXPECT_LE(learned, best + 1e-9) << seed;
  }
}

// ---- files ----

class CityFile : public testing::Test {
 protected:
  void SetUp() override {
    path_ = fs::temp_directory_path() / ("lowvar_city_" + std::to_string(getpid()) + ".json");
  }
  void TearDown() override { fs::remove(path_); }

  BikeCity read(const std::string& text) const {
    std::ofstream(path_, std::ios::binary) << text;
    return read_bike_city(path_);
  }
  /// The sentence, less the path that it begins with.
  std::string refused(const std::string& text) const {
    const std::string what = refusal([&] { read(text); });
    EXPECT_EQ(what.rfind(path_ + ": ", 0), 0u) << what;
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
    return what.substr(std::min(what.size(), path_.size() + 2));
  }
  std::string refused_with(const char* pointer, const Json& value) const {
    Json document = good();
    document[Json::json_pointer(pointer)] = value;
    return refused(document.dump());
  }
  static Json good() {
    return Json::parse(R"({"stations": [
      {"name": "a", "x": 0, "y": 0, "docks": 10, "bicycles": 5, "departures": [1, 2], "arrivals": [2, 1]},
      {"name": "b", "x": 1, "y": 0, "docks": 10, "bicycles": 5, "departures": [2, 1], "arrivals": [1, 2]}],
      "trucks": [{"x": 0, "y": 0}], "truck_capacity": 22, "truck_radius": 3.5, "levels": [0, 0.5, 1]})");
  }

  std::string path_;
};

TEST_F(CityFile, IsReadWhole) {
  const BikeCity city = read(good().dump());
  EXPECT_EQ(city.stations.size(), 2u);
  EXPECT_EQ(city.stations[1].name, "b");
  EXPECT_EQ(city.stations[1].x, 1);
  EXPECT_EQ(city.stations[1].departures, (std::vector<double>{2, 1}));
  EXPECT_EQ(city.stations[1].arrivals, (std::vector<double>{1, 2}));
  EXPECT_EQ(city.hours(), 2);
  EXPECT_EQ(city.bicycles(), 10);
  EXPECT_EQ(city.capacity, 22);
  EXPECT_EQ(city.radius, 3.5);
  EXPECT_EQ(city.levels, (std::vector<double>{0, 0.5, 1}));
  const World world = make_world("bike-share:" + path_, {}, {});
  EXPECT_EQ(world.m, 1);
  EXPECT_EQ(world.levels, (std::vector<int>{7}));
  EXPECT_EQ(world.action_high, (std::vector<double>{6}));
}

TEST_F(CityFile, IsRefusedInASentence) {
  EXPECT_EQ(refused("{"), "not valid JSON");
  EXPECT_EQ(refused("[1]"), "the file must hold a JSON object, got array");
  EXPECT_EQ(refused_with("/colour", 1), "the file has an unknown key, \"colour\"");
  Json without = good();
  without.erase("levels");
  EXPECT_EQ(refused(without.dump()), "the file has no \"levels\"");
  without = good();
  without["stations"][1].erase("docks");
  EXPECT_EQ(refused(without.dump()), "stations[1] has no \"docks\"");
  EXPECT_EQ(refused_with("/stations", Json::array()), "stations must be a list of 1 to 2000 entries");
  EXPECT_EQ(refused_with("/stations/1", 3), "stations[1] must hold a JSON object, got number");
  EXPECT_EQ(refused_with("/stations/0/name", 3), "stations[0].name must be a string");
  EXPECT_EQ(refused_with("/stations/0/docks", 0), "stations[0].docks must be a whole number from 1 to 1000");
  EXPECT_EQ(refused_with("/stations/0/bicycles", 11),
            "stations[0].bicycles must be a whole number from 0 to 10");
  EXPECT_EQ(refused_with("/stations/0/x", "west"), "stations[0].x must be a number from -1000 to 1000");
  EXPECT_EQ(refused_with("/stations/1/departures", {1, -2}),
            "stations[1].departures[1] must be a number from 0 to 1000");
  EXPECT_EQ(refused_with("/stations/1/departures", {1, 2, 3}),
            "stations[1].departures has 3 hours, and stations[0].departures 2");
  EXPECT_EQ(refused_with("/stations/0/arrivals", {1}),
            "stations[0].arrivals has 1 hours, and stations[0].departures 2");
  EXPECT_EQ(refused_with("/trucks", 6), "trucks must be a list of 1 to 100 entries");
  EXPECT_EQ(refused_with("/trucks/0", {{"x", 0}}), "trucks[0] has no \"y\"");
  EXPECT_EQ(refused_with("/trucks/0/x", 90),
            "truck 0 reaches no station: the nearest is farther from its depot than 3.5 km");
  EXPECT_EQ(refused_with("/truck_capacity", 0), "truck_capacity must be a whole number from 1 to 1000");
  EXPECT_EQ(refused_with("/truck_radius", -1), "truck_radius must be a number from 0 to 2000");
  EXPECT_EQ(refused_with("/levels/1", 1.5), "levels[1] must be a number from 0 to 1");
  Json document = good();
  for (const int s : {0, 1}) document["stations"][s]["bicycles"] = 0;
  EXPECT_EQ(refused(document.dump()),
            "there must be a bicycle, and a dock for each; got 0 bicycles and 20 docks");
  document = good();
  for (const int s : {0, 1}) document["stations"][s]["arrivals"][1] = 0;
  EXPECT_EQ(refused(document.dump()),
            "nothing arrives anywhere in hour 1, and trips that were begun have to end");
  EXPECT_EQ(refusal([] { read_bike_city("/no/such/file"); }), "/no/such/file: there is no such file");
}

// ---- the planner ----

TEST(BikeForecast, FindsTheRatesBehindEmptyAndFullStations) {
  const auto city = bike_share_of("bike-share");
  const BikeForecast forecast = fit_forecast(*city, 200, 9);
  /// The trips a day that the means of a table miss of those that were wanted, in all.
  double apart = 0, all = 0;
  for (int h = 0; h < 24; ++h)
    for (int s = 0; s < 60; ++s) {
      const double wanted =
          city->city().stations[static_cast<std::size_t>(s)].departures[static_cast<std::size_t>(h)];
      apart += 2 * forecast.departures[static_cast<std::size_t>(h * 60 + s)] - wanted;
      all += wanted;
    }
  // A tenth of the trips are lost, so frequencies alone miss as many.
  EXPECT_LT(std::abs(apart) / all, 0.015);
}

class Planner : public testing::Test {
 protected:
  void SetUp() override {
    if (!BikePlanner::missing().empty()) GTEST_SKIP() << "needs " << BikePlanner::missing();
  }
};

TEST_F(Planner, KnowsWhatAStationLoses) {
  // All who hire at c come back to it, so that it never runs empty and its laws are seen in full.
  BikeCity city = three_stations();
  city.stations[1].arrivals = {0}, city.stations[2].arrivals = {1};
  city.stations[0].departures = {0}, city.stations[2].bicycles = 12;
  const BikePlanner planner(std::make_shared<const BikeShare>(city), 1, {.history = 2000, .horizon = 1});
  // A are parked and N want to hire, each Poisson of mean 1.5, between 20 docks.
  const auto p = [](int n) { return std::exp(n * std::log(1.5) - 1.5 - std::lgamma(n + 1)); };
  for (const int x : {0, 1, 4, 12, 19, 20}) {
    double lost = 0, next = 0;
    for (int A = 0; A < 30; ++A)
      for (int N = 0; N < 30; ++N) {
        const int here = std::min(x + A, 20), left = std::min(here, N);
        lost += p(A) * p(N) * (x + A - here + N - left);
        next += p(A) * p(N) * (here - left);
      }
    EXPECT_NEAR(planner.lost(2, 0, x), lost, 0.03) << x;
    EXPECT_NEAR(planner.next(2, 0, x), next, 0.05) << x;
  }
  EXPECT_NEAR(planner.lost(2, 0, 2.5), (planner.lost(2, 0, 2) + planner.lost(2, 0, 3)) / 2, 1e-12);
}

/// Trips lost in some days of each seed.
std::vector<double> lost_trips(const BikeShare& world, int seeds, int days, auto&& choose) {
  std::vector<double> out;
  for (int seed = 0; seed < seeds; ++seed) {
    State state = world.start();
    double lost = 0;
    Rng rng(static_cast<std::uint64_t>(seed), "days");
    for (int t = 0; t < days * world.half_hours(); ++t) {
      rng.seek(static_cast<std::uint32_t>(t) + 1);
      const Choices choices = choose(std::vector<double>(state.begin(), state.end()));
      lost += world.step(state, choices, rng);
    }
    out.push_back(lost);
  }
  return out;
}

/// How many standard errors a is below b, seed by seed.
double below(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0, squares = 0;
  const auto n = static_cast<double>(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) sum += b[i] - a[i], squares += (b[i] - a[i]) * (b[i] - a[i]);
  return sum / n / std::sqrt((squares / n - sum / n * sum / n) / (n - 1));
}

TEST_F(Planner, LosesFewerTripsThanNoTrucks) {
  const auto city = bike_share_of("bike-share");
  const BikePlanner planner(city, 0, {});
  constexpr int seeds = 12, days = 1;
  const double z = limit(1, seeds - 1);
  const auto nothing = lost_trips(*city, seeds, days, [&](const auto&) { return stay(*city); });
  const auto planned = lost_trips(*city, seeds, days, [&](const auto& state) { return planner.plan(state); });
  EXPECT_GT(below(planned, nothing), z);
  // One that sees the city upside down, full where it is empty, does not.
  const auto wrong = lost_trips(*city, seeds, days, [&](std::vector<double> state) {
    for (std::size_t s = 0; s < 60; ++s) state[s] = city->city().stations[s].docks - state[s];
    return planner.plan(state);
  });
  EXPECT_LT(below(wrong, nothing), z);
}

}  // namespace
}  // namespace lowvar
