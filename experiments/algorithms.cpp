#include "experiments/algorithms.h"

#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "algorithms/train/a2c.h"
#include "algorithms/train/a3c.h"
#include "algorithms/train/apg.h"
#include "algorithms/train/ddpg.h"
#include "algorithms/train/npg.h"
#include "algorithms/train/ppo.h"
#include "algorithms/train/reinforce.h"
#include "algorithms/train/trpo.h"
#include "core/input_file.h"
#include "experiments/output.h"
#include "experiments/script.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

using Json = nlohmann::ordered_json;

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
  const char* key;

  void operator()(double* x) const {
    expect(parse(text, *x), where, key, " must be a number, got '", text, "'");
  }
  void operator()(int* x) const {
    expect(parse(text, *x), where, key, " must be a whole number, got '", text, "'");
  }
  void operator()(long* x) const {
    expect(parse(text, *x), where, key, " must be a whole number, got '", text, "'");
  }
  void operator()(bool* x) const {
    expect(text == "true" || text == "false", where, key, " must be true or false, got '", text, "'");
    *x = text == "true";
  }
  void operator()(std::string* x) const { *x = text; }
  void operator()(const ChoiceRef& x) const {
    const auto found = std::find(x.names.begin(), x.names.end(), text);
    std::string list;
    for (const auto& each : x.names) list += (list.empty() ? "" : ", ") + each;
    expect(found != x.names.end(), where, key, " must be one of ", list, "; got '", text, "'");
    x.set(static_cast<std::size_t>(found - x.names.begin()));
  }
  /// "64,64" or "[64, 64]"; nothing for no layers.
  void operator()(std::vector<int>* x) const {
    std::string list = text;
    std::erase_if(list, [](char c) { return c == '[' || c == ']' || c == ' '; });
    std::vector<int> out;
    for (std::size_t begin = 0; begin < list.size();) {
      const std::size_t end = std::min(list.find(',', begin), list.size());
      expect(parse(list.substr(begin, end - begin), out.emplace_back()), where, key,
             " must be a list of whole numbers, as in [64, 64]; got '", text, "'");
      begin = end + 1;
    }
    *x = std::move(out);
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

constexpr const char* heads[] = {"softmax", "gaussian", "choices"};  // by Head

Json arrays_as_json(const std::vector<std::string>& names, const Parameters& arrays) {
  Json out = Json::array();
  for (std::size_t i = 0; i < arrays.size(); ++i)
    out.push_back({{"name", names[i]},
                   {"shape", {arrays[i].shape(0), arrays[i].shape(1)}},
                   {"values", std::vector<double>(arrays[i].begin(), arrays[i].end())}});
  return out;
}

Json model_as_json(const Model& model) {
  if (const auto* table = std::get_if<Table>(&model)) {
    Json out{{"states", table->S}, {"outputs", table->outputs}};
    if (table->aliases) out["rows"] = table->rows();
    return out;
  }
  if (const auto* reader = std::get_if<Reader>(&model))
    return {{"reader", reader->cell == Reader::Cell::gru ? "gru" : "attention"},
            {"width", reader->width},
            {"outputs", reader->outputs}};
  if (const auto* linear = std::get_if<Linear>(&model))
    return {{"inputs", linear->inputs}, {"outputs", linear->outputs}};
  if (const auto* cnn = std::get_if<Cnn>(&model)) {
    Json filters = Json::array();
    for (const auto& each : cnn->filters) filters.push_back({each.filters, each.size, each.stride});
    const ImageShape image = cnn->image;
    return {{"image", {image.height, image.width, image.channels}},
            {"unit", cnn->unit},
            {"convolutions", filters},
            {"perceptron", model_as_json(cnn->mlp)}};
  }
  const auto& mlp = std::get<Mlp>(model);
  Json out{{"sizes", mlp.sizes}, {"activation", mlp.activation == Activation::tanh ? "tanh" : "relu"}};
  if (const Normaliser& seen = mlp.normaliser; !seen.mean.empty())
    out["normaliser"] = {{"mean", seen.mean}, {"deviation", seen.deviation}, {"limit", seen.limit}};
  return out;
}

Mlp mlp_from(const Json& json, const std::string& where) {
  Mlp mlp{.sizes = json.at("sizes")};
  expect(mlp.sizes.size() >= 2, where,
         ": the sizes of a network are those of its inputs, layers and outputs");
  mlp.activation = json.at("activation") == "relu" ? Activation::relu : Activation::tanh;
  if (json.contains("normaliser")) {
    const Json& seen = json.at("normaliser");
    mlp.normaliser = {seen.at("mean"), seen.at("deviation"), seen.at("limit")};
    const auto& [mean, deviation, limit] = mlp.normaliser;
    const auto inputs = static_cast<std::size_t>(mlp.sizes.front());
    expect(mean.size() == inputs && deviation.size() == inputs && limit >= 0 &&
               std::all_of(deviation.begin(), deviation.end(), [](double x) { return x > 0; }),
           where, ": what the network sees is normalised by a mean and a positive deviation of each of its ",
           inputs, " inputs, within a limit that is not negative");
  }
  return mlp;
}

/// Rows that states share, and what was written, are the world's.
Model model_from(const Json& json, const World& world, const std::string& where) {
  const bool of_sequences = json.contains("rows") || json.contains("reader");
  expect(!of_sequences || world.sequences, where, " was learnt in a sequence world and does not fit ",
         world.id);
  if (json.contains("rows")) {
    for (const auto& rows : {world.sequences->tied, world.sequences->by_prefix})
      if (rows && json.at("rows") == rows->rows) return Table{json.at("states"), json.at("outputs"), rows};
    fail(where, ": ", json.at("rows").dump(), " rows of logits do not fit ", world.id);
  }
  if (json.contains("reader")) {
    const int width = json.at("width");
    expect(world.sequences->enumerable() && width >= 1 && width <= 100'000, where, ": a reader of width ",
           width, " does not fit ", world.id);
    return reading_policy(world, json.at("reader") == "gru" ? Reader::Cell::gru : Reader::Cell::attention,
                          width, 1)
        .model;
  }
  if (json.contains("states")) return Table{json.at("states"), json.at("outputs")};
  if (json.contains("inputs")) return Linear{json.at("inputs"), json.at("outputs")};
  if (json.contains("image")) {
    const Json& image = json.at("image");
    Cnn cnn{
        .image = {image.at(0), image.at(1), image.at(2)}, .unit = json.at("unit"), .filters = {}, .mlp = {}};
    expect(cnn.image == world.image, where, " was learnt from images ", cnn.image, " and does not fit ",
           world.id);
    for (const Json& each : json.at("convolutions"))
      cnn.filters.push_back({each.at(0), each.at(1), each.at(2)});
    check(cnn);
    cnn.mlp = mlp_from(json.at("perceptron"), where);
    expect(cnn.mlp.sizes.front() == cnn.flattened().size(), where, ": the perceptron has ",
           cnn.mlp.sizes.front(), " inputs, and the convolutions give ", cnn.flattened().size());
    return cnn;
  }
  return mlp_from(json, where);
}

/// Throws NumericalFault where a number is null, which JSON has for those that are not finite.
Parameters arrays_from(const Json& json, const std::vector<Shape>& of, const std::string& where) {
  expect(json.size() == of.size(), where, ": ", json.size(), " arrays of parameters, where the model has ",
         of.size());
  Parameters out;
  for (const auto& each : json) {
    if (std::any_of(each.at("values").begin(), each.at("values").end(),
                    [](const Json& x) { return x.is_null(); }))
      throw NumericalFault(
          join(where, ": ", each.at("name").get<std::string>(), " holds a number that is not finite"));
    const std::vector<double> numbers = each.at("values");
    const Shape shape = of[out.size()];
    expect(each.at("shape") == Json({shape.rows, shape.cols}) && numbers.size() == shape.size(), where, ": ",
           each.at("name").get<std::string>(), " must be ", shape, " numbers, got ", numbers.size(),
           " and a shape of ", each.at("shape").dump());
    out.push_back(from_values<double>(shape.rows, shape.cols, numbers));
  }
  return out;
}

}  // namespace

