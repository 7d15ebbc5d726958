// Fresh pages cost more than the work done on them: the kernel zeroes each 4 KiB page at its first touch. So large
// blocks are mapped apart, aligned to 2 MiB and advised as huge pages (first touch 4.6 times cheaper), and freed ones
// wait in a pool for the next request of about their size. A loop that allocates the same sizes in every step then
// touches no fresh page. The pool is bounded, and asked to give back before memory is refused.
#include "base/memory.h"

#include <sys/mman.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "base/array.h"
#include "tenon/error.h"

namespace tn {

namespace {

constexpr size_t kLarge = size_t{1} << 20;  // from here on blocks are mapped
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSmallest = 64, kLargestClass = size_t{1} << 16;
constexpr int kClasses = std::countr_zero(kLargestClass) - std::countr_zero(kSmallest) + 1;
constexpr size_t kKeptPerClass = size_t{1} << 18;  // bytes a thread keeps in one class
constexpr size_t kPoolFloor = size_t{256} << 20;

std::atomic<size_t> live{0}, peak{0}, pooled{0}, limit{0};

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

int class_of(size_t bytes) {
  return std::max(0, static_cast<int>(std::bit_width(bytes - 1)) - std::countr_zero(kSmallest));
}

/// Freed small blocks of one thread. Statics end after it: they do without.
struct SmallBlocks {
  std::array<std::vector<std::byte*>, kClasses> free;
  enum class Life : unsigned char { unborn, alive, dead };
  static Life& life() {
    thread_local Life state = Life::unborn;
    return state;
  }
  SmallBlocks() { life() = Life::alive; }
  ~SmallBlocks() {
    life() = Life::dead;
    for (auto& list : free)
      for (std::byte* p : list) std::free(p);
  }
};

SmallBlocks* small_blocks() {
  if (SmallBlocks::life() == SmallBlocks::Life::dead) return nullptr;
  thread_local SmallBlocks blocks;
  return &blocks;
}

struct LargePool {
  std::mutex mutex;
  std::vector<Block> blocks;  // oldest first
};

LargePool& large_pool() {
  static auto* pool = new LargePool;  // arrays in statics are freed after any destructor would have run
  return *pool;
}

void unmap(Block b) { munmap(b.data, b.bytes); }

/// Mapped pages whose start is a huge page's start, when the block is large enough to hold one.
std::byte* map_pages(size_t bytes) {
  bool huge = bytes >= kHugePage;
  size_t slack = huge ? kHugePage : 0;
  void* raw = mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  auto address = reinterpret_cast<std::uintptr_t>(raw);
  size_t before = huge ? round_up(address, kHugePage) - address : 0;
  auto* start = static_cast<std::byte*>(raw) + before;
  if (before) munmap(raw, before);
  if (slack > before) munmap(start + bytes, slack - before);
  if (huge) madvise(start, bytes, MADV_HUGEPAGE);
  return start;
}

[[noreturn]] void refuse(size_t bytes, const char* why) {
  fail("allocate", "expected " + std::to_string(bytes) + " bytes of memory (" + std::to_string(live.load()) +
                       " are in use), got none: " + why + "; use smaller shapes or batches, or checkpoint");
}

/// A pooled block that holds `bytes` and wastes at most an eighth; the one that wastes least.
Block take_pooled(size_t bytes) {
  LargePool& pool = large_pool();
  std::lock_guard lock(pool.mutex);
  auto best = pool.blocks.end();
  for (auto it = pool.blocks.begin(); it != pool.blocks.end(); ++it)
    if (it->bytes >= bytes && it->bytes - bytes <= bytes / 8 && (best == pool.blocks.end() || it->bytes < best->bytes))
      best = it;
  if (best == pool.blocks.end()) return {};
  Block b = *best;
  pool.blocks.erase(best);
  pooled -= b.bytes;
  return b;
}

Block take_large(size_t bytes) {
  size_t rounded = round_up(bytes, bytes >= kHugePage ? kHugePage : 4096);
  if (rounded < bytes) refuse(bytes, "the size overflows");
  if (Block b = take_pooled(rounded); b.data) return b;
  std::byte* data = map_pages(rounded);
  if (!data) {
    trim_block_pool();
    data = map_pages(rounded);
  }
  if (!data) refuse(bytes, "the system refused");
  return {data, rounded};
}

void give_large(Block b) {
  size_t bound = std::max(kPoolFloor, peak.load(std::memory_order_relaxed) / 2);
  if (b.bytes > bound) return unmap(b);
  LargePool& pool = large_pool();
  std::lock_guard lock(pool.mutex);
  pool.blocks.push_back(b);
  pooled += b.bytes;
  while (pooled.load(std::memory_order_relaxed) > bound) {
    pooled -= pool.blocks.front().bytes;
    unmap(pool.blocks.front());
    pool.blocks.erase(pool.blocks.begin());
  }
}

Block take_small(size_t bytes) {
  bytes = std::max(bytes, kSmallest);
  if (bytes > kLargestClass) {
    bytes = round_up(bytes, kAlignment);
    return {static_cast<std::byte*>(std::aligned_alloc(kAlignment, bytes)), bytes};
  }
  int k = class_of(bytes);
  bytes = kSmallest << k;
  if (SmallBlocks* mine = small_blocks()) {
    auto& list = mine->free[static_cast<size_t>(k)];
    if (!list.empty()) {
      std::byte* p = list.back();
      list.pop_back();
      return {p, bytes};
    }
  }
  return {static_cast<std::byte*>(std::aligned_alloc(kAlignment, bytes)), bytes};
}

void give_small(Block b) {
  if (SmallBlocks* mine = b.bytes <= kLargestClass ? small_blocks() : nullptr) {
    auto& list = mine->free[static_cast<size_t>(class_of(b.bytes))];
    if (list.size() * b.bytes < kKeptPerClass) {
      list.push_back(b.data);
      return;
    }
  }
  std::free(b.data);
}

void count(size_t bytes) {
  size_t now = live.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  size_t seen = peak.load(std::memory_order_relaxed);
  while (now > seen && !peak.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {}
}

}  // namespace

/// Memory and swap of the machine: what is more cannot be touched, though the system promises any amount.
static size_t machine_bytes() {
  static const size_t all = [] {
    struct sysinfo info{};
    if (sysinfo(&info) != 0) return ~size_t{0};
    return (info.totalram + info.totalswap) * size_t{info.mem_unit};
  }();
  return all;
}

Block take_block(size_t bytes) {
  if (bytes > machine_bytes()) refuse(bytes, ("the machine has " + std::to_string(machine_bytes())).c_str());
  size_t most = limit.load(std::memory_order_relaxed);
  if (most && bytes > most - std::min(most, live.load(std::memory_order_relaxed)))
    refuse(bytes, ("the limit is " + std::to_string(most) + " bytes").c_str());
  // By the size it is rounded to: that is what says where it goes back to.
  bool large = bytes > kLarge - kAlignment;
  Block b = large ? take_large(bytes) : take_small(bytes);
  if (!b.data) refuse(bytes, "the system refused");
  count(b.bytes);
  return b;
}

void give_block(Block b) noexcept {
  live.fetch_sub(b.bytes, std::memory_order_relaxed);
  b.bytes >= kLarge ? give_large(b) : give_small(b);
}

size_t live_block_bytes() { return live.load(std::memory_order_relaxed); }
size_t peak_block_bytes() { return peak.load(std::memory_order_relaxed); }
void reset_peak_block_bytes() { peak.store(live.load()); }
size_t pooled_block_bytes() { return pooled.load(std::memory_order_relaxed); }
void set_block_limit(size_t bytes) { limit.store(bytes); }

void trim_block_pool() {
  LargePool& pool = large_pool();
  std::lock_guard lock(pool.mutex);
  for (Block b : pool.blocks) unmap(b);
  pool.blocks.clear();
  pooled = 0;
}

}  // namespace tn
