// call and barrier. A call with `remat` is a checkpoint: its residuals are its operands, and its linear part computes
// the primal again, behind a barrier that ties it to the cotangents, so that it starts only once they exist.
#include "op/emit.h"
#include "op/region_rules.h"
#include "transform/effects.h"

namespace tn {

namespace {

const GraphPtr& body_of(const Attrs& attrs) { return attrs.get<GraphPtr>("body"); }

Values emit_call(Builder& b, ValueSpan x, const Attrs& attrs, const GraphPtr& body) {
  return b.emit(op("call"), x, attrs.with("body", body));
}

Values call_jvp(Builder& b, ValueSpan x, ValueSpan t, const Attrs& attrs, Values& dy) {
  Transformed j = jvp_graph(body_of(attrs), present_mask(t));
  Values operands = list(x);
  append(operands, present(t));
  Values all = emit_call(b, operands, attrs, j.graph);
  size_t n = j.mask.size();
  for (size_t i = 0, k = n; i < n; ++i)
    if (j.mask[i]) dy[i] = all[k++];
  all.resize(n);
  return all;
}

/// Known results by result; the values after them.
Values take_known(const Mask& unknown, const Values& from, SplitResult& s) {
  size_t k = 0;
  s.unknown = unknown;
  s.known.resize(unknown.size());
  for (size_t i = 0; i < unknown.size(); ++i)
    if (!unknown[i]) s.known[i] = from[k++];
  return {from.begin() + static_cast<std::ptrdiff_t>(k), from.end()};
}

SplitResult split_kept(Builder& known, ValueSpan x, const Mask& unknown, const Attrs& attrs) {
  Split body = split_graph(body_of(attrs), unknown);
  std::vector<u32> direct = direct_residuals(body);
  Mask keep(body.known->outputs().size(), true);
  for (size_t i = 0; i < direct.size(); ++i) keep[keep.size() - direct.size() + i] = direct[i] == ~0u;
  SplitResult s;
  Values given = present(x);
  Values computed = take_known(body.unknown, emit_call(known, given, attrs, prune_graph(body.known, keep)), s);
  for (size_t i = 0, k = 0; i < direct.size(); ++i)
    s.residuals.push_back(direct[i] == ~0u ? computed[k++] : given[direct[i]]);
  s.emit_linear = [body, attrs](Builder& linear, ValueSpan residuals, ValueSpan late) {
    Values operands = list(residuals);
    append(operands, late);
    return emit_call(linear, operands, attrs, body.linear);
  };
  return s;
}

/// Residuals are the operands, and results of effects, which must not run again.
SplitResult split_recomputed(Builder& known, ValueSpan x, const Mask& unknown, const Attrs& attrs) {
  const GraphPtr& body = body_of(attrs);
  WithoutEffects pure = without_effects(body);
  std::vector<u32> with_saved(body->outputs().begin(), body->outputs().end());
  append(with_saved, std::span<const u32>(pure.saved));
  Split split = split_graph(pure.saved.empty() ? body : graph_of_values(body, with_saved), unknown);
  size_t results = body->outputs().size(), saved = pure.saved.size();
  for (size_t i = 0; i < saved; ++i)
    if (split.unknown[results + i])
      fail("checkpoint", "expected effects not to depend on tangents, got one that does; move it out");
  u32 kept = static_cast<u32>(split.known->outputs().size()) - split.residuals;
  Mask keep(split.known->outputs().size());
  std::fill_n(keep.begin(), kept, true);
  SplitResult s;
  Mask late(split.unknown.begin(), split.unknown.begin() + static_cast<std::ptrdiff_t>(results));
  Values from_effects = take_known(late, emit_call(known, present(x), attrs, prune_graph(split.known, keep)), s);
  s.residuals = present(x);
  append(s.residuals, from_effects);
  s.emit_linear = [attrs, unknown, late, graph = pure.graph](Builder& linear, ValueSpan residuals, ValueSpan values) {
    Values operands;
    size_t known_at = 0, late_at = 0;
    for (bool is_late : unknown) operands.push_back(is_late ? values[late_at++] : residuals[known_at++]);
    append(operands, residuals.subspan(known_at));
    return emit_call(linear, operands, attrs, prune_graph(graph, late));
  };
  return s;
}

std::optional<SplitResult> call_split(Builder& known, ValueSpan x, const Mask& unknown, const Attrs& attrs) {
  return attrs.get("remat", false) ? split_recomputed(known, x, unknown, attrs) : split_kept(known, x, unknown, attrs);
}

/// Transposes a body that may still hold non-linear work (a checkpoint's): split first, so that what is inside is
/// separated too.
Transformed split_transpose(const GraphPtr& g, const Mask& linear) {
  std::string key = derived_key("split_transpose", linear);
  if (auto found = g->find_derived(key)) return {found->graph, found->mask};
  Split s = split_graph(g, linear, Mask(g->outputs().size(), true));
  Mask late(s.linear->input_count());
  for (size_t i = s.residuals; i < late.size(); ++i) late[i] = true;
  Transformed t = transpose_graph(s.linear, late);
  std::vector<Type> types(s.known->input_types().begin(), s.known->input_types().end());
  size_t known_inputs = types.size();
  append(types, std::span<const Type>(g->output_types()));
  GraphPtr whole = make_graph(types, [&](Builder& b, ValueSpan x) {
    Values inputs = inline_graph(b, *s.known, x.first(known_inputs));
    append(inputs, x.subspan(known_inputs));
    return inline_graph(b, *t.graph, inputs);
  });
  g->keep_derived(key, {whole, t.mask, nullptr, 0});
  return {whole, t.mask};
}

Values call_transpose(Builder& b, ValueSpan x, const Mask& linear, ValueSpan ct, const Attrs& attrs,
                      std::span<const Type>, std::span<const Type>) {
  Transformed t = split_transpose(prune_graph(body_of(attrs), present_mask(ct)), linear);
  Values operands = present(x), result(x.size());
  append(operands, present(ct));
  if (attrs.get("remat", false)) operands = b.emit(op("barrier"), operands);
  Values all = emit_call(b, operands, attrs, t.graph);
  for (size_t i = 0, l = 0, k = 0; i < x.size(); ++i)
    if (linear[i] && t.mask[l++]) result[i] = all[k++];
  return result;
}

Values call_guard(Builder& b, Value lane, ValueSpan x, const Attrs& attrs) {
  Values operands{lane};
  append(operands, x);
  return b.emit(op("call"), operands, guard_attrs(attrs));
}

Batched call_batch(Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& attrs) {
  Transformed body = vmap_graph(body_of(attrs), batched, n);
  return {emit_call(b, x, attrs, body.graph), body.mask};
}

// ---------------------------------------------------------------- barrier: tangents go around it

Values barrier_jvp(Builder& b, ValueSpan x, ValueSpan t, const Attrs&, Values& dy) {
  dy = list(t);
  return b.emit(op("barrier"), x);
}

Values barrier_transpose(Builder&, ValueSpan, const Mask&, ValueSpan ct, const Attrs&, std::span<const Type>,
                         std::span<const Type>) {
  return list(ct);
}

Values barrier_guard(Builder& b, Value, ValueSpan x, const Attrs&) { return b.emit(op("barrier"), x); }

Batched barrier_batch(Builder& b, Dim, ValueSpan x, const Mask& batched, const Attrs&) {
  return {b.emit(op("barrier"), x), batched};
}

}  // namespace

const Region kCallRegion{call_jvp, call_split, call_transpose, call_guard};
const AxesFn kCallAxes{call_batch};
const Region kBarrierRegion{barrier_jvp, nullptr, barrier_transpose, barrier_guard};
const AxesFn kBarrierAxes{barrier_batch};

}  // namespace tn
