#include "envs/retro/game.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <sstream>

#include "core/error.h"
#include "core/input_file.h"
#include "envs/json_file.h"

namespace lowvar::retro {

using Json = nlohmann::json;
namespace fs = std::filesystem;

const std::vector<System>& systems() {
  // Buttons and actions are Retro's.
  static const std::vector<System> all = {
      {"nes",
       "NES",
       0,
       {"nestopia", "fceumm", "quicknes", "mesen"},
       "libretro-nestopia",
       {"B", nullptr, "SELECT", "START", "UP", "DOWN", "LEFT", "RIGHT", "A"},
       {{{}, {"UP"}, {"DOWN"}}, {{}, {"LEFT"}, {"RIGHT"}}, {{}, {"A"}, {"B"}, {"A", "B"}}}},
      {"sfc",
       "Super NES",
       0x7E0000,
       {"bsnes_mercury_balanced", "bsnes_mercury_performance", "bsnes_mercury_accuracy", "snes9x"},
       "libretro-bsnes-mercury-balanced",
       {"B", "Y", "SELECT", "START", "UP", "DOWN", "LEFT", "RIGHT", "A", "X", "L", "R"},
       {{{}, {"UP"}, {"DOWN"}},
        {{}, {"LEFT"}, {"RIGHT"}},
        {{},
         {"A"},
         {"B"},
         {"X"},
         {"Y"},
         {"A", "B"},
         {"B", "Y"},
         {"Y", "X"},
         {"X", "A"},
         {"A", "B", "Y"},
         {"B", "Y", "X"},
         {"Y", "X", "A"},
         {"A", "B", "Y", "X"}},
        {{}, {"L"}, {"R"}, {"L", "R"}}}},
      {"gb",
       "Game Boy",
       0xC000,
       {"gambatte"},
       "libretro-gambatte",
       {"B", nullptr, "SELECT", "START", "UP", "DOWN", "LEFT", "RIGHT", "A"},
       {{{}, {"UP"}, {"DOWN"}},
        {{}, {"LEFT"}, {"RIGHT"}},
        {{}, {"A"}, {"B"}, {"SELECT"}, {"A", "B"}, {"A", "SELECT"}, {"B", "SELECT"}, {"A", "B", "SELECT"}}}},
  };
  return all;
}

std::optional<fs::path> core_of(const System& system) {
  const char* const given = std::getenv("LOWVAR_CORES");
  std::istringstream directories(given ? given : "/usr/lib/x86_64-linux-gnu/libretro:/usr/lib/libretro");
  std::vector<fs::path> places;
  for (std::string each; std::getline(directories, each, ':');) places.emplace_back(each);
  for (const char* const core : system.cores)
    for (const fs::path& place : places) {
      fs::path path = place / join(core, "_libretro.so");
      std::error_code none;
      if (fs::is_regular_file(path, none)) return path;
    }
  return std::nullopt;
}

// ---- data.json ----

std::optional<NumberType> NumberType::parse(std::string_view text) {
  std::size_t signs = 0;
  while (signs < text.size() && std::string_view("<>=|").find(text[signs]) != std::string_view::npos) ++signs;
  const std::string_view order = text.substr(0, signs);
  if (signs + 2 != text.size()) return std::nullopt;
  NumberType out;
  out.digits_ = text[signs];
  out.bytes_ = text[signs + 1] - '0';
  if (std::string_view("uidn").find(out.digits_) == std::string_view::npos) return std::nullopt;
  if (out.bytes_ < 1 || out.bytes_ > 8) return std::nullopt;
  const bool little = order == "<" || order == "|" || order == "=" || order == "<=", big = order == ">",
             little_of_big = order == "<>", big_of_little = order == "><" || order == ">=";
  if (!little && !big && !little_of_big && !big_of_little) return std::nullopt;
  if ((little_of_big || big_of_little) && out.bytes_ % 2 != 0) return std::nullopt;
  const int n = out.bytes_, half = n / 2;
  for (int k = 0; k < n; ++k) {
    int place = k;  // of byte k, the lowest is 0
    if (big) place = n - 1 - k;
    if (little_of_big) place = k < half ? half - 1 - k : n - 1 - (k - half);
    if (big_of_little) place = k < half ? half + k : k - half;
    out.place_[static_cast<std::size_t>(k)] = static_cast<std::uint8_t>(place);
  }
  return out;
}

std::int64_t NumberType::read(const std::uint8_t* from) const {
  const std::uint64_t base = digits_ == 'd' ? 100 : digits_ == 'n' ? 10 : 256;
  std::uint64_t out = 0, power[8] = {1};
  for (int i = 1; i < bytes_; ++i) power[i] = power[i - 1] * base;
  for (int k = 0; k < bytes_; ++k) {
    std::uint64_t digit = from[k];
    if (digits_ == 'd') digit = (digit >> 4) % 10 * 10 + (digit & 15) % 10;
    if (digits_ == 'n') digit = (digit & 15) % 10;
    out += digit * power[place_[static_cast<std::size_t>(k)]];
  }
  if (digits_ == 'i') {
    const int unused = 64 - 8 * bytes_;
    return static_cast<std::int64_t>(out << unused) >> unused;
  }
  return static_cast<std::int64_t>(out);
}

namespace {

/// A key of a file, for errors.
std::string at(const fs::path& path, std::string_view key) { return join(path.string(), ": ", key); }

std::int64_t whole(const Json& x, const std::string& where) {
  expect(x.is_number_integer() || (x.is_number_float() && x.get<double>() == std::floor(x.get<double>()) &&
                                   std::abs(x.get<double>()) < 9e15),
         where, " must be a whole number");
  return x.is_number_integer() ? x.get<std::int64_t>() : static_cast<std::int64_t>(x.get<double>());
}

const Json& object_in(const Json& json, const char* key, const std::string& where) {
  static const Json none = Json::object();
  const auto found = json.find(key);
  if (found == json.end()) return none;
  expect(found->is_object(), where, " must be an object");
  return *found;
}

}  // namespace

std::map<std::string, Number> read_numbers(const fs::path& path) {
  const Json json = read_json_object(path);
  expect(json.contains("info"), at(path, "info"),
         " is missing: {\"info\": {NAME: {\"address\": ..., \"type\": ...}}}");
  std::map<std::string, Number> out;
  for (const auto& [name, each] : object_in(json, "info", at(path, "info")).items()) {
    const std::string where = at(path, name);
    expect(each.is_object() && each.contains("address") && each.contains("type"), where,
           " must have an address and a type");
    Number number;
    const std::int64_t address = whole(each["address"], where + ".address");
    expect(address >= 0, where, ".address must not be negative, got ", address);
    number.address = static_cast<std::size_t>(address);
    expect(each["type"].is_string(), where, ".type must be a text such as \"<u2\"");
    if (each.contains("mask")) number.mask = static_cast<std::uint64_t>(whole(each["mask"], where + ".mask"));
    if (const auto type = NumberType::parse(each["type"].get<std::string>())) {
      number.type = *type;
      out[name] = number;
    }
  }
  return out;
}

// ---- scenario.json ----

std::int64_t Measured::operator()(std::span<const std::int64_t> now,
                                  std::span<const std::int64_t> before) const {
  std::int64_t x = now[number];
  if (change)
    x = static_cast<std::int64_t>(static_cast<std::uint64_t>(x) - static_cast<std::uint64_t>(before[number]));
  switch (op) {
    case Op::itself:
      return x;
    case Op::nonzero:
      return x != 0;
    case Op::zero:
      return x == 0;
    case Op::positive:
      return x > 0;
    case Op::negative:
      return x < 0;
    case Op::sign:
      return (x > 0) - (x < 0);
    case Op::equal:
      return x == reference;
    case Op::negative_equal:
      return x == static_cast<std::int64_t>(-static_cast<std::uint64_t>(reference));
    case Op::not_equal:
      return x != reference;
    case Op::less_than:
      return x < reference;
    case Op::greater_than:
      return x > reference;
    case Op::less_or_equal:
      return x <= reference;
    case Op::greater_or_equal:
      return x >= reference;
  }
  return x;
}

float Scenario::reward(std::span<const std::int64_t> now, std::span<const std::int64_t> before) const {
  float out = time;
  for (const Paid& each : paid) {
    const auto x = static_cast<float>(each.measured(now, before));
    out += x > 0 ? x * each.reward : x < 0 ? x * each.penalty : 0;
  }
  return out;
}

namespace {

bool ended_by(const Ends& ends, std::span<const std::int64_t> now, std::span<const std::int64_t> before) {
  for (const Measured& each : ends.measured)
    if ((each(now, before) > 0) != ends.all) return !ends.all;
  for (const Ends& each : ends.nodes)
    if (ended_by(each, now, before) != ends.all) return !ends.all;
  return ends.all;
}

/// Reads one scenario.
struct Reader {
  const fs::path& path;
  const std::map<std::string, Number>& known;
  Scenario scenario = {};

