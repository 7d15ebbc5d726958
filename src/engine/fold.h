// What a network computes of its constants alone, computed once when it is built.
#pragma once
#include "ir/graph.h"

namespace tn {

/// The graph with values of constants alone in the place of the nodes that compute them, where that takes no more
/// memory than their operands did. Effects, random bits and sizes stay as they are.
GraphPtr fold_constants(const GraphPtr& g);

}  // namespace tn
