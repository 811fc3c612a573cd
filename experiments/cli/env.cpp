// lowvar env: a world on its own. Replay actions, roll out episodes, look at one.
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <filesystem>
#include <sstream>

#include "core/input_file.h"
#include "core/parallel.h"
#include "envs/lunar_lander.h"
#include "envs/minatar/recorded.h"
#include "experiments/bike_planner.h"
#include "experiments/cli/commands.h"
#include "experiments/output.h"
#include "experiments/render.h"

namespace lowvar::cli {
namespace {

using Numbers = std::vector<double>;

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

void expect_size(const World& world, const Numbers& x, int size, const std::string& where, const char* what) {
  expect(static_cast<int>(x.size()) == size, where, ": ", what, " of ", world.id, " is ", size, " number",
         size == 1 ? "" : "s", ", got ", x.size());
}
/// Whether x is one of n that are counted.
void expect_index(const World& world, double x, int n, const std::string& where, const char* what) {
  expect(x == std::floor(x) && x >= 0 && x < n, where, ": ", what, " of ", world.id,
         " is a whole number from 0 to ", n - 1, ", got ", x);
}
void check_state(const World& world, const Numbers& x, const std::string& where) {
  expect_size(world, x, world.numbers, where, "a state");
  if (world.mdp) expect_index(world, x[0], world.mdp->S, where, "a state");
}
void check_action(const World& world, const Numbers& x, const std::string& where) {
  expect_size(world, x, world.A ? 1 : world.m, where, "an action");
  if (world.A) expect_index(world, x[0], world.A, where, "an action");
}

/// The observation of a state.
Numbers observation_of(const States& states, int i) {
  Numbers out;
  const auto look = [&](auto number) {
    std::vector<decltype(number)> x(static_cast<std::size_t>(states.spaces().observation));
    states.observe(i, i + 1, x.data());
    out.assign(x.begin(), x.end());
  };
  switch (states.spaces().observed) {
    case Spaces::Number::float32:
      look(0.0F);
      break;
    case Spaces::Number::float64:
      look(0.0);
      break;
    case Spaces::Number::uint8:
      look(std::uint8_t{0});
      break;
  }
  return out;
}

/// What a picture of a state is drawn from.
Numbers shown_of(const States& states, int i) {
  Numbers out = states.shown(i);
  return out.empty() ? observation_of(states, i) : out;
}

// ---- replay ----

struct ReplayOptions {
  std::string env, state, actions, transitions, seed, draws;
};

/// The lines of a file that are not empty, each with "FILE, line N" for errors.
std::vector<std::pair<Numbers, std::string>> lines_of(const std::string& path) {
  std::istringstream in(read_input(path));
  std::vector<std::pair<Numbers, std::string>> out;
  int n = 0;
  for (std::string line; std::getline(in, line);) {
    const std::string where = join(path, ", line ", ++n);
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    out.emplace_back(numbers_of(line, where), where);
  }
  return out;
}

/// The actions of a file, each checked.
std::vector<Numbers> actions_of(const World& world, const std::string& path) {
  std::vector<Numbers> out;
  for (auto& [action, where] : lines_of(path)) {
    check_action(world, action, where);
    out.push_back(std::move(action));
  }
  return out;
}

/// "t,reward,terminated,truncated" and the names of what is observed.
std::string head_of(int observation) {
  std::string out = "t,reward,terminated,truncated";
  for (int i = 0; i < observation; ++i) out += fmt::format(",obs_{}", i);
  return out;
}

/// A game of MinAtar by recorded draws. It lasts as long as the recording does: the original has no time
/// limit.
int replay_recorded(const ReplayOptions& o) {
  const World world = make_world(o.env, std::nullopt, std::nullopt);
  const auto game = minatar::recorded_game(o.env);
  expect(game != nullptr, "--draws is of the worlds of MinAtar, got --env ", o.env);
  expect(!o.actions.empty() && o.transitions.empty() && o.state.empty() && o.seed.empty(),
         "--draws goes with --actions alone: a recording begins with its own reset");
  auto draws = minatar::read_draws(o.draws);
  const auto actions = actions_of(world, o.actions);
  expect(draws.size() == actions.size() + 1, o.draws, " has ", draws.size(), " lines of draws, and ",
         o.actions, " ", actions.size(),
         " actions: there must be a line of the reset, then one for each action");
  game->reset(draws[0]);
  draws[0].expect_used();
  std::vector<std::uint8_t> seen(static_cast<std::size_t>(game->observation()));
  std::string out = head_of(game->observation()) + ",played\n";
  for (std::size_t t = 0; t < actions.size(); ++t) {
    const auto [reward, terminated, played] = game->step(static_cast<int>(actions[t][0]), draws[t + 1]);
    draws[t + 1].expect_used();
    game->observe(seen);
    out += fmt::format("{},{:.17g},{:d},0", t, reward, terminated);
    for (const int x : seen) out += fmt::format(",{}", x);
    out += fmt::format(",{}\n", played);
    if (terminated) break;
  }
  print(out);
  return 0;
}

int replay(const ReplayOptions& o) {
  if (!o.draws.empty()) return replay_recorded(o);
  const World world = make_world(o.env, std::nullopt, std::nullopt);
  expect(o.transitions.empty() != o.actions.empty(),
         "env replay needs either --actions FILE (with --state) or --transitions FILE");
  expect(world.numbers > 0 || (o.transitions.empty() && o.state.empty()), "a state of ", world.id,
         " cannot be written as numbers: give --actions and --seed alone, to begin at a start drawn");
  if (world.numbers > 0)
    expect(o.transitions.empty() == !o.state.empty(),
           o.state.empty() ? "--actions needs --state, where the episode starts"
                           : "--transitions carries its own states; drop --state");
  expect((!world.stochastic && world.numbers > 0) || !o.seed.empty(), o.env, " is random; give --seed");
  const std::uint64_t seed = o.seed.empty() ? 0 : seed_option(o.seed);

  const auto states = world.states(1);
  std::string out = head_of(states->spaces().observation);
  for (int i = 0; i < world.numbers; ++i) out += fmt::format(",state_{}", i);
  out += "\n";
  /// The state after an action, as a row; whether the episode ends with it.
  const auto step = [&](std::size_t t, const Numbers& action, Rng& rng, bool truncated) {
    double reward{};
    char terminated{};
    const int choice = world.A ? static_cast<int>(action[0]) : 0;
    states->step(0, 1, {&choice, action.data()}, {.each = &rng}, &reward, &terminated);
    out += fmt::format("{},{:.17g},{:d},{:d}", t, reward, terminated != 0, truncated);
    bool finite = std::isfinite(reward);
    for (const Numbers& part : {observation_of(*states, 0), states->numbers(0)})
      for (const double x : part) out += fmt::format(",{:.17g}", x), finite = finite && std::isfinite(x);
    out += "\n";
    if (!finite)
      throw NumericalFault(
          join("row ", t, " of the replay of ", o.env, " holds a number that is not finite"));
    return terminated || truncated;
  };

  if (!o.transitions.empty()) {
    const auto rows = lines_of(o.transitions);
    const auto n = static_cast<std::size_t>(world.numbers),
               m = static_cast<std::size_t>(world.A ? 1 : world.m);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto& [row, where] = rows[i];
      expect(row.size() == n + m, where, ": a transition of ", o.env, " is ", n, " + ", m,
             " numbers (state, action), got ", row.size());
      const auto cut = row.begin() + world.numbers;
      const Numbers state(row.begin(), cut), action(cut, row.end());
      check_state(world, state, where);
      check_action(world, action, where);
      Rng rng(seed, "replay", static_cast<std::uint32_t>(i));
      rng.seek(1);
      states->set_numbers(0, state);
      step(i, action, rng, false);
    }
  } else {
    Rng rng(seed, "replay");
    if (world.numbers > 0) {
      const Numbers state = numbers_of(o.state, "--state");
      check_state(world, state, "--state");
      states->set_numbers(0, state);
    } else {
      states->reset(0, rng);
    }
    const auto actions = actions_of(world, o.actions);
    for (std::size_t t = 0; t < actions.size(); ++t) {
      rng.seek(static_cast<std::uint32_t>(t) + 1);
      if (step(t, actions[t], rng, t + 1 >= static_cast<std::size_t>(world.T))) break;
    }
  }
  print(out);
  return 0;
}

// ---- episodes ----

struct PlayOptions {
  std::string env, policy, seed = "0";
};

void add_play_options(CLI::App& command, PlayOptions& o) {
  command.add_option("--env", o.env, "world id, or mdp:FILE")->required();
  command.add_option("--policy", o.policy,
                     "random | reference | uniform | logits:FILE | init:SEED | run:DIR; heuristic, of "
                     "LunarLander and bike-share (default: reference)");
  command.add_option("--seed", o.seed, "of the worlds and the policy")->capture_default_str();
}

struct Episode {
  std::vector<Numbers> states;  // s_0 ... s_n, as shown
  int steps = 0;
  double total = 0;  // of the rewards
  bool terminated = false;

