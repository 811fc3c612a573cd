// The recorded episodes of tests/data/traces, which tests/data/make_traces.py derives from the equations.
#pragma once

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace lowvar {

/// What an action led to; t = -1 is where an episode starts.
struct TraceRow {
  int episode, t;
  std::vector<double> action;
  double reward;
  bool terminated, truncated;
  std::vector<double> observation, state;
};

inline const std::vector<std::string>& traced_worlds() {
  static const std::vector<std::string> all = {"CartPole-v0", "CartPole-v1",    "CartPoleFriction-v0",
                                               "Acrobot-v1",  "MountainCar-v0", "MountainCarContinuous-v0",
                                               "Pendulum-v1"};
  return all;
}

inline std::vector<TraceRow> read_trace(const std::string& id) {
  std::ifstream in(std::string(LOWVAR_TEST_DATA) + "/traces/" + id + ".csv");
  std::vector<TraceRow> rows;
  std::vector<std::string> columns;
  std::string line, field;
  std::getline(in, line);
  for (std::istringstream header(line); std::getline(header, field, ',');) columns.push_back(field);
  while (std::getline(in, line)) {
    TraceRow row{};
    std::istringstream fields(line);
    for (const auto& column : columns) {
      std::getline(fields, field, ',');
      const double x = std::stod(field);
      if (column == "episode") row.episode = static_cast<int>(x);
      if (column == "t") row.t = static_cast<int>(x);
      if (column.starts_with("action")) row.action.push_back(x);
      if (column == "reward") row.reward = x;
      if (column == "terminated") row.terminated = x != 0;
      if (column == "truncated") row.truncated = x != 0;
      if (column.starts_with("obs")) row.observation.push_back(x);
      if (column.starts_with("state")) row.state.push_back(x);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace lowvar
