// The passes of the compiler in text, and their table.
#include "compile/passes.h"

#include <gtest/gtest.h>

#include "compile/pipeline.h"
#include "ir/graph.h"
#include "op/emit.h"
#include "tenon/error.h"
#include "transform/lanes.h"
#include "transform/transform.h"

namespace tn {
namespace {

void expect_text(GraphPtr (*pass)(const GraphPtr&), const char* text, const char* want) {
  GraphPtr g = pass(parse_graph(text));
  EXPECT_EQ(to_string(*g) + "\n", want);
  EXPECT_EQ(parse_graph(want), g);
}

TEST(Passes, SimplifyKeepsEveryBit) {
  expect_text(simplify, R"(graph(%0: f32[4, 6]) {
  %1: f32[] = constant() {name="", value=array f32[] {4.0}}
  %2: f32[4, 6] = broadcast(%1) {dims=[], shape=<4, 6>}
  %3: f32[4, 6] = div(%0, %2)
  %4: f32[4, 6] = neg(%3)
  %5: f32[4, 6] = neg(%4)
  %6: f32[4, 6] = stop_gradient(%5)
  %7: f32[6, 4] = permute(%6) {axes=[1, 0]}
  %8: f32[4, 6] = permute(%7) {axes=[1, 0]}
  %9: f32[24] = reshape(%8) {shape=<24>}
  %10: f32[2, 12] = reshape(%9) {shape=<2, 12>}
  return %10
}
)",
              R"(graph(%0: f32[4, 6]) {
  %1: f32[] = constant() {name="", value=array f32[] {0.25}}
  %2: f32[4, 6] = broadcast(%1) {dims=[], shape=<4, 6>}
  %3: f32[4, 6] = mul(%0, %2)
  %4: f32[2, 12] = reshape(%3) {shape=<2, 12>}
  return %4
}
)");
}

/// x + 0 is not x where x is -0, and x / 3 is not x times a third.
TEST(Passes, SimplifyLeavesWhatIsNotExact) {
  const char* text = R"(graph(%0: f32[4]) {
  %1: f32[] = constant() {name="", value=array f32[] {3.0}}
  %2: f32[4] = broadcast(%1) {dims=[], shape=<4>}
  %3: f32[4] = div(%0, %2)
  %4: f32[] = constant() {name="", value=array f32[] {0.0}}
  %5: f32[4] = broadcast(%4) {dims=[], shape=<4>}
  %6: f32[4] = add(%3, %5)
  return %6
}
)";
  expect_text(simplify, text, text);
}

/// The statistics of channels are one sweep; other axes apart are one after the other, the last first.
TEST(Passes, ReductionsGoOverWhatOneKernelSweeps) {
  expect_text(split_reductions, R"(graph(%0: f32[8, 3, 4, 8]) {
  %1: f32[3] = sum(%0) {axes=[0, 2, 3]}
  %2: f32[8, 4] = sum(%0) {axes=[1, 3]}
  return %1, %2
}
)",
              R"(graph(%0: f32[8, 3, 4, 8]) {
  %1: f32[3] = sum(%0) {axes=[0, 2, 3]}
  %2: f32[8, 3, 4] = sum(%0) {axes=[3]}
  %3: f32[8, 4] = sum(%2) {axes=[1]}
  return %1, %3
}
)");
}

/// A composite becomes its simpler ops, a call its body.
TEST(Passes, ExpandLeavesNoComposite) {
  expect_text(expand_composites, R"(graph(%0: f32[4]) {
  %1: f32[4] = silu(%0)
  %2: f32[4] = call(%1) {body=graph(%0: f32[4]) {
    %1: f32[4] = relu(%0)
    return %1
  }, remat=false}
  return %2
}
)",
              R"(graph(%0: f32[4]) {
  %1: f32[4] = sigmoid(%0)
  %2: f32[4] = mul(%0, %1)
  %3: f32[] = constant() {name="", value=array f32[] {0.0}}
  %4: f32[4] = broadcast(%3) {dims=[], shape=<4>}
  %5: f32[4] = maximum(%2, %4)
  return %5
}
)");
}

