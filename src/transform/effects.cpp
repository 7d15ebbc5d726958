#include "transform/effects.h"

#include "op/emit.h"

namespace tn {

static bool is_assert(const Node& n) {
  static const OpDef& kAssert = op("assert");
  return n.op == &kAssert;
}

static bool is_while(const Node& n) {
  static const OpDef& kWhile = op("while");
  return n.op == &kWhile;
}

// ---------------------------------------------------------------- dropping

/// Whether the node's results cannot be had without running an effect.
static bool gives_effect_results(const Node& n) {
  if (!n.effectful || n.result_count == 0) return false;
  if (!n.op->effect.as<Pure>()) return true;
  return any_subgraph(n, [](const Graph& sub) {
    for (const Node& inner : sub.nodes())
      if (gives_effect_results(inner)) return true;
    return false;
  });
}

WithoutEffects without_effects(const GraphPtr& g) {
  if (!g->effectful()) return {g, {}};
  WithoutEffects result;
  std::vector<Type> types(g->input_types().begin(), g->input_types().end());
  for (const Node& n : g->nodes())
    for (u32 i = 0; gives_effect_results(n) && i < n.result_count; ++i) {
      result.saved.push_back(n.first_result + i);
      types.push_back(g->type(n.first_result + i));
    }
  result.graph = make_graph(types, [&](Builder& b, ValueSpan x) {
    Values env(g->value_count()), operands;
    std::copy(x.begin(), x.begin() + g->input_count(), env.begin());
    for (size_t i = 0; i < result.saved.size(); ++i) env[result.saved[i]] = x[g->input_count() + i];
    for (const Node& n : g->nodes()) {
      if (n.effectful && (n.result_count == 0 || gives_effect_results(n))) continue;
      operands_of(*g, n, env, operands);
      if (!n.effectful) {
        emit_again(b, *g, n, operands, env);
        continue;
      }
      Attrs attrs = map_subgraphs(n.attrs, [](const GraphPtr& sub) { return without_effects(sub).graph; });
      Values r = b.emit(*n.op, operands, attrs, &n.where);
      std::copy(r.begin(), r.end(), env.begin() + n.first_result);
    }
    Values outputs;
    for (u32 o : g->outputs()) outputs.push_back(env[o]);
    return outputs;
  });
  return result;
}

// ---------------------------------------------------------------- guarding

bool has_effect_besides_assert(const Graph& g) {
  if (!g.effectful()) return false;
  for (const Node& n : g.nodes()) {
    if (!n.effectful || is_assert(n)) continue;
    if (!n.op->effect.as<Pure>() || any_subgraph(n, has_effect_besides_assert)) return true;
  }
  return false;
}

/// A function may call itself for ever.
static bool is_invoke(const Node& n) {
  static const OpDef& kInvoke = op("invoke");
  return n.op == &kInvoke;
}

static bool node_needs_guard(const Node& n) {
  return is_assert(n) || is_while(n) || is_invoke(n) || any_subgraph(n, needs_guard);
}

bool needs_guard(const Graph& g) {
  for (const Node& n : g.nodes())
    if (node_needs_guard(n)) return true;
  return false;
}

static void guard_node(Builder& b, const Node& n, Value lane, const Values& x, Values& results) {
  if (is_assert(n)) {
    Value elsewhere = logical_not(lane);
    auto shape = x[0].shape();
    Value all = broadcast(elsewhere, Shape(shape.begin(), shape.end()), {});
    results = b.emit(*n.op, std::vector{logical_or(all, x[0])}, n.attrs, &n.where);
  } else if (const auto* region = n.op->grad.as<Region>(); region && region->guard && node_needs_guard(n)) {
    b.where = n.where;
    results = region->guard(b, lane, x, n.attrs);
  } else {
    results = b.emit(*n.op, x, n.attrs, &n.where);
  }
}

GraphPtr guard_graph(const GraphPtr& g) {
  static const std::string kKey = "guard";
  if (auto found = g->find_derived(kKey)) return found->graph;
  std::vector<Type> types{Type::tensor(DType::boolean, {})};
  append(types, g->input_types());
  GraphPtr result = make_graph(types, [&](Builder& b, ValueSpan x) {
    Values env(g->value_count()), operands, results, outputs;
    std::copy(x.begin() + 1, x.end(), env.begin());
    for (const Node& n : g->nodes()) {
      operands_of(*g, n, env, operands);
      guard_node(b, n, x[0], operands, results);
      std::copy(results.begin(), results.end(), env.begin() + n.first_result);
    }
    for (u32 o : g->outputs()) outputs.push_back(env[o]);
    return outputs;
  });
  g->keep_derived(kKey, {result, {}, nullptr, 0});
  return result;
}

Attrs guard_attrs(const Attrs& attrs) {
  return map_subgraphs(attrs, [](const GraphPtr& sub) { return guard_graph(sub); });
}

}  // namespace tn
