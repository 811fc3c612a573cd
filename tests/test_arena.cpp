// The arena that tapes take their values from.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

#include "core/arena.h"

namespace lowvar {
namespace {

bool aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 64 == 0; }

TEST(Arena, GivesEachItsOwnAlignedRoom) {
  Arena arena;
  double* a = arena.allocate<double>(3);
  char* none = arena.allocate<char>(0);
  float* b = arena.allocate<float>(17);
  EXPECT_TRUE(aligned(a) && aligned(none) && aligned(b));
  std::fill_n(a, 3, 1.0);
  std::fill_n(b, 17, 2.0f);
  EXPECT_EQ(std::count(a, a + 3, 1.0), 3);
  EXPECT_GE(reinterpret_cast<char*>(b), reinterpret_cast<char*>(a + 3));
}

TEST(Arena, RewindsAndGivesTheSameRoomAgain) {
  Arena arena;
  arena.allocate<char>(100);
  const auto mark = arena.mark();
  char* first = arena.allocate<char>(1000);
  char* beyond = arena.allocate<char>(3'000'000);  // more than a chunk: one of its own
  std::fill_n(beyond, 3'000'000, 'x');
  char* after = arena.allocate<char>(2'000'000);
  EXPECT_TRUE(aligned(beyond) && aligned(after));
  arena.rewind(mark);
  EXPECT_EQ(arena.allocate<char>(1000), first);
  EXPECT_EQ(arena.allocate<char>(3'000'000), beyond);
  EXPECT_EQ(arena.allocate<char>(2'000'000), after);
  arena.rewind({});
  EXPECT_LT(arena.allocate<char>(1), first);
}

}  // namespace
}  // namespace lowvar
