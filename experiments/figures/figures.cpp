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
  return data_directory() / "experiments" / "figures" / id;
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

bool matches(const Row& row, const nlohmann::json& where) {
  for (const auto& [key, value] : where.items())
    if (row.at(key) != value.get<std::string>()) return false;
  return true;
}

/// The number of `column` in the only row where every key of `where` has its value; where there is no such
/// row, or several, or no number in it, NaN, of which no claim holds.
double look_up(const std::vector<Row>& rows, const nlohmann::json& where, const std::string& column) {
  const Row* found = nullptr;
  for (const Row& row : rows) {
    if (!matches(row, where)) continue;
    if (found) return std::nan("");
    found = &row;
  }
  return !found || found->at(column).empty() ? std::nan("") : std::stod(found->at(column));
}

std::string label(const nlohmann::json& where) {
  std::string out;
  for (const auto& [key, value] : where.items()) out += (out.empty() ? "" : ", ") + value.get<std::string>();
  return out;
}

}  // namespace

void draw_with(const std::string& script, const std::vector<std::string>& arguments) {
  std::string command = fmt::format("SOURCE_DATE_EPOCH=0 /usr/bin/python3 '{}'", folder(script).string());
  for (const auto& each : arguments) command += fmt::format(" '{}'", each);
  expect(std::system(command.c_str()) == 0, "drawing failed: ", command);
}

void draw(const std::string& id, const std::filesystem::path& out) {
  draw_with(id + "/plot.py", {out.string()});
}

bool check_claims(const std::string& id, const std::filesystem::path& csv, std::FILE* report) {
  std::ifstream in(folder(id) / "expected.json");
  const auto expected = nlohmann::json::parse(in);
  const auto rows = read_csv(csv);
  bool all = true;
  const auto judge = [&](bool holds, const std::string& what) {
    if (report) fmt::print(report, "{}  {}\n", holds ? "holds" : "FAILS", what);
    all = all && holds;
  };
  for (const auto& claim : expected.value("equal", nlohmann::json::array())) {
    const double got = look_up(rows, claim.at("where"), claim.at("column")), want = claim.at("value");
    const double tolerance = claim.value("tolerance", 0.0);
    double absolute = claim.value("absolute", 0.0);
    if (claim.contains("z"))
      absolute += claim.at("z").get<double>() * look_up(rows, claim.at("where"), claim.at("se"));
    judge(std::abs(got - want) <= tolerance * std::abs(want) + absolute,
          fmt::format("{}: {} = {:.12g}, expected {:.12g}", label(claim.at("where")),
                      std::string(claim.at("column")), got, want));
  }
  for (const auto& claim : expected.value("between", nlohmann::json::array())) {
    const double x = look_up(rows, claim.at("where"), claim.at("column"));
    const double low = claim.at("low"), high = claim.at("high");
    judge(low <= x && x <= high,
          fmt::format("{}: {} = {:.6g}, expected from {} to {}", label(claim.at("where")),
                      std::string(claim.at("column")), x, low, high));
  }
  for (const auto& claim : expected.value("match", nlohmann::json::array())) {
    const std::string column = claim.at("column"), to = claim.at("to");
    const auto where = claim.value("where", nlohmann::json::object());
    const double tolerance = claim.at("tolerance");
    int compared = 0, apart = 0;
    for (const Row& row : rows) {
      if (row.at(column).empty() || row.at(to).empty() || !matches(row, where)) continue;
      const double x = std::stod(row.at(column)), y = std::stod(row.at(to));
      ++compared;
      apart += !(std::abs(x - y) <= tolerance * std::abs(y));
    }
    judge(compared > 0 && apart == 0,
          fmt::format("{} = {} in {} of {} rows", column, to, compared - apart, compared));
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
    const auto chosen = claim.value("where", nlohmann::json::object());
    const auto name = claim.value("name", std::vector<std::string>{"world", "rung"});
    const double z = claim.at("z");
    double worst = -1;
    int compared = 0, apart = 0;
    std::string where;
    for (const Row& row : rows) {
      if (row.at(sampled).empty() || row.at(exact).empty() || !matches(row, chosen)) continue;
      ++compared;
      const double off = std::abs(std::stod(row.at(sampled)) - std::stod(row.at(exact)));
      const double error = row.at(se).empty() ? std::nan("") : std::stod(row.at(se));
      apart += !(off <= z * error);
      const double away = off == 0 ? 0 : off / error;
      if (away <= worst) continue;
      worst = away;
      where.clear();
      for (const auto& column : name) where += (where.empty() ? "" : ", ") + row.at(column);
    }
    judge(compared > 0 && apart == 0,
          fmt::format(
              "{} of {} rows agrees with the exact value; worst {:.2f} standard errors ({}), allowed {}",
              sampled, compared, worst, where, z));
  }
  return all;
}

int publish(const std::string& id, OutputDirectory& directory, const Csv& csv, bool check) {
  directory.write(id + ".csv", csv.text());
  draw(id, directory.path());
  for (const char* extension : {".svg", ".png"}) directory.adopt(id + extension);
  const int status = check && !check_claims(id, directory.path() / (id + ".csv")) ? 1 : 0;
  directory.finish(status);
  fmt::print("wrote {}\n", (directory.path() / (id + ".svg")).string());
  return status;
}

}  // namespace lowvar
