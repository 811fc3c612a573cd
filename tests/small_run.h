// A figure's data in its smallest size, and its claims about others in their place.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "command.h"
#include "experiments/figures/figures.h"

namespace lowvar {

using Rows = std::vector<std::map<std::string, std::string>>;

inline void write_rows(const Rows& rows, const std::filesystem::path& path) {
  std::vector<std::string> columns;
  for (const auto& [column, field] : rows.front()) columns.push_back(column);
  Csv csv(columns);
  for (const auto& row : rows) csv.add({row.begin(), row.end()});
  write_file(path, csv.text());
}

/// The data of a figure in its smallest size, and the claims on others in their place.
class SmallRun {
 public:
  SmallRun(const std::string& id, const std::string& name) : id_(id) {
    const auto dir = scratch("faults_" + id + name);
    const auto run = lowvar("reproduce " + id + " --smoke --out " + dir.string());
    EXPECT_EQ(run.status, 0) << run.err;
    path_ = dir / (id + ".csv");
    good = parse_csv(contents(path_));
    EXPECT_TRUE(holds(good));
  }

  bool holds(const Rows& rows) const {
    write_rows(rows, path_);
    const auto judged = check_claims(id_, path_);
    return std::all_of(judged.begin(), judged.end(), [](const Judgement& each) { return each.holds; });
  }

  /// Plants `fault`, which changes rows and says of which it does, and expects that a claim fails.
  void expect_noticed(const std::string& what,
                      const std::function<bool(std::map<std::string, std::string>& row)>& fault) const {
    Rows bad = good;
    int planted = 0;
    for (auto& row : bad) planted += fault(row);
    EXPECT_GT(planted, 0) << what;
    EXPECT_FALSE(holds(bad)) << what;
  }

  Rows good;

 private:
  std::string id_;
  std::filesystem::path path_;
};

}  // namespace lowvar
