// lowvar env, as an outside checker calls it.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "command.h"
#include "envs/lunar_lander.h"
#include "envs/retro/retro.h"
#include "experiments/bike_planner.h"
#include "experiments/worlds.h"
#include "traces.h"

namespace lowvar {
namespace {

std::string listed(const std::vector<double>& x) {
  std::ostringstream out;
  out.precision(17);
  for (std::size_t i = 0; i < x.size(); ++i) out << (i ? "," : "") << x[i];
  return out.str();
}

struct Table {
  std::string header;
  std::vector<std::vector<double>> rows;
};

Table parse(const std::string& csv) {
  Table out;
  std::istringstream in(csv);
  std::getline(in, out.header);
  for (std::string line, field; std::getline(in, line);) {
    out.rows.emplace_back();
    for (std::istringstream fields(line); std::getline(fields, field, ',');)
      out.rows.back().push_back(std::stod(field));
  }
  return out;
}

/// A row of the output against a row of a trace.
void expect_row(const std::vector<double>& got, const TraceRow& want, double tolerance,
                const std::string& what) {
  std::vector<double> all = {want.reward, want.terminated * 1.0, want.truncated * 1.0};
  all.insert(all.end(), want.observation.begin(), want.observation.end());
  all.insert(all.end(), want.state.begin(), want.state.end());
  ASSERT_EQ(got.size(), all.size() + 1) << what;
  for (std::size_t i = 0; i < all.size(); ++i)
    EXPECT_LE(std::abs(got[i + 1] - all[i]), tolerance * std::max(1.0, std::abs(all[i])))
        << what << ", " << i;
  for (std::size_t i = 0; i < want.observation.size(); ++i) {
    const double obs = got[4 + i];
    EXPECT_EQ(obs, static_cast<double>(static_cast<float>(obs))) << what;
  }
}

TEST(CliEnv, ReplayFollowsWholeEpisodes) {
  const auto dir = scratch("replay");
  for (const auto& id : traced_worlds()) {
    const auto trace = read_trace(id);
    for (std::size_t begin = 0; begin < trace.size();) {
      std::size_t end = begin + 1;
      while (end < trace.size() && trace[end].t >= 0) ++end;
      const std::size_t next = end;
      end = std::min(end, begin + 201);  // beyond, an upright pole has made a last digit 1e-8
      if (end - begin > 5) {
        std::ofstream actions(dir / "actions");
        for (std::size_t i = begin + 1; i < end; ++i) actions << listed(trace[i].action) << "\n";
        actions << listed(trace[end - 1].action) << "\n";  // one more than it may take, if it has ended
        actions.close();
        const auto run = lowvar("env replay --env " + id + " --state " + listed(trace[begin].state) +
                                " --actions " + (dir / "actions").string());
        ASSERT_EQ(run.status, 0) << run.err;
        const Table table = parse(run.out);
        const bool ended = trace[end - 1].terminated || trace[end - 1].truncated;
        ASSERT_EQ(table.rows.size(), end - begin - (ended ? 1 : 0)) << id;
        EXPECT_TRUE(table.header.starts_with("t,reward,terminated,truncated,obs_0,")) << table.header;
        for (std::size_t i = begin + 1; i < end; ++i) {
          EXPECT_EQ(table.rows[i - begin - 1][0], trace[i].t);
          expect_row(table.rows[i - begin - 1], trace[i], 1e-8, id + ", t " + std::to_string(trace[i].t));
        }
      }
      begin = next;
    }
  }
}

TEST(CliEnv, ReplayTakesSingleTransitions) {
  const auto dir = scratch("transitions");
  for (const auto& id : traced_worlds()) {
    const auto trace = read_trace(id);
    std::vector<const TraceRow*> wanted;
    std::ofstream file(dir / "t");
    for (std::size_t i = 1; i < trace.size(); ++i)
      if (trace[i].t >= 0) {
        file << listed(trace[i - 1].state) << "," << listed(trace[i].action) << "\n";
        wanted.push_back(&trace[i]);
      }
    file.close();
    const auto run = lowvar("env replay --env " + id + " --transitions " + (dir / "t").string());
    ASSERT_EQ(run.status, 0) << run.err;
    const Table table = parse(run.out);
    ASSERT_EQ(table.rows.size(), wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      TraceRow want = *wanted[i];
      want.truncated = false;
      EXPECT_EQ(table.rows[i][0], static_cast<double>(i));
      expect_row(table.rows[i], want, 1e-12, id + ", t " + std::to_string(want.t));
    }
  }
}

TEST(CliEnv, ReplayOfTabularWorlds) {
  const auto dir = scratch("tabular");
  std::ofstream(dir / "right") << "1\n1\n 1 \r\n\n1\n";
  const auto rooms = lowvar("env replay --env four-rooms --state 64 --actions " + (dir / "right").string());
  EXPECT_EQ(rooms.out,
            "t,reward,terminated,truncated,obs_0,state_0\n0,0,0,0,64,64\n1,0,0,0,64,64\n2,0,0,0,64,64\n"
            "3,0,0,0,64,64\n")
      << rooms.err;
  const auto goal = lowvar("env replay --env four-rooms --state 76 --actions " + (dir / "right").string());
  EXPECT_EQ(goal.out, "t,reward,terminated,truncated,obs_0,state_0\n0,1,1,0,77,77\n");
  const std::string lake = "env replay --env FrozenLake-v1 --state 0 --actions " + (dir / "right").string();
  EXPECT_EQ(lowvar(lake + " --seed 1").out, lowvar(lake + " --seed 1").out);
  std::set<std::string> ways;
  for (int seed = 0; seed < 8; ++seed) ways.insert(lowvar(lake + " --seed " + std::to_string(seed)).out);
  EXPECT_GT(ways.size(), 3U);
}

TEST(CliEnv, RolloutOfEveryKindOfWorld) {
  for (const std::string each :
       {"CartPole-v1", "CartPole-v1 --policy random", "Pendulum-v1",
        "MountainCarContinuous-v0 --policy random", "chain", "FrozenLake-v1 --policy random",
        "Acrobot-v1 --policy init:3", "windy-grid --policy uniform"}) {
    const std::string command = "env rollout --seed 5 --env " + each + " --episodes ";
    const auto run = lowvar(command + "300", "OMP_NUM_THREADS=1");
    ASSERT_EQ(run.status, 0) << run.err;
    EXPECT_EQ(run.out, lowvar(command + "300", "OMP_NUM_THREADS=3").out) << each;
    const Table table = parse(run.out);
    EXPECT_EQ(table.header, "episode,steps,return,terminated,truncated");
    ASSERT_EQ(table.rows.size(), 300U) << each;
    for (std::size_t i = 0; i < 300; ++i) {
      EXPECT_EQ(table.rows[i][0], static_cast<double>(i));
      EXPECT_GE(table.rows[i][3] + table.rows[i][4], 1) << each;
      if (each.starts_with("CartPole")) {
        EXPECT_EQ(table.rows[i][1], table.rows[i][2]);
      }
      if (each.starts_with("Pendulum")) {
        EXPECT_EQ(table.rows[i][1], 200);
      }
    }
  }
  EXPECT_NE(lowvar("env rollout --env CartPole-v1 --seed 1").out,
            lowvar("env rollout --env CartPole-v1 --seed 2").out);
}

TEST(CliEnv, APolicysActionsAreClippedAndAReplaysAreNot) {
  const auto dir = scratch("clipped");
  // A push costs a tenth of its square; pushes are meant to be within [-1, 1], and a policy's have
  // deviation 1.
  const std::string env = " --env MountainCarContinuous-v0 ";
  const Table table = parse(lowvar("env rollout" + env + "--policy init:1 --episodes 20 --seed 3").out);
  ASSERT_EQ(table.rows.size(), 20U);
  for (const auto& row : table.rows) {  // steps, return, terminated at the goal, which pays 100
    EXPECT_GE(row[2] - 100 * row[3], -0.1 * row[1] - 1e-9);
  }
  std::ofstream(dir / "far") << "3\n";
  const auto replayed = lowvar("env replay" + env + "--state -0.5,0 --actions " + (dir / "far").string());
  ASSERT_EQ(replayed.status, 0) << replayed.err;
  EXPECT_NEAR(parse(replayed.out).rows[0][1], -0.9, 1e-12);
}

TEST(CliEnv, AStartThatIsAnEndIsAnEpisodeOfNoStepsAndCannotBeTrainedIn) {
  const auto dir = scratch("start_is_end");
  const auto mdp = dir / "over.json";
  std::ofstream(mdp) << R"({"states":3,"actions":2,"gamma":0.9,"horizon":10,"start":[0,0,1],
    "P":[[[0.5,0.5,0],[0,0,1]],[[0,0.5,0.5],[1,0,0]],[[0,0,0],[0,0,0]]],
    "R":[[0,1],[2,0],[0,0]],"terminal":[2]})";
  for (const std::string policy : {"random", "uniform"})
    EXPECT_EQ(lowvar("env rollout --episodes 2 --policy " + policy + " --env mdp:" + mdp.string()).out,
              "episode,steps,return,terminated,truncated\n0,0,0,1,0\n1,0,0,1,0\n");
  for (const std::string algorithm : {"a2c", "reinforce-baseline"}) {
    const auto run = lowvar("train " + algorithm + " --env mdp:" + mdp.string() +
                            " --steps 3000 --seeds 0 --out " + (dir / algorithm).string());
    EXPECT_EQ(run.status, 2) << run.err;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
  }
}

