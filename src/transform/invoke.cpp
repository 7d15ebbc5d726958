// invoke under transforms. A function that does not come back to itself is inlined; of one that does, the transform
// makes a function that calls what is made of it. Reverse mode of recursion needs a tape, which has its own issue.
#include "ir/function.h"
#include "op/emit.h"
#include "op/region_rules.h"
#include "tenon/error.h"
#include "transform/effects.h"
#include "transform/helpers.h"

namespace tn {

namespace {

i64 function_of(const Attrs& attrs) { return attrs.get<i64>("function"); }

Values emit_invoke(Builder& b, ValueSpan x, i64 function) { return b.emit(op("invoke"), x, {{"function", function}}); }

/// The graph with a tangent for every floating result, zeros where there is none.
GraphPtr with_all_tangents(const GraphPtr& g, const Mask& tangents) {
  Transformed j = jvp_graph(g, tangents);
  std::vector<Type> results = g->output_types();
  return make_graph(j.graph->input_types(), [&](Builder& b, ValueSpan x) {
    Values all = inline_graph(b, *j.graph, x),
           y(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(results.size()));
    for (size_t i = 0, k = results.size(); i < results.size(); ++i)
      if (differentiable(results[i])) y.push_back(j.mask[i] ? all[k++] : or_zeros(b, {}, results[i]));
    return y;
  });
}

Values invoke_jvp(Builder& b, ValueSpan x, ValueSpan t, const Attrs& attrs, Values& dy) {
  i64 id = function_of(attrs);
  Mask mask = present_mask(t);
  Values operands = list(x);
  append(operands, present(t));
  if (!is_recursive(id)) {
    Transformed j = jvp_graph(function_body(id), mask);
    Values all = inline_graph(b, *j.graph, operands);
    for (size_t i = 0, k = j.mask.size(); i < j.mask.size(); ++i)
      if (j.mask[i]) dy[i] = all[k++];
    all.resize(j.mask.size());
    return all;
  }
  FunctionType type = function_type(id);
  type.name = "the derivative of " + type.name;
  size_t results = type.outputs.size();
  std::vector<Type> primal = type.outputs;
  type.inputs = types_of(operands);
  for (Type r : primal)
    if (differentiable(r)) type.outputs.push_back(r);
  i64 made =
      derived_function(id, derived_key("jvp", mask), type, [&] { return with_all_tangents(function_body(id), mask); });
  Values all = emit_invoke(b, operands, made);
  for (size_t i = 0, k = results; i < results; ++i)
    if (differentiable(primal[i])) dy[i] = all[k++];
  all.resize(results);
  return all;
}

Values invoke_transpose(Builder& b, ValueSpan, const Mask&, ValueSpan, const Attrs& attrs, std::span<const Type>,
                        std::span<const Type>) {
  fail("invoke",
       "expected forward mode through the recursion of '" + function_type(function_of(attrs)).name +
           "', got reverse mode, which needs what every call made; use jvp, or scan or while_loop with a bound",
       b.where);
}

/// The body with its lane first, and zeros without running it where that lane does not: so a mapped call ends with the
/// last of its lanes, whatever the conditions of the others would be further on.
GraphPtr guarded_body(const GraphPtr& g) {
  GraphPtr body = guard_graph(g);
  std::vector<Type> results = g->output_types();
  GraphPtr nothing = make_graph(body->input_types(), [&](Builder& b, ValueSpan) {
    Values y;
    for (Type t : results) y.push_back(zeros(b, t));
    return y;
  });
  return make_graph(body->input_types(), [&](Builder& b, ValueSpan x) {
    Values operands{x[0]};
    append(operands, x);
    return b.emit(op("cond"), operands, {{"then", body}, {"else", nothing}});
  });
}

/// A guarded function guards its own calls: their lanes are those of both.
Values invoke_guard(Builder& b, Value lane, ValueSpan x, const Attrs& attrs) {
  i64 id = function_of(attrs);
  FunctionType type = function_type(id);
  Values operands = list(x);
  if (type.guarded) {
    operands[0] = logical_and(lane, operands[0]);
    return emit_invoke(b, operands, id);
  }
  operands.insert(operands.begin(), lane);
  if (!is_recursive(id)) return inline_graph(b, *guard_graph(function_body(id)), operands);
  type.guarded = true;
  type.inputs = types_of(operands);
  i64 made = derived_function(id, "guard", type, [&] { return guarded_body(function_body(id)); });
  return emit_invoke(b, operands, made);
}

Batched invoke_batch(Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& attrs) {
  i64 id = function_of(attrs);
  if (!is_recursive(id)) {
    Transformed mapped = vmap_graph(function_body(id), batched, n);
    return {inline_graph(b, *mapped.graph, x), mapped.mask};
  }
  FunctionType type = function_type(id);
  type.inputs = types_of(x);
  for (Type& t : type.outputs) t = with_leading(n, t);
  i64 made = derived_function(id, derived_key("vmap", batched) + ":" + to_string(n), type,
                              [&] { return vmap_graph_all(function_body(id), batched, n); });
  return all_batched(emit_invoke(b, x, made));
}

}  // namespace

const Region kInvokeRegion{invoke_jvp, nullptr, invoke_transpose, invoke_guard};
const AxesFn kInvokeAxes{invoke_batch};

}  // namespace tn
