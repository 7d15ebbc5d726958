// Contexts: many at once, on the user's memory, with errors that name input and size.
#include <thread>

#include "backend/cpu/cpu.h"
#include "networks.h"
#include "runtime/counters.h"

namespace tn::engine {
namespace {

TEST(Context, EightThreadsRunOnePlan) {
  Plan plan = build(small_network());
  constexpr int kThreads = 8, kRuns = 12;
  std::vector<std::vector<Tensor>> inputs(kThreads), want(kThreads);
  Context alone(plan);
  for (int t = 0; t < kThreads; ++t)
    for (int r = 0; r < kRuns; ++r) {
      inputs[static_cast<size_t>(t)].push_back(pictures(1 + (t * 5 + r * 3) % 17).eval());
      want[static_cast<size_t>(t)].push_back(alone.run({inputs[static_cast<size_t>(t)].back()})[0]);
    }
  std::vector<std::vector<Tensor>> got(kThreads);
  {
    std::vector<std::jthread> threads;
    for (size_t t = 0; t < kThreads; ++t)
      threads.emplace_back([&, t] {
        Context context(plan);
        for (const Tensor& x : inputs[t]) got[t].push_back(context.run({x})[0]);
      });
  }
  for (size_t t = 0; t < kThreads; ++t)
    for (size_t r = 0; r < kRuns; ++r) expect_same(got[t][r], want[t][r]);
}

TEST(Context, RunsOnTheUsersMemory) {
  Plan plan = build(small_network());
  Context context(plan);
  Tensor x = pictures(3).eval();
  std::vector<float> in(x.data<float>(), x.data<float>() + 108), out(3 * 5 + 1, -1);
  i64 shape[] = {3, 1, 6, 6};
  context.bind_input("image", in.data(), shape);
  context.bind_output("scores", out.data(), out.size() * sizeof(float));
  context.run();
  EXPECT_EQ(context.output_shape("scores"), (std::vector<i64>{3, 5}));
  std::vector<double> want = context.run({x})[0].to_vector();
  for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(static_cast<double>(out[i]), want[i]);
  EXPECT_EQ(out.back(), -1);
  std::fill(out.begin(), out.end(), -1.0f);
  context.run();  // a run on tensors leaves the binding as it was
  EXPECT_EQ(static_cast<double>(out[0]), want[0]);
  // Other contents and another batch through the same binding.
  shape[0] = 2;
  context.bind_input("image", in.data(), shape);
  context.run();
  EXPECT_EQ(context.output_shape("scores"), (std::vector<i64>{2, 5}));
}

/// Large outputs are streamed past the cache, which wants aligned memory: any address serves all the same.
TEST(Context, MemoryMayLieAnywhere) {
  constexpr i64 kBatch = 4096;
  Context context(build(small_network()));
  Tensor x = pictures(kBatch).eval(), want = context.run({x})[0];
  std::vector<float> in(kBatch * 36 + 16), out(kBatch * 5 + 16);
  i64 shape[] = {kBatch, 1, 6, 6};
  for (size_t shift : {0, 1, 3, 8}) {
    std::copy_n(x.data<float>(), kBatch * 36, in.data() + shift);
    context.bind_input("image", in.data() + shift, shape);
    context.bind_output("scores", out.data() + shift, kBatch * 5 * sizeof(float));
    context.run();
    for (size_t i = 0; i < kBatch * 5; ++i) ASSERT_EQ(out[shift + i], want.data<float>()[i]) << shift << " " << i;
  }
}

TEST(Context, AFewShapesAreBoundOnce) {
  Plan plan = build(small_network());
  Context context(plan);
  Tensor x = pictures(3).eval();
  context.run({x});
  u64 bindings = runtime_counters().bindings;
  for (int i = 0; i < 5; ++i) context.run({x});
  EXPECT_EQ(runtime_counters().bindings, bindings);
}

/// A new batch and length costs memory planned anew: nothing is traced, planned or compiled again.
TEST(Context, FiftyShapesTraceAndCompileNothing) {
  nn::Keys keys(0);
  nn::TransformerEncoderLayer layer = nn::transformer_encoder_layer(keys, 16, 2, 32, {});
  Dim batch = Dim::symbol("batch"), length = Dim::symbol("length");
  NamedType x{"x", Type::tensor(DType::f32, {batch, length, Dim(16)})};
  Context context(build(trace_network([&](const Tensor& t) { return layer(t); }, {"y"}, x)));
  std::vector<Tensor> inputs;
  for (i64 k = 0; k < 50; ++k)
    inputs.push_back(random::normal(random::key(static_cast<u64>(k)), {1 + k % 7, 1 + 3 * k, 16}).eval());
  const RuntimeCounters& c = runtime_counters();
  auto counted = [&] {
    return std::vector<u64>{c.traces, c.plans_built, c.kernels_made, cpu::counters().compiled, cpu::counters().loaded};
  };
  std::vector<u64> before = counted();
  u64 bindings = c.bindings;
  std::vector<Tensor> results;
  for (const Tensor& t : inputs) results.push_back(context.run({t})[0]);
  EXPECT_EQ(counted(), before);
  EXPECT_GE(c.bindings, bindings + 50);
  EXPECT_LT(max(abs(results[20] - layer(inputs[20]))).item(), 1e-4);
}

TEST(Context, ErrorsNameInputAndSize) {
  Plan plan = build(small_network(), {.profiles = {{"batch", 2, 4, 8}}});
  Context context(plan);
  auto zeros_of = [](Shape shape, DType d = DType::f32) { return zeros(shape, d); };
  expect_error([&] { context.run({}); }, "expected 1 inputs, got 0");
  expect_error([&] { context.run({zeros_of({4, 1, 6, 6}, DType::f64)}); },
               "expected f32 for input 'image', got f64; use cast");
  expect_error([&] { context.run({zeros_of({4, 1, 6})}); }, "for input 'image', got 3 axes");
  expect_error([&] { context.run({zeros_of({4, 1, 7, 6})}); },
               "expected f32[batch, 1, 6, 6] for input 'image', got extent 7 on axis 2");
  expect_error([&] { context.run({zeros_of({9, 1, 6, 6})}); }, "expected size 'batch' from 2 to 8, got 9");
  expect_error([&] { context.run({zeros_of({1, 1, 6, 6})}); }, "expected size 'batch' from 2 to 8, got 1");
  expect_error([&] { context.run(); }, "expected memory for input 'image', got none; call bind_input");
  i64 shape[] = {4, 1, 6, 6};
  std::vector<float> in(4 * 36), out(4 * 5);
  expect_error([&] { context.bind_input("picture", in.data(), shape); },
               "expected the name of an input, got 'picture'");
  expect_error([&] { context.bind_output("score", out.data(), 80); }, "expected the name of an output, got 'score'");
  context.bind_input("image", in.data(), shape);
  expect_error([&] { context.run(); }, "expected 80 bytes for output 'scores', got 0; call bind_output");
  context.bind_output("scores", out.data(), 79);
  expect_error([&] { context.run(); }, "expected 80 bytes for output 'scores', got 79");
  expect_error([&] { static_cast<void>(Context(plan).output_shape("scores")); }, "expected a run first");
  // An error leaves the context usable.
  context.bind_output("scores", out.data(), 80);
  EXPECT_NO_THROW(context.run());
}

}  // namespace
}  // namespace tn::engine
