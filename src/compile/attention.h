// Attention as one kernel without the square matrix of scores; see attention.cpp.
#pragma once
#include "compile/group.h"

namespace tn {

/// Whether the node is kept whole for its template instead of being expanded.
bool has_template(const Node& n);

Lowered lower_attention(const Graph& g, const GraphIndex& index, const Group& group, const Target& target);

}  // namespace tn
