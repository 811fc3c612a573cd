// Trucks of a city of bicycles (envs/bike_share.h) by prediction and planning: hourly frequencies of a
// history that was recorded without trucks, a predictor fitted on them, and over a rolling horizon a
// mixed-integer program of who visits which station, solved by GLPK. What it computes: docs/bike-share.md.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "envs/bike_share.h"

namespace lowvar {

/// What a half hour of each hour brings to each station on average, hours x stations, row-major: people who
/// want to hire and bicycles that are parked.
struct BikeForecast {
  std::vector<double> departures, arrivals;
};

/// Fitted on `days` simulated days without trucks, of stream "bike-history" of `seed`: the mean of what was
/// seen in each hour at each station, by maximum likelihood of a Poisson law of which a half hour says only
/// "at least" where the station ran empty (or full), beside two half hours of the station's daily mean.
BikeForecast fit_forecast(const BikeShare& world, int days, std::uint64_t seed);

/// Threads: many may plan with one at once.
class BikePlanner {
 public:
  struct Options {
    int history = 60;    // days
    int horizon = 8;     // half hours whose losses count
    int visits = 2;      // of each truck, planned together; the first is made
    double later = 0.7;  // the weight of what a visit saves, against one before: it will be planned again
    int candidates = 4;  // stations that a truck considers for each visit, to take bicycles and to leave some
    int nodes = 60;      // of the branch and bound tree, after which the best plan so far is taken
  };

  /// What it needs and this build is without, with how to get it; empty where all is there.
  static std::string missing();

  /// Throws Error where `missing`.
  BikePlanner(std::shared_ptr<const BikeShare> world, std::uint64_t seed, Options options);

  /// What each truck does in a state, which is given by States::shown.
  std::vector<double> plan(std::span<const double> state) const;

  /// Trips that a station loses on average within the horizon, none of it planned, from half hour t of the
  /// day on, if `bicycles` stand there after the trucks have been; between whole numbers on the line.
  double lost(int station, int t, double bicycles) const { return at(lost_, station, t, bicycles); }
  /// The bicycles that then stand there half an hour later, on average.
  double next(int station, int t, double bicycles) const { return at(next_, station, t, bicycles); }

 private:
  double at(const std::vector<double>& table, int station, int t, double bicycles) const;

  std::shared_ptr<const BikeShare> world_;
  Options options_;
  std::vector<std::size_t> offset_;  // of each station in a half hour's part of the tables
  std::vector<double> lost_, next_;  // of each half hour, station and number of bicycles
};

}  // namespace lowvar
