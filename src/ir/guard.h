// Guards: what a type rule asks of sizes and cannot settle, because they are symbols. A rule refuses what surely does
// not hold; what may hold becomes a guard of the graph, and is looked at once the sizes are known, before anything
// runs.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace tn {

/// `least` has to be at least 0; the text says of which op, what was expected and what was got.
struct Guard {
  Dim least;
  std::string text;
};

/// For type rules: Error of `op` with the message where `least` is surely below 0.
void require_nonnegative(Dim least, std::string_view op, const std::function<std::string()>& message);

/// The guards of a graph's own nodes; those of sub-graphs, which may never run, are not among them.
std::vector<Guard> guards_of(const Graph& g);
/// Error for the first guard that does not hold, with the sizes it speaks of.
void check_guards(std::span<const Guard> guards, const DimEnv& env);

}  // namespace tn
