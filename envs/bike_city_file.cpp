// City files: JSON into a BikeCity, refusing whatever could not be one.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/input_file.h"
#include "envs/bike_share.h"

namespace lowvar {
namespace {

using Json = nlohmann::json;

constexpr int most_stations = 2000, most_trucks = 100, most_docks = 1000, most_hours = 168;
constexpr double most_rate = 1000;  // people an hour

/// Checked access to the parts of one document; `where` is "" or a place such as "stations[3]".
struct Reader {
  const std::string& path;

  template <class... Parts>
  void check(bool fine, const Parts&... parts) const {
    expect(fine, path, ": ", parts...);
  }
  /// `place` of an object, "stations[3].docks".
  static std::string place(const std::string& where, const char* key) {
    return where.empty() ? key : join(where, ".", key);
  }

  /// An object of these keys and no others.
  void keys(const Json& x, const std::string& where, std::initializer_list<const char*> known) const {
    const std::string what = where.empty() ? "the file" : where;
    check(x.is_object(), what, " must hold a JSON object, got ", x.type_name());
    for (const char* key : known) check(x.contains(key), what, " has no \"", key, "\"");
    for (const auto& [key, value] : x.items())
      check(std::find(known.begin(), known.end(), key) != known.end(), what, " has an unknown key, ",
            Json(key).dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 100));
  }
  const Json& list(const Json& object, const std::string& where, const char* key, int most) const {
    const Json& x = object[key];
    check(x.is_array() && !x.empty() && x.size() <= static_cast<std::size_t>(most), place(where, key),
          " must be a list of 1 to ", most, " entries");
    return x;
  }
  int whole(const Json& object, const std::string& where, const char* key, int least, int most) const {
    const Json& x = object[key];
    check(x.is_number_integer() && x >= least && x <= most, place(where, key),
          " must be a whole number from ", least, " to ", most);
    return x.get<int>();
  }
  double number(const Json& x, const std::string& where, double least, double most) const {
    check(x.is_number() && x.get<double>() >= least && x.get<double>() <= most, where,
          " must be a number from ", least, " to ", most);
    return x.get<double>();
  }
  std::vector<double> numbers(const Json& object, const std::string& where, const char* key, double most,
                              int most_entries) const {
    std::vector<double> out;
    for (const Json& each : list(object, where, key, most_entries))
      out.push_back(number(each, join(place(where, key), "[", out.size(), "]"), 0, most));
    return out;
  }
};

constexpr double most_km = 1000;

}  // namespace

BikeCity read_bike_city(const std::string& path) {
  const Json json = Json::parse(read_input(path), nullptr, false);
  expect(!json.is_discarded(), path, ": not valid JSON");
  const Reader reader{path};
  reader.keys(json, "", {"stations", "trucks", "truck_capacity", "truck_radius", "levels"});
  BikeCity out;
  for (const Json& each : reader.list(json, "", "stations", most_stations)) {
    const std::string where = join("stations[", out.stations.size(), "]");
    reader.keys(each, where, {"name", "x", "y", "docks", "bicycles", "departures", "arrivals"});
    reader.check(each["name"].is_string(), where, ".name must be a string");
    const int docks = reader.whole(each, where, "docks", 1, most_docks);
    out.stations.push_back({each["name"].get<std::string>(),
                            reader.number(each["x"], where + ".x", -most_km, most_km),
                            reader.number(each["y"], where + ".y", -most_km, most_km), docks,
                            reader.whole(each, where, "bicycles", 0, docks),
                            reader.numbers(each, where, "departures", most_rate, most_hours),
                            reader.numbers(each, where, "arrivals", most_rate, most_hours)});
    for (const char* key : {"departures", "arrivals"})
      reader.check(each[key].size() == static_cast<std::size_t>(out.hours()), where, ".", key, " has ",
                   each[key].size(), " hours, and stations[0].departures ", out.hours());
  }
  for (const Json& each : reader.list(json, "", "trucks", most_trucks)) {
    const std::string where = join("trucks[", out.trucks.size(), "]");
    reader.keys(each, where, {"x", "y"});
    out.trucks.push_back({reader.number(each["x"], where + ".x", -most_km, most_km),
                          reader.number(each["y"], where + ".y", -most_km, most_km)});
  }
  out.capacity = reader.whole(json, "", "truck_capacity", 1, most_docks);
  out.radius = reader.number(json["truck_radius"], "truck_radius", 0, 2 * most_km);
  out.levels = reader.numbers(json, "", "levels", 1, 100);
  try {
    const BikeShare whole(out);
  } catch (const Error& e) {
    throw Error(join(path, ": ", e.what()));
  }
  return out;
}

}  // namespace lowvar
