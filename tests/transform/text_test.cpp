// What the derivatives of control flow look like, line by line: nothing computed, stacked or carried that need not be.
#include "support.h"

namespace tn::testing {

namespace {

void expect_vjp(const char* text, const Mask& wrt, const Mask& of, const std::string& expected) {
  GraphPtr g = vjp_graph(parse_graph(text), wrt, of);
  EXPECT_EQ(to_string(*g) + "\n", expected);
  EXPECT_EQ(parse_graph(expected), g);
}

constexpr const char* kScan = R"(graph(%0: f32[3], %1: f32[3], %2: f32[n, 3]) {
  %3: f32[3], %4: f32[n, 3] = scan(%0, %1, %2) {body=graph(%0: f32[3], %1: f32[3], %2: f32[3]) {
      %3: f32[3] = mul(%0, %1)
      %4: f32[3] = add(%3, %2)
      %5: f32[3] = sin(%4)
      return %5, %3
    }, carry=1, consts=1, length=<n>, reverse=false}
  return %3, %4
}
)";

constexpr const char* kScanVjp = R"(graph(%0: f32[3], %1: f32[3], %2: f32[n, 3], %3: f32[3]) {
  %4: f32[3], %5: f32[n, 3], %6: f32[n, 3], %7: f32[n, 3] = scan(%0, %1, %2) {body=graph(%0: f32[3], %1: f32[3], %2: f32[3]) {
    %3: f32[3] = mul(%0, %1)
    %4: f32[3] = add(%3, %2)
    %5: f32[3] = sin(%4)
    %6: f32[3] = cos(%4)
    return %5, %3, %1, %6
  }, carry=1, consts=1, length=<n>, reverse=false}
  %8: f32[] = constant() {name="", value=array f32[] {0.0}}
  %9: f32[3] = broadcast(%8) {dims=[], shape=<3>}
  %10: f32[3], %11: f32[3] = scan(%0, %3, %9, %6, %7) {body=graph(%0: f32[3], %1: f32[3], %2: f32[3], %3: f32[3], %4: f32[3]) {
    %5: f32[3] = mul(%4, %1)
    %6: f32[3] = mul(%0, %5)
    %7: f32[3] = mul(%5, %3)
    %8: f32[3] = add(%2, %7)
    return %6, %8
  }, carry=2, consts=1, length=<n>, reverse=true}
  return %4, %5, %11, %10
}
)";

/// The carry and the cosine are stacked, the constant is not; its cotangent is summed in the carry.
TEST(Text, VjpScan) { expect_vjp(kScan, {true, true, false}, {true, false}, kScanVjp); }

constexpr const char* kCond = R"(graph(%0: bool[], %1: f32[3]) {
  %2: f32[3] = cond(%0, %1) {else=graph(%0: f32[3]) {
      return %0
    }, then=graph(%0: f32[3]) {
      %1: f32[3] = log(%0)
      return %1
    }}
  return %2
}
)";

constexpr const char* kCondVjp = R"(graph(%0: bool[], %1: f32[3], %2: f32[3]) {
  %3: f32[3], %4: f32[3] = cond(%0, %1) {else=graph(%0: f32[3]) {
    %1: f32[] = constant() {name="", value=array f32[] {0.0}}
    %2: f32[3] = broadcast(%1) {dims=[], shape=<3>}
    return %0, %2
  }, then=graph(%0: f32[3]) {
    %1: f32[3] = log(%0)
    %2: f32[] = constant() {name="", value=array f32[] {1.0}}
    %3: f32[3] = broadcast(%2) {dims=[], shape=<3>}
    %4: f32[3] = div(%3, %0)
    return %1, %4
  }}
  %5: f32[3] = cond(%0, %4, %2) {else=graph(%0: f32[3], %1: f32[3]) {
    return %1
  }, then=graph(%0: f32[3], %1: f32[3]) {
    %2: f32[3] = mul(%0, %1)
    return %2
  }}
  return %3, %5
}
)";

