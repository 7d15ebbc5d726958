// A bound context runs without allocating.
#include <gtest/gtest.h>

#include "../count_allocations.h"
#include "base/memory.h"
#include "base/thread_pool.h"
#include "runtime/context.h"
#include "runtime/execute.h"

namespace tn {
namespace {

/// Allocations in ten runs of a bound context, after one that warms it up.
size_t steady_allocations(const char* text, const Target& target, i64 n) {
  GraphPtr g = parse_graph(text);
  Context context(Plan::build(g, target));
  DimEnv env;
  env.set(Dim::symbol("n"), n);
  context.bind(env);
  std::vector<Array> arrays;
  std::vector<std::byte*> inputs, outputs;
  auto make = [&](Type t, std::vector<std::byte*>& to) {
    std::vector<i64> shape;
    for (Dim d : t.shape()) shape.push_back(evaluate(d, env));
    arrays.push_back(Array::zeros(t.dtype(), shape));
    to.push_back(arrays.back().bytes_begin());
  };
  for (Type t : g->input_types()) make(t, inputs);
  for (Type t : context.plan().output_types()) make(t, outputs);
  context.run(inputs, outputs);
  size_t live = live_block_bytes();
  size_t count = allocations_of([&] {
    for (int i = 0; i < 10; ++i) context.run(inputs, outputs);
  });
  EXPECT_EQ(live_block_bytes(), live);
  return count;
}

class Steady : public testing::TestWithParam<bool> {
 protected:
  // A worker allocates when it first takes part, which may be in any run.
  void SetUp() override { ThreadPool::shared().set_threads(1); }
  static Target target() {
    return GetParam() ? Target{.map_lanes = 16, .compiled = true, .vector_bits = cpu::vector_bits(cpu::host_isa())}
                      : Target{};
  }
};

TEST_P(Steady, NetworksAllocateNothing) {
  EXPECT_EQ(steady_allocations(R"(graph(%0: f32[n, 64], %1: f32[64, 64], %2: f32[64]) {
    %3: f32[n, 64] = matmul(%0, %1)
    %4: f32[n, 64] = broadcast(%2) {dims=[1], shape=<n, 64>}
    %5: f32[n, 64] = add(%3, %4)
    %6: f32[n, 64] = gelu(%5)
    %7: f32[n, 64] = softmax(%6) {axis=1}
    %8: f32[64] = sum(%7) {axes=[0]}
    return %7, %8
  })",
                               target(), 300),
            0u);
}

TEST_P(Steady, ControlFlowAllocatesNothing) {
  EXPECT_EQ(steady_allocations(R"(graph(%0: bool[], %1: f32[3], %2: f32[n, 3]) {
    %3: f32[3] = cond(%0, %1) {else=graph(%0: f32[3]) {
        %1: f32[3] = exp(%0)
        return %1
      }, then=graph(%0: f32[3]) {
        return %0
      }}
    %4: f32[3], %5: f32[n, 3] = scan(%3, %2) {body=graph(%0: f32[3], %1: f32[3]) {
        %2: f32[3] = mul(%0, %1)
        return %2, %0
      }, carry=1, consts=0, length=<n>, reverse=false}
    return %4, %5
  })",
                               target(), 7),
            0u);
}

INSTANTIATE_TEST_SUITE_P(Tiers, Steady, testing::Values(false, true));

}  // namespace
}  // namespace tn
