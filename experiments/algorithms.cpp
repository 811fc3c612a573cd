#include "experiments/algorithms.h"

#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "experiments/worlds.h"

namespace lowvar {
namespace {

using Json = nlohmann::ordered_json;

// ---- Defaults ----

/// What every on-policy algorithm starts from in a world. Rewards of Pendulum are large and its episodes
/// short-sighted: what its peers use (see docs/algorithms/ppo.md).
OnPolicyOptions on_policy(const World& world) {
  OnPolicyOptions o;
  o.gamma = world.gamma;
  if (world.mdp) o.learning_rate = 0.05;
  if (world.id == "Pendulum-v1") o.gamma = 0.9, o.reward_scale = 0.1;
  return o;
}

/// Yoon's settings (see docs/algorithms/reinforce.md), for every world.
TrainOptions reinforce(const World& world) {
  OnPolicyOptions o = on_policy(world);
  o.estimator = "togo-normalised+undiscounted";
  o.reduce = "trajectory";
  o.episodes = 1;
  o.max_episodes = 5000;
  o.critic = "none";
  o.hidden = {128};
  o.activation = "relu";
  o.initialisation = "uniform";
  o.learning_rate = 3e-4;
  o.gamma = 0.9;
  return o;
}

TrainOptions reinforce_baseline(const World& world) {
  OnPolicyOptions o = on_policy(world);
  o.estimator = "togo-value+undiscounted";
  o.critic_lambda = 1;
  o.advantages = "standardised";
  o.episodes = 8;
  o.learning_rate = 3e-3;
  o.max_gradient_norm = 0.5;
  return o;
}

/// A table forgets what it has stopped to visit: large batches, and no bonus for what is not worth a visit.
void for_tables(OnPolicyOptions& o) {
  o.rollout = 256;
  o.learning_rate = 0.1;
  o.entropy_coefficient = 0;
}

TrainOptions q_actor_critic(const World& world) {
  OnPolicyOptions o = on_policy(world);
  o.estimator = "q-value+undiscounted";
  o.critic = "action-value";
  o.advantages = "standardised";
  o.envs = 8;
  o.rollout = 256;
  o.learning_rate = 3e-3;
  o.critic_learning_rate = 1e-3;
  o.critic_epochs = 20;
  o.anneal = true;
  o.entropy_coefficient = 0.01;
  o.max_gradient_norm = 0.5;
  if (world.mdp) for_tables(o), o.anneal = false, o.critic_epochs = 10, o.critic_learning_rate = 0.2;
  return o;
}

TrainOptions a2c(const World& world) {
  OnPolicyOptions o = on_policy(world);
  o.estimator = "gae:0.95+undiscounted";
  o.envs = 8;
  o.rollout = 32;
  o.learning_rate = 1e-3;
  o.anneal = true;
  o.critic_epochs = 4;
  o.critic_minibatches = 4;
  o.entropy_coefficient = 0.01;
  o.max_gradient_norm = 0.5;
  if (world.mdp) for_tables(o), o.anneal = false, o.critic_epochs = 0;
  return o;
}

TrainOptions a3c(const World& world) {
  auto o = std::get<OnPolicyOptions>(a2c(world));
  o.estimator = "gae:1+undiscounted";
  o.critic_lambda = 1;
  o.workers = 2;
  o.critic_epochs = 0;
  o.envs = 4;
  o.rollout = 64;
  o.update = "rmsprop";
  o.adam_epsilon = 1e-5;
  o.anneal = true;
  return o;
}

OnPolicyOptions natural(const World& world) {
  OnPolicyOptions o = on_policy(world);
  o.estimator = "gae:0.95+undiscounted";
  o.advantages = "standardised";
  o.precision = "double";
  o.envs = 8;
  o.rollout = 256;
  o.critic_epochs = 10;
  o.learning_rate = 1e-3;
  if (world.lqg) o.gamma = 0.95, o.anneal = true, o.log_std = -0.5, o.kl_step = 0.02;
  return o;
}

TrainOptions npg(const World& world) {
  OnPolicyOptions o = natural(world);
  o.update = "natural";
  return o;
}

TrainOptions trpo(const World& world) {
  OnPolicyOptions o = natural(world);
  o.update = "trust-region";
  o.surrogate = "ratio";
  return o;
}

TrainOptions ppo(const World& world) {
  OnPolicyOptions o = on_policy(world);
  o.estimator = "ppo-clip:0.2+undiscounted";
  o.advantages = "standardised";
  o.envs = 8;
  o.rollout = 128;
  o.epochs = 4;
  o.minibatches = 4;
  o.learning_rate = 2.5e-4;
  o.anneal = true;
  o.adam_epsilon = 1e-5;
  o.entropy_coefficient = 0.01;
  o.max_gradient_norm = 0.5;
  if (world.m) {
    o.envs = 4;
    o.rollout = 1024;
    o.epochs = 10;
    o.minibatches = 16;
    o.learning_rate = 1e-3;
    o.entropy_coefficient = 0;
  }
  if (world.mdp) o.rollout = 512, o.learning_rate = 0.03, o.entropy_coefficient = 0;
  return o;
}

TrainOptions ppo_kl(const World& world) {
  auto o = std::get<OnPolicyOptions>(ppo(world));
  o.estimator = "gae:0.95+undiscounted";
  o.surrogate = "ratio";
  if (!world.mdp) o.envs = 4, o.rollout = 256, o.epochs = 10, o.learning_rate = 1e-3;
  o.kl_coefficient = 1;
  o.kl_target = 0.01;
  return o;
}

TrainOptions ddpg(const World& world) {
  DdpgOptions o;
  o.gamma = world.gamma;
  if (world.id == "MountainCarContinuous-v0") {  // the goal is found by noise that pushes one way for long
    o.noise = "ou";
    o.noise_std = 0.5;
    o.hidden = {64, 64};
    o.update_every = 4;
    o.warmup = 10000;
  }
  return o;
}

TrainOptions apg(const World& world) {
  AnalyticOptions o;
  o.gamma = world.gamma;
  return o;
}

// ---- Options as text ----

template <class N>
bool parse(const std::string& text, N& out) {
  N value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return false;
  if constexpr (std::is_floating_point_v<N>)
    if (!std::isfinite(value)) return false;
  out = value;
  return true;
}

struct Setter {
  const std::string& text;
  const std::string& where;

