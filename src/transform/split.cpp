// Partial evaluation: what does not depend on an unknown input is emitted into the known graph now, the rest into the
// linear graph afterwards. Only ops with sub-graphs have a rule of their own, for one part of them may be known.
#include "transform/residuals.h"

namespace tn {

namespace {

class SplitPass {
 public:
  SplitPass(const Graph& g, const Mask& unknown, const Mask& force)
      : g_(g), inputs_unknown_(unknown), force_(force), known_(g.value_count()), unknown_(g.value_count()) {}

  Split run() {
    for (u32 i = 0; i < g_.input_count(); ++i) {
      unknown_[i] = inputs_unknown_[i];
      if (!unknown_[i]) known_[i] = known_builder_.input(g_.type(i));
    }
    for (u32 k = 0; k < g_.nodes().size(); ++k) node(k);
    for (u32 i = 0; i < g_.outputs().size(); ++i) {
      u32 o = g_.outputs()[i];
      result_.unknown.push_back(unknown_[o] || (!force_.empty() && force_[i]));
      if (result_.unknown.back()) need(o);
    }
    Residuals residuals(known_builder_.graph());
    for (u32 v : needed_) residuals.need(v);
    build_known(residuals);
    build_linear(residuals);
    return std::move(result_);
  }

 private:
  struct Late {  // a node of the linear graph
    u32 node;
    u32 split = ~0u;  // in splits_, when a rule split it
  };

  void node(u32 k) {
    const Node& n = g_.nodes()[k];
    bool late = false;
    for (u32 v : g_.operands(n)) late = late || unknown_[v];
    operands_of(g_, n, known_, operands_);
    if (!late) return emit_again(known_builder_, g_, n, operands_, known_);
    const auto* region = n.op->grad.as<Region>();
    if (region && region->split && by_rule(k, *region)) return;
    for (u32 v : g_.operands(n)) need(v);
    for (u32 i = 0; i < n.result_count; ++i) unknown_[n.first_result + i] = true;
    late_.push_back({k});
  }

  bool by_rule(u32 k, const Region& region) {
    const Node& n = g_.nodes()[k];
    Mask unknown;
    for (u32 v : g_.operands(n)) unknown.push_back(unknown_[v]);
    known_builder_.where = n.where;
    auto split = region.split(known_builder_, operands_, unknown, n.attrs);
    if (!split) return false;
    for (u32 i = 0; i < n.result_count; ++i) {
      unknown_[n.first_result + i] = split->unknown[i];
      if (!split->unknown[i]) known_[n.first_result + i] = split->known[i];
    }
    for (const Value& v : split->residuals) needed_.push_back(v.id);
    late_.push_back({k, static_cast<u32>(splits_.size())});
    splits_.push_back(std::move(*split));
    return true;
  }

  void need(u32 v) {
    if (!unknown_[v]) needed_.push_back(known_[v].id);
  }

  void build_known(const Residuals& residuals) {
    Values outputs;
    for (u32 i = 0; i < g_.outputs().size(); ++i)
      if (!result_.unknown[i]) outputs.push_back(known_[g_.outputs()[i]]);
    for (u32 v : residuals.handed_over()) outputs.push_back({&known_builder_, v});
    result_.residuals = static_cast<u32>(residuals.handed_over().size());
    result_.known = known_builder_.build(outputs);
  }

  void build_linear(const Residuals& residuals) {
    Builder b;
    Values handed(known_builder_.graph().value_count()), env(g_.value_count());
    for (u32 v : residuals.handed_over()) handed[v] = b.input(known_builder_.type(v));
    for (u32 i = 0; i < g_.input_count(); ++i)
      if (inputs_unknown_[i]) env[i] = b.input(g_.type(i));
    residuals.make_again(b, handed);
    for (u32 v = 0; v < g_.value_count(); ++v)
      if (!unknown_[v] && known_[v]) env[v] = handed[known_[v].id];
    Values operands;
    for (const Late& late : late_) emit_late(b, late, handed, env, operands);
    Values outputs;
    for (u32 i = 0; i < g_.outputs().size(); ++i)
      if (result_.unknown[i]) outputs.push_back(env[g_.outputs()[i]]);
    result_.linear = b.build(outputs);
  }

  void emit_late(Builder& b, const Late& late, const Values& handed, Values& env, Values& operands) {
    const Node& n = g_.nodes()[late.node];
    if (late.split == ~0u) {
      operands_of(g_, n, env, operands);
      emit_again(b, g_, n, operands, env);
      return;
    }
    const SplitResult& split = splits_[late.split];
    Values residuals, unknown;
    for (const Value& v : split.residuals) residuals.push_back(handed[v.id]);
    for (u32 v : g_.operands(n))
      if (unknown_[v]) unknown.push_back(env[v]);
    b.where = n.where;
    Values results = split.emit_linear(b, residuals, unknown);
    for (u32 i = 0, k = 0; i < n.result_count; ++i)
      if (split.unknown[i]) env[n.first_result + i] = results[k++];
  }

  const Graph& g_;
  const Mask& inputs_unknown_;
  const Mask& force_;
  Builder known_builder_;
  Values known_, operands_;    // by value of g: its value in the known graph
  std::vector<bool> unknown_;  // by value of g
  std::vector<u32> needed_;    // values of the known graph
  std::vector<Late> late_;
  std::vector<SplitResult> splits_;
  Split result_;
};

}  // namespace

Split split_graph(const GraphPtr& g, const Mask& unknown, const Mask& force) {
  if (unknown.size() != g->input_count() || (!force.empty() && force.size() != g->outputs().size()))
    internal("split: a mask of another length than the graph's inputs or outputs");
  std::string key = derived_key("split", unknown, force);
  if (auto found = g->find_derived(key)) return {found->graph, found->second, found->mask, found->number};
  Split s = SplitPass(*g, unknown, force).run();
  g->keep_derived(key, {s.known, s.unknown, s.linear, s.residuals});
  return s;
}

}  // namespace tn
