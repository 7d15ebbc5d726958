// vmap: every batched value carries the batch as its leading axis; nodes without a batched operand are emitted as they
// are.
#include "op/emit.h"
#include "transform/helpers.h"

namespace tn {

namespace {

class VmapPass {
 public:
  VmapPass(const Graph& g, const Mask& batched, Dim n)
      : g_(g), n_(n), values_(g.value_count()), batched_(g.value_count()) {
    for (u32 i = 0; i < g.input_count(); ++i) {
      batched_[i] = batched[i];
      values_[i] = b_.input(batched[i] ? with_leading(n, g.type(i)) : g.type(i));
    }
  }

  Transformed run() {
    for (const Node& n : g_.nodes()) node(n);
    Transformed result;
    Values outputs;
    for (u32 o : g_.outputs()) {
      outputs.push_back(values_[o]);
      result.mask.push_back(batched_[o]);
    }
    result.graph = b_.build(outputs);
    return result;
  }

 private:
  void node(const Node& n) {
    operands_of(g_, n, values_, x_);
    mask_.clear();
    for (u32 v : g_.operands(n)) mask_.push_back(batched_[v]);
    if (!any(mask_)) return emit_again(b_, g_, n, x_, values_);
    b_.where = n.where;
    Batched r = batch(n);
    for (u32 i = 0; i < n.result_count; ++i) {
      values_[n.first_result + i] = r.values[i];
      batched_[n.first_result + i] = r.batched[i];
    }
  }

  Batched batch(const Node& n) {
    const Batching& axes = n.op->axes;
    if (const auto* rule = axes.as<AxesFn>()) return rule->batch(b_, n_, x_, mask_, n.attrs);
    if (axes.as<ByExpansion>()) {
      std::vector<Type> types;
      for (u32 v : g_.operands(n)) types.push_back(g_.type(v));
      Transformed body = vmap_graph(expansion_of(*n.op, types, n.attrs), mask_, n_);
      return {inline_graph(b_, *body.graph, x_), body.mask};
    }
    // Elementwise, or a spec that opens with "...": one more leading axis on everything.
    return all_batched(b_.emit(*n.op, all_to_lanes(x_, mask_, n_), n.attrs));
  }

  const Graph& g_;
  Dim n_;
  Builder b_;
  Values values_, x_;
  std::vector<bool> batched_;
  Mask mask_;
};

}  // namespace

Transformed vmap_graph(const GraphPtr& g, const Mask& batched, Dim n) {
  if (batched.size() != g->input_count()) internal("vmap: a mask of another length than the graph's inputs");
  if (!any(batched)) return {g, Mask(g->outputs().size())};
  std::string key = derived_key("vmap " + std::to_string(n.bits()), batched);
  if (auto found = g->find_derived(key)) return {found->graph, found->mask};
  Transformed result = VmapPass(*g, batched, n).run();
  g->keep_derived(key, {result.graph, result.mask, nullptr, 0});
  return result;
}

GraphPtr batch_outputs(const Transformed& t, const Mask& want, Dim n) {
  if (t.mask == want) return t.graph;
  return make_graph(t.graph->input_types(), [&](Builder& b, ValueSpan x) {
    Values out = inline_graph(b, *t.graph, x);
    for (size_t i = 0; i < out.size(); ++i)
      if (want[i] && !t.mask[i]) out[i] = to_lanes(out[i], n);
    return out;
  });
}

GraphPtr vmap_lanes(const GraphPtr& g, const Shape& lanes) {
  GraphPtr result = g;
  for (size_t i = lanes.size(); i-- > 0;) result = vmap_graph_all(result, Mask(g->input_count(), true), lanes[i]);
  return result;
}

GraphPtr vmap_graph_all(const GraphPtr& g, const Mask& batched, Dim n) {
  return batch_outputs(vmap_graph(g, batched, n), Mask(g->outputs().size(), true), n);
}

}  // namespace tn
