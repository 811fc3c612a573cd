#include "envs/bike_share.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <numbers>
#include <numeric>

#include "core/vmath.h"

namespace lowvar {
namespace {

using Station = BikeCity::Station;
using State = std::vector<int>;

constexpr int mdp_states = 20'000;

double distance(const auto& a, const auto& b) { return std::hypot(a.x - b.x, a.y - b.y); }

/// P(N <= 0), P(N <= 1), ... of a Poisson number, as far as they are told apart from one.
std::vector<double> poisson_distribution(double mean) {
  std::vector<double> out;
  double p = lowvar::exp(-mean), sum = p;
  for (int k = 1; p > 1e-18 || k < mean; ++k) {
    out.push_back(sum);
    p *= mean / k;
    sum += p;
  }
  return out;
}

}  // namespace

int BikeCity::bicycles() const {
  return std::accumulate(stations.begin(), stations.end(), 0,
                         [](int sum, const Station& each) { return sum + each.bicycles; });
}

BikeCity small_bike_city() {
  return {.stations = {{"home", 0, 0, 4, 2, {2.5, 0.5}, {0.5, 2.5}},
                       {"work", 1, 0, 4, 2, {0.5, 2.5}, {2.5, 0.5}}},
          .trucks = {{0, 0}},
          .capacity = 2,
          .radius = 1,
          .levels = {0.25, 0.75}};
}

// ---- dynamics ----

BikeShare::BikeShare(BikeCity city) : city_(std::move(city)), bicycles_(city_.bicycles()) {
  const int S = stations(), H = city_.hours();
  int docks = 0;
  for (const Station& each : city_.stations) docks += each.docks;
  expect(bicycles_ >= 1 && bicycles_ <= docks, "there must be a bicycle, and a dock for each; got ",
         bicycles_, " bicycles and ", docks, " docks");
  for (int j = 0; j < trucks(); ++j) {
    auto& round = rounds_.emplace_back();
    for (int s = 0; s < S; ++s)
      if (distance(city_.trucks[static_cast<std::size_t>(j)], city_.stations[static_cast<std::size_t>(s)]) <=
          city_.radius)
        round.push_back(s);
    expect(!round.empty(), "truck ", j, " reaches no station: the nearest is farther from its depot than ",
           city_.radius, " km");
  }
  for (const Station& from : city_.stations) {
    auto& others = nearest_.emplace_back(static_cast<std::size_t>(S));
    std::iota(others.begin(), others.end(), 0);
    std::stable_sort(others.begin(), others.end(), [&](int a, int b) {
      return distance(from, city_.stations[static_cast<std::size_t>(a)]) <
             distance(from, city_.stations[static_cast<std::size_t>(b)]);
    });
  }
  for (int h = 0; h < H; ++h) {
    const auto hour = static_cast<std::size_t>(h);
    double all = 0, sum = 0;
    for (const Station& each : city_.stations) all += each.arrivals[hour];
    expect(all > 0, "nothing arrives anywhere in hour ", h, ", and trips that were begun have to end");
    for (const Station& each : city_.stations) {
      arrived_by_.push_back((sum += each.arrivals[hour]) / all);
      wanted_.push_back(poisson_distribution(each.departures[hour] / 2));
    }
  }
}

int BikeShare::choices(int truck) const {
  return 1 + static_cast<int>(round(truck).size() * city_.levels.size());
}

int BikeShare::target(int station, int level) const {
  return static_cast<int>(std::lround(city_.levels[static_cast<std::size_t>(level)] *
                                      city_.stations[static_cast<std::size_t>(station)].docks));
}

int BikeShare::class_of(int bicycles, int docks) {
  if (bicycles == 0) return 0;
  if (bicycles == docks) return 4;
  return 5 * bicycles < docks ? 1 : 5 * (docks - bicycles) < docks ? 3 : 2;
}

State BikeShare::start() const {
  State out(static_cast<std::size_t>(size()), 0);
  std::transform(city_.stations.begin(), city_.stations.end(), out.begin(),
                 [](const Station& each) { return each.bicycles; });
  return out;
}

void BikeShare::visit(std::span<int> state, std::span<const double> choices_made) const {
  const int L = static_cast<int>(city_.levels.size());
  for (int j = 0; j < trucks(); ++j) {
    const double made = choices_made[static_cast<std::size_t>(j)];
    expect(made >= 0 && made < choices(j) && made == std::floor(made), "truck ", j,
           " chooses a whole number from 0 to ", choices(j) - 1, ", got ", made);
    const int choice = static_cast<int>(made) - 1;
    if (choice < 0) continue;
    const int s = round(j)[static_cast<std::size_t>(choice / L)];
    int& here = state[static_cast<std::size_t>(s)];
    int& loaded = state[static_cast<std::size_t>(load(j))];
    const int left = std::clamp(target(s, choice % L) - here, loaded - city_.capacity, loaded);
    here += left, loaded -= left;
  }
}

int BikeShare::nearest_free(const int* state, int station) const {
  for (const int other : nearest_[static_cast<std::size_t>(station)])
    if (state[other] < city_.stations[static_cast<std::size_t>(other)].docks) return other;
  fail("no dock is free in the whole city");  // not with a dock for each bicycle
}

int BikeShare::hired(int station, int hour, double uniform) const {
  const auto& by = wanted_[static_cast<std::size_t>(hour * stations() + station)];
  int out = 0;
  while (out + 1 < static_cast<int>(by.size()) && uniform >= by[static_cast<std::size_t>(out)]) ++out;
  return out;
}

int BikeShare::step(std::span<int> state, std::span<const double> choices_made, Rng& rng, int* parked) const {
  const int S = stations();
  visit(state, choices_made);
  int* const here = state.data();
  int& moving = state[static_cast<std::size_t>(under_way())];
  int& half = state[static_cast<std::size_t>(half_hour())];
  const int hour = half / 2;

  if (parked) std::fill(parked, parked + S, 0);
  const double* const by = arrived_by_.data() + hour * S;
  int full = 0;
  for (; moving > 0; --moving) {
    int s = static_cast<int>(std::upper_bound(by, by + S, rng.uniform()) - by);
    if (here[s] == city_.stations[static_cast<std::size_t>(s)].docks) ++full, s = nearest_free(here, s);
    ++here[s];
    if (parked) ++parked[s];
  }
  int empty = 0;
  for (int s = 0; s < S; ++s) {
    const int wanted = hired(s, hour, rng.uniform()), found = std::min(wanted, here[s]);
    here[s] -= found, moving += found, empty += wanted - found;
  }
  half = (half + 1) % half_hours();
  state[static_cast<std::size_t>(lost_at_empty())] = empty;
  state[static_cast<std::size_t>(lost_at_full())] = full;
  return empty + full;
}

void BikeShare::check(std::span<const int> state) const {
  expect(static_cast<int>(state.size()) == size(), "a state of this city is ", size(), " numbers, got ",
         state.size());
  const auto in_range = [&](int i, int most, std::string_view what) {
    const int x = state[static_cast<std::size_t>(i)];
    expect(x >= 0 && x <= most, what, " must be a whole number from 0 to ", most, ", got ", x);
  };
  for (int s = 0; s < stations(); ++s)
    in_range(s, city_.stations[static_cast<std::size_t>(s)].docks, "the bicycles at a station");
  for (int j = 0; j < trucks(); ++j) in_range(load(j), city_.capacity, "the bicycles in a truck");
  in_range(under_way(), bicycles_, "the bicycles under way");
  in_range(half_hour(), half_hours() - 1, "the half hour");
  for (const int lost : {lost_at_empty(), lost_at_full()}) in_range(lost, 1 << 30, "the trips lost");
  const long all = std::accumulate(state.begin(), state.begin() + half_hour(), 0L);
  expect(all == bicycles_, "a state of this city has ", bicycles_, " bicycles in all, got ", all);
}

// ---- as a table ----

namespace {

/// A probability, and what is lost on average times it.
struct Weight {
  double probability = 0, lost = 0;
};
using Ahead = std::map<State, Weight>;

}  // namespace

BikeShare::Table BikeShare::table(double discount, int horizon) const {
  expect(trucks() == 1, "a table is of a city of one truck, got ", trucks());
  const int S = stations();
  const auto at = [](auto& x, int i) -> auto& { return x[static_cast<std::size_t>(i)]; };
  const auto spread = [&](Ahead& now, auto&& each) {
    Ahead next;
    for (const auto& [state, weight] : now)
      each(state, [&, w = weight](const State& to, double p, int lost) {
        Weight& sum = next[to];
        sum.probability += w.probability * p;
        sum.lost += (w.lost + lost * w.probability) * p;
      });
    now = std::move(next);
  };
  const auto outcomes = [&](State from, int choice) {
    const double made = choice;
    visit(from, {&made, 1});
    const int hour = at(from, half_hour()) / 2, moving = std::exchange(at(from, under_way()), 0);
    at(from, half_hour()) = (at(from, half_hour()) + 1) % half_hours();
    Ahead ahead = {{std::move(from), {1, 0}}};
    for (int k = 0; k < moving; ++k)
      spread(ahead, [&](const State& state, auto&& to) {
        for (int s = 0; s < S; ++s) {
          const double p = at(arrived_by_, hour * S + s) - (s ? at(arrived_by_, hour * S + s - 1) : 0);
          if (p <= 0) continue;
          const bool full = at(state, s) == at(city_.stations, s).docks;
          State next = state;
          ++at(next, full ? nearest_free(state.data(), s) : s);
          to(next, p, full);
        }
      });
    for (int s = 0; s < S; ++s)
      spread(ahead, [&](const State& state, auto&& to) {
        const auto& by = at(wanted_, hour * S + s);
        const int last = static_cast<int>(by.size()) - 1;
        for (int wanted = 0; wanted <= last; ++wanted) {
          const int found = std::min(wanted, at(state, s));
          State next = state;
          at(next, s) -= found, at(next, under_way()) += found;
          to(next, (wanted == last ? 1 : at(by, wanted)) - (wanted ? at(by, wanted - 1) : 0), wanted - found);
        }
      });
    return ahead;
  };

  std::vector<State> states = {start()};
  std::map<State, int> number = {{states[0], 0}};
  std::vector<std::vector<Outcome>> all;  // of each state and choice
  for (std::size_t i = 0; i < states.size(); ++i)
    for (int a = 0; a < choices(0); ++a) {
      auto& of = all.emplace_back();
      for (const auto& [state, weight] : outcomes(states[i], a)) {
        const auto [place, is_new] = number.try_emplace(state, static_cast<int>(states.size()));
        if (is_new) states.push_back(state);
        expect(states.size() <= mdp_states, "a table of this city has more than ", mdp_states, " states");
        of.push_back({place->second, weight.probability, -weight.lost / weight.probability});
      }
    }
  const auto n = states.size();
  std::vector<double> first(n, 0);
  first[0] = 1;
  Mdp mdp = make_mdp(static_cast<int>(n), choices(0), discount, horizon, first, std::vector<char>(n, 0),
                     [&](int s, int a) { return at(all, s * choices(0) + a); });
  return {std::move(mdp), std::move(states)};
}

// ---- as a world ----

Spaces BikeShare::spaces() const {
  Spaces out;
  out.m = trucks();
  for (int j = 0; j < trucks(); ++j) {
    out.levels.push_back(choices(j));
    out.action_low.push_back(0);
    out.action_high.push_back(choices(j) - 1);
  }
  out.observation = stations() + trucks() + 5;
  out.numbers = lost_at_empty();
  return out;
}

void BikeShare::observe(std::span<const int> state, float* out) const {
  const auto part = [&](int i, int of) {
    return static_cast<float>(2.0 * state[static_cast<std::size_t>(i)] / of - 1);
  };
  for (int s = 0; s < stations(); ++s) *out++ = part(s, city_.stations[static_cast<std::size_t>(s)].docks);
  for (int j = 0; j < trucks(); ++j) *out++ = part(load(j), city_.capacity);
  *out++ = part(under_way(), bicycles_);
  const double day = 2 * std::numbers::pi * state[static_cast<std::size_t>(half_hour())] / half_hours();
  for (const double angle : {day, 2 * day}) {
    const auto [sine, cosine] = sin_cos(angle);
    *out++ = static_cast<float>(sine);
    *out++ = static_cast<float>(cosine);
  }
}

namespace {

class BikeStates final : public States {
 public:
  BikeStates(std::shared_ptr<const BikeShare> shared, int n)
      : States(shared->spaces(), n), shared_(std::move(shared)) {
    for (int i = 0; i < n; ++i) states_.push_back(shared_->start());
  }

