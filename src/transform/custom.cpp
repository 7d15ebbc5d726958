// custom_jvp and custom_vjp: the user's own derivatives.
//
// custom_jvp holds `primal`: (x...) -> (y...) and `tangent`: (x..., tangent of each floating x...) -> (y..., tangent of
// each floating y...). custom_vjp holds `forward`: (x...) -> (y..., residuals...) and `backward`: (residuals...,
// cotangent of each floating y...) -> (cotangent of each floating x...). The tangent of a custom_vjp is an opaque
// linear node, custom_vjp_tangent(residuals..., tangents...), that can be transposed (a call of backward) and mapped,
// no more; so its second derivative goes through backward.
#include "op/emit.h"
#include "op/region_rules.h"
#include "transform/effects.h"

namespace tn {

namespace {

Values call(Builder& b, const GraphPtr& body, ValueSpan x) { return b.emit(op("call"), x, {{"body", body}}); }

/// A tangent for every floating operand, zeros where there is none.
void append_tangents(Builder& b, ValueSpan x, ValueSpan t, Values& to) {
  for (size_t i = 0; i < x.size(); ++i)
    if (differentiable(x[i].type())) to.push_back(or_zeros(b, t[i], x[i].type()));
}

void place_tangents(const Values& y, ValueSpan tangents, Values& dy) {
  for (size_t i = 0, k = 0; i < y.size(); ++i)
    if (differentiable(y[i].type())) dy[i] = tangents[k++];
}

/// A graph mapped with every input and result batched.
GraphPtr batch_all(const GraphPtr& g, Dim n) { return vmap_graph_all(g, Mask(g->input_count(), true), n); }

Values guarded_operands(Value lane, ValueSpan x) {
  Values operands{lane};
  append(operands, x);
  return operands;
}

// ---------------------------------------------------------------- custom_jvp

Values custom_jvp_jvp(Builder& b, ValueSpan x, ValueSpan t, const Attrs& attrs, Values& dy) {
  Values operands = list(x);
  append_tangents(b, x, t, operands);
  Values all = call(b, attrs.get<GraphPtr>("tangent"), operands);
  size_t n = attrs.get<GraphPtr>("primal")->outputs().size();
  Values y(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n));
  place_tangents(y, ValueSpan(all).subspan(n), dy);
  return y;
}

Values custom_jvp_guard(Builder& b, Value lane, ValueSpan x, const Attrs& attrs) {
  return b.emit(op("custom_jvp"), guarded_operands(lane, x), guard_attrs(attrs));
}

Batched custom_jvp_batch(Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& attrs) {
  Attrs mapped = attrs.with("primal", batch_all(attrs.get<GraphPtr>("primal"), n))
                     .with("tangent", batch_all(attrs.get<GraphPtr>("tangent"), n));
  Values y = b.emit(op("custom_jvp"), all_to_lanes(x, batched, n), mapped);
  return {y, Mask(y.size(), true)};
}

// ---------------------------------------------------------------- custom_vjp

Values custom_vjp_jvp(Builder& b, ValueSpan x, ValueSpan t, const Attrs& attrs, Values& dy) {
  size_t n = static_cast<size_t>(attrs.get<i64>("results"));
  Values all = call(b, attrs.get<GraphPtr>("forward"), x);
  Values y(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n));
  Values operands(all.begin() + static_cast<std::ptrdiff_t>(n), all.end());
  i64 residuals = static_cast<i64>(operands.size());
  append_tangents(b, x, t, operands);
  Attrs tangent{{"backward", attrs.get<GraphPtr>("backward")}, {"residuals", residuals}};
  place_tangents(y, b.emit(op("custom_vjp_tangent"), operands, tangent), dy);
  return y;
}