  template <class F>
  void visit(F&& f) {
    f("states", states), f("steps", steps), f("total", total), f("terminated", terminated);
  }
};

/// Episodes 0, 1, ... of a policy in a world, each the same however many are asked for.
class Episodes {
 public:
  static constexpr int shard = 256;  // how many are sampled together

  explicit Episodes(const PlayOptions& o)
      : world_(make_world(o.env, std::nullopt, std::nullopt)),
        seed_(seed_option(o.seed)),
        policy_(o.policy.empty() ? "reference" : o.policy) {
    const bool bicycles = world_.id == "bike-share" || world_.id.starts_with("bike-share:");
    expect(policy_ != "heuristic" || bicycles || world_.id.starts_with("LunarLander"),
           "there is no heuristic policy for ", world_.id, ", only for LunarLander and bike-share");
    if (policy_ == "heuristic" && bicycles)
      planner_ = std::make_shared<const BikePlanner>(bike_share_of(world_.id), seed_, BikePlanner::Options{});
    by_itself_ = policy_ == "random" || policy_ == "heuristic";
    if (!by_itself_) choice_ = make_policy(world_, policy_);
  }

  const std::string& policy() const { return policy_; }
  const World& world() const { return world_; }

  /// Of shard i. Without states where they are not wanted.
  std::vector<Episode> operator()(int i, int count, bool with_states) const {
    std::vector<Episode> out(static_cast<std::size_t>(count));
    const Draw draw{seed_, "rollout", i * shard, count};
    const auto states = world_.states(count);
    const auto watch = [&](int k) {
      if (with_states) out[static_cast<std::size_t>(k)].states.push_back(shown_of(*states, k));
    };
    if (by_itself_) {
      play_by_itself(*states, draw, watch, out);
      return out;
    }
    const Trajectories batch =
        world_.mdp ? world_.sample(choice_.policy, choice_.theta, world_.T, draw)
                   : lowvar::rollout(*states, choice_.policy, choice_.theta, world_.T, draw, watch);
    for (int k = 0; k < count; ++k) {
      Episode& e = out[static_cast<std::size_t>(k)];
      e.steps = batch.length(k);
      for (const double r : batch.rewards(k)) e.total += r;
      e.terminated = batch.terminated[static_cast<std::size_t>(k)] != 0;
      if (!with_states || !world_.mdp) continue;
      for (int t = batch.begin(k); t < batch.end(k); ++t)
        e.states.push_back({static_cast<double>(batch.state[static_cast<std::size_t>(t)])});
      e.states.push_back({static_cast<double>(batch.final_state[static_cast<std::size_t>(k)])});
    }
    return out;
  }

