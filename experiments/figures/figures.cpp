#include "experiments/figures/figures.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"

namespace lowvar {
namespace {

std::filesystem::path folder(const std::string& id) {
  return std::filesystem::path(LOWVAR_SOURCE_DIR) / "experiments" / "figures" / id;
}

using Row = std::map<std::string, std::string>;

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> out(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"')
      quoted = !quoted;
    else if (c == ',' && !quoted)
      out.emplace_back();
    else
      out.back() += c;
  }
  return out;
}

std::vector<Row> read_csv(const std::filesystem::path& path) {
  std::ifstream in(path);
  expect(in.good(), "cannot read ", path.string());
  std::string line;
  std::getline(in, line);
  const auto columns = split(line);
  std::vector<Row> rows;
  while (std::getline(in, line)) {
    const auto fields = split(line);
    Row row;
    for (std::size_t i = 0; i < columns.size() && i < fields.size(); ++i) row[columns[i]] = fields[i];
    rows.push_back(std::move(row));
  }
  return rows;
}

/// The number of `column` in the only row where every key of `where` has its value.
double look_up(const std::vector<Row>& rows, const nlohmann::json& where, const std::string& column) {
  const Row* found = nullptr;
  for (const Row& row : rows) {
    bool matches = true;
    for (const auto& [key, value] : where.items())
      matches = matches && row.at(key) == value.get<std::string>();
    if (!matches) continue;
    expect(found == nullptr, "two rows match ", where.dump());
    found = &row;
  }
  expect(found != nullptr, "no row matches ", where.dump());
  return found->at(column).empty() ? std::nan("") : std::stod(found->at(column));
}

std::string label(const nlohmann::json& where) {
  std::string out;
  for (const auto& [key, value] : where.items()) out += (out.empty() ? "" : ", ") + value.get<std::string>();
  return out;
}

}  // namespace

void draw(const std::string& id, const std::filesystem::path& out) {
  const std::string command = fmt::format("SOURCE_DATE_EPOCH=0 /usr/bin/python3 '{}' '{}'",
                                          (folder(id) / "plot.py").string(), out.string());
  expect(std::system(command.c_str()) == 0, "drawing failed: ", command);
}

bool check_claims(const std::string& id, const std::filesystem::path& csv) {
  std::ifstream in(folder(id) / "expected.json");
  const auto expected = nlohmann::json::parse(in);
  const auto rows = read_csv(csv);
  bool all = true;
  const auto judge = [&](bool holds, const std::string& what) {
    fmt::print("{}  {}\n", holds ? "holds" : "FAILS", what);
    all = all && holds;
  };
  for (const auto& claim : expected.value("equal", nlohmann::json::array())) {
    const double got = look_up(rows, claim.at("where"), claim.at("column")), want = claim.at("value");
    const double tolerance = claim.at("tolerance");
    judge(std::abs(got - want) <= tolerance * std::abs(want),
          fmt::format("{}: {} = {:.12g}, expected {:.12g}", label(claim.at("where")),
                      std::string(claim.at("column")), got, want));
  }
  for (const auto& claim : expected.value("ordered", nlohmann::json::array())) {
    // The column falls along the list by at least `factor` from one to the next.
    const std::string column = claim.at("column"), key = claim.at("along");
    const double factor = claim.at("factor");
    std::string shown;
    bool falls = true;
    double before = INFINITY;
    for (const auto& name : claim.at("list")) {
      auto where = claim.at("where");
      where[key] = name;
      const double x = look_up(rows, where, column);
      falls = falls && x * factor <= before;
      before = x;
      shown += fmt::format("{}{} {:.4g}", shown.empty() ? "" : " > ", std::string(name), x);
    }
    judge(falls, fmt::format("{}: {} falls, {}", label(claim.at("where")), column, shown));
  }
  for (const auto& claim : expected.value("agree", nlohmann::json::array())) {
    // Every row with both: |sampled - exact| within z standard errors.
    const std::string sampled = claim.at("sampled"), se = claim.at("se"), exact = claim.at("exact");
    const double z = claim.at("z");
    double worst = 0;
    int compared = 0;
    std::string where;
    for (const Row& row : rows) {
      if (row.at(sampled).empty() || row.at(exact).empty()) continue;
      ++compared;
      const double away =
          std::abs(std::stod(row.at(sampled)) - std::stod(row.at(exact))) / std::stod(row.at(se));
      if (!(away <= worst)) worst = away, where = row.at("world") + ", " + row.at("rung");
    }
    judge(compared > 0 && worst <= z,
          fmt::format(
              "{} of {} rows agrees with the exact value; worst {:.2f} standard errors ({}), allowed {}",
              sampled, compared, worst, where, z));
  }
  return all;
}

}  // namespace lowvar
