// Once a shape has run, running it again on bound memory allocates nothing. The allocator counts while it is told to.
#include <atomic>
#include <cstdlib>
#include <new>

#include "base/memory.h"
#include "networks.h"

static std::atomic<bool> counting{false};
static std::atomic<size_t> allocations{0};

static void* counted(size_t bytes, size_t alignment) {
  if (counting) ++allocations;
  return std::aligned_alloc(alignment, (std::max<size_t>(bytes, 1) + alignment - 1) / alignment * alignment);
}

static void* counted_or_throw(size_t bytes, size_t alignment) {
  if (void* p = counted(bytes, alignment)) return p;
  throw std::bad_alloc();
}

void* operator new(size_t bytes) { return counted_or_throw(bytes, 16); }
void* operator new(size_t bytes, std::align_val_t a) { return counted_or_throw(bytes, static_cast<size_t>(a)); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return counted(bytes, 16); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }

namespace tn::engine {
namespace {

/// Allocations of ten more runs.
size_t steady(Context& context) {
  for (int i = 0; i < 3; ++i) context.run();
  size_t blocks = live_block_bytes();
  allocations = 0;
  counting = true;
  for (int i = 0; i < 10; ++i) context.run();
  counting = false;
  EXPECT_EQ(live_block_bytes(), blocks);
  return allocations;
}

TEST(Allocation, TheCounterCounts) {
  allocations = 0;
  counting = true;
  auto p = std::make_unique<std::vector<int>>(3);
  counting = false;
  EXPECT_EQ(allocations, 2u);
}

TEST(Allocation, NoneInTheSteadyState) {
  for (i64 batch : {1, 64}) {
    Context context(build(small_network()));
    std::vector<float> in(static_cast<size_t>(batch) * 36), out(static_cast<size_t>(batch) * 5);
    i64 shape[] = {batch, 1, 6, 6};
    context.bind_input("image", in.data(), shape);
    context.bind_output("scores", out.data(), out.size() * 4);
    EXPECT_EQ(steady(context), 0u) << batch;
  }
}

TEST(Allocation, NoneInControlFlowEither) {
  Context context(build(controlled_network()));
  i64 shape[] = {40, 3};
  std::vector<float> in(120, 0.25f), a(120), b(1), c(40), d(120), e(120);
  context.bind_input("x", in.data(), shape);
  context.bind_output("halved", a.data(), 480);
  context.bind_output("last", b.data(), 4);
  context.bind_output("steps", c.data(), 160);
  context.bind_output("sorted", d.data(), 480);
  context.bind_output("same", e.data(), 480);
  EXPECT_EQ(steady(context), 0u);
}

}  // namespace
}  // namespace tn::engine
