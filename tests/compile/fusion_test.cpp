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
  for (int count : {1, 2})
    for (const Target& target : {kInterpreted, kCompiled}) {
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

/// Sums down the columns and what follows them come out of the kernel that makes the elements.
TEST(Phases, BiasGradientAndItsUpdate) {
  Builder b;
  Value x = input(b, {200, 70}), y = input(b, {200, 70}), bias = input(b, {70});
  Value g = mul(x, exp(y));
  GraphPtr graph = b.build(std::vector{g, sub(bias, mul(sum(g, {0}), 0.1))});
  EXPECT_EQ(phases_of(graph), 2u) << labels(graph);
}

/// A moment decays beside the sum of its gradients: of the columns' shape, though no sum is in it.
TEST(Phases, BiasGradientAndItsDecayingMoment) {
  for (i64 width : {10, 64, 70, 200})
    for (bool softmax : {false, true}) {
      Builder b;
      Value x = input(b, {64, width}), moment = input(b, {width}), bias = input(b, {width});
      Value g = softmax ? call("softmax", {x}, {{"axis", i64{1}}}) : mul(x, exp(x));
      Value decayed = mul(moment, 0.9), next = add(decayed, mul(sum(g, {0}), 0.1));
      phases_of(
          b.build(std::vector{g, decayed, next, sub(bias, next), tanh(moment), broadcast(decayed, {3, width}, {1})}));
    }
}

/// Deviations from the columns' means are there only when the means are: a kernel of their own, and one for the rest.
TEST(Phases, VarianceOfColumnsBesideAMap) {
  Builder b;
  Value x = input(b, {512, 300});
  Value mean = mul(sum(x, {0}), 1.0 / 512), d = sub(x, broadcast(mean, shape_of(x), {1}));
  GraphPtr g = b.build(std::vector{tanh(x), mean, sum(mul(d, d), {0})});
  EXPECT_EQ(Plan::build(g, kCompiled)->instructions().size(), 2u) << labels(g);
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
  // One kernel, whose units pack the weights for themselves.
  EXPECT_EQ(Plan::build(g, kCompiled)->instructions().size(), 1u);
  EXPECT_EQ(phases_of(g), 1u) << labels(g);
}

/// One sweep over the parameters, whatever their shapes; numbers that all share are made by each part of it.
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
  EXPECT_EQ(phases_of(g), 1u) << labels(g);
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

/// In a sum over everything the tail of the one row meets coordinates that a whole block has too.
TEST(Tails, AreNoWholeBlocks) {
  for (i64 width : {2, 4, 8, 70})
    for (i64 height : {9, 70, 131}) {
      Builder b;
      Value x = input(b, {height, width}), y = input(b, {width});
      Value v = mul(x, broadcast(y, shape_of(x), {1}));
      phases_of(b.build(std::vector{v, sum(v, {0, 1}), reshape(v, {height * width}), exp(v)}));
      phases_of(b.build(std::vector{sum(v, {1}), v, max(v, {0, 1})}));
    }
}

// ---------------------------------------------------------------- what has to lie in memory

/// What lies along the axis in reverse, picked by number.
Value pick(Value x, i64 axis) {
  Shape extent{x.shape()[static_cast<size_t>(axis)]};
  return gather(x, flip(iota(*x.builder, extent, 0, DType::i64), {0}), axis);
}

/// Only what needs the value leaves the kernel that makes it; what else it made stays together.
TEST(Phases, AGatherOfItsOwnValuesCutsAMapInTwo) {
  Builder b;
  Value x = input(b, {48, 70});
  Value e = tanh(mul(exp(x), 0.5)), other = sin(add(e, x));
  Value picked = mul(add(pick(e, 1), x), tanh(x));
  GraphPtr g = b.build(std::vector{e, other, picked, cos(picked)});
  EXPECT_EQ(phases_of(g), 2u) << labels(g);
}

TEST(Phases, AGatherOfItsOwnRowsCutsThemInTwo) {
  Builder b;
  Value x = input(b, {48, 70});
  Value e = call("softmax", {x}, {{"axis", i64{1}}});
  Value picked = add(pick(e, 0), x);
  Value total = sum(picked, {1});
  Value share = div(picked, broadcast_along(total, shape_of(x), {1}));
  GraphPtr g = b.build(std::vector{e, sum(mul(x, e), {1}), total, exp(share), share});
  EXPECT_EQ(phases_of(g), 2u) << labels(g);
}

// ---------------------------------------------------------------- generated groups

/// x by something of any rank from 1 on; w: f32[512, 32].
using Step = Value (*)(Value x, Value w);
struct Named {
  const char* name;
  Step step;
};

Value centred(Value x, const std::vector<i64>& axes) {
  return sub(x, broadcast_along(sum(x, axes), shape_of(x), axes));
}

i64 last_axis(Value x) { return x.rank() - 1; }

const Named kKernels[] = {
    {"none", [](Value x, Value) { return x; }},
    {"map", [](Value x, Value) { return mul(add(x, 0.5), x); }},
    {"rows",
     [](Value x, Value) {
       std::vector<i64> axes{last_axis(x)};
       return mul(x, exp(sub(x, broadcast_along(max(x, axes), shape_of(x), axes))));
     }},
    {"shares",
     [](Value x, Value) {
       std::vector<i64> axes{last_axis(x)};
       Value e = exp(sub(x, broadcast_along(max(x, axes), shape_of(x), axes)));
       return div(e, broadcast_along(sum(e, axes), shape_of(x), axes));
     }},
    {"columns", [](Value x, Value) { return centred(x, {0}); }},
    {"planes", [](Value x, Value) { return centred(x, {0, last_axis(x)}); }},
    {"contraction",
     [](Value x, Value w) {
       Value b = slice(w, 0, 0, x.shape().back());
       return relu(dot(x, b, {}, {}, {last_axis(x)}, {0}));
     }},
};

const Named kMovements[] = {
    {"broadcast", [](Value x, Value) { return to_lanes(x, 3); }},
    {"permute", [](Value x, Value) { return move_axis(x, 0, last_axis(x)); }},
    {"reshape", [](Value x, Value) { return reshape(x, {floordiv(x.type().size(), 32), 2, 16}); }},
    {"slice", [](Value x, Value) { return slice(x, last_axis(x), 1, x.shape().back()); }},
    {"stride", [](Value x, Value) { return slice(x, 0, 1, x.shape()[0], 2); }},
    {"pad",
     [](Value x, Value) {
       Shape low(static_cast<size_t>(x.rank()), 1), high(static_cast<size_t>(x.rank()), 2);
       return pad(x, low, high, 0.25);
     }},
    {"flip", [](Value x, Value) { return flip(x, {0, last_axis(x)}); }},
    {"concat", [](Value x, Value) { return concat(Values{x, neg(x)}, last_axis(x)); }},
    {"gather", [](Value x, Value) { return gather(x, iota(*x.builder, {5}, 0, DType::i64), 0); }},
};

class Groups : public testing::TestWithParam<Named> {};

/// Each movement before and after a kernel of each kind, and between two.
TEST_P(Groups, FusedHasTheBitsOfUnfused) {
  for (const Named& before : kKernels)
    for (const Named& after : kKernels) {
      SCOPED_TRACE(std::string(before.name) + ", " + GetParam().name + ", " + after.name);
      Builder b;
      Value x = input(b, {16, 24, 64}), w = input(b, {512, 32});
      Value y = after.step(GetParam().step(before.step(x, w), w), w);
      phases_of(b.build(std::vector{y}));
    }
}

INSTANTIATE_TEST_SUITE_P(Movements, Groups, testing::ValuesIn(kMovements),
                         [](const auto& instance) { return std::string(instance.param.name); });

/// A random program of maps, reductions, movements and contractions; all its values, the newest last.
Values random_values(Builder& b, u64 seed) {
  Random random(seed);
  auto pick = [&](size_t n) { return static_cast<size_t>(random.next() >> 20) % n; };
  // Rows of one block of lanes, and of some with a tail.
  Value x = input(b, {16, 24, seed % 2 == 0 ? 64 : 100}), w = input(b, {512, 32});
  Values values{x};
  while (values.size() < 14) {
    Value v = values[values.size() - 1 - pick(std::min<size_t>(values.size(), 4))];
    bool large = v.rank() > 3 || v.type().size().value() > 100000 || v.shape().back().value() > 200;
    // The last, a contraction, has weights for as many elements.
    bool narrow = v.shape().back().value() <= 512;
    const Named& kernel = kKernels[1 + pick(std::size(kKernels) - (narrow ? 1 : 2))];
    const Named& movement = kMovements[1 + pick(std::size(kMovements) - 1)];
    bool whole = v.type().size().value() % 32 == 0 && v.shape()[0].value() > 5;
    bool moves = pick(3) == 0 && !large && whole;
    Value made = (moves ? movement : kernel).step(v, w);
    for (Value other : values)
      if (shape_of(other) == shape_of(made) && pick(2) == 0) made = add(made, mul(other, 0.5));
    values.push_back(made);
  }
  return values;
}

/// The same numbers fused and not, and whatever else is read of the same program.
TEST(RandomGroups, FusedHasTheBitsOfUnfused) {
  for (u64 seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Builder one, many;
    GraphPtr last = one.build(std::vector{random_values(one, seed).back()});
    GraphPtr every = many.build(random_values(many, seed));
    phases_of(last);
    std::vector<Array> inputs = inputs_of(*last);
    Array alone = run(Plan::build(last, kInterpreted), inputs)[0];
    EXPECT_TRUE(run(Plan::build(every, kInterpreted), inputs).back().same_bits(alone)) << "with reads in between";
  }
}

/// What a row keeps in memory serves that row: another, which reads it through a movement, makes it again.
TEST(KeptElements, AreOfTheirRow) {
  Builder b;
  Value x = input(b, {32, 1000});
  Value e = exp(x), other = flip(e, {0});
  Value share = div(e, broadcast_along(sum(e, {1}), shape_of(e), {1}));
  Value total = sum(mul(other, x), {1});
  phases_of(b.build(std::vector{share, add(other, broadcast_along(total, shape_of(e), {1}))}));
}

/// Strips of the strided operand are packed by all threads in a phase before.
TEST(Strips, ThreadsGiveTheSameBits) {
  Builder b;
  Value x = input(b, {75, 301}), y = input(b, {75, 300}), z = input(b, {301, 300});
  Value sum = dot(x, y, {}, {}, {0}, {0});
  GraphPtr g = b.build(std::vector{tanh(dot(add(sum, z), sum, {}, {}, {0}, {0})), sum});
  size_t temps = 0;
  auto plan = Plan::build(g, kCompiled);
  for (const Slot& s : plan->slots()) temps += s.role == Slot::Role::temp;
  EXPECT_GT(temps, 2u);
  for (int run = 0; run < 5; ++run) EXPECT_GT(phases_of(g), 2u) << labels(g);
}

// ---------------------------------------------------------------- symbolic sizes

std::vector<Array> encoder_inputs(i64 batch, i64 length) {
  Random random(static_cast<u64>(batch * 1000 + length));
  std::vector<Array> made;
  for (const Shape& shape : {Shape{batch, length, 32}, Shape{32, 48}, Shape{32}, Shape{32}})
    made.push_back(random_like(Type::tensor(DType::f32, shape), random));
  return made;
}

TEST(SymbolicPlan, FiftyShapesMakeNoPlanAndNoCode) {
  Dim batch = Dim::symbol("batch"), length = Dim::symbol("length");
  Builder b;
  Value x = input(b, {batch, length, Dim(32)}), w = input(b, {32, 48}), scale = input(b, {32}), bias = input(b, {32});
  Value y = call("layer_norm", {x, scale, bias}, {{"epsilon", 1e-5}});
  y = call("gelu", {dot(y, w, {}, {}, {2}, {0})});
  Value scores = dot(y, y, {0}, {0}, {2}, {2});
  y = dot(call("softmax", {scores}, {{"axis", i64{2}}}), y, {0}, {0}, {2}, {1});
  GraphPtr g = b.build(std::vector{mean(y, {1})});
  PlanPtr unfused = Plan::build(g, without_pass(kInterpreted, "fuse"));
  set_tier(Tier::compiled);
  execute(g, encoder_inputs(1, 1));
  RuntimeCounters& counters = runtime_counters();
  u64 plans = counters.plans_built, kernels = counters.kernels_made;
  for (i64 k = 0; k < 50; ++k) {
    std::vector<Array> inputs = encoder_inputs(1 + k % 7, 2 + 3 * k);
    Array got = execute(g, inputs)[0];
    bool same = k % 10 != 0 || got.same_bits(run(unfused, inputs)[0]);
    EXPECT_TRUE(same) << k;
  }
  EXPECT_EQ(counters.plans_built, plans);
  EXPECT_EQ(counters.kernels_made, kernels);
  set_tier(Tier::automatic);
}

}  // namespace
}  // namespace tn::test
