#include "envs/retro/core.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

#include "core/error.h"
#include "core/input_file.h"

namespace lowvar::retro {
namespace {

// What is used of libretro's interface, version 1: its structs, and numbers of what a core asks of its host.

struct GameInfo {
  const char* path;
  const void* data;
  std::size_t size;
  const char* meta;
};
struct SystemInfo {
  const char *name, *version, *extensions;
  bool needs_path, blocks_extraction;
};
struct Variable {
  const char *key, *value;
};
struct MemoryDescriptor {
  std::uint64_t flags;
  void* bytes;
  std::size_t offset, start, select, disconnect, size;
  const char* space;
};
struct MemoryMap {
  const MemoryDescriptor* descriptors;
  unsigned count;
};

constexpr unsigned kVersion = 1, kJoypad = 1, kSystemRam = 2;
enum Ask : unsigned {
  kCanRepeatPictures = 3,
  kSystemDirectory = 9,
  kPixelFormat = 10,
  kGetOption = 15,
  kOptions = 16,
  kOptionsChanged = 17,
  kSaveDirectory = 31,
  kTiming = 32,
  kGeometry = 37,
  kMemoryMaps = 36 | 0x10000,
};

using Environment = bool (*)(unsigned, void*);
using Video = void (*)(const void*, unsigned, unsigned, std::size_t);
using Audio = void (*)(std::int16_t, std::int16_t);
using AudioBatch = std::size_t (*)(const std::int16_t*, std::size_t);
using Poll = void (*)();
using Input = std::int16_t (*)(unsigned, unsigned, unsigned, unsigned);

/// Callbacks of libretro carry no pointer of ours: the core that this thread is in.
thread_local Core* entered = nullptr;
struct Enter {
  Core* before;
  explicit Enter(const Core* core) : before(std::exchange(entered, const_cast<Core*>(core))) {}
  ~Enter() { entered = before; }
  Enter(const Enter&) = delete;
  Enter& operator=(const Enter&) = delete;
};

/// Whether the program is ending. Globals end in the order in which they began, backwards: those of a
/// library, loaded late, before a static that has a machine of it.
std::atomic<bool> ending = false;

}  // namespace

/// A copy of a library, in a file that is in memory alone: loading the file itself twice gives one machine.
/// The linker knows libraries by name, so the descriptor in its name stays taken as long as the library is
/// there.
struct Core::Library {
  std::string path;
  int file = -1;
  void* handle = nullptr;

  void (*set_environment)(Environment);
  void (*set_video_refresh)(Video);
  void (*set_audio_sample)(Audio);
  void (*set_audio_sample_batch)(AudioBatch);
  void (*set_input_poll)(Poll);
  void (*set_input_state)(Input);
  void (*set_controller_port_device)(unsigned, unsigned);
  void (*init)();
  void (*deinit)();
  unsigned (*api_version)();
  void (*get_system_info)(SystemInfo*);
  bool (*load_game)(const GameInfo*);
  void (*unload_game)();
  void (*run)();
  std::size_t (*serialize_size)();
  bool (*serialize)(void*, std::size_t);
  bool (*unserialize)(const void*, std::size_t);
  void* (*get_memory_data)(unsigned);
  std::size_t (*get_memory_size)(unsigned);

  explicit Library(const std::filesystem::path& from) {
    const std::string bytes = read_input(from);
    file = memfd_create("core", MFD_CLOEXEC);
    expect(file >= 0, from.string(), ": there is no memory to load it into (", std::strerror(errno), ")");
    for (std::size_t done = 0; done < bytes.size();) {
      const ssize_t wrote = write(file, bytes.data() + done, bytes.size() - done);
      if (wrote < 0) close(file);
      expect(wrote >= 0, from.string(), ": there is no memory to load it into (", std::strerror(errno), ")");
      done += static_cast<std::size_t>(wrote);
    }
    path = join("/proc/self/fd/", file);
    handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      const std::string why = dlerror();
      close(file);
      fail(from.string(), ": cannot be loaded as an emulator (", why, ")");
    }
    try {
      const auto find = [&](const char* name, auto& function) {
        void* const found = dlsym(handle, name);
        expect(found, from.string(), ": not a libretro core, it has no ", name);
        function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(found);
      };
      find("retro_set_environment", set_environment);
      find("retro_set_video_refresh", set_video_refresh);
      find("retro_set_audio_sample", set_audio_sample);
      find("retro_set_audio_sample_batch", set_audio_sample_batch);
      find("retro_set_input_poll", set_input_poll);
      find("retro_set_input_state", set_input_state);
      find("retro_set_controller_port_device", set_controller_port_device);
      find("retro_init", init);
      find("retro_deinit", deinit);
      find("retro_api_version", api_version);
      find("retro_get_system_info", get_system_info);
      find("retro_load_game", load_game);
      find("retro_unload_game", unload_game);
      find("retro_run", run);
      find("retro_serialize_size", serialize_size);
      find("retro_serialize", serialize);
      find("retro_unserialize", unserialize);
      find("retro_get_memory_data", get_memory_data);
      find("retro_get_memory_size", get_memory_size);
      expect(api_version() == kVersion, from.string(), ": speaks version ", api_version(),
             " of libretro's interface, not ", kVersion);
    } catch (...) {
      unload();
      throw;
    }
  }
  ~Library() { unload(); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

 private:
  void unload() {
    dlclose(handle);
    // Some libraries stay for good.
    if (!dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD)) close(file);
  }
};

