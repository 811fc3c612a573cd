// Every figure, small: its claims hold, and its directory is the same bytes for any number of threads.
#include <gtest/gtest.h>

#include "command.h"
#include "experiments/figures/figures.h"

namespace lowvar {
namespace {

class EveryFigure : public testing::TestWithParam<Figure> {};

TEST_P(EveryFigure, HoldsItsClaimsWithTheSameBytesForAnyNumberOfThreads) {
  const std::string id = GetParam().id;
  const auto out = scratch("figure_" + id);
  for (const char* threads : {"1", "2"}) {
    const auto run = lowvar("reproduce " + id + " --smoke --check --out " + (out / threads).string(),
                            std::string("OMP_NUM_THREADS=") + threads);
    EXPECT_EQ(run.status, 0) << run.out << run.err;
    EXPECT_NE(run.out.find("holds"), std::string::npos) << "no claim was judged";
  }
  const auto one = files(out / "1"), two = files(out / "2");
  for (const char* name : {".csv", ".svg", ".png"}) EXPECT_TRUE(one.contains(id + name)) << id << name;
  EXPECT_EQ(one, two);
}

TEST(Figures, AReaderWhoHasGoneTakesNoneAlong) {
  const auto out = scratch("figure_unread");
  const auto run = unread("reproduce ladder --smoke --check --out " + out.string());
  EXPECT_EQ(run.status, 2) << run.err;
  EXPECT_TRUE(std::filesystem::exists(out / "outputs.json"));
}

INSTANTIATE_TEST_SUITE_P(Figures, EveryFigure, testing::ValuesIn(figures()), [](const auto& case_) {
  std::string name = case_.param.id;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace lowvar
