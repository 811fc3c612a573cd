// CSV files: what is written is read back, and a row that does not fit its columns is refused by a sentence.
// Parts: how one that a fault ends is left.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numbers>

#include "core/error.h"
#include "experiments/output.h"
#include "experiments/parts.h"

namespace lowvar {
namespace {

/// What the Error says that `action` throws; empty where it throws none.
template <class Action>
std::string complaint(Action action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Csv, PutsFieldsUnderTheirColumnsInAnyOrder) {
  Csv csv({"a", "b", "c"});
  csv.add({{"c", "x"}, {"a", 1}, {"b", 0.1}});
  csv.add_some({{"b", std::uint64_t{1} << 63}});
  csv.add({{"a", NAN}, {"b", std::optional<double>()}, {"c", std::optional(std::numbers::pi)}});
  EXPECT_EQ(csv.text(), "a,b,c\n1,0.10000000000000001,x\n,9223372036854775808,\n,,3.1415926535897931\n");
}

TEST(Csv, ComesBackWhateverIsInItsFields) {
  const std::string fields[] = {"",   "plain", "a,b", "\"quoted\"", "a \"b\" c",   "two\nlines",  "\r\n",
                                "\"", "\"\"",  ",",   "\n",         "µ, \"σ²\"\n", "end quote\"", " spaces "};
  Csv csv({"first, \"1\"", "second"});
  for (const auto& x : fields)
    for (const auto& y : fields) csv.add({{"first, \"1\"", x}, {"second", y}});
  const auto rows = parse_csv(csv.text());
  ASSERT_EQ(rows.size(), std::size(fields) * std::size(fields));
  std::size_t i = 0;
  for (const auto& x : fields)
    for (const auto& y : fields) {
      EXPECT_EQ(rows[i].at("first, \"1\""), x);
      EXPECT_EQ(rows[i++].at("second"), y);
    }
}

TEST(Csv, QuotesAsTheStandardSays) {
  Csv csv({"x", "y"});
  csv.add({{"x", "a,\"b\""}, {"y", "1\n2"}});
  EXPECT_EQ(csv.text(), "x,y\n\"a,\"\"b\"\"\",\"1\n2\"\n");
}

TEST(Csv, RefusesARowThatDoesNotFit) {
  Csv csv({"a", "b"});
  EXPECT_EQ(complaint([&] { csv.add({{"a", 1}}); }), "a CSV row lacks the column 'b'");
  EXPECT_EQ(complaint([&] {
              csv.add({{"a", 1}, {"b", 2}, {"c", 3}});
            }),
            "a CSV row names the column 'c', and there are: a, b");
  EXPECT_EQ(complaint([&] { csv.add({{"a", 1}, {"a", 2}}); }), "a CSV row names the column 'a' twice");
  EXPECT_EQ(complaint([&] {
              csv.add_some({{"d", 1}});
            }),
            "a CSV row names the column 'd', and there are: a, b");
  EXPECT_EQ(complaint([&] { csv.add_some({{"b", 1}, {"b", 2}}); }), "a CSV row names the column 'b' twice");
  EXPECT_EQ(complaint([] {
              Csv({"a", "b", "a"});
            }),
            "a CSV file has one column of each name, and 'a' is there twice");
  EXPECT_EQ(csv.text(), "a,b\n") << "a row that was refused is not there";
  EXPECT_EQ(complaint([] { parse_csv("a,b\n1,2\n3\n"); }),
            "row 2 of a CSV file has 1 fields, and there are 2 columns");
}

/// A figure that a part of it ends is finished, with status 3, and nothing else.
TEST(Parts, ANumericalFaultFinishesTheRun) {
  const auto path = std::filesystem::temp_directory_path() / ("lowvar_parts_" + std::to_string(::getpid()));
  for (const bool faulty : {true, false}) {
    OutputDirectory directory(path, {{"faulty", faulty}});
    Parts parts(directory);
    Csv csv({"a"});
    std::string text;
    const auto fail = [&] {
      if (faulty) throw NumericalFault("not finite");
      throw Error("wrong");
    };
    parts(csv, text, [] {});
    EXPECT_ANY_THROW(parts(csv, text, fail));
    EXPECT_EQ(std::filesystem::exists(path / "outputs.json"), faulty);
    if (faulty) {
      EXPECT_EQ(read_json(path / "outputs.json").at("status"), 3);
      EXPECT_THROW(expect_no_fault(path), NumericalFault);
    }
    std::filesystem::remove_all(path);
  }
}

}  // namespace
}  // namespace lowvar
