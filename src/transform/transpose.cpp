// Reverse mode of a linear graph: what does not depend on a linear input is emitted as it is, then cotangents walk the
// linear nodes backwards. Absent cotangents are zero and cost nothing.
#include <unordered_map>

#include "op/emit.h"
#include "transform/helpers.h"

namespace tn {

namespace {

/// Contributions to the cotangent of each value.
class Cotangents {
 public:
  explicit Cotangents(const Graph& g) : g_(g), first_(g.value_count()) {}

  void give(u32 value, Value c) {
    if (!c) return;
    Type t = g_.type(value);
    if (c.type() != t) internal("transpose: a cotangent " + to_string(c.type()) + " for " + to_string(t));
    if (!first_[value])
      first_[value] = c;
    else if (is_narrow(t))
      more_[value].push_back(c);  // summed in f32 once all are there
    else
      first_[value] = add(first_[value], c);
  }

  /// All contributions of a value have been given.
  Value take(u32 value) const {
    auto more = more_.find(value);
    if (more == more_.end()) return first_[value];
    Values terms{first_[value]};
    append(terms, more->second);
    return sum_of(terms);
  }

 private:
  const Graph& g_;
  Values first_;
  std::unordered_map<u32, Values> more_;
};

class TransposePass {
 public:
  TransposePass(const Graph& g, const Mask& linear)
      : g_(g), cotangents_(g), values_(g.value_count()), linear_(g.value_count()) {
    for (u32 i = 0; i < g.input_count(); ++i) {
      linear_[i] = linear[i];
      if (!linear[i]) values_[i] = b_.input(g.type(i));
    }
  }

  Transformed run() {
    Values given;
    for (u32 o : g_.outputs()) given.push_back(b_.input(g_.type(o)));
    for (const Node& n : g_.nodes()) forward(n);
    for (size_t i = 0; i < given.size(); ++i)
      if (linear_[g_.outputs()[i]]) cotangents_.give(g_.outputs()[i], given[i]);
    for (size_t k = g_.nodes().size(); k-- > 0;) backward(g_.nodes()[k]);
    Transformed result;
    Values outputs;
    for (u32 i = 0; i < g_.input_count(); ++i) {
      if (!linear_[i]) continue;
      Value c = cotangents_.take(i);
      result.mask.push_back(static_cast<bool>(c));
      if (c) outputs.push_back(c);
    }
    result.graph = b_.build(outputs);
    return result;
  }

 private:
  void forward(const Node& n) {
    bool linear = false;
    for (u32 v : g_.operands(n)) linear = linear || linear_[v];
    for (u32 i = 0; i < n.result_count; ++i) linear_[n.first_result + i] = linear;
    if (linear || (n.effectful && n.result_count == 0)) return;
    operands_of(g_, n, values_, x_);
    emit_again(b_, g_, n, x_, values_);
  }

  void backward(const Node& n) {
    if (n.result_count == 0 || !linear_[n.first_result]) return;
    Values ct;
    bool live = false;
    for (u32 i = 0; i < n.result_count; ++i) {
      ct.push_back(cotangents_.take(n.first_result + i));
      live = live || ct.back();
    }
    if (!live) return;
    operands_of(g_, n, values_, x_);
    b_.where = n.where;
    const Grad& grad = n.op->grad;
    if (const auto* linear = grad.as<Linear>())
      of_linear(n, ct[0], [&](u32 i) { return is_linear(*linear, i); }, linear->transpose);
    else if (const auto* bilinear = grad.as<Bilinear>())
      of_bilinear(n, ct[0], *bilinear);
    else if (const auto* region = grad.as<Region>(); region && region->transpose)
      of_region(n, ct, *region);
    else if (grad.as<ByExpansion>())
      by_expansion(n, ct);
    else
      not_linear(n);
  }

  [[noreturn]] static void not_linear(const Node& n) {
    internal("[" + std::string(n.op->name) + "] is transposed but is not linear here (" + to_string(n.where) + ")");
  }

  void of_linear(const Node& n, Value ct, const auto& covers, const auto& transpose) {
    auto in = g_.operands(n);
    std::vector<Type> types;
    for (u32 v : in) types.push_back(g_.type(v));
    for (u32 i = 0; i < in.size(); ++i) {
      if (!linear_[in[i]]) continue;
      if (!covers(i)) not_linear(n);
      cotangents_.give(in[i], transpose(x_, ct, static_cast<int>(i), n.attrs, types));
    }
  }

  void of_bilinear(const Node& n, Value ct, const Bilinear& rule) {
    auto in = g_.operands(n);
    if (linear_[in[0]] && linear_[in[1]]) not_linear(n);
    of_linear(n, ct, [](u32 i) { return i < 2; }, rule.transpose);
  }

  void of_region(const Node& n, const Values& ct, const Region& rule) {
    auto in = g_.operands(n);
    Mask linear;
    std::vector<Type> operand_types;
    for (u32 v : in) {
      linear.push_back(linear_[v]);
      operand_types.push_back(g_.type(v));
    }
    Values given = rule.transpose(b_, x_, linear, ct, n.attrs, g_.result_types(n), operand_types);
    for (u32 i = 0; i < in.size(); ++i)
      if (linear[i]) cotangents_.give(in[i], given[i]);
  }

  void by_expansion(const Node& n, const Values& ct) {
    auto in = g_.operands(n);
    Mask linear;
    std::vector<Type> operand_types;
    for (u32 v : in) {
      linear.push_back(linear_[v]);
      operand_types.push_back(g_.type(v));
    }
    GraphPtr body = expansion_of(*n.op, operand_types, n.attrs);
    Transformed t = transpose_graph(prune_graph(body, present_mask(ct)), linear);
    Values inputs = present(x_);
    append(inputs, present(ct));
    Values all = inline_graph(b_, *t.graph, inputs);
    for (u32 i = 0, l = 0, k = 0; i < in.size(); ++i)
      if (linear[i] && t.mask[l++]) cotangents_.give(in[i], all[k++]);
  }

  const Graph& g_;
  Builder b_;
  Cotangents cotangents_;
  Values values_, x_;         // values that do not depend on a linear input
  std::vector<bool> linear_;  // by value
};

}  // namespace

Transformed transpose_graph(const GraphPtr& g, const Mask& linear) {
  if (linear.size() != g->input_count()) internal("transpose: a mask of another length than the graph's inputs");
  std::string key = derived_key("transpose", linear);
  if (auto found = g->find_derived(key)) return {found->graph, found->mask};
  Transformed result = TransposePass(*g, linear).run();
  g->keep_derived(key, {result.graph, result.mask, nullptr, 0});
  return result;
}

}  // namespace tn