/// The lane goes in first, and on to backward as the first residual.
Values custom_vjp_guard(Builder& b, Value lane, ValueSpan x, const Attrs& attrs) {
  size_t n = static_cast<size_t>(attrs.get<i64>("results"));
  GraphPtr inner = guard_graph(attrs.get<GraphPtr>("forward"));
  GraphPtr forward = make_graph(inner->input_types(), [&](Builder& f, ValueSpan in) {
    Values out = inline_graph(f, *inner, in);
    out.insert(out.begin() + static_cast<std::ptrdiff_t>(n), in[0]);
    return out;
  });
  GraphPtr backward = guard_graph(attrs.get<GraphPtr>("backward"));
  return b.emit(op("custom_vjp"), guarded_operands(lane, x), attrs.with("forward", forward).with("backward", backward));
}

Batched custom_vjp_batch(Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& attrs) {
  Attrs mapped = attrs.with("forward", batch_all(attrs.get<GraphPtr>("forward"), n))
                     .with("backward", batch_all(attrs.get<GraphPtr>("backward"), n));
  Values y = b.emit(op("custom_vjp"), all_to_lanes(x, batched, n), mapped);
  return {y, Mask(y.size(), true)};
}

// ---------------------------------------------------------------- custom_vjp_tangent

Values custom_vjp_tangent_jvp(Builder& b, ValueSpan x, ValueSpan t, const Attrs& attrs, Values& dy) {
  size_t residuals = static_cast<size_t>(attrs.get<i64>("residuals"));
  for (size_t i = 0; i < residuals; ++i)
    if (t[i])
      fail("custom_vjp", "expected reverse mode only, got a derivative of its tangent; give custom_jvp", b.where);
  Values operands(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(residuals));
  for (size_t i = residuals; i < x.size(); ++i) operands.push_back(or_zeros(b, t[i], x[i].type()));
  dy = b.emit(op("custom_vjp_tangent"), operands, attrs);
  return b.emit(op("custom_vjp_tangent"), x, attrs);
}

Values custom_vjp_tangent_transpose(Builder& b, ValueSpan x, const Mask& linear, ValueSpan ct, const Attrs& attrs,
                                    std::span<const Type> results, std::span<const Type>) {
  size_t residuals = static_cast<size_t>(attrs.get<i64>("residuals"));
  Values operands(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(residuals)), given(x.size());
  for (size_t i = 0; i < ct.size(); ++i) operands.push_back(or_zeros(b, ct[i], results[i]));
  Values all = call(b, attrs.get<GraphPtr>("backward"), operands);
  for (size_t i = residuals; i < x.size(); ++i)
    if (linear[i]) given[i] = all[i - residuals];
  return given;
}

Values custom_vjp_tangent_guard(Builder& b, Value lane, ValueSpan x, const Attrs& attrs) {
  Attrs guarded = guard_attrs(attrs).with("residuals", attrs.get<i64>("residuals") + 1);
  return b.emit(op("custom_vjp_tangent"), guarded_operands(lane, x), guarded);
}

Batched custom_vjp_tangent_batch(Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& attrs) {
  Attrs mapped = attrs.with("backward", batch_all(attrs.get<GraphPtr>("backward"), n));
  Values y = b.emit(op("custom_vjp_tangent"), all_to_lanes(x, batched, n), mapped);
  return {y, Mask(y.size(), true)};
}

}  // namespace

const Region kCustomJvpRegion{custom_jvp_jvp, nullptr, nullptr, custom_jvp_guard};
const AxesFn kCustomJvpAxes{custom_jvp_batch};
const Region kCustomVjpRegion{custom_vjp_jvp, nullptr, nullptr, custom_vjp_guard};
const AxesFn kCustomVjpAxes{custom_vjp_batch};
const Region kCustomVjpTangentRegion{custom_vjp_tangent_jvp, nullptr, custom_vjp_tangent_transpose,
                                     custom_vjp_tangent_guard};
const AxesFn kCustomVjpTangentAxes{custom_vjp_tangent_batch};

}  // namespace tn
