// The figures: each is a folder with run.cpp (computes), plot.py (draws), README.md (claims) and
// expected.json (judges).
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "algorithms/measure/moments.h"
#include "experiments/output.h"

namespace lowvar {

enum class Effort { smoke, quick, full };

/// The number that goes with the effort.
inline long choose(Effort effort, long smoke, long quick, long full) {
  return effort == Effort::smoke ? smoke : effort == Effort::quick ? quick : full;
}

/// What came of a figure: the exit status, 1 where a claim was judged and fails, and what there is to print.
struct Reproduction {
  int status;
  std::string text;
};

struct Figure {
  std::string id;
  std::string description;
  /// Writes the data and the figure to a directory, and judges its claims where `check`.
  Reproduction (*run)(Effort effort, bool check, const std::filesystem::path& out);
};

/// Those that `lowvar reproduce` knows by name (list.cpp).
const std::vector<Figure>& figures();

/// Draws what the manifest of a run says, a figure or its learning curves, into its directory: STEM.svg and
/// STEM.png, by a script of figures/. Whether that succeeded: where not, as without matplotlib, neither is
/// there, and standard error says why and how to draw them.
bool draw(OutputDirectory& directory);
/// The same of a finished run, whose outputs.json is then that of a run that could draw. Throws Error where
/// the command has no picture or it cannot be drawn, and as `amend` does.
void draw(const std::filesystem::path& directory);

/// A claim, in words, and whether it holds.
struct Judgement {
  bool holds;
  std::string claim;
};

/// Judges a CSV of results by the claims of figures/ID/expected.json. Its lists of claims, all optional:
///   equal    {where, column, value, tolerance = 0, absolute = 0, z = 0, se}:
///            |x - value| <= tolerance |value| + absolute + z times the standard error in the column se
///   between  {where, column, low, high}: low <= x <= high
///   ordered  {where, along, list, column, factor}: x falls along the list, each time by the factor or more
///   match    {column, to, tolerance, absolute = 0, z = 0, se, where = {}}: as `equal`, of two columns, on
///            every row that has both
///   agree    {sampled, se, exact, z, where = {}, name = [world, rung]}: |sampled - exact| <= z se on every
///            row that has both; `name` are the columns that name the worst
/// `where` chooses rows: each of its keys is a column and each value the text to be found there. The first
/// three speak of one row each time.
std::vector<Judgement> check_claims(const std::string& id, const std::filesystem::path& csv);

/// Writes ID.csv, draws it by ID/plot.py, judges it if `check`, and closes the directory. The judgements come
/// after `text`.
Reproduction publish(const std::string& id, OutputDirectory& directory, const Csv& csv, bool check,
                     std::string text);

/// The mean of equally good numbers, and its standard error.
Estimate mean_of(std::span<const double> x);

}  // namespace lowvar
