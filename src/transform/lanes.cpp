#include "transform/lanes.h"

#include "op/emit.h"
#include "transform/effects.h"

namespace tn {

namespace {

Shape lanes_of(const Node& n, const Values& x) {
  if (is(*n.op, Structured::Kind::cond)) return shape_of(x[0]);
  if (is(*n.op, Structured::Kind::loop)) return n.attrs.get<Shape>("lanes");
  return {};
}

bool has_lanes(const Graph& g) {
  for (const Node& n : g.nodes()) {
    if (is(*n.op, Structured::Kind::cond) && g.type(g.operands(n)[0]).rank() > 0) return true;
    if (is(*n.op, Structured::Kind::loop) && !n.attrs.get<Shape>("lanes").empty()) return true;
    if (any_subgraph(n, has_lanes)) return true;
  }
  return false;
}

/// a where its lane holds, else b.
Values select_lanes(Value lane, const Values& a, const Values& b) {
  Values result;
  for (size_t i = 0; i < a.size(); ++i)
    result.push_back(select(broadcast(lane, shape_of(a[i]), axis_range(0, lane.rank())), a[i], b[i]));
  return result;
}

/// The graph of one lane, run where `lane` holds, for all lanes: (lane, x...) -> (y...).
GraphPtr mapped(const GraphPtr& one, const Shape& lanes) {
  if (needs_guard(*one)) return lower_lanes(vmap_lanes(guard_graph(one), lanes));
  GraphPtr all = lower_lanes(vmap_lanes(one, lanes));
  std::vector<Type> types{Type::tensor(DType::boolean, lanes)};
  append(types, all->input_types());
  return make_graph(types, [&](Builder& b, ValueSpan x) { return inline_graph(b, *all, x.subspan(1)); });
}

/// The branch's results in its lanes, anything elsewhere.
Values run_branch(Builder& b, const GraphPtr& one, Value lane, ValueSpan x) {
  Shape lanes = shape_of(lane);
  GraphPtr all = mapped(one, lanes);
  Values operands{lane};
  append(operands, x);
  if (all->nodes().empty()) return inline_graph(b, *all, operands);
  GraphPtr nothing = make_graph(all->input_types(), [&](Builder& inner, ValueSpan) {
    Values result;
    for (Type t : all->output_types()) result.push_back(zeros(inner, t));
    return result;
  });
  operands.insert(operands.begin(), any(lane, all_axes(lane)));
  return b.emit(op("cond"), operands, {{"then", all}, {"else", nothing}});
}

Values lower_cond(Builder& b, const Node& n, const Values& x) {
  ValueSpan args = ValueSpan(x).subspan(1);
  Values then = run_branch(b, n.attrs.get<GraphPtr>("then"), x[0], args);
  Values otherwise = run_branch(b, n.attrs.get<GraphPtr>("else"), logical_not(x[0]), args);
  return select_lanes(x[0], then, otherwise);
}

Values lower_while(Builder& b, const Node& n, const Values& x, const Shape& lanes) {
  size_t consts = static_cast<size_t>(n.attrs.get<i64>("consts"));
  GraphPtr condition = lower_lanes(vmap_lanes(n.attrs.get<GraphPtr>("cond"), lanes));
  GraphPtr step = mapped(n.attrs.get<GraphPtr>("body"), lanes);
  GraphPtr go_on = make_graph(condition->input_types(), [&](Builder& inner, ValueSpan in) {
    Value lane = inline_graph(inner, *condition, in)[0];
    return Values{any(lane, all_axes(lane))};
  });
  GraphPtr body = make_graph(condition->input_types(), [&](Builder& inner, ValueSpan in) {
    Values operands = inline_graph(inner, *condition, in);
    append(operands, in);
    return select_lanes(operands[0], inline_graph(inner, *step, operands), list(in.subspan(consts)));
  });
  return b.emit(op("while"), x, n.attrs.with("cond", go_on).with("body", body).with("lanes", Shape{}));
}

}  // namespace

GraphPtr lower_lanes(const GraphPtr& g) {
  if (!has_lanes(*g)) return g;
  static const std::string kKey = "lower_lanes";
  if (auto found = g->find_derived(kKey)) return found->graph;
  GraphPtr result = make_graph(g->input_types(), [&](Builder& b, ValueSpan x) {
    Values env(g->value_count()), operands, results, outputs;
    std::copy(x.begin(), x.end(), env.begin());
    for (const Node& n : g->nodes()) {
      operands_of(*g, n, env, operands);
      b.where = n.where;
      Shape lanes = lanes_of(n, operands);
      if (lanes.empty())
        results = b.emit(*n.op, operands, map_subgraphs(n.attrs, lower_lanes));
      else
        results = is(*n.op, Structured::Kind::cond) ? lower_cond(b, n, operands) : lower_while(b, n, operands, lanes);
      std::copy(results.begin(), results.end(), env.begin() + n.first_result);
    }
    for (u32 o : g->outputs()) outputs.push_back(env[o]);
    return outputs;
  });
  g->keep_derived(kKey, {result, {}, nullptr, 0});
  return result;
}

}  // namespace tn
