// Lowering of choices by lane: what vmap leaves of cond and while, for executors that only know one choice at a time.
#pragma once
#include "ir/graph.h"

namespace tn {

/// The graph with every by-lane cond and while, at any depth, replaced: branches mapped over the lanes (skipped when no
/// lane takes them) and a select; loops that run until no lane goes on. Asserts and loops in a branch are told which
/// lanes are theirs, so a lane never fails or hangs on a branch it does not take. To be done after differentiation,
/// for a select lets a NaN of the branch not taken into derivatives.
GraphPtr lower_lanes(const GraphPtr& g);

}  // namespace tn
