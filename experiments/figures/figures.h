// The figures: each is a folder with run.cpp (computes), plot.py (draws), README.md (claims) and
// expected.json (judges).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lowvar {

enum class Effort { smoke, quick, full };

struct Figure {
  std::string id;
  std::string description;
  /// Writes the data and the figure to a directory; the exit status, 1 where `check` finds a claim that
  /// fails.
  int (*run)(Effort effort, bool check, const std::filesystem::path& out);
};

int run_ladder(Effort effort, bool check, const std::filesystem::path& out);

inline const std::vector<Figure>& figures() {
  static const std::vector<Figure> all = {
      {"ladder", "the variance ladder: variance, bias and cost from REINFORCE to PPO", run_ladder},
  };
  return all;
}

/// Runs figures/ID/plot.py on the directory of results.
void draw(const std::string& id, const std::filesystem::path& out);

/// Judges a CSV of results by the claims of figures/ID/expected.json and prints a line for each. True if all
/// hold.
bool check_claims(const std::string& id, const std::filesystem::path& csv);

}  // namespace lowvar
