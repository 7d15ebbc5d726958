// The one door through which tensors, jit and the engine run graphs.
#pragma once
#include <span>
#include <vector>

#include "base/array.h"
#include "ir/graph.h"

namespace tn {

/// Runs g on concrete inputs (shapes must match its types; symbols are bound by them, guards checked). An input with
/// donated[i] may be overwritten. Plans are cached by graph; thread-safe.
std::vector<Array> execute(const GraphPtr& g, std::span<const Array> inputs, const Mask& donated = {});

/// Which executor runs plans: a graph is interpreted until its work pays for machine code, or always one of them. The
/// bits are the same.
enum class Tier : u8 { automatic, interpreted, compiled };
void set_tier(Tier tier);
Tier tier();

/// The symbols of the types under the shapes of the inputs; Error where they do not fit.
DimEnv bind_shapes(std::span<const Type> types, std::span<const Array> inputs);

}  // namespace tn