TEST(CliEnv, TheLunarLanderIsFlownDrawnAndReplayed) {
  if (!LunarLander::missing().empty()) GTEST_SKIP() << "needs " << LunarLander::missing();
  const auto dir = scratch("lander");
  for (const std::string id : {"LunarLander-v3", "LunarLanderContinuous-v3"}) {
    const std::string flight = "env rollout --policy heuristic --episodes 20 --seed 2 --env " + id;
    const auto run = lowvar(flight, "OMP_NUM_THREADS=1");
    ASSERT_EQ(run.status, 0) << run.err;
    EXPECT_EQ(run.out, lowvar(flight, "OMP_NUM_THREADS=2").out);
    double total = 0;
    for (const auto& row : parse(run.out).rows) total += row[2] / 20;
    EXPECT_GT(total, 180) << id;
    const auto strip = dir / (id + ".svg");
    const auto drawn =
        lowvar("env render --policy heuristic --frames 4 --env " + id + " --out " + strip.string());
    ASSERT_EQ(drawn.status, 0) << drawn.err;
    EXPECT_NE(contents(strip).find("polygon"), std::string::npos);
  }
  std::ofstream(dir / "main") << "2\n2\n0\n1\n3\n";
  const std::string replay = "env replay --env LunarLander-v3 --actions " + (dir / "main").string();
  const auto run = lowvar(replay + " --seed 4");
  ASSERT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(parse(run.out).rows.size(), 5U);
  EXPECT_NE(run.out, lowvar(replay + " --seed 5").out);
  EXPECT_EQ(lowvar(replay + " --seed 4 --state 0,0").status, 2);
  EXPECT_EQ(lowvar("env rollout --policy heuristic --env CartPole-v1").status, 2);
}

