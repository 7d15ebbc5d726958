// What the transforms and the rules of ops with sub-graphs share.
#pragma once
#include <string>

#include "ir/op_def.h"
#include "transform/transform.h"

namespace tn {

// ---------------------------------------------------------------- masks and lists

bool any(const Mask& m);
u32 count(const Mask& m);
/// Which values are there.
Mask present_mask(ValueSpan values);
/// The values that are there.
Values present(ValueSpan values);
/// Those of `items` whose place is masked (or not).
template <class T>
std::vector<T> select_where(std::span<const T> items, const Mask& mask, bool want = true) {
  std::vector<T> result;
  for (size_t i = 0; i < items.size(); ++i)
    if (mask[i] == want) result.push_back(items[i]);
  return result;
}
template <class T>
void append(std::vector<T>& to, std::span<const T> from) {
  to.insert(to.end(), from.begin(), from.end());
}
inline void append(Values& to, ValueSpan from) { to.insert(to.end(), from.begin(), from.end()); }
inline Values list(ValueSpan values) { return {values.begin(), values.end()}; }
std::vector<Type> types_of(ValueSpan values);
/// "jvp:0110": the key a derived graph is kept under.
std::string derived_key(std::string_view transform, const Mask& a, const Mask& b = {});

// ---------------------------------------------------------------- graphs

/// Whether f holds for a sub-graph of the node.
bool any_subgraph(const Node& n, bool (*f)(const Graph&));
/// The attributes with each sub-graph replaced.
Attrs map_subgraphs(const Attrs& attrs, GraphPtr (*f)(const GraphPtr&));
/// The values of a node's operands.
void operands_of(const Graph& g, const Node& n, const Values& env, Values& operands);
/// Emits the node as it is for these operands; env receives its results.
void emit_again(Builder& b, const Graph& g, const Node& n, ValueSpan operands, Values& env);
/// What an op with Lower = Expand stands for, as a graph of these operands.
GraphPtr expansion_of(const OpDef& op, std::span<const Type> operands, const Attrs& attrs);
/// The same inputs, with these values of g as results.
GraphPtr graph_of_values(const GraphPtr& g, std::span<const u32> values);
/// Which results depend on a masked input, node by node.
Mask depends_on(const Graph& g, const Mask& inputs);
/// The type with a leading axis of extent n.
Type with_leading(Dim n, Type t);
/// Exchanges the first two axes.
Value swap_leading(Value x);
/// The mapped graph with the leading axis on every result of `want`.
GraphPtr batch_outputs(const Transformed& mapped, const Mask& want, Dim n);
/// The graph of one lane for all of them: every input and result leads with the axes of the lanes.
GraphPtr vmap_lanes(const GraphPtr& g, const Shape& lanes);
/// The graph whose input i is g's input order[i]; every input of g appears once.
GraphPtr reorder_inputs(const GraphPtr& g, std::span<const u32> order);
/// By residual of a split: the input of the known graph that it is, or ~0u. The operand then serves as the residual.
std::vector<u32> direct_residuals(const Split& s);
/// The place of each masked item among the masked ones, after `start` others.
std::vector<u32> places(const Mask& mask, u32 start);

/// Whether operand i is in the rule's set; a set of all ones covers any number of operands.
inline bool is_linear(const Linear& rule, size_t i) { return i < 32 ? rule.operands >> i & 1 : rule.operands == ~0u; }

// ---------------------------------------------------------------- sums

/// Types whose sums of three or more terms are taken in f32 and rounded once.
bool is_narrow(Type t);
/// The sum of cotangents or tangents of one value, in order.
Value sum_of(ValueSpan terms);
/// The value, or zeros of the type where it is absent.
Value or_zeros(Builder& b, Value v, Type t);

}  // namespace tn