  void operator()(const char* key, double& x) const {
    expect(parse(text, x), where, key, " must be a number, got '", text, "'");
  }
  void operator()(const char* key, int& x) const {
    expect(parse(text, x), where, key, " must be a whole number, got '", text, "'");
  }
  void operator()(const char* key, long& x) const {
    expect(parse(text, x), where, key, " must be a whole number, got '", text, "'");
  }
  void operator()(const char* key, bool& x) const {
    expect(text == "true" || text == "false", where, key, " must be true or false, got '", text, "'");
    x = text == "true";
  }
  void operator()(const char*, std::string& x) const { x = text; }
  /// "64,64" or "[64, 64]"; nothing for no layers.
  void operator()(const char* key, std::vector<int>& x) const {
    std::string list = text;
    std::erase_if(list, [](char c) { return c == '[' || c == ']' || c == ' '; });
    std::vector<int> out;
    for (std::size_t begin = 0; begin < list.size();) {
      const std::size_t end = std::min(list.find(',', begin), list.size());
      expect(parse(list.substr(begin, end - begin), out.emplace_back()), where, key,
             " must be a list of whole numbers, as in [64, 64]; got '", text, "'");
      begin = end + 1;
    }
    x = std::move(out);
  }
};

std::string text_of(const toml::node& node, const std::string& where, const std::string& key) {
  if (const auto* x = node.as_string()) return x->get();
  if (const auto* x = node.as_boolean()) return x->get() ? "true" : "false";
  if (const auto* x = node.as_integer()) return std::to_string(x->get());
  if (const auto* x = node.as_floating_point()) return Json(x->get()).dump();
  if (const auto* list = node.as_array()) {
    std::string out;
    for (const auto& each : *list) out += (out.empty() ? "" : ",") + text_of(each, where, key);
    return out;
  }
  throw Error(join(where, key, " must be a number, true, false, a word, or a list of numbers"));
}

// ---- What was learnt ----

Json arrays_as_json(const std::vector<std::string>& names, const Parameters& arrays) {
  Json out = Json::array();
  for (std::size_t i = 0; i < arrays.size(); ++i)
    out.push_back({{"name", names[i]},
                   {"shape", {arrays[i].shape(0), arrays[i].shape(1)}},
                   {"values", std::vector<double>(arrays[i].begin(), arrays[i].end())}});
  return out;
}

Json model_as_json(const Model& model) {
  if (const auto* table = std::get_if<Table>(&model))
    return {{"states", table->S}, {"outputs", table->outputs}};
  if (const auto* linear = std::get_if<Linear>(&model))
    return {{"inputs", linear->inputs}, {"outputs", linear->outputs}};
  const auto& mlp = std::get<Mlp>(model);
  return {{"sizes", mlp.sizes}, {"activation", mlp.activation == Activation::tanh ? "tanh" : "relu"}};
}

Model model_from(const Json& json) {
  if (json.contains("states")) return Table{json.at("states"), json.at("outputs")};
  if (json.contains("inputs")) return Linear{json.at("inputs"), json.at("outputs")};
  Mlp mlp{.sizes = json.at("sizes")};
  mlp.activation = json.at("activation") == "relu" ? Activation::relu : Activation::tanh;
  return mlp;
}

Parameters arrays_from(const Json& json) {
  Parameters out;
  for (const auto& each : json) {
    const std::vector<double> numbers = each.at("values");
    out.push_back(from_values<double>(each.at("shape")[0], each.at("shape")[1], numbers));
  }
  return out;
}

}  // namespace

const std::vector<AlgorithmEntry>& algorithms() {
  static const std::vector<AlgorithmEntry> all = {
      {"reinforce", "REINFORCE with returns normalised in each episode", "Williams 1992; Yoon 2018",
       reinforce},
      {"reinforce-baseline", "REINFORCE with a learnt state-value baseline",
       "Williams 1992; Sutton & Barto 2018, section 13.4", reinforce_baseline},
      {"q-actor-critic", "actor-critic that weighs scores with a learnt Q(s, a)",
       "Sutton et al. 2000; Konda & Tsitsiklis 2000", q_actor_critic},
      {"a2c", "advantage actor-critic, synchronous", "Mnih et al. 2016; Schulman et al. 2016", a2c},
      {"a3c", "asynchronous advantage actor-critic", "Mnih et al. 2016, algorithm S3", a3c},
      {"npg", "natural policy gradient of a fixed KL step", "Kakade 2001", npg},
      {"trpo", "trust region policy optimisation", "Schulman et al. 2015", trpo},
      {"ppo", "proximal policy optimisation, clipped", "Schulman et al. 2017, eq. 7", ppo},
      {"ppo-kl", "proximal policy optimisation with an adaptive KL penalty", "Schulman et al. 2017, eq. 8",
       ppo_kl},
      {"ddpg", "deep deterministic policy gradient", "Silver et al. 2014; Lillicrap et al. 2016", ddpg},
      {"apg", "analytic policy gradient: ascent through the dynamics",
       "Heess et al. 2015; Wiedemann et al. 2023", apg},
  };
  return all;
}

TrainOptions default_options(const std::string& algorithm, const World& world) {
  std::vector<std::string> known;
  for (const auto& each : algorithms()) {
    if (each.id == algorithm) return each.defaults(world);
    known.push_back(each.id);
  }
  throw Error(unknown_name("algorithm", algorithm, known));
}

std::string nearest_name(std::string_view typed, const std::vector<std::string>& known) {
  const auto distance = [&](const std::string& name) {
    std::vector<std::size_t> row(name.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= typed.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j < row.size(); ++j) {
        const std::size_t above = row[j];
        row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (typed[i - 1] != name[j - 1])});
        diagonal = above;
      }
    }
    return row.back();
  };
  return *std::min_element(known.begin(), known.end(),
                           [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
}

void set_option(TrainOptions& options, const std::string& key, const std::string& text,
                const std::string& where) {
  bool found = false;
  std::vector<std::string> known;
  std::visit(
      [&](auto& o) {
        o.visit([&](const char* name, auto& value) {
          known.emplace_back(name);
          if (key != name) return;
          found = true;
          Setter{text, where}(name, value);
        });
      },
      options);
  expect(found, where, "unknown option '", key, "'; did you mean '", nearest_name(key, known), "'?");
}

void read_config(TrainOptions& options, const std::filesystem::path& path) {
  std::ifstream in(path);
  expect(in.good() && !std::filesystem::is_directory(path), "cannot read ", path.string(),
         ": no such file, or not a readable one");
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  toml::table table;
  try {
    table = toml::parse(text, path.string());
  } catch (const toml::parse_error& e) {
    throw Error(join(path.string(), ", line ", e.source().begin.line, ": ", e.description()));
  }
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const std::string where = path.string() + ", line " + std::to_string(key.source().begin.line) + ": ";
    set_option(options, name, text_of(node, where, name), where);
  }
}

