#include "tests/fuzz/targets.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>

#include "algorithms/measure/updates.h"
#include "envs/retro/game.h"
#include "envs/sequences.h"
#include "envs/tabular.h"
#include "experiments/checkpoint.h"
#include "experiments/cli/cli.h"
#include "experiments/models.h"
#include "experiments/training_run.h"
#include "experiments/worlds.h"

namespace lowvar::fuzz {
namespace {

/// A directory of this process, removed with it.
struct Directory {
  std::filesystem::path path;
  Directory() : path(std::filesystem::temp_directory_path() / join("lowvar-fuzz-", getpid())) {
    std::filesystem::create_directories(path);
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

/// The path of a file of these bytes, until the next of that name.
std::string file_of(const std::string& bytes, const char* name = "input") {
  static const Directory directory;
  const std::string path = (directory.path / name).string();
  std::filesystem::remove(path);  // ext4 waits for the disk where a file is written over
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

/// Of short episodes, so that whatever is read may also act.
const std::vector<World>& short_worlds() {
  static const std::vector<World> all = [] {
    std::vector<World> out;
    for (const char* each : {"chain", "CartPole-v1", "Pendulum-v1", "double-integrator"})
      out.push_back(make_world(each, {}, 3));
    return out;
  }();
  return all;
}
const World& world(const std::string& id) {
  return *std::find_if(short_worlds().begin(), short_worlds().end(),
                       [&](const World& w) { return w.id == id; });
}

/// The algorithm that the first byte chooses, in a world that suits it, and the other bytes.
struct Chosen {
  const World& world;
  std::unique_ptr<Algorithm> algorithm;
  std::string rest;

  explicit Chosen(const std::string& bytes) : Chosen(bytes, id_of(bytes)) {}

 private:
  static std::string id_of(const std::string& bytes) {
    const auto first = static_cast<unsigned char>(bytes.empty() ? 0 : bytes[0]);
    return algorithms()[first % algorithms().size()].id;
  }
  Chosen(const std::string& bytes, const std::string& id)
      : world(fuzz::world(id == "ddpg"  ? "Pendulum-v1"
                          : id == "apg" ? "double-integrator"
                                        : "CartPole-v1")),
        algorithm(make_algorithm(id, world)),
        rest(bytes.empty() ? "" : bytes.substr(1)) {}
};

/// As a user types it; what is neither an answer nor a refusal is thrown.
void command(std::vector<std::string> words) {
  words.insert(words.begin(), "lowvar");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const int status = run_command_line(static_cast<int>(words.size()), argv.data());
  if (status < 0 || status > 3) throw std::logic_error(join("exit code ", status));
}

/// Nothing can be written there.
constexpr const char* nowhere = "/dev/null/nowhere";

// ---- the targets ----

void mdp(const std::string& bytes) {
  const Mdp read = read_mdp(file_of(bytes));
  if (1.0 * read.S * read.A * read.T > 1e5) return;
  command({"exact", "--env", "mdp:" + file_of(bytes), "--estimators", "reinforce,td"});
}

/// A world of answers; or, where the first byte is odd, logits of a policy of one.
void sequences(const std::string& bytes) {
  if (bytes.empty()) return;
  const std::string path = file_of(bytes.substr(1));
  if (bytes[0] % 2) {
    static const World answers = make_world("seq-31", {}, {});
    make_policy(answers, "tied:" + path);
    return;
  }
  const SequenceWorld read = read_sequences(path);
  if (1.0 * read.mdp.S * read.mdp.A * read.mdp.T > 1e3) return;
  command({"exact", "--env", "seq:" + path, "--estimators", "reinforce"});
}

/// A game's numbers, read from memory; or, where the first byte is odd, a scenario of two of them.
void game(const std::string& bytes) {
  if (bytes.empty()) return;
  const std::string path = file_of(bytes.substr(1));
  if (bytes[0] % 2 == 0) {
    const std::uint8_t memory[] = {0xff, 0x80, 0x7f, 0x99, 0xfa, 0, 1, 0xff};
    for (const auto& [name, number] : retro::read_numbers(path)) number.type.read(memory);
    return;
  }
  const retro::Number number{.type = *retro::NumberType::parse("<i8")};
  const auto read = retro::read_scenario(path, {{"x", number}, {"y", number}}, retro::systems()[0]);
  const std::vector<std::int64_t> least(2, INT64_MIN), most(2, INT64_MAX);
  read.reward(least, most), read.ended(least, most), read.ended(most, least);
}

void city(const std::string& bytes) {
  const BikeShare read(read_bike_city(file_of(bytes)));
  std::vector<int> state = read.start();
  Rng rng(0, "city");
  for (int t = 0; t < 4; ++t) {
    std::vector<double> last;
    for (int j = 0; j < read.trucks(); ++j) last.push_back(read.choices(j) - 1);
    read.step(state, last, rng);
    read.check(state);
  }
}

void logits(const std::string& bytes) {
  const World& chain = world("chain");
  const PolicyChoice read = make_policy(chain, "logits:" + file_of(bytes));
  exact_return(chain, read.policy, read.theta);
}

void values(const std::string& bytes) {
  const World& chain = world("chain");
  const FittedCritic read = read_critic(chain, "file:" + file_of(bytes), false);
  const PolicyChoice pi = make_policy(chain, "uniform");
  ask_oracle(chain, pi.policy, pi.theta, pi.theta, make_estimator("td"), read, 0);
}

void config(const std::string& bytes) {
  const Chosen chosen(bytes);
  read_config(*chosen.algorithm, file_of(chosen.rest));
  options_as_json(*chosen.algorithm);
  chosen.algorithm->check(chosen.world, 100'000);
  bool small = true;  // or it begins with seconds of work, as it was told to
  chosen.algorithm->visit([&](const std::string& name, OptionRef x) {
    if (name == "hidden")
      for (const int width : *std::get<std::vector<int>*>(x)) small = small && width <= 16;
  });
  if (small) chosen.algorithm->start(chosen.world, 100'000, 0);
}

/// In a world that the first byte chooses.
void policy(const std::string& bytes) {
  if (bytes.empty()) return;
  const World& acting = short_worlds()[static_cast<unsigned char>(bytes[0]) % short_worlds().size()];
  const Learned read = read_learned(file_of(bytes.substr(1)), acting);
  evaluate(acting, read.policy, read.theta, 1, 0);
  learned_as_json(acting, read);
}

/// Of few parameters and rows.
std::unique_ptr<Run> small_run(const Chosen& chosen) {
  chosen.algorithm->visit([](const std::string& name, OptionRef x) {
    if (name == "hidden") *std::get<std::vector<int>*>(x) = {2};
    for (const char* each : {"envs", "rollout", "batch", "trajectories", "warmup"})
      if (name == each) *std::get<int*>(x) = 2;
  });
  return chosen.algorithm->start(chosen.world, 1000, 0);
}

void learner(const std::string& bytes) {
  const Chosen chosen(bytes);
  const auto run = small_run(chosen);
  run->restore(std::as_bytes(std::span(chosen.rest)));
  if (run->goes_on()) run->advance({});
  run->store();
}

/// A measurement of two units that goes on from what is kept: one of trajectories; or, where the first byte
/// is odd, one of updates of a run.
void measure_on(char first, const Keeper& keeper) {
  const World& chain = world("chain");
  if (first % 2) {
    static const auto run = small_run(Chosen("\1"));
    measure_updates(*run, {make_estimator("togo")}, {.batches = 2, .keeper = keeper});
    return;
  }
  static const PolicyChoice pi = make_policy(chain, "uniform");
  static const std::vector<Rung> rungs = {{make_estimator("togo"), &pi.theta},
                                          {make_estimator("rloo:2"), &pi.theta}};
  Constants constants;
  constants.gamma = chain.gamma;
  const Measured measured =
      measure(chain, pi.policy, pi.theta, rungs, nullptr, constants, {.trajectories = 4, .keeper = keeper});
  for (int e = 0; e < 2; ++e) quantities(measured, rungs, {{}, {}}, e, 0);
}
void measurement(const std::string& bytes) {
  if (bytes.empty()) return;
  const auto kept = std::as_bytes(std::span(bytes)).subspan(1);
  measure_on(bytes[0], {.kept = {kept.begin(), kept.end()}});
}

/// As it is or, where the first byte is odd, with the hash of its header mended, so that what lies behind it
/// is read.
void checkpoint(const std::string& bytes) {
  std::string rest = bytes.empty() ? "" : bytes.substr(1);
  constexpr std::size_t at = 16;  // of the header's size
  if (!bytes.empty() && bytes[0] % 2 && rest.size() >= at + 8) {
    std::uint64_t header{};
    std::memcpy(&header, rest.data() + at, sizeof header);
    if (header >= at + 16 && header <= rest.size()) {
      const std::uint64_t hash = hash_of(std::string_view(rest).substr(0, header - 8));
      std::memcpy(rest.data() + header - 8, &hash, sizeof hash);
    }
  }
  if (pack(unpack(rest)) != rest) throw std::logic_error("a checkpoint is not what was packed");
}

/// In one of four worlds, by the first byte.
void replay(const std::string& bytes) {
  const std::string path = file_of(bytes.empty() ? "" : bytes.substr(1));
  std::vector<std::string> words = {"env", "replay"};
  const auto in = [&](std::initializer_list<const char*> more) {
    words.insert(words.end(), more.begin(), more.end());
  };
  switch (bytes.empty() ? 0 : static_cast<unsigned char>(bytes[0]) % 4) {
    case 0:
      in({"--env", "Pendulum-v1", "--state", "0.5,1", "--actions"});
      break;
    case 1:
      in({"--env", "CartPole-v1", "--transitions"});
      break;
    case 2:
      in({"--env", "MinAtar/Breakout-v1", "--actions"});
      words.push_back(file_of("1\n3\n", "actions"));
      in({"--draws"});
      break;
    default:
      in({"--env", "chain", "--seed", "0", "--transitions"});
  }
  words.push_back(path);
  command(words);
}

void csv(const std::string& bytes) {
  const auto rows = parse_csv(bytes);
  if (rows.empty()) return;
  std::vector<std::string> columns;
  for (const auto& [column, field] : rows[0]) columns.push_back(column);
  Csv again(columns);
  for (const auto& each : rows) again.add(Csv::Row(each.begin(), each.end()));
  if (parse_csv(again.text()) != rows) throw std::logic_error("a CSV file is not what was written");
}

void manifest(const std::string& bytes) {
  const TrainingPlan plan = read_plan(std::filesystem::path(file_of(bytes, "manifest.json")).parent_path());
  plan.options->check(plan.world, plan.steps);
  as_json(plan);
}

/// A word a line. Commands that would compute for long have the last word on what, and where they write
/// there is nothing.
void command_line(const std::string& bytes) {
  std::vector<std::string> words(1);
  for (const char c : bytes)
    if (c == '\n')
      words.emplace_back();
    else if (c != '\0')
      words.back() += c;
  const std::string first = words[0];
  std::erase_if(words, [](const std::string& word) {
    const auto of = [&](const char* what) { return word.find(what) != std::string::npos; };
    return of("--env") || of("--horizon") || of("--out") || of("--export") || of("--of-run") ||
           of("--over") || of("--full") || of("file:") || of("run:") || of("logits:");
  });
  const auto end_with = [&](std::initializer_list<const char*> more) {
    words.insert(words.end(), more.begin(), more.end());
  };
  if (first == "exact" || first == "solve")
    end_with({"--env", "chain", "--horizon", "3"});
  else if (first == "variance" || first == "train")
    end_with({"--env", "chain", "--out", nowhere});
  else if (first != "list" && first != "explain" && !first.starts_with("-"))
    end_with({"--no-such-option"});
  command(words);
}

/// An estimator, a world or seeds, by the first byte.
void name(const std::string& bytes) {
  const std::string rest = bytes.empty() ? "" : bytes.substr(1);
  if (rest.find('\0') != std::string::npos) return;
  switch (bytes.empty() ? 0 : bytes[0] % 4) {
    case 0:
      make_estimator(rest);
      break;
    case 1:
      if (!rest.starts_with("garnet:") && !rest.starts_with("mdp:")) make_world(rest, {}, {});
      break;
    case 2:
      command({"train", "a2c", "--env", "chain", "--seeds=" + rest, "--out", nowhere});
      break;
    default:
      command({"train", "a2c", "--env", "chain", "--measure-variance=" + rest, "--out", nowhere});
  }
}

// ---- what they begin with ----

using Seeds = std::vector<std::string>;

Seeds with_first_byte(const std::string& rest, std::size_t n) {
  Seeds out;
  for (std::size_t k = 0; k < n; ++k) out.push_back(static_cast<char>(k) + rest);
  return out;
}

Seeds mdp_seeds() {
  return {R"({"states": 2, "actions": 2, "gamma": 0.9, "horizon": 5, "start": [1, 0], "terminal": [1],
              "P": [[[0.25, 0.75], [1, 0]], [[0, 0], [0, 0]]], "R": [[1, 2], [0, 0]]})",
          R"({"states": 1, "actions": 1, "gamma": 1, "horizon": 3, "start": [1], "terminal": [],
              "P": [[[1]]], "R": [[[-1e3]]]})"};
}
Seeds sequences_seeds() {
  Seeds out(1, std::string(1, '\1') + R"({"logits": [[0, 1, 2], [0.5, -2e3, 0], [0, 0, 0]]})");
  for (const char* each :
       {R"({"tokens": 3, "end": 0, "longest": 2, "right": [[1, 0], [2, 2]],
           "policy": {"kind": "tied", "logits": [[0, 1, 2], [1, 1, 1], [0, 0, -1e3]]},
           "reference": [[0, 0, 0], [0, 0, 0], [0, 0, 0]]})",
        R"({"tokens": 2, "end": 1, "longest": 2, "reward": [[[1], -0.5], [[0, 0], 2]],
           "policy": {"kind": "prefix", "logits": [[0, 1], [1, 0]]}})",
        R"({"tokens": 2, "end": 0, "longest": 2, "prompts": [{"right": [[0]], "probability": 0.25},
           {"right": [[1, 1]], "probability": 0.75}]})"})
    out.push_back(std::string(1, '\0') + each);
  return out;
}
Seeds game_seeds() {
  return {
      std::string(1, '\0') + R"({"info": {"lives": {"address": 774, "type": "|u1"}, "score": {"address": 2020,
              "type": ">d3", "mask": 65535}, "x": {"address": 1, "type": "><i4"}, "left out": {"address": 0, "type": "n"}}})",
      std::string(1, '\1') +
          R"({"reward": {"variables": {"x": {"reward": 1, "penalty": -2}, "y": {"op": "less-than",
              "reference": 3, "measurement": "absolute", "reward": 0.5}}, "time": {"reward": -0.01}},
              "done": {"condition": "all", "variables": {"x": {"op": "negative-equal", "reference": 1}},
              "nodes": {"n": {"variables": {"y": {"op": "sign", "measurement": "delta"}}}}},
              "actions": [[[], ["UP"]], [["A"], ["A", "B"]]], "crop": [0, 8, 256, 0]})",
      std::string(1, '\1') +
          R"({"rewards": [{"variables": {"x": {"reward": 1}}}], "crops": [[0, 0, 8, 8]]})"};
}
Seeds city_seeds() {
  return {R"({"stations": [
      {"name": "a", "x": 0, "y": 0, "docks": 9, "bicycles": 5, "departures": [1, 2], "arrivals": [2, 1]},
      {"name": "b", "x": 1, "y": 0, "docks": 5, "bicycles": 5, "departures": [9, 0], "arrivals": [0, 2]}],
      "trucks": [{"x": 0, "y": 0}, {"x": 2, "y": 0}], "truck_capacity": 3, "truck_radius": 1.5, "levels": [0, 1]})"};
}
Seeds logits_seeds() { return {R"({"logits": [[0, 1], [0.5, -2e3], [0, 0], [1, 1], [0, 0]]})"}; }
Seeds values_seeds() {
  return {R"({"values": [0.5, 1, 0, -1e3, 0]})",
          R"({"values": [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]]})"};
}
Seeds config_seeds() {
  Seeds out = with_first_byte("", algorithms().size());
  for (std::string& each : out) {
    const Chosen chosen(each);
    const auto options = options_as_json(*chosen.algorithm);
    for (const auto& [key, value] : options.items()) each += key + " = " + value.dump() + "\n";
  }
  return out;
}
Seeds policy_seeds() {
  Seeds out;
  for (const auto& [id, env] : {std::pair{"a2c", "chain"},
                                {"ppo", "CartPole-v1"},
                                {"ddpg", "Pendulum-v1"},
                                {"a2c", "double-integrator"}}) {
    const auto algorithm = make_algorithm(id, world(env));
    set_option(*algorithm, "hidden", "2", "");
    const std::string text = learned_as_json(world(env), algorithm->start(world(env), 100'000, 0)->learned());
    out.push_back(static_cast<char>(out.size()) + text);
  }
  return out;
}
Seeds learner_seeds() {
  Seeds out;
  for (const std::string& each : with_first_byte("", algorithms().size())) {
    const auto run = small_run(Chosen(each));
    run->update({});
    const auto bytes = run->store();
    out.push_back(each + std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  return out;
}
Seeds measurement_seeds() {
  Seeds out;
  for (const char first : {'\0', '\1'}) {
    Keeper keeper;
    keeper.stands = [&](double, const auto& state) {
      const std::vector<std::byte> bytes = state();
      out.push_back(first + std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    };
    measure_on(first, keeper);
  }
  return out;
}
Seeds checkpoint_seeds() {
  const std::vector<std::byte> some(5, std::byte{7});
  Seeds out;
  for (const Sections& each : {Sections{}, Sections{{"run", some}, {"", {}}, {"learner", some}}})
    for (const char* first : {"\2", "\1"}) out.push_back(first + pack(each));
  return out;
}
Seeds replay_seeds() {
  return {"00.5\n-1\n\n2\r\n", "10.1, -0.2, 0.03, 0.4, 1\n0,0,0,0,0\n",
          "2[[\"i\", 0, 2, 1]]\n[[\"u\", 0.5]]\n[[\"u\", 0.05]]\n", "30,1\n3,0\n"};
}
Seeds csv_seeds() { return {"a,b\n1,2\n", "x\n\"a,\"\"b\n\"\n", "seed,step\n"}; }
Seeds manifest_seeds() {
  Seeds out;
  for (const auto& [id, env] : {std::pair{"ppo", "CartPole-v1"}, {"ddpg", "Pendulum-v1"}}) {
    const TrainingPlan plan{.algorithm = id,
                            .world = world(env),
                            .options = make_algorithm(id, world(env)),
                            .seeds = {0, 7},
                            .steps = 10'000};
    out.push_back(json_text({{"schema", 1}, {"config", as_json(plan)}}));
  }
  return out;
}
Seeds command_line_seeds() {
  return {"explain\ngae:0.95",
          "list\nestimators",
          "exact\n--estimators\nreinforce,td,ppo-clip:0.2\n--policy\ninit:3\n--value\nscaled:0.5\n--json",
          "solve\n--method\nlearned-model:100\n--gamma\n0.5\n--seed\n1",
          "train\nppo\n--seeds\n0..3\n--set\nrollout=64\n--steps\n1e5",
          "variance\n--estimators\ntd\n--trajectories\n100\n--until-rse\n0.1",
          "compare\na\nb",
          "--help"};
}
Seeds name_seeds() {
  return {"\4gae:0.95+undiscounted",
          "\4vtrace:1:0.5+whitened",
          "\4rloo:8",
          "\4ppo-clip:0.2",
          "\1bandit:1,2.5:0.1",
          "\1FrozenLake-random:4:7",
          "\1chain",
          "\2"
          "0..9,12",
          "\3every=10,estimators=reinforce:gae:0.95,trajectories=10"};
}

}  // namespace

const std::vector<Target>& targets() {
  static const std::vector<Target> all = {
      {"mdp", mdp, mdp_seeds},
      {"city", city, city_seeds},
      {"sequences", sequences, sequences_seeds},
      {"game", game, game_seeds},
      {"logits", logits, logits_seeds},
      {"values", values, values_seeds},
      {"config", config, config_seeds},
      {"policy", policy, policy_seeds},
      {"learner", learner, learner_seeds},
      {"measurement", measurement, measurement_seeds},
      {"checkpoint", checkpoint, checkpoint_seeds},
      {"replay", replay, replay_seeds},
      {"csv", csv, csv_seeds},
      {"manifest", manifest, manifest_seeds},
      {"command_line", command_line, command_line_seeds},
      {"name", name, name_seeds},
  };
  return all;
}

std::string answer(const Target& target, const std::string& bytes) {
  try {
    target.read(bytes);
    return "";
  } catch (const Error& e) {
    return e.what();
  } catch (const NumericalFault& e) {
    return e.what();
  }
}

}  // namespace lowvar::fuzz
