// Three ways to move hired bicycles through a city (the world bike-share): not at all, by the pipeline of
// frequencies, predictor and planner (Barbero 2019, the last part), and by PPO with a categorical for each
// truck; and trucks that go anywhere, for comparison. Trips lost in 30 days and station-hours by class, of
// ten seeds each, and how both go through the day.
#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/parallel.h"
#include "experiments/bike_planner.h"
#include "experiments/figures/figures.h"
#include "experiments/figures/trainings.h"
#include "experiments/parts.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

const std::vector<std::string> methods = {"nothing", "random", "PPO", "planner"};
constexpr int classes = BikeShare::classes;

/// A day of a method and a seed, on average.
struct Day {
  double wanted = 0, at_empty = 0, at_full = 0;        // trips: all, and those lost
  std::vector<double> station_hours = {};              // [classes]
  std::vector<double> lost_at = {}, stations_at = {};  // [half hours], [half hours x classes]

  /// By the rewards.
  double lost() const { return std::accumulate(lost_at.begin(), lost_at.end(), 0.0); }

  template <class F>
  void visit(F&& f) {
    f("wanted", wanted), f("at_empty", at_empty), f("at_full", at_full), f("station_hours", station_hours);
    f("lost_at", lost_at), f("stations_at", stations_at);
  }
};

/// Writes what the trucks do where the only state is.
using Choose = std::function<void(const States& states, std::span<double> choices)>;

Day mean_day(const World& world, const BikeShare& city, const Choose& choose, int days, std::uint64_t seed) {
  const auto half_hours = static_cast<std::size_t>(city.half_hours());
  Day out{.station_hours = std::vector<double>(classes, 0),
          .lost_at = std::vector<double>(half_hours, 0),
          .stations_at = std::vector<double>(half_hours * classes, 0)};
  const auto states = world.states(1);
  Rng rng(seed, "bike-days");
  states->reset(0, rng);
  std::vector<double> choices(static_cast<std::size_t>(world.m));
  for (std::size_t t = 0; t < static_cast<std::size_t>(days) * half_hours; ++t) {
    rng.seek(static_cast<std::uint32_t>(t) + 1);
    choose(*states, choices);
    double reward{};
    char terminated{};
    states->act(0, 1, {nullptr, choices.data()}, {.each = &rng}, &reward, &terminated);
    const std::vector<double> now = states->shown(0);
    const auto number = [&](int i) { return now[static_cast<std::size_t>(i)]; };
    const double share = 1.0 / days;
    out.at_empty += share * number(city.lost_at_empty());
    out.at_full += share * number(city.lost_at_full());
    out.wanted += share * (number(city.under_way()) + number(city.lost_at_empty()));
    out.lost_at[t % half_hours] -= share * reward;
    for (int s = 0; s < city.stations(); ++s) {
      const auto k = static_cast<std::size_t>(BikeShare::class_of(
          static_cast<int>(number(s)), city.city().stations[static_cast<std::size_t>(s)].docks));
      out.station_hours[k] += share / 2;
      out.stations_at[t % half_hours * classes + k] += share;
    }
  }
  return out;
}

Choose nothing() {
  return [](const States&, std::span<double> choices) { std::fill(choices.begin(), choices.end(), 0); };
}

Choose at_random(const World& world, std::uint64_t seed) {
  return [&world, rng = Rng(seed, "random-trucks")](const States&, std::span<double> choices) mutable {
    int none = 0;
    random_action(world, rng, none, choices);
  };
}

Choose learned_by(const Learned& ppo, std::uint64_t seed) {
  return [&ppo, rng = Rng(seed, "bike-choices"), seen = std::vector<float>()](
             const States& states, std::span<double> choices) mutable {
    const int p = states.spaces().observation;
    seen.resize(static_cast<std::size_t>(p));
    states.observe(0, 1, seen.data());
    Array<double> x = zeros<double>(1, p);
    std::copy(seen.begin(), seen.end(), x.begin());
    ActingPolicy(ppo.policy, ppo.theta, {}, &x).act(0, rng, choices);
  };
}

Choose planned_by(const BikePlanner& planner) {
  return [&planner](const States& states, std::span<double> choices) {
    const auto plan = planner.plan(states.shown(0));
    std::copy(plan.begin(), plan.end(), choices.begin());
  };
}

/// A row with a mean over 10 seeds, or 4, and its 95 % interval.
Csv::Row with_interval(Csv::Row row, const char* column, const std::vector<double>& x) {
  const Estimate mean = mean_of(x);
  const double half =
      (x.size() == 10 ? 2.262 : 3.182) * mean.se;  // Student's t of 9 and of 3 degrees of freedom
  row.insert(
      row.end(),
      {{column, mean.value}, {"se", mean.se}, {"low", mean.value - half}, {"high", mean.value + half}});
  return row;
}

/// The days of each seed, by method.
class Results {
 public:
  void add(const std::string& method, Day day) { days_[method].push_back(std::move(day)); }

  /// A number of each seed's day.
  template <class F>
  std::vector<double> of(const std::string& method, F&& number) const {
    std::vector<double> out;
    for (const Day& day : days_.at(method)) out.push_back(std::invoke(number, day));
    return out;
  }
  template <class F>
  double mean(const std::string& method, F&& number) const {
    return mean_of(of(method, number)).value;
  }