Json as_json(const TrainOptions& options) {
  Json out = Json::object();
  auto copy = options;
  std::visit([&](auto& o) { o.visit([&](const char* name, auto& value) { out[name] = value; }); }, copy);
  return out;
}

void check(const TrainOptions& options, const World& world) {
  std::visit([&](const auto& o) { check(o, world); }, options);
}

double discount_of(const TrainOptions& options) {
  return std::visit([](const auto& o) { return o.gamma; }, options);
}

Learned train(const World& world, const TrainOptions& options, long steps, std::uint64_t seed,
              const Watcher& watcher) {
  return std::visit([&](const auto& o) { return train(world, o, steps, seed, watcher); }, options);
}

std::string learned_as_json(const World& world, const Learned& learned) {
  Json out{{"env", world.id},
           {"policy",
            {{"head", learned.policy.head == Head::softmax ? "softmax" : "gaussian"},
             {"bound", learned.policy.bound},
             {"model", model_as_json(learned.policy.model)},
             {"parameters", arrays_as_json(learned.policy.names(), learned.theta)}}}};
  if (learned.critic)
    out["critic"] = {{"of", learned.action_values ? "actions" : "states"},
                     {"model", model_as_json(*learned.critic)},
                     {"parameters", arrays_as_json(names(*learned.critic), learned.w)}};
  if (std::holds_alternative<Table>(learned.policy.model)) {
    const auto& table = learned.theta.front();
    for (int s = 0; s < shape(table).rows; ++s)
      out["logits"].push_back(std::vector<double>(row(table, s).begin(), row(table, s).end()));
  }
  return out.dump() + "\n";
}

