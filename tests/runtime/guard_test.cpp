// Sizes that types cannot judge are judged when they are known: an error, never memory of somebody else.
#include <gtest/gtest.h>

#include "../op/harness.h"
#include "backend/ref/ref.h"
#include "ir/graph_text.h"
#include "runtime/execute.h"

namespace tn::test {
namespace {

Array vector_of(i64 n) {
  Array a = Array::zeros(DType::f32, {n});
  for (i64 i = 0; i < n; ++i) a.set(i, static_cast<double>(i));
  return a;
}

Array places(std::initializer_list<i64> values) {
  Array a = Array::zeros(DType::i64, {static_cast<i64>(values.size())});
  i64 i = 0;
  for (i64 v : values) a.set_int(i++, v);
  return a;
}

class Guards : public testing::TestWithParam<Tier> {
 protected:
  void SetUp() override { set_tier(GetParam()); }
  void TearDown() override { set_tier(Tier::automatic); }

  static std::string error_of(const std::function<void()>& f) {
    try {
      f();
    } catch (const Error& e) { return e.what(); }
    return "";
  }

  /// The graph refuses these inputs, on kernels and on the reference, with an error that says `want`.
  static void refuses(const GraphPtr& g, const std::vector<Array>& inputs, const std::string& want) {
    for (const std::string& got : {error_of([&] { execute(g, inputs); }), error_of([&] { ref_run(g, inputs); })})
      EXPECT_NE(got.find(want), got.npos) << got;
  }
  static void accepts(const GraphPtr& g, const std::vector<Array>& inputs) {
    std::vector<Array> got = execute(g, inputs), want = ref_run(g, inputs);
    for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i].same_bits(want[i]));
  }
};

TEST_P(Guards, AWindowFits) {
  GraphPtr g = parse_graph(R"(graph(%0: f32[n], %1: i64[1]) {
    %2: f32[4] = dynamic_slice(%0, %1) {sizes=<4>}
    return %2
  })");
  refuses(g, {vector_of(2), places({0})},
          "[dynamic_slice] expected a window of at most n on axis 0 of f32[n], got 4 with n = 2");
  accepts(g, {vector_of(4), places({3})});
  accepts(g, {vector_of(9), places({3})});
}

TEST_P(Guards, ASliceLiesInside) {
  GraphPtr g = parse_graph(R"(graph(%0: f32[n]) {
    %1: f32[1] = slice(%0) {limits=<6>, starts=<5>, strides=[1]}
    %2: f32[1] = neg(%1)
    return %2
  })");
  refuses(g, {vector_of(0)}, "[slice] expected 0 <= start <= limit <= n on axis 0, got 5 and 6 with n = 0");
  refuses(g, {vector_of(5)}, "with n = 5");
  accepts(g, {vector_of(6)});
}

TEST_P(Guards, APadCutsWhatIsThere) {
  GraphPtr g = parse_graph(R"(graph(%0: f32[n]) {
    %1: f32[n - 4] = pad(%0) {high=<0>, low=<-4>}
    return %1
  })");
  refuses(g, {vector_of(3)}, "[pad] expected to cut at most the n elements on axis 0");
  accepts(g, {vector_of(4)});
  accepts(g, {vector_of(9)});
}

TEST_P(Guards, WindowsFitThePicture) {
  Builder b;
  Value x = b.input(Type::tensor(DType::f32, {1, 1, Dim::symbol("n")}));
  Value w = b.input(Type::tensor(DType::f32, {1, 1, 3}));
  std::vector<i64> none{0}, one{1};
  Value conv = b.emit1(op("conv"), {x, w},
                       {{"strides", one},
                        {"padding_low", none},
                        {"padding_high", none},
                        {"lhs_dilation", one},
                        {"rhs_dilation", one},
                        {"groups", i64{1}}});
  Value most = b.emit1(op("max_pool"), {x},
                       {{"window", std::vector<i64>{3}},
                        {"strides", one},
                        {"padding_low", none},
                        {"padding_high", none},
                        {"dilation", one}});
  GraphPtr convolved = b.build(std::vector{conv}), pooled = b.build(std::vector{most});
  auto picture = [](i64 n) { return Array::zeros(DType::f32, {1, 1, n}); };
  refuses(convolved, {picture(2), picture(3)}, "[conv] expected weights that reach over at most the padded extent n");
  refuses(pooled, {picture(2), picture(3)}, "expected a window of at most the padded extent n");
  for (i64 n : {3, 8}) {
    accepts(convolved, {picture(n), picture(3)});
    accepts(pooled, {picture(n), picture(3)});
  }
}

TEST_P(Guards, NothingIsTakenOfNothing) {
  GraphPtr g = parse_graph(R"(graph(%0: f32[n], %1: i64[m]) {
    %2: f32[m] = gather(%0, %1) {axis=0}
    return %2
  })");
  refuses(g, {vector_of(0), places({0, 1})}, "[gather] expected at least one element along axis 0");
  accepts(g, {vector_of(0), places({})});
  accepts(g, {vector_of(2), places({0, 7})});
}

TEST_P(Guards, ABranchNotTakenAsksForNothing) {
  GraphPtr g = parse_graph(R"(graph(%0: bool[], %1: f32[n]) {
    %2: f32[1] = cond(%0, %1) {else=graph(%0: f32[n]) {
        %1: f32[1] = slice(%0) {limits=<1>, starts=<0>, strides=[1]}
        return %1
      }, then=graph(%0: f32[n]) {
        %1: f32[1] = slice(%0) {limits=<6>, starts=<5>, strides=[1]}
        return %1
      }}
    return %2
  })");
  Array yes = Array::zeros(DType::boolean, {}), no = Array::zeros(DType::boolean, {});
  yes.set_int(0, 1);
  accepts(g, {no, vector_of(3)});
  refuses(g, {yes, vector_of(3)}, "got 5 and 6 with n = 3");
  accepts(g, {yes, vector_of(6)});
}

// Rows that are streamed past the caches want memory where lines begin; a step's result begins where the last one ends.
TEST_P(Guards, StepsOfAScanLieAnywhere) {
  GraphPtr g = parse_graph(R"(graph(%0: f32[9000, 1001], %1: i64[3]) {
    %2: f32[3, 1001] = scan(%0, %1) {body=graph(%0: f32[9000, 1001], %1: i64[]) {
        %2: f32[1001] = gather(%0, %1) {axis=0}
        return %2
      }, carry=0, consts=1, length=<3>, reverse=false}
    return %2
  })");
  Array table = Array::zeros(DType::f32, {9000, 1001});
  for (i64 row : {7, 5000, 8999})
    for (i64 i = 0; i < 1001; ++i) table.set(row * 1001 + i, static_cast<double>(row + i));
  accepts(g, {table, places({8999, 7, 5000})});
}

INSTANTIATE_TEST_SUITE_P(Tiers, Guards, testing::Values(Tier::interpreted, Tier::compiled));

}  // namespace
}  // namespace tn::test
