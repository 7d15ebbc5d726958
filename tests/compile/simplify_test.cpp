// Rewrites of the simplify pass, before and after.
#include <gtest/gtest.h>

#include <algorithm>

#include "compile/passes.h"
#include "op/emit.h"
#include "runtime/execute.h"

namespace tn::test {
namespace {

Value input(Builder& b, std::initializer_list<i64> shape) {
  return b.input(Type::tensor(DType::f32, Shape(shape.begin(), shape.end())));
}

Array numbers(Type t, u64 seed) {
  std::vector<i64> shape;
  for (Dim d : t.shape()) shape.push_back(d.value());
  Array a = Array::empty(t.dtype(), shape);
  for (i64 i = 0; i < a.size(); ++i) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    a.set(i, static_cast<double>(seed >> 40) / (1 << 24) - 0.5);
  }
  return a;
}

i64 count(const Graph& g, std::string_view name) {
  return std::count_if(g.nodes().begin(), g.nodes().end(), [&](const Node& n) { return n.op->name == name; });
}

void expect_same_bits(const GraphPtr& before, const GraphPtr& after) {
  std::vector<Array> inputs;
  for (Type t : before->input_types()) inputs.push_back(numbers(t, inputs.size() + 1));
  auto want = execute(before, inputs), got = execute(after, inputs);
  ASSERT_EQ(want.size(), got.size());
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(want[i].shape, got[i].shape);
    EXPECT_TRUE(std::equal(want[i].bytes_begin(), want[i].bytes_begin() + want[i].nbytes(), got[i].bytes_begin()));
  }
}

TEST(Simplify, PermutedProductHasItsOperandsExchanged) {
  Builder b;
  Value x = input(b, {3, 20, 7}), y = input(b, {3, 7, 2, 30});
  Value product = dot(x, y, {0}, {0}, {2}, {1});  // [3, 20, 2, 30]
  GraphPtr g = b.build(std::vector{permute(product, {0, 2, 3, 1})});
  GraphPtr after = simplify(g);
  EXPECT_EQ(count(*after, "permute"), 0);
  EXPECT_EQ(count(*after, "dot"), 1);
  EXPECT_EQ(after->output_types()[0], g->output_types()[0]);
  expect_same_bits(g, after);
}

TEST(Simplify, OtherOrdersAndSharedProductsStay) {
  for (bool shared : {false, true}) {
    Builder b;
    Value x = input(b, {3, 20, 7}), y = input(b, {3, 7, 30});
    Value product = dot(x, y, {0}, {0}, {2}, {1});
    Values out{permute(product, shared ? std::vector<i64>{0, 2, 1} : std::vector<i64>{1, 0, 2})};
    if (shared) out.push_back(product);
    GraphPtr g = b.build(out), after = simplify(g);
    EXPECT_EQ(count(*after, "permute"), 1);
    EXPECT_EQ(count(*after, "dot"), 1);
    expect_same_bits(g, after);
  }
}

}  // namespace
}  // namespace tn::test
