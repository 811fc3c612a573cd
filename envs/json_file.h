// JSON files.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/input_file.h"

namespace lowvar {

/// The object that a file holds. Throws Error where it holds none.
inline nlohmann::json read_json_object(const std::filesystem::path& path) {
  nlohmann::json json = nlohmann::json::parse(read_input(path), nullptr, false);
  expect(!json.is_discarded(), path.string(), " is not valid JSON (numbers must be finite and no NaN)");
  expect(json.is_object(), path.string(), ": the file must hold one JSON object, got ", json.type_name());
  return json;
}

}  // namespace lowvar
