// Graphs: what transforms work on and what is compiled. Here to look at and to write tests in text; models need
// none of it.
#pragma once
#include "tenon/transform.h"

namespace [[gnu::visibility("default")]] tn {

/// Text that parses back to the same graph.
std::string to_string(const Graph& g);
/// The graph of a text; Error with line and column.
GraphPtr parse_graph(std::string_view text);
/// Runs every check and type rule again; InternalError names the node.
void verify(const Graph& g);

std::vector<Type> input_types(const Graph& g);
std::vector<Type> output_types(const Graph& g);
size_t node_count(const Graph& g);

/// Records a call of the graph; operand types must fit its inputs.
std::vector<Tensor> apply_graph(const GraphPtr& g, std::span<const Tensor> inputs, Location at = Location::current());

namespace detail {
/// Turns what was traced into a graph; literals and tensors from outside follow the leaves as inputs.
GraphPtr finish_graph(Trace&, LeafSpan results, std::vector<Tensor>* captures);
}  // namespace detail

/// The graph of f at trees of these types (the values do not matter); inputs are the leaves in order, then literals.
template <class F, class... A>
GraphPtr trace(F f, const A&... args) {
  detail::Call<const A...> call(args...);
  detail::Trace open("trace", {.rebinding = false}, Location::current());
  open.enter(call.leaves());
  auto result = call.run(open, f);
  return detail::finish_graph(open, leaves(result), nullptr);
}

/// A tensor without value of a type, for `trace` only: its shape may be symbolic.
Tensor placeholder(Type type, Location at = Location::current());

}  // namespace tn
