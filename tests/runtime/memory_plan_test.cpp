// Blocks that live at the same time never share bytes, and the arena is no larger than its most crowded moment needs to
// within a little.
#include <gtest/gtest.h>

#include <algorithm>

#include "../op/harness.h"
#include "runtime/context.h"

namespace tn::test {
namespace {

TEST(MemoryPlan, LivingBlocksDoNotOverlap) {
  for (u64 seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    std::vector<Life> lives(1 + random.next() % 40);
    for (Life& l : lives) {
      l.bytes = random.next() % 5 == 0 ? 0 : 64 * (1 + random.next() % 50);
      l.first = static_cast<u32>(random.next() % 30);
      l.last = l.first + static_cast<u32>(random.next() % 10);
    }
    size_t arena = place(lives), crowded = 0, all = 0;
    for (u32 now = 0; now < 40; ++now) {
      size_t alive = 0;
      for (const Life& l : lives)
        if (l.first <= now && now <= l.last) alive += l.bytes;
      crowded = std::max(crowded, alive);
    }
    for (const Life& l : lives) {
      all += l.bytes;
      EXPECT_LE(l.offset + l.bytes, arena);
      for (const Life& k : lives) {
        bool together = &l != &k && l.first <= k.last && k.first <= l.last && l.bytes && k.bytes;
        EXPECT_FALSE(together && l.offset < k.offset + k.bytes && k.offset < l.offset + l.bytes) << seed;
      }
    }
    EXPECT_GE(arena, crowded);
    EXPECT_LE(arena, std::max(crowded * 2, size_t{64})) << seed << ": of " << all << " bytes in all";
  }
}

}  // namespace
}  // namespace tn::test
