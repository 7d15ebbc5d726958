// Where each tile of a kernel lies in the interpreter's frame, and until when.
#pragma once
#include <vector>

#include "ir/loops.h"

namespace tn::loops::interpreter {

struct Places {
  std::vector<i32> at;  // byte offset of each value's tile; -1 where a node makes none
  size_t bytes = 0;     // of the frame so far; constants and temporaries follow
  /// Room for half of a folded tile, by node; -1 elsewhere.
  std::vector<i32> room;
};

/// Values whose lifetimes do not meet share a place. A carried tile keeps one place from its loop's header to its
/// result's last use; the map that makes the next value writes there directly where the old one is no longer read.
/// A bitcast lies on its operand.
Places place_tiles(const Kernel& kernel);

inline size_t tile_bytes(const Tile& t) { return static_cast<size_t>(t.size()) * static_cast<size_t>(bytes(t.dtype)); }

}  // namespace tn::loops::interpreter