  std::size_t number(const std::string& name, const char* what) {
    auto& all = scenario.numbers;
    const auto there =
        std::find_if(all.begin(), all.end(), [&](const auto& each) { return each.first == name; });
    if (there != all.end()) return static_cast<std::size_t>(there - all.begin());
    const auto found = known.find(name);
    expect(found != known.end(), at(path, what), " asks for '", name, "', which data.json does not say");
    all.emplace_back(name, found->second);
    return all.size() - 1;
  }

  Measured::Op op(const Json& x, const std::string& where) {
    static constexpr std::pair<const char*, Measured::Op> names[] = {
        {"", Measured::Op::itself},
        {"nonzero", Measured::Op::nonzero},
        {"zero", Measured::Op::zero},
        {"positive", Measured::Op::positive},
        {"negative", Measured::Op::negative},
        {"sign", Measured::Op::sign},
        {"equal", Measured::Op::equal},
        {"negative-equal", Measured::Op::negative_equal},
        {"not-equal", Measured::Op::not_equal},
        {"less-than", Measured::Op::less_than},
        {"greater-than", Measured::Op::greater_than},
        {"less-or-equal", Measured::Op::less_or_equal},
        {"greater-or-equal", Measured::Op::greater_or_equal},
    };
    std::string known_names;
    for (const auto& [name, each] : names) {
      if (x.is_string() && x.get<std::string>() == name) return each;
      if (*name) known_names += (known_names.empty() ? "" : ", ") + std::string(name);
    }
    fail(where, ".op must be one of ", known_names);
  }

