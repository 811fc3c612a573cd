#include "envs/retro/retro.h"

#include <algorithm>
#include <sstream>

#include "core/store.h"
#include "envs/retro/game.h"

namespace lowvar::retro {
namespace {

constexpr int kSide = 84, kStack = 4, kPixels = kSide * kSide;

/// The machine that a thread plays on.
struct Machine {
  Core core;
  Shrink shrink{kSide, kSide};
};

struct State {
  std::vector<std::byte> machine = {};
  std::vector<std::uint8_t> seen = {};     // as it is observed
  std::vector<std::int64_t> numbers = {};  // of the scenario
  int action = -1;                         // that led here; -1 at a start
  bool ended = false;

  template <class F>
  void visit(F&& f) {
    f("machine", machine), f("seen", seen), f("numbers", numbers), f("action", action), f("ended", ended);
  }
};

/// A game with its options, and the machines it is played on.
class Shared {
 public:
  using Scratch = Machine;

  Shared(const std::filesystem::path& folder, const Options& options)
      : folder_(folder), game_(read_game(folder, options.state)), options_(options) {
    const auto machine = machines_.lend(*this);
    Core& core = machine->core;
    for (const auto& [name, number] : game_.scenario.numbers) {
      std::string known;
      for (const Memory& m : core.memory())
        known += join(known.empty() ? "" : ", ", m.address, " to ", m.address + m.size - 1);
      expect(find(core, number) != nullptr, folder.string(), "/data.json: '", name, "' at ", number.address,
             " is outside of the memory of the machine, ",
             known.empty() ? "which its emulator does not show" : known);
    }
    if (game_.state.empty()) {
      for (const auto& [frames, buttons] : game_.presses)
        for (int i = 0; i < frames; ++i) core.run(buttons);
      start_ = core.save();
    } else {
      start_ = game_.state;
    }
    core.load(start_);
    core.run(0);
    std::vector<std::uint8_t> seen(kPixels);
    machine->shrink(core.screen(), game_.scenario.crop, seen);
  }

  const Scenario& scenario() const { return game_.scenario; }
  Machine scratch() const { return Machine{Core(game_.library, game_.rom, game_.system->ram_address)}; }

  State start(Rng& rng) const {
    const auto machine = machines_.lend(*this);
    machine->core.load(start_);
    machine->core.run(0);
    const int waits = options_.noop > 0 ? static_cast<int>(rng.uniform() * (options_.noop + 1)) : 0;
    State out{.seen = std::vector<std::uint8_t>(kPixels * kStack)};
    out.numbers = numbers(machine->core);
    for (int i = 0; i < waits; ++i) {
      machine->core.run(0);
      const auto before = std::exchange(out.numbers, numbers(machine->core));
      out.ended = out.ended || scenario().ended(out.numbers, before);
    }
    for (int i = 0; i < kStack; ++i) look(*machine, out);
    out.machine = machine->core.save();
    return out;
  }

  double step(State& s, int action, Rng& rng) const {
    const auto machine = machines_.lend(*this);
    machine->core.load(s.machine);
    const bool stuck = options_.sticky > 0 && s.action >= 0 && rng.uniform() < options_.sticky;
    double reward = 0;
    s.ended = false;
    for (int frame = 0; frame < options_.skip && !s.ended; ++frame) {
      const int pressed = stuck && frame == 0 ? s.action : action;
      machine->core.run(scenario().actions[static_cast<std::size_t>(pressed)]);
      const auto before = std::exchange(s.numbers, numbers(machine->core));
      reward += static_cast<double>(scenario().reward(s.numbers, before));
      s.ended = scenario().ended(s.numbers, before);
    }
    s.action = action;
    look(*machine, s);
    s.machine = machine->core.save();
    return reward;
  }

  /// Throws Error where it could not be one of this game.
  void check(const State& s) const {
    const bool fits = s.seen.size() == kPixels * kStack && s.numbers.size() == scenario().numbers.size() &&
                      s.action >= -1 && s.action < static_cast<int>(scenario().actions.size());
    expect(fits, "these are not the bytes of a state of ", folder_.string());
    machines_.lend(*this)->core.load(s.machine);
  }

  std::vector<double> picture(const State& s) const {
    const auto machine = machines_.lend(*this);
    machine->core.load(s.machine);
    machine->core.run(s.action < 0 ? 0 : scenario().actions[static_cast<std::size_t>(s.action)]);
    const Screen& screen = machine->core.screen();
    std::vector<double> out = {static_cast<double>(screen.width), static_cast<double>(screen.height)};
    for (std::size_t i = 0, run = 0; i < screen.pixels.size(); i += run) {
      run = 1;
      while (i + run < screen.pixels.size() && screen.pixels[i + run] == screen.pixels[i]) ++run;
      out.push_back(static_cast<double>(run << 24 | screen.pixels[i]));
    }
    return out;
  }

