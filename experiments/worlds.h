// The worlds that the command line knows by name.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "envs/bike_share.h"
#include "experiments/models.h"

namespace lowvar {

/// A line of the list of worlds. Where `id` has parameters, as garnet:S:A:B:SEED has, it is a pattern: every
/// id that begins as it does up to the first colon is of this line.
struct WorldEntry {
  std::string id;
  std::string description;
  double gamma;
  int T;  // 0 where the parameters say discount and horizon
  /// The world of an id, at another discount or horizon where given.
  std::function<World(const std::string& id, std::optional<double> gamma, std::optional<int> T)> make;
  /// What it needs and this program was built without, with how to get it; empty where all is there.
  std::string missing = {};
};
const std::vector<WorldEntry>& worlds();

/// Adds a world to those that the command line knows; to be called before run_command_line. Throws Error
/// where the id is taken.
void add_world(WorldEntry entry);
/// The same for an environment.
template <Environment E>
void add_world(const std::string& id, const std::string& description, double gamma, int T) {
  add_world({id, description, gamma, T,
             [=](const std::string& name, std::optional<double> other_gamma, std::optional<int> other_T) {
               return environment_world(name, E{}, other_gamma.value_or(gamma), other_T.value_or(T));
             }});
}
/// The same for an environment that says its own discount and time limit.
template <Environment E>
requires requires(const E& env) { env.gamma, env.T; }
void add_world(const std::string& id, const std::string& description) {
  add_world<E>(id, description, E{}.gamma, E{}.T);
}

/// The world of this id, at another discount or horizon where given.
World make_world(const std::string& id, std::optional<double> gamma, std::optional<long> horizon);

/// The city of `bike-share` or bike-share:FILE.
std::shared_ptr<const BikeShare> bike_share_of(const std::string& id);

/// "a, b, c" nearest to what was typed first: for errors about unknown names.
std::string unknown_name(std::string_view what, std::string_view typed,
                         const std::vector<std::string>& known);

}  // namespace lowvar