 private:
  /// Without a network or a table: at random, or as Gymnasium's pilot or a planner does.
  template <class Watch>
  void play_by_itself(States& states, const Draw& draw, const Watch& watch, std::vector<Episode>& out) const {
    int choice = 0;
    Numbers vector(static_cast<std::size_t>(world_.m));
    for (int k = 0; k < draw.count; ++k) {
      Episode& e = out[static_cast<std::size_t>(k)];
      Rng rng = draw.start(k), choices(seed_, "random-actions", static_cast<std::uint32_t>(draw.first + k));
      states.reset(k, rng);
      watch(k);
      for (char terminated = states.terminal(k);; ++e.steps) {
        e.terminated = terminated != 0;
        if (e.terminated || e.steps == world_.T) break;
        rng.seek(static_cast<std::uint32_t>(e.steps) + 1);
        if (policy_ == "random")
          random_action(world_, choices, choice, vector);
        else
          fly(states, k, choice, vector);
        double reward{};
        states.act(k, k + 1, {&choice, vector.data()}, {.each = &rng}, &reward, &terminated);
        e.total += reward;
        watch(k);
      }
    }
  }

  /// What the world's own pilot or planner does in state k.
  void fly(const States& states, int k, int& choice, Numbers& vector) const {
    if (planner_) {
      vector = planner_->plan(states.shown(k));
      return;
    }
    const Numbers o = observation_of(states, k);
    choice = LunarLander::pilot_choice(o);
    const auto powers = LunarLander::pilot_powers(o);
    if (world_.m > 0) vector.assign(powers.begin(), powers.end());
  }

