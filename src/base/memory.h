// Blocks of aligned memory, recycled: small ones by size class in the thread that freed them, large ones (huge pages,
// see memory.cpp) in one bounded pool of the process.
#pragma once
#include <cstddef>

namespace tn {

struct Block {
  std::byte* data = nullptr;
  size_t bytes = 0;  // at least what was asked
};

/// Uninitialised, aligned to kAlignment; throws Error naming the size when memory is refused or over the limit.
Block take_block(size_t bytes);
void give_block(Block block) noexcept;

/// Bytes given out, and the most there were.
size_t live_block_bytes();
size_t peak_block_bytes();
void reset_peak_block_bytes();
/// Bytes kept for reuse.
size_t pooled_block_bytes();
/// Gives everything kept for reuse by the process's pool back to the system.
void trim_block_pool();
/// The most that may be live at once; 0 means no limit. A request past it throws Error.
void set_block_limit(size_t bytes);

}  // namespace tn
