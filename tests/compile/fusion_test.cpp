// What becomes one kernel, by counting the phases of plans; and that fusing changes no bit, in the interpreter and as
// machine code, on one thread and on two.
#include <gtest/gtest.h>

#include "../op/harness.h"
#include "base/thread_pool.h"
#include "compile/pipeline.h"
#include "op/emit.h"
#include "runtime/context.h"
#include "runtime/counters.h"
#include "runtime/execute.h"
#include "tenon/error.h"
#include "transform/transform.h"

namespace tn::test {
namespace {

const Target kInterpreted;
const Target kCompiled{.map_lanes = 16, .compiled = true};

std::vector<Array> run(const PlanPtr& plan, std::span<const Array> inputs) {
  DimEnv env = bind_shapes(plan->input_types(), inputs);
  Context context(plan);
  context.bind(env);
  std::vector<Array> results;
  std::vector<std::byte*> in, out;
  for (const Array& a : inputs) in.push_back(a.bytes_begin());
  for (Type t : plan->output_types()) {
    std::vector<i64> shape;
    for (Dim d : t.shape()) shape.push_back(evaluate(d, env));
    results.push_back(Array::empty(t.dtype(), shape));
    out.push_back(results.back().bytes_begin());
  }
  context.run(in, out);
  return results;
}

std::vector<Array> inputs_of(const Graph& g) {
  Random random(7);
  std::vector<Array> made;
  for (Type t : g.input_types()) made.push_back(random_like(t, random));
  return made;
}

/// All ways of running a graph give the same bits; returns the phases of its fused plan.
size_t phases_of(const GraphPtr& g) {
  std::vector<Array> inputs = inputs_of(*g);
  std::vector<Array> want = run(Plan::build(g, without_pass(kInterpreted, "fuse")), inputs);
  size_t phases = 0;
  int threads = ThreadPool::shared().threads();
  for (const Target& target : {kInterpreted, kCompiled})
    for (int count : {1, 2}) {
      ThreadPool::shared().set_threads(count);
      PlanPtr plan = Plan::build(g, target);
      phases = plan->phase_count();
      std::vector<Array> got = run(plan, inputs);
      for (size_t i = 0; i < want.size(); ++i)
        EXPECT_TRUE(got[i].same_bits(want[i]))
            << "result " << i << ", compiled " << target.compiled << ", threads " << count;
    }
  ThreadPool::shared().set_threads(threads);
  return phases;
}

Value input(Builder& b, const Shape& shape, DType dtype = DType::f32) { return b.input(Type::tensor(dtype, shape)); }

Value call(std::string_view name, const Values& x, const Attrs& attrs = {}) {
  return x[0].builder->emit(op(name), x, attrs)[0];
}

Value conv3x3(Value x, Value w) {
  std::vector<i64> one{1, 1};
  return call("conv", {x, w},
              {{"strides", one},
               {"padding_low", one},
               {"padding_high", one},
               {"lhs_dilation", one},
               {"rhs_dilation", one},
               {"groups", i64{1}}});
}

Attrs pool2x2() {
  std::vector<i64> one{1, 1}, two{2, 2}, none{0, 0};
  return {{"window", two}, {"strides", two}, {"padding_low", none}, {"padding_high", none}, {"dilation", one}};
}

Value relu(Value x) { return maximum(x, zeros_like(x)); }

GraphPtr batch_norm(bool pooled = false) {
  Builder b;
  Value x = input(b, {17, 20, 6, 8}), scale = input(b, {20}), bias = input(b, {20});
  Values m = b.emit(op("moments"), Values{x}, {{"axes", std::vector<i64>{0, 2, 3}}});
  Value y = relu(call("batch_norm", {x, scale, bias, m[0], m[1]}, {{"epsilon", 1e-5}}));
  if (pooled) y = call("max_pool", {y}, pool2x2());
  return b.build(std::vector{y});
}

/// What a plan's instructions are, one a line.
std::string labels(const GraphPtr& g) {
  std::string text;
  PlanPtr plan = Plan::build(g, kInterpreted);
  for (const Instruction& i : plan->instructions()) text += i.label + " (" + std::to_string(i.phases.size()) + ")\n";
  return text;
}

size_t backward_phases(const GraphPtr& g) {
  GraphPtr both = vjp_graph(g, Mask(g->input_count(), true));
  return phases_of(both) - phases_of(g);
}

// ---------------------------------------------------------------- phases

TEST(Phases, Softmax) {
  Builder b;
  Value x = input(b, {40, 70});
  EXPECT_EQ(phases_of(b.build(std::vector{call("softmax", {x}, {{"axis", i64{1}}})})), 1u);
}

TEST(Phases, LayerNorm) {
  Builder b;
  Value x = input(b, {130, 70}), scale = input(b, {70}), bias = input(b, {70});
  GraphPtr g = b.build(std::vector{call("layer_norm", {x, scale, bias}, {{"epsilon", 1e-5}})});
  EXPECT_EQ(phases_of(g), 1u);
  EXPECT_LE(backward_phases(g), 2u) << labels(vjp_graph(g, Mask(3, true)));
}

TEST(Phases, GeluOfABiasAddedMatmul) {
  Builder b;
  Value x = input(b, {16, 24}), w = input(b, {24, 64}), bias = input(b, {64});
  Value y = matmul(x, w);
  y = add(y, broadcast(bias, shape_of(y), {1}));
  EXPECT_EQ(phases_of(b.build(std::vector{call("gelu", {y})})), 1u);
}

TEST(Phases, ConvolutionBiasReluResidual) {
  Builder b;
  Value x = input(b, {2, 8, 14, 14}), w = input(b, {32, 8, 3, 3}), bias = input(b, {32});
  Value more = input(b, {2, 32, 14, 14});
  Value y = conv3x3(x, w);
  y = relu(add(add(y, broadcast(bias, shape_of(y), {1})), more));
  GraphPtr g = b.build(std::vector{y});
  // One kernel; the weights are packed for it in a phase before.
  EXPECT_EQ(Plan::build(g, kCompiled)->instructions().size(), 1u);
  EXPECT_LE(phases_of(g), 2u) << labels(g);
}

/// One sweep over the parameters, whatever their shapes; numbers that all share are made before it.
TEST(Phases, AdamOverAllParameters) {
  const Shape kShapes[] = {{40, 3, 3, 3}, {40}, {7000}, {}, {40, 130}};
  Builder b;
  Values in{input(b, {})}, outputs;
  for (const Shape& shape : kShapes)
    for (int i = 0; i < 4; ++i) in.push_back(input(b, shape));
  Value rate = exp(in[0]);
  for (size_t i = 0; i < std::size(kShapes); ++i) {
    Value p = in[4 * i + 1], g = in[4 * i + 2], m = in[4 * i + 3], v = abs(in[4 * i + 4]);
    m = add(mul(m, 0.9), mul(g, 0.1));
    v = add(mul(v, 0.999), mul(mul(g, g), 0.001));
    p = sub(p, div(mul(m, broadcast(rate, kShapes[i], {})), add(sqrt(v), 1e-8)));
    outputs.insert(outputs.end(), {p, m, v});
  }
  GraphPtr g = b.build(outputs);
  EXPECT_EQ(phases_of(g), 2u) << labels(g);
}

TEST(Phases, BatchNormInTraining) {
  GraphPtr g = batch_norm();
  EXPECT_LE(phases_of(g), 2u);
  EXPECT_LE(backward_phases(g), 2u);
}

/// The normalised picture is made where the windows read it.
TEST(Phases, PooledBatchNormInTraining) {
  GraphPtr g = batch_norm(true);
  EXPECT_LE(phases_of(g), 2u) << labels(g);
}

}  // namespace
}  // namespace tn::test
