// Once a shape has run, running it again on bound memory allocates nothing.
#include "../count_allocations.h"
#include "base/memory.h"
#include "networks.h"

namespace tn::engine {
namespace {

/// Allocations of ten more runs.
size_t steady(Context& context) {
  for (int i = 0; i < 3; ++i) context.run();
  size_t blocks = live_block_bytes();
  size_t count = allocations_of([&] {
    for (int i = 0; i < 10; ++i) context.run();
  });
  EXPECT_EQ(live_block_bytes(), blocks);
  return count;
}

TEST(Allocation, TheCounterCounts) {
  // Calls of the operators, unlike expressions with new, are never optimised away.
  EXPECT_EQ(allocations_of([] {
              ::operator delete(::operator new(8));
              ::operator delete(::operator new(8, std::nothrow));
            }),
            2u);
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
