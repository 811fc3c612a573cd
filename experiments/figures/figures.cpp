#include "experiments/figures/figures.h"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "experiments/script.h"

namespace lowvar {
namespace {

std::filesystem::path folder(const std::string& id) {
  return data_directory() / "experiments" / "figures" / id;
}

using Row = std::map<std::string, std::string>;

std::string contents_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  expect(in.good(), "cannot read ", path.string());
  return {std::istreambuf_iterator<char>(in), {}};
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

// ---- a judgement for each kind of claim ----

Judgement judge_equal(const std::vector<Row>& rows, const nlohmann::json& claim) {
  const std::string column = claim.at("column");
  const double got = look_up(rows, claim.at("where"), column), want = claim.at("value");
  double allowed = claim.value("tolerance", 0.0) * std::abs(want) + claim.value("absolute", 0.0);
  if (claim.contains("z"))
    allowed += claim.at("z").get<double>() * look_up(rows, claim.at("where"), claim.at("se"));
  return {std::abs(got - want) <= allowed,
          fmt::format("{}: {} = {:.12g}, expected {:.12g}", label(claim.at("where")), column, got, want)};
}

Judgement judge_between(const std::vector<Row>& rows, const nlohmann::json& claim) {
  const std::string column = claim.at("column");
  const double x = look_up(rows, claim.at("where"), column), low = claim.at("low"), high = claim.at("high");
  return {low <= x && x <= high, fmt::format("{}: {} = {:.6g}, expected from {} to {}",
                                             label(claim.at("where")), column, x, low, high)};
}

Judgement judge_match(const std::vector<Row>& rows, const nlohmann::json& claim) {
  const std::string column = claim.at("column"), to = claim.at("to");
  const auto where = claim.value("where", nlohmann::json::object());
  const double tolerance = claim.at("tolerance"), absolute = claim.value("absolute", 0.0);
  int compared = 0, apart = 0;
  for (const Row& row : rows) {
    if (row.at(column).empty() || row.at(to).empty() || !matches(row, where)) continue;
    const double x = std::stod(row.at(column)), y = std::stod(row.at(to));
    double allowed = tolerance * std::abs(y) + absolute;
    if (claim.contains("z")) allowed += claim.at("z").get<double>() * std::stod(row.at(claim.at("se")));
    ++compared;
    apart += !(std::abs(x - y) <= allowed);
  }
  return {compared > 0 && apart == 0,
          fmt::format("{}{}{} = {} in {} of {} rows", label(where), where.empty() ? "" : ": ", column, to,
                      compared - apart, compared)};
}

Judgement judge_ordered(const std::vector<Row>& rows, const nlohmann::json& claim) {
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
  return {falls, fmt::format("{}: {} falls, {}", label(claim.at("where")), column, shown)};
}

Judgement judge_agree(const std::vector<Row>& rows, const nlohmann::json& claim) {
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
  return {
      compared > 0 && apart == 0,
      fmt::format("{} of {} rows agrees with the exact value; worst {:.2f} standard errors ({}), allowed {}",
                  sampled, compared, worst, where, z)};
}

}  // namespace

bool draw(OutputDirectory& directory, const std::string& stem, const std::string& script,
          const std::vector<std::string>& arguments) {
  const std::string files[] = {stem + ".svg", stem + ".png"};
  const auto remove = [&] {  // what an earlier run drew, or this one in part
    std::error_code ignored;
    for (const auto& each : files) std::filesystem::remove(directory.path() / each, ignored);
  };
  remove();
  const std::string wrong = run_script("figures/" + script, arguments);
  if (wrong.empty()) {
    for (const auto& each : files) directory.adopt(each);
    return true;
  }
  remove();
  say(fmt::format(
      "note: {} was not drawn ({}); the results are whole, and with matplotlib (on Debian: apt-get "
      "install python3-matplotlib) this draws them: {}\n",
      files[0], wrong, script_command("figures/" + script, arguments)));
  return false;
}

std::vector<Judgement> check_claims(const std::string& id, const std::filesystem::path& csv) {
  const auto expected = nlohmann::json::parse(contents_of(folder(id) / "expected.json"));
  const std::vector<Row> rows = parse_csv(contents_of(csv));
  std::vector<Judgement> out;
  for (const auto& [kind, judge] : {std::pair("equal", &judge_equal),
                                    {"between", &judge_between},
                                    {"match", &judge_match},
                                    {"ordered", &judge_ordered},
                                    {"agree", &judge_agree}})
    for (const auto& claim : expected.value(kind, nlohmann::json::array())) out.push_back(judge(rows, claim));
  return out;
}

Reproduction publish(const std::string& id, OutputDirectory& directory, const Csv& csv, bool check,
                     std::string text) {
  directory.write(id + ".csv", csv.text());
  const bool drawn = draw(directory, id, id + "/plot.py", {directory.path().string()});
  Reproduction out{0, std::move(text)};
  if (check)
    for (const auto& [holds, claim] : check_claims(id, directory.path() / (id + ".csv"))) {
      out.text += fmt::format("{}  {}\n", holds ? "holds" : "FAILS", claim);
      if (!holds) out.status = 1;
    }
  directory.finish(out.status);
  out.text += fmt::format("wrote {}\n", (directory.path() / (id + (drawn ? ".svg" : ".csv"))).string());
  return out;
}

Estimate mean_of(std::span<const double> x) {
  const auto n = static_cast<double>(x.size());
  double mean = 0, squares = 0;
  for (const double each : x) mean += each / n, squares += each * each / n;
  return {mean, std::sqrt((squares - mean * mean) / (n - 1))};
}

}  // namespace lowvar
