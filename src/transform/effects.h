// Effects and transforms: an effect runs once. jvp and vmap keep it, split puts it into the known part; what is
// computed again drops it; a branch taken by lane cannot have one, asserts aside.
#pragma once
#include "transform/helpers.h"

namespace tn {

/// The graph without its effects, as a checkpoint computes it again. Results that only an effect can give (a
/// callback's) become further inputs.
struct WithoutEffects {
  GraphPtr graph;          // (x..., saved values...) -> (y...)
  std::vector<u32> saved;  // values of g
};
WithoutEffects without_effects(const GraphPtr& g);

/// Whether there is, at any depth, an effect other than assert.
bool has_effect_besides_assert(const Graph& g);
/// Whether there is, at any depth, an assert or a loop that could run for ever: what must not run in a lane that did
/// not take the branch.
bool needs_guard(const Graph& g);
/// (lane: bool[], x...) -> (y...): asserts test and loops run only where lane holds.
GraphPtr guard_graph(const GraphPtr& g);
/// The node's attributes with every sub-graph guarded.
Attrs guard_attrs(const Attrs& attrs);

}  // namespace tn