  World world_;
  std::uint64_t seed_;
  std::string policy_;
  bool by_itself_;
  PolicyChoice choice_;
  std::shared_ptr<const BikePlanner> planner_;
};

int rollout(const PlayOptions& o, const std::string& episodes) {
  const auto N = static_cast<int>(count_option("--episodes", episodes, 1, 100'000'000));
  const Episodes play(o);
  const int T = play.world().T;
  print("episode,steps,return,terminated,truncated\n");
  ordered_reduce(
      (N + Episodes::shard - 1) / Episodes::shard,
      [&](int i) { return play(i, std::min(Episodes::shard, N - i * Episodes::shard), false); },
      [&](int i, const std::vector<Episode>& shard) {
        std::string out;
        for (std::size_t k = 0; k < shard.size(); ++k) {
          const Episode& e = shard[k];
          const auto episode = static_cast<std::size_t>(i) * Episodes::shard + k;
          if (!std::isfinite(e.total))
            throw NumericalFault(join("the return of episode ", episode, " in ", o.env, " is not finite"));
          out +=
              fmt::format("{},{},{:.17g},{:d},{:d}\n", episode, e.steps, e.total, e.terminated, e.steps >= T);
        }
        print(out);
      });
  return 0;
}

int render(const PlayOptions& o, const std::string& frames, const std::string& out) {
  const std::filesystem::path path = out;
  const std::string ending = path.extension();
  const bool moving = ending == ".gif" || ending == ".apng";
  expect(moving || ending == ".svg" || ending == ".png",
         "--out must end in .svg or .png, or in .gif or .apng to move, got '", out, "'");
  const auto K =
      static_cast<int>(count_option("--frames", frames.empty() ? (moving ? "100" : "6") : frames, 1, 1000));
  const Episodes play(o);
  if (!can_draw(o.env)) {
    std::string known;
    for (const auto& id : drawable()) known += (known.empty() ? "" : ", ") + id;
    throw Error(join("there is no picture of '", o.env, "'; there is one of: ", known));
  }
  const Episode e = play(0, 1, true)[0];
  if (moving) {
    write_animation(animation(o.env, e.states, K), path);
    return 0;
  }
  strip(o.env, e.states, K,
        fmt::format("{}, policy {}, seed {}: {} step{}, return {:.4g}, {}", o.env, play.policy(), o.seed,
                    e.steps, e.steps == 1 ? "" : "s", e.total, e.terminated ? "terminated" : "truncated"))
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
  replayed->add_option(
      "--draws", r->draws,
      "of MinAtar, in place of a seed: a file of recorded draws, a JSON list a line, the first "
      "that of the reset");
  replayed->callback([=, &status] { status = replay(*r); });

  auto* rolled = env->add_subcommand("rollout", "episodes of a policy, as CSV; returns are undiscounted");
  auto p = std::make_shared<PlayOptions>();
  auto episodes = std::make_shared<std::string>("10");
  add_play_options(*rolled, *p);
  rolled->add_option("--episodes", *episodes, "how many")->capture_default_str();
  rolled->callback([=, &status] { status = rollout(*p, *episodes); });

  auto* rendered = env->add_subcommand("render", "a strip of frames of an episode, or a moving picture");
  auto q = std::make_shared<PlayOptions>();
  auto frames = std::make_shared<std::string>(), out = std::make_shared<std::string>();
  add_play_options(*rendered, *q);
  rendered->add_option("--frames", *frames, "how many, evenly spaced (6; 100 where it moves)");
  rendered->add_option("--out", *out, "an .svg or .png file; a .gif or .apng file moves")->required();
  rendered->callback([=, &status] { status = render(*q, *frames, *out); });
}

}  // namespace lowvar::cli
