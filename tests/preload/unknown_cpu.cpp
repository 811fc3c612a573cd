// An OpenBLAS that does not know the CPU it is on, in the first program that is started.
#include <cstdlib>

extern "C" char* openblas_get_corename() {
  static char oldest[] = "Prescott";
  unsetenv("LD_PRELOAD");
  return oldest;
}
