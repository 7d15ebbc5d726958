#include "transform/helpers.h"

#include <algorithm>

#include "op/emit.h"

namespace tn {

bool any(const Mask& m) { return std::find(m.begin(), m.end(), true) != m.end(); }
u32 count(const Mask& m) { return static_cast<u32>(std::count(m.begin(), m.end(), true)); }

Mask present_mask(ValueSpan values) {
  Mask m;
  for (const Value& v : values) m.push_back(static_cast<bool>(v));
  return m;
}

Values present(ValueSpan values) {
  Values result;
  for (const Value& v : values)
    if (v) result.push_back(v);
  return result;
}

std::vector<Type> types_of(ValueSpan values) {
  std::vector<Type> result;
  for (const Value& v : values) result.push_back(v.type());
  return result;
}

std::string derived_key(std::string_view transform, const Mask& a, const Mask& b) {
  std::string key(transform);
  key.reserve(key.size() + a.size() + b.size() + 2);
  key += ':';
  for (bool bit : a) key += bit ? '1' : '0';
  if (b.empty()) return key;
  key += ':';
  for (bool bit : b) key += bit ? '1' : '0';
  return key;
}

// ---------------------------------------------------------------- graphs

bool any_subgraph(const Node& n, bool (*f)(const Graph&)) {
  for (const auto& [name, value] : n.attrs.items())
    if (const auto* sub = std::get_if<GraphPtr>(&value); sub && f(**sub)) return true;
  return false;
}

Attrs map_subgraphs(const Attrs& attrs, GraphPtr (*f)(const GraphPtr&)) {
  std::vector<NamedAttr> items(attrs.items().begin(), attrs.items().end());
  bool any_graph = false;
  for (auto& [name, value] : items)
    if (auto* sub = std::get_if<GraphPtr>(&value)) {
      value = f(*sub);
      any_graph = true;
    }
  return any_graph ? Attrs(std::move(items)) : attrs;
}

void operands_of(const Graph& g, const Node& n, const Values& env, Values& operands) {
  operands.clear();
  for (u32 v : g.operands(n)) operands.push_back(env[v]);
}

void emit_again(Builder& b, const Graph& g, const Node& n, ValueSpan operands, Values& env) {
  u32 first = b.emit_again(g, n, operands);
  for (u32 i = 0; i < n.result_count; ++i) env[n.first_result + i] = {&b, first + i};
}

GraphPtr expansion_of(const OpDef& op, std::span<const Type> operands, const Attrs& attrs) {
  const Expand* rule = op.lower.as<Expand>();
  if (!rule) internal("[" + std::string(op.name) + "] a rule goes by expansion, but the op has none");
  return make_graph(operands, [&](Builder& b, ValueSpan x) { return rule->expand(b, x, attrs); });
}

GraphPtr graph_of_values(const GraphPtr& g, std::span<const u32> values) {
  return make_graph(g->input_types(), [&](Builder& b, ValueSpan x) {
    Values env(g->value_count()), operands, outputs;
    std::copy(x.begin(), x.end(), env.begin());
    for (const Node& n : g->nodes()) {
      operands_of(*g, n, env, operands);
      emit_again(b, *g, n, operands, env);
    }
    for (u32 v : values) outputs.push_back(env[v]);
    return outputs;
  });
}

Mask depends_on(const Graph& g, const Mask& inputs) {
  std::vector<bool> depends(g.value_count());
  std::copy(inputs.begin(), inputs.end(), depends.begin());
  for (const Node& n : g.nodes()) {
    bool any_operand = false;
    for (u32 v : g.operands(n)) any_operand = any_operand || depends[v];
    for (u32 i = 0; i < n.result_count; ++i) depends[n.first_result + i] = any_operand;
  }
  Mask result;
  for (u32 o : g.outputs()) result.push_back(depends[o]);
  return result;
}

Type with_leading(Dim n, Type t) { return t.with(with_leading(n, t.shape())); }

Value swap_leading(Value x) {
  std::vector<i64> axes{1, 0};
  for (int i = 2; i < x.rank(); ++i) axes.push_back(i);
  return permute(x, axes);
}

GraphPtr reorder_inputs(const GraphPtr& g, std::span<const u32> order) {
  std::vector<Type> types;
  for (u32 i : order) types.push_back(g->type(i));
  return make_graph(types, [&](Builder& b, ValueSpan x) {
    Values inputs(x.size());
    for (size_t i = 0; i < x.size(); ++i) inputs[order[i]] = x[i];
    return inline_graph(b, *g, inputs);
  });
}

std::vector<u32> direct_residuals(const Split& s) {
  std::vector<u32> result;
  auto outputs = s.known->outputs();
  for (u32 v : outputs.subspan(outputs.size() - s.residuals)) result.push_back(v < s.known->input_count() ? v : ~0u);
  return result;
}

std::vector<u32> places(const Mask& mask, u32 start) {
  std::vector<u32> result(mask.size(), ~0u);
  for (size_t i = 0; i < mask.size(); ++i)
    if (mask[i]) result[i] = start++;
  return result;
}

// ---------------------------------------------------------------- sums

bool is_narrow(Type t) { return t.dtype() == DType::f16 || t.dtype() == DType::bf16; }

Value sum_of(ValueSpan terms) {
  if (terms.empty()) return {};
  Type type = terms[0].type();
  bool widen = terms.size() > 2 && is_narrow(type);
  Value total = widen ? cast(terms[0], DType::f32) : terms[0];
  for (const Value& term : terms.subspan(1)) total = add(total, widen ? cast(term, DType::f32) : term);
  return widen ? cast(total, type.dtype()) : total;
}

Value or_zeros(Builder& b, Value v, Type t) { return v ? v : zeros(b, t); }

}  // namespace tn
