// From a graph to steps: the list of passes, and what the run time makes plans of.
#pragma once
#include <memory>
#include <vector>

#include "compile/group.h"

namespace tn {

struct Step {
  enum class Kind : u8 {
    kernel,   // `lowered`
    alias,    // the result is the first operand's memory
    native,   // a library kernel on arrays
    control,  // cond, while, scan: sub-graphs
  };
  Kind kind;
  u32 node = 0;  // native, control, alias
  Lowered lowered;
};

struct Compilation {
  GraphPtr graph;
  std::vector<Step> steps;
};

/// Runs all passes.
Compilation compile_graph(const GraphPtr& g, const Target& target);

/// Cuts a graph, after the passes on graphs, into steps.
std::vector<Step> fuse(const Graph& g, const Target& target);

}  // namespace tn
