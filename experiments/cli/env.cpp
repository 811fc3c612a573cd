// lowvar env: a world on its own. Replay actions, roll out episodes, look at one.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "core/parallel.h"
#include "experiments/cli/commands.h"
#include "experiments/output.h"
#include "experiments/render.h"

namespace lowvar::cli {
namespace {

using Numbers = AnyEnvironment::Numbers;

/// Finite numbers separated by commas.
Numbers numbers_of(const std::string& text, const std::string& where) {
  Numbers out;
  const char* at = text.data();
  const char* const last = at + text.size();
  for (;;) {
    while (at != last && (*at == ' ' || *at == '\t')) ++at;
    double x{};
    auto [end, error] = std::from_chars(at, last, x);
    while (end != last && (*end == ' ' || *end == '\t' || *end == '\r')) ++end;
    expect(error == std::errc{} && std::isfinite(x) && (end == last || *end == ','), where,
           " must be finite numbers separated by commas, got '", text, "'");
    out.push_back(x);
    if (end == last) return out;
    at = end + 1;
  }
}

struct Player {
  std::string id;
  Playground world;

  explicit Player(const std::string& env) : id(env), world(make_playground(env)) {}
  const AnyEnvironment& environment() const { return *world.environment; }

  void expect_size(const Numbers& x, int size, const std::string& where, const char* what) const {
    expect(static_cast<int>(x.size()) == size, where, ": ", what, " of ", id, " is ", size, " number",
           size == 1 ? "" : "s", ", got ", x.size());
  }
  void check_state(const Numbers& x, const std::string& where) const {
    expect_size(x, environment().state_size, where, "a state");
    if (environment().states > 0)
      expect(x[0] == std::floor(x[0]) && x[0] >= 0 && x[0] < environment().states, where, ": a state of ", id,
             " is a whole number from 0 to ", environment().states - 1, ", got ", x[0]);
  }
  void check_action(const Numbers& x, const std::string& where) const {
    expect_size(x, environment().action_size, where, "an action");
    if (environment().actions > 0)
      expect(x[0] == std::floor(x[0]) && x[0] >= 0 && x[0] < environment().actions, where, ": an action of ",
             id, " is a whole number from 0 to ", environment().actions - 1, ", got ", x[0]);
  }
};

// ---- replay ----

struct ReplayOptions {
  std::string env, state, actions, transitions, seed;
};

/// The lines of a file that are not empty, each with "FILE, line N" for errors.
std::vector<std::pair<Numbers, std::string>> lines_of(const std::string& path) {
  std::ifstream in(path);
  expect(in.good() && !std::filesystem::is_directory(path), "cannot read ", path,
         ": no such file, or not a readable one");
  std::vector<std::pair<Numbers, std::string>> out;
  int n = 0;
  for (std::string line; std::getline(in, line);) {
    const std::string where = join(path, ", line ", ++n);
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    out.emplace_back(numbers_of(line, where), where);
  }
  return out;
}

int replay(const ReplayOptions& o) {
  const Player player(o.env);
  const AnyEnvironment& env = player.environment();
  expect(o.transitions.empty() != o.actions.empty(),
         "env replay needs either --actions FILE (with --state) or --transitions FILE");
  expect(o.transitions.empty() == !o.state.empty(),
         o.state.empty() ? "--actions needs --state, where the episode starts"
                         : "--transitions carries its own states; drop --state");
  expect(!env.stochastic || !o.seed.empty(), o.env, " is random; give --seed");
  const std::uint64_t seed = o.seed.empty() ? 0 : seed_option(o.seed);

  std::string out = "t,reward,terminated,truncated";
  for (int i = 0; i < env.observation_size; ++i) out += fmt::format(",obs_{}", i);
  for (int i = 0; i < env.state_size; ++i) out += fmt::format(",state_{}", i);
  out += "\n";
  const auto add = [&](std::size_t t, const Step<Numbers>& step, bool truncated) {
    out += fmt::format("{},{:.17g},{:d},{:d}", t, step.reward, step.terminated, truncated);
    bool finite = std::isfinite(step.reward);
    for (const Numbers& part : {env.observe(step.state), step.state})
      for (const double x : part) out += fmt::format(",{:.17g}", x), finite = finite && std::isfinite(x);
    out += "\n";
    if (!finite)
      throw NumericalFault(
          join("row ", t, " of the replay of ", o.env, " holds a number that is not finite"));
  };

  if (!o.transitions.empty()) {
    const auto rows = lines_of(o.transitions);
    const auto n = static_cast<std::size_t>(env.state_size);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto& [row, where] = rows[i];
      expect(row.size() == n + static_cast<std::size_t>(env.action_size), where, ": a transition of ", o.env,
             " is ", env.state_size, " + ", env.action_size, " numbers (state, action), got ", row.size());
      const auto cut = row.begin() + env.state_size;
      const Numbers state(row.begin(), cut), action(cut, row.end());
      player.check_state(state, where);
      player.check_action(action, where);
      Rng rng(seed, "replay", static_cast<std::uint32_t>(i));
      rng.seek(1);
      add(i, env.step(state, action, rng), false);
    }
  } else {
    Numbers state = numbers_of(o.state, "--state");
    player.check_state(state, "--state");
    const auto actions = lines_of(o.actions);
    for (const auto& [action, where] : actions) player.check_action(action, where);
    Rng rng(seed, "replay");
    for (std::size_t t = 0; t < actions.size(); ++t) {
      rng.seek(static_cast<std::uint32_t>(t) + 1);
      const Step<Numbers> step = env.step(state, actions[t].first, rng);
      const bool truncated = t + 1 >= static_cast<std::size_t>(player.world.T);
      add(t, step, truncated);
      if (step.terminated || truncated) break;
      state = step.state;
    }
  }
  std::cout << out;
  return 0;
}

// ---- episodes ----

struct PlayOptions {
  std::string env, policy, seed = "0";
};

void add_play_options(CLI::App& command, PlayOptions& o) {
  command.add_option("--env", o.env, "world id, or mdp:FILE")->required();
  command.add_option("--policy", o.policy,
                     "random | reference | uniform | logits:FILE | init:SEED (default: reference)");
  command.add_option("--seed", o.seed, "of the worlds and the policy")->capture_default_str();
}

struct Episode {
  std::vector<Numbers> states;  // s_0 ... s_n
  std::vector<double> rewards;  // r_0 ... r_{n-1}
  bool terminated = false;
  double total() const {
    double sum = 0;
    for (const double r : rewards) sum += r;
    return sum;
  }
};

/// What was done in row r.
Numbers action_of(const Trajectories& batch, int r) {
  if (batch.action_vector.size()) {
    const auto a = row(batch.action_vector, r);
    return {a.begin(), a.end()};
  }
  return {static_cast<double>(batch.action[static_cast<std::size_t>(r)])};
}

/// Episodes 0, 1, ... of a policy in a world, each the same however many are asked for.
class Episodes {
 public:
  static constexpr int shard = 256;  // how many are sampled together

