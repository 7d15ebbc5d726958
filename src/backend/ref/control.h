// The oracle's meaning of ops with sub-graphs.
#pragma once
#include <span>
#include <vector>

#include "ir/op_def.h"

namespace tn {

/// Runs a graph whose symbols may be bound by what surrounds it.
std::vector<Array> ref_run_in(const Graph& g, std::span<const Array> inputs, DimEnv env);

/// call, cond, scan, while and barrier.
std::vector<Array> ref_run_control(const OpDef& op, std::span<const Array> x, const Attrs& attrs,
                                   std::span<const Type> results, const DimEnv& env);

}  // namespace tn
