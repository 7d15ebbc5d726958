// What a graph takes for granted of symbolic sizes: type rules refuse what is surely wrong, and name what they cannot
// prove; that is checked when the sizes are known, before anything runs. Guards follow from the nodes, so no graph
// holds them and transforms need not carry them.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"
#include "tenon/error.h"

namespace tn {

struct Guard {
  Dim value;          // must be at least 0
  std::string op;     // whose rule asks for it
  std::string error;  // "expected ..., got ..."
};

/// In type rules: `value` is at least 0, else Error "[op] `error()`": now where it is surely less, when the sizes are
/// known where it may be.
template <class Text>
void expect_nonnegative(std::string_view op, Dim value, Text error);

/// Those of one node, of all nodes of a graph (not of its sub-graphs), each once.
std::vector<Guard> guards_of(const Graph& g, const Node& n);
std::vector<Guard> guards_of(const Graph& g);

/// The error of the first that does not hold, with the sizes it speaks of; empty when all do.
std::string broken_guard(std::span<const Guard> guards, const DimEnv& env);

// ---------------------------------------------------------------- implementation

namespace guard_detail {
/// Whether guards are being gathered, and whether `value` may be negative.
bool wanted(Dim value);
bool surely_negative(Dim value);
void note(std::string_view op, Dim value, std::string error);
}  // namespace guard_detail

template <class Text>
void expect_nonnegative(std::string_view op, Dim value, Text error) {
  if (guard_detail::surely_negative(value)) fail(op, error());
  if (guard_detail::wanted(value)) guard_detail::note(op, value, error());
}

}  // namespace tn