 private:
  static const std::uint8_t* find(const Core& core, const Number& number) {
    for (const Memory& m : core.memory())
      if (number.address >= m.address &&
          number.address + static_cast<std::size_t>(number.type.bytes()) <= m.address + m.size)
        return m.bytes + (number.address - m.address);
    return nullptr;
  }
  std::vector<std::int64_t> numbers(const Core& core) const {
    std::vector<std::int64_t> out;
    for (const auto& [name, number] : scenario().numbers)
      out.push_back(static_cast<std::int64_t>(
          static_cast<std::uint64_t>(number.type.read(find(core, number))) & number.mask));
    return out;
  }

  /// Puts what the machine shows behind what was seen, and drops the oldest.
  void look(Machine& machine, State& s) const {
    std::uint8_t newest[kPixels];
    machine.shrink(machine.core.screen(), scenario().crop, newest);
    std::uint8_t* at = s.seen.data();
    for (int i = 0; i < kPixels; ++i, at += kStack) {
      std::uint32_t four;
      std::memcpy(&four, at, sizeof four);
      four = four >> 8 | std::uint32_t{newest[i]} << 24;
      std::memcpy(at, &four, sizeof four);
    }
  }

  std::filesystem::path folder_;
  Game game_;
  Options options_;
  std::vector<std::byte> start_;
  mutable lowvar::detail::ScratchPool<Shared> machines_;
};

class GameStates final : public States {
 public:
  GameStates(std::shared_ptr<const Shared> shared, Spaces spaces, int n)
      : States(std::move(spaces), n), shared_(std::move(shared)) {
    Rng rng(0, "unused");
    states_.assign(static_cast<std::size_t>(n), shared_->start(rng));
  }

  void reset(int i, Rng& rng) override { at(i) = shared_->start(rng); }
  bool terminal(int i) const override { return at(i).ended; }
  void step(int begin, int end, ActionRows actions, const Draws& draws, double* reward,
            char* terminated) override {
    const auto step_one = [&](int i, Rng& rng) {
      State& s = at(begin + i);
      reward[i] = shared_->step(s, actions.choice[i], rng);
      terminated[i] = s.ended;
    };
    draws.for_each(end - begin, step_one);
  }
  void observe(int begin, int end, ObservationRows out) const override {
    std::uint8_t* to = std::get<std::uint8_t*>(out);
    for (int i = begin; i < end; ++i) to = std::copy(at(i).seen.begin(), at(i).seen.end(), to);
  }

  void save(int i, std::vector<std::byte>& out) const override {
    const auto bytes = stored(at(i));
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  void restore(int i, std::span<const std::byte> bytes) override {
    State s;
    restore_from(bytes, s);
    shared_->check(s);
    at(i) = std::move(s);
  }

  std::vector<double> numbers(int) const override { return {}; }
  void set_numbers(int, std::span<const double>) override {
    throw Error("a state of a game in an emulator cannot be written as numbers");
  }
  std::vector<double> shown(int i) const override { return shared_->picture(at(i)); }

 private:
  State& at(int i) { return states_[static_cast<std::size_t>(i)]; }
  const State& at(int i) const { return states_[static_cast<std::size_t>(i)]; }

  std::shared_ptr<const Shared> shared_;
  std::vector<State> states_;
};

}  // namespace

std::filesystem::path game_folder(const std::string& name) {
  std::error_code none;
  if (std::filesystem::is_directory(name, none)) return name;
  std::istringstream places(LOWVAR_GAMES);
  for (std::string place; std::getline(places, place, ':');)
    if (const auto folder = std::filesystem::path(place) / name;
        name.find('/') == std::string::npos && std::filesystem::is_directory(folder, none))
      return folder;
  fail(name, ": there is no such folder",
       name == "Rockbelt-Nes"
           ? "; this game is built with the program where cc65 is (apt-get install cc65, then build again)"
           : "");
}

std::string missing() {
  std::string packages;
  for (const System& system : systems()) {
    if (core_of(system)) return "";
    packages += join(packages.empty() ? "" : ", ", system.package, " for the ", system.name);
  }
  return "an emulator (apt-get install one of " + packages + ")";
}

Playable playable(const std::filesystem::path& folder, const Options& options) {
  const auto shared = std::make_shared<const Shared>(folder, options);
  Spaces spaces;
  spaces.A = static_cast<int>(shared->scenario().actions.size());
  spaces.image = {kSide, kSide, kStack};
  spaces.observation = spaces.image.size();
  spaces.observed = Spaces::Number::uint8;
  spaces.unit = 1 / 255.0;
  spaces.stochastic = options.sticky > 0;
  spaces.dear = true;
  return {spaces, [shared, spaces](int n) { return std::make_unique<GameStates>(shared, spaces, n); }};
}

}  // namespace lowvar::retro
