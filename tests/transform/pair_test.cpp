// Every control op under every ordered pair of jvp, vjp, vmap, jit, checkpoint and scan, to the second order.
#include "run_stack.h"

namespace tn::testing {

namespace {

TEST(Pairs, OverEveryControlOp) {
  constexpr std::string_view kTransforms = "jgvtcs", kControl = "kwsStcax";
  for (char control : kControl)
    for (char first : kTransforms)
      for (char second : kTransforms)
        for (double x : {0.31, 0.62}) {
          Stack s{{control, first, second}, 7, x};
          EXPECT_EQ(wrong(s, run_stack(s)), "");
        }
}

/// A third transform on top: each of the pairs once more through vmap and grad.
TEST(Pairs, UnderVmapAndGrad) {
  constexpr std::string_view kTransforms = "jgvtcs", kControl = "kwS";
  for (char control : kControl)
    for (char first : kTransforms)
      for (char second : kTransforms) {
        Stack s{{control, first, second, 'v', 'g'}, 3, 0.58};
        EXPECT_EQ(wrong(s, run_stack(s)), "");
      }
}

}  // namespace

}  // namespace tn::testing
