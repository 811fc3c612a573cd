// The rows that a benchmark of the engine prints and writes for bench/table.py.
#pragma once

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "bench/interleave.h"
#include "core/error.h"

namespace lowvar {

class Report {
 public:
  /// Adds lines of JSON to the file; prints alone where it is null.
  explicit Report(const char* file) {
    if (file == nullptr) return;
    out_.open(file, std::ios::app);
    expect(out_.good(), "cannot write ", file);
  }

  /// One row: medians under the names of the ways, as in "ours_us", and the fastest rounds beside them.
  void add(const std::string& name, const std::vector<Timing>& timings,
           const std::vector<std::pair<std::string, double>>& more = {}) {
    nlohmann::ordered_json row{{"name", name}};
    for (const char* each : {"ours", "hand", "libtorch"}) row[std::string(each) + "_us"] = nullptr;
    std::printf("%-40s", name.c_str());
    for (const Timing& t : timings) {
      row[t.name + "_us"] = t.median_us;
      row["fastest"][t.name + "_us"] = t.fastest_us;
      std::printf("  %s %.4g us (%.4g)", t.name.c_str(), t.median_us, t.fastest_us);
    }
    for (const auto& [what, value] : more) {
      row[what] = value;
      std::printf("  %s %.3f", what.c_str(), value);
    }
    std::printf("\n");
    std::fflush(stdout);
    if (out_.is_open()) out_ << row.dump() << "\n" << std::flush;
  }

 private:
  std::ofstream out_;
};

}  // namespace lowvar
