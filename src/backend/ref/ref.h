// The oracle: runs a graph node by node with each op's plain meaning, in double precision and libm, rounding every
// value to its dtype. Slow and obvious; nothing but tests and `compare` runs on it.
#pragma once
#include <span>
#include <vector>

#include "base/array.h"
#include "ir/graph.h"

namespace tn {

/// Runs g. Symbols of its input types are bound by the inputs' shapes; Error where they do not fit. InternalError where
/// an op gives another type than its type rule promised.
std::vector<Array> ref_run(const GraphPtr& g, std::span<const Array> inputs);

/// How often ref_run was called in this process.
u64 ref_run_count();

/// Binds the symbols of `types` by the shapes of `arrays`, checking dtypes, ranks and extents; Error tells the input.
void bind_symbols(std::span<const Type> types, std::span<const Array> arrays, DimEnv& env);

}  // namespace tn