TEST(CliEnv, TrucksOfBicyclesArePlannedAndReplayed) {
  const auto dir = scratch("bicycles");
  std::ofstream(dir / "choices") << "0,0,0,0,0,0\n1,2,3,4,5,6\n";
  std::ofstream(dir / "wrong") << "0,0,0,0,0,1000\n";
  const std::string replay = "env replay --env bike-share --seed 4 --state ";
  EXPECT_EQ(lowvar(replay + "10,1 --actions " + (dir / "choices").string()).status, 2);
  const auto city = bike_share_of("bike-share");
  std::string start;
  for (int i = 0; i <= city->half_hour(); ++i)
    start += (i ? "," : "") + std::to_string(city->start()[static_cast<std::size_t>(i)]);
  const auto run = lowvar(replay + start + " --actions " + (dir / "choices").string());
  ASSERT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(parse(run.out).rows.size(), 2U);
  const auto refused = lowvar(replay + start + " --actions " + (dir / "wrong").string());
  EXPECT_EQ(refused.status, 2);
  EXPECT_NE(refused.err.find("truck 5 chooses a whole number from 0 to"), std::string::npos) << refused.err;

  if (!BikePlanner::missing().empty()) GTEST_SKIP() << "needs " << BikePlanner::missing();
  const std::string planned = "env rollout --policy heuristic --episodes 2 --env bike-share";
  const auto weeks = lowvar(planned, "OMP_NUM_THREADS=1");
  ASSERT_EQ(weeks.status, 0) << weeks.err;
  EXPECT_EQ(weeks.out, lowvar(planned, "OMP_NUM_THREADS=2").out);
  for (const auto& row : parse(weeks.out).rows) EXPECT_GT(row[2], -300);  // without trucks -2700
}

