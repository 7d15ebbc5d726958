#include "compile/passes.h"

#include <algorithm>

#include "compile/attention.h"
#include "op/emit.h"

namespace tn {

// ---------------------------------------------------------------- expansion

static Values inline_expanded(Builder& into, const Graph& g, ValueSpan inputs) {
  return inline_rewritten(into, g, inputs, [](Builder& b, const Node& n, ValueSpan x) -> std::optional<Values> {
    if (is(*n.op, Structured::Kind::call)) return inline_expanded(b, *n.attrs.get<GraphPtr>("body"), x);
    const auto* rule = n.op->lower.as<Expand>();
    if (!rule || has_template(n)) return std::nullopt;
    std::vector<Type> types;
    for (const Value& v : x) types.push_back(v.type());
    GraphPtr body = make_graph(types, [&](Builder& inner, ValueSpan v) {
      inner.where = n.where;
      return rule->expand(inner, v, n.attrs);
    });
    return inline_expanded(b, *body, x);
  });
}

GraphPtr expand_composites(const GraphPtr& g) {
  return make_graph(g->input_types(), [&](Builder& b, ValueSpan x) { return inline_expanded(b, *g, x); });
}

// ---------------------------------------------------------------- reductions

/// Trailing axes shorter than this would leave most of a block of lanes idle.
static constexpr i64 kFewestLanes = 16;

/// Leading and trailing axes around kept ones: a kernel takes both in one sweep (see lower_rows.cpp).
static bool is_planes(std::span<const Dim> shape, std::span<const i64> axes) {
  size_t lead = 0, trail = 0, rank = shape.size();
  while (lead < axes.size() && axes[lead] == static_cast<i64>(lead)) ++lead;
  while (trail < axes.size() && axes[axes.size() - 1 - trail] == static_cast<i64>(rank - 1 - trail)) ++trail;
  if (lead == 0 || trail == 0 || lead + trail != axes.size()) return false;
  Dim lanes = product(shape.last(trail));
  return !lanes.is_constant() || lanes.value() >= kFewestLanes;
}

static Value split_reduction(Builder& b, const Node& n, Value x) {
  DType dtype = x.dtype();
  std::vector<bool> reduced(static_cast<size_t>(x.rank()));
  for (i64 a : n.attrs.get<std::vector<i64>>("axes")) reduced[static_cast<size_t>(a)] = true;
  Shape result, squeezed;
  std::vector<i64> axes;
  for (size_t i = 0; i < reduced.size(); ++i) {
    Dim extent = x.shape()[i];
    if (!reduced[i]) result.push_back(extent);
    if (extent == Dim(1)) continue;
    if (reduced[i]) axes.push_back(static_cast<i64>(squeezed.size()));
    squeezed.push_back(extent);
  }
  x = reshape(x, squeezed);
  bool narrow = dtype == DType::f16 || dtype == DType::bf16;
  if (narrow) x = cast(x, DType::f32);
  if (is_planes(squeezed, axes)) {
    x = b.emit1(*n.op, {x}, n.attrs.with("axes", axes));
    axes.clear();
  }
  while (!axes.empty()) {
    size_t first = axes.size() - 1;
    while (first > 0 && axes[first - 1] == axes[first] - 1) --first;
    std::vector<i64> run(axes.begin() + static_cast<std::ptrdiff_t>(first), axes.end());
    axes.resize(first);
    x = b.emit1(*n.op, {x}, n.attrs.with("axes", run));
  }
  return reshape(cast(x, dtype), result);
}

GraphPtr split_reductions(const GraphPtr& g) {
  return rewrite_graph(*g, g->input_types(), [](Builder& b, const Node& n, ValueSpan x) -> std::optional<Values> {
    if (!n.op->lower.as<Reduction>()) return std::nullopt;
    return Values{split_reduction(b, n, x[0])};
  });
}

// ---------------------------------------------------------------- joining

/// An element of n joined parts is chosen among n, so many are joined a group at a time, each group in memory.
static Value join_groups(std::vector<Value> parts, i64 axis) {
  while (parts.size() > kMostJoined) {
    size_t groups = (parts.size() + kMostJoined - 1) / kMostJoined;
    std::vector<Value> joined;
    for (size_t k = 0; k < groups; ++k) {
      size_t first = parts.size() * k / groups, last = parts.size() * (k + 1) / groups;
      joined.push_back(concat(std::span(parts).subspan(first, last - first), axis));
    }
    parts = std::move(joined);
  }
  return concat(parts, axis);
}

GraphPtr split_joins(const GraphPtr& g) {
  return rewrite_graph(*g, [](Builder&, const Node& n, ValueSpan x) -> std::optional<Values> {
    if (n.op->name != "concat" || x.size() <= kMostJoined) return std::nullopt;
    return Values{join_groups({x.begin(), x.end()}, n.attrs.get<i64>("axis"))};
  });
}

}  // namespace tn
