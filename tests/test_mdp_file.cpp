// MDP files: what is read, and every way a file can be wrong.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "envs/tabular.h"

namespace lowvar {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

/// A directory of this test's own, removed with it.
class MdpFile : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("lowvar_mdp_file_" + std::to_string(getpid()) + "_" +
                                              testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string path() const { return (directory_ / "world.json").string(); }

  Mdp read(const std::string& text) const {
    std::ofstream(path(), std::ios::binary) << text;
    return read_mdp(path());
  }

  /// The error's sentence, less the path it must begin with.
  std::string refusal(const std::string& text) const {
    try {
      read(text);
    } catch (const Error& e) {
      const std::string what = e.what();
      EXPECT_EQ(what.rfind(path() + ": ", 0), 0u) << what;
      EXPECT_EQ(what.find('\n'), std::string::npos) << what;
      EXPECT_LT(what.size(), path().size() + 300) << what;
      return what.substr(std::min(what.size(), path().size() + 2));
    }
    return "accepted";
  }
  std::string refusal(const Json& document) const { return refusal(document.dump()); }

  fs::path directory_;
};

/// Two states, two actions; state 1 is terminal.
Json good() {
  return Json::parse(R"({"states": 2, "actions": 2, "gamma": 0.9, "horizon": 5, "start": [1, 0],
                         "P": [[[0.25, 0.75], [1, 0]], [[0, 0], [-3, 17]]],
                         "R": [[1, 2], [0, 0]], "terminal": [1]})");
}

Json with(const char* pointer, const Json& value) {
  Json document = good();
  document[Json::json_pointer(pointer)] = value;
  return document;
}

TEST_F(MdpFile, ReadsRewardsOfActionsAndIgnoresTerminalRows) {
  const Mdp mdp = read(good().dump());
  EXPECT_EQ(mdp.S, 2);
  EXPECT_EQ(mdp.A, 2);
  EXPECT_EQ(mdp.gamma, 0.9);
  EXPECT_EQ(mdp.T, 5);
  EXPECT_EQ(mdp.start, (std::vector<double>{1, 0}));
  EXPECT_EQ(mdp.terminal, (std::vector<char>{0, 1}));
  ASSERT_EQ(mdp.outcomes(0, 0).size(), 2u);
  EXPECT_EQ(mdp.outcomes(0, 0)[1].next, 1);
  EXPECT_EQ(mdp.outcomes(0, 0)[1].probability, 0.75);
  EXPECT_EQ(mdp.outcomes(0, 0)[1].reward, 1);
  ASSERT_EQ(mdp.outcomes(0, 1).size(), 1u);
  EXPECT_EQ(mdp.outcomes(0, 1)[0].reward, 2);
  EXPECT_TRUE(mdp.outcomes(1, 1).empty());
}

TEST_F(MdpFile, ReadsRewardsOfTransitions) {
  const Mdp mdp = read(with("/R", Json::parse("[[[1, 2], [3, 4]], [[0, 0], [0, 0]]]")).dump());
  EXPECT_EQ(mdp.outcomes(0, 0)[0].reward, 1);
  EXPECT_EQ(mdp.outcomes(0, 0)[1].reward, 2);
  EXPECT_EQ(mdp.outcomes(0, 1)[0].reward, 3);
}

