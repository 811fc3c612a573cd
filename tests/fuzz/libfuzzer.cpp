// libFuzzer's entry to the target LOWVAR_FUZZ_TARGET.
#include <algorithm>
#include <cstdint>

#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lowvar::fuzz;
  static const Target& target = *std::find_if(targets().begin(), targets().end(),
                                              [](const Target& t) { return t.name == LOWVAR_FUZZ_TARGET; });
  answer(target, std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