std::filesystem::path policy_file(const std::filesystem::path& directory) {
  std::ifstream in(directory / "summary.json");
  const Json summary = in.good() ? Json::parse(in, nullptr, false) : Json();
  expect(summary.is_object() && summary.contains("seeds") && !summary["seeds"].empty(), "cannot read ",
         (directory / "summary.json").string(), ": is it a directory that `lowvar train` wrote?");
  return directory / ("policy-" + summary["seeds"][0].at("seed").dump() + ".json");
}

Learned read_learned(const std::filesystem::path& path, const World& world) {
  std::ifstream in(path);
  expect(in.good(), "cannot read ", path.string(), ": is it a directory that `lowvar train` wrote?");
  const Json json = Json::parse(in, nullptr, false);
  expect(!json.is_discarded() && json.is_object() && json.contains("policy"), path.string(),
         " is not a policy that `lowvar train` wrote");
  try {
    const Json& p = json.at("policy");
    Learned out{{model_from(p.at("model")), p.at("head") == "gaussian" ? Head::gaussian : Head::softmax,
                 p.at("bound")},
                arrays_from(p.at("parameters"))};
    if (json.contains("critic")) {
      out.critic = model_from(json["critic"].at("model"));
      out.w = arrays_from(json["critic"].at("parameters"));
      out.action_values = json["critic"].at("of") == "actions";
    }
    const auto* mlp = std::get_if<Mlp>(&out.policy.model);
    const int wanted = world.A ? world.A : world.m;
    expect(outputs(out.policy.model) == wanted && (out.policy.head == Head::softmax) == (world.A > 0) &&
               (mlp ? !world.mdp && mlp->sizes.front() == world.observation
                    : world.mdp && std::get<Table>(out.policy.model).S == world.mdp->S),
           path.string(), " was learnt in ", json.at("env").get<std::string>(), " and does not fit ",
           world.id);
    return out;
  } catch (const nlohmann::json::exception&) {
    throw Error(path.string() + " is not a policy that `lowvar train` wrote");
  }
}

}  // namespace lowvar
