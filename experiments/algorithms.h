// The algorithms that `lowvar train` knows by name, their options as text, and what they learnt on disk.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "algorithms/train/training.h"

namespace lowvar {

/// A line of the list of algorithms: its recipe for a world, before anyone changes an option.
struct AlgorithmEntry {
  std::string id;
  std::string description;
  std::string source;
  std::unique_ptr<Algorithm> (*make)(const World& world);
};
const std::vector<AlgorithmEntry>& algorithms();

std::unique_ptr<Algorithm> make_algorithm(const std::string& id, const World& world);

/// The settings that were tuned for an algorithm in a world, where there are some: a file of
/// experiments/configs.
std::optional<std::filesystem::path> tuned_config(const std::string& algorithm, const World& world);

/// Sets one option from text; `where` opens the sentence about what is wrong with it.
void set_option(Algorithm& algorithm, const std::string& key, const std::string& text,
                const std::string& where);
/// Sets the options that a TOML file names.
void read_config(Algorithm& algorithm, const std::filesystem::path& path);
/// Sets those of an object that options_as_json gave.
void set_options(Algorithm& algorithm, const nlohmann::ordered_json& options);
nlohmann::ordered_json options_as_json(const Algorithm& algorithm);

/// A learnt policy and critic as JSON, 17 digits; tables also under "logits", which `--policy logits:FILE`
/// takes.
std::string learned_as_json(const World& world, const Learned& learned);
/// Where a directory of `lowvar train` keeps the policy of its first seed.
std::filesystem::path policy_file(const std::filesystem::path& directory);
Learned read_learned(const std::filesystem::path& path, const World& world);

/// The one of `known` that is fewest edits away from what was typed.
std::string nearest_name(std::string_view typed, const std::vector<std::string>& known);

}  // namespace lowvar