namespace {

template <auto recipe>
std::unique_ptr<Algorithm> make(const World& world) {
  return algorithm(recipe(world));
}

}  // namespace

const std::vector<AlgorithmEntry>& algorithms() {
  static const std::vector<AlgorithmEntry> all = {
      {"reinforce", "REINFORCE with returns normalised in each episode", "Williams 1992; Yoon 2018",
       make<reinforce_recipe>},
      {"reinforce-baseline", "REINFORCE with a learnt state-value baseline",
       "Williams 1992; Sutton & Barto 2018, section 13.4", make<reinforce_baseline_recipe>},
      {"q-actor-critic", "actor-critic that weighs scores with a learnt Q(s, a)",
       "Sutton et al. 2000; Konda & Tsitsiklis 2000", make<q_actor_critic_recipe>},
      {"a2c", "advantage actor-critic, synchronous", "Mnih et al. 2016; Schulman et al. 2016",
       make<a2c_recipe>},
      {"a3c", "asynchronous advantage actor-critic", "Mnih et al. 2016, algorithm S3", make<a3c_recipe>},
      {"npg", "natural policy gradient of a fixed KL step", "Kakade 2001", make<npg_recipe>},
      {"trpo", "trust region policy optimisation", "Schulman et al. 2015", make<trpo_recipe>},
      {"ppo", "proximal policy optimisation, clipped", "Schulman et al. 2017, eq. 7", make<ppo_recipe>},
      {"ppo-kl", "proximal policy optimisation with an adaptive KL penalty", "Schulman et al. 2017, eq. 8",
       make<ppo_kl_recipe>},
      {"ddpg", "deep deterministic policy gradient", "Silver et al. 2014; Lillicrap et al. 2016",
       make<ddpg_recipe>},
      {"apg", "analytic policy gradient: ascent through the dynamics",
       "Heess et al. 2015; Wiedemann et al. 2023", make<apg_recipe>},
  };
  return all;
}

