// Files that a user names as input.
#pragma once

#include <filesystem>
#include <string>

namespace lowvar {

/// All of a regular file of at most 512 MB. Throws Error, "PATH: what is wrong", where it is not one or
/// cannot be read: pipes and devices, which may never end, are refused.
std::string read_input(const std::filesystem::path& path);

}  // namespace lowvar
