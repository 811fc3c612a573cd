// The algorithms that `lowvar train` knows by name, their options, and what they learnt on disk.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "algorithms/train/analytic.h"
#include "algorithms/train/ddpg.h"
#include "algorithms/train/on_policy.h"

namespace lowvar {

using TrainOptions = std::variant<OnPolicyOptions, DdpgOptions, AnalyticOptions>;

/// A line of the list of algorithms: its options in a world, before anyone changes them. Throws Error where
/// it does not apply to that world.
struct AlgorithmEntry {
  std::string id;
  std::string description;
  std::string source;
  TrainOptions (*defaults)(const World& world);
};
const std::vector<AlgorithmEntry>& algorithms();

TrainOptions default_options(const std::string& algorithm, const World& world);

/// Sets one option from text; `where` opens the sentence about what is wrong with it.
void set_option(TrainOptions& options, const std::string& key, const std::string& text,
                const std::string& where);
/// Sets the options that a TOML file names.
void read_config(TrainOptions& options, const std::filesystem::path& path);
nlohmann::ordered_json as_json(const TrainOptions& options);
/// Throws Error naming what is wrong.
void check(const TrainOptions& options, const World& world);
double discount_of(const TrainOptions& options);

Learned train(const World& world, const TrainOptions& options, long steps, std::uint64_t seed,
              const Watcher& watcher);

/// A learnt policy and critic as JSON, 17 digits; tables also under "logits", which `--policy logits:FILE`
/// takes.
std::string learned_as_json(const World& world, const Learned& learned);
/// Where a directory of `lowvar train` keeps the policy of its first seed.
std::filesystem::path policy_file(const std::filesystem::path& directory);
Learned read_learned(const std::filesystem::path& path, const World& world);

/// The one of `known` that is fewest edits away from what was typed.
std::string nearest_name(std::string_view typed, const std::vector<std::string>& known);

}  // namespace lowvar