std::unique_ptr<Algorithm> make_algorithm(const std::string& id, const World& world) {
  std::vector<std::string> known;
  for (const auto& each : algorithms()) {
    if (each.id == id) return each.make(world);
    known.push_back(each.id);
  }
  throw Error(unknown_name("algorithm", id, known));
}

std::optional<std::filesystem::path> tuned_config(const std::string& algorithm, const World& world) {
  const auto path = data_directory() / "experiments" / "configs" / join(algorithm, "_", world.id, ".toml");
  if (world.id.find('/') != std::string::npos || !is_there(path)) return std::nullopt;
  return path;
}

std::string nearest_name(std::string_view typed, const std::vector<std::string>& known) {
  typed = typed.substr(0, 64);  // longer than any name
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

void set_option(Algorithm& algorithm, const std::string& key, const std::string& text,
                const std::string& where) {
  bool found = false;
  std::vector<std::string> known;
  algorithm.visit([&](const char* name, OptionRef value) {
    known.emplace_back(name);
    if (key != name) return;
    found = true;
    std::visit(Setter{text, where, name}, value);
  });
  if (!found)
    throw Error(join(where, "unknown option '", key, "'; did you mean '", nearest_name(key, known), "'?"));
}

void read_config(Algorithm& algorithm, const std::filesystem::path& path) {
  const std::string text = read_input(path);
  toml::table table;
  try {
    table = toml::parse(text, path.string());
  } catch (const toml::parse_error& e) {
    throw Error(join(path.string(), ", line ", e.source().begin.line, ": ", e.description()));
  }
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const std::string where = path.string() + ", line " + std::to_string(key.source().begin.line) + ": ";
    set_option(algorithm, name, text_of(node, where, name), where);
  }
}

