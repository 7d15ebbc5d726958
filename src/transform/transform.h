// Transforms: Graph in, Graph out. Each is an interpreter that reads a graph and emits into a builder; each result is
// kept with the graph it came from, so asking twice costs a lookup. All walk the nodes in a loop; only nesting of
// sub-graphs recurses.
//
// A zero tangent or cotangent is an absent value, told by a mask, never a tensor: only joins (branches of cond, carries
// of scan, linear ops of several operands) make it explicit. Integers, bools and tokens have no tangents.
//
//   linearize = jvp, then split into what is known without tangents and the linear rest
//   vjp       = linearize, then transpose the linear rest
#pragma once
#include "ir/graph.h"

namespace tn {

/// A graph and what it says about each result (or input) of the one it came from.
struct Transformed {
  GraphPtr graph;
  Mask mask;
};

/// Forward mode. `tangents` says which inputs (floating ones only) have a tangent.
/// graph: (x..., tangent of each masked input...) -> (y..., tangent of each masked result...); mask: by result.
Transformed jvp_graph(const GraphPtr& g, const Mask& tangents);

/// Partial evaluation: `unknown` masks the inputs that come later.
struct Split {
  GraphPtr known;   // (known inputs...) -> (known results..., residuals...)
  GraphPtr linear;  // (residuals..., unknown inputs...) -> (unknown results...)
  Mask unknown;     // by result of the graph that was split
  u32 residuals = 0;
};
/// Effects and everything that does not depend on an unknown input is known. Results of `force` (empty = none) are
/// treated as unknown whatever they depend on.
Split split_graph(const GraphPtr& g, const Mask& unknown, const Mask& force = {});

/// Of a graph that is linear in the inputs of `linear` (as `split_graph` makes them).
/// graph: (other inputs..., cotangent of each result...) -> (cotangent of each masked linear input...); mask: by linear
/// input, in order; a missing one is zero.
Transformed transpose_graph(const GraphPtr& g, const Mask& linear);

/// jvp, then split. known: (x...) -> (y..., residuals...); linear: (residuals..., tangent of each input of `wrt`...) ->
/// (tangent of each unknown result...); unknown: by result of g, false where the tangent is zero. Only results of `of`
/// (empty = all) get tangents; the others cost nothing.
Split linearize_graph(const GraphPtr& g, const Mask& wrt, const Mask& of = {});

/// Reverse mode: (x..., cotangent of each result of `of`...) -> (y..., cotangent of each input of `wrt`...), zeros made
/// explicit. An empty `of` means every differentiable result. Error when an input of `wrt` or a result of `of` is not
/// floating.
GraphPtr vjp_graph(const GraphPtr& g, const Mask& wrt, const Mask& of = {});

/// Maps over a new leading axis of extent n of the masked inputs. graph: same inputs and results, batched ones with the
/// leading axis; mask: by result.
Transformed vmap_graph(const GraphPtr& g, const Mask& batched, Dim n);
/// The same with the leading axis on every result.
GraphPtr vmap_graph_all(const GraphPtr& g, const Mask& batched, Dim n);

/// The same inputs, only the kept results (and the effects).
GraphPtr prune_graph(const GraphPtr& g, const Mask& keep);

}  // namespace tn
