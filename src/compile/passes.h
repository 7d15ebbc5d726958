// The passes of the compiler, Graph -> Graph. Each re-emits the graph into a builder, so equal nodes become one and
// what nothing needs is gone after every pass.
#pragma once
#include "ir/op_def.h"
#include "ir/rewrite.h"

namespace tn {

/// Calls inlined, composites expanded until only ops with kernels are left.
GraphPtr expand_composites(const GraphPtr& g);
/// Applies the exact rules of a table of rewrites.
GraphPtr simplify(const GraphPtr& g);
/// Every reduction goes over one run of axes, none of extent 1 (rows, the last axes, before columns), or over the
/// leading and the last ones around what is kept.
GraphPtr split_reductions(const GraphPtr& g);
/// No concat has more than kMostJoined parts; one with at least half as many lies in memory.
GraphPtr split_joins(const GraphPtr& g);
inline constexpr size_t kMostJoined = 32;

}  // namespace tn