  explicit Episodes(const PlayOptions& o) : player_(o.env), seed_(seed_option(o.seed)) {
    policy_ = o.policy.empty() ? "reference" : o.policy;
    if (policy_ == "random") return;
    model_ = make_world(o.env, std::nullopt, std::nullopt);
    choice_ = make_policy(model_, policy_);
  }

  const std::string& policy() const { return policy_; }
  const Player& player() const { return player_; }

  /// Of shard i. Without states where they are not wanted.
  std::vector<Episode> operator()(int i, int count, bool with_states) const {
    std::vector<Episode> out(static_cast<std::size_t>(count));
    const AnyEnvironment& env = player_.environment();
    const auto start_of = [&](int k) {
      return Rng(seed_, "rollout", static_cast<std::uint32_t>(i * shard + k));
    };
    if (policy_ == "random") {
      for (int k = 0; k < count; ++k) {
        Episode& e = out[static_cast<std::size_t>(k)];
        Rng rng = start_of(k), choice(seed_, "random-actions", static_cast<std::uint32_t>(i * shard + k));
        e.states.push_back(env.reset(rng));
        for (int t = 0; t < player_.world.T && !e.terminated; ++t) {
          rng.seek(static_cast<std::uint32_t>(t) + 1);
          auto step = env.step(e.states.back(), env.random_action(choice), rng);
          if (!with_states) e.states.clear();
          e.states.push_back(std::move(step.state));
          e.rewards.push_back(step.reward);
          e.terminated = step.terminated;
        }
      }
      return out;
    }
    const Trajectories batch =
        model_.sample(choice_.policy, choice_.theta, model_.T, {seed_, "rollout", i * shard, count});
    for (int k = 0; k < count; ++k) {
      Episode& e = out[static_cast<std::size_t>(k)];
      const auto r = batch.rewards(k);
      e.rewards.assign(r.begin(), r.end());
      e.terminated = batch.terminated[static_cast<std::size_t>(k)] != 0;
      if (!with_states) continue;
      if (model_.mdp) {
        for (int t = batch.begin(k); t < batch.end(k); ++t)
          e.states.push_back({static_cast<double>(batch.state[static_cast<std::size_t>(t)])});
        e.states.push_back({static_cast<double>(batch.final_state[static_cast<std::size_t>(k)])});
      } else {  // its actions once more, from its start
        Rng rng = start_of(k);
        e.states.push_back(env.reset(rng));
        for (int t = batch.begin(k); t < batch.end(k); ++t) {
          const Numbers action = action_of(batch, t);
          e.states.push_back(env.step(e.states.back(), action, rng).state);
        }
      }
    }
    return out;
  }