TEST(CliEnv, ReplayPlaysByRecordedDraws) {
  const auto dir = scratch("draws");
  const auto episode =
      nlohmann::json::parse(contents(LOWVAR_TEST_DATA "/minatar/seaquest_recorded.json"))["episodes"][0];
  const std::string actions = episode["actions"], played = episode["played"];
  std::ofstream asked(dir / "actions"), draws(dir / "draws");
  draws << episode["reset_draws"].dump() << "\n";
  for (std::size_t t = 0; t < actions.size(); ++t)
    asked << actions[t] << "\n", draws << episode["draws"][t].dump() << "\n";
  asked.close(), draws.close();
  const std::string files =
      " --draws " + (dir / "draws").string() + " --actions " + (dir / "actions").string();
  const auto run = lowvar("env replay --env MinAtar/Seaquest-v1" + files);
  ASSERT_EQ(run.status, 0) << run.err;
  const Table table = parse(run.out);
  EXPECT_TRUE(table.header.starts_with("t,reward,terminated,truncated,obs_0,obs_1,")) << table.header;
  EXPECT_TRUE(table.header.ends_with(",obs_999,played")) << table.header;
  ASSERT_EQ(table.rows.size(), actions.size());
  EXPECT_NE(actions, played);
  for (std::size_t t = 0; t < actions.size(); ++t) {
    EXPECT_EQ(table.rows[t].back(), played[t] - '0') << t;
    EXPECT_EQ(table.rows[t][2], t + 1 == actions.size()) << t;
  }
  // The first action is down: the submarine, channel 0, is in row 1, column 5, with its back, channel 1,
  // behind it; of ten cells of air, channel 7 in row 9, nine are full.
  const auto cell = [&](int x, int y, int channel) {
    return table.rows[0][static_cast<std::size_t>(4 + (y * 10 + x) * 10 + channel)];
  };
  EXPECT_EQ(cell(5, 1, 0), 1);
  EXPECT_EQ(cell(6, 1, 1), 1);
  for (int x = 0; x < 10; ++x) EXPECT_EQ(cell(x, 9, 7), x < 9) << x;
  // In a world of other rules these are not the draws.
  const auto breakout = lowvar("env replay --env MinAtar/Breakout-v1" + files);
  EXPECT_EQ(breakout.status, 2);
  EXPECT_NE(
      breakout.err.find("draws, line 1: there are 0 draws, and the game asks for an integer from 0 to 1"),
      std::string::npos)
      << breakout.err;
}