  void reset(int i, Rng&) override { at(i) = shared_->start(); }
  bool terminal(int) const override { return false; }
  void step(int begin, int end, ActionRows actions, const Draws& draws, double* reward,
            char* terminated) override {
    const auto m = static_cast<std::size_t>(spaces().m);
    const auto step_one = [&](int i, Rng& rng) {
      reward[i] = -shared_->step(at(begin + i), {actions.vector + static_cast<std::size_t>(i) * m, m}, rng);
      terminated[i] = 0;
    };
    draws.for_each(end - begin, step_one);
  }
  void observe(int begin, int end, ObservationRows out) const override {
    float* to = std::get<float*>(out);
    for (int i = begin; i < end; ++i, to += spaces().observation) shared_->observe(at(i), to);
  }

  void save(int i, std::vector<std::byte>& out) const override {
    for (const int x : at(i)) detail::append(x, out);
  }
  void restore(int i, std::span<const std::byte> bytes) override {
    State state(bytes.size() / sizeof(int));
    expect(bytes.size() == state.size() * sizeof(int), "a state is whole numbers of ", sizeof(int),
           " bytes, got ", bytes.size(), " bytes");
    std::memcpy(state.data(), bytes.data(), bytes.size());
    shared_->check(state);
    at(i) = std::move(state);
  }

  std::vector<double> numbers(int i) const override {
    return {at(i).begin(), at(i).begin() + spaces().numbers};
  }
  void set_numbers(int i, std::span<const double> x) override {
    State state;
    for (const double each : x) {
      expect(each == std::floor(each) && std::abs(each) < 1e9, "a state is whole numbers, got ", each);
      state.push_back(static_cast<int>(each));
    }
    state.resize(x.size() + 2, 0);  // nothing was lost yet
    shared_->check(state);
    at(i) = std::move(state);
  }
  /// All of them, with what the last step lost.
  std::vector<double> shown(int i) const override { return {at(i).begin(), at(i).end()}; }

 private:
  State& at(int i) { return states_[static_cast<std::size_t>(i)]; }
  const State& at(int i) const { return states_[static_cast<std::size_t>(i)]; }

  std::shared_ptr<const BikeShare> shared_;
  std::vector<State> states_;
};

}  // namespace

MakeStates BikeShare::states(std::shared_ptr<const BikeShare> world) {
  return [world](int n) { return std::make_unique<BikeStates>(world, n); };
}

}  // namespace lowvar
