#include "experiments/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/error.h"
#include "experiments/files.h"
#include "experiments/output.h"

namespace lowvar {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr std::string_view magic = "lowvarCP";
constexpr std::uint32_t version = 1;
constexpr std::string_view identity_section = "run", suffix = ".checkpoint";

template <class N>
void append(std::string& out, N x) {
  out.append(reinterpret_cast<const char*>(&x), sizeof x);
}

/// Numbers and texts from the front of a header.
struct Reader {
  std::string_view left;

  std::string_view text(std::size_t size) {
    expect(left.size() >= size, "it ends within its header");
    const std::string_view out = left.substr(0, size);
    left.remove_prefix(size);
    return out;
  }
  template <class N>
  N number() {
    N x;
    std::memcpy(&x, text(sizeof x).data(), sizeof x);
    return x;
  }
};

std::string_view view(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::uint64_t hash_of(std::string_view bytes) { return XXH64(bytes.data(), bytes.size(), 0); }

std::string pack(const Sections& sections) {
  std::string table;
  for (const auto& [name, bytes] : sections) {
    append(table, static_cast<std::uint32_t>(name.size()));
    table += name;
    append(table, static_cast<std::uint64_t>(bytes.size()));
    append(table, hash_of(view(bytes)));
  }
  std::string out(magic);
  append(out, version);
  append(out, static_cast<std::uint32_t>(sections.size()));
  append(out, static_cast<std::uint64_t>(out.size() + 2 * sizeof(std::uint64_t) + table.size()));
  out += table;
  append(out, hash_of(out));
  std::size_t size = out.size();
  for (const auto& each : sections) size += each.bytes.size();
  out.reserve(size);
  for (const auto& each : sections) out += view(each.bytes);
  return out;
}

Sections unpack(std::string_view bytes) {
  Reader reader{bytes};
  expect(reader.text(magic.size()) == magic, "it does not begin as a checkpoint does");
  const auto of = reader.number<std::uint32_t>();
  expect(of == version, "it is of version ", of, ", and this program reads version ", version);
  const auto count = reader.number<std::uint32_t>();
  const auto header = reader.number<std::uint64_t>();
  const std::size_t before = bytes.size() - reader.left.size();
  expect(header <= bytes.size() && header >= before + sizeof(std::uint64_t), "it ends within its header");
  const std::size_t hashed = header - sizeof(std::uint64_t);
  Reader hash{bytes.substr(hashed)};
  expect(hash.number<std::uint64_t>() == hash_of(bytes.substr(0, hashed)),
         "its header is not what was written");
  Reader table{bytes.substr(before, hashed - before)};
  std::string_view left = bytes.substr(header);
  Sections out;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto name = table.text(table.number<std::uint32_t>());
    const auto length = table.number<std::uint64_t>(), expected = table.number<std::uint64_t>();
    expect(length <= left.size(), "it ends within its section '", name, "'");
    const std::string_view content = left.substr(0, length);
    expect(hash_of(content) == expected, "its section '", name, "' is not what was written");
    const auto* data = reinterpret_cast<const std::byte*>(content.data());
    out.push_back({std::string(name), {data, data + length}});
    left.remove_prefix(length);
  }
  expect(table.left.empty(), "its header is longer than its sections");
  expect(left.empty(), "it has ", left.size(), " bytes behind its last section");
  return out;
}

const std::vector<std::byte>& section(const Sections& sections, std::string_view name) {
  const auto found =
      std::find_if(sections.begin(), sections.end(), [&](const Section& s) { return s.name == name; });
  expect(found != sections.end(), "it has no section '", name, "'");
  return found->bytes;
}

// ---- Checkpoints ----

Checkpoints::Checkpoints(const std::filesystem::path& directory, std::string identity)
    : folder_(directory / "checkpoints"), identity_(std::move(identity)) {}

std::vector<Checkpoints::File> Checkpoints::files(const std::string& name) const {
  std::vector<File> out;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, missing)) {
    const std::string file = entry.path().filename().string();
    if (!file.starts_with(name + ".") || !file.ends_with(suffix)) continue;
    const char *begin = file.data() + name.size() + 1, *end = file.data() + file.size() - suffix.size();
    long number = 0;
    if (const auto [stop, error] = std::from_chars(begin, end, number); error == std::errc() && stop == end)
      out.push_back({number, entry.path()});
  }
  std::sort(out.begin(), out.end(), [](const File& a, const File& b) { return a.number > b.number; });
  return out;
}

void Checkpoints::write(const std::string& name, long number, Sections sections) const {
  const auto* data = reinterpret_cast<const std::byte*>(identity_.data());
  sections.insert(sections.begin(), {std::string(identity_section), {data, data + identity_.size()}});
  if (!std::filesystem::is_directory(folder_)) {
    std::error_code error;
    std::filesystem::create_directory(folder_, error);
    expect(!error || std::filesystem::is_directory(folder_), "cannot write ", folder_.string(), ": ",
           error.message());
    sync_directory(folder_.parent_path());
  }
  write_file(folder_ / fmt::format("{}.{}{}", name, number, suffix), pack(sections));
  int before = 0;  // those of higher numbers were not used, and are no part of this run
  for (const auto& [other, path] : files(name))
    if (std::error_code ignored; other > number || (other < number && ++before > 1))
      std::filesystem::remove(path, ignored);
}

std::optional<long> Checkpoints::newest(const std::string& name,
                                        const std::function<void(const Sections&)>& take) const {
  for (const auto& [number, path] : files(name)) {
    try {
      const Sections sections = unpack(read_file(path));
      expect(view(section(sections, identity_section)) == identity_, "it is of another run");
      take(sections);
      return number;
    } catch (const Error& e) {
      say(fmt::format("note: {} is not used: {}\n", path.string(), e.what()));
    }
  }
  return std::nullopt;
}

std::string Checkpoints::last(const std::string& name) const {
  const auto all = files(name);
  expect(!all.empty(), folder_.string(), " holds no checkpoint ", name);
  return (folder_.filename() / all.front().path.filename()).string();
}

void Checkpoints::keep_only(const std::vector<std::string>& names) const {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, ignored)) {
    const std::string name = (folder_.filename() / entry.path().filename()).string();
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    std::error_code error;
    std::filesystem::remove(entry.path(), error);
    expect(!error, "cannot remove ", entry.path().string(), ": ", error.message());
  }
  if (std::filesystem::remove(folder_, ignored)) return;  // where it is empty
  sync_directory(folder_);  // or a finished run has more of them again after a loss of power
}

void Checkpoints::clear() const {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

}  // namespace lowvar
