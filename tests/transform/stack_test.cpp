// Random stacks of transforms over random programs, against loops, unrolling, `if` and MultiDual derivatives.
#include <cstdlib>

#include "run_stack.h"

namespace tn::testing {

namespace {

int scaled(int count) {
  const char* scale = std::getenv("TENON_TEST_SCALE");
  return scale ? static_cast<int>(count * std::atof(scale)) : count;
}

void run_stacks(unsigned seed, size_t depth, int count) {
  std::mt19937 random(seed);
  int failures = 0;
  for (int i = 0; i < count && failures < 10; ++i) {
    Stack s = random_stack(random, depth);
    std::string error = wrong(s, run_stack(s));
    EXPECT_EQ(error, "");
    failures += !error.empty();
  }
}

TEST(Stacks, OfOne) { run_stacks(1, 1, scaled(40)); }
TEST(Stacks, OfTwo) { run_stacks(2, 2, scaled(400)); }
TEST(Stacks, OfThree) { run_stacks(3, 3, scaled(800)); }
TEST(Stacks, OfFour) { run_stacks(4, 4, scaled(1500)); }

/// The gradient of a stack against quotients of the stack itself, where nothing jumps between their places.
TEST(Stacks, GradientsAreDifferenceQuotients) {
  constexpr double kStep = 1e-5;
  std::mt19937 random(5);
  int compared = 0;
  for (int i = 0; i < scaled(300); ++i) {
    Stack s = random_stack(random, 1 + random() % 3);
    auto value = [&](double x) { return run_stack({s.letters, s.program, x}); };
    Outcome here = value(s.x), left = value(s.x - kStep), right = value(s.x + kStep);
    Outcome slope = run_stack({s.letters + "g", s.program, s.x});
    if (!here.error.empty() || !slope.error.empty()) continue;  // out of steps, which the other tests check
    double before = (here.graph - left.graph) / kStep, after = (right.graph - here.graph) / kStep;
    double size = 1 + std::fabs(slope.graph);
    if (!std::isfinite(after - before) || std::fabs(after - before) > 1e-2 * size) continue;
    EXPECT_NEAR((before + after) / 2, slope.graph, 1e-5 * size) << wrong(s, here) << s.letters << " " << s.program;
    ++compared;
  }
  EXPECT_GE(compared, scaled(300) / 2);
}

/// The rules that have ever been wrong, and a derivative through every letter.
TEST(Stacks, Named) {
  for (const char* letters : {"gg",   "jj",   "gj",   "jg",   "wvv",  "wvvg", "kvg",  "kvgg", "scg", "csg", "gcsg",
                              "Sgg",  "wcg",  "wgvg", "cgcg", "aksg", "awvg", "akvg", "xgg",  "xvg", "xsg", "kwvg",
                              "wkvg", "skvg", "Scvg", "ygg",  "yvg",  "ysg",  "ykvg", "ywg",  "ycg", "gyg", "xyg"})
    for (double x : {0.31, 0.62}) {
      Stack s{letters, 7, x};
      EXPECT_EQ(wrong(s, run_stack(s)), "");
    }
}

}  // namespace

}  // namespace tn::testing
