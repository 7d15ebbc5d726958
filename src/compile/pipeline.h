// From a graph to steps: the list of passes, and what the run time makes plans of.
#pragma once
#include <memory>
#include <string>
#include <string_view>
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

/// A pass of the compiler, in the order in which they run.
struct PassInfo {
  std::string_view name, what;
  bool optional;  // may be switched off
};
std::span<const PassInfo> compiler_passes();
/// The target without that pass; an Error lists the optional ones when the name is none of them.
Target without_pass(Target target, std::string_view name);

/// With TENON_VERIFY=1 the graph is verified after every pass, and every new kernel before it runs: tests run so.
bool verifying();

struct Compilation {
  GraphPtr graph;
  std::vector<Step> steps;
  std::vector<double> seconds;  // of each pass
};

/// Runs all passes. TENON_DUMP names passes (or `all`) whose results are printed.
Compilation compile_graph(const GraphPtr& g, const Target& target);

/// Cuts a graph, after the passes on graphs, into steps; without `fusing` each node is a kernel of its own.
std::vector<Step> fuse(const Graph& g, const Target& target, bool fusing);

}  // namespace tn
