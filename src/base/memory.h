// Blocks of aligned memory, recycled: small ones by size class in the thread that freed them, large ones (huge pages,
// see memory.cpp) in one bounded pool of the process.
#pragma once
#include <cstddef>
#include <span>
#include <type_traits>

namespace tn {

struct Block {
  std::byte* data = nullptr;
  size_t bytes = 0;  // at least what was asked
};

/// Uninitialised, aligned to kAlignment; throws Error naming the size when memory is refused or over the limit.
Block take_block(size_t bytes);
void give_block(Block block) noexcept;

/// Room for n elements, uninitialised, while a library kernel runs; recycled, so that a repeated run allocates nothing.
template <class T>
class Scratch {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  explicit Scratch(size_t n) : block_(take_block(n ? n * sizeof(T) : 1)), count_(n) {}
  ~Scratch() { give_block(block_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::span<T> span() const { return {reinterpret_cast<T*>(block_.data), count_}; }

 private:
  Block block_;
  size_t count_;
};

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