TEST(CliEnv, GamesInAnEmulatorAreRolledOutDrawnAndRefused) {
  // What is missing is said where nothing is to be found.
  const std::string nowhere = "LOWVAR_CORES=/nonexistent",
                    needs = "apt-get install one of libretro-nestopia for the NES";
  EXPECT_NE(lowvar("list envs", nowhere).out.find(needs), std::string::npos);
  const auto without = lowvar("env rollout --env retro:Rockbelt-Nes", nowhere);
  EXPECT_EQ(without.status, 2);
  EXPECT_NE(without.err.find(needs), std::string::npos) << without.err;
  EXPECT_NE(lowvar("list envs").out.find("retro:FOLDER"), std::string::npos);
  if (!retro::missing().empty()) GTEST_SKIP() << "needs " << retro::missing();

  const auto dir = scratch("games");
  const auto none = lowvar("env rollout --env retro:" + (dir / "none").string());
  EXPECT_EQ(none.status, 2);
  EXPECT_EQ(none.err, "lowvar: " + (dir / "none").string() + ": there is no such folder\n");
  const std::string id = "retro:Rockbelt-Nes:noop=30:sticky=0.25";
  const std::string rollout = "env rollout --policy random --episodes 4 --env " + id;
  const auto run = lowvar(rollout, "OMP_NUM_THREADS=1");
  if (run.err.find("apt-get install cc65") != std::string::npos) GTEST_SKIP() << run.err;
  ASSERT_EQ(run.status, 0) << run.err;
  EXPECT_EQ(run.out, lowvar(rollout, "OMP_NUM_THREADS=2").out);
  EXPECT_EQ(parse(run.out).rows.size(), 4U);
  const auto picture = [&](const char* name) {
    const auto drawn =
        lowvar("env render --policy random --frames 3 --env " + id + " --out " + (dir / name).string());
    EXPECT_EQ(drawn.status, 0) << drawn.err;
    return contents(dir / name);
  };
  const std::string svg = picture("a.svg"), png = "href=\"data:image/png;base64,";
  std::size_t frames = 0;
  for (auto at = svg.find(png); at != std::string::npos; at = svg.find(png, at + 1)) ++frames;
  EXPECT_EQ(frames, 3U);
  EXPECT_TRUE(picture("a.gif").starts_with("GIF89a"));
}

TEST(CliEnv, RenderDrawsAStripOfFrames) {
  const auto dir = scratch("render");
  for (const std::string id :
       {"CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "four-rooms", "CliffWalking-v0",
        "FrozenLake-random:5:1", "bombs-and-bitcoin", "MinAtar/Seaquest-v1"}) {
    const auto out = dir / (id.substr(id.find('/') + 1) + ".svg");
    const auto run = lowvar("env render --frames 3 --seed 2 --env " + id + " --out '" + out.string() + "'");
    ASSERT_EQ(run.status, 0) << run.err;
    const std::string svg = contents(out);
    EXPECT_TRUE(svg.starts_with("<svg ")) << id;
    EXPECT_NE(svg.find(">t = 0<"), std::string::npos) << id;
    EXPECT_NE(svg.find(id + ", policy "), std::string::npos) << id;
    std::size_t frames = 0;
    for (auto at = svg.find(">t = "); at != std::string::npos; at = svg.find(">t = ", at + 1)) ++frames;
    EXPECT_EQ(frames, 3U) << id;
  }
  const auto png = dir / "it's.png";
  const auto run = lowvar("env render --env CartPole-v1 --out \"" + png.string() + "\"");
  ASSERT_EQ(run.status, 0) << run.err;
  EXPECT_TRUE(contents(png).starts_with("\x89PNG\r\n"));
}

