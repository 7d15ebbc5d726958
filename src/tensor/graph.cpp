// Graphs seen from outside.
#include "tenon/graph.h"

#include "tensor/record.h"
#include "tensor/trace.h"

namespace tn {

std::vector<Type> input_types(const Graph& g) { return {g.input_types().begin(), g.input_types().end()}; }
std::vector<Type> output_types(const Graph& g) { return g.output_types(); }
size_t node_count(const Graph& g) { return g.nodes().size(); }

std::vector<Tensor> apply_graph(const GraphPtr& g, std::span<const Tensor> inputs, Location at) {
  if (inputs.size() != g->input_count())
    fail("call", "expected " + std::to_string(g->input_count()) + " tensors, got " + std::to_string(inputs.size()), at);
  return call_graph(g, inputs, at);
}

Tensor placeholder(Type type, Location at) {
  Pending* p = new_node(type, at);
  p->flags = kLeaf | kNoValue;
  p->trace_name = "placeholder";
  return handle(p);
}

namespace detail {

GraphPtr finish_graph(Trace& trace, LeafSpan results, std::vector<Tensor>* captures) {
  std::vector<Tensor> out;
  for (const Tensor* t : results)
    if (t->defined()) out.push_back(*t);
  Cut cut = trace.state().cut(out);
  if (captures) *captures = std::move(cut.captures);
  return std::move(cut.graph);
}

}  // namespace detail
}  // namespace tn
