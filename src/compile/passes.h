// The passes of the compiler, Graph -> Graph. Each re-emits the graph into a builder, so equal nodes become one and
// what nothing needs is gone after every pass.
#pragma once
#include <functional>
#include <optional>

#include "ir/op_def.h"

namespace tn {

/// What becomes of a node whose operands are already rewritten; nothing = it stays as it is.
using NodeRewrite = std::function<std::optional<Values>(Builder&, const Node&, ValueSpan operands)>;
GraphPtr rewrite_graph(const Graph& g, const NodeRewrite& rewrite);

/// Calls inlined, composites expanded until only ops with kernels are left.
GraphPtr expand_composites(const GraphPtr& g);
/// Every reduction goes over one run of axes, none of extent 1 (rows, the last axes, before columns), or over the
/// leading and the last ones around what is kept.
GraphPtr split_reductions(const GraphPtr& g);

}  // namespace tn
