// The Python scripts that draw, started without a shell.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lowvar {

/// Where the scripts that draw and the settings of algorithms are, as experiments/...: beside the installed
/// program (../share/lowvar), in the source tree, or where the library was configured to be installed; the
/// first that is there. Throws Error where none is.
std::filesystem::path data_directory();

/// Runs /usr/bin/python3 on a script of data_directory()/experiments, its arguments passed as they are and
/// `input` on its standard input; what it prints is kept from the user. Empty where it succeeds, else why
/// not: the last line that it printed.
std::string run_script(const std::string& script, const std::vector<std::string>& arguments,
                       std::string_view input = "");

/// The text as one word of a shell, for people to type.
std::string shell_word(std::string_view text);

}  // namespace lowvar