Json options_as_json(const Algorithm& algorithm) {
  Json out = Json::object();
  algorithm.clone()->visit([&](const char* name, OptionRef value) {
    out[name] = std::visit(
        [](const auto& x) {
          if constexpr (std::is_pointer_v<std::decay_t<decltype(x)>>)
            return Json(*x);
          else
            return Json(x.names[x.get()]);
        },
        value);
  });
  return out;
}

void set_options(Algorithm& algorithm, const Json& options) {
  for (const auto& [key, value] : options.items())
    set_option(algorithm, key, value.is_string() ? value.get<std::string>() : value.dump(), "");
}

std::string learned_as_json(const World& world, const Learned& learned) {
  Json out{{"env", world.id},
           {"policy",
            {{"head", heads[static_cast<std::size_t>(learned.policy.head)]},
             {"low", learned.policy.low},
             {"high", learned.policy.high},
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
  return json_text(out, -1);
}

std::filesystem::path policy_file(const std::filesystem::path& directory) {
  expect_sound(directory);
  const Json summary = read_json(directory / "summary.json");
  expect(summary.is_object() && summary.contains("seeds") && !summary.at("seeds").empty(), "cannot read ",
         (directory / "summary.json").string(), ": is it a directory that `lowvar train` wrote?");
  return directory / ("policy-" + summary.at("seeds")[0].at("seed").dump() + ".json");
}

Learned read_learned(const std::filesystem::path& path, const World& world) {
  expect(is_there(path), "cannot read ", path.string(), ": is it a directory that `lowvar train` wrote?");
  const Json json = read_json(path);
  expect(json.is_object() && json.contains("policy"), path.string(),
         " is not a policy that `lowvar train` wrote");
  try {
    const Json& p = json.at("policy");
    const int seen = world.mdp ? world.mdp->S : world.observation, wanted = policy_numbers(world);
    const auto fits = [&](const Model& model, int outputs_) {
      const bool reader = std::holds_alternative<Reader>(model);
      return (reader || inputs(model) == seen) && outputs(model) == outputs_ &&
             of_states(model) == (world.mdp != nullptr);
    };
    const auto expect_fit = [&](bool fine) {
      expect(fine, path.string(), " was learnt in ", json.at("env").get<std::string>(), " and does not fit ",
             world.id);
    };
    Learned out{policy_by(world, model_from(p.at("model"), world, path.string())), {}};
    const bool gaussian = out.policy.head == Head::gaussian;
    out.policy.low = p.at("low").get<std::vector<double>>();
    out.policy.high = p.at("high").get<std::vector<double>>();
    const auto& low = out.policy.low;
    expect_fit(p.at("head") == heads[static_cast<std::size_t>(out.policy.head)] &&
               fits(out.policy.model, wanted) && low.size() == out.policy.high.size() &&
               (low.empty() || (gaussian && low.size() == static_cast<std::size_t>(world.m))));
    std::vector<Shape> of = shapes(out.policy.model);
    if (gaussian) of.push_back({1, world.m});
    out.theta = arrays_from(p.at("parameters"), of, path.string());
    if (json.contains("critic")) {
      const Json& critic = json.at("critic");
      out.action_values = critic.at("of") == "actions";
      out.critic = model_from(critic.at("model"), world, path.string());
      expect_fit(fits(*out.critic, out.action_values ? wanted : 1));
      out.w = arrays_from(critic.at("parameters"), shapes(*out.critic), path.string());
    }
    return out;
  } catch (const nlohmann::json::exception&) {
    throw Error(path.string() + " is not a policy that `lowvar train` wrote");
  }
}

}  // namespace lowvar
