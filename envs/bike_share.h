// A city of hired bicycles, and the trucks that carry them from station to station.
//
// A step is half an hour. In it, in this order:
// 1. Trucks 0, 1, ... each stay or visit a station and bring it to a level, a part of its docks: they take
//    what stands above it, as far as there is room, or leave what is missing, as far as they have it. A truck
//    visits the stations within its radius of its depot, which it all reaches within half an hour.
// 2. The bicycles that were hired in the step before arrive, each drawing its station by the arrivals of the
//    hour. Where no dock is free it goes to the nearest station with one, and the trip counts as lost.
// 3. Station by station, a Poisson number of people want to hire, by the departures of the hour. Where they
//    find no bicycle the trip is lost; bicycles that they find are under way until the next step.
// The reward is minus the trips lost. No bicycle is made or vanishes, and no episode ends by itself.
//
// Random numbers of a step: one for each bicycle under way, then one for each station.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "envs/states.h"
#include "envs/tabular.h"

namespace lowvar {

/// What is known of a city.
struct BikeCity {
  struct Station {
    std::string name;
    double x, y;          // km
    int docks, bicycles;  // bicycles: those there when an episode begins, at midnight
    /// [hours] People who come to hire, an hour. The trips that end at an hour are dealt to stations in
    /// proportion to arrivals, so that they are those an hour as far as as many trips were begun.
    std::vector<double> departures, arrivals;
  };
  struct Depot {
    double x, y;
  };
  std::vector<Station> stations;
  std::vector<Depot> trucks;
  int capacity;                // of a truck, bicycles
  double radius;               // km
  std::vector<double> levels;  // that a truck may bring a station to, parts of its docks

  int hours() const { return static_cast<int>(stations[0].departures.size()); }
  int bicycles() const;
};

/// Reads {"stations": [{"name", "x", "y", "docks", "bicycles", "departures": [an hour each], "arrivals": [the
/// same]}], "trucks": [{"x", "y"}], "truck_capacity", "truck_radius", "levels"}; all keys are required. A day
/// has as many hours as departures, 24 as a rule. Throws Error that names the file and the place.
BikeCity read_bike_city(const std::string& path);

/// Two stations and a truck in a day of two hours, few enough for a table.
BikeCity small_bike_city();

/// A state is whole numbers: bicycles at each station, in each truck, under way; the half hour of the day;
/// the trips that the last step lost, at empty stations and at full ones.
class BikeShare {
 public:
  static constexpr double gamma = 0.99;
  static constexpr int T = 336;  // a week

  /// Throws Error where the city cannot be: see read_bike_city.
  explicit BikeShare(BikeCity city);

  const BikeCity& city() const { return city_; }
  int stations() const { return static_cast<int>(city_.stations.size()); }
  int trucks() const { return static_cast<int>(city_.trucks.size()); }
  int half_hours() const { return 2 * city_.hours(); }  // of a day
  int size() const { return lost_at_full() + 1; }

  // Where the numbers of a state stand: stations and trucks come first.
  int load(int truck) const { return stations() + truck; }
  int under_way() const { return stations() + trucks(); }
  int half_hour() const { return under_way() + 1; }
  int lost_at_empty() const { return under_way() + 2; }
  int lost_at_full() const { return under_way() + 3; }

  /// The stations that a truck may visit, in their order. Its choices are to stay, 0, and to bring station
  /// k of these to level l, 1 + k levels + l.
  const std::vector<int>& round(int truck) const { return rounds_[static_cast<std::size_t>(truck)]; }
  int choices(int truck) const;
  /// The bicycles that level l means at a station.
  int target(int station, int level) const;

  /// The class of a station: empty, nearly empty (under a fifth of the docks have a bicycle), balanced,
  /// nearly full (under a fifth of them are free), full.
  static constexpr int classes = 5;
  static constexpr const char* class_names[classes] = {"empty", "nearly empty", "balanced", "nearly full",
                                                       "full"};
  static int class_of(int bicycles, int docks);

  std::vector<int> start() const;
  /// What the trucks do, each by its choice.
  void visit(std::span<int> state, std::span<const double> choices) const;
  /// One step. Returns the trips lost; `parked`, if any, gets the bicycles that arrived at each station.
  int step(std::span<int> state, std::span<const double> choices, Rng& rng, int* parked = nullptr) const;

  /// Throws Error where these are not the numbers of a state.
  void check(std::span<const int> state) const;

  /// The world of one truck as a table, of the states that can follow the start, which is state 0; what the
  /// last step lost is in none of them. A reward is the expectation given what follows. Throws Error where
  /// there are more than 20 000 states.
  struct Table {
    Mdp mdp;
    std::vector<std::vector<int>> states;
  };
  Table table(double gamma, int T) const;

  /// Observations: of each station 2 bicycles/docks - 1 and, in the same way, of each truck; the part of the
  /// bicycles that is under way; sine and cosine of the time of day and of twice that.
  Spaces spaces() const;
  void observe(std::span<const int> state, float* out) const;

  static MakeStates states(std::shared_ptr<const BikeShare> world);

 private:
  /// Where a bicycle that finds no dock at `station` goes.
  int nearest_free(const int* state, int station) const;
  int hired(int station, int hour, double uniform) const;

  BikeCity city_;
  int bicycles_;
  std::vector<std::vector<int>> rounds_;   // [trucks]
  std::vector<std::vector<int>> nearest_;  // [stations]: the others, by distance
  // Of each hour and station, row-major: the parts of arrivals up to it, and what a half hour's number of
  // people who want to hire is drawn by, P(they are at most 0, 1, ...).
  std::vector<double> arrived_by_;
  std::vector<std::vector<double>> wanted_;
};

}  // namespace lowvar