  void add_method(const std::string& method, Csv& csv, std::string& text) const {
    const auto lost = of(method, &Day::lost);
    const double wanted = mean(method, &Day::wanted), at_empty = mean(method, &Day::at_empty),
                 at_full = mean(method, &Day::at_full), percent = 100 * mean_of(lost).value / wanted;
    for (std::size_t seed = 0; seed < lost.size(); ++seed)
      csv.add_some({{"part", "seed"}, {"method", method}, {"seed", seed}, {"lost", lost[seed]}});
    csv.add_some(with_interval({{"part", "lost"},
                                {"method", method},
                                {"wanted", wanted},
                                {"at_empty", at_empty},
                                {"at_full", at_full},
                                {"parts", at_empty + at_full},
                                {"percent", percent},
                                {"n", lost.size()}},
                               "lost", lost));
    text += fmt::format("{:<8} {:>7.1f} +- {:>4.1f} {:>6.2f} % ", method, mean_of(lost).value,
                        mean_of(lost).se, percent);
    double all = 0;
    for (std::size_t k = 0; k < classes; ++k) {
      const auto hours = of(method, [&](const Day& day) { return day.station_hours[k]; });
      csv.add_some(with_interval(
          {{"part", "class"}, {"method", method}, {"class", BikeShare::class_names[k]}, {"n", hours.size()}},
          "hours", hours));
      text += fmt::format(" {:>12.1f}", mean_of(hours).value);
      all += mean_of(hours).value;
    }
    csv.add_some({{"part", "class"}, {"method", method}, {"class", "all"}, {"hours", all}});
    text += "\n";
    for (std::size_t t = 0; t < days_.at(method)[0].lost_at.size(); ++t) {
      csv.add_some({{"part", "half hour"},
                    {"method", method},
                    {"half_hour", t},
                    {"lost", mean(method, [&](const Day& day) { return day.lost_at[t]; })}});
      for (std::size_t k = 0; k < classes; ++k)
        csv.add_some(
            {{"part", "stations"},
             {"method", method},
             {"half_hour", t},
             {"class", BikeShare::class_names[k]},
             {"stations", mean(method, [&](const Day& day) { return day.stations_at[t * classes + k]; })}});
    }
  }

  /// Seed by seed, for the methods meet the same days.
  void add_gain(const std::string& better, const std::string& worse, Csv& csv, std::string& text) const {
    auto gain = of(worse, &Day::lost);
    const auto less = of(better, &Day::lost);
    for (std::size_t i = 0; i < gain.size(); ++i) gain[i] -= less[i];
    const Estimate mean = mean_of(gain);
    const std::string name = better + " over " + worse;
    csv.add_some(with_interval(
        {{"part", "gain"}, {"method", name}, {"n", gain.size()}, {"z", mean.value / mean.se}}, "gain", gain));
    text += fmt::format("{}: {:.1f} +- {:.1f} trips a day\n", name, mean.value, mean.se);
  }

 private:
  std::map<std::string, std::vector<Day>> days_;
};

}  // namespace

Reproduction run_bike_share(Effort effort, bool check, const std::filesystem::path& out) {
  expect(BikePlanner::missing().empty(), "bike-share needs ", BikePlanner::missing());
  const int seeds = static_cast<int>(choose(effort, 4, 10, 10)),
            days = static_cast<int>(choose(effort, 10, 30, 30));
  const long steps = choose(effort, 100'000, 200'000, 2'000'000);
  OutputDirectory directory(out,
                            {{"figure", "bike-share"}, {"seeds", seeds}, {"days", days}, {"steps", steps}});
  Csv csv({"part", "method", "seed", "half_hour", "class", "wanted", "at_empty", "at_full", "parts", "lost",
           "percent", "hours", "stations", "gain", "se", "low", "high", "z", "n"});
  std::string text;
  Parts parts(directory);
  parts(csv, text, [&] {
    const World world = make_world("bike-share", {}, {});
    const auto city = bike_share_of("bike-share");
    std::vector<Trainee> trainees;
    for (int seed = 0; seed < seeds; ++seed)
      trainees.push_back(
          {&world, configured("ppo", world, "ppo_bike-share"), steps, static_cast<std::uint64_t>(seed)});
    const auto courses = train_all("bike-share PPO", trainees, parts.keeper());
    std::vector<Learned> ppo;
    for (std::size_t i = 0; i < courses.size(); ++i) ppo.push_back(learned(trainees[i], courses[i]));
    const BikePlanner planner(city, 0, {});
    const auto method_of = [&](int i) -> const std::string& {
      return methods[static_cast<std::size_t>(i / seeds)];
    };
    Results results;
    ordered_reduce(
        static_cast<int>(methods.size()) * seeds,
        [&](int i) {
          const std::string& method = method_of(i);
          const auto seed = static_cast<std::uint64_t>(i % seeds);
          return mean_day(world, *city,
                          method == "nothing"  ? nothing()
                          : method == "random" ? at_random(world, seed)
                          : method == "PPO"    ? learned_by(ppo[seed], seed)
                                               : planned_by(planner),
                          days, seed);
        },
        [&](int i, Day day) { results.add(method_of(i), std::move(day)); });

    text += fmt::format("{:<8} {:>15} {:>8} {:>13} {:>12} {:>12} {:>12} {:>12}\n", "", "trips lost/day", "",
                        "hours empty", "nearly empty", "balanced", "nearly full", "full");
    for (const std::string& method : methods) results.add_method(method, csv, text);
    results.add_gain("random", "nothing", csv, text);
    results.add_gain("PPO", "nothing", csv, text);
    results.add_gain("planner", "nothing", csv, text);
    results.add_gain("PPO", "random", csv, text);
    results.add_gain("planner", "PPO", csv, text);
  });
  return publish("bike-share", directory, csv, check, std::move(text));
}

}  // namespace lowvar
