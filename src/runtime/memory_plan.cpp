// Greedy by size: the largest block first, each at the lowest offset that is free over its whole life. Near optimal in
// practice, and quick enough to be done anew for each new size of the inputs.
#include <algorithm>
#include <numeric>

#include "runtime/context.h"

namespace tn {

size_t place(std::span<Life> lives) {
  std::vector<u32> order(lives.size()), placed;
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](u32 a, u32 b) { return lives[a].bytes > lives[b].bytes; });
  size_t total = 0;
  for (u32 k : order) {
    Life& mine = lives[k];
    size_t size = (mine.bytes + kAlignment - 1) / kAlignment * kAlignment;
    size_t offset = 0;
    for (u32 other : placed) {  // by offset
      const Life& o = lives[other];
      if (o.last < mine.first || mine.last < o.first) continue;
      size_t end = o.offset + (o.bytes + kAlignment - 1) / kAlignment * kAlignment;
      if (offset + size <= o.offset) break;
      offset = std::max(offset, end);
    }
    mine.offset = offset;
    total = std::max(total, offset + size);
    auto after = std::upper_bound(placed.begin(), placed.end(), k,
                                  [&](u32 a, u32 b) { return lives[a].offset < lives[b].offset; });
    placed.insert(after, k);
  }
  return total;
}

}  // namespace tn