  Measured measured(const std::string& name, const Json& x, bool change, const char* what) {
    const std::string where = at(path, join(what, ".", name));
    expect(x.is_object(), where, " must be an object");
    Measured out{.number = number(name, what), .change = change};
    if (x.contains("measurement")) {
      const Json& m = x["measurement"];
      expect(m == "delta" || m == "absolute", where, ".measurement must be delta or absolute");
      out.change = m == "delta";
    }
    if (x.contains("op")) out.op = op(x["op"], where);
    if (x.contains("reference")) out.reference = whole(x["reference"], where + ".reference");
    return out;
  }

  float coefficient(const Json& x, const char* key, const std::string& where) {
    if (!x.contains(key)) return 0;
    expect(x[key].is_number() && std::isfinite(x[key].get<float>()), where, ".", key, " must be a number");
    return x[key].get<float>();
  }

  void no_script(const Json& x, const char* what) {
    expect(!x.contains("script"), at(path, what),
           ".script: what is said in Lua is not known here, only what is said ", "in variables");
  }

  void pay(const Json& json, const char* what) {
    no_script(json, what);
    for (const auto& [name, each] : object_in(json, "variables", at(path, what) + ".variables").items()) {
      const std::string where = at(path, join(what, ".", name));
      scenario.paid.push_back({measured(name, each, true, what), coefficient(each, "reward", where),
                               coefficient(each, "penalty", where)});
    }
    scenario.time +=
        coefficient(object_in(json, "time", at(path, what) + ".time"), "reward", at(path, what) + ".time");
  }

