// Runs one stack of transforms on both sides and compares.
#pragma once
#include <cmath>

#include "stacks.h"
#include "support.h"
#include "transform/lanes.h"

namespace tn::testing {

struct Stack {
  std::string letters;
  unsigned program;
  double x;
};

/// At most kOrder derivatives; a function may be called many times, so few of the letters that multiply the work.
inline Stack random_stack(std::mt19937& random, size_t depth) {
  Stack s{{}, static_cast<unsigned>(random() % 64), 0.3 + 0.01 * static_cast<double>(random() % 40)};
  int derivatives = 0;
  bool reverse_only = false;  // custom_vjp has no rule for what goes forward
  while (s.letters.size() < depth) {
    char c = kLetters[random() % kLetters.size()];
    if (reverse_only && (c == 'j' || c == 'x')) continue;
    if ((c == 'g' || c == 'j') && ++derivatives > 3) continue;
    if (c == 'y' || c == 'g') reverse_only = c == 'y';
    s.letters += c;
  }
  return s;
}

struct Outcome {
  double graph = 0, lowered = 0, plain = 0;
  std::string error;  // of the graph
  bool out_of_steps = false;
};

inline Outcome run_stack(const Stack& s) {
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
    o.graph = ref_run(g, std::vector{scalar_of(s.x)})[0].get(0);
    GraphPtr lowered = lower_lanes(g);
    verify(*lowered);
    o.lowered = ref_run(lowered, std::vector{scalar_of(s.x)})[0].get(0);
  } catch (const std::exception& e) { o.error = e.what(); }
  return o;
}

/// Nothing when the outcome is right.
inline std::string wrong(const Stack& s, const Outcome& o) {
  std::string name =
      "program " + std::to_string(s.program) + " stack " + s.letters + " x " + std::to_string(s.x) + ": ";
  if (o.out_of_steps) return o.error.find("[while]") != std::string::npos ? "" : name + "no error of while: " + o.error;
  if (!o.error.empty()) return name + o.error;
  if (std::isnan(o.plain)) return "";
  double most = 1e-8 * (1 + std::fabs(o.plain));
  if (std::fabs(o.graph - o.plain) <= most && std::fabs(o.lowered - o.plain) <= most) return "";
  return name + std::to_string(o.graph) + " and lowered " + std::to_string(o.lowered) + ", expected " +
         std::to_string(o.plain);
}

}  // namespace tn::testing