TEST_F(MdpFile, RefusesWhatIsNoFile) {
  const auto sentence = [](const std::string& p) {
    try {
      read_mdp(p);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(sentence(path()), path() + ": there is no such file");
  EXPECT_EQ(sentence(directory_.string()), directory_.string() + ": not a regular file");
  EXPECT_EQ(sentence("/dev/zero"), "/dev/zero: not a regular file");
  EXPECT_EQ(sentence(""), ": there is no such file");
  std::ofstream(path()) << "{";
  fs::resize_file(path(), (std::uintmax_t{512} << 20) + 1);
  EXPECT_EQ(sentence(path()), path() + ": larger than 512 MB");
}

TEST_F(MdpFile, RefusesWhatIsNoJson) {
  EXPECT_EQ(refusal(std::string()).rfind("not valid JSON: parse error at line 1, column 1", 0), 0u);
  const std::string text = good().dump();
  for (std::size_t n = 0; n < text.size(); ++n) EXPECT_NE(refusal(text.substr(0, n)), "accepted") << n;
  EXPECT_EQ(refusal(text + "x").rfind("not valid JSON: parse error at line 1, column", 0), 0u);
  EXPECT_NE(refusal(std::string("\0\xff\x80", 3)), "accepted");
  EXPECT_NE(refusal("{\"" + std::string(100'000, 'a') + "\xff"), "accepted");
  EXPECT_EQ(refusal(std::string(1'000'000, '[')), "nested deeper than [states][actions][states]");
  EXPECT_EQ(refusal(std::string("[1, 2]")), "the file must hold one JSON object, got array");
  EXPECT_EQ(refusal(std::string("7")), "the file must hold one JSON object, got number");
}

TEST_F(MdpFile, RefusesMissingRepeatedAndUnknownKeys) {
  const Json whole = good();
  for (const auto& [key, value] : whole.items()) {
    Json document = whole;
    document.erase(key);
    EXPECT_EQ(refusal(document), "the key \"" + key + "\" is missing");
    const std::string text = whole.dump();
    EXPECT_EQ(refusal(text.substr(0, text.size() - 1) + ",\"" + key + "\":1}"),
              "\"" + key + "\" occurs twice");
  }
  EXPECT_EQ(refusal(with("/horizn", 4)), "unknown key \"horizn\"");
}

TEST_F(MdpFile, RefusesSizes) {
  for (const char* bad : {"0", "-1", "2.5", "2.0", "1e30", "100001", "18446744073709551615",
                          "99999999999999999999999", "null", "true", "\"2\"", "[2]", "{}"}) {
    const Json value = Json::parse(bad);
    EXPECT_EQ(
        refusal(with("/states", value)).rfind("states must be a whole number from 1 to 100000, got ", 0), 0u)
        << bad;
    EXPECT_EQ(
        refusal(with("/actions", value)).rfind("actions must be a whole number from 1 to 10000, got ", 0), 0u)
        << bad;
    if (value == 100001) continue;
    EXPECT_EQ(
        refusal(with("/horizon", value)).rfind("horizon must be a whole number from 1 to 1000000, got ", 0),
        0u)
        << bad;
  }
  EXPECT_EQ(refusal(with("/horizon", 1000001)),
            "horizon must be a whole number from 1 to 1000000, got 1000001");
  EXPECT_EQ(refusal(with("/states", 10000)),
            "10000 states x 2 actions x 10000 states is more than the 2e7 transitions a file may have");
  EXPECT_EQ(refusal(with("/states", 3)), "start must have 3 entries, got 2");
}

TEST_F(MdpFile, RefusesShapes) {
  EXPECT_EQ(refusal(with("/start", 1)), "start must be an array, got number");
  EXPECT_EQ(refusal(with("/terminal", 1)), "terminal must be an array, got number");
  EXPECT_EQ(refusal(with("/P", Json::array())), "P must have 2 entries, got 0");
  EXPECT_EQ(refusal(with("/P", {{"a", 1}})), "P must be an array, got object");
  EXPECT_EQ(refusal(with("/P/1", nullptr)), "P[1] must be an array, got null");
  EXPECT_EQ(refusal(with("/P/1/0", Json::parse("[0, 0, 0]"))), "P[1][0] must have 2 entries, got 3");
  EXPECT_EQ(refusal(with("/P/0/1", 1)), "P[0][1] must be an array, got number");
  EXPECT_EQ(refusal(with("/P/0/1/0", "1")), "P[0][1][0] must be a number, got string");
  EXPECT_EQ(refusal(with("/P/0/1/0", Json::array({1}))), "nested deeper than [states][actions][states]");
  EXPECT_EQ(refusal(with("/R/0", Json::parse("[1]"))), "R[0] must have 2 entries, got 1");
  EXPECT_EQ(refusal(with("/R/1/0", Json::parse("[1, 2]"))), "R[1][0] must be a number, got array");
  EXPECT_EQ(refusal(with("/R/0/0", Json::parse("[1, 2]"))), "R[0][1] must be an array, got number");
  EXPECT_EQ(refusal(with("/R/0/0", true)), "R[0][0] must be a number, got boolean");
}

TEST_F(MdpFile, RefusesNumbers) {
  EXPECT_EQ(refusal(with("/gamma", 1.0000001)), "gamma must lie in [0, 1], got 1.0000001");
  EXPECT_EQ(refusal(with("/gamma", -0.1)), "gamma must lie in [0, 1], got -0.1");
  EXPECT_EQ(refusal(with("/gamma", "0.9")), "gamma must be a number, got string");
  EXPECT_EQ(refusal(with("/start", Json::parse("[0.5, 0.4]"))),
            "start sums to 0.9, but must sum to 1 within 1e-9 (off by -0.1)");
  EXPECT_EQ(refusal(with("/start", Json::parse("[1.5, -0.5]"))),
            "start[1] is -0.5, but a probability cannot be negative");
  EXPECT_EQ(refusal(with("/P/0/0", Json::parse("[1.5, -0.5]"))),
            "P[0][0][1] is -0.5, but a probability cannot be negative");
  EXPECT_EQ(refusal(with("/P/0/0", Json::parse("[0.25, 0.5]"))),
            "P[0][0] sums to 0.75, but must sum to 1 within 1e-9 (off by -0.25)");
  EXPECT_EQ(refusal(with("/P/0/0", Json::parse("[0.25, 0.75000001]"))).rfind("P[0][0] sums to 1.00000001", 0),
            0u);
  EXPECT_EQ(refusal(with("/P/0/0", Json::parse("[0.25, 0.7500000001]"))), "accepted");
  for (const char* bad : {"2", "-1", "0.5", "\"0\"", "null", "4294967297"})
    EXPECT_EQ(refusal(with("/terminal/0", Json::parse(bad)))
                  .rfind("terminal[0] must be a state from 0 to 1, got ", 0),
              0u)
        << bad;
  for (const char* bad : {"1e999", "-1e999", "NaN", "Infinity", "nan"}) {
    std::string text = good().dump();
    text.replace(text.find("0.75"), 4, bad);
    EXPECT_EQ(refusal(text).rfind("not valid JSON: ", 0), 0u) << refusal(text);
  }
}

}  // namespace
}  // namespace lowvar
