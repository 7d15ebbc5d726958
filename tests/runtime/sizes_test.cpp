// Every family of kernels on sizes around a block of lanes: one bit pattern for the interpreter, compiled code and any
// number of threads, with all threads seen at work where the work is large.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "../op/harness.h"
#include "base/thread_pool.h"
#include "op/emit.h"
#include "runtime/execute.h"

namespace tn::test {
namespace {

using List = std::vector<i64>;

Value call(std::string_view name, const Values& x, const Attrs& attrs = {}) {
  return x[0].builder->emit(op(name), x, attrs)[0];
}
Value input(Builder& b, const Shape& shape, DType dtype = DType::f32) { return b.input(Type::tensor(dtype, shape)); }
Attrs over(i64 axis) { return {{"axis", axis}}; }

/// A graph of sizes n, at least `least`, and m.
struct Family {
  const char* name;
  i64 least;
  Value (*make)(Builder& b, Dim n, Dim m);
};

const Family kFamilies[] = {
    {"map", 0, [](Builder& b, Dim n, Dim m) { return tanh(add(input(b, {m, n}), 1)); }},
    {"row", 0, [](Builder& b, Dim n, Dim m) { return call("softmax", {input(b, {m, n})}, over(1)); }},
    {"row_sums", 0, [](Builder& b, Dim n, Dim m) { return sum(input(b, {m, n}), {1}); }},
    {"column_sums", 0, [](Builder& b, Dim n, Dim m) { return sum(input(b, {n, m}), {0}); }},
    {"all_sums", 0, [](Builder& b, Dim n, Dim m) { return sum(input(b, {n, m}), {0, 1}); }},
    {"prefix", 0, [](Builder& b, Dim n, Dim m) { return call("cumsum", {input(b, {m, n})}, over(1)); }},
    {"prefix_of_columns", 0, [](Builder& b, Dim n, Dim m) { return call("cumsum", {input(b, {n, m})}, over(0)); }},
    {"prefix_of_512_columns", 0, [](Builder& b, Dim n, Dim) { return call("cumsum", {input(b, {n, 512})}, over(0)); }},
    {"places_of_512_columns", 1, [](Builder& b, Dim n, Dim) { return call("argmax", {input(b, {n, 512})}, over(0)); }},
    {"places", 1, [](Builder& b, Dim n, Dim m) { return call("argmax", {input(b, {m, n})}, over(1)); }},
    {"transpose", 0, [](Builder& b, Dim n, Dim m) { return permute(input(b, {n, m}), {1, 0}); }},
    {"flip", 0, [](Builder& b, Dim n, Dim m) { return call("flip", {input(b, {m, n})}, {{"axes", List{1}}}); }},
    {"concat", 0,
     [](Builder& b, Dim n, Dim m) { return concat(Values{input(b, {m, n}), input(b, {m, 7}), input(b, {m, n})}, 1); }},
    {"pad", 0,
     [](Builder& b, Dim n, Dim m) {
       return call("pad", {input(b, {m, n})}, {{"low", Shape{0, 2}}, {"high", Shape{1, 1}}});
     }},
    {"concat_rows", 0,
     [](Builder& b, Dim n, Dim m) { return concat(Values{input(b, {n, m}), input(b, {7, m}), input(b, {n, m})}, 0); }},
    {"pad_rows", 0,
     [](Builder& b, Dim n, Dim m) {
       return call("pad", {input(b, {n, m})}, {{"low", Shape{2, 0}}, {"high", Shape{1, 0}}});
     }},
    {"update", 0,
     [](Builder& b, Dim n, Dim m) {
       return call("dynamic_update_slice", {input(b, {n + Dim(19), m}), input(b, {n, m}), input(b, {2}, DType::i64)});
     }},
    {"product", 0, [](Builder& b, Dim n, Dim m) { return matmul(input(b, {m, n}), input(b, {n, 17})); }},
    {"wide_product", 0, [](Builder& b, Dim n, Dim m) { return matmul(input(b, {17, m}), input(b, {m, n})); }},
    {"convolution", 1,
     [](Builder& b, Dim n, Dim m) {
       return call("conv", {input(b, {m, 3, n}), input(b, {7, 3, 3})},
                   {{"strides", List{1}},
                    {"padding_low", List{1}},
                    {"padding_high", List{1}},
                    {"lhs_dilation", List{1}},
                    {"rhs_dilation", List{1}}});
     }},
    {"pool", 1,
     [](Builder& b, Dim n, Dim m) {
       return call("max_pool", {input(b, {m, 3, n})},
                   {{"window", List{2}},
                    {"strides", List{2}},
                    {"padding_low", List{1}},
                    {"padding_high", List{0}},
                    {"dilation", List{1}}});
     }},
    {"gather", 0, [](Builder& b, Dim n, Dim m) { return gather(input(b, {19, m}), input(b, {n}, DType::i64), 0); }},
    {"scatter", 0,
     [](Builder& b, Dim n, Dim m) {
       return call("scatter", {input(b, {19, m}), input(b, {n}, DType::i64), input(b, {n, m})},
                   {{"axis", i64{0}}, {"mode", std::string("add")}});
     }},
    {"sort", 0, [](Builder& b, Dim n, Dim m) { return call("sort", {input(b, {m, n})}, over(1)); }},
    {"attention", 1,
     [](Builder& b, Dim n, Dim m) {
       return call("attention", {input(b, {2, m, 16}), input(b, {2, n, 16}), input(b, {2, n, 16})});
     }},
};

std::vector<Array> inputs_of(const Graph& g, const DimEnv& env) {
  Random random(7);
  std::vector<Array> made;
  for (Type t : g.input_types()) {
    Shape shape;
    for (Dim d : t.shape()) shape.push_back(evaluate(d, env));
    made.push_back(
        random_like(t.with(shape), random, t.dtype() == DType::i64 ? 0 : -1, t.dtype() == DType::i64 ? 19 : 1));
  }
  return made;
}

class Sizes : public testing::TestWithParam<Family> {
 protected:
  void TearDown() override {
    set_tier(Tier::automatic);
    ThreadPool::shared().set_threads(threads_);
  }
  /// The results, which all tiers and 1, 2 and 3 threads give bit by bit.
  static void same_bits(const GraphPtr& g, const std::vector<Array>& inputs, const std::string& what) {
    set_tier(Tier::interpreted);
    ThreadPool::shared().set_threads(1);
    std::vector<Array> want = execute(g, inputs);
    for (Tier tier : {Tier::interpreted, Tier::compiled})
      for (int threads : {1, 2, 3}) {
        set_tier(tier);
        ThreadPool::shared().set_threads(threads);
        std::vector<Array> got = execute(g, inputs);
        for (size_t i = 0; i < want.size(); ++i)
          EXPECT_TRUE(got[i].same_bits(want[i]))
              << what << ", compiled " << (tier == Tier::compiled) << ", threads " << threads;
      }
  }
  int threads_ = ThreadPool::shared().threads();
};

TEST_P(Sizes, AroundABlockOfLanes) {
  Builder b;
  Dim n = Dim::symbol("n"), m = Dim::symbol("m");
  GraphPtr g = b.build(std::vector{GetParam().make(b, n, m)});
  for (i64 size : {0, 1, 2, 15, 16, 17, 31, 63, 64, 65, 127, 1000})
    for (i64 other : {1, 7, 64}) {
      if (size < GetParam().least) continue;
      DimEnv env;
      env.set(n, size);
      env.set(m, other);
      same_bits(g, inputs_of(*g, env), "n = " + std::to_string(size) + ", m = " + std::to_string(other));
    }
}

/// Sizes that pay for threads: both run pieces, and the bits stay.
TEST_P(Sizes, BothThreadsWork) {
  Builder b;
  Dim n = Dim::symbol("n"), m = Dim::symbol("m");
  GraphPtr g = b.build(std::vector{GetParam().make(b, n, m)});
  DimEnv env;
  env.set(n, 1501);
  env.set(m, 512);
  std::vector<Array> inputs = inputs_of(*g, env);
  same_bits(g, inputs, "n = 1501, m = 512");
  // Library kernels, and running sums of any number of columns, are one unit.
  for (std::string_view alone : {"sort", "scatter", "prefix_of_columns"})
    if (GetParam().name == alone) return;
  set_tier(Tier::compiled);
  ThreadPool::shared().set_threads(2);
  if (ThreadPool::shared().threads() < 2) GTEST_SKIP() << "the system gives no second thread";
  // The worker may be late on a machine with other things to do.
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (ThreadPool::shared().shared_pieces() == 0 && std::chrono::steady_clock::now() < until) execute(g, inputs);
  EXPECT_GT(ThreadPool::shared().shared_pieces(), 0u) << "the second thread never took part";
}

INSTANTIATE_TEST_SUITE_P(Families, Sizes, testing::ValuesIn(kFamilies),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace tn::test