/// What a core asks of its host and tells it.
struct Callbacks {
  static bool environment(unsigned ask, void* data) {
    Core& core = *entered;
    switch (ask) {
      case kCanRepeatPictures:
        *static_cast<bool*>(data) = false;
        return true;
      case kSystemDirectory:
      case kSaveDirectory:
        // Some insist on one. What a machine does must not depend on files that lie about.
        *static_cast<const char**>(data) = "/nonexistent";
        return true;
      case kPixelFormat: {
        const int format = *static_cast<const int*>(data);
        if (format < 0 || format > 2) return false;
        core.pixels_ = static_cast<Core::Pixels>(format);
        return true;
      }
      case kOptions:
        // "What it is; default|other|..."
        for (auto* each = static_cast<const Variable*>(data); each->key; ++each) {
          const std::string text = each->value ? each->value : "";
          const std::size_t semicolon = text.find("; ");
          const std::size_t begin = semicolon == std::string::npos ? 0 : semicolon + 2;
          core.options_[each->key] = text.substr(begin, text.find('|', begin) - begin);
        }
        return true;
      case kGetOption: {
        auto& wanted = *static_cast<Variable*>(data);
        const auto found = core.options_.find(wanted.key);
        wanted.value = found == core.options_.end() ? nullptr : found->second.c_str();
        return wanted.value != nullptr;
      }
      case kOptionsChanged:
        *static_cast<bool*>(data) = false;
        return true;
      case kMemoryMaps: {
        const auto& map = *static_cast<const MemoryMap*>(data);
        core.memory_.clear();
        for (unsigned i = 0; i < map.count; ++i)
          if (const MemoryDescriptor& each = map.descriptors[i]; each.bytes && each.size)
            core.memory_.push_back(
                {each.start, static_cast<std::uint8_t*>(each.bytes) + each.offset, each.size});
        return true;
      }
      case kTiming:
      case kGeometry:
        return true;
      default:
        return false;
    }
  }

  static void video(const void* data, unsigned width, unsigned height, std::size_t pitch) {
    Core& core = *entered;
    if (!data) return;
    core.drawn_ = true;
    Screen& screen = core.screen_;
    screen.width = static_cast<int>(width), screen.height = static_cast<int>(height);
    screen.pixels.resize(std::size_t{width} * height);
    for (unsigned y = 0; y < height; ++y) {
      const auto* const row = static_cast<const std::byte*>(data) + y * pitch;
      std::uint32_t* const out = screen.pixels.data() + std::size_t{y} * width;
      if (core.pixels_ == Core::Pixels::xrgb8888) {
        std::memcpy(out, row, width * sizeof *out);
        for (unsigned x = 0; x < width; ++x) out[x] &= 0xffffff;
        continue;
      }
      const bool five = core.pixels_ == Core::Pixels::rgb1555;
      for (unsigned x = 0; x < width; ++x) {
        std::uint16_t p;
        std::memcpy(&p, row + x * sizeof p, sizeof p);
        const std::uint32_t r = (five ? p >> 10 : p >> 11) & 31, b = p & 31;
        const std::uint32_t g = five ? (p >> 5 & 31) * 2 + (p >> 9 & 1) : p >> 5 & 63;
        out[x] = (r << 3 | r >> 2) << 16 | (g << 2 | g >> 4) << 8 | (b << 3 | b >> 2);
      }
    }
  }

  static void audio(std::int16_t, std::int16_t) {}
  static std::size_t audio_batch(const std::int16_t*, std::size_t frames) { return frames; }
  static void poll() {}
  static std::int16_t input(unsigned port, unsigned device, unsigned, unsigned id) {
    return port == 0 && device == kJoypad && id < 16 ? entered->buttons_ >> id & 1 : 0;
  }
};

Core::Core(const std::filesystem::path& library, const std::filesystem::path& rom, std::size_t ram_address)
    : name_(library.filename().string()),
      game_(read_input(rom)),
      library_(std::make_unique<Library>(library)) {
  std::atexit([] { ending = true; });
  const Enter enter(this);
  Library& core = *library_;
  core.set_environment(Callbacks::environment);
  core.set_video_refresh(Callbacks::video);
  core.set_audio_sample(Callbacks::audio);
  core.set_audio_sample_batch(Callbacks::audio_batch);
  core.set_input_poll(Callbacks::poll);
  core.set_input_state(Callbacks::input);
  core.init();
  const GameInfo game{rom.c_str(), game_.data(), game_.size(), nullptr};
  if (!core.load_game(&game)) {
    core.deinit();
    fail(rom.string(), ": ", name_, " does not take it for a game of its console");
  }
  core.set_controller_port_device(0, kJoypad);
  if (memory_.empty())
    if (auto* const ram = static_cast<std::uint8_t*>(core.get_memory_data(kSystemRam)))
      memory_.push_back({ram_address, ram, core.get_memory_size(kSystemRam)});
}

Core::~Core() {
  if (ending) {
    static_cast<void>(library_.release());
    return;
  }
  const Enter enter(this);
  library_->unload_game();
  library_->deinit();
}

void Core::run(std::uint16_t buttons) {
  const Enter enter(this);
  buttons_ = buttons, drawn_ = false;
  library_->run();
  expect(drawn_, name_, ": gave no picture of a frame");
}

std::vector<std::byte> Core::save() const {
  const Enter enter(this);
  std::vector<std::byte> out(library_->serialize_size());
  expect(!out.empty() && library_->serialize(out.data(), out.size()), name_, ": cannot save its state");
  return out;
}

void Core::load(std::span<const std::byte> state) {
  const Enter enter(this);
  expect(library_->unserialize(state.data(), state.size()), "these ", state.size(),
         " bytes are not a state of this game in ", name_);
}

}  // namespace lowvar::retro
