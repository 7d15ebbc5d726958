// Forward mode: every node is emitted once as it is; beside it, tangents only where an operand has one.
#include "op/emit.h"
#include "transform/helpers.h"

namespace tn {

namespace {

/// Emits primals and tangents of one graph.
class JvpPass {
 public:
  JvpPass(const Graph& g, const Mask& tangents) : g_(g), primal_(g.value_count()), tangent_(g.value_count()) {
    for (u32 i = 0; i < g.input_count(); ++i) primal_[i] = b_.input(g.type(i));
    for (u32 i = 0; i < g.input_count(); ++i)
      if (tangents[i]) tangent_[i] = b_.input(g.type(i));
  }

  Transformed run() {
    for (const Node& n : g_.nodes()) node(n);
    Transformed result;
    Values outputs;
    for (u32 o : g_.outputs()) outputs.push_back(primal_[o]);
    for (u32 o : g_.outputs()) {
      result.mask.push_back(static_cast<bool>(tangent_[o]));
      if (tangent_[o]) outputs.push_back(tangent_[o]);
    }
    result.graph = b_.build(outputs);
    return result;
  }

 private:
  void node(const Node& n) {
    operands_of(g_, n, primal_, x_);
    operands_of(g_, n, tangent_, t_);
    bool live = false;
    for (const Value& t : t_) live = live || t;
    if (!live) return emit_again(b_, g_, n, x_, primal_);
    b_.where = n.where;
    Values dy(n.result_count), y;
    const Grad& grad = n.op->grad;
    if (const auto* region = grad.as<Region>()) {
      y = region->jvp(b_, x_, t_, n.attrs, dy);
    } else if (grad.as<ByExpansion>()) {
      y = by_expansion(n, dy);
    } else {
      y = b_.emit(*n.op, x_, n.attrs);
      tangents(n, y, dy);
    }
    for (u32 i = 0; i < n.result_count; ++i) {
      primal_[n.first_result + i] = y[i];
      if (dy[i] && differentiable(y[i].type())) tangent_[n.first_result + i] = dy[i];
    }
  }

  Values by_expansion(const Node& n, Values& dy) {
    GraphPtr body = expansion_of(*n.op, types_of(x_), n.attrs);
    Transformed j = jvp_graph(body, present_mask(t_));
    Values inputs = x_;
    append(inputs, present(t_));
    Values all = inline_graph(b_, *j.graph, inputs);
    for (u32 i = 0, k = n.result_count; i < n.result_count; ++i)
      if (j.mask[i]) dy[i] = all[k++];
    all.resize(n.result_count);
    return all;
  }

  void tangents(const Node& n, const Values& y, Values& dy) {
    const Grad& grad = n.op->grad;
    if (const auto* partials = grad.as<Partials>()) {
      dy[0] = of_partials(*partials, y[0]);
    } else if (const auto* linear = grad.as<Linear>()) {
      of_linear(*linear, n, y, dy);
    } else if (grad.as<Bilinear>()) {
      dy[0] = of_bilinear(n);
    } else if (const auto* own = grad.as<Jvp>()) {
      dy = own->tangents(b_, x_, y, t_, n.attrs);
    } else if (const auto* none = grad.as<NoGrad>()) {
      for (const Value& v : y)
        if (differentiable(v.type())) fail(n.op->name, "has no derivative: " + std::string(none->why), n.where);
    }
  }

  Value of_partials(const Partials& rule, Value y) {
    Values terms;
    for (size_t i = 0; i < x_.size(); ++i) {
      if (!t_[i]) continue;
      if (Value partial = rule.partial(x_, y, static_cast<int>(i))) terms.push_back(mul(partial, t_[i]));
    }
    return sum_of(terms);
  }

  void of_linear(const Linear& rule, const Node& n, const Values& y, Values& dy) {
    u32 live = 0, linear = 0;
    for (size_t i = 0; i < x_.size(); ++i) {
      if (!is_linear(rule, i)) continue;
      ++linear;
      live += static_cast<bool>(t_[i]);
    }
    if (!live || !differentiable(y[0].type())) return;
    if (live < linear && n.op->axes.as<Elementwise>() && same_types(y[0])) return of_diagonal(rule, n, dy);
    Values operands = x_;
    for (size_t i = 0; i < x_.size(); ++i)
      if (is_linear(rule, i)) operands[i] = or_zeros(b_, t_[i], x_[i].type());
    dy = b_.emit(*n.op, operands, rule.tangent_attrs ? rule.tangent_attrs(n.attrs) : n.attrs);
  }

  /// An elementwise linear op has a diagonal matrix for each operand, which is its own transpose; so zeros need not be
  /// made for the operands without a tangent.
  void of_diagonal(const Linear& rule, const Node& n, Values& dy) {
    Values others = x_, terms;
    std::vector<Type> types = types_of(x_);
    for (size_t i = 0; i < x_.size(); ++i)
      if (is_linear(rule, i)) others[i] = {};
    for (size_t i = 0; i < x_.size(); ++i)
      if (is_linear(rule, i) && t_[i])
        terms.push_back(rule.transpose(others, t_[i], static_cast<int>(i), n.attrs, types));
    dy[0] = sum_of(terms);
  }

  Value of_bilinear(const Node& n) {
    Values terms;
    for (size_t i = 0; i < 2; ++i) {
      if (!t_[i]) continue;
      Values operands = x_;
      operands[i] = t_[i];
      terms.push_back(b_.emit(*n.op, operands, n.attrs)[0]);
    }
    return sum_of(terms);
  }

  bool same_types(Value y) const {
    for (size_t i = 0; i < x_.size(); ++i)
      if (t_[i] && x_[i].type() != y.type()) return false;
    return true;
  }

  const Graph& g_;
  Builder b_;
  Values primal_, tangent_, x_, t_;
};

}  // namespace

Transformed jvp_graph(const GraphPtr& g, const Mask& tangents) {
  if (tangents.size() != g->input_count()) internal("jvp: a mask of another length than the graph's inputs");
  for (u32 i = 0; i < tangents.size(); ++i)
    if (tangents[i] && !differentiable(g->type(i))) internal("jvp: a tangent for " + to_string(g->type(i)));
  if (!any(tangents)) return {g, Mask(g->outputs().size())};
  std::string key = derived_key("jvp", tangents);
  if (auto found = g->find_derived(key)) return {found->graph, found->mask};
  Transformed result = JvpPass(*g, tangents).run();
  g->keep_derived(key, {result.graph, result.mask, nullptr, 0});
  return result;
}

}  // namespace tn