  Ends ends(const Json& json, int depth) {
    expect(depth < 32, at(path, "done"), " is nested deeper than 32 nodes");
    no_script(json, "done");
    Ends out;
    if (json.contains("condition")) {
      expect(json["condition"] == "any" || json["condition"] == "all", at(path, "done"),
             ".condition must be any or all");
      out.all = json["condition"] == "all";
    }
    for (const auto& [name, each] : object_in(json, "variables", at(path, "done") + ".variables").items())
      out.measured.push_back(measured(name, each, false, "done"));
    for (const auto& [name, each] : object_in(json, "nodes", at(path, "done") + ".nodes").items()) {
      expect(each.is_object(), at(path, "done"), ".nodes.", name, " must be an object");
      out.nodes.push_back(ends(each, depth + 1));
    }
    return out;
  }
};

/// The buttons of a list of names.
std::uint16_t buttons_of(const Json& names, const System& system, const std::string& where) {
  expect(names.is_array(), where, " must be a list of buttons");
  unsigned out = 0;
  for (const Json& name : names) {
    std::string known;
    bool found = false;
    for (std::size_t i = 0; i < system.buttons.size(); ++i) {
      if (!system.buttons[i]) continue;
      known += (known.empty() ? "" : ", ") + std::string(system.buttons[i]);
      if (name == system.buttons[i]) out |= 1U << i, found = true;
    }
    expect(found, where, ": the ", system.name, " has no such button; it has ", known);
  }
  return static_cast<std::uint16_t>(out);
}

/// What one may do, each the buttons that it holds: one of each group. Groups and what is in them are ordered
/// by their bits; the first group changes fastest.
std::vector<std::uint16_t> actions_of(const Json& groups, const System& system, const std::string& where) {
  expect(groups.is_array() && !groups.empty(), where, " must be a list of groups of lists of buttons");
  std::map<std::uint16_t, std::vector<std::uint16_t>> sorted;
  for (const Json& group : groups) {
    expect(group.is_array() && !group.empty(), where, " must be a list of groups of lists of buttons");
    std::vector<std::uint16_t> each;
    unsigned all = 0;
    for (const Json& names : group) all |= each.emplace_back(buttons_of(names, system, where));
    std::sort(each.begin(), each.end());
    each.erase(std::unique(each.begin(), each.end()), each.end());
    sorted.emplace(static_cast<std::uint16_t>(all), std::move(each));
  }
  std::vector<std::uint16_t> out = {0};
  for (const auto& [mask, group] : sorted) {
    expect(out.size() * group.size() <= 4096, where, ": more than 4096 actions");
    std::vector<std::uint16_t> product;
    for (const std::uint16_t choice : group)
      for (const std::uint16_t before : out) product.push_back(before | choice);
    out = std::move(product);
  }
  return out;
}

}  // namespace

bool Scenario::ended(std::span<const std::int64_t> now, std::span<const std::int64_t> before) const {
  return ended_by(ends, now, before);
}

Scenario read_scenario(const fs::path& path, const std::map<std::string, Number>& numbers,
                       const System& system) {
  const Json json = read_json_object(path);
  Reader reader{path, numbers};
  reader.pay(object_in(json, "reward", at(path, "reward")), "reward");
  if (json.contains("rewards")) {
    const Json& list = json["rewards"];
    expect(list.is_array() && !list.empty() && list[0].is_object(), at(path, "rewards"),
           " must be a list with an object for each player");
    reader.pay(list[0], "rewards[0]");
  }
  reader.scenario.ends = reader.ends(object_in(json, "done", at(path, "done")), 0);
  const Json* crop = json.contains("crop") ? &json["crop"] : nullptr;
  if (json.contains("crops")) {
    expect(json["crops"].is_array() && !json["crops"].empty(), at(path, "crops"), " must be a list of crops");
    crop = &json["crops"][0];
  }
  if (crop) {
    expect(crop->is_array() && crop->size() == 4, at(path, "crop"), " must be [x, y, width, height]");
    int side[4];
    for (std::size_t i = 0; i < 4; ++i) {
      const std::int64_t x = whole((*crop)[i], at(path, "crop"));
      expect(x >= 0 && x <= 4096, at(path, "crop"), " must be of numbers from 0 to 4096, got ", x);
      side[i] = static_cast<int>(x);
    }
    reader.scenario.crop = {side[0], side[1], side[2], side[3]};
  }
  const Json default_actions = system.actions;
  reader.scenario.actions =
      actions_of(json.contains("actions") ? json["actions"] : default_actions, system, at(path, "actions"));
  return std::move(reader.scenario);
}

// ---- The folder ----

std::string sha1(std::string_view bytes) {
  std::string message(bytes);
  message += '\x80';
  message.resize((message.size() + 8 + 63) / 64 * 64 - 8);
  for (int shift = 56; shift >= 0; shift -= 8)
    message += static_cast<char>(std::uint64_t{bytes.size()} * 8 >> shift & 255);
  std::uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
  for (std::size_t block = 0; block < message.size(); block += 64) {
    std::uint32_t w[80];
    for (std::size_t i = 0; i < 16; ++i) {
      w[i] = 0;
      for (std::size_t k = 0; k < 4; ++k)
        w[i] = w[i] << 8 | static_cast<unsigned char>(message[block + 4 * i + k]);
    }
    for (std::size_t i = 16; i < 80; ++i) w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    auto [a, b, c, d, e] = h;
    for (std::size_t i = 0; i < 80; ++i) {
      const std::uint32_t f = i < 20   ? ((b & c) | (~b & d)) + 0x5A827999
                              : i < 40 ? (b ^ c ^ d) + 0x6ED9EBA1
                              : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC
                                       : (b ^ c ^ d) + 0xCA62C1D6;
      const std::uint32_t next = std::rotl(a, 5) + f + e + w[i];
      e = d, d = c, c = std::rotl(b, 30), b = a, a = next;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
  }
  std::string out;
  for (const std::uint32_t word : h)
    for (int shift = 28; shift >= 0; shift -= 4) out += "0123456789abcdef"[word >> shift & 15];
  return out;
}

namespace {

/// What a gzip file holds.
std::vector<std::byte> read_gzip(const fs::path& path) {
  std::string packed = read_input(path);
  std::vector<std::byte> out;
  z_stream stream{};
  expect(inflateInit2(&stream, 15 + 16) == Z_OK, path.string(), ": there is no memory to unpack it");
  stream.next_in = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  constexpr std::size_t most = std::size_t{64} << 20;
  int status = Z_OK;
  while (status == Z_OK && out.size() <= most) {
    const std::size_t done = out.size();
    out.resize(done + 65536);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + done);
    stream.avail_out = 65536;
    status = inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  expect(status == Z_STREAM_END, path.string(),
         ": not a state of Retro, which is a gzip file of at most 64 MB");
  return out;
}

bool is_file(const fs::path& path) {
  std::error_code none;
  return fs::is_regular_file(path, none);
}

}  // namespace

Game read_game(const fs::path& folder, const std::string& state) {
  Game game{};
  std::string endings;
  for (const System& system : systems()) {
    const fs::path rom = folder / join("rom.", system.extension);
    endings += (endings.empty() ? "rom." : ", rom.") + std::string(system.extension);
    if (!game.system && is_file(rom)) game.system = &system, game.rom = rom;
  }
  expect(game.system, folder.string(), ": there is no game in it, which would be one of ", endings);
  const auto core = core_of(*game.system);
  expect(core.has_value(), folder.string(), " needs an emulator of the ", game.system->name,
         " (apt-get install ", game.system->package, ", or name the directory of ", game.system->cores[0],
         "_libretro.so in LOWVAR_CORES)");
  game.library = *core;

  // Of a cartridge of the NES, Retro's hashes leave out the header that emulators need.
  if (const fs::path sha = folder / "rom.sha"; is_file(sha)) {
    const std::string rom = read_input(game.rom),
                      hash =
                          sha1(std::string_view(rom).substr(game.system->extension == std::string_view("nes")
                                                                ? std::min<std::size_t>(16, rom.size())
                                                                : 0));
    std::string wanted = read_input(sha);
    for (char& c : wanted)
      if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
    expect(wanted.find(hash) != std::string::npos, game.rom.string(),
           ": not the game that rom.sha names, its SHA-1 is ", hash);
  }

  game.scenario = read_scenario(folder / "scenario.json", read_numbers(folder / "data.json"), *game.system);

  const fs::path metadata = folder / "metadata.json";
  const Json json = is_file(metadata) ? read_json_object(metadata) : Json::object();
  std::string name = state;
  if (name.empty() && json.contains("default_state") && !json["default_state"].is_null()) {
    expect(json["default_state"].is_string(), at(metadata, "default_state"), " must be a name");
    name = json["default_state"].get<std::string>();
  }
  if (!name.empty()) {
    game.state = read_gzip(folder / (name + ".state"));
    return game;
  }
  game.presses = {{60, 0}};
  if (json.contains("power_on")) {
    const std::string where = at(metadata, "power_on");
    expect(json["power_on"].is_array(), where, " must be a list of [frames, [button, ...]]");
    game.presses.clear();
    for (const Json& each : json["power_on"]) {
      expect(each.is_array() && each.size() == 2, where, " must be a list of [frames, [button, ...]]");
      const std::int64_t frames = whole(each[0], where);
      expect(frames >= 0 && frames <= 100'000, where, ": frames must be from 0 to 100000, got ", frames);
      game.presses.emplace_back(static_cast<int>(frames), buttons_of(each[1], *game.system, where));
    }
  }
  return game;
}

}  // namespace lowvar::retro
