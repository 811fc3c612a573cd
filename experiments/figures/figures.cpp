#include "experiments/figures/figures.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/processes.h"
#include "experiments/script.h"

namespace lowvar {
namespace {

std::filesystem::path folder(const std::string& id) {
  return data_directory() / "experiments" / "figures" / id;
}

using Row = std::map<std::string, std::string>;

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

// ---- drawing ----

/// STEM.svg and STEM.png, by a script of figures/.
struct Drawing {
  std::string stem, script;
  std::vector<std::string> arguments;

  std::vector<std::string> files() const { return {stem + ".svg", stem + ".png"}; }

  void remove_from(const std::filesystem::path& directory) const {
    std::error_code ignored;
    for (const auto& each : files()) std::filesystem::remove(directory / each, ignored);
  }

  /// Empty where both are in the directory, else why neither is.
  std::string draw_into(const std::filesystem::path& directory) const {
    remove_from(directory);  // what an earlier run drew
    const std::string wrong = run_script("figures/" + script, arguments);
    if (!wrong.empty()) remove_from(directory);
    return wrong;
  }
};

/// What is drawn of the run that a directory holds; nothing where its command draws nothing.
std::optional<Drawing> drawing_of(const std::filesystem::path& directory) {
  const auto manifest = read_json(directory / "manifest.json");
  const auto config = manifest.is_object() ? manifest.value("config", nlohmann::ordered_json()) : manifest;
  for (const Figure& figure : figures())
    if (config.is_object() && config.value("figure", "") == figure.id)
      return Drawing{figure.id, figure.id + "/plot.py", {directory.string()}};
  Drawing curves{"learning_curve", "learning_curve.py", {directory.string()}};
  if (config.contains("algorithm")) {
    curves.arguments.push_back(directory.string());
    return curves;
  }
  if (!config.contains("runs")) return std::nullopt;
  const auto machine = read_json(directory / "machine.json");
  const std::filesystem::path from = machine.is_object() ? machine.value("directory", "") : "";
  for (const std::string run : config.at("runs")) curves.arguments.push_back((from / run).string());
  return curves;
}

}  // namespace

bool draw(OutputDirectory& directory) {
  if (!root()) return true;
  const auto drawing = drawing_of(directory.path());
  if (!drawing) return false;
  const std::string wrong = drawing->draw_into(directory.path());
  if (!wrong.empty()) directory.expect_time();  // the script was asked to stop, too
  if (wrong.empty())
    for (const auto& each : drawing->files()) directory.adopt(each);
  else
    say(
        fmt::format("note: {}.svg was not drawn ({}); the results are whole, and with matplotlib (on Debian: "
                    "apt-get install python3-matplotlib) this draws it: lowvar draw {}\n",
                    drawing->stem, wrong, shell_word(directory.path().string())));
  return wrong.empty();
}

void draw(const std::filesystem::path& directory) {
  const auto drawing = drawing_of(directory);
  amend(directory, drawing ? drawing->files() : std::vector<std::string>{}, [&] {
    expect(drawing.has_value(), directory.string(),
           " holds nothing to draw: train, compare and reproduce have pictures");
    const std::string wrong = drawing->draw_into(directory);
    expect(wrong.empty(), drawing->stem, ".svg was not drawn (", wrong,
           "); on Debian, apt-get install python3-matplotlib brings what it needs");
  });
}

std::vector<Judgement> check_claims(const std::string& id, const std::filesystem::path& csv) {
  const auto expected = nlohmann::json::parse(read_file(folder(id) / "expected.json"));
  const std::vector<Row> rows = parse_csv(read_file(csv));
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
  const bool drawn = draw(directory);
  Reproduction out{0, std::move(text)};
  if (check && root())
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
