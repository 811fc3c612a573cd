// Reads a checkpoint with each of its bytes changed to every other value, and cut at each length: all of that
// has to be refused by an Error.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "core/error.h"
#include "experiments/checkpoint.h"
#include "experiments/files.h"

namespace {

struct Counts {
  long refused = 0, accepted = 0, otherwise = 0;

  void read(std::string_view bytes) {
    try {
      lowvar::unpack(bytes);
      ++accepted;
    } catch (const lowvar::Error&) {
      ++refused;
    } catch (const std::exception&) {
      ++otherwise;
    }
  }
  bool print(const char* what) const {
    std::printf("%s: %ld refused, %ld accepted, %ld failed otherwise\n", what, refused, accepted, otherwise);
    return accepted + otherwise == 0;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::string bytes = lowvar::read_file(argv[1]);
  const int step = std::atoi(argv[2]);  // between the values that a byte is changed to: 1, all of them
  lowvar::unpack(bytes);
  Counts flips, cuts;
  for (char& byte : bytes) {
    const char was = byte;
    for (int change = 1; change < 256; change += step)
      byte = static_cast<char>(was ^ change), flips.read(bytes);
    byte = was;
  }
  for (std::size_t size = 0; size < bytes.size(); ++size) cuts.read(std::string_view(bytes).substr(0, size));
  for (const char more : {'\0', 'x'}) cuts.read(bytes + more);
  return int{flips.print("bytes changed")} & int{cuts.print("lengths")} ? 0 : 1;
}
