// linearize = jvp, then split; vjp = linearize, then transpose. No vjp rule is written anywhere.
#include "op/emit.h"
#include "transform/helpers.h"

namespace tn {

GraphPtr prune_graph(const GraphPtr& g, const Mask& keep) {
  if (keep.size() != g->outputs().size()) internal("prune: a mask of another length than the graph's outputs");
  if (count(keep) == keep.size()) return g;
  std::string key = derived_key("prune", keep);
  if (auto found = g->find_derived(key)) return found->graph;
  GraphPtr result = make_graph(g->input_types(), [&](Builder& b, ValueSpan x) {
    Values all = inline_graph(b, *g, x);
    return select_where<Value>(all, keep);
  });
  g->keep_derived(key, {result, {}, nullptr, 0});
  return result;
}

/// Tangents that turn out not to depend on the given ones are zero, and are dropped.
static Split linearize(const GraphPtr& g, const Mask& wrt, const Mask& of) {
  Transformed j = jvp_graph(g, wrt);
  u32 results = static_cast<u32>(g->outputs().size());
  if (!of.empty()) {
    Mask keep(results, true);
    for (u32 i = 0; i < results; ++i) {
      if (j.mask[i]) keep.push_back(of[i]);
      j.mask[i] = j.mask[i] && of[i];
    }
    j.graph = prune_graph(j.graph, keep);
  }
  Mask late(j.graph->input_count());
  for (u32 i = g->input_count(); i < late.size(); ++i) late[i] = true;
  Split s = split_graph(j.graph, late);
  Split result{s.known, s.linear, Mask(results), s.residuals};
  Mask keep(s.known->outputs().size(), true);
  for (u32 i = 0, k = results, at = results; i < results; ++i) {
    if (!j.mask[i]) continue;
    result.unknown[i] = s.unknown[k++];
    if (!result.unknown[i]) keep[at++] = false;
  }
  result.known = prune_graph(s.known, keep);
  return result;
}

Split linearize_graph(const GraphPtr& g, const Mask& wrt, const Mask& of) {
  if (wrt.size() != g->input_count() || (!of.empty() && of.size() != g->outputs().size()))
    internal("linearize: a mask of another length than the graph's inputs or outputs");
  std::string key = derived_key("linearize", wrt, of);
  if (auto found = g->find_derived(key)) return {found->graph, found->second, found->mask, found->number};
  Split s = linearize(g, wrt, of);
  g->keep_derived(key, {s.known, s.unknown, s.linear, s.residuals});
  return s;
}

static Values vjp_values(Builder& b, const GraphPtr& g, const Mask& wrt, const Mask& of, ValueSpan inputs) {
  Split s = linearize_graph(g, wrt, of);
  Mask linear(s.linear->input_count());
  for (u32 i = s.residuals; i < linear.size(); ++i) linear[i] = true;
  Transformed t = transpose_graph(s.linear, linear);
  Values out = inline_graph(b, *s.known, inputs.first(g->input_count()));
  auto results = out.begin() + static_cast<std::ptrdiff_t>(of.size());
  Values transposed_inputs(results, out.end());
  out.erase(results, out.end());
  for (u32 i = 0, k = g->input_count(); i < of.size(); ++i) {
    if (s.unknown[i]) transposed_inputs.push_back(inputs[k]);
    k += of[i];
  }
  Values cotangents = inline_graph(b, *t.graph, transposed_inputs);
  for (u32 i = 0, l = 0, k = 0; i < wrt.size(); ++i)
    if (wrt[i]) out.push_back(t.mask[l++] ? cotangents[k++] : zeros(b, g->type(i)));
  return out;
}

GraphPtr vjp_graph(const GraphPtr& g, const Mask& wrt, const Mask& asked) {
  auto results = g->output_types();
  if (wrt.size() != g->input_count() || (!asked.empty() && asked.size() != results.size()))
    internal("vjp: a mask of another length than the graph's inputs or outputs");
  for (u32 i = 0; i < wrt.size(); ++i)
    if (wrt[i] && !differentiable(g->type(i)))
      fail("grad", "expected a floating input, got " + to_string(g->type(i)) + "; cast it, or leave it out");
  Mask of;
  std::vector<Type> types(g->input_types().begin(), g->input_types().end());
  for (size_t i = 0; i < results.size(); ++i) {
    of.push_back(asked.empty() ? differentiable(results[i]) : asked[i]);
    if (of[i] && !differentiable(results[i]))
      fail("grad", "expected a floating result, got " + to_string(results[i]) + "; cast it, or leave it out");
    if (of[i]) types.push_back(results[i]);
  }
  std::string key = derived_key("vjp", wrt, of);
  if (auto found = g->find_derived(key)) return found->graph;
  GraphPtr result = make_graph(types, [&](Builder& b, ValueSpan x) { return vjp_values(b, g, wrt, of, x); });
  g->keep_derived(key, {result, {}, nullptr, 0});
  return result;
}

}  // namespace tn