 private:
  Player player_;
  std::uint64_t seed_;
  std::string policy_;
  World model_;
  PolicyChoice choice_;
};

int rollout(const PlayOptions& o, const std::string& episodes) {
  const auto N = static_cast<int>(count_option("--episodes", episodes, 1, 100'000'000));
  const Episodes play(o);
  const int T = play.player().world.T;
  std::cout << "episode,steps,return,terminated,truncated\n";
  ordered_reduce((N + Episodes::shard - 1) / Episodes::shard,
                 [&](int i) { return play(i, std::min(Episodes::shard, N - i * Episodes::shard), false); },
                 [&](int i, const std::vector<Episode>& shard) {
                   std::string out;
                   for (std::size_t k = 0; k < shard.size(); ++k) {
                     const Episode& e = shard[k];
                     out += fmt::format("{},{},{:.17g},{:d},{:d}\n",
                                        static_cast<std::size_t>(i) * Episodes::shard + k, e.rewards.size(),
                                        e.total(), e.terminated,
                                        e.rewards.size() >= static_cast<std::size_t>(T));
                   }
                   std::cout << out;
                 });
  return 0;
}

int render(const PlayOptions& o, const std::string& frames, const std::string& out) {
  const auto K = static_cast<int>(count_option("--frames", frames, 1, 1000));
  const std::filesystem::path path = out;
  expect(path.extension() == ".svg" || path.extension() == ".png", "--out must end in .svg or .png, got '",
         out, "'");
  const Episodes play(o);
  if (!can_draw(o.env)) {
    std::string known;
    for (const auto& id : drawable()) known += (known.empty() ? "" : ", ") + id;
    throw Error(join("there is no picture of '", o.env, "'; there is one of: ", known));
  }
  const Episode e = play(0, 1, true)[0];
  const auto n = e.rewards.size();
  strip(o.env, e.states, K,
        fmt::format("{}, policy {}, seed {}: {} step{}, return {:.4g}, {}", o.env, play.policy(), o.seed, n,
                    n == 1 ? "" : "s", e.total(), e.terminated ? "terminated" : "truncated"))
      .write(path);
  return 0;
}

}  // namespace

void add_env(CLI::App& app, int& status) {
  auto* env = app.add_subcommand("env", "replay actions in a world, roll out episodes, draw one");
  env->callback([env] {
    expect(!env->get_subcommands().empty(),
           "env needs one of replay, rollout, render (see lowvar env --help)");
  });

  auto* replayed = env->add_subcommand("replay", "what given actions lead to, as CSV");
  auto r = std::make_shared<ReplayOptions>();
  replayed->add_option("--env", r->env, "world id, or mdp:FILE")->required();
  replayed->add_option("--state", r->state, "where the episode starts: \"x0,x1,...\"");
  replayed->add_option("--actions", r->actions,
                       "a file with an action a line, components separated by commas");
  replayed->add_option("--transitions", r->transitions,
                       "instead, single steps: a file with state...,action... a line");
  replayed->add_option("--seed", r->seed, "of a random world");
  replayed->callback([=, &status] { status = replay(*r); });

  auto* rolled = env->add_subcommand("rollout", "episodes of a policy, as CSV; returns are undiscounted");
  auto p = std::make_shared<PlayOptions>();
  auto episodes = std::make_shared<std::string>("10");
  add_play_options(*rolled, *p);
  rolled->add_option("--episodes", *episodes, "how many")->capture_default_str();
  rolled->callback([=, &status] { status = rollout(*p, *episodes); });

  auto* rendered = env->add_subcommand("render", "a strip of frames of an episode");
  auto q = std::make_shared<PlayOptions>();
  auto frames = std::make_shared<std::string>("6"), out = std::make_shared<std::string>();
  add_play_options(*rendered, *q);
  rendered->add_option("--frames", *frames, "how many, evenly spaced")->capture_default_str();
  rendered->add_option("--out", *out, "an .svg or .png file")->required();
  rendered->callback([=, &status] { status = render(*q, *frames, *out); });
}

}  // namespace lowvar::cli