/// Each branch keeps its own residuals; the predicate chooses again.
TEST(Text, VjpCond) { expect_vjp(kCond, {false, true}, {}, kCondVjp); }

constexpr const char* kWhile = R"(graph(%0: f32[], %1: f32[]) {
  %2: f32[] = while(%0, %1) {body=graph(%0: f32[], %1: f32[]) {
      %2: f32[] = mul(%1, %0)
      return %2
    }, bound=5, cond=graph(%0: f32[], %1: f32[]) {
      %2: bool[] = less(%1, %0)
      return %2
    }, consts=1, lanes=<>}
  return %2
}
)";

constexpr const char* kWhileVjp = R"(graph(%0: f32[], %1: f32[], %2: f32[]) {
  %3: f32[], %4: bool[5], %5: f32[5] = scan(%0, %1) {body=graph(%0: f32[], %1: f32[]) {
    %2: bool[] = less(%1, %0)
    %3: f32[] = cond(%2, %0, %1) {else=graph(%0: f32[], %1: f32[]) {
      return %1
    }, then=graph(%0: f32[], %1: f32[]) {
      %2: f32[] = mul(%1, %0)
      return %2
    }}
    return %3, %2, %1
  }, carry=1, consts=1, length=<5>, reverse=false}
  %6: bool[] = less(%3, %0)
  %7: bool[] = logical_not(%6)
  assert(%7) {message="[while] expected at most 5 steps (the bound), got a condition that is still true after them; raise the bound"}
  %8: f32[] = constant() {name="", value=array f32[] {0.0}}
  %9: f32[], %10: f32[] = scan(%0, %2, %8, %4, %5) {body=graph(%0: f32[], %1: f32[], %2: f32[], %3: bool[], %4: f32[]) {
    %5: f32[], %6: f32[] = cond(%3, %0, %4, %1) {else=graph(%0: f32[], %1: f32[], %2: f32[]) {
      %3: f32[] = constant() {name="", value=array f32[] {0.0}}
      return %3, %2
    }, then=graph(%0: f32[], %1: f32[], %2: f32[]) {
      %3: f32[] = mul(%1, %2)
      %4: f32[] = mul(%2, %0)
      return %3, %4
    }}
    %7: f32[] = add(%2, %5)
    return %6, %7
  }, carry=2, consts=1, length=<5>, reverse=true}
  return %3, %10, %9
}
)";

/// A scan of the bound whose steps idle; the constant is handed around the cond, not stacked; more steps are an error.
TEST(Text, VjpWhile) { expect_vjp(kWhile, {true, true}, {}, kWhileVjp); }

constexpr const char* kCheckpoint = R"(graph(%0: f32[3]) {
  %1: f32[3] = call(%0) {body=graph(%0: f32[3]) {
      %1: f32[3] = sin(%0)
      %2: f32[3] = exp(%1)
      return %2
    }, remat=true}
  return %1
}
)";

constexpr const char* kCheckpointVjp = R"(graph(%0: f32[3], %1: f32[3]) {
  %2: f32[3] = call(%0) {body=graph(%0: f32[3]) {
    %1: f32[3] = sin(%0)
    %2: f32[3] = exp(%1)
    return %2
  }, remat=true}
  %3: f32[3], %4: f32[3] = barrier(%0, %1)
  %5: f32[3] = call(%3, %4) {body=graph(%0: f32[3], %1: f32[3]) {
    %2: f32[3] = sin(%0)
    %3: f32[3] = cos(%0)
    %4: f32[3] = exp(%2)
    %5: f32[3] = mul(%4, %1)
    %6: f32[3] = mul(%3, %5)
    return %6
  }, remat=true}
  return %2, %5
}
)";

/// The operand is the only residual, and a barrier holds the second computation back.
TEST(Text, VjpCheckpoint) { expect_vjp(kCheckpoint, {true}, {}, kCheckpointVjp); }

}  // namespace

}  // namespace tn::testing