TEST(CliEnv, RenderDrawsMovingPictures) {
  const auto dir = scratch("moving");
  const auto draw = [&](const std::string& id, const std::string& name, const std::string& frames) {
    const auto run = lowvar("env render --env " + id + " --seed 1 --policy random" + frames + " --out " +
                            (dir / name).string());
    EXPECT_EQ(run.status, 0) << run.err;
    return contents(dir / name);
  };
  const std::string gif = draw("Acrobot-v1", "a.gif", " --frames 5"),
                    apng = draw("chain", "a.apng", " --frames 4");
  EXPECT_TRUE(gif.starts_with("GIF89a"));
  std::size_t frames = 0;  // each begins with its own extension that says how long it is shown: 5 hundredths
  const std::string shown("\x21\xf9\x04", 3);
  for (auto at = gif.find(shown); at != std::string::npos; at = gif.find(shown, at + 1), ++frames)
    EXPECT_EQ(gif[at + 4], 5);
  EXPECT_EQ(frames, 5U);
  EXPECT_TRUE(apng.starts_with("\x89PNG\r\n"));
  const auto control = apng.find("acTL");  // of an animated PNG, followed by how many frames there are
  ASSERT_NE(control, std::string::npos);
  EXPECT_EQ(apng[control + 7], 4);
}

TEST(CliEnv, NewWorldsAreListedAndMeasured) {
  const std::string listing = lowvar("list envs").out;
  for (const auto& id : traced_worlds()) EXPECT_NE(listing.find(id + " "), std::string::npos) << id;
  const auto dir = scratch("measured");
  for (const std::string id : {"Acrobot-v1", "MountainCar-v0", "Pendulum-v1"}) {
    const auto run = lowvar("variance --env " + id +
                            " --horizon 20 --estimators togo --trajectories 20 --out " + (dir / id).string());
    EXPECT_EQ(run.status, 0) << run.err;
  }
}

/// Each must end with exit code 2 and one line that says `says`.
struct Bad {
  const char* arguments;
  const char* says;
};