/// A branch by lane runs each side, mapped, where some lane takes it, and picks by the lane.
TEST(Passes, LanesPickWhatBothBranchesMade) {
  GraphPtr g = parse_graph(R"(graph(%0: bool[], %1: f32[]) {
  %2: f32[] = cond(%0, %1) {else=graph(%0: f32[]) {
    %1: f32[] = neg(%0)
    return %1
  }, then=graph(%0: f32[]) {
    %1: f32[] = exp(%0)
    return %1
  }}
  return %2
}
)");
  GraphPtr mapped = vmap_graph_all(g, {true, true}, 4);
  EXPECT_EQ(to_string(*mapped) + "\n", R"(graph(%0: bool[4], %1: f32[4]) {
  %2: f32[4] = cond(%0, %1) {else=graph(%0: f32[]) {
    %1: f32[] = neg(%0)
    return %1
  }, then=graph(%0: f32[]) {
    %1: f32[] = exp(%0)
    return %1
  }}
  return %2
}
)");
  EXPECT_EQ(to_string(*lower_lanes(mapped)) + "\n", R"(graph(%0: bool[4], %1: f32[4]) {
  %2: bool[] = any(%0) {axes=[0]}
  %3: f32[4] = cond(%2, %0, %1) {else=graph(%0: bool[4], %1: f32[4]) {
    %2: f32[] = constant() {name="", value=array f32[] {0.0}}
    %3: f32[4] = broadcast(%2) {dims=[], shape=<4>}
    return %3
  }, then=graph(%0: bool[4], %1: f32[4]) {
    %2: f32[4] = exp(%1)
    return %2
  }}
  %4: bool[4] = logical_not(%0)
  %5: bool[] = any(%4) {axes=[0]}
  %6: f32[4] = cond(%5, %4, %1) {else=graph(%0: bool[4], %1: f32[4]) {
    %2: f32[] = constant() {name="", value=array f32[] {0.0}}
    %3: f32[4] = broadcast(%2) {dims=[], shape=<4>}
    return %3
  }, then=graph(%0: bool[4], %1: f32[4]) {
    %2: f32[4] = neg(%1)
    return %2
  }}
  %7: f32[4] = select(%0, %3, %6)
  return %7
}
)");
}

/// 65 parts are three groups of 21 and 22, each in memory, and the three of them joined.
TEST(Passes, JoinsGoInGroups) {
  Builder b;
  Values parts;
  for (size_t i = 0; i < 2 * kMostJoined + 1; ++i) parts.push_back(b.input(Type::tensor(DType::f32, {2})));
  GraphPtr g = split_joins(b.build(std::vector{concat(parts, 0)}));
  std::vector<size_t> joined;
  for (const Node& n : g->nodes()) joined.push_back(g->operands(n).size());
  EXPECT_EQ(joined, (std::vector<size_t>{21, 22, 22, 3}));
}

/// The kernel of a group: one walk over the elements.
TEST(Passes, FuseWritesOneKernel) {
  GraphPtr g = parse_graph(R"(graph(%0: f32[40], %1: f32[40]) {
  %2: f32[40] = mul(%0, %1)
  %3: f32[40] = neg(%2)
  return %3
}
)");
  std::vector<Step> steps = fuse(*g, {}, true);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].lowered.label, "map: mul neg -> f32[40]");
  EXPECT_EQ(loops::to_string(steps[0].lowered.kernel),
            R"(kernel map(; in x0: f32[40] by [1], in x1: f32[40] by [1], out y2: f32[40] by [1]) scratch 0 {
  parallel p < 1 {
    %1 = f32<1x64> load x0[l] where l < 40 else any
    %2 = f32<1x64> load x1[l] where l < 40 else any
    %3 = f32<1x64> mul %1, %2
    %4 = f32<1x64> neg %3
    store y2[l] where l < 40 = %4
  }
}
)");
}

TEST(Passes, AreNamedTimedAndSwitchable) {
  GraphPtr g = parse_graph(R"(graph(%0: f32[4, 6]) {
  %1: f32[4, 6] = neg(%0)
  %2: f32[4, 6] = neg(%1)
  %3: f32[4, 6] = exp(%2)
  %4: f32[4, 6] = abs(%3)
  return %4
}
)");
  Compilation all = compile_graph(g, {});
  EXPECT_EQ(all.seconds.size(), compiler_passes().size());
  EXPECT_EQ(all.steps.size(), 1u);
  EXPECT_EQ(compile_graph(g, without_pass({}, "fuse")).steps.size(), 2u);
  EXPECT_EQ(compile_graph(g, without_pass(without_pass({}, "fuse"), "simplify")).steps.size(), 4u);
  EXPECT_EQ(all.steps[0].lowered.label, "map: exp abs -> f32[4, 6]");
  for (const PassInfo& pass : compiler_passes()) {
    if (pass.optional) continue;
    try {
      without_pass({}, pass.name);
      ADD_FAILURE() << pass.name << " is needed";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("expected a pass that can be switched off (simplify, fuse), got '" +
                                           std::string(pass.name)),
                std::string::npos)
          << e.what();
    }
  }
}

}  // namespace
}  // namespace tn
