// The passes of the compiler in text, and their table.
#include "compile/passes.h"

#include <gtest/gtest.h>

#include "compile/pipeline.h"
#include "ir/graph.h"
#include "tenon/error.h"

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
