// Random stacks of transforms over random programs, against loops, unrolling, `if` and MultiDual derivatives.
#include <cmath>
#include <cstdlib>

#include "stacks.h"
#include "support.h"

namespace tn::testing {

namespace {

struct Stack {
  std::string letters;
  unsigned program;
  double x;
};

/// At most kOrder derivatives; a function may be called many times, so few of the letters that multiply the work.
Stack random_stack(std::mt19937& random, size_t depth) {
  Stack s{{}, static_cast<unsigned>(random() % 64), 0.3 + 0.01 * static_cast<double>(random() % 40)};
  int derivatives = 0;
  while (s.letters.size() < depth) {
    char c = kLetters[random() % kLetters.size()];
    if ((c == 'g' || c == 'j') && ++derivatives > 3) continue;
    s.letters += c;
  }
  return s;
}

struct Outcome {
  double graph = 0, plain = 0;
  std::string error;  // of the graph
  bool out_of_steps = false;
};

Outcome run_stack(const Stack& s) {
  RandomProgram program(s.program, 3 + static_cast<int>(s.program % 5));
  GraphFunction graph = [&](Value x) { return program(x); };
  PlainFunction plain = [&](MultiDual x) { return program(x); };
  int level = 0;
  for (char c : s.letters) {
    graph = with_transform(c, graph);
    plain = with_plain(c, plain, level);
    level += c == 'g' || c == 'j';
  }
  Outcome o;
  try {
    o.plain = plain(s.x).value();
  } catch (const OutOfSteps&) { o.out_of_steps = true; }
  try {
    GraphPtr g = close(graph);
    verify(*g);
    o.graph = ref::run(*g, std::vector{scalar_of(s.x)})[0].get(0);
  } catch (const std::exception& e) { o.error = e.what(); }
  return o;
}

/// Nothing when the outcome is right.
std::string wrong(const Stack& s, const Outcome& o) {
  std::string name =
      "program " + std::to_string(s.program) + " stack " + s.letters + " x " + std::to_string(s.x) + ": ";
  if (o.out_of_steps) return o.error.find("[while]") != std::string::npos ? "" : name + "no error of while: " + o.error;
  if (!o.error.empty()) return name + o.error;
  if (std::isnan(o.plain)) return "";
  if (std::fabs(o.graph - o.plain) <= 1e-8 * (1 + std::fabs(o.plain))) return "";
  return name + std::to_string(o.graph) + ", expected " + std::to_string(o.plain);
}

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
TEST(Stacks, OfTwo) { run_stacks(2, 2, scaled(100)); }
TEST(Stacks, OfThree) { run_stacks(3, 3, scaled(100)); }
TEST(Stacks, OfFour) { run_stacks(4, 4, scaled(100)); }

/// The rules that have ever been wrong, and a derivative through every letter.
TEST(Stacks, Named) {
  for (const char* letters :
       {"gg",   "jj",   "gj",   "jg",   "wvv",  "wvvg", "kvg", "kvgg", "scg",  "csg",  "gcsg", "Sgg", "wcg",
        "wgvg", "cgcg", "aksg", "awvg", "akvg", "xgg",  "xvg", "xsg",  "kwvg", "wkvg", "skvg", "Scvg"})
    for (double x : {0.31, 0.62}) {
      Stack s{letters, 7, x};
      EXPECT_EQ(wrong(s, run_stack(s)), "");
    }
}

}  // namespace

}  // namespace tn::testing
