// Rows keep what is dear to make: a pass that made it for a reduction stores it for the pass after.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "compile/pipeline.h"
#include "op/emit.h"

namespace tn::test {
namespace {

i64 count(const loops::Kernel& k, loops::Kind kind) {
  return std::count_if(k.nodes.begin(), k.nodes.end(), [&](const loops::Node& n) { return n.kind == kind; });
}

Compilation compiled(const std::function<Value(Value)>& f) {
  Builder b;
  Value x = b.input(Type::tensor(DType::f32, {64, 1024}));
  return compile_graph(b.build(std::vector{f(x)}), {.map_lanes = 16, .compiled = true});
}

TEST(Rows, SoftmaxKeepsItsExponentials) {
  Compilation c = compiled([](Value x) { return x.builder->emit1(op("softmax"), {x}, {{"axis", i64{1}}}); });
  ASSERT_EQ(c.steps.size(), 1u);
  EXPECT_EQ(count(c.steps[0].lowered.kernel, loops::Kind::alloc), 1);
}

TEST(Rows, WhatIsCheapIsMadeAgain) {
  Compilation c = compiled([](Value x) {
    Value y = mul(x, x);
    return mul(y, broadcast(sum(y, {1}), {64, 1024}, {0}));
  });
  for (const Step& s : c.steps) EXPECT_EQ(count(s.lowered.kernel, loops::Kind::alloc), 0);
}

}  // namespace
}  // namespace tn::test
