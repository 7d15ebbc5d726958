// A graph again, with some nodes become others: what passes, editing and binding are made of.
#pragma once
#include <functional>
#include <optional>

#include "ir/graph.h"

namespace tn {

/// What becomes of a node whose operands are already rewritten; nothing = it stays as it is.
using NodeRewrite = std::function<std::optional<Values>(Builder&, const Node&, ValueSpan operands)>;

/// Emits g's nodes into b with g's inputs replaced, each node given to `rewrite` first; the new outputs.
Values inline_rewritten(Builder& b, const Graph& g, ValueSpan inputs, const NodeRewrite& rewrite);
/// The graph over inputs of these types, of which g's own are the first.
GraphPtr rewrite_graph(const Graph& g, std::span<const Type> inputs, const NodeRewrite& rewrite);
/// The graph over its own inputs.
inline GraphPtr rewrite_graph(const Graph& g, const NodeRewrite& rewrite) {
  return rewrite_graph(g, g.input_types(), rewrite);
}

using Sizes = std::span<const std::pair<Dim, Dim>>;
/// Sizes replaced in attributes, sub-graphs included.
Attrs with_sizes(const Attrs& attrs, Sizes sizes);
/// Sizes replaced in types, attributes and sub-graphs.
GraphPtr with_sizes(const Graph& g, Sizes sizes);

}  // namespace tn