TEST(CliEnv, BadInputGetsOneSentenceAndExitCodeTwo) {
  const auto dir = scratch("bad_env");
  const auto write = [&](const char* name, const std::string& text) { std::ofstream(dir / name) << text; };
  write("ones", "1\n1\n");
  write("words", "1\nleft\n");
  write("nan", "nan\n");
  write("many", "1,1\n");
  write("three", "3\n");
  write("half", "0.5\n");
  write("short", "0,0,0,1\n");
  write("empty", "");
  write("draws", "[[\"i\",0,2,1]]\n[[\"u\",0.5]]\n[[\"i\",0,2,1]]\n");
  const Bad bad[] = {
      {"env", "replay, rollout, render"},
      {"env juggle", "juggle"},
      {"env replay --state 0 --actions DIR/ones", "--env"},
      {"env replay --env moon --state 0 --actions DIR/ones", "unknown world 'moon'"},
      {"env replay --env CartPole-v1 --state 0,0,0,0", "either --actions"},
      {"env replay --env CartPole-v1 --actions DIR/ones", "needs --state"},
      {"env replay --env CartPole-v1 --state 0,0,0,0 --transitions DIR/ones", "drop --state"},
      {"env replay --env CartPole-v1 --actions DIR/ones --transitions DIR/ones", "either --actions"},
      {"env replay --env CartPole-v1 --state 0,0,0 --actions DIR/ones", "is 4 numbers, got 3"},
      {"env replay --env CartPole-v1 --state 0,0,x,0 --actions DIR/ones", "must be finite numbers"},
      {"env replay --env CartPole-v1 --state 0,0,,0 --actions DIR/ones", "must be finite numbers"},
      {"env replay --env CartPole-v1 --state 0,0,inf,0 --actions DIR/ones", "must be finite numbers"},
      {"env replay --env CartPole-v1 --state 0,0,0,0 --actions DIR/none", "there is no such file"},
      {"env replay --env CartPole-v1 --state 0,0,0,0 --actions DIR", "not a regular file"},
      {"env replay --env CartPole-v1 --state 0,0,0,0 --actions DIR/words", "words, line 2"},
      {"env replay --env CartPole-v1 --state 0,0,0,0 --actions DIR/nan", "nan, line 1"},
      {"env replay --env CartPole-v1 --state 0,0,0,0 --actions DIR/many", "is 1 number, got 2"},
      {"env replay --env CartPole-v1 --state 0,0,0,0 --actions DIR/three", "whole number from 0 to 1, got 3"},
      {"env replay --env CartPole-v1 --state 0,0,0,0 --actions DIR/half", "whole number from 0 to 1"},
      {"env replay --env CartPole-v1 --transitions DIR/short", "4 + 1 numbers"},
      {"env replay --env FrozenLake-v1 --state 0 --actions DIR/ones", "is random; give --seed"},
      {"env replay --env FrozenLake-v1 --state 0 --actions DIR/ones --seed x", "--seed must be"},
      {"env replay --env four-rooms --state 100 --actions DIR/ones", "whole number from 0 to 99"},
      {"env replay --env four-rooms --state 1.5 --actions DIR/ones", "whole number from 0 to 99"},
      {"env replay --env MinAtar/Breakout-v1 --draws DIR/draws", "--draws goes with --actions alone"},
      {"env replay --env MinAtar/Breakout-v1 --draws DIR/draws --actions DIR/ones --seed 1", "alone"},
      {"env replay --env MinAtar/Breakout-v1 --draws DIR/none --actions DIR/ones", "there is no such file"},
      {"env replay --env MinAtar/Breakout-v1 --draws DIR/words --actions DIR/ones",
       "words, line 1: a line is a list"},
      {"env replay --env MinAtar/Breakout-v1 --draws DIR/draws --actions DIR/three", "has 3 lines of draws"},
      {"env replay --env MinAtar/Breakout-v1 --draws DIR/draws --actions DIR/ones",
       "draws, line 3: draw 1 is"},
      {"env replay --env MinAtar/Breakout-v0 --draws DIR/draws --actions DIR/three", "number from 0 to 2"},
      {"env replay --env CartPole-v1 --draws DIR/draws --actions DIR/ones", "of the worlds of MinAtar"},
      {"env replay --env MinAtar/Breakout-v1 --actions DIR/ones", "is random; give --seed"},
      {"env rollout --env CartPole-v1 --episodes 0", "--episodes must be"},
      {"env rollout --env CartPole-v1 --seed -1", "--seed must be"},
      {"env rollout --env CartPole-v1 --policy uniform", "is a table"},
      {"env rollout --env Pendulum-v1 --policy uniform", "is a table"},
      {"env rollout --env chain --policy clever", "unknown policy"},
      {"env render --env CartPole-v1", "--out"},
      {"env render --env CartPole-v1 --out DIR/x.jpg", ".svg or .png"},
      {"env render --env CartPole-v1 --out DIR/no/x.svg", "cannot write"},
      {"env render --env CartPole-v1 --out DIR/no/x.png", "cannot write"},
      {"env render --env CartPole-v1 --frames 0 --out DIR/x.svg", "--frames must be"},
      {"env render --env garnet:5:2:2:0 --out DIR/x.svg", "there is no picture of"},
      {"exact --env MountainCarContinuous-v0 --estimators togo", "a world whose model is known"},
  };
  for (const Bad& each : bad) {
    std::string arguments = each.arguments;
    for (std::size_t at; (at = arguments.find("DIR")) != std::string::npos;)
      arguments.replace(at, 3, dir.string());
    const auto run = lowvar(arguments);
    EXPECT_EQ(run.status, 2) << arguments << "\n" << run.err;
    EXPECT_NE(run.err.find(each.says), std::string::npos) << arguments << "\n" << run.err;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << arguments << "\n" << run.err;
    EXPECT_EQ(run.out, "") << arguments;
  }
  const auto fault =
      lowvar("env replay --env CartPole-v1 --state 1e308,1e308,0,0 --actions " + (dir / "ones").string());
  EXPECT_EQ(fault.status, 3) << fault.err;
  EXPECT_EQ(fault.out, "");
  EXPECT_EQ(lowvar("env replay --env Pendulum-v1 --state -0.5,-1 --actions " + (dir / "empty").string()).out,
            "t,reward,terminated,truncated,obs_0,obs_1,obs_2,state_0,state_1\n");
}

}  // namespace
}  // namespace lowvar
